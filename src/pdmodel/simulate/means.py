"""Means over virtual patients, and what is uncertain about them.

A mean over virtual patients is uncertain because the population is (patients of one posterior draw
are alike) and because there are finitely many of them. The two are told apart by the analysis of
variance between and within the draws, taking the posterior mean of the variance between them under
a flat prior of the log of the total, which cannot be negative (Box and Tiao 1973, chapter 5,
doi:10.1002/9781118033197). With few patients a draw that leans to the wide side.
"""

import sys
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.90
Z = float(stats.norm.ppf(0.5 + LEVEL / 2))


class Mean(NamedTuple):
    """A mean over virtual patients, and its uncertainty."""

    n: int
    estimate: float
    sd: float
    """Of the mean of a population of unlimited size: its uncertainty, and ours about it."""
    mc_error: float
    """The part of `sd` that more virtual patients, or more draws, would take away."""
    from_parameters: float
    """Sd between populations that the draws hold possible, of a trial of unlimited size."""
    from_sampling: float
    """Sd between trials of this many patients of one population."""

    def interval(self) -> tuple[float, float]:
        """Give the 90 % interval of a mean that may be any number."""
        return self.estimate - Z * self.sd, self.estimate + Z * self.sd

    def share_interval(self) -> tuple[float, float]:
        """Give the 90 % interval of a share: Jeffreys', with the effective number of patients."""
        if not self.n:
            return np.nan, np.nan
        middle = (self.n * self.estimate + 0.5) / (self.n + 1)
        spread = middle * (1 - middle)
        n = min(spread / self.sd**2, self.n) if self.sd > 0 else self.n
        ends = stats.beta.ppf(
            (0.5 - LEVEL / 2, 0.5 + LEVEL / 2),
            n * self.estimate + 0.5,
            n * (1 - self.estimate) + 0.5,
        )
        low, high = float(ends[0]), float(ends[1])
        return (0.0 if self.estimate == 0 else low), (1.0 if self.estimate == 1 else high)


def mean(x: np.ndarray, group: np.ndarray) -> Mean:
    """Take the mean over patients, and tell the variance between draws from that within.

    Parameters
    ----------
    x : ndarray, shape (patients,)
        nan is left out.
    group : ndarray of int, shape (patients,)
        Which draw of the population each patient is of. Where no draw has two patients, the
        variance between draws cannot be told, and is left out of ``sd``.
    """
    known = np.isfinite(x)
    x, group = x[known], group[known]
    n = len(x)
    if n < 2:
        return Mean(n, float(x.mean()) if n else np.nan, np.nan, np.nan, np.nan, np.nan)
    count = np.bincount(group)
    count, total = count[count > 0], np.bincount(group, x)[count > 0]
    middle, groups = x.mean(), len(count)
    within = max(np.sum(x**2) - np.sum(total**2 / count), 0.0)
    if groups == n or groups == 1:
        error = float(np.sqrt(x.var(ddof=1) / n))
        return Mean(n, float(middle), error, error, np.nan, error)
    within /= n - groups
    squares = np.sum(count * (total / count - middle) ** 2)
    typical_count = (n - np.sum(count**2) / n) / (groups - 1)
    between = _beyond(squares, groups - 1, within) / typical_count
    error = between * np.sum(count**2) / n**2 + within / n
    parts = (between + error, error, between, within / n)
    return Mean(n, float(middle), *(float(np.sqrt(part)) for part in parts))


def _beyond(squares: float, freedom: int, floor: float) -> float:
    """Posterior mean of a variance in excess of a floor that it cannot be below.

    Parameters
    ----------
    squares, freedom : float, int
        Sum of squares, that in units of the variance is chi-squared, and its degrees of freedom.
    floor : float
    """
    if freedom <= 2 or floor <= 0:
        return max(squares / freedom - floor, 0.0)
    most = squares / floor
    below = stats.chi2.cdf(most, freedom)
    if below < sys.float_info.min:  # the limit of no squares at all
        return 2.0 * floor / (freedom - 2)
    ratio = stats.chi2.cdf(most, freedom - 2) / below
    return float(squares / (freedom - 2) * ratio - floor)
