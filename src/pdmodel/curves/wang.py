"""Exponential shrinkage and linear progression, fitted to sizes without asking why.

With ``baseline`` the size at the first scan and ``t`` the days since day 0::

    size = c exp(progress t)                        before day 0
    size = c (exp(-shrink t) + progress t)          from day 0 on

where ``c``, the size on day 0, is baseline times what has grown since the first scan. Progression
is relative to ``c``, where the paper counts it in mm, so that small and large tumors share a prior.
"""

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Parameter, Values
from pdmodel.units import DAYS_PER_YEAR

SOURCE = "assumption: as of stein_fojo, from jmpost (github.com/Genentech/jmpost), in years"

PARAMETERS = (
    Parameter(
        "baseline", "mm", 60.0, "size at the first scan",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "shrink", "1/day", 0.5 / DAYS_PER_YEAR, "rate at which the size of day 0 shrinks",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "progress", "1/day", 0.3 / DAYS_PER_YEAR, "growth a day, relative to the size of day 0",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
)  # fmt: skip


def initial(p: Values) -> State:
    """Give the size of the first scan."""
    return {"log_ratio": jnp.zeros_like(p["baseline"])}


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of the log size per day, the slope of the closed form."""
    since = jnp.where(time < 0.0, 0.0, time)
    left = jnp.exp(-p["shrink"] * since)
    slope = (p["progress"] - p["shrink"] * left) / (left + p["progress"] * since)
    return {"log_ratio": jnp.where(time < 0.0, p["progress"], slope)}


def log_size(s: State, p: Values) -> Array:
    """Log of the size in mm."""
    return jnp.log(p["baseline"]) + s["log_ratio"]


MECHANISM = Mechanism(
    name="wang",
    about="exponential shrinkage and linear progression, whatever was given",
    parameters=PARAMETERS,
    answers_to=(),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={"log_ratio": "log of the size relative to the first scan"},
    source="doi:10.1038/clpt.2009.64",
    anchor="baseline",
)
