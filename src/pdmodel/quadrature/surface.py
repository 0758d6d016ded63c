"""A surface that stands for the likelihood at every node, cheap to ask and to differentiate.

The log-likelihood of each node is fitted by a polynomial in the shared parameters (quadratic, with
cubes along the axes) over the region where the posterior lies. What depends on the population is
kept as it is. The surface only proposes; what is sampled is decided by the nodes themselves
(`pdmodel.quadrature.corrected`).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

from pdmodel.nodes import Nodes
from pdmodel.nuts import side_by_side
from pdmodel.quadrature.coordinates import Coordinates, log_density
from pdmodel.quadrature.integrand import Series, first_scan, heights

PLACES = 2.3
"""Places at which the nodes are solved, for each coefficient."""
WIDER = 1.1
"""Factor on the standard deviations of these places."""
FARTHEST = 3.5
"""No place lies farther out, in standard deviations."""
RIDGE = 1e-3
NEGLIGIBLE = 60.0
"""Log-likelihoods so far below a patient's best are not followed any further."""
EDGE, WALL = 4.5, 50.0
"""The surface ends so many standard deviations out; how steep the wall is there."""


class Surface(NamedTuple):
    """Polynomials of the log-likelihood of all scans but those integrated out.

    Attributes
    ----------
    coefficients : Array, shape (terms, nodes, patients)
    centre, scale : Array, shape (shared,)
        In units of the priors.
    ahead : Array, shape (patients,)
    nodes : Nodes
    """

    coefficients: Array
    centre: Array
    scale: Array
    ahead: Array
    nodes: Nodes


def terms(u: Array) -> Array:
    """Terms of the polynomial at standardised shared parameters, (terms,)."""
    i, j = np.triu_indices(len(u))
    return jnp.concatenate([jnp.ones(1), u, u[i] * u[j], u**3])


def count_of(size: int) -> int:
    """Count the terms for so many shared parameters."""
    return 1 + size + size * (size + 1) // 2 + size


def places(count: int, covariance: np.ndarray, seed: int) -> np.ndarray:
    """Places around 0 of the spread of the posterior, in its standard deviations."""
    size = len(covariance)
    sd = np.sqrt(np.diag(covariance))
    root = np.linalg.cholesky(covariance / sd / sd[:, None]) if size else np.zeros((0, 0))
    z = np.random.default_rng(seed).standard_normal((count, size))
    return np.vstack([np.zeros(size), np.clip(WIDER * z @ root.T, -FARTHEST, FARTHEST)])


def fitted(
    of: Coordinates, it: Series, nodes: Nodes, position: Array, covariance: np.ndarray, seed: int
) -> Surface:
    """Fit the surface around a position.

    Parameters
    ----------
    of : Coordinates
    it : Series
    nodes : Nodes
    position : Array, shape (coordinates,)
    covariance : ndarray, shape (coordinates, coordinates)
        Of the posterior, as far as it is known.
    seed : int
    """
    size = len(of.model.shared)
    scale = np.sqrt(np.diag(covariance)[:size])
    count = int(PLACES * count_of(size)) if size else 0
    places_at = places(count, covariance[:size, :size], seed)

    def rest(k: int) -> np.ndarray:
        x = position.at[:size].add(scale * places_at[k])
        return np.asarray(heights(of, it, nodes.effects, of.population(x, it.traits)).rest)

    found = side_by_side(rest, len(places_at))
    stacked = np.stack(found)
    stacked = np.maximum(stacked, stacked.max(axis=1, keepdims=True) - NEGLIGIBLE)
    rows = np.asarray(jax.vmap(terms)(jnp.asarray(places_at)))
    normal = rows.T @ rows + RIDGE * np.eye(rows.shape[1])
    flat = np.linalg.solve(normal, rows.T @ stacked.reshape(len(rows), -1))
    population = of.population(position, it.traits)
    ahead = jnp.mean(heights(of, it, nodes.effects, population).ahead, axis=0)
    coefficients = jnp.asarray(flat.reshape(-1, *stacked.shape[1:]), jnp.float32)
    return Surface(coefficients, position[:size], jnp.asarray(scale), ahead, nodes)


def height(of: Coordinates, it: Series, surface: Surface, x: Array) -> Array:
    """Log posterior density by the surface, up to a constant."""
    size = len(of.model.shared)
    u = (x[:size] - surface.centre) / surface.scale
    far = jnp.sum(jnp.maximum(jnp.abs(u) - EDGE, 0.0) ** 2)
    u = jnp.clip(u, -EDGE, EDGE)
    population = of.population(x, it.traits)
    rest = jnp.tensordot(terms(u).astype(surface.coefficients.dtype), surface.coefficients, 1)
    nodes = surface.nodes
    log_weight = rest.astype(x.dtype) + log_density(nodes.effects, population) - nodes.log_drawn
    marginal = jnp.sum(logsumexp(log_weight, axis=0) - jnp.log(len(log_weight)))
    first = jnp.sum(first_scan(of, it, population, surface.ahead))
    return marginal + first + of.log_prior(x) - WALL * far


@partial(jax.jit, static_argnums=0)
def outside(of: Coordinates, surface: Surface, x: Array) -> Array:
    """Whether a position lies beyond the edge."""
    u = (x[: len(of.model.shared)] - surface.centre) / surface.scale
    return jnp.any(jnp.abs(u) > EDGE)
