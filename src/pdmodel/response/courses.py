"""Many simulated courses at once, judged as floats by their target lesions alone.

Answers are those of the exact modules for the same sizes; floats that are within `SLACK` of a
threshold have reached it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pdmodel.response.clauses import Course, clauses, treated
from pdmodel.response.rule import CLASSES, PD, PR, SD, SLACK, Rule


def baseline_index(day: ArrayLike) -> int:
    """Position of the baseline scan in sorted days: the last on or before day 0, else the first."""
    return max(int(np.searchsorted(day, 0, side="right")) - 1, 0)


def best_change(day: ArrayLike, size_mm: ArrayLike) -> np.ndarray:
    """Best change (%) from baseline of courses (..., visits), a waterfall bar; nan if undefined."""
    day, size = checked(day, size_mm)
    base, *later = np.moveaxis(size.astype(float), -1, 0)[_baseline(day) :]
    least = np.min(later, axis=0) if later else np.nan
    return 100 * (least / np.where(base > 0, base, np.nan) - 1)


def classify_courses(
    day: ArrayLike,
    size: ArrayLike,
    rule: Rule,
    last_day_known: ArrayLike | None = None,
    exposure_day: ArrayLike | None = None,
    cycle_day: ArrayLike | None = None,
) -> np.ndarray:
    """Class of many courses at once, by the clauses of `resistance_class`.

    Parameters
    ----------
    day : array_like, shape (visits,) or that of `size`
        Days since the first dose, sorted; the baseline is the same visit of all.
    size : array_like, shape (..., visits)
        Sizes in mm; a course with a size that is not finite is not determinable.
    rule : Rule
        The thresholds.
    last_day_known, exposure_day, cycle_day : array_like, broadcast to shape (...), optional
        End of follow-up (later visits are not looked at), day of the last dose, and days that it
        covers (`Rule.cycle_day` where unknown); nan if unknown.

    Returns
    -------
    ndarray of int8, shape (...)
        Positions in `CLASSES`.
    """
    course = _follow(_courses(day, size, rule), rule, last_day_known, exposure_day, cycle_day)
    holds, labels, _ = zip(*clauses(course, rule), strict=True)
    return np.select(holds, [np.int8(CLASSES.index(label)) for label in labels])


def progression_day(day: ArrayLike, size: ArrayLike, rule: Rule) -> np.ndarray:
    """First day of the PD that counts, of courses (..., visits); inf if none, nan if not finite."""
    scans = _courses(day, size, rule)
    failed = ~scans.finite.all(0)
    last = np.full(failed.shape, np.inf)
    return np.where(failed, np.nan, _progression(scans, last, rule)[0])


def checked(day: ArrayLike, size: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Take days and sizes (..., visits) as arrays; ValueError if they do not match.

    Days are of shape (visits,), or each course's own, of the shape of the sizes.
    """
    day, size = np.asarray(day, float), np.asarray(size)
    shaped = day.ndim in {1, max(size.ndim, 1)} and day.size > 0
    if not shaped or not np.isfinite(day).all() or (np.diff(day) < 0).any():
        raise ValueError(f"Days must be one or more numbers in rising order, but are {day}.")
    if size.shape[size.ndim - day.ndim :] != day.shape:
        raise ValueError(f"There are {day.shape[-1]} days, but sizes of shape {size.shape}.")
    return day, size


def _baseline(day: np.ndarray) -> int:
    """Position of the baseline scan, which must be that of all courses."""
    known = np.maximum((day <= 0).sum(-1) - 1, 0)
    if known.min() < known.max():
        raise ValueError("The baseline is not the same visit of all courses.")
    return int(known.min())


class _Scans(NamedTuple):
    day: np.ndarray  # (visits, 1 or ...)
    base: int
    size: np.ndarray  # (visits, ...), mm
    finite: np.ndarray  # (visits, ...)
    later: np.ndarray  # (visits after baseline, ...), mm, 0 where not finite
    codes: np.ndarray  # (visits after baseline, ...)


def _courses(day: ArrayLike, size: ArrayLike, rule: Rule) -> _Scans:
    day, size = checked(day, size)
    size = np.ascontiguousarray(np.moveaxis(size.astype(float, copy=False), -1, 0))
    finite, base = np.isfinite(size), _baseline(day)
    known = (size if finite.all() else np.where(finite, size, 0.0))[base:]
    day = np.moveaxis(day.reshape(*[1] * (size.ndim - day.ndim), *day.shape), -1, 0)
    return _Scans(day, base, size, finite, known[1:], _codes(known, rule))


