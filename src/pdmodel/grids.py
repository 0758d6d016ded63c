"""The fixed grids of the faster path: cells cut into steps, patients side by side in blocks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.course import Courses

BLOCK = 64
"""Courses that step side by side: enough to fill vector units, few enough for the cache (22
steps of 64 courses with their sensitivities are 135 kB)."""


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


def roomy(count: int) -> int:
    """Round up to one of four lengths an octave, so that few lengths are compiled."""
    step = 1 << max((int(count) - 1).bit_length() - 3, 0)
    return -(-int(count) // step) * step


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
    width = roomy(max(1, steps.max()))
    index = np.minimum(first[:, None] + np.arange(width), len(cell) - 1)
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
