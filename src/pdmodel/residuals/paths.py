"""Draws of the walk: where a lesion was at its scans, given all of them, and where it goes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from pdmodel.parameter import Values
from pdmodel.residual import Drawn, Scans
from pdmodel.residuals.cut import between
from pdmodel.residuals.filter import (
    LEAST,
    LEAST_VARIANCE,
    Known,
    Reading,
    filtered,
    reader_variance,
    readings,
    steps,
    updated,
    vanishing,
)
from pdmodel.residuals.places import Place, drawn_place, origins
from pdmodel.residuals.slope import Slope, ride

GONE_MM = 1.0
"""What stands for the size of a lesion that has vanished."""
TINY = 1e-300


def backwards(
    key: Array, place: Place, known: Known, drift: Array, days: Array, reading: Reading, p: Values
) -> Place:
    """Draw where a lesion was at a scan, given where it is at the next and what was known."""
    go = steps(days, p)
    alive, pv = 1.0 - known.gone, vanishing(known.mean, p)
    k1, k2, k3 = jax.random.split(key, 3)
    to = place.log_size
    sd = jnp.sqrt(reader_variance(to, p))
    read = between((reading.lower - to) / sd, (reading.upper - to) / sd)
    read = jnp.log(jnp.maximum(read, LEAST))
    moved = jnp.log(alive * (1.0 - pv) * (1.0 - go.unchanged) * go.weight + TINY)
    still = jnp.log(alive * (1.0 - pv) * go.unchanged * reading.same + TINY)
    back = jnp.log(known.gone * (1.0 - go.stay) + TINY)
    origin = origins(place, known, drift, days, go, p)
    weight = jnp.concatenate([moved + read, still[None], (back + read)[None]])
    was_gone = jnp.log(jnp.stack([alive * pv + TINY, known.gone * go.stay + TINY]))
    which = jax.random.categorical(k1, weight + origin.log_density)
    from_gone = jax.random.categorical(k1, was_gone)
    returned = which == len(weight) - 1
    here = origin.drawn(k2, jnp.minimum(which, len(weight) - 2))
    elsewhere = place.gone | returned
    before = jax.tree.map(lambda a, b: jnp.where(elsewhere, a, b), drawn_place(k3, known), here)
    return before._replace(gone=jnp.where(place.gone, from_gone == 1, returned))


class Ahead(NamedTuple):
    """A lesion and its last reading (log mm; that of GONE_MM is too small)."""

    place: Place
    reading: Array


def forwards(key: Array, now: Ahead, drift: Array, days: Array, p: Values) -> Ahead:
    """Draw where a lesion is at the next scan, and how it is read; where no time passes, it stays.

    So a course on which nothing was seen yet begins with a reading of where it begins, as the
    likelihood of a first scan has it.
    """
    passes = days > 0.0
    go, here = steps(days, p), now.place.log_size
    k1, k2, k3, k4 = jax.random.split(key, 4)
    chance = jax.random.uniform(k1, (3,))
    vanishes = passes & (chance[0] < vanishing(here, p))
    stays = chance[0] < go.stay
    still = passes & ~now.place.gone & ~vanishes & (chance[1] < go.unchanged)
    kind = jax.random.categorical(k2, jnp.log(go.weight))
    z = jax.random.normal(k3, (2,), here.dtype)
    moved = here + drift + go.shift[kind] + go.sd[kind] * z[0]
    slope = now.place.slope
    if slope is not None:
        more, slope = _ridden(jax.random.fold_in(k3, 1), slope, days, p)
        slope = jnp.where(now.place.gone, p["slope"] * z[1], slope)
        moved += more
    moved = jnp.where(passes, moved, here)
    back = jnp.log(p["comeback_size"]) + p["comeback_sd"] * z[0]
    log_size = jnp.where(now.place.gone, back, jnp.where(still, here, moved))
    gone = jnp.where(now.place.gone, stays, vanishes)
    error = jnp.sqrt(reader_variance(log_size, p)) * jax.random.normal(k4, (), here.dtype)
    fresh = jnp.where(gone, jnp.log(GONE_MM), log_size + error)
    return Ahead(Place(gone, log_size, slope), jnp.where(still, now.reading, fresh))


def _ridden(key: Array, slope: Array, days: Array, p: Values) -> tuple[Array, Array]:
    """Draw what a slope adds to the log size, and the slope then."""
    nothing = jnp.zeros_like(slope)
    over = ride(Slope(slope, nothing, nothing), days, p)
    z = jax.random.normal(key, (2,), slope.dtype)
    size, own, both = over.noise
    sd = jnp.sqrt(jnp.maximum(size, TINY))
    rest = jnp.sqrt(jnp.maximum(own - (both / sd) ** 2, 0.0))
    return over.shift + sd * z[0], over.after.mean + both / sd * z[0] + rest * z[1]


def _last_seen(
    end: Place, expected: Array, scans: Scans, visible: Array, day: Array
) -> tuple[Ahead, Array, Array]:
    """Where a lesion and its last reading are; drifts and days of the steps from there on."""
    count = scans.day.shape[0]
    seen = jnp.max(jnp.where(visible, jnp.arange(count), 0))
    read = jnp.where(scans.censored[seen], jnp.log(GONE_MM), scans.log_size[seen])
    read = jnp.where(visible[seen], read, end.log_size)
    from_day = jnp.concatenate([scans.day[seen][None], day])
    course = jnp.concatenate([expected[seen][None], expected[count:]])
    return Ahead(end, read), jnp.diff(course), jnp.diff(from_day)


def _on(key: Array, now: Ahead, drift: Array, days: Array, p: Values) -> Ahead:
    """Simulate visit after visit; each of shape (days,)."""

    def step(now: Ahead, at: tuple) -> tuple[Ahead, Ahead]:
        key, drift, days = at
        then = forwards(key, now, drift, days, p)
        return then, then

    keys = jax.random.split(key, max(days.shape[0], 1))[: days.shape[0]]
    return lax.scan(step, now, (keys, drift, days))[1]


def draw(
    key: Array, expected: Array, scans: Scans, visible: Array, day: Array, p: Values,
    slope: Slope | None = None, spread: Array | None = None,
) -> Drawn:  # fmt: skip
    """Filter forwards, draw backwards over the scans, and simulate on from the last."""
    count = scans.day.shape[0]
    known, _ = filtered(expected[:count], scans, visible, p, slope, spread)
    k1, k2, k3 = jax.random.split(key, 3)
    end = drawn_place(k1, jax.tree.map(lambda x: x[-1], known))

    def back(place: Place, at: tuple) -> tuple[Place, Place]:
        key, known, drift, days, reading, seen = at
        before = backwards(key, place, known, drift, days, reading, p)
        before = jax.tree.map(lambda new, old: jnp.where(seen, new, old), before, place)
        return before, before

    earlier = jax.tree.map(lambda x: x[:-1], known)
    later = jax.tree.map(lambda x: x[1:], readings(scans))
    keys = jax.random.split(k2, max(count - 1, 1))[: count - 1]
    along = (
        keys, earlier, jnp.diff(expected[:count]), jnp.diff(scans.day), later, visible[1:],
    )  # fmt: skip
    _, places = lax.scan(back, end, along, reverse=True)
    places = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), places, end)
    now, drift, days = _last_seen(end, expected, scans, visible, day)
    ahead = _on(k3, now, drift, days, p)
    every = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), places, ahead.place)
    latent = jnp.where(every.gone, jnp.log(GONE_MM), every.log_size)
    return Drawn(latent, jnp.exp(ahead.reading))


def predictive(
    key: Array, expected: Array, scans: Scans, visible: Array, ahead: Scans, p: Values,
    slope: Slope | None = None,
) -> Array:  # fmt: skip
    """Log probability of each later scan given those that are visible, (days,); one draw.

    That of the first is the filter's. A later one has that of one step from a drawn path, place
    and last reading at the scan before it.
    """
    count = scans.day.shape[0]
    known, _ = filtered(expected[:count], scans, visible, p, slope)
    last = jax.tree.map(lambda x: x[-1], known)
    k1, k2 = jax.random.split(key)
    now, drift, days = _last_seen(drawn_place(k1, last), expected, scans, visible, ahead.day)
    path = _on(k2, now, drift[:-1], days[:-1], p)
    path = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), now, path)
    spread = jnp.full_like(drift, LEAST_VARIANCE)
    nothing = jnp.zeros_like(drift)
    held = None if path.place.slope is None else Slope(path.place.slope, nothing, nothing)
    places = Known(path.place.gone.astype(drift.dtype), path.place.log_size, spread, held)
    # what is known before the first of them is no single place
    places = jax.tree.map(lambda a, b: a.at[0].set(b), places, last)
    edges = readings(ahead)
    same = (path.reading > edges.lower) & (path.reading < edges.upper)
    edges = edges._replace(same=same)
    step = jax.vmap(lambda known, drift, days, edge: updated(known, drift, days, edge, p)[1])
    return step(places, drift, days, edges)
