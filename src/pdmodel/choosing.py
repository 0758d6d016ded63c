"""Few nodes of many, chosen in proportion to weight and spread out along a curve through all."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

from pdmodel.nodes import Nodes

BITS = 8
"""Cells along each axis of the curve along which nodes are chosen, as a power of 2."""


def kept(key: Array, nodes: Nodes, target: Array, count: int) -> Nodes:
    """Keep some nodes in proportion to weight; the density they stand for is then the target's."""
    row, log_drawn = rows_kept(key, nodes, target, count)
    return Nodes(jnp.take_along_axis(nodes.effects, row[..., None], axis=0), log_drawn)


@partial(jax.jit, static_argnums=3)
def rows_kept(key: Array, nodes: Nodes, target: Array, count: int) -> tuple[Array, Array]:
    """Tell which nodes `kept` keeps, and the log density they stand for, each (count, patients).

    Even steps through the weights along a curve through all nodes, from a place of the patient's
    own, spread the chosen out; one place for all would shift all patients together.
    """
    raw, patients = target.shape
    log_weight = target - nodes.log_drawn
    total = logsumexp(log_weight, axis=0) - jnp.log(raw)
    weight = jax.nn.softmax(log_weight, axis=0)
    order = along_curve(nodes.effects, weight)
    ladder = jnp.cumsum(jnp.take_along_axis(weight, order, axis=0), axis=0)
    steps = (jax.random.uniform(key, (1, patients)) + jnp.arange(count)[:, None]) / count
    rank = jax.vmap(jnp.searchsorted, (1, 1), 1)(ladder, steps)
    row = jnp.take_along_axis(order, jnp.minimum(rank, raw - 1), axis=0)
    return row, jnp.take_along_axis(target, row, axis=0) - total


def along_curve(effects: Array, weight: Array) -> Array:
    """Order nodes along a curve that fills space, so that neighbours are near in every direction.

    The curve is that of Morton, through cells of equal weight along the axes of the patient's
    weighted covariance; (nodes, patients).
    """
    size = effects.shape[-1]
    bits = min(BITS, 62 // size)
    off = effects - jnp.einsum("np,npi->pi", weight, effects)
    _, axes = jnp.linalg.eigh(jnp.einsum("np,npi,npj->pij", weight, off, off))
    turned = jnp.einsum("npi,pij->npj", off, axes[..., ::-1])

    def cell(along: Array, weight: Array) -> Array:
        order = jnp.argsort(along)
        below = jnp.zeros_like(weight).at[order].set(jnp.cumsum(weight[order]) - weight[order])
        return jnp.clip(below * 2**bits, 0, 2**bits - 1).astype(int)

    cells = jax.vmap(jax.vmap(cell, (1, None), 1), (1, 1), 1)(turned, weight)
    code = jnp.zeros(weight.shape, int)
    for bit in range(bits - 1, -1, -1):
        for k in range(size):
            code = 2 * code + ((cells[..., k] >> bit) & 1)
    return jnp.argsort(code, axis=0)
