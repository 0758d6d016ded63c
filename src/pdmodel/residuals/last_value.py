"""A random walk on the readings themselves: the forecast that every model has to beat.

The log of the next reading scatters around the last one, carried on by the mechanism's drift and
by a share `momentum` of the slope that was seen last, as Student's t with 4 degrees of freedom.
A lesion may vanish or come back as in `walk`; there is no lesion behind the readings, and nothing
that is each patient's own. At the first scan the size is the mechanism's, with a reader's error.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import log_ndtr, ndtr, ndtri

from pdmodel.parameter import Parameter, Values
from pdmodel.residual import ROUNDED_MM, SMALLEST_MM, Drawn, Residual, Scans
from pdmodel.residuals.filter import (
    STEP_DAYS,
    Reading,
    first_probability,
    reader_variance,
    readings,
    vanishing,
)
from pdmodel.residuals.paths import GONE_MM
from pdmodel.residuals.scatter import log_between, log_cdf_t4
from pdmodel.residuals.walk import OWN, WALK

SLOPE_DAYS = 14.0
"""Days over which a slope is taken at least, against rounding between scans that are close."""
SAME_DAY = 1e-6

STEP = Parameter(
    "step", "1", 0.08, "scale of the step between readings over 42 days, in their log",
    prior_sd=0.5, source=f"assumption: {OWN}",
)  # fmt: skip
MOMENTUM = Parameter(
    "momentum", "1", 0.3, "share of the slope seen last with which a size goes on",
    transform="logit", prior_sd=1.0, source="assumption: between none (0) and all of it (1)",
)  # fmt: skip
NONE = Parameter(
    "momentum", "1", 0.0, MOMENTUM.about, transform="identity",
    source="assumption: fixed; the last value is carried forward",
)  # fmt: skip
SHARED = tuple(
    q for q in WALK.parameters
    if q.name in {
        "time_power", "vanish", "vanish_slope", "comeback", "comeback_size", "comeback_sd",
        "reader_share", "reader_mm",
    }
)  # fmt: skip


class Last(NamedTuple):
    """What a series has come to.

    Attributes
    ----------
    log_size : Array
        Log of the last reading, rounded; of the limit where it was too small.
    small : Array
        Whether it was.
    slope : Array
        Seen last, beyond the mechanism's (1/day); 0 where a reading was too small.
    reading : Array
        As `log_size`, before rounding; of GONE_MM where the lesion has vanished.
    """

    log_size: Array
    small: Array
    slope: Array
    reading: Array


def _slope(rise: Array, days: Array, unseen: Array) -> Array:
    return jnp.where(unseen, 0.0, rise / jnp.maximum(days, SLOPE_DAYS))


def _centre(last: Last, drift: Array, days: Array, p: Values) -> tuple[Array, Array]:
    """Give middle and scale of the next log reading."""
    days = jnp.maximum(days, 1e-3)
    spread = p["step"] * (days / STEP_DAYS) ** (0.5 * p["time_power"])
    return last.log_size + drift + p["momentum"] * last.slope * days, spread


def _least_return(last: Last, p: Values) -> Array:
    """Give the size above which vanished lesions come back, as a standard normal."""
    edge = jnp.log(jnp.exp(last.log_size) + ROUNDED_MM)
    return (edge - jnp.log(p["comeback_size"])) / p["comeback_sd"]


def step_probability(last: Last, drift: Array, days: Array, edge: Reading, p: Values) -> Array:
    """Log probability of the next reading given those before."""
    middle, spread = _centre(last, drift, days, p)
    pv = vanishing(last.log_size, p)
    low, high = (edge.lower - middle) / spread, (edge.upper - middle) / spread
    seen = jnp.log1p(-pv) + log_between(log_cdf_t4, low, high)
    shrunk = jnp.logaddexp(jnp.log(pv), jnp.log1p(-pv) + log_cdf_t4(high))
    stays = -p["comeback"] * jnp.maximum(days, 1e-3)
    least = _least_return(last, p)
    low, high = (
        (x - jnp.log(p["comeback_size"])) / p["comeback_sd"] for x in (edge.lower, edge.upper)
    )
    back = jnp.log(-jnp.expm1(stays)) + log_between(log_ndtr, low, high) - log_ndtr(-least)
    return jnp.where(
        last.small,
        jnp.where(edge.censored, stays, back),
        jnp.where(edge.censored, shrunk, seen),
    )


def _series(expected: Array, scans: Scans) -> Last:
    """What the series has come to at each scan, (visits,)."""
    small = scans.censored
    rise, days = jnp.diff(scans.log_size) - jnp.diff(expected), jnp.diff(scans.day)
    slope = _slope(rise, days, small[1:] | small[:-1])
    reading = jnp.where(small, jnp.log(GONE_MM), scans.log_size)
    return Last(scans.log_size, small, jnp.append(jnp.zeros(1, slope.dtype), slope), reading)


def _log_density(expected: Array, scans: Scans, p: Values) -> Array:
    edges = readings(scans)
    first, later = (jax.tree.map(lambda x, s=s: x[s], edges) for s in (0, slice(1, None)))
    before = jax.tree.map(lambda x: x[:-1], _series(expected, scans))
    terms = step_probability(before, jnp.diff(expected), jnp.diff(scans.day), later, p)
    return jnp.append(first_probability(expected[0], first, p), terms)


def _read_as(reading: Array, slope: Array) -> Last:
    """Round a reading."""
    small = jnp.exp(reading) < SMALLEST_MM + ROUNDED_MM
    size = jnp.where(small, SMALLEST_MM, jnp.round(jnp.exp(reading)))
    return Last(jnp.log(size), small, slope, reading)


def step_on(key: Array, last: Last, drift: Array, days: Array, p: Values) -> Last:
    """Draw the next reading; on the same day it is the last one."""
    k1, k2, k3 = jax.random.split(key, 3)
    chance = jax.random.uniform(k1, (), drift.dtype)
    middle, spread = _centre(last, drift, days, p)
    moved = middle + spread * jax.random.t(k2, 4.0, (), drift.dtype)
    least = ndtr(_least_return(last, p))
    z = ndtri(least + (1.0 - least) * jax.random.uniform(k3, (), drift.dtype))
    back = jnp.log(p["comeback_size"]) + p["comeback_sd"] * z
    stays = chance < jnp.exp(-p["comeback"] * jnp.maximum(days, 1e-3))
    gone = jnp.where(last.small, stays, chance < vanishing(last.log_size, p))
    reading = jnp.where(last.small, back, moved)
    then = _read_as(jnp.where(gone, jnp.log(GONE_MM), reading), last.slope)
    rise = then.log_size - last.log_size - drift
    then = then._replace(slope=_slope(rise, days, last.small | then.small))
    return jax.tree.map(lambda old, new: jnp.where(days < SAME_DAY, old, new), last, then)


def _standing(
    key: Array, expected: Array, scans: Scans, visible: Array, day: Array, p: Values
) -> tuple[Last, Array, Array]:
    """What the series has come to at the last visible scan; drifts and days from there on."""
    count = scans.day.shape[0]
    seen = jnp.max(jnp.where(visible, jnp.arange(count), 0))
    last = jax.tree.map(lambda x: x[seen], _series(expected[:count], scans))
    error = jnp.sqrt(reader_variance(expected[0], p)) * jax.random.normal(key, (), expected.dtype)
    unread = _read_as(expected[0] + error, jnp.zeros_like(expected[0]))
    last = jax.tree.map(lambda a, b: jnp.where(visible[seen], a, b), last, unread)
    course = jnp.append(expected[seen], expected[count:])
    return last, jnp.diff(course), jnp.diff(jnp.append(scans.day[seen], day))


def _on(key: Array, last: Last, drift: Array, days: Array, p: Values) -> Last:
    """Simulate reading after reading; each of shape (days,)."""

    def step(last: Last, at: tuple) -> tuple[Last, Last]:
        key, drift, days = at
        then = step_on(key, last, drift, days, p)
        return then, then

    keys = jax.random.split(key, max(days.shape[0], 1))[: days.shape[0]]
    return lax.scan(step, last, (keys, drift, days))[1]


def _draw(
    key: Array, expected: Array, scans: Scans, visible: Array, day: Array, p: Values
) -> Drawn:
    k1, k2 = jax.random.split(key)
    last, drift, days = _standing(k1, expected, scans, visible, day, p)
    ahead = _on(k2, last, drift, days, p).reading
    seen = _series(expected[: scans.day.shape[0]], scans).reading
    return Drawn(jnp.concatenate([jnp.where(visible, seen, last.reading), ahead]), jnp.exp(ahead))


def _predictive(
    key: Array, expected: Array, scans: Scans, visible: Array, ahead: Scans, p: Values
) -> Array:
    k1, k2 = jax.random.split(key)
    last, drift, days = _standing(k1, expected, scans, visible, ahead.day, p)
    path = _on(k2, last, drift[:-1], days[:-1], p)
    path = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), last, path)
    return step_probability(path, drift, days, readings(ahead), p)


def _read(key: Array, latent: Array, p: Values) -> Array:
    del key, p
    return jnp.exp(latent)


LAST_VALUE = Residual(
    "last_value",
    "a random walk on the readings in Student-t steps, carried on by a share of the slope seen "
    "last; with vanished lesions, rounding to whole mm and left-censoring at the limit",
    (STEP, MOMENTUM, *SHARED), _log_density, _draw, _read, _predictive, carried=True,
)  # fmt: skip
LAST_VALUE_FLAT = replace(
    LAST_VALUE,
    name="last_value_flat",
    about="a random walk on the readings in Student-t steps around the last value; with vanished "
    "lesions, rounding to whole mm and left-censoring at the limit",
    parameters=(STEP, NONE, *SHARED),
)
