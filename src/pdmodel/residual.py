"""How a measured size scatters around the course of the model, and what "too small" means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import log_ndtr

from pdmodel.errors import ModelError
from pdmodel.parameter import Parameter, Values

SMALLEST_MM = 5.0
"""RECIST 1.1 records a lesion too small to measure as 5 mm (doi:10.1016/j.ejca.2008.10.026)."""


class Scans(NamedTuple):
    """One patient's scans, each of shape (visits,)."""

    day: Array
    log_size: Array
    """Log of the size in mm, or of the limit where censored."""
    censored: Array
    """Whether the size is only known to be at or below the limit."""


@dataclass(frozen=True)
class Residual:
    """What lies between the course of the model and the numbers in a table.

    A residual sees all scans of a patient at once, so that it may carry noise from one scan to
    the next; one that does not is a function of each scan alone.

    Attributes
    ----------
    name, about : str
        What users call it; one sentence for the report.
    parameters : tuple of Parameter
        What `log_density` and `sample` read from the values.
    log_density : callable
        ``(expected log size (visits,), Scans, values) -> (visits,)`` log density per mm of each
        scan given the scans before it; log probability where censored.
    sample : callable
        ``(key, expected log size (visits,), day (visits,), values) -> (visits,)`` sizes in mm as
        they would be measured, before rounding and censoring.
    """

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    log_density: Callable[[Array, Scans, Values], Array]
    sample: Callable[[Array, Array, Array, Values], Array]


SCATTER = Parameter(
    "scatter",
    "1",
    0.10,
    "relative scatter of a measured size around the course",
    prior_sd=0.4,
    source="smooth fits to single lesions give 0.15 to 0.19 with misfit included "
    "(doi:10.1371/journal.pcbi.1009822, own analysis); sums of several lesions scatter less",
)
READER = Parameter(
    "reader",
    "mm",
    2.0,
    "scatter in mm, which dominates in small lesions",
    source="assumption: fixed; rounding to whole mm and differences between readers",
)


def scale(expected: Array, p: Values) -> Array:
    """Standard deviation of the log size: relative scatter and mm together; shape of `expected`.

    Below 5 mm only "too small" is recorded, and the mm part is held at its value there.
    """
    size = jnp.exp(jnp.maximum(expected, jnp.log(SMALLEST_MM)))
    return jnp.sqrt(p["scatter"] ** 2 + (p["reader"] / size) ** 2)


def _log_normal(expected: Array, scans: Scans, p: Values) -> Array:
    spread = scale(expected, p)
    z = (scans.log_size - expected) / spread
    density = -0.5 * z**2 - jnp.log(spread) - 0.5 * jnp.log(2 * jnp.pi) - scans.log_size
    return jnp.where(scans.censored, log_ndtr(z), density)


def _sample_log_normal(key: Array, expected: Array, day: Array, p: Values) -> Array:
    noise = jax.random.normal(key, day.shape, expected.dtype)
    return jnp.exp(expected + scale(expected, p) * noise)


def log_cdf_t4(z: Array) -> Array:
    """Log of the distribution function of Student's t with 4 degrees of freedom, any shape.

    With ``s = z / sqrt(4 + z^2)`` it is ``(1 + s)^2 (2 - s) / 4``; the lower tail is kept exact.
    """
    root = jnp.sqrt(4.0 + z**2)
    s = z / root
    upper = jnp.where(z < 0, 4.0 / (root * (root + jnp.abs(z))), 1.0 + s)
    return 2.0 * jnp.log(upper) + jnp.log(2.0 - s) - jnp.log(4.0)


def _student(expected: Array, scans: Scans, p: Values) -> Array:
    spread = scale(expected, p)
    z = (scans.log_size - expected) / spread
    density = jnp.log(0.375) - 2.5 * jnp.log1p(z**2 / 4.0) - jnp.log(spread) - scans.log_size
    return jnp.where(scans.censored, log_cdf_t4(z), density)


def _sample_student(key: Array, expected: Array, day: Array, p: Values) -> Array:
    noise = jax.random.t(key, 4.0, day.shape, expected.dtype)
    return jnp.exp(expected + scale(expected, p) * noise)


RESIDUALS: Mapping[str, Residual] = {
    one.name: one
    for one in (
        Residual(
            "lognormal",
            "log-normal scatter, independent between scans, left-censored at the limit",
            (SCATTER, READER), _log_normal, _sample_log_normal,
        ),
        Residual(
            "student_t",
            "Student-t scatter of the log size with 4 degrees of freedom, independent between "
            "scans, left-censored at the limit",
            (SCATTER, READER), _student, _sample_student,
        ),
    )
}  # fmt: skip


def residual(name: str) -> Residual:
    """Find a residual by name; ModelError lists the names if there is none."""
    if name not in RESIDUALS:
        raise ModelError(f"There is no residual {name!r}; known are {sorted(RESIDUALS)}.")
    return RESIDUALS[name]
