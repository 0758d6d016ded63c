"""The only integrator: courses of many patients at once, read at their visits.

`pdmodel.pairs` moves those whose mechanism declares a structure that makes it fast, as far as
that is accurate enough; `pdmodel.lanes` moves all others. Gradients are forward sensitivities,
carried along with the solution: with a handful of free parameters they cost less than an adjoint,
and nothing is stored. Under `jax.vmap` draws and patients stand in one queue.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from beartype import beartype
from beartype.vale import IsInstance
from jax import Array
from jax.custom_batching import custom_vmap
from jax.typing import ArrayLike
from jaxtyping import Num, PyTree, jaxtyped

from pdmodel.course import Courses
from pdmodel.grids import Pairs, joined_pairs, paired, roomy
from pdmodel.lanes import Cells, joined_cells, march
from pdmodel.mechanism import Mechanism, State
from pdmodel.pairs import extrapolated
from pdmodel.parameter import Values
from pdmodel.step import dependence
from pdmodel.task import Task

OfPatients = PyTree[Num[ArrayLike, "#{blocks.patients}"] | Num[ArrayLike, ""]]
"""Values that are each a number or of shape (patients,) or (1,), checked by `solve`."""


class Blocks(NamedTuple):
    """Courses ready to be solved.

    Attributes
    ----------
    cells : Cells
    read : Array of int, shape (patients, visits)
        Which record each visit is; 0 is the beginning of the course.
    pairs : Pairs, optional
        Grids of the faster path, where the mechanism allows it.
    """

    cells: Cells
    read: Array
    pairs: Pairs | None

    @property
    def patients(self) -> int:
        """Number of patients."""
        return self.read.shape[0]


class Solution(NamedTuple):
    """Solved courses at the visits.

    Attributes
    ----------
    log_size : Array, shape (patients, visits)
        Log of the size in mm.
    state : dict of str to Array, each of shape (patients, visits)
    ok : Array of bool, shape (patients,)
        False where the solution is not finite or needs more steps than are allowed.
    """

    log_size: Array
    state: State
    ok: Array


def blocked(courses: Courses) -> Blocks:
    """Hand courses to JAX, in its default precision."""
    names = sorted(courses.actions)
    cells = courses.last - courses.first
    queue = np.argsort(-cells, kind="stable")
    table = [courses.begin, courses.length, courses.slot, *(courses.actions[n] for n in names)]
    table = np.column_stack(table)
    spare = roomy(max(1, len(table))) - len(table)
    return Blocks(
        Cells(
            table=jnp.asarray(np.pad(table, ((0, spare), (0, 0))), float),
            actions={name: jnp.array(i) for i, name in enumerate(names)},
            first=jnp.asarray(courses.first),
            last=jnp.asarray(courses.last),
            queue=jnp.asarray(queue[cells[queue] > 0]),
            records=jnp.zeros(courses.read.max(initial=0) + 1),
            tolerance=jnp.array(courses.tolerance, float),
        ),
        jnp.asarray(courses.read),
        paired(courses, *courses.paired) if courses.paired and len(table) else None,
    )


@cache
def moving(mechanism: Mechanism) -> frozenset[str]:
    """List the parameters that the course depends on, not only the size read off it."""
    one = jnp.ones(())
    state, actions = dict.fromkeys(mechanism.states, one), dict.fromkeys(mechanism.answers_to, one)

    def dynamics(p: Values, rest: object) -> State:
        start, change = mechanism.initial(p), mechanism.rate(one, state, p, actions)
        return start | {f"{name}'": value for name, value in change.items()}

    known = dependence(dynamics, {q.name: one for q in mechanism.parameters}, {})
    return frozenset().union(*known.values())


def _states(mechanism: Mechanism, s: State, p: Values) -> list[Array]:
    return [mechanism.log_size(s, p), *(s[name] for name in mechanism.states)]


def _size(names: tuple[str, ...], mechanism: Mechanism, s: State, p: Values) -> list[Array]:
    """Log size, and its derivatives by parameters that only the reading of the size needs."""

    def slope(name: str) -> Array:
        alone = lambda x: mechanism.log_size(s, {**p, name: x})  # noqa: E731
        return jax.jvp(alone, (p[name],), (jnp.ones_like(p[name]),))[1]

    return [mechanism.log_size(s, p), *(slope(name) for name in names)]


class _Asked(NamedTuple):
    """What is to be solved, known before anything is traced."""

    mechanism: Mechanism
    names: tuple[str, ...]
    directions: int
    output: Callable
    repeat: int = 1


def _along(value: Array, shape: tuple[int, ...], first: bool) -> Array:  # noqa: FBT001
    """Spread a value of each draw, draws being the first or the second axis."""
    return jnp.broadcast_to(value[:, None] if first else value[None, :], shape)


def joined(blocks: Blocks) -> Blocks:
    """Make one of several sets of courses, stacked along a first axis."""
    cells = joined_cells(blocks.cells, blocks.read.shape[1])
    pairs = None if blocks.pairs is None else joined_pairs(blocks.pairs)
    return Blocks(cells, blocks.read.reshape(-1, blocks.read.shape[2]), pairs)


@cache
def _marching(asked: _Asked) -> Callable:
    """Make the function of (rows, fixed, blocks) that gives columns at the visits, and steps."""
    mechanism, names, directions, output, repeat = asked

    @custom_vmap
    def run(rows: Array, fixed: Values, blocks: Blocks) -> tuple[Array, Array]:
        task = Task(mechanism, names, directions, fixed, partial(output, mechanism), repeat)
        if mechanism.linear is None or blocks.pairs is None:
            records, steps = march(task, rows, blocks.cells)
        else:
            records, good = extrapolated(task, rows, blocks.pairs)
            others, tried = march(task, rows, blocks.cells, ~good)
            records = jnp.where(good[:, None, None], records, others)
            steps = jnp.where(good, 0, tried)
        row = task.columns(rows)
        state, change = task.pushed(lambda _, row: task.start(row), row)
        records = records.at[:, 0].set(task.recorded(row, state, change))
        read = jnp.repeat(blocks.read, repeat, axis=0)
        return jnp.take_along_axis(records, read[:, :, None], axis=1), steps

    @run.def_vmap
    def batched(size: int, batched: list, rows: Array, fixed: Values, blocks: Blocks) -> tuple:
        many_rows, many_fixed, many_blocks = batched
        own = any(jax.tree.leaves(many_blocks))  # every draw has time axes of its own
        if own:
            rows = rows if many_rows else jnp.repeat(rows[None], size, axis=0)
        else:
            rows = jnp.moveaxis(rows, 0, 1) if many_rows else jnp.repeat(rows[:, None], size, 1)
        each = tuple(name for name in fixed if many_fixed[name])
        shape = rows.shape[:2]
        inner = _marching(
            _Asked(mechanism, names + each, directions, output, repeat * (1 if own else size))
        )
        rows = jnp.concatenate(
            [rows, *(_along(fixed[name], shape, own)[:, :, None] for name in each)], axis=2
        )
        rest = {name: value for name, value in fixed.items() if name not in each}
        blocks = joined(blocks) if own else blocks
        both = inner(rows.reshape(-1, rows.shape[2]), rest, blocks)
        both = [one.reshape(*shape, *one.shape[1:]) for one in both]
        return tuple(both if own else (jnp.moveaxis(x, 1, 0) for x in both)), (True, True)

    return run


def _marched(
    mechanism: Mechanism, first: tuple[str, ...], output: Callable, values: Values, blocks: Blocks
) -> tuple[Array, Array]:
    """Columns at the visits (patients, visits, columns), and steps; `first` are differentiated."""
    arrays = {name: jnp.asarray(value, float) for name, value in values.items()}
    fixed = {name: v for name, v in arrays.items() if v.ndim == 0 and name not in first}
    names = (*first, *(name for name in arrays if name not in fixed and name not in first))
    shape = (blocks.patients,)
    columns = [jnp.broadcast_to(arrays[name], shape) for name in names]
    rows = jnp.stack(columns, axis=1) if columns else jnp.zeros((*shape, 0))
    return _marching(_Asked(mechanism, names, len(first), output))(rows, fixed, blocks)


@jaxtyped(typechecker=beartype)
def solve(
    mechanism: Mechanism,
    values: Annotated[Mapping[str, Any], IsInstance[OfPatients]],
    blocks: Blocks,
) -> Solution:
    """Solve the courses of all patients and read them at their visits.

    Parameters
    ----------
    mechanism : Mechanism
    values : mapping of str to Array
        Every parameter of the mechanism, each a number or of shape (patients,) or (1,).
    blocks : Blocks
        From `blocked`.

    Returns
    -------
    Solution
        Nothing is raised for a failed solve: its `ok` is False.

    Raises
    ------
    jaxtyping.TypeCheckError
        If a value is of another shape.
    """
    seen, steps = _marched(mechanism, (), _states, values, blocks)
    states = {name: seen[..., 1 + i] for i, name in enumerate(mechanism.states)}
    return Solution(seen[..., 0], states, (steps >= 0) & jnp.all(jnp.isfinite(seen), axis=(1, 2)))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def log_sizes(
    mechanism: Mechanism, free: Values, constants: Values, blocks: Blocks
) -> tuple[Array, Array]:
    """Solve for log sizes alone, with gradients by forward sensitivities to the `free` values.

    Parameters
    ----------
    mechanism : Mechanism
    free : mapping of str to Array
        Values to be differentiated, each of shape (patients,).
    constants : mapping of str to Array
        The other parameters of the mechanism, each a number or of shape (patients,).
    blocks : Blocks

    Returns
    -------
    log_size, ok : Array
        Shapes (patients, visits) and (patients,); a failed course has log sizes of 0 and a
        gradient of 0, and `ok` False.
    """
    seen, steps = _marched(mechanism, (), partial(_size, ()), {**constants, **free}, blocks)
    ok = (steps >= 0) & jnp.all(jnp.isfinite(seen[..., 0]), axis=1)
    return jnp.where(ok[:, None], seen[..., 0], 0.0), ok


@cache
def _reading(names: tuple[str, ...]) -> Callable:
    return partial(_size, names)


def _with_sensitivities(
    mechanism: Mechanism, free: Values, constants: Values, blocks: Blocks
) -> tuple[tuple[Array, Array], dict[str, Array]]:
    course = tuple(name for name in free if name in moving(mechanism))
    reading = tuple(name for name in free if name not in course)
    output = _reading(reading)
    seen, steps = _marched(mechanism, course, output, {**constants, **free}, blocks)
    # columns: size, its slopes by `reading`; then the derivatives of all these by `course`
    size, kinds = seen[..., 0], 1 + len(reading)
    columns = {name: seen[..., 1 + i] for i, name in enumerate(reading)}
    columns |= {name: seen[..., kinds + i] for i, name in enumerate(course)}
    ok = (steps >= 0) & jnp.all(jnp.isfinite(seen), axis=(1, 2))
    kept = {name: jnp.where(ok[:, None], change, 0.0) for name, change in columns.items()}
    return (jnp.where(ok[:, None], size, 0.0), ok), kept


def _pulled_back(
    _mechanism: Mechanism, kept: dict[str, Array], cotangent: tuple[Array, Array]
) -> tuple:
    pulled = {name: jnp.sum(change * cotangent[0], axis=1) for name, change in kept.items()}
    return pulled, None, None


log_sizes.defvjp(_with_sensitivities, _pulled_back)
