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
    parts = [_part_drawn(*given) for given in zip(keys, looks, drawn, strict=True)]
    effects = jnp.concatenate([each for _, each in parts])
    density = [
        part.log_density(effects, size) + np.log(size / count)
        for (part, _), size in zip(parts, drawn, strict=True)
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

    @partial(jax.jit, static_argnums=2)
    def log_density(self, effects: Array, count: int) -> Array:
        """Log density of nodes of which `count` are drawn, (nodes, patients)."""
        d = effects.shape[-1]
        inverse = jnp.linalg.inv(self.root)
        volume = jnp.sum(jnp.log(jnp.diagonal(self.root, axis1=1, axis2=2)), axis=1)

        def kernel(at: tuple[Array, Array]) -> Array:
            centre, scale = at
            z = jnp.einsum("pij,npj->npi", inverse, effects - centre) / scale
            return log_student(z, volume + d * jnp.log(scale))

        def add(total: Array, at: tuple[Array, Array]) -> tuple[Array, None]:
            return jnp.logaddexp(total, kernel(at)), None

        nothing = jnp.full(effects.shape[:-1], -jnp.inf)  # one after the other, to spare memory
        mixture = jax.lax.scan(add, nothing, (self.kernels, self.scale))[0] - jnp.log(KERNELS)
        broad = log_normal(effects, self.centre, self.spread)
        share = int(DEFENSIVE * count) / count
        return jnp.logaddexp(jnp.log1p(-share) + mixture, jnp.log(share) + broad)


@partial(jax.jit, static_argnums=2)  # of one part, as all parts are one program
def _part_drawn(key: Array, look: Around, count: int) -> tuple[_Part, Array]:
    part = _Part.around(key, look)
    return part, part.draw(count)


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
    nodes = drawn_nodes(key, look, count)
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
