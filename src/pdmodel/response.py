"""Response at each scan (RECIST 1.1, target lesions) and the class of resistance (SITC).

A scan becomes CR, PR, SD or PD (`_codes`), the codes and their days a class (`_clauses`). Observed
sizes are compared as decimal numbers (23.31 mm is exactly 30 % below 33.3 mm, which binary numbers
miss), simulated courses as floats. New lesions and death are not seen.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

RESPONSES = ("CR", "PR", "SD", "PD")
CR, PR, SD, PD = range(4)
SLACK = 1e-9  # relative; floats this close to a threshold have reached it


class ResistanceClass(StrEnum):
    """What a course under treatment is called, in the order of `CLASSES`."""

    PRIMARY = "primary"
    ACQUIRED = "acquired"
    EARLY_LOSS = "early_loss"
    DURABLE = "durable"
    NOT_DETERMINABLE = "not_determinable"


CLASSES = tuple(ResistanceClass)


@dataclass(frozen=True)
class Rule:
    """Every threshold of a response and resistance rule; a variant is a `dataclasses.replace`.

    Sources: R, RECIST 1.1 (10.1016/j.ejca.2008.10.026); S, SITC 2020 (10.1136/jitc-2019-000398),
    Table 1; J, a melanoma cohort that applied S (JITC 2021, jitc.bmj.com/highwire/markup/34998).

    Attributes
    ----------
    name : str
        Name under which results quote the rule.
    partial_response, progression, progression_mm : float
        Relative change that is PR, from baseline, or PD, from the nadir, reached at equality, and
        growth over the nadir (mm) that PD needs as well (R).
    disappeared_mm : float
        Sizes up to this (mm) are one bin, gone or too small to measure (nominally 5 mm, R): they
        are CR, and this size in the nadir, so that a lesion is back (PD) at 10 mm. With 0, any
        size after 0 is PD.
    primary_before_day, durable_at_day : float
        Progression before the first day is early, and acquired resistance needs an exposure as
        long: six months (S). None up to the second is durable: 12 months, this project's choice.
    needs_confirmation, confirm_after_day : bool, float
        Whether PD counts only if it stands on every scan for that many days: four weeks (S). PD
        that reverses is then pseudoprogression; PD without such a later scan is left open.
    minimum_exposure_day, off_treatment_after_day : float
        Least exposure (days) for resistance, six weeks (S), and most days from the last dose to a
        progression under treatment, 12 weeks (J).
    early_loss_is_primary : bool
        Whether a response lost early is primary resistance (J), not a class of its own (S).
    """

    name: str
    partial_response: float = -0.30
    progression: float = 0.20
    progression_mm: float = 5.0
    disappeared_mm: float = 5.0
    primary_before_day: float = 182
    needs_confirmation: bool = False
    confirm_after_day: float = 28
    minimum_exposure_day: float = 42
    off_treatment_after_day: float = 84
    durable_at_day: float = 365
    early_loss_is_primary: bool = False

    def __post_init__(self) -> None:
        sizes = (self.progression_mm, self.disappeared_mm)
        if not -1 < self.partial_response < 0 < self.progression or min(sizes) < 0:
            raise ValueError(f"{self} needs -1 < partial_response < 0 < progression, and mm >= 0.")


# sitc2020 is for noise-free courses, which need no second look; scans take sitc2020_confirmed.
# SITC 2023 (chemotherapy, 10.1136/jitc-2022-005920): early is <= 6 months, whatever came before.
RULES = {
    "sitc2020": Rule("sitc2020"),
    "sitc2020_confirmed": Rule("sitc2020_confirmed", needs_confirmation=True),
    "sitc2023_chemo": Rule("sitc2023_chemo", primary_before_day=183, early_loss_is_primary=True),
    "jitc2021": Rule("jitc2021", primary_before_day=180, early_loss_is_primary=True),
}


def baseline_index(day: ArrayLike) -> int:
    """Position of the baseline scan in sorted days: the last on or before day 0, else the first."""
    return max(int(np.searchsorted(day, 0, side="right")) - 1, 0)


def visit_responses(day: ArrayLike, size_mm: ArrayLike, rule: Rule) -> np.ndarray:
    """Response at every scan after baseline, compared exactly in decimals.

    Each scan is judged by itself, PD before CR before PR, against the baseline and the smallest
    size since then; but PR stays PR above 70 % of the baseline until PD (EORTC: 100, 70, 80 mm is
    PR, PR), and a lesion gone at baseline cannot be CR.

    Parameters
    ----------
    day, size_mm : array_like, shape (visits,)
        Days since the first dose, sorted, and sizes in mm; visits not assessed are left out.
    rule : Rule
        The thresholds.

    Returns
    -------
    ndarray of str, shape (visits after baseline,)
        "CR", "PR", "SD" or "PD" (RECIST 1.1, 10.1016/j.ejca.2008.10.026).
    """
    return np.array(RESPONSES)[_series(day, size_mm, rule).codes[:, 0]]


def best_response(codes: list[str] | np.ndarray) -> str:
    """Best of the `visit_responses`, unconfirmed ("CR", "PR", "SD", "PD"); "NE" without any."""
    return str(min(codes, key=RESPONSES.index, default="NE"))


def best_change(day: ArrayLike, size_mm: ArrayLike) -> np.ndarray:
    """Best change (%) from baseline of courses (..., visits), a waterfall bar; nan if undefined."""
    day, size = _checked(day, size_mm)
    base, *later = np.moveaxis(size.astype(float), -1, 0)[baseline_index(day) :]
    least = np.min(later, axis=0) if later else np.nan
    return 100 * (least / np.where(base > 0, base, np.nan) - 1)


def resistance_class(
    day: ArrayLike, size_mm: ArrayLike, rule: Rule, exposure_day: float | None = None
) -> tuple[ResistanceClass, str]:
    """Class of one observed series, and why, in words (SITC 2020, 10.1136/jitc-2019-000398).

    Parameters
    ----------
    day, size_mm, rule
        As for `visit_responses`.
    exposure_day : float, optional
        Day of the last dose; if unknown (or nan), treatment lasts to the last scan.
    """
    course = _follow(_series(day, size_mm, rule), rule, exposure_day=exposure_day)
    _, label, reason = next(clause for clause in _clauses(course, rule) if clause[0][0])
    return label, reason.format(rule=rule, **{k: v[0] for k, v in course._asdict().items()})


def classify_courses(
    day: ArrayLike,
    size: ArrayLike,
    rule: Rule,
    last_day_known: ArrayLike | None = None,
    exposure_day: ArrayLike | None = None,
) -> np.ndarray:
    """Class of many courses at once, by the clauses of `resistance_class`.

    Parameters
    ----------
    day, size, rule
        As for `visit_responses`, with sizes of shape (..., visits).
    last_day_known, exposure_day : array_like, broadcast to shape (...), optional
        End of follow-up (later visits are not looked at) and day of the last dose; nan if unknown.

    Returns
    -------
    ndarray of int8, shape (...)
        Positions in `CLASSES`; a course that is not finite is not determinable.
    """
    course = _follow(_courses(day, size, rule), rule, last_day_known, exposure_day)
    holds, labels, _ = zip(*_clauses(course, rule), strict=True)
    return np.select(holds, [np.int8(CLASSES.index(label)) for label in labels])


def progression_day(day: ArrayLike, size: ArrayLike, rule: Rule) -> np.ndarray:
    """First day of the PD that counts, of courses (..., visits); inf if none, nan if not finite."""
    course = _follow(_courses(day, size, rule), rule)
    return np.where(course.failed, np.nan, course.progressed)


class _Scans(NamedTuple):
    day: np.ndarray
    size: np.ndarray  # (visits, ...), mm
    codes: np.ndarray  # (visits after baseline, ...)


class _Course(NamedTuple):  # each of shape (...); days, or inf where there is none
    failed: np.ndarray
    baseline: np.ndarray  # mm
    first: np.ndarray  # scan after baseline
    last: np.ndarray  # scan after baseline, -inf where there is none
    exposure: np.ndarray
    progressed: np.ndarray
    pending: np.ndarray  # start of the PD that stands at the last scan
    responded: np.ndarray  # before progression


def _checked(day: ArrayLike, size: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    day, size = np.asarray(day, float), np.asarray(size)
    if day.ndim != 1 or not day.size or not np.isfinite(day).all() or (np.diff(day) < 0).any():
        raise ValueError(f"Days must be one or more numbers in rising order, but are {day}.")
    if size.shape[-1:] != day.shape:
        raise ValueError(f"There are {day.size} days, but sizes of shape {size.shape}.")
    return day, size


def _courses(day: ArrayLike, size: ArrayLike, rule: Rule) -> _Scans:
    day, size = _checked(day, size)
    size = np.moveaxis(size.astype(float), -1, 0)
    known = np.where(np.isfinite(size), size, 0.0)[baseline_index(day) :]
    return _Scans(day, size, _codes(known, rule, float, SLACK))


def _series(day: ArrayLike, size_mm: ArrayLike, rule: Rule) -> _Scans:
    day, size = _checked(day, np.ravel(size_mm))
    for at, x in zip(day, size, strict=True):
        if not 0 <= x < np.inf:
            raise ValueError(f"size_mm is {x} on day {at:g}. Give sizes >= 0; drop missing visits.")
    typed = [[Decimal(str(round(x, 9)))] for x in size[baseline_index(day) :]]  # sums have noise
    return _Scans(day, size[:, None], _codes(np.array(typed), rule, Decimal, 0))


def _codes(size: np.ndarray, rule: Rule, number: type, slack: float) -> np.ndarray:
    """Responses (visits, ...) of sizes (1 + visits, ...) that begin with the baseline."""
    gone_mm, more_mm = number(str(rule.disappeared_mm)), number(str(rule.progression_mm))
    small, large = 1 + number(str(rule.partial_response)), 1 + number(str(rule.progression))
    nadir, *later = base, *_ = np.maximum(size, gone_mm)
    codes, responded = np.empty((len(later), *base.shape), np.int8), False
    for visit, x in enumerate(later):
        upper, lower = x * (1 + slack), x * (1 - slack)
        grown = (upper >= large * nadir) & (upper - nadir >= more_mm)
        progressed = (x > nadir) & (grown | (nadir == 0))
        gone = (x <= gone_mm) & (base > gone_mm)
        partial = responded | (lower <= small * base)
        codes[visit] = np.select([progressed, gone, partial], [PD, CR, PR], SD)
        nadir, responded = np.minimum(nadir, x), codes[visit] <= PR
    return codes


def _follow(scans: _Scans, rule: Rule, last_day: Any = None, exposure_day: Any = None) -> _Course:
    """Gather what the clauses ask from what is seen of the courses by `last_day`."""
    (day, size, codes), base, shape = scans, baseline_index(scans.day), scans.size.shape[1:]
    after, when = day[base + 1 :], day.reshape(-1, *[1] * len(shape))
    end = np.broadcast_to(np.fmin(np.asarray(last_day, float), np.inf), shape)  # None reads as nan
    last = np.append(-np.inf, after)[np.searchsorted(after, end, side="right")]
    exposure = np.broadcast_to(np.asarray(exposure_day, float), shape)
    progressed, pending = _progression(after, codes, last, rule)
    return _Course(
        failed=(~np.isfinite(size) & (when <= end)).any(0),
        baseline=size[base],
        first=np.full(shape, after[0] if after.size else np.inf),
        last=last,
        exposure=np.where(np.isnan(exposure), last, exposure),
        progressed=progressed,
        pending=pending,
        responded=((codes <= PR) & (when[base + 1 :] < progressed)).any(0),
    )


def _progression(
    after: np.ndarray, codes: np.ndarray, last: np.ndarray, rule: Rule
) -> tuple[np.ndarray, np.ndarray]:
    """First day of the PD that counts and of the PD that stands at the `last` scan; inf if none."""
    wait = rule.confirm_after_day if rule.needs_confirmation else 0
    start = progressed = np.full(codes.shape[1:], np.inf)
    for at, code in zip(after, codes, strict=True):
        lasting = np.where(code == PD, np.minimum(start, at), np.inf)
        start = np.where(at <= last, lasting, start)
        counts = (at <= last) & (at - start >= wait)
        progressed = np.where(counts, np.minimum(progressed, start), progressed)
    return progressed, start


def _clauses(c: _Course, rule: Rule) -> tuple[tuple[np.ndarray, ResistanceClass, str], ...]:
    """Clauses (holds, class, reason) in the order in which they are asked; the first decides."""
    primary, acquired, early_loss, durable, open_ = CLASSES
    lost = primary if rule.early_loss_is_primary else early_loss
    never, early = np.isinf(c.progressed), c.progressed < rule.primary_before_day
    untreated = c.progressed > c.exposure + rule.off_treatment_after_day
    pd = "progression on day {progressed:g}"
    short = pd + " after an exposure of {exposure:g} days, less than the {rule."
    return (
        (c.failed, open_, "a size of the course is not finite"),
        (np.isinf(c.last), open_, "no scan after baseline"),
        (c.baseline <= rule.disappeared_mm, open_, "baseline of {baseline:g} mm, not measurable"),
        (never & (c.pending < np.inf), open_, "progression on day {pending:g} is not confirmed"),
        (never & (c.last >= rule.durable_at_day), durable, "no progression up to day {last:g}"),
        (never, open_, "followed only to day {last:g}, without progression"),
        (c.exposure < rule.minimum_exposure_day, open_, short + "minimum_exposure_day:g} needed"),
        (untreated, open_, pd + ", long after the last dose on day {exposure:g}"),
        (early & c.responded, lost, pd + ", after a response"),
        (early, primary, pd + ", without a response before"),
        (c.progressed == c.first, open_, pd + ", the first scan; what came before is not known"),
        (c.exposure < rule.primary_before_day, open_, short + "primary_before_day:g} needed"),
        (c.responded, acquired, pd + ", after a response"),
        (~early, acquired, pd + ", after stable disease until then"),
    )
