"""The clauses by which a course gets its class of resistance, and why, in words.

SITC 2020 (10.1136/jitc-2019-000398, Table 1), with every threshold taken from the rule.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pdmodel.response.rule import CLASSES, ResistanceClass, Rule


class Course(NamedTuple):
    """What the clauses ask of courses; each of shape (...); days, or inf where there is none."""

    failed: np.ndarray
    baseline: np.ndarray
    """mm"""
    first: np.ndarray
    """Scan after baseline."""
    last: np.ndarray
    """Scan after baseline, -inf where there is none."""
    last_dose: np.ndarray
    exposure: np.ndarray
    """End of the cycle of the last dose."""
    progressed: np.ndarray
    pending: np.ndarray
    """Start of the PD that stands at the last scan."""
    responded: np.ndarray
    """Before progression."""


type Clause = tuple[np.ndarray, ResistanceClass, str]


def clauses(c: Course, rule: Rule) -> tuple[Clause, ...]:
    """Clauses (holds, class, reason) in the order in which they are asked; the first decides."""
    primary, acquired, _, durable, open_ = CLASSES
    lost = ResistanceClass(rule.early_loss)
    never, early = np.isinf(c.progressed), c.progressed < rule.primary_before_day
    untreated = c.progressed > c.last_dose + rule.off_treatment_after_day
    stable = acquired if rule.stable_is_control else open_
    until = "" if rule.stable_is_control else ", which the rule does not count as control"
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
        (untreated, open_, pd + ", long after the last dose on day {last_dose:g}"),
        (early & c.responded, lost, pd + ", after a response"),
        (early, primary, pd + ", without a response before"),
        (c.progressed == c.first, open_, pd + ", the first scan; what came before is not known"),
        (c.exposure < rule.late_exposure_day, open_, short + "late_exposure_day:g} needed"),
        (c.responded, acquired, pd + ", after a response"),
        (~early, stable, pd + ", after stable disease until then" + until),
    )


def treated(
    last: np.ndarray, last_dose_day: ArrayLike | None, cycle_day: ArrayLike | None, rule: Rule
) -> tuple[np.ndarray, np.ndarray]:
    """Day of the last dose and end of its cycle, of the shape of `last`.

    Parameters
    ----------
    last : ndarray
        Day of the last scan: treatment goes on to it where no dose is known.
    last_dose_day, cycle_day : array_like, optional
        Day of the last dose, and days until the next would have been due; nan if unknown.
    rule : Rule
        Its `cycle_day` stands in for an interval that is not known.
    """
    dose = np.broadcast_to(np.asarray(last_dose_day, float), last.shape)  # None reads as nan
    cycle = np.broadcast_to(np.asarray(cycle_day, float), last.shape)
    end = dose + np.where(np.isnan(cycle), rule.cycle_day, cycle)
    return np.where(np.isnan(dose), last, dose), np.where(np.isnan(dose), last, end)


def last_cycle(dose_day: ArrayLike) -> tuple[float, float]:
    """Day of the last dose of one drug, and the usual interval between its doses.

    Parameters
    ----------
    dose_day : array_like, shape (doses,)
        Days of the doses, in any order; a day counts once.

    Returns
    -------
    last, interval : float
        The interval is the median of those between doses; nan with one dose, both nan with none.

    Examples
    --------
    >>> last_cycle([0, 21, 42, 70])
    (70.0, 21.0)
    """
    days = np.unique(np.asarray(dose_day, float))
    if not days.size:
        return np.nan, np.nan
    return float(days[-1]), float(np.median(np.diff(days))) if days.size > 1 else np.nan
