"""A shrinking and a growing exponential in shares: Stein-Fojo with a responding fraction.

With ``baseline`` the size at the first scan and ``t`` the days since day 0::

    size = c exp(grow t)                                                      before day 0
    size = c (responding exp(-shrink t) + (1 - responding) exp(grow t))       from day 0 on

where ``c``, the size on day 0, is baseline times what has grown since the first scan. A patient's
responding fraction and its rate of shrinking are hardly told apart; the rate is shared by all.
"""

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Parameter, Values
from pdmodel.units import DAYS_PER_YEAR

SOURCE = "default prior of jmpost (github.com/Genentech/jmpost), which counts in years"

PARAMETERS = (
    Parameter(
        "baseline", "mm", 60.0, "size at the first scan",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "grow", "1/day", 0.3 / DAYS_PER_YEAR, "rate at which the growing part grows",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "responding", "1", 0.5, "share of the size on day 0 that shrinks", transform="logit",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "shrink", "1/day", 0.5 / DAYS_PER_YEAR, "rate at which the shrinking part shrinks",
        prior_sd=1.0, source=SOURCE,
    ),
)  # fmt: skip


def initial(p: Values) -> State:
    """Give the size of the first scan."""
    return {"log_ratio": jnp.zeros_like(p["baseline"])}


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of the log size per day, the slope of the closed form."""
    since = jnp.where(time < 0.0, 0.0, time)
    growing = 1.0 - p["responding"]
    shrinking = p["responding"] * jnp.exp(-(p["shrink"] + p["grow"]) * since)  # relative to grown
    slope = (p["grow"] * growing - p["shrink"] * shrinking) / (growing + shrinking)
    return {"log_ratio": jnp.where(time < 0.0, p["grow"], slope)}


def log_size(s: State, p: Values) -> Array:
    """Log of the size in mm."""
    return jnp.log(p["baseline"]) + s["log_ratio"]


MECHANISM = Mechanism(
    name="gsf",
    about="a shrinking and a growing share of the size, whatever was given",
    parameters=PARAMETERS,
    answers_to=(),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={"log_ratio": "log of the size relative to the first scan"},
    source="generalized Stein-Fojo curve of jmpost (github.com/Genentech/jmpost); after PMC3313464",
    anchor="baseline",
)
