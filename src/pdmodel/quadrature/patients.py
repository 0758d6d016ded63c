"""Patients given the population: their effects moved off the nodes, and their first sizes."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.batches import in_batches
from pdmodel.nodes import walked
from pdmodel.parallel import side_by_side
from pdmodel.quadrature.coordinates import Coordinates, Population, log_density
from pdmodel.quadrature.integrand import expected_course, term_sum
from pdmodel.quadrature.series import Series

AT_ONCE = 16
"""Draws of all patients moved at a time."""


class Patients(NamedTuple):
    """Draws of the patients: effects (draws, patients, effects); log of the anchor, or None."""

    effects: np.ndarray
    anchor: np.ndarray | None


def patients(
    of: Coordinates, it: Series, covariance: Array, keys: Array, population: Population,
    effects: np.ndarray, pieces: int,
) -> Patients:  # fmt: skip
    """Move effects by exact steps, and draw what was integrated out.

    The steps leave each patient's posterior given the population as it is; they bring effects off
    the nodes.

    Parameters
    ----------
    of : Coordinates
    it : Series
    covariance : Array, shape (patients, effects, effects)
        Of the patients' posteriors, roughly.
    keys : Array, shape (draws,)
    population : Population
        Of every draw, draws first.
    effects : ndarray, shape (draws, patients, effects)
    pieces : int
        Parts in which the draws are worked on.
    """
    root = jnp.linalg.cholesky(covariance) if of.effects else covariance
    rows = np.array_split(np.arange(len(keys)), pieces)

    def piece(k: int) -> tuple[np.ndarray, ...]:
        mine = rows[k]
        own = jax.tree.map(lambda part: part[mine], population)
        found = _moved(of, it, root, keys[mine], own, jnp.asarray(effects[mine]))
        return tuple(map(np.asarray, found))

    parts = side_by_side(piece, pieces)
    moved, anchor = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Patients(moved, anchor if of.anchor is not None else None)


@partial(jax.jit, static_argnums=0)
def _moved(
    of: Coordinates, it: Series, root: Array, keys: Array, several: Population, effects: Array
) -> tuple[Array, Array]:
    def one(args: tuple[Array, Population, Array]) -> tuple[Array, Array]:
        key, population, at = args
        if of.effects:
            at = walked(
                key,
                lambda e: term_sum(of, it, e, population) + log_density(e, population),
                root,
                at,
            )
        if of.anchor is None:
            return at, jnp.zeros(it.data.patients)
        return at, _first_sizes(of, it, key, population, at)

    return in_batches(one, (keys, several, effects), AT_ONCE)


def _first_sizes(
    of: Coordinates, it: Series, key: Array, population: Population, effects: Array
) -> Array:
    """Draw the log of the anchor of every patient, given all scans, (patients,)."""
    expected, known = expected_course(of, it, effects, population)
    spread = jnp.broadcast_to(population.start_sd, (it.data.patients,))
    axes = {name: 0 if value.ndim else None for name, value in known.items()}
    keys = jax.random.split(jax.random.fold_in(key, 1), it.data.patients)
    draw = of.start.draw
    size = jax.vmap(draw, (0, 0, 0, 0, axes, 0))(
        keys, expected, it.data.scans, it.data.visible, known, spread
    )
    return size - expected[:, 0] + population.start
