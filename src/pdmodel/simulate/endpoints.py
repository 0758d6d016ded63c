"""Endpoints of each virtual patient, and their means over an arm with what is uncertain about them.

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

from pdmodel.response import (
    CLASSES,
    CR,
    PD,
    PR,
    RESPONSES,
    RULES,
    SD,
    SLACK,
    baseline_index,
    best_change,
    classify_courses,
    progression_day,
)

RULE = RULES["sitc2020"]
LANDMARKS = (RULE.primary_before_day, RULE.durable_at_day)
"""Six and twelve months, in days."""
LEVEL = 0.90
Z = float(stats.norm.ppf(0.5 + LEVEL / 2))


class Outcomes(NamedTuple):
    """What each course comes to, each of shape (patients,).

    Attributes
    ----------
    best_response : ndarray of int
        Position in `pdmodel.response.RESPONSES`, unconfirmed, up to progression; -1 if unknown.
    best_change : ndarray
        Smallest size after baseline, % from baseline.
    progression_day : ndarray
        First visit with PD; inf if none, nan if the course could not be solved.
    resistance : ndarray of int
        Position in `pdmodel.response.CLASSES`.
    """

    best_response: np.ndarray
    best_change: np.ndarray
    progression_day: np.ndarray
    resistance: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """Say it in words."""
        return {
            "best_response": np.array([*RESPONSES, "NE"])[self.best_response],
            "best_change_percent": self.best_change,
            "progression_day": self.progression_day,
            "resistance_class": np.array(CLASSES)[self.resistance],
        }


def outcomes(day: np.ndarray, size: np.ndarray) -> Outcomes:
    """Judge courses by the rule sitc2020.

    Parameters
    ----------
    day : ndarray, shape (visits,)
    size : ndarray, shape (patients, visits)
        In mm; nan where a course could not be solved.
    """
    progressed = progression_day(day, size, RULE)
    first = baseline_index(day)
    known = np.maximum(size, RULE.disappeared_mm)
    base, later = known[:, first, None], known[:, first + 1 :]
    before = day[first + 1 :] < progressed[:, None]
    gone = before & (later <= RULE.disappeared_mm) & (base > RULE.disappeared_mm)
    smaller = before & (later * (1 - SLACK) <= (1 + RULE.partial_response) * base)
    holds = [np.isnan(progressed), gone.any(1), smaller.any(1), before.any(1)]
    best = np.select(holds, [-1, CR, PR, SD], PD)
    return Outcomes(best, best_change(day, size), progressed, classify_courses(day, size, RULE))


def measures(seen: Outcomes, last_day: float) -> dict[str, tuple[str, np.ndarray]]:
    """Numbers of each patient whose means are the endpoints: unit and (patients,) by name.

    A landmark after the last visit is left out. Where a course could not be solved all are nan.
    """
    failed, day = np.isnan(seen.progression_day), seen.progression_day
    out = {"objective_response": ("1", (seen.best_response <= PR) * 1.0)}
    out["disease_control"] = ("1", (seen.best_response <= SD) * 1.0)
    for landmark in LANDMARKS:
        if landmark <= last_day:
            out[f"progression_free_day_{landmark:g}"] = ("1", (day > landmark) * 1.0)
    for k, label in enumerate(CLASSES):
        out[f"class_{label}"] = ("1", (seen.resistance == k) * 1.0)
    out["progression_free_days_mean"] = ("day", np.minimum(day, last_day))
    return {name: (unit, np.where(failed, np.nan, x)) for name, (unit, x) in out.items()}


class Mean(NamedTuple):
    """A mean over virtual patients, and its uncertainty."""

    n: int
    estimate: float
    sd: float
    """Of the mean of a population of unlimited size: its uncertainty, and ours about it."""
    mc_error: float
    """The part of `sd` that more virtual patients, or more draws, would take away."""

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
        return Mean(n, float(x.mean()) if n else np.nan, np.nan, np.nan)
    count = np.bincount(group)
    count, total = count[count > 0], np.bincount(group, x)[count > 0]
    middle, groups = x.mean(), len(count)
    within = max(np.sum(x**2) - np.sum(total**2 / count), 0.0)
    if groups == n or groups == 1:
        error = float(np.sqrt(x.var(ddof=1) / n))
        return Mean(n, float(middle), error, error)
    within /= n - groups
    squares = np.sum(count * (total / count - middle) ** 2)
    typical_count = (n - np.sum(count**2) / n) / (groups - 1)
    between = _beyond(squares, groups - 1, within) / typical_count
    error = between * np.sum(count**2) / n**2 + within / n
    return Mean(n, float(middle), float(np.sqrt(between + error)), float(np.sqrt(error)))


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


def progression_free(day: np.ndarray, progressed: np.ndarray) -> np.ndarray:
    """Whether each patient is free of progression after each visit, (patients, visits); or nan."""
    free = (progressed[:, None] > day) * 1.0
    return np.where(np.isnan(progressed)[:, None], np.nan, free)


def median_day(
    day: np.ndarray, progressed: np.ndarray, group: np.ndarray
) -> tuple[float, float, float]:
    """First visit by which half have progressed, and its 90 % interval; inf if not reached.

    The interval is where that of the share free of progression includes a half.
    """
    free = progression_free(day, progressed)
    shares = [mean(column, group) for column in free.T]
    middle = np.array([share.estimate for share in shares])
    low, high = np.array([share.share_interval() for share in shares]).T

    def reached(share: np.ndarray) -> float:
        below = np.flatnonzero(share <= 0.5)
        return float(day[below[0]]) if below.size else np.inf

    return reached(middle), reached(low), reached(high)


def rows(
    day: np.ndarray,
    seen: Outcomes,
    reference: Outcomes | None,
    group: np.ndarray,
) -> list[dict[str, object]]:
    """Rows of the summary of one arm, with the paired difference from a reference arm."""
    mine = measures(seen, day[-1])
    theirs = {} if reference is None else measures(reference, day[-1])
    out = []
    for name, (unit, x) in mine.items():
        here = mean(x, group)
        low, high = here.share_interval() if unit == "1" else here.interval()
        row: dict[str, object] = {
            "endpoint": name,
            "unit": unit,
            "n": here.n,
            "estimate": here.estimate,
        }
        row |= {"low": low, "high": high, "mc_error": here.mc_error}
        if name in theirs:
            gain = mean(x - theirs[name][1], group)
            ends = gain.interval()
            row |= {"difference": gain.estimate, "difference_low": ends[0]}
            row |= {"difference_high": ends[1]}
        out.append(row)
    middle = median_day(day, seen.progression_day, group)
    row = {"endpoint": "progression_day_median", "unit": "day", "n": out[0]["n"]}
    row |= dict(zip(("estimate", "low", "high"), middle, strict=True))
    if reference is not None:
        before = median_day(day, reference.progression_day, group)[0]
        both = np.isfinite([middle[0], before]).all()
        row["difference"] = middle[0] - before if both else np.nan
    return [*out, row]
