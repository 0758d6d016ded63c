"""The faster path, for mechanisms that declare a linear pair: two fixed grids, extrapolated.

An exponential midpoint step moves the pair by its exact exponential at the midpoint of the rest,
and the rest by the pair's exact mean; it is of second order, never unstable, and keeps the pair
non-negative. Each course is solved on its cells and on their halves: the two give an extrapolated
solution, and by their difference tell whether it may be used. Where it may not,
`pdmodel.lanes` solves the course.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from pdmodel.action import Actions
from pdmodel.errors import ModelError
from pdmodel.grids import Pairs, Track
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Values
from pdmodel.step import LARGE, apart
from pdmodel.task import Columns, Task

FEW = 32
"""Rows of one patient from which on they make blocks of their own, with one time axis."""


def restless(
    mechanism: Mechanism, time: Array, step: Array, s: State, p: Values, a: Actions
) -> Array:
    """Measure what happens within a step that both grids may miss; above 1 they prove nothing.

    It is the change within half a step: of the exchange times the step, or of the other state,
    as a log volume.
    """
    pair = mechanism.linear
    if pair is None:
        return jnp.zeros_like(step)
    middle = s | pair.flow(0.5 * step, s, {name: s[name] for name in pair.states}, p, a)
    now, then = pair.matrix(time, s, p, a), pair.matrix(time + 0.5 * step, middle, p, a)
    exchange = [
        jnp.abs(x - y) * step
        for before, after in zip(now, then, strict=True)
        for x, y in zip(before, after, strict=True)
    ]
    others = [jnp.abs(middle[n] - s[n]) for n in s if n not in pair.states]
    return jnp.max(jnp.stack([*exchange, *others]), axis=0)


def exponential_step(
    mechanism: Mechanism, time: Array, step: Array, s: State, p: Values, a: Actions
) -> State:
    """Move one patient by one step, exact in the linear pair; second order in the rest.

    Raises
    ------
    ModelError
        If the mechanism declares no linear pair.
    """
    pair = mechanism.linear
    if pair is None:
        raise ModelError(f"Mechanism {mechanism.name!r} declares no linear pair; use `one_step`.")
    first, second = pair.states
    here = {first: s[first], second: s[second]}
    middle = s | pair.flow(0.5 * step, s, here, p, a)
    now = time + 0.5 * step
    (minus_a, b), (c, minus_d) = pair.matrix(now, middle, p, a)
    s1, s2 = pair.inflow(now, middle, p, a)
    minus_a, b, c, minus_d, s1, s2 = apart((minus_a, b, c, minus_d, s1, s2))
    a_det = 1.0 / (minus_a * minus_d - b * c)
    rest1, rest2 = (b * s2 - minus_d * s1) * a_det, (c * s1 - minus_a * s2) * a_det
    w1, w2 = here[first] - rest1, here[second] - rest2
    mean, q = 0.5 * (minus_a + minus_d), 0.5 * (minus_a - minus_d)
    radius = jnp.sqrt(q * q + b * c + 1e-24)
    fast, slow = jnp.exp(step * (mean - radius)), jnp.exp(step * (mean + radius))
    even, odd = 0.5 * (slow + fast), -0.5 * slow * jnp.expm1(-2.0 * radius * step) / radius
    even, odd, w1, w2, q = apart((even, odd, w1, w2, q))
    v1 = even * w1 + odd * (q * w1 + b * w2)
    v2 = even * w2 + odd * (c * w1 - q * w2)
    v1, v2, w1, w2, rest1, rest2 = apart((v1, v2, w1, w2, rest1, rest2))
    d1, d2 = v1 - w1, v2 - w2  # A^-1 (exp(A h) - 1) w is the integral of the deviation
    i1, i2 = (minus_d * d1 - b * d2) * a_det, (minus_a * d2 - c * d1) * a_det
    average = {first: rest1 + i1 / step, second: rest2 + i2 / step}
    moved = pair.flow(step, s, average, p, a)
    return {first: jnp.maximum(rest1 + v1, 0.0), second: jnp.maximum(rest2 + v2, 0.0)} | moved


def extrapolated(task: Task, rows: Array, pairs: Pairs) -> tuple[Array, Array]:
    """Solve all courses on both grids.

    Returns
    -------
    records, good : Array
        Shapes (rows, records, columns) and (rows,): whether the grids agree.
    """
    patients = pairs.alone.steps.shape[0]
    if task.repeat == 1:
        blocks = (pairs.order, pairs.blocks)
        records, good = lax.map(
            lambda one: _block(task, rows[one[0]], one[1], pairs.agreeing), blocks
        )
        place = pairs.order.ravel()
        back = jnp.zeros(patients, int).at[place].set(jnp.arange(place.shape[0]))
        return records.reshape(-1, *records.shape[2:])[back], good.ravel()[back]
    each = rows.reshape(patients, task.repeat, rows.shape[1])
    if task.repeat < FEW:
        once = task._replace(repeat=1)
        draws = jnp.swapaxes(each, 0, 1)
        records, good = lax.map(lambda one: extrapolated(once, one, pairs), draws)
        records, good = jnp.swapaxes(records, 0, 1), jnp.swapaxes(good, 0, 1)
    else:
        records, good = lax.map(
            lambda one: _block(task, one[0], one[1], pairs.agreeing), (each, pairs.alone)
        )
    return records.reshape(rows.shape[0], *records.shape[2:]), good.ravel()


def _block(task: Task, rows: Array, track: Track, agreeing: Array) -> tuple[Array, Array]:
    """Solve one block; its records (lanes, records, columns), and whether the grids agree."""
    lanes = rows.shape[0]
    columns = task.columns(rows)
    steps = track.begin.shape[0]
    absent = {n: jnp.zeros(lanes, rows.dtype) for n in task.mechanism.answers_to}

    def along(values: Array, k: Array) -> Array:
        return jnp.broadcast_to(values[k], (lanes,))

    def move(both: tuple[State, State], row: Columns, at: tuple) -> tuple[State, State]:
        begin, step, acting = at

        def one(row: Columns, begin: Array, step: Array, s: State, a: Actions) -> State:
            return exponential_step(task.mechanism, begin, step, s, task.values(row), a)

        batched = partial(task.batched, one, row)
        fine, coarse = both
        mean = {k: 0.5 * (a[0] + a[1]) for k, a in acting.items()}
        halves = [absent | {k: a[i] for k, a in acting.items()} for i in (0, 1)]
        fine = apart(batched(begin, 0.5 * step, fine, halves[0]))
        fine = apart(batched(begin + 0.5 * step, 0.5 * step, fine, halves[1]))
        return fine, apart(batched(begin, step, coarse, absent | mean))

    def unrest(state: State, at: tuple) -> Array:
        def one(row: Columns, begin: Array, step: Array, s: State, a: Actions) -> Array:
            return restless(task.mechanism, begin, step, s, task.values(row), a)

        mean = {k: 0.5 * (a[0] + a[1]) for k, a in at[2].items()}
        return apart(task.batched(one, columns, at[0], at[1], state, absent | mean))

    def body(k: Array, carry: tuple) -> tuple:
        both, change, kept, most = carry
        at = (
            along(track.begin, k),
            along(track.length, k),
            {n: [along(half, k) for half in a] for n, a in track.actions.items()},
        )
        at = apart(at)
        most = jnp.maximum(most, unrest(both[1], at))
        both, change = task.pushed(lambda both, row: move(both, row, at), columns, both, change)
        now = (both, _beyond(*change) if change else {})
        keep = partial(lax.dynamic_update_index_in_dim, index=k + 1, axis=0)
        return both, change, jax.tree.map(keep, kept, now), most

    start, change = task.pushed(lambda _, row: task.start(row), columns)
    begun, changed = (start, start), (change, change) if change else {}
    kept = jax.tree.map(
        lambda x: jnp.zeros((steps + 1, *x.shape), x.dtype).at[0].set(x), (begun, change)
    )
    carry = (begun, changed, kept, jnp.zeros(lanes, rows.dtype))
    kept, most = lax.fori_loop(0, track.steps, body, carry)[2:]
    records, difference = _read(task, columns, track.record, kept)
    good = (difference <= agreeing) & (most <= 1.0)
    return records, good & jnp.all(jnp.isfinite(records), axis=(1, 2))


def _beyond(fine: State, coarse: State) -> State:
    """Extrapolate to steps of no length, the method being of second order."""
    return {name: (4.0 * fine[name] - coarse[name]) / 3.0 for name in fine}


def _read(task: Task, row: Columns, record: Array, kept: tuple) -> tuple[Array, Array]:
    """Extrapolate at the records, and compare the sizes of both grids."""
    record = jnp.broadcast_to(record, (record.shape[0], row[0].shape[0]))

    def picked(x: Array) -> Array:
        at = record if x.ndim == 2 else record[:, None, :]
        return jnp.take_along_axis(x, at, axis=0)

    (fine, coarse), change = jax.tree.map(picked, kept)
    state = _beyond(fine, coarse)
    state |= {name: jnp.maximum(state[name], 0.0) for name in task.mechanism.positive}

    def size(s: State) -> Array:
        def one(row: Columns, s: State) -> Array:
            return task.mechanism.log_size(s, task.values(row))

        return jax.vmap(lambda s: task.batched(one, row, s))(s)

    records = jax.vmap(task.recorded, in_axes=(None, 0, 0))(row, state, change)
    fine_size, coarse_size = size(fine), size(coarse)
    scale = jnp.maximum(1.0, jnp.abs(fine_size) / LARGE)
    return jnp.swapaxes(records, 0, 1), jnp.max(jnp.abs(fine_size - coarse_size) / scale, axis=0)