def _codes(size: np.ndarray, rule: Rule) -> np.ndarray:
    """Responses (visits, ...) of sizes (1 + visits, ...) that begin with the baseline."""
    gone_mm, more_mm = rule.disappeared_mm, rule.progression_mm
    size = np.maximum(size, gone_mm)
    base, later = size[0], size[1:]
    nadir = np.minimum.accumulate(size[:-1], axis=0)
    gone = (later <= gone_mm) & (base > gone_mm)
    upper = later * (1 + SLACK)
    progressed = upper >= np.maximum((1 + rule.progression) * nadir, nadir + more_mm)
    if gone_mm == 0:
        progressed = (later > nadir) & (progressed | (nadir == 0))
    if rule.back_is_progression:
        progressed[1:] |= (later > gone_mm)[1:] & np.logical_or.accumulate(gone, axis=0)[:-1]
    partial = gone | (later * (1 - SLACK) <= (1 + rule.partial_response) * base)
    partial &= ~progressed
    for visit in range(1, len(later)):  # PR lasts until PD
        partial[visit] |= partial[visit - 1] & ~progressed[visit]
    codes = (np.int8(SD) - partial) * ~gone  # PR is one below SD, CR is 0
    return np.maximum(codes, np.int8(PD) * progressed)


def _follow(
    scans: _Scans, rule: Rule, last_day: Any = None, exposure_day: Any = None, cycle_day: Any = None
) -> Course:
    """Gather what the clauses ask from what is seen of the courses by `last_day`."""
    day, base, size, finite, _, codes = scans
    shape, after = size.shape[1:], day[base + 1 :]
    end = np.broadcast_to(np.fmin(np.asarray(last_day, float), np.inf), shape)  # None reads as nan
    last = np.where(after <= end, after, -np.inf).max(0, initial=-np.inf)
    last_dose, exposure = treated(last, exposure_day, cycle_day, rule)
    progressed, pending = _progression(scans, last, rule)
    responses = (codes <= PR) & (after < progressed)
    if rule.response_needs_confirmation:
        responses = _confirmed(after, codes, responses, last, rule)
    return Course(
        failed=np.zeros(shape, bool) if finite.all() else (~finite & (day <= end)).any(0),
        baseline=size[base],
        first=np.broadcast_to(after[0] if after.size else np.inf, shape),
        last=last,
        last_dose=last_dose,
        exposure=exposure,
        progressed=progressed,
        pending=pending,
        responded=responses.any(0),
    )


def _progression(scans: _Scans, last: np.ndarray, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """First day of the PD that counts and of the PD that stands at the `last` scan; inf if none.

    Under iRECIST the size must also have grown further since the PD began.
    """
    immune = rule.criteria == "irecist"
    after = scans.day[len(scans.day) - len(scans.codes) :]
    start = progressed = np.full(scans.codes.shape[1:], np.inf)
    if not (rule.needs_confirmation or immune):
        for at, code in zip(after[::-1], scans.codes[::-1], strict=True):
            progressed = np.where((code == PD) & (at <= last), at, progressed)
        return progressed, progressed
    wait, size = rule.confirm_after_day, np.zeros(start.shape)
    for at, code, x in zip(after, scans.codes, scans.later, strict=True):
        seen = at <= last
        begins = seen & (code == PD) & np.isinf(start)
        lasting = np.where(code == PD, np.minimum(start, at), np.inf)
        start = np.where(seen, lasting, start)
        counts = seen & (at - start >= wait)
        if immune:
            size = np.where(begins, x, size)
            counts &= ~begins & (x * (1 + SLACK) - size >= rule.further_mm)
        progressed = np.where(counts, np.minimum(progressed, start), progressed)
    return progressed, start


def _confirmed(
    after: np.ndarray, codes: np.ndarray, counted: np.ndarray, last: np.ndarray, rule: Rule
) -> np.ndarray:
    """Keep those visits (visits, ...) that confirm a counted response, without PD between."""
    start = np.full(codes.shape[1:], np.inf)
    held = np.zeros(codes.shape, bool)
    for visit, at in enumerate(after):
        going = (codes[visit] <= PR) & (at <= last)
        start = np.where(going, np.where(counted[visit], np.minimum(start, at), start), np.inf)
        held[visit] = going & (at - start >= rule.response_confirm_after_day)
    return held
