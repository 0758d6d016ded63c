"""Tumor burden with effector and exhausted T cells: blockade spares effectors until it wanes.

States are relative to the day of the first scan: burden V (volume), effector density e and
exhausted density x, both per effector density before treatment. With occupancy ``a`` (the action
``pd1_block``) and the reversible part ``act = a (1 - fixed_fraction) exp(-waning t)``::

    size    = baseline V^(1/3)
    d ln V  = 3 growth (1 - kill e)
    de      = s (1 + priming_gain ctla4_block) - (loss + k b) e + reinvigoration act x
    dx      = k b e - (exhausted_loss + reinvigoration act) x
    b       = V (1 + antigen_half) / (V + antigen_half),   k = exhaustion (1 - block act)

Before treatment e = 1 and x = exhausted_ratio are steady at V = 1, which fixes the inflow
``s = loss + exhaustion`` and ``exhausted_loss = exhaustion / exhausted_ratio``. Absolute cell
numbers cannot be learnt from sizes and do not appear.

Other actions change single rates, each independently of the others: LAG-3 blockade spares effectors
(``k`` times ``1 - lag3_spare``), what undoes fixation gives back a part of what waned, relief of
suppression makes effectors kill more (``kill`` times ``1 + suppression_relief``), supply adds to
the inflow, growth signals are blocked, and tumor cells are killed directly or by radiation.
"""

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import LinearPair, Mechanism, State
from pdmodel.parameter import Parameter, Values
from pdmodel.units import per_day

LOG_BURDEN_LIMIT = 60.0
"""|ln V| beyond this is cut: 26 decades of volume, far outside anything a scan could show."""

