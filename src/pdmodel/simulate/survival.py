"""Times to an event that may be censored: survival, each patient's share in it, hazard ratios."""

from typing import NamedTuple

import numpy as np
from scipy import stats


class Curve(NamedTuple):
    """A Kaplan-Meier curve: from each of these times on, the share that is free of the event."""

    time: np.ndarray
    free: np.ndarray

    def at(self, time: np.ndarray | float) -> np.ndarray:
        """Share free of the event after a time."""
        return np.append(1.0, self.free)[np.searchsorted(self.time, time, side="right")]

    def median(self) -> float:
        """First time by which half have had the event; inf if never."""
        below = np.flatnonzero(self.free <= 0.5 + 1e-12)
        return float(self.time[below[0]]) if below.size else np.inf


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> Curve:
    """Estimate the share free of an event (doi:10.1080/01621459.1958.10501452).

    Parameters
    ----------
    time : ndarray, shape (patients,)
        Of the event, or of the last look.
    event : ndarray of bool, shape (patients,)
    """
    days, events, at_risk = _counts(time, event)
    return Curve(days, np.cumprod(1.0 - events / at_risk))


def pseudo_values(time: np.ndarray, event: np.ndarray, at: float) -> np.ndarray:
    """What each patient adds to the share free of an event at a time.

    They are jackknife values ``n S - (n - 1) S_without`` of the Kaplan-Meier estimate
    (doi:10.1093/biomet/90.1.15): their mean is the estimate up to O(1/n), and where nobody is
    censored before, each is whether the patient is free of the event.

    Parameters
    ----------
    time, event
        As for `kaplan_meier`.
    at : float

    Returns
    -------
    ndarray, shape (patients,)
    """
    if not np.any(~event & (time < at)):
        return 1.0 - (event & (time <= at))
    n = len(time)
    kept = np.unique(time[time <= at])
    days, events, at_risk = _counts(time, event)
    events, at_risk = events[: len(kept)], at_risk[: len(kept)]
    whole = np.cumprod(1.0 - events / at_risk)
    fewer = np.maximum(at_risk - 1, 1)
    before = np.append(1.0, np.cumprod(1.0 - events / fewer))  # who leaves later
    after = np.append(np.cumprod((1.0 - events / at_risk)[::-1])[::-1], 1.0)
    place = np.searchsorted(days[: len(kept)], time)
    left = np.minimum(place, max(len(kept) - 1, 0))
    own = 1.0 - (events[left] - event) / fewer[left]
    without = np.where(
        place < len(kept), before[left] * own * after[left + 1], before[len(kept)]
    )  # fmt: skip
    return n * whole[-1] - (n - 1) * without


def _counts(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, each once and rising; events at each, and who was still looked at."""
    days, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, weights=event, minlength=len(days))
    leaving = np.bincount(place, minlength=len(days))
    return days, events, len(time) - np.cumsum(leaving) + leaving


class Hazard(NamedTuple):
    """Log of a hazard ratio, its standard error, and the one-sided p value that it is below 0."""

    log_ratio: float
    error: float
    p: float


def hazard_ratio(
    time: np.ndarray, event: np.ndarray, treated: np.ndarray, steps: int = 30
) -> Hazard:
    """Compare two groups by Cox's partial likelihood, ties as of Efron.

    (doi:10.1111/j.2517-6161.1972.tb00899.x, doi:10.1080/01621459.1977.10480613.) The p value is of
    the Wald test.

    Parameters
    ----------
    time, event
        As for `kaplan_meier`.
    treated : ndarray of bool, shape (patients,)
        Whose hazard stands above the line.
    steps : int
        Of Newton's method, at most.

    Returns
    -------
    Hazard
        nan where a group has no event.
    """
    if not (event & treated).any() or not (event & ~treated).any():
        return Hazard(np.nan, np.nan, np.nan)
    days, place = np.unique(time, return_inverse=True)
    risk, dead = (
        np.stack([np.bincount(place, w * here, len(days)) for here in (treated, ~treated)])
        for w in (np.ones(len(time)), event * 1.0)
    )
    risk = np.cumsum(risk[:, ::-1], axis=1)[:, ::-1]
    some = dead.sum(0) > 0
    risk, dead = risk[:, some], dead[:, some]
    ties = dead.sum(0).astype(int)
    at = np.repeat(np.arange(len(ties)), ties)
    share = (np.arange(len(at)) - np.repeat(np.cumsum(ties) - ties, ties)) / ties[at]
    weights = risk[:, at] - share * dead[:, at]  # who is at risk, both groups, at each death
    beta, information = 0.0, 1.0
    for _ in range(steps):
        p = np.exp(beta) * weights[0] / (np.exp(beta) * weights[0] + weights[1])
        score, information = dead[0].sum() - p.sum(), np.sum(p * (1 - p))
        step = score / information
        beta += np.clip(step, -2.0, 2.0)
        if abs(step) < 1e-10:
            break
    error = float(information**-0.5)
    return Hazard(float(beta), error, float(stats.norm.cdf(beta / error)))
