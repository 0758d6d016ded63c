"""Progenitor and terminally exhausted cells: what blockade can bring back, and what is fixed.

The effectors e are exhausted into progenitors y, which blockade brings back, and these into
terminal cells z, which it does not. A share q of the lineages is committed epigenetically: theirs
are terminal at once, and blockade does not spare them. What blockade brings back meets antigen,
b(V) as in `exhaustion`, and is committed by it, so that a tumor that shrinks commits fewer::

    d ln V = 3 growth (1 - kill (e + terminal_kill z) / (1 + terminal_kill z0))
    de = s - (loss + k b) e + reinvigoration pd1_block y
    dy = (1 - q) k' b e - (ripening b + old + reinvigoration pd1_block) y
    dz = (k b - (1 - q) k' b) e + ripening b y - old z
    dq = fixation b pd1_block (1 - q)

with ``k' = exhaustion (1 - block pd1_block)`` and ``k = q exhaustion + (1 - q) k'``. Before
treatment e = 1, y = y0 and z = z0 are steady, y0 + z0 = exhausted_ratio, which fixes
``s = loss + exhaustion`` and ``old = exhaustion / exhausted_ratio``. Fixation under blockade is a
shallow response, then escape (a tumor that shrinks far fixes few lineages more, and stays
controlled); lineages committed before (``fixed_fraction``) are primary resistance.
"""

from dataclasses import replace

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.mechanisms.exhaustion import LOG_BURDEN_LIMIT, log_size
from pdmodel.mechanisms.exhaustion import PARAMETERS as CORE
from pdmodel.parameter import Parameter, Values
from pdmodel.units import per_day

KNOWN = {q.name: q for q in CORE}
KEPT = (
    "baseline", "growth", "kill", "exhaustion", "exhausted_ratio", "reinvigoration", "loss",
    "block", "antigen_half", "priming_gain",
)  # fmt: skip

PARAMETERS = (
    *(KNOWN[name] for name in KEPT),
    replace(KNOWN["fixed_fraction"], about="share of lineages that is committed at the start"),
    Parameter(
        "fixation",
        "1/day",
        per_day(0.02),
        "rate at which full blockade has lineages committed, V = 1",
        prior_sd=0.7,
        source="assumption: as waning in the core model; that exhausted cells keep their "
        "epigenetic state under blockade is in doi:10.1126/science.aaf2807",
    ),
    Parameter(
        "ripening",
        "1/day",
        per_day(0.3),
        "rate at which progenitors become terminal, V = 1",
        source="assumption: fixed so that about half of the exhausted cells are progenitors before "
        "treatment; the two kinds are in doi:10.1038/s41590-019-0312-6",
    ),
    Parameter(
        "terminal_kill",
        "1",
        0.1,
        "kill of a terminal cell relative to an effector",
        source="fixed: 0.01 against 0.09/day (doi:10.1038/s41540-024-00336-6)",
    ),
)


def antigen(log_burden: Array, p: Values) -> Array:
    """Drive of exhaustion by antigen, 1 at the first scan."""
    a_burden = jnp.exp(-jnp.clip(log_burden, -LOG_BURDEN_LIMIT, LOG_BURDEN_LIMIT))
    return (1.0 + p["antigen_half"]) / (1.0 + p["antigen_half"] * a_burden)


def before(p: Values) -> tuple[Array, Array]:
    """Progenitor and terminal cells before treatment, per effector."""
    old = p["exhaustion"] / p["exhausted_ratio"]
    progenitor = (1.0 - p["fixed_fraction"]) * p["exhaustion"] / (p["ripening"] + old)
    return progenitor, p["exhausted_ratio"] - progenitor


def initial(p: Values) -> State:
    """Steady T cells at the burden of the first scan, before any drug."""
    one = jnp.ones_like(p["baseline"])
    progenitor, terminal = before(p)
    return {
        "log_burden": 0.0 * one,
        "effector": one,
        "progenitor": progenitor * one,
        "terminal": terminal * one,
        "committed": p["fixed_fraction"] * one,
    }


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of each state per day."""
    e, y, z, q = (s[name] for name in ("effector", "progenitor", "terminal", "committed"))
    b, old = antigen(s["log_burden"], p), p["exhaustion"] / p["exhausted_ratio"]
    gain = 1.0 + p["priming_gain"] * a["ctla4_block"] if "priming_gain" in p else 1.0
    to_progenitor = (1.0 - q) * p["exhaustion"] * b * (1.0 - p["block"] * a["pd1_block"]) * e
    to_terminal = q * p["exhaustion"] * b * e
    ripening, returning = p["ripening"] * b * y, p["reinvigoration"] * a["pd1_block"] * y
    power = (e + p["terminal_kill"] * z) / (1.0 + p["terminal_kill"] * before(p)[1])
    return {
        "log_burden": 3.0 * p["growth"] * (1.0 - p["kill"] * power),
        "effector": (p["loss"] + p["exhaustion"]) * gain
        - p["loss"] * e
        - to_progenitor
        - to_terminal
        + returning,
        "progenitor": to_progenitor - ripening - old * y - returning,
        "terminal": to_terminal + ripening - old * z,
        "committed": p["fixation"] * b * a["pd1_block"] * (1.0 - q),
    }


MECHANISM = Mechanism(
    name="fixation",
    about="tumor burden held by effector T cells, whose exhausted progenitors blockade brings back "
    "until their lineages are committed",
    parameters=PARAMETERS,
    answers_to=("pd1_block", "ctla4_block"),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={
        "log_burden": "log of the volume relative to the first scan",
        "effector": "effector T cells relative to before treatment",
        "progenitor": "progenitor exhausted cells relative to effector cells before treatment",
        "terminal": "terminally exhausted cells relative to effector cells before treatment",
        "committed": "share of lineages that is committed",
    },
    positive=("effector", "progenitor", "terminal", "committed"),
    source="assumption: the core model with two kinds of exhausted cells, after "
    "doi:10.1038/s41590-019-0312-6 and doi:10.1126/science.aaf2807",
    anchor="baseline",
)