PARAMETERS = (
    Parameter(
        "baseline",
        "mm",
        50.0,
        "size at the first scan",
        prior_sd=0.5,
        between=0.58,
        between_spread=0.3,
        source="between the median of one target lesion, 38 mm (doi:10.1371/journal.pcbi.1009822), "
        "and of the SLD in OAK, 65 mm (doi:10.1038/s41591-018-0134-3); spread from the same",
    ),
    Parameter(
        "growth",
        "1/day",
        per_day(0.030),
        "gross growth rate of the diameter without immune kill",
        prior_sd=0.5,
        between=0.8,
        source="typical: from 0.007/day of volume for NSCLC (doi:10.3389/fphar.2023.1163432) to "
        "0.03/week of diameter in OAK; spread: growth rates of a GSF fit to "
        "doi:10.1371/journal.pcbi.1009822",
    ),
    Parameter(
        "kill",
        "1",
        0.25,
        "immune kill before treatment, as a fraction of gross growth",
        transform="logit",
        prior_sd=1.0,
        between=1.2,
        source="tuned by hand so that simulated response and progression resemble the atezolizumab "
        "arm of OAK (doi:10.1016/S0140-6736(16)32517-X); no independent source",
    ),
    Parameter(
        "waning",
        "1/day",
        per_day(0.02),
        "rate at which exhaustion becomes irreversible",
        prior_sd=0.7,
        source="assumption: tuned by hand to relapses of responders in OAK; no independent source",
    ),
    Parameter(
        "exhaustion",
        "1/day",
        per_day(0.5),
        "rate at which effectors become exhausted, V = 1",
        source="fixed: between 0.32/week (doi:10.1038/s41540-024-00336-6) and 0.7/week "
        "(doi:10.3389/fphar.2023.1163432); not learnt from sizes",
    ),
    Parameter(
        "exhausted_ratio",
        "1",
        1.5,
        "exhausted to effector cells before treatment",
        source="assumption: fixed, weakly supported by fractions of exhausted tumor-infiltrating "
        "cells; not learnt from sizes",
    ),
    Parameter(
        "reinvigoration",
        "1/day",
        per_day(0.7),
        "return of exhausted cells under full blockade",
        source="fixed: proliferation peaks within 1 to 3 weeks of blockade "
        "(PMC6699626); sensitivity 0.35 to 1.4 per week",
    ),
    Parameter(
        "loss",
        "1/day",
        per_day(0.30),
        "loss of effector cells",
        source="fixed: 0.0412/day (doi:10.1007/BF02460644), 0.045/day "
        "(doi:10.1038/s41540-024-00336-6)",
    ),
    Parameter(
        "block",
        "1",
        0.9,
        "largest fraction of exhaustion that blockade prevents",
        transform="logit",
        source="fixed: maximal effect of pembrolizumab on exhaustion "
        "(doi:10.1186/s12967-019-2081-2)",
    ),
    Parameter(
        "antigen_half",
        "1",
        1.0,
        "relative burden at which antigen drives half-maximal exhaustion",
        source="assumption: fixed",
    ),
    Parameter(
        "fixed_fraction",
        "1",
        0.0,
        "fraction of exhaustion that is irreversible at the start",
        transform="identity",
        source="assumption: fixed at none in the core model",
    ),
    Parameter(
        "priming_gain",
        "1",
        0.8,
        "relative gain of effector inflow under full CTLA-4 blockade",
        prior_sd=0.5,
        needs="ctla4_block",
        source="assumption, wide: set so that simulated response resembles nivolumab with and "
        "without ipilimumab in CheckMate-067 (doi:10.1056/NEJMoa1910836)",
    ),
    Parameter(
        "lag3_spare", "1", 0.4, "fraction of exhaustion that full LAG-3 blockade prevents",
        transform="logit", prior_sd=0.8, needs="lag3_block",
        source="assumption, wide: no size of effect on its own is known",
    ),
    Parameter(
        "fixation_recovery", "1", 0.4, "fraction given back of what has become irreversible",
        transform="logit", prior_sd=0.8, needs="fixation_block", source="assumption, wide",
    ),
    Parameter(
        "suppression_relief", "1", 0.3, "relative gain of immune kill without suppression",
        prior_sd=0.7, needs="suppression_block", source="assumption, wide",
    ),
    Parameter(
        "supply_gain", "1", 0.5, "largest supply of T cells, relative to the inflow before",
        prior_sd=0.7, needs="t_cell_supply", source="assumption, wide",
    ),
    Parameter(
        "cytotoxicity", "1/day", per_day(0.125), "largest direct kill, as a rate of the diameter",
        prior_sd=0.5, needs="tumor_kill",
        source="assumption: shrinkage of 0.056/week in a GSF fit to docetaxel series of "
        "doi:10.1371/journal.pcbi.1009822 at a mean strength of 0.45; no resistance to it is "
        "modelled, so late benefit is too large",
    ),
    Parameter(
        "growth_arrest", "1", 0.7, "fraction of gross growth that a full block of signals prevents",
        transform="logit", prior_sd=0.8, needs="growth_block", source="assumption, wide",
    ),
    Parameter(
        "radiosensitivity", "1/day", 240.0, "kill of volume at the largest strength of radiation",
        prior_sd=0.5, needs="radiation",
        source="linear-quadratic with 0.15/Gy, near 0.146/Gy of a mouse model "
        "(doi:10.1186/s40425-018-0327-9), and 10 Gy for the ratio of its terms (assumption)",
    ),
)  # fmt: skip


ANSWERS = (
    "pd1_block", "ctla4_block", "lag3_block", "fixation_block", "suppression_block",
    "t_cell_supply", "tumor_kill", "growth_block", "radiation",
)  # fmt: skip


def initial(p: Values) -> State:
    """Steady T cells at the burden of the first scan, before any drug."""
    one = jnp.ones_like(p["baseline"])
    return {"log_burden": 0.0 * one, "effector": one, "exhausted": p["exhausted_ratio"] * one}


