"""Cells that die and cells that resist, whose volumes add up to one tumor.

With ``baseline`` the size at the first scan and ``t`` the days since day 0; volume goes with the
cube of the diameter::

    size = c exp(grow t)                                                            before day 0
    size = c ((1 - resistant) exp(-3 shrink t) + resistant exp(3 grow t))^(1/3)     from day 0 on

where ``c``, the size on day 0, is baseline times what has grown since the first scan. A patient's
resistant share and its rate of shrinking are hardly told apart; the rate is shared by all.
"""

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Parameter, Values
from pdmodel.units import DAYS_PER_YEAR

SOURCE = "default prior of jmpost (github.com/Genentech/jmpost), which counts in years"
SHARE = (
    "assumption, wide: clones of 0.001 to 0.05 of the volume make courses that a GSF curve fits "
    "with a responding fraction of 0.68 to 0.98 (computed); most of the tumor where it only grows"
)

PARAMETERS = (
    Parameter(
        "baseline", "mm", 60.0, "size at the first scan",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "grow", "1/day", 0.3 / DAYS_PER_YEAR, "rate at which the resistant diameter grows",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "resistant", "1", 0.05, "share of the volume on day 0 that grows on", transform="logit",
        prior_sd=1.5, between=1.5, source=SHARE,
    ),
    Parameter(
        "shrink", "1/day", 0.5 / DAYS_PER_YEAR, "rate at which the sensitive diameter shrinks",
        prior_sd=1.0, source=SOURCE,
    ),
)  # fmt: skip


def initial(p: Values) -> State:
    """Give the size of the first scan."""
    return {"log_ratio": jnp.zeros_like(p["baseline"])}


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of the log size per day, the slope of the closed form."""
    since = jnp.where(time < 0.0, 0.0, time)
    sensitive = 1.0 - p["resistant"]
    left = sensitive * jnp.exp(-3.0 * (p["shrink"] + p["grow"]) * since)  # relative to grown
    slope = (p["grow"] * p["resistant"] - p["shrink"] * left) / (p["resistant"] + left)
    return {"log_ratio": jnp.where(time < 0.0, p["grow"], slope)}


def log_size(s: State, p: Values) -> Array:
    """Log of the size in mm."""
    return jnp.log(p["baseline"]) + s["log_ratio"]


MECHANISM = Mechanism(
    name="two_population",
    about="cells that die and cells that resist, whatever was given",
    parameters=PARAMETERS,
    answers_to=(),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={"log_ratio": "log of the size relative to the first scan"},
    source="assumption: two clones without exchange, each of exponential volume",
    anchor="baseline",
)
