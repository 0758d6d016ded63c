"""Nodes: for each patient, places in the space of its effects where the posterior lives.

Exploration (`pdmodel.look`) gives weighted nodes of a rough proposal. Here they become the
centres of a mixture of Student-t kernels, one mixture a patient, from which further nodes are
drawn; a part comes from the population itself, so that no weight can run away. Curved ridges and
separate modes are followed as they are. Nodes are spread evenly (Sobol points, shifted at random
for each patient), which about halves the error of what is averaged over them.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp, ndtri
from scipy.stats import chi2, qmc

from pdmodel.heights import likelihoods, noise_of
from pdmodel.likelihood import Evidence
from pdmodel.look import (
    TAIL,
    Look,
    log_normal,
    log_student,
    moments,
    tempered,
)
from pdmodel.model import Model

KERNELS = 36
SCALES = (1.0, 0.4, 0.15)
"""Scales of the kernels, by turns, relative to the patient's whole spread."""
MOVES, STRIDE = 5, 0.9
"""Metropolis steps for each patient and draw; their length, in units of the patient's spread."""
DEFENSIVE = 0.15
"""Share of the nodes from the population, somewhat widened."""
WIDENED = 1.3
BITS = 8
"""Cells along each axis of the curve along which nodes are chosen, as a power of 2."""
QUANTILES = np.linspace(0.0, 1.0, 4097)[1:-1]
STRETCH = np.sqrt(TAIL / chi2.ppf(QUANTILES, TAIL))
"""Quantiles of what makes a Student-t of a normal, from the largest to the smallest."""


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


class Around(Protocol):
    """What nodes are drawn around: weighted nodes, their moments, and a population.

    Shapes as in `pdmodel.look.Look`; `centre` and `sd` may also have patients first.
    """

    @property
    def centre(self) -> Array: ...  # noqa: D102
    @property
    def sd(self) -> Array: ...  # noqa: D102
    @property
    def mean(self) -> Array: ...  # noqa: D102
    @property
    def covariance(self) -> Array: ...  # noqa: D102
    @property
    def nodes(self) -> Array: ...  # noqa: D102
    @property
    def weight(self) -> Array: ...  # noqa: D102


