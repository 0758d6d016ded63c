"""Endpoints of each virtual patient, and of an arm: response, progression, survival, classes."""

from typing import NamedTuple

import numpy as np

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
    classify_courses,
    progression_day,
)
from pdmodel.simulate.conduct import FollowUp
from pdmodel.simulate.means import mean
from pdmodel.simulate.survival import kaplan_meier, pseudo_values
from pdmodel.simulate.treatment import carried

RULE = RULES["sitc2020"]
LANDMARKS = (RULE.primary_before_day, RULE.durable_at_day)
"""Six and twelve months, in days."""
LARGE_MM = 1e6
"""Size that stands for a progression that sizes do not show."""
POINTS = 60
"""Times at most at which the interval of a median is sought."""


class Outcomes(NamedTuple):
    """What each course comes to, each of shape (patients,).

    Attributes
    ----------
    best_response : ndarray of int
        Position in `pdmodel.response.RESPONSES`, unconfirmed, up to progression; -1 if unknown.
    best_change : ndarray
        Smallest size after baseline, % from baseline.
    progression_day : ndarray
        First scan that shows PD; inf if none, nan if the course could not be solved.
    resistance : ndarray of int
        Position in `pdmodel.response.CLASSES`.
    response_day : ndarray
        First scan with CR or PR before PD; inf if none.
    event_day : ndarray
        Of progression or death, or where progression-free survival is censored.
    event : ndarray of bool
    death_day : ndarray
        inf if alive at the last planned visit.
    """

    best_response: np.ndarray
    best_change: np.ndarray
    progression_day: np.ndarray
    resistance: np.ndarray
    response_day: np.ndarray
    event_day: np.ndarray
    event: np.ndarray
    death_day: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """Say it in words."""
        return {
            "best_response": np.array([*RESPONSES, "NE"])[self.best_response],
            "best_change_percent": self.best_change,
            "progression_day": self.progression_day,
            "resistance_class": np.array(CLASSES)[self.resistance],
            "response_day": self.response_day,
            "event_day": self.event_day,
            "event": self.event,
            "death_day": self.death_day,
        }


def outcomes(day: np.ndarray, size: np.ndarray, followed: FollowUp | None = None) -> Outcomes:
    """Judge courses by the rule sitc2020.

    Progression-free survival is that of `pdmodel.response.progression_free_survival`: an event
    after two or more missed scans in a row is censored at the last scan before them.

    Parameters
    ----------
    day : ndarray, shape (visits,) or (patients, visits)
    size : ndarray, shape (patients, visits)
        In mm; nan where a course could not be solved.
    followed : FollowUp, optional
        Which scans were made; by default all.
    """
    day = np.broadcast_to(day, size.shape)
    alive = np.full(len(size), np.inf)
    seen, other, death = followed or FollowUp(np.ones(size.shape, bool), alive, alive)
    first = baseline_index(day[0])
    known = np.maximum(carried(size, seen), RULE.disappeared_mm)
    judged = np.where(day >= other[:, None], LARGE_MM, known)
    progressed = progression_day(day, judged, RULE)
    base, later, at = known[:, first, None], known[:, first + 1 :], day[:, first + 1 :]
    made = seen[:, first + 1 :]
    before = made & (at < progressed[:, None])
    gone = before & (later <= RULE.disappeared_mm) & (base > RULE.disappeared_mm)
    smaller = before & (later * (1 - SLACK) <= (1 + RULE.partial_response) * base)
    failed = np.isnan(progressed)
    holds = [failed, gone.any(1), smaller.any(1), before.any(1), np.isfinite(progressed)]
    reached = np.where(seen, day, -np.inf).max(1)
    event_day, event = _progression_free(at, made, progressed, death)
    with np.errstate(invalid="ignore"):
        change = 100 * (np.where(made, later, np.inf).min(1, initial=np.inf) / base[:, 0] - 1)
    return Outcomes(
        best_response=np.select(holds, np.array([-1, CR, PR, SD, PD], np.int8), np.int8(-1)),
        best_change=np.where(np.isfinite(change), change, np.nan),
        progression_day=progressed,
        resistance=classify_courses(*_as_made(day, judged, seen), RULE, reached),
        response_day=np.where(gone | smaller, at, np.inf).min(1, initial=np.inf),
        event_day=np.where(failed, np.nan, event_day),
        event=event & ~failed,
        death_day=death,
    )


