"""The tumor itself: how fast it grows, and how visible it is to T cells.

As `exhaustion`, with antigen counted per volume: of a tumor with ``antigenicity`` a the T cells
see ``a V`` where they see V in a tumor that shows everything::

    d ln V = 3 growth (1 - potential a e)
    b      = a V (1 + antigen_half) / (a V + antigen_half)

Before treatment e = 1 is steady, with ``exhaustion b(a)`` in place of ``exhaustion``: a tumor that
is hardly seen is hardly attacked, and has exhausted few cells that blockade could bring back. A
low antigenicity (WNT signalling, loss of PTEN, few mutations) is primary resistance. Growth (MAPK,
PTEN) makes it come sooner; kill being a fraction of growth, it does not by itself bring it about.
"""

from dataclasses import replace

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.mechanisms.exhaustion import LOG_BURDEN_LIMIT, log_size
from pdmodel.mechanisms.exhaustion import PARAMETERS as CORE
from pdmodel.parameter import Parameter, Values

KNOWN = {q.name: q for q in CORE}
KEPT = (
    "baseline", "growth", "exhaustion", "exhausted_ratio", "reinvigoration", "loss", "block",
    "antigen_half", "priming_gain",
)  # fmt: skip

PARAMETERS = (
    *(KNOWN[name] for name in KEPT),
    replace(
        KNOWN["waning"],
        prior_sd=None,
        source="assumption: fixed at the typical value of the core model, so that antigenicity is "
        "what patients differ in",
    ),
    Parameter(
        "potential",
        "1",
        0.85,
        "immune kill of a tumor that shows all its antigens, as a fraction of gross growth",
        transform="logit",
        prior_sd=0.7,
        source="assumption: with the antigenicity below, kill before treatment is spread as in the "
        "core model",
    ),
    Parameter(
        "antigenicity",
        "1",
        0.3,
        "share of the antigens that the tumor shows",
        transform="logit",
        prior_sd=0.7,
        between=1.2,
        source="assumption: with the potential above, the typical kill before treatment is that of "
        "the core model; what lowers it is in doi:10.1038/nature14404 (WNT), "
        "doi:10.1158/2159-8290.CD-15-0283 (PTEN), doi:10.1126/science.aaa1348 (few mutations)",
    ),
)


def seen(log_burden: Array, p: Values) -> Array:
    """Drive of exhaustion by the antigen that is seen, 1 for a whole tumor at the first scan."""
    a_burden = jnp.exp(-jnp.clip(log_burden, -LOG_BURDEN_LIMIT, LOG_BURDEN_LIMIT))
    half = p["antigen_half"]
    return (1.0 + half) * p["antigenicity"] / (p["antigenicity"] + half * a_burden)


def initial(p: Values) -> State:
    """Steady T cells at the burden of the first scan, before any drug."""
    one = jnp.ones_like(p["baseline"])
    return {
        "log_burden": 0.0 * one,
        "effector": one,
        "exhausted": p["exhausted_ratio"] * seen(0.0 * one, p),
    }


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of each state per day."""
    e, x = s["effector"], s["exhausted"]
    act = a["pd1_block"] * jnp.exp(-p["waning"] * jnp.where(time < 0.0, 0.0, time))
    gain = 1.0 + p["priming_gain"] * a["ctla4_block"] if "priming_gain" in p else 1.0
    before = p["exhaustion"] * seen(jnp.zeros_like(e), p)
    inflow = (p["loss"] + before) * gain
    exhausting = p["exhaustion"] * seen(s["log_burden"], p) * (1.0 - p["block"] * act)
    returning = p["reinvigoration"] * act
    exhausted_loss = p["exhaustion"] / p["exhausted_ratio"]
    kill = p["potential"] * p["antigenicity"] * e
    return {
        "log_burden": 3.0 * p["growth"] * (1.0 - kill),
        "effector": inflow - (p["loss"] + exhausting) * e + returning * x,
        "exhausted": exhausting * e - (exhausted_loss + returning) * x,
    }


MECHANISM = Mechanism(
    name="intrinsic",
    about="tumor burden that T cells see, attack and are exhausted by as far as it shows antigens",
    parameters=PARAMETERS,
    answers_to=("pd1_block", "ctla4_block"),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={
        "log_burden": "log of the volume relative to the first scan",
        "effector": "effector T cells relative to before treatment",
        "exhausted": "exhausted T cells relative to effector cells before treatment",
    },
    positive=("effector", "exhausted"),
    source="assumption: the core model with antigen per volume",
    anchor="baseline",
)
