"""The population alone: patients' effects integrated out over stored nodes.

`pdmodel.levels` solves the courses of every patient once, at nodes of its effects, on levels of
the parameter of the mechanism that all patients share and on a grid of the residual's parameters.
From then on the likelihood of the population is a reweighting of stored numbers, smooth in a
handful of parameters, and plain NUTS samples it quickly whatever the shape of the patients'
posteriors. The patients' effects follow by choosing nodes by weight. What this neglects, the
finite number of nodes and the smoothing over levels, is measured against fresh nodes and kept
with the fit.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.scipy.special import logsumexp
from numpyro.infer.util import potential_energy
from scipy.optimize import minimize

from pdmodel.model import Model
from pdmodel.population import population

POINTS = 6
"""Grid points of each parameter of the residual."""
BANDWIDTH = 2.0
"""Of the smoothing over levels, in steps from one to the next."""
WALL = 1e3
"""Penalty on the square of the distance from levels and grid."""


class Ridge(NamedTuple):
    """How the population that fits best moves from one level to another, per unit of the level.

    Attributes
    ----------
    centre, log_sd : Array, shape (effects,)
        Transformed scale.
    residual : Array, shape (residual,)
        In units of the priors.
    """

    centre: Array
    log_sd: Array
    residual: Array


class Table(NamedTuple):
    """Stored likelihoods, on levels of the shared parameter of the mechanism.

    Attributes
    ----------
    effects : Array, shape (levels, nodes, patients, effects)
        Nodes on the transformed scale.
    features : Array, shape (levels, features, nodes, patients)
        What the log weight of a node is linear in, see `features_of`.
    level : Array, shape (levels,)
        Evenly spaced, in units of the prior.
    centre, half : Array, shape (residual,)
        Middle and half width of the residual's grid, in units of the priors.
    ridge : Ridge
    """

    effects: Array
    features: Array
    level: Array
    centre: Array
    half: Array
    ridge: Ridge


def split(model: Model) -> tuple[list[int], list[int]]:
    """Tell which shared parameters act on courses, and which on the residual alone."""
    own = {q.name for q in model.mechanism.parameters}
    places = range(len(model.shared))
    on_courses = [k for k in places if model.shared[k].name in own]
    return on_courses, [k for k in places if k not in on_courses]


def integrable(model: Model) -> bool:
    """Whether so little is shared that stored likelihoods can cover it."""
    on_courses, on_residual = split(model)
    return len(on_courses) <= 1 and len(on_residual) <= 2


def units(model: Model) -> tuple[Array, Array]:
    """Centres and sds of the priors of the shared parameters, each of shape (shared,)."""
    centre = jnp.array([q.centre for q in model.shared])
    return centre, jnp.array([q.sd for q in model.shared])


def basis_at(place: Array) -> Array:
    """Products of Chebyshev polynomials at a place of the box, shape (points ** residual,)."""
    out = jnp.ones(1)
    for x in place:
        rows = [jnp.ones_like(x), x]
        for _ in range(POINTS - 2):
            rows.append(2.0 * x * rows[-1] - rows[-2])
        out = jnp.outer(out, jnp.stack(rows)).ravel()
    return out


def places(dimensions: int) -> np.ndarray:
    """Chebyshev nodes of the box [-1, 1]^dimensions, shape (points ** dimensions, dimensions)."""
    line = np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS)
    axes = np.meshgrid(*[line] * dimensions, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1) if axes else np.zeros((1, 0))


def shares(level: Array, z: Array) -> Array:
    """Weights of the levels in a local quadratic fit at `z`, which takes out the nodes' noise.

    Returns
    -------
    Array, shape (levels,)
        They sum to 1, and give every quadratic in the level exactly.
    """
    if len(level) == 1:
        return jnp.ones(1)
    u = (level - z) / (level[1] - level[0])
    weight = jnp.exp(-0.5 * (u / BANDWIDTH) ** 2)
    rows = jnp.stack([jnp.ones_like(u), u, u**2])
    return jnp.linalg.solve((rows * weight) @ rows.T, rows * weight)[0]


def parts(model: Model, table: Table, z: Array) -> tuple[Array, Array, Array]:
    """Split shared values into level and place on the residual's grid; and how far outside."""
    on_courses, on_residual = split(model)
    place = (z[jnp.array(on_residual, int)] - table.centre) / table.half
    level = z[on_courses[0]] if on_courses else jnp.zeros(())
    far = jnp.sum(jnp.maximum(jnp.abs(place) - 1.0, 0.0) ** 2)
    if on_courses:
        inside = jnp.clip(level, table.level[0], table.level[-1])
        far, level = far + (level - inside) ** 2, inside
    return level, place, far


