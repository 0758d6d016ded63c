"""Growth of the volume up to a capacity; from above the capacity it falls steeply.

With ``t`` the days since the first scan, before and after day 0 alike::

    (size / baseline)^-3 = plateau^-3 + (1 - plateau^-3) exp(-approach t)

This is ``dV/dt = r V (1 - V / K)`` of the volume relative to the first scan, with
``r = approach`` and ``K = plateau^3``.
"""

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Parameter, Values
from pdmodel.units import DAYS_PER_YEAR

SOURCE = "default prior of jmpost (github.com/Genentech/jmpost)"
PLATEAU = (
    "assumption, wide: half of the patients between 0.6 and 1.7 times the first scan, the typical "
    "one at it"
)
APPROACH = "assumption, wide: half of the way in 4 months, in 90 % of patients in 1 to 17 months"

PARAMETERS = (
    Parameter(
        "baseline", "mm", 60.0, "size at the first scan",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "plateau", "1", 1.0, "size that it tends to, relative to the first scan",
        prior_sd=0.5, between=0.75, source=PLATEAU,
    ),
    Parameter(
        "approach", "1/day", 2.0 / DAYS_PER_YEAR, "rate at which it comes close to the plateau",
        prior_sd=0.7, between=0.5, source=APPROACH,
    ),
)  # fmt: skip


def initial(p: Values) -> State:
    """Give the size of the first scan."""
    return {"log_ratio": jnp.zeros_like(p["baseline"])}


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of the log size per day."""
    above = 3.0 * (s["log_ratio"] - jnp.log(p["plateau"]))
    return {"log_ratio": -p["approach"] / 3.0 * jnp.expm1(above)}


def log_size(s: State, p: Values) -> Array:
    """Log of the size in mm."""
    return jnp.log(p["baseline"]) + s["log_ratio"]


MECHANISM = Mechanism(
    name="logistic",
    about="logistic growth of the volume, whatever was given",
    parameters=PARAMETERS,
    answers_to=(),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={"log_ratio": "log of the size relative to the first scan"},
    source="doi:10.1371/journal.pcbi.1009822",
    anchor="baseline",
)
