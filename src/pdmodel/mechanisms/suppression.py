"""A suppressive surrounding: regulatory cells follow effectors and take from what they kill.

The T cells e and x, their exhaustion and their inflow are those of `exhaustion`. Regulatory cells r
are counted relative to before treatment; ``potential`` is the kill that there would be without any
suppression, as a fraction of gross growth::

    d ln V = 3 growth (1 - potential e / (1 + suppression r))
    dr     = turnover (e - r) - depletion ctla4_block r

Before treatment e = r = 1, so that the kill is ``potential / (1 + suppression)``: patients differ
in suppression, not in potential. Where suppression is strong, blockade brings more effectors and
with them more regulatory cells, and the kill does not rise: primary resistance, which CTLA-4
blockade may overcome.
"""

from dataclasses import replace

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.mechanisms.exhaustion import PARAMETERS as CORE
from pdmodel.mechanisms.exhaustion import fluxes, log_size
from pdmodel.parameter import Parameter, Values
from pdmodel.units import per_day

KNOWN = {q.name: q for q in CORE}
KEPT = (
    "baseline", "growth", "exhaustion", "exhausted_ratio", "reinvigoration", "loss", "block",
    "antigen_half", "fixed_fraction", "priming_gain",
)  # fmt: skip

PARAMETERS = (
    *(KNOWN[name] for name in KEPT),
    replace(
        KNOWN["waning"],
        prior_sd=None,
        source="assumption: fixed at the typical value of the core model, so that suppression is "
        "what patients differ in",
    ),
    Parameter(
        "potential",
        "1",
        0.85,
        "immune kill without suppression, as a fraction of gross growth",
        transform="logit",
        prior_sd=0.7,
        source="assumption: with the suppression below, kill before treatment is spread as in the "
        "core model",
    ),
    Parameter(
        "suppression",
        "1",
        2.4,
        "by how much suppression before treatment divides the kill, less 1",
        prior_sd=0.7,
        between=1.2,
        source="assumption: with the potential above, half of the patients have a kill of 0.13 to "
        "0.41 of gross growth; the form is that of doi:10.3389/fphar.2023.1163432",
    ),
    Parameter(
        "turnover",
        "1/day",
        0.1,
        "rate at which regulatory cells follow effectors",
        source="fixed: proliferation of regulatory cells, 0.1/day (doi:10.3389/fphar.2023.1163432)",
    ),
    Parameter(
        "depletion",
        "1/day",
        per_day(1.0),
        "loss of regulatory cells under full CTLA-4 blockade",
        prior_sd=0.7,
        needs="ctla4_block",
        source="assumption, wide: somewhat above their turnover",
    ),
)


def initial(p: Values) -> State:
    """Steady T cells at the burden of the first scan, before any drug."""
    one = jnp.ones_like(p["baseline"])
    return {
        "log_burden": 0.0 * one,
        "effector": one,
        "exhausted": p["exhausted_ratio"] * one,
        "regulatory": one,
    }


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of each state per day."""
    inflow, exhausting, returning, exhausted_loss = fluxes(time, s, p, a)
    e, x, r = s["effector"], s["exhausted"], s["regulatory"]
    depleted = p["depletion"] * a["ctla4_block"] if "depletion" in p else 0.0
    kill = p["potential"] * e / (1.0 + p["suppression"] * r)
    return {
        "log_burden": 3.0 * p["growth"] * (1.0 - kill),
        "effector": inflow - (p["loss"] + exhausting) * e + returning * x,
        "exhausted": exhausting * e - (exhausted_loss + returning) * x,
        "regulatory": p["turnover"] * (e - r) - depleted * r,
    }


MECHANISM = Mechanism(
    name="suppression",
    about="tumor burden held by effector T cells, which regulatory cells follow and suppress",
    parameters=PARAMETERS,
    answers_to=("pd1_block", "ctla4_block"),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={
        "log_burden": "log of the volume relative to the first scan",
        "effector": "effector T cells relative to before treatment",
        "exhausted": "exhausted T cells relative to effector cells before treatment",
        "regulatory": "regulatory cells relative to before treatment",
    },
    positive=("effector", "exhausted", "regulatory"),
    source="the core model with the suppression of doi:10.3389/fphar.2023.1163432",
    anchor="baseline",
)
