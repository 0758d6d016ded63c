"""The only integrator: courses of many patients at once.

Patients are sorted by the steps they need and solved side by side in blocks, each step by
`pdmodel.step`. Gradients are forward sensitivities, carried along with the solution: with a
handful of free parameters they cost no more than an adjoint, store nothing, and allow each block
to take only the steps it needs.
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from beartype import beartype
from beartype.vale import IsInstance
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Num, PyTree, jaxtyped

from pdmodel.action import Actions
from pdmodel.course import Courses
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Values
from pdmodel.step import TOO_COARSE, one_step

BLOCK = 64
"""Patients solved side by side: enough to fill vector units, and a block's course stays in cache
(64 patients x 200 steps x 5 sensitivities x 8 bytes = 0.5 MB)."""


OfPatients = PyTree[Num[ArrayLike, "#{len(blocks.place)}"] | Num[ArrayLike, ""]]
"""Values that are each a number or of shape (patients,) or (1,), checked by `solve`."""


class Solution(NamedTuple):
    """Solved courses at the visits.

    Attributes
    ----------
    log_size : Array, shape (patients, visits)
        Log of the size in mm.
    state : dict of str to Array, each of shape (patients, visits)
    ok : Array of bool, shape (patients,)
        False where the solution is not finite or too inaccurate to be used.
    """

    log_size: Array
    state: State
    ok: Array


class Track(NamedTuple):
    """One block of courses, patients last, as the integrator wants it."""

    time: Array  # (steps + 1, block)
    actions: Actions  # each (steps, block)
    steps: Array  # () number of steps that the longest of the block needs


def march(mechanism: Mechanism, values: Values, track: Track) -> tuple[Array, State, Array]:
    """Solve one block.

    Returns
    -------
    log_size, state, ok
        Shapes (steps + 1, block), the same for each state, and (block,).
    """
    batched = jax.vmap(partial(one_step, mechanism), in_axes=(0, 0, 0, 0, 0))
    start = jax.vmap(mechanism.initial)(values)
    length, block = track.time.shape

    def record(store: Array, k: Array, row: Array) -> Array:
        return lax.dynamic_update_index_in_dim(store, row, k, 0)

    def body(k: Array, carry: tuple) -> tuple:
        s, ok, sizes, states = carry
        now, then = track.time[k], track.time[k + 1]
        a = {name: strength[k] for name, strength in track.actions.items()}
        moved, error = batched(now, then - now, s, values, a)
        size = jax.vmap(mechanism.log_size)(moved, values)
        ok = ok & jnp.isfinite(size) & (lax.stop_gradient(error) < TOO_COARSE)
        states = {name: record(states[name], k + 1, moved[name]) for name in moved}
        return moved, ok, record(sizes, k + 1, size), states

    size = jax.vmap(mechanism.log_size)(start, values)
    empty = jnp.zeros((length, block), size.dtype)
    states = {name: record(empty, jnp.array(0), value) for name, value in start.items()}
    carry = (start, jnp.isfinite(size), record(empty, jnp.array(0), size), states)
    _, ok, sizes, states = lax.fori_loop(0, track.steps, body, carry)
    return sizes, states, ok


class Blocks(NamedTuple):
    """Courses cut into blocks of patients with alike numbers of steps, ready to be solved.

    Attributes
    ----------
    track : Track
        With a leading axis of blocks.
    read : Array of int, shape (blocks, visits, block)
    patient : Array of int, shape (blocks, block)
        Which patient stands where; the last block repeats one.
    place : Array of int, shape (patients,)
        Where each patient stands in the blocks laid end to end.
    """

    track: Track
    read: Array
    patient: Array
    place: Array


def blocked(courses: Courses, block: int = BLOCK) -> Blocks:
    """Sort patients by their number of steps and cut them into blocks of equal size."""
    patients = len(courses.time)
    block = min(block, patients)
    order = np.argsort(courses.steps, kind="stable")
    count = -(-patients // block)
    chosen = np.concatenate([order, np.full(count * block - patients, order[-1])])
    chosen = chosen.reshape(count, block)
    place = np.empty(patients, int)
    place[order] = np.arange(patients)

    def patients_last(values: np.ndarray) -> Array:
        return jnp.asarray(np.swapaxes(values[chosen], 1, 2))

    track = Track(
        time=patients_last(courses.time),
        actions={name: patients_last(mean) for name, mean in courses.actions.items()},
        steps=jnp.asarray(courses.steps[chosen].max(axis=1)),
    )
    return Blocks(track, patients_last(courses.read), jnp.asarray(chosen), jnp.asarray(place))


def _spread(values: Values, blocks: Blocks) -> dict[str, Array]:
    """Give every patient's values to its place in the blocks: (blocks, block) each."""
    shape = blocks.place.shape
    return {
        name: jnp.broadcast_to(jnp.asarray(value), shape)[blocks.patient]
        for name, value in values.items()
    }


