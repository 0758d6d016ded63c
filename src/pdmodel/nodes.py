"""Nodes: for each patient, places in the space of its effects where the posterior lives.

Exploration (`pdmodel.look`) gives weighted nodes of a rough proposal. Here they become the
centres of a mixture of Student-t kernels, one mixture a patient, from which the final nodes are
drawn; a part comes from the population itself, so that no weight can run away. Curved ridges and
separate modes are followed as they are.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

from pdmodel.likelihood import Evidence
from pdmodel.look import TAIL, Look, log_normal, log_student, per_patient, per_patient_each
from pdmodel.model import Model

KERNELS = 32
NARROWER = 0.5
"""Scale of a kernel relative to the patient's whole spread."""
DEFENSIVE = 0.15
"""Share of the nodes from the population, somewhat widened."""
WIDENED = 1.3


class Nodes(NamedTuple):
    """Nodes of every patient with the density they were drawn from.

    Attributes
    ----------
    effects : Array, shape (nodes, patients, effects)
        On the transformed scale.
    log_drawn : Array, shape (nodes, patients)
        Log density of the proposal, without the constant (2 pi)^(-effects / 2).
    """

    effects: Array
    log_drawn: Array


@partial(jax.jit, static_argnums=(3,))
def drawn_nodes(key: Array, look: Look, known: tuple[Array, Array], count: int) -> Nodes:
    """Draw nodes from a mixture of kernels around weighted nodes, and from the population.

    Parameters
    ----------
    key : Array
    look : Look
        Population, and each patient's mean and covariance.
    known : tuple of Array
        Weighted nodes: effects (nodes, patients, effects) and weights (nodes, patients).
    count : int
        Nodes to draw for each patient.

    Returns
    -------
    Nodes
    """
    k1, k2, k3, k4 = jax.random.split(key, 4)
    effects, weight = known
    patients, d = look.mean.shape
    wide = int(DEFENSIVE * count)
    near = count - wide
    centres = _systematic(k1, effects, weight, KERNELS)
    root = NARROWER * jnp.linalg.cholesky(look.covariance)
    tail = jnp.sqrt(TAIL / (2.0 * jax.random.gamma(k2, TAIL / 2, (near, patients, 1))))
    jump = jnp.einsum("pij,npj->npi", root, jax.random.normal(k3, (near, patients, d)) * tail)
    local = centres[jnp.arange(near) % KERNELS] + jump
    spread = WIDENED * look.sd
    far = look.centre + spread * jax.random.normal(k4, (wide, patients, d))
    placed = jnp.concatenate([local, far])
    inverse = jnp.linalg.inv(root)
    volume = jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)), axis=1)

    def kernel(centre: Array) -> Array:
        z = jnp.einsum("pij,npj->npi", inverse, placed - centre)
        return log_student(z, volume)

    mixture = logsumexp(jax.lax.map(kernel, centres), axis=0) - jnp.log(KERNELS)
    broad = log_normal(placed, look.centre, spread)
    share = wide / count
    return Nodes(placed, jnp.logaddexp(jnp.log1p(-share) + mixture, jnp.log(share) + broad))


def _systematic(key: Array, effects: Array, weight: Array, count: int) -> Array:
    """Resample nodes in proportion to their weights, evenly; (count, patients, effects)."""
    ladder = (jax.random.uniform(key, weight.shape[1:]) + jnp.arange(count)[:, None]) / count
    rank = jnp.sum(jnp.cumsum(weight, axis=0)[None] < ladder[:, None], axis=1)
    rank = jnp.minimum(rank, weight.shape[0] - 1)
    return jnp.take_along_axis(effects, rank[..., None], axis=0)


@partial(jax.jit, static_argnums=0)
def likelihoods(model: Model, data: Evidence, effects: Array, shared: Array) -> Array:
    """Log-likelihood of every patient at every node, (nodes, patients)."""
    return jax.lax.map(lambda e: per_patient(model, data, e, shared), effects, batch_size=16)


def weighed(log_likelihood: Array, nodes: Nodes, look: Look) -> tuple[Array, Array]:
    """Weigh nodes under the population of `look`; weights (nodes, patients) and effective count."""
    prior = log_normal(nodes.effects, look.centre, look.sd)
    weight = jax.nn.softmax(log_likelihood + prior - nodes.log_drawn, axis=0)
    return weight, 1.0 / jnp.sum(weight**2, axis=0)


@partial(jax.jit, static_argnums=0)
def likelihoods_each(model: Model, data: Evidence, effects: Array, several: Array) -> Array:
    """Log-likelihoods at every node for several values of the residual's parameters.

    Returns
    -------
    Array, shape (several, nodes, patients)
    """
    rows = jax.lax.map(lambda e: per_patient_each(model, data, e, several), effects, batch_size=16)
    return jnp.swapaxes(rows, 0, 1)


class Weighed(NamedTuple):
    """Nodes, their log-likelihoods (nodes, patients), and the look that was taken from them."""

    nodes: Nodes
    height: Array
    look: Look


def refined(
    model: Model, data: Evidence, look: Look, key: Array, count: int, rounds: int
) -> Weighed:
    """Draw nodes, weigh them, and draw again around the weighted ones."""
    out = _one_round(model, data, look, jax.random.fold_in(key, 0), count)
    for turn in range(1, rounds):
        out = _one_round(model, data, out.look, jax.random.fold_in(key, turn), count)
    return out


@partial(jax.jit, static_argnums=(0, 4))
def _one_round(model: Model, data: Evidence, look: Look, key: Array, count: int) -> Weighed:
    nodes = drawn_nodes(key, look, (look.nodes, look.weight), count)
    height = likelihoods(model, data, nodes.effects, look.shared)
    weight, effective = weighed(height, nodes, look)
    mean = jnp.einsum("np,npi->pi", weight, nodes.effects)
    off = nodes.effects - mean
    covariance = jnp.einsum("np,npi,npj->pij", weight, off, off)
    covariance = covariance + 1e-4 * jnp.diag(look.sd**2)
    enough = effective > 4.0 * mean.shape[1]
    look = look._replace(
        mean=jnp.where(enough[:, None], mean, look.mean),
        covariance=jnp.where(enough[:, None, None], covariance, look.covariance),
        nodes=nodes.effects,
        weight=weight,
        effective=effective,
    )
    return Weighed(nodes, height, look)
