"""The sum of a shrinking and a growing exponential, fitted to sizes without asking why.

With ``baseline`` the size at the first scan and ``t`` the days since day 0::

    size = c exp(grow t)                            before day 0
    size = c (exp(-shrink t) + exp(grow t) - 1)     from day 0 on

where ``c``, the size on day 0, is baseline times what has grown since the first scan. The curve
answers to no drug: it describes a course under whatever was given from day 0 on.
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
        "shrink", "1/day", 0.5 / DAYS_PER_YEAR, "rate at which the shrinking part shrinks",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "grow", "1/day", 0.3 / DAYS_PER_YEAR, "rate at which the growing part grows",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
)  # fmt: skip


def initial(p: Values) -> State:
    """Give the size of the first scan."""
    return {"log_ratio": jnp.zeros_like(p["baseline"])}


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of the log size per day, the slope of the closed form."""
    since = jnp.where(time < 0.0, 0.0, time)
    swing = jnp.exp(-(p["shrink"] + p["grow"]) * since)  # shrunk over grown
    slope = (p["grow"] - p["shrink"] * swing) / (swing - jnp.expm1(-p["grow"] * since))
    return {"log_ratio": jnp.where(time < 0.0, p["grow"], slope)}


def log_size(s: State, p: Values) -> Array:
    """Log of the size in mm."""
    return jnp.log(p["baseline"]) + s["log_ratio"]


MECHANISM = Mechanism(
    name="stein_fojo",
    about="sum of a shrinking and a growing exponential, whatever was given",
    parameters=PARAMETERS,
    answers_to=(),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={"log_ratio": "log of the size relative to the first scan"},
    source="PMC3313464",
    anchor="baseline",
)
