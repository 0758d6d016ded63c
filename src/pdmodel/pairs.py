"""The faster path, for mechanisms that declare a linear pair: two fixed grids, extrapolated.

An exponential midpoint step moves the pair by its exact exponential at the midpoint of the rest,
and the rest by the pair's exact mean; it is of second order, never unstable, and keeps the pair
non-negative. Each course is solved on its cells and on their halves: the two give an extrapolated
solution, and by their difference tell whether it may be used. Where it may not,
`pdmodel.lanes` solves the course.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pdmodel.action import Actions
from pdmodel.course import Courses
from pdmodel.errors import ModelError
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Values
from pdmodel.step import LARGE, apart
from pdmodel.task import Columns, Task

BLOCK = 64
"""Courses that step side by side: enough to fill vector units, few enough for the cache (22
steps of 64 courses with their sensitivities are 135 kB)."""
FEW = 32
"""Rows of one patient from which on they make blocks of their own, with one time axis."""


class Track(NamedTuple):
    """Time axes of courses side by side, or one for all.

    Attributes
    ----------
    begin, length : Array, shape (steps, courses)
        Day on which each step of the coarse grid begins, and its days.
    actions : dict of str to Array, each of shape (2, steps, courses)
        Mean strength of each action on the halves of each step.
    steps : Array of int, shape ()
        Steps that the longest course needs.
    record : Array of int, shape (records, courses)
        Step at whose end each record is made, counted from 1; 0 is the beginning.
    """

    begin: Array
    length: Array
    actions: dict[str, Array]
    steps: Array
    record: Array


class Pairs(NamedTuple):
    """The fixed grids of patients, padded to a common length.

    Attributes
    ----------
    alone : Track
        One patient each, with a leading axis of patients.
    blocks : Track
        Patients with alike numbers of steps side by side, with a leading axis of blocks.
    order : Array of int, shape (blocks, courses)
        Which patient stands where in the blocks; the last repeats one.
    agreeing : Array, shape ()
        Difference of log size between the grids up to which the extrapolation may be used.
    """

    alone: Track
    blocks: Track
    order: Array
    agreeing: Array


def paired(courses: Courses, longest: float, agreeing: float) -> Pairs:
    """Cut the cells of courses into steps of at most `longest` days."""
    parts = np.maximum(np.ceil(courses.length / longest - 1e-9), 1).astype(int)
    ends = np.cumsum(parts)
    some = courses.last > courses.first
    first = np.where(some, (ends - parts)[np.minimum(courses.first, len(parts) - 1)], 0)
    steps = np.where(some, ends[courses.last - 1] - first, 0)
    cell = np.repeat(np.arange(len(parts)), parts)
    place, share = np.arange(len(cell)) - (ends - parts)[cell], 1.0 / parts[cell]
    begin = courses.begin[cell] + place * share * courses.length[cell]
    slot = np.where(place == parts[cell] - 1, courses.slot[cell], -1)
    index = np.minimum(first[:, None] + np.arange(max(1, steps.max())), len(cell) - 1)
    record = np.zeros((len(steps), courses.read.max(initial=0) + 1), int)
    inside = np.arange(index.shape[1]) < steps[:, None]
    patient, step = np.nonzero(inside & (slot[index] >= 0))
    record[patient, slot[index[patient, step]]] = step + 1
    length = share * courses.length[cell]
    actions = {name: _means(a[cell], place, share, length) for name, a in courses.actions.items()}
    axes: Any = (
        begin[index][:, :, None],
        length[index][:, :, None],
        {name: np.moveaxis(mean[index], 2, 1)[..., None] for name, mean in actions.items()},
        steps,
        record[:, :, None],
    )
    alone = Track(*axes)
    order = np.argsort(steps, kind="stable")
    spare = -len(order) % BLOCK
    order = np.append(order, order[-1:].repeat(spare)).reshape(-1, BLOCK)
    return Pairs(
        jax.tree.map(_handed, alone),
        jax.tree.map(lambda one: _handed(_side_by_side(one, order)), alone),
        jnp.asarray(order),
        jnp.array(agreeing, float),
    )


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


def joined_pairs(pairs: Pairs) -> Pairs:
    """Make one of several sets of grids, stacked along a first axis."""
    alone = jax.tree.map(lambda one: one.reshape(-1, *one.shape[2:]), pairs.alone)
    order = jnp.argsort(alone.steps)
    order = jnp.append(order, jnp.repeat(order[-1:], -len(order) % BLOCK)).reshape(-1, BLOCK)

    blocks = jax.tree.map(lambda one: _side_by_side(one, order), alone)
    return Pairs(alone, blocks, order, pairs.agreeing[0])


def _side_by_side(values: Any, order: Any) -> Any:
    """Put patients next to each other on the last axis, in blocks; of steps, take the most."""
    if values.ndim == 1:
        return values[order].max(axis=1)
    xp = np if isinstance(values, np.ndarray) else jnp
    return xp.moveaxis(values[order][..., 0], 1, -1)


def _handed(values: np.ndarray) -> Array:
    return jnp.asarray(values, float if values.dtype.kind == "f" else int)


def _means(
    described: np.ndarray, place: np.ndarray, share: np.ndarray, length: np.ndarray
) -> np.ndarray:
    """Mean of an action on both halves of steps, (steps, 2)."""
    powers = np.arange(1, described.shape[1])

    def area(x: np.ndarray) -> np.ndarray:
        return np.sum(described[:, 1:] / powers * x[:, None] ** powers, axis=1)

    at = [area((place + part) * share) for part in (0.0, 0.5, 1.0)]
    means = np.diff(np.stack(at, axis=1), axis=1) / (0.5 * share)[:, None]
    means[:, 0] -= np.where(place == 0, described[:, 0], 0.0) / (0.5 * length)
    return means


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
