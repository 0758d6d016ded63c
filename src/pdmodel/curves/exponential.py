"""Growth or decline at a constant rate, the simplest course that goes anywhere.

With ``t`` the days since the first scan, before and after day 0 alike::

    size = baseline exp(net_growth t)

``net_growth`` is of the diameter, and below 0 in a tumor that shrinks.
"""

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Parameter, Values

SOURCE = "default prior of jmpost (github.com/Genentech/jmpost)"
SLOPES = (
    "assumption: none, with spreads from changes of 366 lesions 4 to 8 weeks after the first dose "
    "of atezolizumab, quartiles -8 and +11.5 % (computed from doi:10.1371/journal.pcbi.1009822)"
)

PARAMETERS = (
    Parameter(
        "baseline", "mm", 60.0, "size at the first scan",
        prior_sd=1.0, between=0.2, between_spread=1.0, source=SOURCE,
    ),
    Parameter(
        "net_growth", "1/day", 0.0, "rate at which the diameter grows, or shrinks if below 0",
        transform="identity", prior_sd=0.001, between=0.003, source=SLOPES,
    ),
)  # fmt: skip


def initial(p: Values) -> State:
    """Give the size of the first scan."""
    return {"log_ratio": jnp.zeros_like(p["baseline"])}


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of the log size per day."""
    return {"log_ratio": p["net_growth"] + jnp.zeros_like(s["log_ratio"])}


def log_size(s: State, p: Values) -> Array:
    """Log of the size in mm."""
    return jnp.log(p["baseline"]) + s["log_ratio"]


MECHANISM = Mechanism(
    name="exponential",
    about="growth or decline at a constant rate, whatever was given",
    parameters=PARAMETERS,
    answers_to=(),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={"log_ratio": "log of the size relative to the first scan"},
    source="doi:10.1371/journal.pcbi.1009822",
    anchor="baseline",
)
