"""A pool of weighed positions of the population, and where they say that it lies.

Positions are drawn around the mode and weighed by the nodes; from all that were weighed, the next
proposal takes mean and covariance, and so on (adaptive multiple importance sampling: Cornuet,
Marin, Mira, Robert 2012, doi:10.1111/j.1467-9469.2011.00756.x). Weights refer to the mixture of
all proposals that were used.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.stats import multivariate_t

from pdmodel.checkpoint import Checkpoints
from pdmodel.nodes import Nodes
from pdmodel.parallel import side_by_side
from pdmodel.population import FAILED
from pdmodel.quadrature.climb import Summit
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.integrand import hold, log_marginals_kept, weighed
from pdmodel.quadrature.series import Series
from pdmodel.quadrature.stored import Courses

T_DENSITY: Callable[..., np.ndarray] = multivariate_t.logpdf
TAIL = 7
"""Degrees of freedom of proposals."""
WIDER = 1.1
"""Factor on their standard deviations."""
BROAD, BROADER = 0.1, 2.0
"""Share of a proposal that is wider than the rest, and by how much."""
ENOUGH = 4.0
"""Effective draws for each coordinate below which weights are flattened."""
LEAST = 0.02
"""Power to which weights are flattened at most."""
CHUNK = 64
"""Positions that are kept together on disk."""


class Proposal(NamedTuple):
    """Two Student-t distributions around one middle."""

    mean: np.ndarray
    covariance: np.ndarray

    def _parts(self) -> list[tuple[float, np.ndarray]]:
        shape = self.covariance * WIDER**2 * (TAIL - 2.0) / TAIL
        return [(1.0 - BROAD, shape), (BROAD, shape * BROADER**2)]

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw positions, (count, coordinates)."""
        wide = rng.random(count) < BROAD
        root = np.linalg.cholesky(self._parts()[0][1])
        z = rng.standard_normal((count, len(self.mean))) @ root.T
        tail = np.sqrt(TAIL / rng.chisquare(TAIL, count))
        return self.mean + z * (tail * np.where(wide, BROADER, 1.0))[:, None]

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density of positions, (count,)."""
        each = [
            np.log(share) + np.atleast_1d(T_DENSITY(x, self.mean, shape, TAIL))
            for share, shape in self._parts()
        ]
        return np.logaddexp.reduce(each, axis=0)


class Weighed(NamedTuple):
    """Positions with what their nodes say, positions first.

    Attributes
    ----------
    x : ndarray, shape (count, coordinates)
    log_posterior : ndarray, shape (count,)
        Up to a constant.
    marginal, effective : ndarray, shape (count, patients)
        Log marginal likelihood, and effective number of nodes.
    effects : ndarray, shape (count, patients, effects)
        Of every patient one node, chosen by weight.
    failed : ndarray of int, shape (count,)
        Courses of all patients' nodes that were not solved there.
    """

    x: np.ndarray
    log_posterior: np.ndarray
    marginal: np.ndarray
    effective: np.ndarray
    effects: np.ndarray
    failed: np.ndarray


def weigh(
    of: Coordinates, it: Series, nodes: Nodes, courses: Courses | None, x: np.ndarray, key: Array,
    *, name: str, checkpoints: Checkpoints, tick: Callable[[int, int], None],
) -> Weighed:  # fmt: skip
    """Weigh the nodes at positions, in chunks that are kept.

    Parameters
    ----------
    tick : callable
        Told how many positions were done in a chunk, and how many courses were not solved.
    """
    keys, pieces = jax.random.split(key, len(x)), []
    for first in range(0, len(x), CHUNK):
        rows = range(first, min(first + CHUNK, len(x)))
        chunk = partial(_chunk, of, it, nodes, courses, x, keys, rows)
        pieces.append(checkpoints.kept(f"{name} {first}", chunk))
        tick(len(rows), int(np.sum(pieces[-1].failed)))
    return together(pieces)


def together(pieces: list[Weighed]) -> Weighed:
    """Put positions one after the other."""
    parts = zip(*pieces, strict=True)
    return Weighed(*(np.concatenate([np.asarray(one) for one in part]) for part in parts))


def _chunk(
    of: Coordinates, it: Series, nodes: Nodes, courses: Courses | None, x: np.ndarray,
    keys: Array, rows: range,
) -> Weighed:  # fmt: skip
    def one(k: int) -> tuple[np.ndarray, ...]:
        return at_one(of, it, nodes, courses, x[rows[k]], keys[rows[k]])

    found = zip(*side_by_side(one, len(rows)), strict=True)
    return Weighed(x[rows.start : rows.stop], *(np.stack(part) for part in found))


def at_one(
    of: Coordinates, it: Series, nodes: Nodes, courses: Courses | None, x: np.ndarray, key: Array
) -> tuple[np.ndarray, ...]:
    """Weigh one position; courses are read off where they hold. What of `Weighed` follows `x`."""
    known = courses if courses is not None and hold(of, courses, x) else None
    density, log_weight = weighed(of, it, nodes, jnp.asarray(x), known)
    return tuple(map(np.asarray, (density, *_told(log_weight, nodes.effects, key))))


@jax.jit
def _told(log_weight: Array, effects: Array, key: Array) -> tuple[Array, ...]:
    """Log marginal likelihoods, effective numbers of nodes, a node of each patient, failures."""
    effective = 1.0 / jnp.sum(jax.nn.softmax(log_weight, axis=0) ** 2, axis=0)
    node = chosen(key, log_weight, effects)
    return log_marginals_kept(log_weight), effective, node, jnp.sum(log_weight < 0.5 * FAILED)


def chosen(key: Array, log_weight: Array, effects: Array) -> Array:
    """Choose a node for every patient by weight, (patients, effects)."""
    rank = jax.random.categorical(key, log_weight, axis=0)
    return jnp.take_along_axis(effects, rank[None, :, None], axis=0)[0]


def gathered(
    weigh: Callable[[np.ndarray, str], Weighed], summit: Summit, seed: int, rounds: int, count: int
) -> tuple[Weighed, Proposal]:
    """Weigh positions in rounds, each around what the rounds before found.

    Parameters
    ----------
    weigh : callable
        ``(x, name) -> Weighed``.
    summit : Summit
        Where the first round is drawn.
    seed, rounds, count : int

    Returns
    -------
    found : Weighed
        All positions.
    proposal : Proposal
        What a further round would use.
    """
    proposal = Proposal(np.asarray(summit.position), summit.covariance)
    proposals: list[Proposal] = []
    found: list[Weighed] = []
    for turn in range(rounds):
        rng = np.random.default_rng([seed, turn])
        found.append(weigh(proposal.draw(rng, count), f"pool {turn}"))
        proposals.append(proposal)
        every = together(found)
        proposal = _learnt(every.x, _log_weights(every, proposals), proposal)
    return together(found), proposal


def _log_weights(found: Weighed, proposals: list[Proposal]) -> np.ndarray:
    """Log weights against the mixture of the proposals, the largest 0."""
    mixture = np.logaddexp.reduce([one.log_density(found.x) for one in proposals], axis=0)
    raw = np.asarray(found.log_posterior - mixture)
    return np.where(np.isfinite(raw), raw, -np.inf) - np.max(raw[np.isfinite(raw)])


def _learnt(x: np.ndarray, log_weight: np.ndarray, before: Proposal) -> Proposal:
    """Mean and covariance of weighted positions, the weights flattened where too few count."""
    enough, power = min(ENOUGH * x.shape[1], 0.5 * len(x)), 1.0

    def share_of(power: float) -> np.ndarray:
        scaled = power * log_weight
        return np.exp(scaled - np.logaddexp.reduce(scaled))

    while 1.0 / np.sum(share_of(power) ** 2) < enough and power > LEAST:
        power *= 0.9
    weight = share_of(power)
    mean = weight @ x
    off = x - mean
    effective = 1.0 / np.sum(weight**2)
    share = effective / (effective + ENOUGH * x.shape[1])  # few say little of a covariance
    covariance = share * (off.T * weight) @ off + (1.0 - share) * before.covariance
    return Proposal(mean, covariance)
