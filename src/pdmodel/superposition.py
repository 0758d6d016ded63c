"""How much of a drug is in the blood, as the sum of what is left of each dose, in closed form.

Clearance is constant here. Written for one patient, to be batched by `jax.vmap`. On one day
resets come first, then doses, then samples: a bolus is in the sample of its day whole.
"""

from math import inf
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from pdmodel.modes import Modes


class Doses(NamedTuple):
    """The doses of one patient as arrays; padded by doses of 0 mg and resets at infinity."""

    start: Array
    """(doses,), day."""
    amount: Array
    """(doses,), mg."""
    duration: Array
    """(doses,), days; 0 is a bolus."""
    interval: Array
    """(doses,), days between the doses that led to a steady state, 0 for none; or (0,) for none."""
    resets: Array
    """(resets,), days on which the body is emptied; (0,) for none."""


def superposed(modes: Modes, time: Array, doses: Doses) -> Array:
    """Add up what is left of the doses in the central compartment.

    Parameters
    ----------
    modes : Modes
        What a bolus falls into.
    time : (samples,) array
        Days, in any order.
    doses : Doses

    Returns
    -------
    (samples,) Array
        mg; 0 before the first dose.
    """
    since, duration = time[:, None] - doses.start[None, :], doses.duration[None, :]
    infusing = jnp.clip(since, 0.0, duration)
    ended = jnp.maximum(since - duration, 0.0)
    left = sum(
        share * jnp.exp(-rate * ended) * mean_decay(rate * infusing)
        for rate, share in zip(*modes, strict=True)
    )
    left = arrived(since, duration) * left
    if len(doses.interval):
        left += _steady_past(modes, since, duration, doses.interval[None, :])
    if len(doses.resets):
        left = jnp.where(still_there(time, doses), left, 0.0)
    return left @ doses.amount


def steady_past(modes: Modes, time: Array, doses: Doses) -> Array:
    """Add up what is left of the doses that led to steady states, without the listed ones, mg."""
    since = time[:, None] - doses.start[None, :]
    left = _steady_past(modes, since, doses.duration[None, :], doses.interval[None, :])
    return jnp.where(still_there(time, doses), left, 0.0) @ doses.amount


def _steady_past(modes: Modes, since: Array, duration: Array, interval: Array) -> Array:
    """Fraction of one dose that is left of all that were given before it, for ever."""
    steady = (interval > 0.0) & (since >= 0.0)
    every = jnp.where(interval > 0.0, interval, 1.0)
    last = jnp.maximum(since, 0.0) + every
    running = jnp.maximum(jnp.ceil((duration - last) / every), 0.0)
    ended = jnp.maximum(last + running * every - duration, 0.0)
    lasts = jnp.where(duration > 0.0, duration, 1.0)

    def of_mode(rate: Array) -> Array:
        series = rate * every * mean_decay(rate * every)  # 1 - exp(-rate * every)
        over = mean_decay(rate * duration) * jnp.exp(-rate * ended) / series
        whole = running * rate * every
        begun = running - jnp.exp(-rate * last) * whole * mean_decay(whole) / series
        return over + begun / (rate * lasts)

    left = sum(share * of_mode(rate) for rate, share in zip(*modes, strict=True))
    return jnp.where(steady, left, 0.0)


def mean_decay(x: Array) -> Array:
    """Mean of ``exp(-s x)`` over s from 0 to 1, ``(1 - exp(-x)) / x``, smooth at 0."""
    tiny = x < 1e-3
    series = 1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0 * (1.0 - x / 5.0)))
    safe = jnp.where(tiny, 1.0, x)
    return jnp.where(tiny, series, -jnp.expm1(-safe) / safe)


def arrived(since: Array, duration: Array) -> Array:
    """Fraction of a dose that is in the body some days after its start; a bolus is whole at 0."""
    lasts = duration > 0.0
    part = jnp.clip(since / jnp.where(lasts, duration, 1.0), 0.0, 1.0)
    return jnp.where(lasts, part, since >= 0.0)


def still_there(time: Array, doses: Doses) -> Array:
    """Tell at which times (rows) no reset has come since which doses (columns) began."""
    before = doses.resets[None, :] <= time[:, None]
    last = jnp.max(jnp.broadcast_to(doses.resets[None, :], before.shape), axis=1,
                   where=before, initial=-inf)  # fmt: skip
    return doses.start[None, :] >= last[:, None]
