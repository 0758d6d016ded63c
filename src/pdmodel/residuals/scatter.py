"""Scatter of each scan around the course by itself, independent between scans."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import log_ndtr

from pdmodel.parameter import Parameter, Values
from pdmodel.residual import ROUNDED_MM, SMALLEST_MM, Drawn, Residual, Scans

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


def _read_log_normal(key: Array, expected: Array, p: Values) -> Array:
    noise = jax.random.normal(key, expected.shape, expected.dtype)
    return jnp.exp(expected + scale(expected, p) * noise)


def _draw_log_normal(
    key: Array, expected: Array, scans: Scans, visible: Array, day: Array, p: Values
) -> Drawn:
    del scans, visible
    return Drawn(expected, _read_log_normal(key, expected[expected.shape[0] - day.shape[0] :], p))


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


def _read_student(key: Array, expected: Array, p: Values) -> Array:
    noise = jax.random.t(key, 4.0, expected.shape, expected.dtype)
    return jnp.exp(expected + scale(expected, p) * noise)


def _draw_student(
    key: Array, expected: Array, scans: Scans, visible: Array, day: Array, p: Values
) -> Drawn:
    del scans, visible
    return Drawn(expected, _read_student(key, expected[expected.shape[0] - day.shape[0] :], p))


def _predictive(log_cdf: Callable[[Array], Array]) -> Callable:
    """Make the exact probabilities of bins around a course from the log of a distribution."""

    def predictive(
        key: Array, expected: Array, scans: Scans, visible: Array, ahead: Scans, p: Values
    ) -> Array:
        del key, scans, visible
        course, size = expected[expected.shape[0] - ahead.day.shape[0] :], jnp.exp(ahead.log_size)
        spread = scale(course, p)
        high = (jnp.log(size + ROUNDED_MM) - course) / spread
        low = (jnp.log(jnp.maximum(size - ROUNDED_MM, 0.1)) - course) / spread
        return jnp.where(ahead.censored, log_cdf(high), log_between(log_cdf, low, high))

    return predictive


def log_between(log_cdf: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Log probability between two numbers of a law symmetric around 0, exact in both tails."""
    flip = low + high > 0.0
    low, high = jnp.where(flip, -high, low), jnp.where(flip, -low, high)
    upper = log_cdf(high)
    return upper + jnp.log1p(-jnp.exp(log_cdf(low) - upper))


LOGNORMAL = Residual(
    "lognormal",
    "log-normal scatter, independent between scans, left-censored at the limit",
    (SCATTER, READER), _log_normal, _draw_log_normal, _read_log_normal,
    _predictive(log_ndtr),
)  # fmt: skip
STUDENT_T = Residual(
    "student_t",
    "Student-t scatter of the log size with 4 degrees of freedom, independent between scans, "
    "left-censored at the limit",
    (SCATTER, READER), _student, _draw_student, _read_student,
    _predictive(log_cdf_t4),
)  # fmt: skip