@partial(jax.jit, static_argnums=2)
def drawn_nodes(key: Array, look: Around, count: int, *more: Around) -> Nodes:
    """Draw nodes from a mixture of kernels around those of `look`, and from its population.

    Parameters
    ----------
    key : Array
    look : Around
    count : int
        Nodes to draw for each patient: in even numbers from each part of the mixture.
    *more
        Further looks, such as under other populations; as many nodes are drawn around each.

    Returns
    -------
    Nodes
        With the density of all looks together.
    """
    looks = (look, *more)
    drawn = [(count + k) // len(looks) for k in range(len(looks))]
    keys = [key, *(jax.random.fold_in(key, k) for k in range(len(more)))]
    parts = [_Part.around(*given) for given in zip(keys, looks, strict=True)]
    effects = jnp.concatenate([part.draw(size) for part, size in zip(parts, drawn, strict=True)])
    density = [
        part.log_density(effects, size) + jnp.log(size / count)
        for part, size in zip(parts, drawn, strict=True)
    ]
    return Nodes(effects, logsumexp(jnp.stack(density), axis=0))


class _Part(NamedTuple):
    """Kernels around the nodes of one look, and its population somewhat widened."""

    keys: Array
    kernels: Array
    scale: Array
    root: Array
    centre: Array
    spread: Array

    @classmethod
    def around(cls, key: Array, look: Around) -> "_Part":
        keys = jax.random.split(key, 3)
        kernels = resampled(keys[0], look.nodes, look.weight, KERNELS)
        scale = jnp.tile(jnp.array(SCALES), KERNELS // len(SCALES))
        root = jnp.linalg.cholesky(look.covariance)
        return cls(keys[1:], kernels, scale, root, look.centre, WIDENED * look.sd)

    def draw(self, count: int) -> Array:
        """Draw nodes, (count, patients, effects)."""
        k1, k2 = self.keys
        _, patients, d = self.kernels.shape
        wide = int(DEFENSIVE * count)
        near = count - wide
        u = spread_evenly(k1, near, patients, d + 1)
        tail = jnp.interp(u[..., d:], jnp.asarray(QUANTILES), jnp.asarray(STRETCH))
        jump = jnp.einsum("pij,npj->npi", self.root, ndtri(u[..., :d]) * tail)
        which = jnp.arange(near) * KERNELS // near  # neighbours in a sequence are spread, too
        local = self.kernels[which] + self.scale[which, None, None] * jump
        broad = self.centre + self.spread * ndtri(spread_evenly(k2, wide, patients, d))
        return jnp.concatenate([local, broad])

    def log_density(self, effects: Array, count: int) -> Array:
        """Log density of nodes of which `count` are drawn, (nodes, patients)."""
        d = effects.shape[-1]
        inverse = jnp.linalg.inv(self.root)
        volume = jnp.sum(jnp.log(jnp.diagonal(self.root, axis1=1, axis2=2)), axis=1)

        def kernel(at: tuple[Array, Array]) -> Array:
            centre, scale = at
            z = jnp.einsum("pij,npj->npi", inverse, effects - centre) / scale
            return log_student(z, volume + d * jnp.log(scale))

        each = jax.lax.map(kernel, (self.kernels, self.scale))
        mixture = logsumexp(each, axis=0) - jnp.log(KERNELS)
        broad = log_normal(effects, self.centre, self.spread)
        share = int(DEFENSIVE * count) / count
        return jnp.logaddexp(jnp.log1p(-share) + mixture, jnp.log(share) + broad)


def spread_evenly(key: Array, count: int, patients: int, size: int) -> Array:
    """Spread points in a cube evenly, for each patient by itself; (count, patients, size).

    Sobol points, shifted by chance (Cranley, Patterson 1976, doi:10.1137/0713071).
    """
    rounded = qmc.Sobol(size, scramble=False).random_base2(max(count - 1, 1).bit_length())
    points = jnp.asarray(rounded[:count, None, :])
    least = 2.0**-53
    return jnp.clip((points + jax.random.uniform(key, (patients, size))) % 1.0, least, 1.0 - least)


def resampled(key: Array, effects: Array, weight: Array, count: int) -> Array:
    """Choose nodes in proportion to their weights, evenly; (count, patients, effects)."""
    ladder = (jax.random.uniform(key, weight.shape[1:]) + jnp.arange(count)[:, None]) / count
    rank = jax.vmap(jnp.searchsorted, (1, 1), 1)(jnp.cumsum(weight, axis=0), ladder)
    rank = jnp.minimum(rank, weight.shape[0] - 1)
    return jnp.take_along_axis(effects, rank[..., None], axis=0)


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


def walked(key: Array, height: Callable[[Array], Array], root: Array, at: Array) -> Array:
    """Move every patient's effects by a few exact Metropolis steps, which bring them off nodes.

    Parameters
    ----------
    key : Array
    height : callable
        ``effects -> (patients,)``, the log density of each patient's effects.
    root : Array, shape (patients, effects, effects)
        Cholesky factor of the patients' covariances, roughly.
    at : Array, shape (patients, effects)
    """

    def move(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        at, before = carry
        k1, k2 = jax.random.split(jax.random.fold_in(key, k + 10))
        jump = jnp.einsum("pij,pj->pi", STRIDE * root, jax.random.normal(k1, at.shape))
        trial = at + jnp.where(k < 0, 0.0, jump)  # the first time: where it stands
        after = height(trial)
        accept = jnp.log(jax.random.uniform(k2, before.shape)) < after - before
        return jnp.where(accept[:, None], trial, at), jnp.where(accept, after, before)

    return jax.lax.fori_loop(-1, MOVES, move, (at, jnp.full(at.shape[0], -jnp.inf)))[0]


class Weighed(NamedTuple):
    """Nodes, their log-likelihoods (nodes, patients), and the look that was taken from them."""

    nodes: Nodes
    height: Array
    look: Look


def refined(
    model: Model, data: Evidence, look: Look, key: Array, count: int, rounds: int
) -> Weighed:
    """Draw nodes, weigh them under the population of `look`, and draw again around them."""
    out = _one_round(model, data, look, jax.random.fold_in(key, 0), count)
    for turn in range(1, rounds):
        out = _one_round(model, data, out.look, jax.random.fold_in(key, turn), count)
    return out


def _one_round(model: Model, data: Evidence, look: Look, key: Array, count: int) -> Weighed:
    nodes = _drawn(key, look, count)
    return _weighed(nodes, likelihoods(model, data, nodes.effects, look.shared), look)


@jax.jit
def _weighed(nodes: Nodes, height: Array, look: Look) -> Weighed:
    prior = log_normal(nodes.effects, look.centre, look.sd)
    weight, effective = tempered(height + prior - nodes.log_drawn)
    mean, covariance = moments(nodes.effects, weight, look.sd)
    look = look._replace(
        mean=mean, covariance=covariance, nodes=nodes.effects, weight=weight, effective=effective
    )
    return Weighed(nodes, height, look)


def log_marginals(weighed: Weighed) -> Array:
    """Log marginal likelihood of every patient at the population of a look, (patients,)."""
    nodes, height, look = weighed
    prior = log_normal(nodes.effects, look.centre, look.sd)
    return logsumexp(height + prior - nodes.log_drawn, axis=0) - jnp.log(len(height))


def fresh_marginal(
    model: Model, data: Evidence, look: Look, key: Array, count: int
) -> tuple[float, float]:
    """Log marginal likelihood of all patients by new nodes, and its standard error.

    The nodes are drawn around others of the same number, in two independent halves.
    """
    first, *keys = jax.random.split(key, 3)
    around = refined(model, data, look, first, count // 2, 1).look
    half, other = (log_marginals(refined(model, data, around, k, count // 2, 1)) for k in keys)
    value = jnp.sum(jnp.logaddexp(half, other) - jnp.log(2.0))
    return float(value), noise_of(half, other, jnp.ones(half.shape, bool))


_drawn = jax.jit(drawn_nodes, static_argnums=2)