def _as_made(day: np.ndarray, size: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put the next scan in the place of those missed before the first after baseline."""
    first = baseline_index(day[0])
    made = seen.copy()
    made[:, : first + 1] = False
    at = np.where(made.any(1), made.argmax(1), 0)[:, None]
    place = np.arange(day.shape[1])
    place = np.where((place > first) & (place < at), at, place)
    return np.take_along_axis(day, place, 1), np.take_along_axis(size, place, 1)


def _progression_free(
    at: np.ndarray, made: np.ndarray, progressed: np.ndarray, death: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Day of the event or of censoring, and whether it is an event."""
    ends = np.fmin(np.nan_to_num(progressed, nan=np.inf, posinf=np.inf), death)
    last = np.maximum(np.where(made & (at < ends[:, None]), at, 0.0).max(1, initial=0.0), 0.0)
    missed = np.sum((at < ends[:, None]) & (at > last[:, None]), axis=1)
    event = np.isfinite(ends) & (missed <= RULE.missed_allowed)
    return np.where(event, ends, last), event


def measures(seen: Outcomes, last_day: float) -> dict[str, tuple[str, np.ndarray]]:
    """Numbers of each patient whose means are the endpoints: unit and (patients,) by name.

    What may be censored comes as pseudo-values (`pdmodel.simulate.survival.pseudo_values`). A
    landmark after the last visit is left out, and the mean of days where some are censored before
    it. Where a course could not be solved all are nan.
    """
    failed = np.isnan(seen.progression_day)
    out = {"objective_response": ("1", (_found(seen) <= PR) * 1.0)}
    out["disease_control"] = ("1", (_found(seen) <= SD) * 1.0)
    landmarks = [landmark for landmark in LANDMARKS if landmark <= last_day]
    for landmark in landmarks:
        free = event_free(seen, landmark)
        out[f"progression_free_day_{landmark:g}"] = ("1", free)
    for k, label in enumerate(CLASSES):
        out[f"class_{label}"] = ("1", (seen.resistance == k) * 1.0)
    whole = seen.event | (seen.event_day >= last_day) | failed
    if whole.all():
        out["progression_free_days_mean"] = ("day", np.minimum(seen.event_day, last_day))
    if np.isfinite(seen.death_day).any():
        for landmark in landmarks:
            out[f"alive_day_{landmark:g}"] = ("1", (seen.death_day > landmark) * 1.0)
    return {name: (unit, np.where(failed, np.nan, x)) for name, (unit, x) in out.items()}


def _found(seen: Outcomes) -> np.ndarray:
    """Best response, with not evaluable behind all others."""
    return np.where(seen.best_response < 0, len(RESPONSES), seen.best_response)


def event_free(seen: Outcomes, at: float) -> np.ndarray:
    """Add each patient's part of the share that is free of progression and death; nan if failed."""
    ok = np.isfinite(seen.event_day)
    out = np.full(len(ok), np.nan)
    out[ok] = pseudo_values(seen.event_day[ok], seen.event[ok], at)
    return out


def median_time(
    time: np.ndarray, event: np.ndarray, group: np.ndarray
) -> tuple[float, float, float]:
    """First time by which half have had an event, and its 90 % interval; inf if not reached.

    The interval is where that of the share free of the event includes a half.

    Parameters
    ----------
    time, event : ndarray, shape (patients,)
        As for `pdmodel.simulate.survival.kaplan_meier`; nan is left out.
    group : ndarray of int, shape (patients,)
        Which draw of the population each patient is of.
    """
    ok = np.isfinite(time)
    time, event, group = time[ok], event[ok], group[ok]
    if not event.any():
        return np.inf, np.inf, np.inf
    at = np.unique(time[event])
    at = at[np.unique(np.linspace(0, len(at) - 1, POINTS).astype(int))]
    ends = [mean(pseudo_values(time, event, t), group).share_interval() for t in at]
    low, high = np.array(ends).T

    def reached(share: np.ndarray) -> float:
        below = np.flatnonzero(share <= 0.5)
        return float(at[below[0]]) if below.size else np.inf

    return kaplan_meier(time, event).median(), reached(low), reached(high)


def rows(
    day: np.ndarray,
    seen: Outcomes,
    reference: Outcomes | None,
    group: np.ndarray,
) -> list[dict[str, object]]:
    """Rows of the summary of one arm, with the paired difference from a reference arm."""
    last = float(day[-1])
    mine = measures(seen, last)
    theirs = {} if reference is None else measures(reference, last)
    out = []
    for name, (unit, x) in mine.items():
        here = mean(x, group)
        low, high = here.share_interval() if unit == "1" else here.interval()
        row: dict[str, object] = {"endpoint": name, "unit": unit, "n": here.n}
        row |= {"estimate": here.estimate, "low": low, "high": high, "mc_error": here.mc_error}
        row |= {"from_parameters": here.from_parameters, "from_sampling": here.from_sampling}
        if name in theirs:
            gain = mean(x - theirs[name][1], group)
            ends = gain.interval()
            row |= {"difference": gain.estimate, "difference_low": ends[0]}
            row |= {"difference_high": ends[1]}
        out.append(row)
    return [*out, *_medians(last, seen, reference, group)]


def _medians(
    last: float, seen: Outcomes, reference: Outcomes | None, group: np.ndarray
) -> list[dict[str, object]]:
    out = []
    for name, (time, event) in _times(seen, last).items():
        ok = np.isfinite(time)
        found = median_time(time, event, group)
        row: dict[str, object] = {"endpoint": name, "unit": "day", "n": int(ok.sum())}
        row |= dict(zip(("estimate", "low", "high"), found, strict=True))
        if reference is not None and name in (before := _times(reference, last)):
            theirs = _median(*before[name])
            both = np.isfinite([found[0], theirs]).all()
            row["difference"] = found[0] - theirs if both else np.nan
        out.append(row)
    return out


def _median(time: np.ndarray, event: np.ndarray) -> float:
    ok = np.isfinite(time)
    return kaplan_meier(time[ok], event[ok]).median() if ok.any() else np.inf


def _times(seen: Outcomes, last: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Times to events, nan for who has none and is not at risk, and whether they are events."""
    lasting = np.where(np.isfinite(seen.response_day), seen.event_day - seen.response_day, np.nan)
    out = {
        "progression_day_median": (seen.event_day, seen.event),
        "duration_of_response_median": (lasting, seen.event),
    }
    if np.isfinite(seen.death_day).any():
        failed = np.isnan(seen.progression_day)
        time = np.where(failed, np.nan, np.minimum(seen.death_day, last))
        out["survival_day_median"] = (time, np.isfinite(seen.death_day))
    return out