def fluxes(time: Array, s: State, p: Values, a: Actions) -> tuple[Array, Array, Array, Array]:
    """Inflow of effectors, exhaustion, return, and loss of exhausted cells; all per day."""
    a_burden = jnp.exp(-jnp.clip(s["log_burden"], -LOG_BURDEN_LIMIT, LOG_BURDEN_LIMIT))
    # b / V, written in 1/V: a large V squared, as in derivatives, is too large for float32
    antigen = (1.0 + p["antigen_half"]) / (1.0 + p["antigen_half"] * a_burden)
    on_treatment = jnp.where(time < 0.0, 0.0, time)
    reversible = (1.0 - p["fixed_fraction"]) * jnp.exp(-p["waning"] * on_treatment)
    if "fixation_recovery" in p:
        reversible += (1.0 - reversible) * p["fixation_recovery"] * a["fixation_block"]
    act = a["pd1_block"] * reversible
    gain = 1.0 + p["priming_gain"] * a["ctla4_block"] if "priming_gain" in p else 1.0
    if "supply_gain" in p:
        gain += p["supply_gain"] * a["t_cell_supply"]
    inflow = (p["loss"] + p["exhaustion"]) * gain
    exhausting = p["exhaustion"] * antigen * (1.0 - p["block"] * act)
    if "lag3_spare" in p:
        exhausting *= 1.0 - p["lag3_spare"] * a["lag3_block"]
    return inflow, exhausting, p["reinvigoration"] * act, p["exhaustion"] / p["exhausted_ratio"]


def log_volume_change(effector: Array, p: Values, a: Actions) -> Array:
    """Change of the log of the volume per day: growth less immune and direct kill."""
    kill, growing, dying = p["kill"], 1.0, 0.0
    if "suppression_relief" in p:
        kill = kill * (1.0 + p["suppression_relief"] * a["suppression_block"])
    if "growth_arrest" in p:
        growing = 1.0 - p["growth_arrest"] * a["growth_block"]
    if "cytotoxicity" in p:
        dying = 3.0 * p["cytotoxicity"] * a["tumor_kill"]
    if "radiosensitivity" in p:
        dying += p["radiosensitivity"] * a["radiation"]
    return 3.0 * p["growth"] * (growing - kill * effector) - dying


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of each state per day."""
    inflow, exhausting, returning, exhausted_loss = fluxes(time, s, p, a)
    e, x = s["effector"], s["exhausted"]
    return {
        "log_burden": log_volume_change(e, p, a),
        "effector": inflow - (p["loss"] + exhausting) * e + returning * x,
        "exhausted": exhausting * e - (exhausted_loss + returning) * x,
    }


def matrix(time: Array, s: State, p: Values, a: Actions) -> tuple[tuple[Array, Array], ...]:
    """Exchange of effector and exhausted cells, given burden and blockade."""
    _, exhausting, returning, exhausted_loss = fluxes(time, s, p, a)
    return (
        (-(p["loss"] + exhausting), returning),
        (exhausting, -(exhausted_loss + returning)),
    )


def inflow(time: Array, s: State, p: Values, a: Actions) -> tuple[Array, Array]:
    """Cells that arrive from outside the tumor."""
    arriving = fluxes(time, s, p, a)[0]
    return arriving, jnp.zeros_like(arriving)


def flow(step: Array, s: State, mean: State, p: Values, a: Actions) -> State:
    """Move the burden by a step with the effectors at their mean."""
    return {"log_burden": s["log_burden"] + step * log_volume_change(mean["effector"], p, a)}


def log_size(s: State, p: Values) -> Array:
    """Log of the size in mm: diameter goes with the cube root of volume."""
    return jnp.log(p["baseline"]) + s["log_burden"] / 3.0


MECHANISM = Mechanism(
    name="exhaustion",
    about="tumor burden held by effector T cells, which blockade spares from exhaustion and "
    "recovers from it until exhaustion becomes irreversible",
    parameters=PARAMETERS,
    answers_to=ANSWERS,
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={
        "log_burden": "log of the volume relative to the first scan",
        "effector": "effector T cells relative to before treatment",
        "exhausted": "exhausted T cells relative to effector cells before treatment",
    },
    anchor="baseline",
    positive=("effector", "exhausted"),
    linear=LinearPair(("effector", "exhausted"), matrix, inflow, flow),
    source="reduction of doi:10.1007/BF02460644 and doi:10.1038/s41540-024-00336-6 to what sizes "
    "can inform; see the statistical specification",
)
