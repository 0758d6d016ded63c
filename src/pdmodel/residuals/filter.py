"""The filter of the walk: what is known of a lesion after each scan.

That is one normal beside the probability that the lesion is gone, with the exact mean and
variance under the normal before: of the log size alone, or of log size and slope together.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import logit

from pdmodel.parameter import Values
from pdmodel.residual import ROUNDED_MM, SMALLEST_MM, Scans
from pdmodel.residuals.cut import FAR, ROOT_2PI, between, cut
from pdmodel.residuals.slope import Slope, known_after, ride

STEP_DAYS = 42.0
"""Days between scans to which the volatility refers."""
USUAL = 0.08
"""Volatility at which a lesion is unchanged with the probability `unchanged`."""
LEAST = 1e-30
"""Least probability of a scan."""
LEAST_VARIANCE = 1e-10
"""Of a log size."""
KINDS = 4
"""Of steps: quiet, usual, wide, jump."""


class Known(NamedTuple):
    """What is known of a lesion after a scan: the probability that it is gone; else a normal."""

    gone: Array
    mean: Array
    variance: Array
    slope: Slope | None = None
    """Where the lesion has one."""


class Steps(NamedTuple):
    """Where a lesion may go until the next scan; kinds are quiet, usual, wide, jump."""

    weight: Array  # of the kinds, (4,)
    shift: Array
    sd: Array
    unchanged: Array  # probability, if not vanished
    stay: Array  # of a vanished lesion, the probability that it stays so


class Reading(NamedTuple):
    """One scan: edges of its interval (log mm), whether censored, and as the one before."""

    lower: Array
    upper: Array
    censored: Array
    same: Array


def readings(scans: Scans) -> Reading:
    """Give the interval of every scan, each of shape (visits,)."""
    size = jnp.exp(scans.log_size)
    lower = jnp.log(jnp.maximum(size - ROUNDED_MM, 0.1))
    before, was = jnp.roll(size, 1), jnp.roll(scans.censored, 1)
    close = ~scans.censored & ~was & (jnp.abs(size - before) < ROUNDED_MM)
    return Reading(
        jnp.where(scans.censored, -FAR, lower),
        jnp.log(size + ROUNDED_MM),
        scans.censored,
        close | (scans.censored & was),
    )


def steps(days: Array, p: Values) -> Steps:
    """Describe the steps over some days."""
    days = jnp.maximum(days, 1e-3)
    usual = p["volatility"] * (days / STEP_DAYS) ** (0.5 * p["time_power"])
    jump = -jnp.expm1(-p["jump"] * days)
    rest = (1.0 - jump) * (1.0 - p["quiet"])
    quiet = (1.0 - jump) * p["quiet"]
    zero = jnp.zeros_like(usual)
    easier = p["unchanged_slope"] * jnp.log(p["volatility"] / USUAL)
    return Steps(
        jnp.stack([quiet, rest * (1.0 - p["wide"]), rest * p["wide"], jump]),
        jnp.stack([zero, zero, zero, zero + p["jump_mean"]]),
        jnp.stack([usual * p["quiet_scale"], usual, usual * p["wide_scale"], zero + p["jump_sd"]]),
        jax.nn.sigmoid(logit(p["unchanged"]) - easier),
        jnp.exp(-p["comeback"] * days),
    )


def vanishing(log_size: Array, p: Values) -> Array:
    """Probability that a lesion of a size has vanished at the next scan."""
    return jax.nn.sigmoid(logit(p["vanish"]) - p["vanish_slope"] * (log_size - jnp.log(10.0)))


def reader_variance(log_size: Array, p: Values) -> Array:
    """Variance of the log of a reading; below 5 mm the error in mm is held at its value there."""
    size = jnp.exp(jnp.maximum(log_size, jnp.log(SMALLEST_MM)))
    return p["reader_share"] ** 2 + (p["reader_mm"] / size) ** 2


def updated(
    known: Known, drift: Array, days: Array, reading: Reading, p: Values
) -> tuple[Known, Array]:
    """Go on to the next scan: what is known after it, and its log probability before it."""
    go, origin, variance = steps(days, p), known.mean + drift, known.variance
    slope = None if known.slope is None else ride(known.slope, days, p)
    if slope is not None:
        origin, variance = origin + slope.shift, variance + slope.variance
    noise, pv = reader_variance(origin, p), vanishing(known.mean, p)
    lower, upper = reading.lower - origin, reading.upper - origin
    here = (1.0 - known.gone) * (1.0 - pv)
    moves = here * (1.0 - go.unchanged)
    moved = [
        cut(moves * go.weight[k], go.shift[k], variance + go.sd[k] ** 2, noise, lower, upper)
        for k in range(KINDS)
    ]
    where = jnp.log(p["comeback_size"])
    back = cut(
        known.gone * (1.0 - go.stay), where - origin, p["comeback_sd"] ** 2,
        reader_variance(where, p), lower, upper,
    )  # fmt: skip
    still, by = here * go.unchanged * reading.same, known.mean - origin
    inside, first, second = still, still * by, still * (by**2 + known.variance)
    for part in (*moved, back):
        inside += part.weight * part.inside
        first += part.weight * part.first
        second += part.weight * part.second
    gone = ((1.0 - known.gone) * pv + known.gone * go.stay) * reading.censored
    total, safe = inside + gone, jnp.maximum(inside, LEAST)
    mean = first / safe
    left = jnp.maximum(second / safe - mean**2, LEAST_VARIANCE)
    if known.slope is not None and slope is not None:
        learnt = known_after(known.slope, slope, moved, still, back, first, safe, left, p)
    else:
        learnt = None
    after = Known(gone / jnp.maximum(total, LEAST), origin + mean, left, learnt)
    return after, jnp.log(jnp.maximum(total, LEAST))


def begun(expected: Array, slope: Slope | None = None) -> Known:
    """Give what is known before the first scan is read: the size is the expected one."""
    zero = jnp.zeros_like(expected)
    return Known(zero, expected, zero + LEAST_VARIANCE, slope)


def first_probability(expected: Array, reading: Reading, p: Values) -> Array:
    """Log probability of the first scan: the reader's error and rounding."""
    sd = jnp.sqrt(reader_variance(expected, p))
    low, high = (reading.lower - expected) / sd, (reading.upper - expected) / sd
    return _log_inside(between(low, high), expected, sd, reading)


