"""A first answer: draws around the mode, weighted by the nodes.

The population's posterior is drawn from a normal at the mode and put right by importance weights
over the nodes, smoothed (Vehtari and others 2024, arXiv:1507.02646); the shape of the weights' tail
says how far that can be trusted.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from arviz_stats.base.array import array_stats
from jax import Array

from pdmodel.nodes import Nodes
from pdmodel.nuts import side_by_side
from pdmodel.quadrature.climb import Summit
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.corrected import chosen
from pdmodel.quadrature.integrand import Series, log_marginals, weighed

TRIED = 256
"""Draws around the mode."""
TIMES = 4
"""Sets of patients' nodes for each of them."""
WIDER = 1.1


class Weighted(NamedTuple):
    """Draws after weighting, draws first.

    Attributes
    ----------
    x : ndarray, shape (draws, coordinates)
    log_density : ndarray, shape (draws,)
    marginal, effective : ndarray, shape (draws, patients)
    effects : ndarray, shape (draws, patients, effects)
    pareto_k : float
        Shape of the tail of the weights; above 0.7 the draws are not to be trusted.
    """

    x: np.ndarray
    log_density: np.ndarray
    marginal: np.ndarray
    effective: np.ndarray
    effects: np.ndarray
    pareto_k: float


def weighted(
    of: Coordinates, it: Series, nodes: Nodes, summit: Summit, key: Array, draws: int
) -> Weighted:
    """Draw the population around the mode, weigh the draws and choose among them by weight."""
    k1, k2, k3 = jax.random.split(key, 3)
    z = np.asarray(jax.random.normal(k1, (TRIED, len(of))))
    x = np.asarray(summit.position) + WIDER * z @ np.linalg.cholesky(summit.covariance).T
    keys = jax.random.split(k2, TRIED)

    def one(k: int) -> tuple[np.ndarray, ...]:
        return tuple(map(np.asarray, _one(of, it, nodes, jnp.asarray(x[k]), keys[k])))

    density, marginal, effects, effective = map(
        np.stack, zip(*side_by_side(one, TRIED), strict=True)
    )
    log_weight = density + 0.5 * np.sum(z**2, axis=1)
    # ArviZ's takes log-likelihoods left out, the negative of log weights
    smooth, pareto_k = array_stats.psislw(-np.nan_to_num(log_weight, nan=-np.inf))
    weight = np.exp(smooth - smooth.max())
    ladder = np.cumsum(weight) / weight.sum()
    u = float(jax.random.uniform(k3))
    rank = np.minimum(np.searchsorted(ladder, (u + np.arange(draws)) / draws), TRIED - 1)
    turn = np.arange(draws) % TIMES
    order = np.asarray(jax.random.permutation(k3, draws))
    rank, turn = rank[order], turn[order]
    return Weighted(
        x[rank], density[rank], marginal[rank], effective[rank], effects[rank, turn],
        float(pareto_k),
    )  # fmt: skip


@partial(jax.jit, static_argnums=0)
def _one(of: Coordinates, it: Series, nodes: Nodes, x: Array, key: Array) -> tuple[Array, ...]:
    density, log_weight = weighed(of, it, nodes, x)
    keys = jax.random.split(key, TIMES)
    effects, effective = jax.vmap(lambda k: chosen(k, log_weight, nodes.effects))(keys)
    return density, log_marginals(log_weight), effects, effective[0]
