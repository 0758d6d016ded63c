"""Weights of few nodes, such that they say of a patient what many say.

Few nodes are kept of the many that were solved. Sums over them are noisy; where they are known,
from the many, weights are moved so that the sums agree: calibration of a sample to what is known
of all (Deville, Sarndal 1992, doi:10.1080/01621459.1992.10475217), weights multiplied by an
exponential of what is summed, so that none becomes negative. What is made to agree: the marginal
likelihood under some populations, and mean and variance of the posterior under the first, which
are the gradient of the marginal likelihood by typical values and sds between patients.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from pdmodel.nodes import Nodes
from pdmodel.quadrature.integrand import log_marginals

RIDGE = 0.02
"""How little sums that the others nearly fix are made to agree, relative to their own spread."""
MOST = 2.0
"""Natural logarithm of the largest factor on a weight."""
STEPS = 20


@partial(jax.jit, static_argnames="crossed")
def calibrated(
    nodes: Nodes, log_height: Array, row: Array, log_drawn: Array, *, crossed: bool
) -> Nodes:
    """Keep some nodes, with weights such that they say what all do.

    Parameters
    ----------
    nodes : Nodes
        All that were solved, (many, patients, effects).
    log_height : Array, shape (populations, many, patients)
        Log-likelihood and log density of all nodes under some populations.
    row : Array of int, shape (few, patients)
        Which nodes are kept.
    log_drawn : Array, shape (few, patients)
        Log of the density that the kept nodes stand for, before.
    crossed : bool
        Whether covariances of the posterior are made to agree, too.

    Returns
    -------
    Nodes
        The kept ones, (few, patients, effects).
    """
    level = jax.vmap(lambda height: log_marginals(height - nodes.log_drawn))(log_height)
    effects = jnp.take_along_axis(nodes.effects, row[..., None], axis=0)
    height = jnp.take_along_axis(log_height, row[None], axis=1)
    share = jnp.exp(height - log_drawn - level[:, None])  # of mean 1 if few say what many do
    weight = jax.nn.softmax(log_height[0] - nodes.log_drawn, axis=0)
    mean = jnp.einsum("np,npi->pi", weight, nodes.effects)
    sd = jnp.sqrt(jnp.einsum("np,npi->pi", weight, (nodes.effects - mean) ** 2)) + 1e-9
    every = _moments((nodes.effects - mean) / sd, crossed=crossed)
    moment = jnp.take_along_axis(every, row[..., None], axis=0)
    wanted = jnp.einsum("np,npf->pf", weight, every)
    summed = jnp.concatenate([jnp.moveaxis(share, 0, -1), share[0][..., None] * moment], axis=-1)
    goal = jnp.concatenate([jnp.ones((len(wanted), len(share))), wanted], axis=1)
    factor = jax.vmap(_log_factors, (1, 0), 1)(summed, goal)
    return Nodes(effects, log_drawn - factor)


def _moments(z: Array, *, crossed: bool) -> Array:
    """Effects, their squares, and their products if these are asked for; (..., moments)."""
    size = z.shape[-1]
    pairs = [(i, j) for i in range(size) for j in range(i + 1) if crossed or i == j]
    products = [z[..., i] * z[..., j] for i, j in pairs]
    return jnp.concatenate([z, jnp.stack(products, axis=-1)], axis=-1)


def _log_factors(summed: Array, goal: Array) -> Array:
    """Logs of factors on the weights of nodes, (few,), from what is summed, (few, sums)."""
    count, size = summed.shape
    middle = jnp.mean(summed, axis=0)
    scale = jnp.sqrt(jnp.mean((summed - middle) ** 2, axis=0)) + 1e-9
    feature, wanted = summed / scale, goal / scale

    def bounded(pull: Array) -> Array:
        return MOST * jnp.tanh(feature @ pull / MOST)

    def step(_: int, pull: Array) -> Array:
        factor = jnp.exp(bounded(pull))
        missing = wanted - factor @ feature / count - RIDGE * pull
        bend = (feature * factor[:, None]).T @ feature / count + RIDGE * jnp.eye(size)
        return pull + 0.7 * jnp.linalg.solve(bend, missing)

    found = bounded(jax.lax.fori_loop(0, STEPS, step, jnp.zeros(size)))
    before, after = (
        jnp.sum((wanted - factor @ feature / count) ** 2)
        for factor in (jnp.ones(count), jnp.exp(found))
    )
    return jnp.where(after < before, found, 0.0)