def _log_inside(inside: Array, expected: Array, sd: Array, reading: Reading) -> Array:
    """Log of the probability of an interval; of its density where it is too far away for that."""
    z = (jnp.clip(expected, reading.lower, reading.upper) - expected) / sd
    width = jnp.minimum(reading.upper - reading.lower, sd)
    far = -0.5 * z**2 + jnp.log(width / (sd * ROOT_2PI))
    return jnp.where(inside > LEAST, jnp.log(jnp.maximum(inside, LEAST)), far)


def first_read(
    expected: Array, spread: Array, reading: Reading, log_size: Array, p: Values
) -> tuple[Known, Array]:
    """Read the first scan when the size before it is normal on the log scale.

    Returns
    -------
    Known
        After the scan.
    Array
        Log probability of the scan.
    """
    noise = reader_variance(log_size, p)
    lower, upper = reading.lower - expected, reading.upper - expected
    part = cut(jnp.ones_like(expected), jnp.zeros_like(expected), spread**2, noise, lower, upper)
    near, safe = part.inside > LEAST, jnp.maximum(part.inside, LEAST)
    total = spread**2 + noise
    nearest = jnp.clip(expected, reading.lower, reading.upper) - expected
    mean = jnp.where(near, part.first / safe, spread**2 / total * nearest)
    left = jnp.where(near, part.second / safe - mean**2, spread**2 * noise / total)
    known = Known(jnp.zeros_like(mean), expected + mean, jnp.maximum(left, LEAST_VARIANCE))
    return known, _log_inside(part.inside, expected, jnp.sqrt(total), reading)


def filtered(
    expected: Array, scans: Scans, visible: Array, p: Values,
    slope: Slope | None = None, spread: Array | None = None,
) -> tuple[Known, Array]:  # fmt: skip
    """Run the filter: what is known after each scan, and log probabilities, visits first.

    Scans that are not visible change nothing, and have a log probability of 0. Where the lesion
    has a slope, `slope` is what is known of it before the first scan. With a `spread` the first
    size is not the expected one but normal around it on the log scale.
    """
    reading = readings(scans)
    first = jax.tree.map(lambda x: x[0], reading)
    known, start = begun(expected[0], slope), first_probability(expected[0], first, p)
    if spread is not None:
        read, start = first_read(expected[0], spread, first, scans.log_size[0], p)
        unread = known._replace(variance=known.variance + spread**2, slope=None)
        known = jax.tree.map(lambda new, old: jnp.where(visible[0], new, old), read, unread)
        known = known._replace(slope=slope)
    start = jnp.where(visible[0], start, 0.0)

    # computing a step anew on the way back is faster than keeping what it came from
    @partial(jax.checkpoint, prevent_cse=False)
    def step(known: Known, at: tuple) -> tuple[Known, tuple[Known, Array]]:
        drift, days, reading, seen = at
        after, log_probability = updated(known, drift, days, reading, p)
        after = jax.tree.map(lambda new, old: jnp.where(seen, new, old), after, known)
        return after, (after, jnp.where(seen, log_probability, 0.0))

    rest = jax.tree.map(lambda x: x[1:], reading)
    along = (jnp.diff(expected), jnp.diff(scans.day), rest, visible[1:])
    _, (later, terms) = lax.scan(step, known, along)
    every = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), known, later)
    return every, jnp.concatenate([start[None], terms])
