"""Draws of the population out of weighed positions: chosen in proportion to their weights.

Sampling/importance resampling (Rubin 1988, Bayesian Statistics 3) with weights whose tail is
smoothed and judged (Vehtari and others 2024, arXiv:1507.02646).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from arviz_stats.base.array import array_stats

SAME = 1e-9
"""Log weights that differ by less are equal."""


class Chosen(NamedTuple):
    """Which positions are the draws, and how much they are worth.

    Attributes
    ----------
    row : ndarray, shape (chains, draws)
    effective : float
        As many independent draws as all the positions are worth.
    pareto_k : float
        Shape of the tail of the weights; above 0.7 they cannot be trusted.
    """

    row: np.ndarray
    effective: float
    pareto_k: float


def resampled(log_weight: np.ndarray, chains: int, draws: int, seed: int) -> Chosen:
    """Choose positions by weight.

    Every chain chooses among positions of its own, so that chains that were led astray by their
    weights differ.

    Parameters
    ----------
    log_weight : ndarray, shape (positions,)
        Log density less that of what proposed the position; what is not finite is never chosen.
        Every chain has as many positions.
    chains, draws : int
    seed : int
    """
    smooth, pareto_k = smoothed(log_weight)
    weight = np.exp(smooth - smooth.max())
    rng = np.random.default_rng(seed)
    parts = np.split(np.arange(len(weight)), chains)
    row = np.stack([part[_systematic(weight[part], draws, rng)] for part in parts])
    return Chosen(row, float(weight.sum() ** 2 / np.sum(weight**2)), pareto_k)


def _systematic(weight: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose with as little noise as can be; the order means nothing."""
    ladder = np.cumsum(weight)
    steps = (rng.random() + np.arange(count)) / count * ladder[-1]
    row = np.minimum(np.searchsorted(ladder, steps, side="right"), np.flatnonzero(weight)[-1])
    return rng.permutation(row)


def worth(log_weight: np.ndarray) -> float:
    """Tell how many independent draws a position is worth on average, by smoothed weights."""
    smooth, _ = smoothed(log_weight)
    weight = np.exp(smooth - smooth.max())
    return float(weight.sum() ** 2 / np.sum(weight**2) / len(weight))


def smoothed(log_weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Smooth the tail of weights; gives log weights, and the shape k of the tail."""
    finite = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    if np.ptp(finite[np.isfinite(finite)]) < SAME:
        return finite, 0.0  # no tail
    smooth, pareto_k = array_stats.psislw(-(finite - finite.max()))  # takes what divides
    return np.asarray(smooth), float(pareto_k)


def comparable(log_weight: np.ndarray) -> np.ndarray:
    """Scale weights so that those of several proposals may be put together.

    The density of a proposal is known but for a constant. So weights are divided by their sum, and
    multiplied by how many independent draws they are worth: a mean of estimates that are weighed
    so varies least.
    """
    finite = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    return finite - np.logaddexp.reduce(finite) + np.log(worth(finite) * len(finite))


def alternated(pieces: Sequence[np.ndarray], chains: int) -> np.ndarray:
    """Put arrays together so that every chain has some of each."""
    parts = zip(*(np.split(one, chains) for one in pieces), strict=True)
    return np.concatenate([part for of_chain in parts for part in of_chain])