def _gathered(stacked: Array, blocks: Blocks) -> Array:
    """Bring (blocks, visits, block) back to (patients, visits)."""
    return jnp.moveaxis(stacked, 1, 2).reshape(-1, stacked.shape[1])[blocks.place]


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

    def one(args: tuple) -> tuple[Array, State, Array]:
        here, track, read = args
        sizes, states, ok = march(mechanism, here, track)
        visits = {name: jnp.take_along_axis(state, read, 0) for name, state in states.items()}
        return jnp.take_along_axis(sizes, read, 0), visits, ok

    sizes, states, ok = lax.map(one, (_spread(values, blocks), blocks.track, blocks.read))
    return Solution(
        _gathered(sizes, blocks),
        {name: _gathered(state, blocks) for name, state in states.items()},
        ok.reshape(-1)[blocks.place],
    )


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
        The other parameters of the mechanism.
    blocks : Blocks

    Returns
    -------
    log_size, ok : Array
        Shapes (patients, visits) and (patients,); a failed course has log sizes of 0 and a
        gradient of 0, and `ok` False.
    """
    solution = solve(mechanism, {**constants, **free}, blocks)
    ok = solution.ok & jnp.all(jnp.isfinite(solution.log_size), axis=1)
    return jnp.where(ok[:, None], solution.log_size, 0.0), ok


def _with_sensitivities(
    mechanism: Mechanism, free: Values, constants: Values, blocks: Blocks
) -> tuple[tuple[Array, Array], dict[str, Array]]:
    names = tuple(free)
    rows = jnp.stack([free[name] for name in names])

    def sizes(rows: Array) -> tuple[Array, Array]:
        named = dict(zip(names, rows, strict=True))
        solution = solve(mechanism, {**constants, **named}, blocks)
        return solution.log_size, solution.ok

    def push(direction: Array) -> tuple[Array, Array, Array]:
        tangent = jnp.broadcast_to(direction[:, None], rows.shape)
        size, change, ok = jax.jvp(sizes, (rows,), (tangent,), has_aux=True)
        return size, ok, change

    # a patient's course depends on its own values alone, so one direction serves all patients
    size, ok, change = jax.vmap(push, out_axes=(None, None, 0))(jnp.eye(len(names)))
    fine = jnp.isfinite(change)
    ok = ok & jnp.all(jnp.isfinite(size), axis=1) & jnp.all(fine, axis=(0, 2))
    change = jnp.where(ok[None, :, None] & fine, change, 0.0)
    kept = dict(zip(names, change, strict=True))
    return (jnp.where(ok[:, None], size, 0.0), ok), kept


def _pulled_back(
    _mechanism: Mechanism, kept: dict[str, Array], cotangent: tuple[Array, Array]
) -> tuple:
    pulled = {name: jnp.sum(change * cotangent[0], axis=1) for name, change in kept.items()}
    return pulled, None, None


log_sizes.defvjp(_with_sensitivities, _pulled_back)
