"""How good probabilities of yes or no were: scores, ranks, reliability and net benefit.

Arrays are of one probability and one outcome for each patient, or lesion; `person` says whose it
is, and intervals are by resampling persons.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pdmodel.compare.tables import INTERVAL, RESAMPLES, Interval, bootstrapped
from pdmodel.errors import OptionError

LEAST = 1e-3
"""Probability that the log score takes for anything less, and one less it for anything more."""
BINS = 5


class Reliability(NamedTuple):
    """What happened where about the same was forecast; each of shape (bins,), no bin empty."""

    cases: np.ndarray
    """How many."""
    forecast: np.ndarray
    """Mean probability."""
    observed: np.ndarray
    """Share of yes."""
    low: np.ndarray
    """Wilson's 95 % interval of the share."""
    high: np.ndarray


def brier_scores(p: ArrayLike, yes: ArrayLike) -> np.ndarray:
    """Squared distance of each probability from what happened (0 or 1); the less the better."""
    p, yes = _checked(p, yes)
    return (p - yes) ** 2


def log_scores(p: ArrayLike, yes: ArrayLike, least: float = LEAST) -> np.ndarray:
    """Log of the probability of what happened, in nats, that of `least` at least."""
    p, yes = _checked(p, yes)
    return np.log(np.maximum(np.where(yes, p, 1 - p), least))


def net_benefits(p: ArrayLike, yes: ArrayLike, threshold: float) -> np.ndarray:
    """Give what each patient adds to the net benefit of acting at a probability of `threshold`.

    1 for a yes that was acted on, minus the odds of the threshold for a no that was, else 0
    (Vickers & Elkin 2006, doi:10.1177/0272989X06295361). The mean is the net benefit.

    Raises
    ------
    OptionError
        If the threshold is not between 0 and 1.
    """
    p, yes = _checked(p, yes)
    if not 0 < threshold < 1:
        raise OptionError(f"threshold is {threshold}; it must be between 0 and 1.")
    return np.where(p >= threshold, np.where(yes, 1.0, -threshold / (1 - threshold)), 0.0)


def decision_curve(
    p: ArrayLike, yes: ArrayLike, thresholds: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Net benefit at each threshold, of the probabilities and of acting on everybody.

    Acting on nobody has a net benefit of 0.
    """
    each = np.atleast_1d(np.asarray(thresholds, float))
    mine = [net_benefits(p, yes, float(t)).mean() for t in each]
    everybody = [net_benefits(np.ones(np.shape(p)), yes, float(t)).mean() for t in each]
    return np.array(mine), np.array(everybody)


def auc(p: ArrayLike, yes: ArrayLike) -> float:
    """Probability that of a yes and a no the yes had the higher forecast, ties by half.

    nan where all outcomes are the same.
    """
    p, yes = _checked(p, yes)
    pairs = yes.sum() * (~yes).sum()
    return float(stats.mannwhitneyu(p[yes], p[~yes])[0] / pairs) if pairs else np.nan


def auc_interval(
    p: ArrayLike, yes: ArrayLike, person: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """AUC, with an interval by resampling persons; resamples of one outcome only are left out."""
    p, yes = _checked(p, yes)
    whole = auc(p, yes)
    if np.isnan(whole):
        return Interval(whole, np.nan, np.nan)
    names, whose = np.unique(np.asarray(person), return_inverse=True)
    chosen = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    times = np.stack([np.bincount(one, minlength=len(names)) for one in chosen])
    hit, miss = times[:, whose[yes]], times[:, whose[~yes]]
    higher = (np.sign(p[yes][:, None] - p[~yes][None, :]) + 1) / 2
    pairs = hit.sum(axis=1) * miss.sum(axis=1)
    there = pairs > 0
    won = ((hit @ higher) * miss).sum(axis=1)[there] / pairs[there]
    low, high = np.quantile(won, INTERVAL)
    return Interval(whole, float(low), float(high))


def mean_interval(value: np.ndarray, person: ArrayLike, *, seed: int) -> Interval:
    """Mean of a score over patients, with an interval by resampling persons."""
    return bootstrapped(value, np.asarray(person), seed=seed)


def reliability(p: ArrayLike, yes: ArrayLike, bins: int = BINS) -> Reliability:
    """Sort probabilities into bins of equal width, and count what happened in each.

    Raises
    ------
    OptionError
        If there is not one bin or more.
    """
    p, yes = _checked(p, yes)
    if bins < 1:
        raise OptionError(f"bins is {bins}; it must be 1 or more.")
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    kept = count > 0
    hits = np.bincount(place, yes, bins)[kept].astype(int)
    count, forecast = count[kept], np.bincount(place, p, bins)[kept] / count[kept]
    ends = [
        stats.binomtest(int(k), int(n)).proportion_ci(method="wilson")
        for k, n in zip(hits, count, strict=True)
    ]
    low, high = (np.array([end[k] for end in ends]) for k in (0, 1))
    return Reliability(count, forecast, hits / count, low, high)


def calibration_error(p: ArrayLike, yes: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of forecast and share of yes over `reliability`.

    Chance alone makes it larger than 0, the more so the fewer patients there are.
    """
    found = reliability(p, yes, bins)
    return float(np.average(np.abs(found.forecast - found.observed), weights=found.cases))


def _checked(p: ArrayLike, yes: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    p, yes = np.asarray(p, float), np.asarray(yes, bool)
    if p.ndim != 1 or p.shape != yes.shape or not p.size:
        raise OptionError(
            f"There are probabilities of shape {p.shape} and outcomes of shape {yes.shape}; give "
            "one of each for every patient, and one patient or more."
        )
    if not ((p >= 0) & (p <= 1)).all():
        bad = p[~((p >= 0) & (p <= 1))][0]
        raise OptionError(
            f"A probability is {bad}; all must be from 0 to 1. Leave out patients without one."
        )
    return p, yes
