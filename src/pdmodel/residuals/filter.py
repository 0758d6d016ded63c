"""The filter of the walk: what is known of a lesion after each scan.

That is one normal beside the probability that the lesion is gone, with the exact mean and
variance under the normal before.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import erfc, logit

from pdmodel.parameter import Values
from pdmodel.residual import SMALLEST_MM, Scans

STEP_DAYS = 42.0
"""Days between scans to which the volatility refers."""
USUAL = 0.08
"""Volatility at which a lesion is unchanged with the probability `unchanged`."""
ROUNDED_MM = 0.5
"""Half of the millimetre to which sizes are rounded."""
LEAST = 1e-30
"""Least probability of a scan."""
FAR = 30.0


class Known(NamedTuple):
    """What is known of a lesion after a scan: the probability that it is gone; else a normal."""

    gone: Array
    mean: Array
    variance: Array


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


def between(low: Array, high: Array) -> Array:
    """Probability of a standard normal between two numbers, with small ones kept exact."""
    flip = low + high > 0.0
    low, high = jnp.where(flip, -high, low), jnp.where(flip, -low, high)
    root = jnp.sqrt(0.5)
    return 0.5 * (erfc(-root * high) - erfc(-root * low))


def _bell(z: Array) -> Array:
    return jnp.exp(-0.5 * z**2) * 0.3989422804014327


def _cut(
    mean: Array, prior: Array, noise: Array, reading: Reading, origin: Array
) -> tuple[Array, Array, Array]:
    """Probability of an interval, and moments about `origin` of L within it, not normalised."""
    total = jnp.sqrt(prior + noise)
    low, high = (reading.lower - mean) / total, (reading.upper - mean) / total
    low, high = jnp.clip(low, -FAR, FAR), jnp.clip(high, -FAR, FAR)
    inside = between(low, high)
    at_low, at_high = _bell(low), _bell(high)
    gain = prior / (prior + noise)
    away = mean - origin
    first = gain * total * (at_low - at_high)
    second = prior * (1.0 - gain) * inside
    second += (gain * total) ** 2 * (inside - (high * at_high - low * at_low))
    return inside, away * inside + first, away**2 * inside + 2.0 * away * first + second


def updated(
    known: Known, drift: Array, days: Array, reading: Reading, p: Values
) -> tuple[Known, Array]:
    """Go on to the next scan: what is known after it, and its log probability before it."""
    go, origin = steps(days, p), known.mean + drift
    noise = reader_variance(origin, p)
    alive, pv = 1.0 - known.gone, vanishing(known.mean, p)
    moved = alive * (1.0 - pv) * (1.0 - go.unchanged) * go.weight
    cut = _cut(origin + go.shift, known.variance + go.sd**2, noise, reading, origin)
    inside, first, second = (jnp.sum(moved * part) for part in cut)
    still = alive * (1.0 - pv) * go.unchanged * reading.same
    inside, first = inside + still, first - still * drift
    second = second + still * (drift**2 + known.variance)
    back = known.gone * (1.0 - go.stay)
    where = jnp.log(p["comeback_size"])
    fresh = _cut(where, p["comeback_sd"] ** 2, reader_variance(where, p), reading, origin)
    inside, first, second = (
        x + back * part for x, part in zip((inside, first, second), fresh, strict=True)
    )
    gone = (alive * pv + known.gone * go.stay) * reading.censored
    total = inside + gone
    safe = jnp.maximum(inside, LEAST)
    mean = first / safe
    after = Known(
        gone / jnp.maximum(total, LEAST),
        origin + mean,
        jnp.maximum(second / safe - mean**2, 1e-10),
    )
    return after, jnp.log(jnp.maximum(total, LEAST))


def begun(expected: Array) -> Known:
    """What is known before the first scan is read: the size is the expected one."""
    return Known(jnp.zeros_like(expected), expected, jnp.zeros_like(expected) + 1e-10)


def first_probability(expected: Array, reading: Reading, p: Values) -> Array:
    """Log probability of the first scan: the reader's error and rounding."""
    sd = jnp.sqrt(reader_variance(expected, p))
    low, high = (reading.lower - expected) / sd, (reading.upper - expected) / sd
    # as a density where the interval is far away, whose probability would be lost
    inside = between(jnp.clip(low, -FAR, FAR), jnp.clip(high, -FAR, FAR))
    middle = jnp.clip(expected, reading.lower, reading.upper)
    z = (middle - expected) / sd
    width = jnp.minimum(reading.upper - reading.lower, sd)
    far = -0.5 * z**2 + jnp.log(0.3989422804014327 * width / sd)
    return jnp.where(inside > LEAST, jnp.log(jnp.maximum(inside, LEAST)), far)


def filtered(expected: Array, scans: Scans, visible: Array, p: Values) -> tuple[Known, Array]:
    """Run the filter: what is known after each scan, and log probabilities, visits first.

    Scans that are not visible change nothing, and have a log probability of 0.
    """
    reading = readings(scans)
    first = jax.tree.map(lambda x: x[0], reading)
    known = begun(expected[0])
    start = jnp.where(visible[0], first_probability(expected[0], first, p), 0.0)

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
