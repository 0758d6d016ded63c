"""Courses of many patients side by side, each with steps of its own length.

Patients queue, longest first, for a number of lanes that step together; a lane that has finished
a patient takes the next from the queue, so that no lane waits for another. A step is as long as
the error of `pdmodel.step` allows; the rest of a cell is always divided evenly, so that steps
stay the same for nearby values, and a gradient belongs to the value it comes with.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.step import MOMENTS, Forcing, apart, one_step
from pdmodel.task import Columns, Task

LANES = {"cpu": 128}
"""Most lanes by JAX backend: on a processor, enough to share the cost of starting an operation,
and few enough for what they hold (200 numbers each) to stay in the cache."""
FEWER = 32
"""Courses for each lane where only some are wanted, how many being unknown beforehand."""
MANY_LANES = 16_384
"""Most lanes elsewhere: an accelerator is filled by width."""
MOST_STEPS = 4096
SHORTEST_STEP = 1e-6
"""Days; a course that needs shorter steps, or more of them, has failed."""
NO_ERROR = 1e-10


class Cells(NamedTuple):
    """The time axes of patients, from `pdmodel.course`, as the lanes read them.

    Attributes
    ----------
    table : Array, shape (cells, 3 + actions * (2 + degree))
        Begin, length and record of each cell; then each action's impulse and powers.
    actions : dict of str to Array, each of shape ()
        In order of their names, as in `table`.
    first, last : Array of int, shape (patients,)
    queue : Array of int, shape (patients with cells,)
        Longest first.
    records : Array, shape (records,)
        As many as the patient with most of them has.
    tolerance : Array, shape ()
        Error of one step that is allowed, in log size.
    """

    table: Array
    actions: dict[str, Array]
    first: Array
    last: Array
    queue: Array
    records: Array
    tolerance: Array


class Lanes(NamedTuple):
    """What is carried from step to step; per lane unless said otherwise."""

    who: Array
    cell: Array
    at: Array  # days since the cell began
    wanted: Array  # length of the next step, days
    taken: Array  # steps so far
    state: State
    change: State  # of the state with each parameter, (parameters, lanes)
    waiting: Array  # () place in the queue
    records: Array  # (rows * records + 1, columns)
    steps: Array  # (rows + 1,), below 0 where the course failed


def forcing(cell: list[Array], at: Array, step: Array, names: tuple[str, ...]) -> Forcing:
    """Read the actions of a step from the polynomials of its cell."""
    moments: list[dict[str, Array]] = [{} for _ in MOMENTS]
    drift = {}
    width = (len(cell) - 3) // max(len(names), 1)
    a_length = apart(1.0 / cell[1])
    for i, name in enumerate(names):
        impulse, *power = cell[3 + i * width : 3 + (i + 1) * width]
        taken = jnp.where(at > 0.0, 0.0, impulse / step)
        for moment, x in zip(moments, MOMENTS, strict=True):
            moment[name] = _polynomial(power, (at + x * step) * a_length) - taken
        slope = [k * c for k, c in enumerate(power)][1:]
        drift[name] = _polynomial(slope, at * a_length) * a_length
    return tuple(moments), drift


def _polynomial(power: list[Array], x: Array) -> Array:
    *lower, total = power
    for c in reversed(lower):
        total = total * x + c
    return total


def joined_cells(cells: Cells, patients: int) -> Cells:
    """Make one of the cells of several sets of patients, stacked along a first axis."""
    sets, many, width = cells.table.shape

    def moved(numbers: Array, by: int) -> Array:
        return (numbers + by * jnp.arange(sets)[:, None]).ravel()

    return Cells(
        table=cells.table.reshape(-1, width),
        actions={name: place[0] for name, place in cells.actions.items()},
        first=moved(cells.first, many),
        last=moved(cells.last, many),
        queue=moved(cells.queue, patients),
        records=cells.records[0],
        tolerance=cells.tolerance[0],
    )


def _ranked(leaving: Array) -> tuple[Array, Array]:
    """Number the leaving lanes from 0, and count them."""
    lanes = jnp.arange(leaving.shape[0])
    word, bit = lanes // 32, jnp.uint32(1) << (lanes % 32).astype(jnp.uint32)
    bits = jnp.where(leaving, bit, jnp.uint32(0)).reshape(-1, min(32, leaving.shape[0]))
    words = jnp.sum(bits, axis=1, dtype=jnp.uint32)
    counts = lax.population_count(words).astype(int)
    before = jnp.cumsum(counts) - counts
    rank = lax.population_count(words[word] & (bit - jnp.uint32(1))).astype(int)
    return rank + before[word], jnp.sum(counts)


def _queued(
    task: Task, cells: Cells, count: int, wanted: Array | None
) -> tuple[Array, Array | int]:
    """Line up the rows that are wanted, with `count` behind them; and how many they are."""
    queue = cells.queue[:, None] * task.repeat + jnp.arange(task.repeat)[None, :]
    queue = queue.ravel()
    if wanted is None:
        return jnp.append(queue, count), queue.shape[0]
    asked = wanted[queue]
    place = jnp.where(asked, jnp.cumsum(asked) - 1, queue.shape[0])
    line = jnp.full(queue.shape[0] + 1, count).at[place].set(queue, mode="promise_in_bounds")
    return line.at[-1].set(count), jnp.sum(asked)


def lanes_for(rows: int) -> int:
    """Choose how many lanes serve `rows` courses."""
    most = LANES.get(jax.default_backend(), MANY_LANES)
    return min(most, 1 << max(rows - 1, 0).bit_length())


def march(
    task: Task, rows: Array, cells: Cells, wanted: Array | None = None
) -> tuple[Array, Array]:
    """Solve all courses, or those that are wanted.

    Parameters
    ----------
    task : Task
    rows : Array, shape (rows, parameters)
    cells : Cells
    wanted : Array of bool, shape (rows,), optional

    Returns
    -------
    records, steps : Array
        Shapes (rows, records, columns) and (rows,): how many steps were tried, below 0 where
        the course failed. Both are 0 of what is not wanted.
    """
    count, depth = rows.shape[0], cells.records.shape[0]
    queue, waiting = _queued(task, cells, count, wanted)
    lanes = lanes_for(count if wanted is None else -(-count // FEWER))
    padded = jnp.concatenate([rows, rows[:1]])

    def cells_of(who: Array) -> tuple[Array, Array]:
        patient = jnp.minimum(who, count - 1) // task.repeat
        return cells.first[patient], cells.last[patient]

    def seated(who: Array) -> tuple[State, State]:
        return task.pushed(lambda _, row: task.start(row), task.columns(padded[who]))

    def body(c: Lanes) -> Lanes:
        row = task.columns(padded[c.who])
        table = apart(cells.table[c.cell])
        cell = apart([table[:, k] for k in range(table.shape[1])])
        parts = jnp.maximum(jnp.ceil((cell[1] - c.at) / c.wanted - 1e-6), 1.0)
        step = (cell[1] - c.at) / parts
        state, change, good, wanted = _tried(task, cells, c, row, cell, step)
        taken, active = c.taken + 1, c.who < count
        lost = (taken >= MOST_STEPS) | (~good & (step < SHORTEST_STEP))
        lost, over = apart((lost, good & (parts < 1.5)))
        place = jnp.where(
            over & active & (cell[2] >= 0.0), c.who * depth + cell[2].astype(int), count * depth
        )
        entry = task.recorded(row, state, change)
        leaving = active & (lost | (over & (c.cell + 1 >= cells_of(c.who)[1])))
        rank, gone = _ranked(leaving)
        who = jnp.where(leaving, queue[jnp.minimum(c.waiting + rank, waiting)], c.who)
        first, first_change = seated(who)
        then = {
            "at": (0.0, jnp.where(over, 0.0, jnp.where(good, c.at + step, c.at))),
            "cell": (cells_of(who)[0], c.cell + over),
            "wanted": (jnp.inf, wanted),
            "taken": (0, taken),
        }
        return Lanes(
            who=who,
            state={k: jnp.where(leaving, first[k], state[k]) for k in state},
            change={k: jnp.where(leaving, first_change[k], change[k]) for k in change},
            waiting=c.waiting + gone,
            records=c.records.at[place].set(entry, mode="promise_in_bounds"),
            steps=c.steps.at[jnp.where(leaving, c.who, count)].set(
                jnp.where(lost, -taken, taken), mode="promise_in_bounds"
            ),
            **{k: jnp.where(leaving, *both) for k, both in then.items()},
        )

    who = queue[jnp.minimum(jnp.arange(lanes), waiting)]
    state, change = seated(who)
    width = jax.eval_shape(task.recorded, task.columns(padded[who]), state, change).shape[1]
    begin = Lanes(
        who=who,
        cell=cells_of(who)[0],
        at=jnp.zeros(lanes, rows.dtype),
        wanted=jnp.full(lanes, jnp.inf, rows.dtype),
        taken=jnp.zeros(lanes, int),
        state=state,
        change=change,
        waiting=jnp.minimum(lanes, waiting),
        records=jnp.zeros((count * depth + 1, width), rows.dtype),
        steps=jnp.zeros(count + 1, int),
    )
    end = lax.while_loop(lambda c: jnp.any(c.who < count), body, begin)
    return end.records[:-1].reshape(count, depth, width), end.steps[:-1]


def _tried(
    task: Task, cells: Cells, c: Lanes, row: Columns, cell: list[Array], step: Array
) -> tuple[State, State, Array, Array]:
    """Try one step: the state and its change after it, or as before if it was too long."""
    mechanism, names = task.mechanism, tuple(cells.actions)
    absent = {n: jnp.zeros_like(step) for n in mechanism.answers_to if n not in names}
    moments, drift = forcing(cell, c.at, step, names)
    moments, drift = tuple({**a, **absent} for a in moments), {**drift, **absent}
    now, step, moments, drift = apart((cell[0] + c.at, step, moments, drift))

    def move(state: State, row: Columns) -> tuple[State, Array]:
        def one(row: Columns, now: Array, step: Array, s: State, forcing: Forcing) -> tuple:
            moving = task.names[: task.directions]
            return one_step(mechanism, moving, now, step, s, task.values(row), forcing)

        return apart(task.batched(one, row, now, step, state, (moments, drift)))

    (moved, error), change = task.pushed(move, row, c.state, c.change)
    off = error / cells.tolerance
    sound = jnp.isfinite(off) & _allowed(mechanism, moved)
    good = sound & (off <= 1.0)
    factor = jnp.clip(0.9 / jnp.sqrt(jnp.sqrt(jnp.maximum(off, NO_ERROR))), 0.2, 5.0)
    good, wanted = apart((good, step * jnp.where(sound, factor, 0.2)))
    state = {k: jnp.where(good, moved[k], c.state[k]) for k in moved}
    changed = {k: jnp.where(good, change[0][k], c.change[k]) for k in c.change} if change else {}
    return state, changed, good, wanted


def _allowed(mechanism: Mechanism, s: Mapping[str, Array] | Actions) -> Array:
    """Whether every state that counts something is still at least 0."""
    good = jnp.ones_like(next(iter(s.values())), bool)
    for name in mechanism.positive:
        good = good & (s[name] >= 0.0)
    return good
