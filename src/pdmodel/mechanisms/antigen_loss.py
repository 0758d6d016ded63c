"""Loss of antigens under immune pressure: what is seen is killed, and what is not seen remains.

As `exhaustion` without waning. Cells differ in antigenicity, by a gamma distribution of mean 1 and
squared coefficient of variation ``diversity`` at the first scan; each is killed at a rate that goes
with its own. The mean antigenicity a of the cells that are left then obeys, exactly::

    d ln V = 3 growth (1 - kill a e)
    da     = -diversity a (3 growth kill a e)

(with K the sum of ``3 growth kill e`` over time, ``a = 1 / (1 + diversity K)`` and the survivors
are ``(1 + diversity K)^(-1 / diversity)``). T cells are exhausted by the antigen that there is, V a
in place of V. The stronger the attack the sooner it ends: a response, then escape.
"""

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.mechanisms.exhaustion import PARAMETERS as CORE
from pdmodel.mechanisms.exhaustion import fluxes, log_size
from pdmodel.parameter import Parameter, Values

KNOWN = {q.name: q for q in CORE}
KEPT = (
    "baseline", "growth", "kill", "exhaustion", "exhausted_ratio", "reinvigoration", "loss",
    "block", "antigen_half", "fixed_fraction", "priming_gain",
)  # fmt: skip

PARAMETERS = (
    *(KNOWN[name] for name in KEPT),
    Parameter(
        "diversity",
        "1",
        0.1,
        "squared coefficient of variation of antigenicity among tumor cells",
        prior_sd=1.0,
        source="assumption: so that a typical responder relapses within one to two years; that "
        "resistant tumors have lost antigens is in doi:10.1158/2159-8290.CD-16-0828",
    ),
)


def initial(p: Values) -> State:
    """Steady T cells at the burden of the first scan, before any drug; all antigens there."""
    one = jnp.ones_like(p["baseline"])
    return {
        "log_burden": 0.0 * one,
        "log_antigenicity": 0.0 * one,
        "effector": one,
        "exhausted": p["exhausted_ratio"] * one,
    }


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of each state per day."""
    antigen = {"log_burden": s["log_burden"] + s["log_antigenicity"]}
    lasting = {**p, "waning": jnp.zeros_like(p["exhaustion"])}
    inflow, exhausting, returning, exhausted_loss = fluxes(time, antigen, lasting, a)
    e, x = s["effector"], s["exhausted"]
    killed = 3.0 * p["growth"] * p["kill"] * jnp.exp(s["log_antigenicity"]) * e
    return {
        "log_burden": 3.0 * p["growth"] - killed,
        "log_antigenicity": -p["diversity"] * killed,
        "effector": inflow - (p["loss"] + exhausting) * e + returning * x,
        "exhausted": exhausting * e - (exhausted_loss + returning) * x,
    }


MECHANISM = Mechanism(
    name="antigen_loss",
    about="tumor burden held by effector T cells, which select for cells that show less antigen",
    parameters=PARAMETERS,
    answers_to=("pd1_block", "ctla4_block"),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={
        "log_burden": "log of the volume relative to the first scan",
        "log_antigenicity": "log of the mean antigenicity relative to the first scan",
        "effector": "effector T cells relative to before treatment",
        "exhausted": "exhausted T cells relative to effector cells before treatment",
    },
    positive=("effector", "exhausted"),
    source="assumption: the core model with selection among cells whose antigenicity is gamma-"
    "distributed",
    anchor="baseline",
)
