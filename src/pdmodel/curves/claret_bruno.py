"""Growth against an effect of treatment that fades, fitted to sizes without asking why.

With ``baseline`` the size at the first scan and ``t`` the days since day 0::

    size = c exp(grow t)                                           before day 0
    size = c exp(grow t - shrink / fade (1 - exp(-fade t)))        from day 0 on

where ``c``, the size on day 0, is baseline times what has grown since the first scan. How fast
the effect fades can hardly be learnt of one patient, and is shared by all.
"""

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Parameter, Values
from pdmodel.units import DAYS_PER_YEAR

SOURCE = (
    "default prior of jmpost (github.com/Genentech/jmpost), which counts in years; the prior of "
    "the spread between patients as wide as that of its Stein-Fojo curve"
)

PARAMETERS = (
    Parameter(
        "baseline", "mm", 60.0, "size at the first scan",
        prior_sd=0.5, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "grow", "1/day", 1.0 / DAYS_PER_YEAR, "rate at which the diameter grows by itself",
        prior_sd=0.5, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "shrink", "1/day", 2.0 / DAYS_PER_YEAR, "rate at which treatment shrinks it on day 0",
        prior_sd=0.5, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "fade", "1/day", 0.4 / DAYS_PER_YEAR, "rate at which the effect of treatment fades",
        prior_sd=0.5, source=SOURCE,
    ),
)  # fmt: skip


def initial(p: Values) -> State:
    """Give the size of the first scan."""
    return {"log_ratio": jnp.zeros_like(p["baseline"])}


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of the log size per day."""
    since = jnp.where(time < 0.0, 0.0, time)
    treated = jnp.where(time < 0.0, 0.0, p["shrink"] * jnp.exp(-p["fade"] * since))
    return {"log_ratio": p["grow"] - treated + jnp.zeros_like(s["log_ratio"])}


def log_size(s: State, p: Values) -> Array:
    """Log of the size in mm."""
    return jnp.log(p["baseline"]) + s["log_ratio"]


MECHANISM = Mechanism(
    name="claret_bruno",
    about="growth against an effect of treatment that fades, whatever was given",
    parameters=PARAMETERS,
    answers_to=(),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={"log_ratio": "log of the size relative to the first scan"},
    source="doi:10.1200/JCO.2008.21.0807",
    anchor="baseline",
)
