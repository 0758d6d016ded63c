"""Draws of the walk: where a lesion was at its scans, given all of them, and where it goes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from pdmodel.parameter import Values
from pdmodel.residual import Drawn, Scans
from pdmodel.residuals.filter import (
    FAR,
    LEAST,
    Known,
    Reading,
    between,
    filtered,
    reader_variance,
    readings,
    steps,
    vanishing,
)

GONE_MM = 1.0
"""What stands for the size of a lesion that has vanished."""
TINY = 1e-300


class Place(NamedTuple):
    """Where a lesion is."""

    gone: Array
    log_size: Array


def _normal_log(x: Array, mean: Array, variance: Array) -> Array:
    return -0.5 * (x - mean) ** 2 / variance - 0.5 * jnp.log(variance)


def backwards(
    key: Array, place: Place, known: Known, drift: Array, days: Array, reading: Reading, p: Values
) -> Place:
    """Draw where a lesion was at a scan, given where it is at the next and what was known."""
    go = steps(days, p)
    alive, pv = 1.0 - known.gone, vanishing(known.mean, p)
    k1, k2 = jax.random.split(key)
    to = place.log_size
    sd = jnp.sqrt(reader_variance(to, p))
    read = between(
        jnp.clip((reading.lower - to) / sd, -FAR, FAR),
        jnp.clip((reading.upper - to) / sd, -FAR, FAR),
    )
    read = jnp.log(jnp.maximum(read, LEAST))
    mean = known.mean + drift + go.shift
    spread = known.variance + go.sd**2
    moved = jnp.log(alive * (1.0 - pv) * (1.0 - go.unchanged) * go.weight + TINY)
    still = jnp.log(alive * (1.0 - pv) * go.unchanged * reading.same + TINY)
    back = jnp.log(known.gone * (1.0 - go.stay) + TINY)
    ret = _normal_log(to, jnp.log(p["comeback_size"]), p["comeback_sd"] ** 2)
    options = jnp.concatenate([
        moved + read + _normal_log(to, mean, spread),
        (still + _normal_log(to, known.mean, known.variance))[None],
        (back + read + ret)[None],
    ])  # fmt: skip
    was_gone = jnp.log(jnp.stack([alive * pv + TINY, known.gone * go.stay + TINY]))
    which = jax.random.categorical(k1, options)
    from_gone = jax.random.categorical(k1, was_gone)
    z = jax.random.normal(k2, to.shape, to.dtype)
    kind = jnp.minimum(which, 3)
    gain = known.variance / spread[kind]
    smooth = known.mean + gain * (to - mean[kind])
    smooth += jnp.sqrt(known.variance * (1.0 - gain)) * z
    prior = known.mean + jnp.sqrt(known.variance) * z
    alive_now = jnp.where(which <= 3, smooth, jnp.where(which == 4, to, prior))
    return Place(
        jnp.where(place.gone, from_gone == 1, which == 5),
        jnp.where(place.gone, prior, alive_now),
    )


class Ahead(NamedTuple):
    """A lesion and its last reading (log mm; -30 is too small)."""

    place: Place
    reading: Array


def forwards(key: Array, now: Ahead, drift: Array, days: Array, p: Values) -> Ahead:
    """Draw where a lesion is at the next scan, and how it is read."""
    go, here = steps(days, p), now.place.log_size
    k1, k2, k3, k4 = jax.random.split(key, 4)
    chance = jax.random.uniform(k1, (3,))
    vanishes = chance[0] < vanishing(here, p)
    stays = chance[0] < go.stay
    still = ~now.place.gone & ~vanishes & (chance[1] < go.unchanged)
    kind = jax.random.categorical(k2, jnp.log(go.weight))
    z = jax.random.normal(k3, (2,), here.dtype)
    moved = here + drift + go.shift[kind] + go.sd[kind] * z[0]
    back = jnp.log(p["comeback_size"]) + p["comeback_sd"] * z[0]
    log_size = jnp.where(now.place.gone, back, jnp.where(still, here, moved))
    gone = jnp.where(now.place.gone, stays, vanishes)
    error = jnp.sqrt(reader_variance(log_size, p)) * jax.random.normal(k4, (), here.dtype)
    fresh = jnp.where(gone, jnp.log(GONE_MM), log_size + error)
    return Ahead(Place(gone, log_size), jnp.where(still, now.reading, fresh))


def draw(key: Array, expected: Array, scans: Scans, visible: Array, day: Array, p: Values) -> Drawn:
    """Filter forwards, draw backwards over the scans, and simulate on from the last."""
    count = scans.day.shape[0]
    known, _ = filtered(expected[:count], scans, visible, p)
    k1, k2, k3, k4 = jax.random.split(key, 4)
    last = jax.tree.map(lambda x: x[-1], known)
    z = jax.random.normal(k1, (), expected.dtype)
    end = Place(jax.random.uniform(k2) < last.gone, last.mean + jnp.sqrt(last.variance) * z)
    reading = readings(scans)

    def back(place: Place, at: tuple) -> tuple[Place, Place]:
        key, known, drift, days, reading, seen = at
        before = backwards(key, place, known, drift, days, reading, p)
        before = jax.tree.map(lambda new, old: jnp.where(seen, new, old), before, place)
        return before, before

    earlier = jax.tree.map(lambda x: x[:-1], known)
    later = jax.tree.map(lambda x: x[1:], reading)
    keys = jax.random.split(k3, max(count - 1, 1))[: count - 1]
    along = (
        keys, earlier, jnp.diff(expected[:count]), jnp.diff(scans.day), later, visible[1:],
    )  # fmt: skip
    _, places = lax.scan(back, end, along, reverse=True)
    places = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), places, end)

    seen = jnp.max(jnp.where(visible, jnp.arange(count), 0))
    read = jnp.where(scans.censored[seen], jnp.log(GONE_MM), scans.log_size[seen])
    read = jnp.where(visible[seen], read, end.log_size)
    from_day = jnp.concatenate([scans.day[seen][None], day])
    course = jnp.concatenate([expected[seen][None], expected[count:]])

    def on(now: Ahead, at: tuple) -> tuple[Ahead, Ahead]:
        key, drift, days = at
        then = forwards(key, now, drift, days, p)
        return then, then

    keys = jax.random.split(k4, max(day.shape[0], 1))[: day.shape[0]]
    _, ahead = lax.scan(on, Ahead(end, read), (keys, jnp.diff(course), jnp.diff(from_day)))
    every = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), places, ahead.place)
    latent = jnp.where(every.gone, jnp.log(GONE_MM), every.log_size)
    return Drawn(latent, jnp.exp(ahead.reading))