def features_of(effects: Array, log_drawn: Array, coefficients: Array) -> Array:
    """Arrange stored nodes so that their log weights are one product of matrix and vector.

    A normal density is log-linear in the effects and their squares, and a polynomial is linear in
    its coefficients, so that all that depends on a node can be laid out once.

    Parameters
    ----------
    effects : Array, shape (..., effects)
    log_drawn : Array, shape (...)
        Log density that the nodes stand for, less half log 2 pi for each effect.
    coefficients : Array, shape (points ** residual, ...)
        Of the log-likelihood, for products of Chebyshev polynomials in the residual's parameters.

    Returns
    -------
    Array, shape (features, ...)
    """
    each = jnp.moveaxis(effects, -1, 0)
    return jnp.concatenate([coefficients, each, -0.5 * each**2, -log_drawn[None]])


def log_weights(features: Array, place: Array, centre: Array, sd: Array) -> Array:
    """Log weights of nodes of one level under a population, of the shape of one feature."""
    basis = basis_at(jnp.clip(place, -1.0, 1.0))
    at = jnp.concatenate([basis, centre * sd**-2, sd**-2, jnp.ones(1)])
    rest = jnp.sum(0.5 * (centre / sd) ** 2 + jnp.log(sd))
    flat = at @ features.reshape(len(at), -1)
    return flat.reshape(features.shape[1:]) - rest


def log_marginal(model: Model, table: Table, z: Array, centre: Array, sd: Array) -> Array:
    """Log marginal likelihood of all patients together, a number.

    Parameters
    ----------
    model : Model
    table : Table
    z : Array, shape (shared,)
        In units of the priors.
    centre, sd : Array, shape (effects,)
        The population, transformed scale.
    """
    level, place, far = parts(model, table, z)
    away = (table.level - level)[:, None]  # each level is asked at the population that goes with it
    weights = jax.vmap(log_weights)(
        table.features,
        place + away * table.ridge.residual / table.half,
        centre + away * table.ridge.centre,
        sd * jnp.exp(away * table.ridge.log_sd),
    )
    heights = jnp.sum(logsumexp(weights, axis=1) - jnp.log(weights.shape[1]), axis=1)
    return shares(table.level, level) @ heights - WALL * far


def marginal(model: Model, table: Table) -> None:
    """The NumPyro program of the population, the patients' effects integrated out."""
    common, centre, sd = population(model)
    prior_centre, prior_sd = units(model)
    z = (common - prior_centre) / prior_sd
    numpyro.factor("scans", log_marginal(model, table, z, centre, sd))


def potential_of(model: Model) -> Callable[[Table], Callable]:
    """Negative log posterior density of the population's unbounded positions."""
    return lambda table: lambda z: potential_energy(marginal, (model, table), {}, z)


def peak(
    model: Model, table: Table, start: dict[str, Array]
) -> tuple[dict[str, Array], np.ndarray]:
    """Find the mode of the population's posterior, and the inverse of its curvature.

    Returns
    -------
    mode : dict of str to Array
        Unbounded positions.
    covariance : ndarray, shape (positions, positions)
        In the order of their names.
    """
    flat, back = ravel_pytree(start)

    def height(x: Array, table: Table) -> Array:
        return potential_of(model)(table)(back(x))

    value = jax.jit(jax.value_and_grad(height))
    found = minimize(
        lambda x: [np.asarray(part) for part in value(x, table)],
        np.asarray(flat),
        jac=True,
        method="L-BFGS-B",
    )
    curvature = np.asarray(jax.jit(jax.hessian(height))(found.x, table))
    values, vectors = np.linalg.eigh(curvature)
    # priors are standard normals, so no direction can be wider than theirs
    covariance = (vectors / np.maximum(values, 1.0)) @ vectors.T
    return back(jnp.asarray(found.x)), covariance


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
    level, place, far = parts(model, table, z)
    which = jnp.argmin(jnp.abs(table.level - level))
    log_weight = log_weights(table.features[which], place, centre, sd)
    rank = jax.random.categorical(key, log_weight, axis=0)
    effects = jnp.take_along_axis(table.effects[which], rank[None, :, None], axis=0)[0]
    weight = jax.nn.softmax(log_weight, axis=0)
    return effects, 1.0 / jnp.sum(weight**2, axis=0), far
