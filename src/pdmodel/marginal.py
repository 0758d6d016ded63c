"""The population alone: patients' effects integrated out over stored nodes.

`pdmodel.levels` solves the courses of every patient once, at nodes of its effects, on levels of
the parameter of the mechanism that all patients share and on a grid of the residual's parameters.
From then on the likelihood of the population is a reweighting of stored numbers, smooth in a
handful of parameters, and plain NUTS samples it quickly whatever the shape of the patients'
posteriors. The patients' effects follow by choosing nodes by weight. What this neglects, the
finite number of nodes and the interpolation between levels, is measured against fresh nodes and
kept with the fit.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from jax.scipy.special import logsumexp

from pdmodel.look import log_normal
from pdmodel.model import Model
from pdmodel.population import between, shared

POINTS = 9
"""Grid points of each parameter of the residual."""
GRID = 2.4
"""Half width of that grid in units of the prior."""


class Table(NamedTuple):
    """Stored likelihoods, on levels of the shared parameter of the mechanism.

    Attributes
    ----------
    effects : Array, shape (levels, nodes, patients, effects)
        Nodes on the transformed scale.
    log_drawn : Array, shape (levels, nodes, patients)
        Log of the density they were drawn from, less half log 2 pi for each effect.
    coefficients : Array, shape (levels, points ** residual, nodes, patients)
        Of Chebyshev polynomials in the residual's parameters, for the log-likelihood.
    level : Array, shape (levels,)
        Evenly spaced, in units of the prior.
    centre : Array, shape (residual,)
        Middle of the residual's grid, in units of the priors.
    """

    effects: Array
    log_drawn: Array
    coefficients: Array
    level: Array
    centre: Array


def split(model: Model) -> tuple[list[int], list[int]]:
    """Tell which shared parameters act on courses, and which on the residual alone."""
    own = {q.name for q in model.mechanism.parameters}
    places = range(len(model.shared))
    on_courses = [k for k in places if model.shared[k].name in own]
    return on_courses, [k for k in places if k not in on_courses]


def units(model: Model) -> tuple[Array, Array]:
    """Centres and sds of the priors of the shared parameters, each of shape (shared,)."""
    centre = jnp.array([q.centre for q in model.shared])
    return centre, jnp.array([q.sd for q in model.shared])


def _polynomials(x: Array) -> Array:
    rows = [jnp.ones_like(x), x]
    for _ in range(POINTS - 2):
        rows.append(2.0 * x * rows[-1] - rows[-2])
    return jnp.stack(rows)


def basis_at(place: Array) -> Array:
    """Products of Chebyshev polynomials at a place of the box, shape (points ** residual,)."""
    out = jnp.ones(1)
    for x in place:
        out = jnp.outer(out, _polynomials(x)).ravel()
    return out


def places(dimensions: int) -> np.ndarray:
    """Chebyshev nodes of the box [-1, 1]^dimensions, shape (points ** dimensions, dimensions)."""
    line = np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS)
    axes = np.meshgrid(*[line] * dimensions, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1) if axes else np.zeros((1, 0))


def position(table: Table, z: Array) -> tuple[Array, Array]:
    """Find the four levels around a value, and the weights of a smooth cubic (Catmull-Rom)."""
    count = len(table.level)
    if count == 1:
        return jnp.zeros(1, int), jnp.ones(1)
    u = (z - table.level[0]) / (table.level[1] - table.level[0])
    u = jnp.clip(u, 0.0, count - 1.0)
    low = jnp.clip(jnp.floor(u).astype(int), 1, count - 3)
    t = u - low
    line = low + jnp.arange(-1, 3)
    weights = jnp.stack(
        [
            t * (-0.5 + t * (1.0 - 0.5 * t)),
            1.0 + t * t * (-2.5 + 1.5 * t),
            t * (0.5 + t * (2.0 - 1.5 * t)),
            t * t * (-0.5 + 0.5 * t),
        ]
    )
    return line, weights


def _at_level(table: Table, level: Array, basis: Array, centre: Array, sd: Array) -> Array:
    """Log weights of the nodes of one level, (nodes, patients)."""
    likelihood = jnp.tensordot(basis, table.coefficients[level], axes=1)
    return likelihood + log_normal(table.effects[level], centre, sd) - table.log_drawn[level]


def parts(model: Model, table: Table, z: Array) -> tuple[Array, Array, Array]:
    """Split shared values into the level's and the residual's polynomials; and how far outside."""
    on_courses, on_residual = split(model)
    place = (z[jnp.array(on_residual, int)] - table.centre) / GRID
    level = z[on_courses[0]] if on_courses else jnp.zeros(())
    far = jnp.sum(jnp.maximum(jnp.abs(place) - 1.0, 0.0))
    if on_courses:
        ends = table.level[0] - level, level - table.level[-1]
        far = far + jnp.maximum(jnp.maximum(*ends), 0.0)
    return level, basis_at(jnp.clip(place, -1.0, 1.0)), far


def log_marginal(model: Model, table: Table, z: Array, centre: Array, sd: Array) -> Array:
    """Log marginal likelihood of all patients together, a number."""
    level, basis, far = parts(model, table, z)
    line, weights = position(table, level)
    heights = jnp.stack([
        jnp.sum(logsumexp(_at_level(table, k, basis, centre, sd), axis=0)) for k in line
    ])  # fmt: skip
    return weights @ heights - 1e3 * far**2


def marginal(model: Model, table: Table) -> None:
    """The NumPyro program of the population, the patients' effects integrated out."""
    z = [shared(q)[0] for q in model.shared]
    spread = [between(q) for q in model.individual]
    centre, sd = (jnp.stack(parts) for parts in zip(*spread, strict=True))
    where = jnp.stack(z) if z else jnp.zeros(0)
    numpyro.factor("scans", log_marginal(model, table, where, centre, sd))


def chosen_effects(
    model: Model, key: Array, table: Table, z: Array, centre: Array, sd: Array
) -> tuple[Array, Array, Array]:
    """Choose every patient's effects by weight, given one draw of the population.

    Returns
    -------
    effects, effective, far : Array
        Shapes (patients, effects) and (patients,), the effective number of nodes; and how far
        the draw lies outside levels and grid.
    """
    level, basis, far = parts(model, table, z)
    which = jnp.zeros((), int)
    if len(table.level) > 1:
        u = (level - table.level[0]) / (table.level[1] - table.level[0])
        jitter = jax.random.uniform(jax.random.fold_in(key, 1))
        which = jnp.clip(jnp.floor(u + jitter).astype(int), 0, len(table.level) - 1)
    log_weight = _at_level(table, which, basis, centre, sd)
    weight = jax.nn.softmax(log_weight, axis=0)
    rank = jax.random.categorical(key, log_weight, axis=0)
    effects = jnp.take_along_axis(table.effects[which], rank[None, :, None], axis=0)[0]
    return effects, 1.0 / jnp.sum(weight**2, axis=0), far
