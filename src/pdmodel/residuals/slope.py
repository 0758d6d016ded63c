"""A slope of the log size that comes and goes: an Ornstein-Uhlenbeck process beside the walk.

The slope v (1/day) forgets itself over `slope_days`: ``dv = -v / slope_days dt + noise``, with a
long-run sd `slope`. What is known of it after a scan is its mean, its variance and its covariance
with the log size, all of one normal.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from pdmodel.parameter import Values
from pdmodel.residuals.cut import Part

LEAST_VARIANCE = 1e-20
"""Of a slope, in 1/day^2."""


class Slope(NamedTuple):
    """What is known of the slope: mean, variance, and covariance with the log size."""

    mean: Array
    variance: Array
    covariance: Array


class Ride(NamedTuple):
    """What the slope does to log size and slope until the next scan.

    Attributes
    ----------
    reach, kept : Array
        By what the slope at the start is multiplied in the log size (days) and the slope after.
    noise : tuple of Array
        Variances of log size and slope, and their covariance, for a slope that is known.
    shift, variance : Array
        Mean and variance which the log size gains.
    after : Slope
        The slope then, and its covariance with the log size.
    """

    reach: Array
    kept: Array
    noise: tuple[Array, Array, Array]
    shift: Array
    variance: Array
    after: Slope


def begun(p: Values) -> Slope:
    """Give what is known of the slope before the first scan."""
    return Slope(p["slope_mean"], p["slope_start"] ** 2, jnp.zeros_like(p["slope_start"]))


def ride(slope: Slope, days: Array, p: Values) -> Ride:
    """Carry the slope over some days, exactly."""
    days = jnp.maximum(days, 1e-3)
    share = days / p["slope_days"]
    lost = -jnp.expm1(-share)
    kept, reach, long_run = 1.0 - lost, p["slope_days"] * lost, p["slope"] ** 2
    size = long_run * p["slope_days"] ** 2 * jnp.maximum(2.0 * share - 2.0 * lost - lost**2, 0.0)
    both = long_run * p["slope_days"] * lost**2
    own = long_run * lost * (1.0 + kept)
    return Ride(
        reach,
        kept,
        (size, own, both),
        p["trend"] * days + reach * slope.mean,
        2.0 * reach * slope.covariance + reach**2 * slope.variance + size,
        Slope(
            kept * slope.mean,
            kept**2 * slope.variance + own,
            kept * (slope.covariance + reach * slope.variance) + both,
        ),
    )


def known_after(
    slope: Slope, go: Ride, moved: Sequence[Part], still: Array, back: Part, first: Array,
    inside: Array, variance: Array, p: Values,
) -> Slope:  # fmt: skip
    """Learn about the slope from the reading of the size.

    Parameters
    ----------
    slope, go : Slope, Ride
        Before the step, and over it.
    moved : sequence of Part
        Of lesions that moved; the slope is regressed on the size within each.
    still : Array
        Probability of a lesion that is unchanged; its slope went on all the same.
    back : Part
        A lesion that came back, with a slope of its own.
    first, inside, variance : Array
        Of the log size: first moment about the origin, probability, and variance after the scan.
    p : mapping of str to Array
    """
    then = go.after
    mean = -back.weight * back.inside * then.mean
    square = still * then.variance
    square += back.weight * back.inside * (then.mean**2 + p["slope"] ** 2)
    cross = still * go.kept * slope.covariance - back.weight * back.first * then.mean
    for part in moved:
        regression = then.covariance / part.spread
        away = part.first - part.shift * part.inside
        cross_away = part.second - part.shift * part.first
        mean += part.weight * regression * away
        cross += part.weight * regression * cross_away
        rest = then.variance - regression * then.covariance
        square += part.weight * (
            rest * part.inside + regression**2 * (cross_away - part.shift * away)
        )
    mean = mean / inside
    covariance = cross / inside - first / inside * mean
    least = jnp.maximum(covariance**2 / variance, LEAST_VARIANCE)
    return Slope(then.mean + mean, jnp.maximum(square / inside - mean**2, least), covariance)
