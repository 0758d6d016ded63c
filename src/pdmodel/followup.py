"""When a patient is scanned and treated, and how many more scans tell how it resists."""

from collections.abc import Sequence
from itertools import batched
from typing import NamedTuple

import numpy as np

from pdmodel.data import Patient
from pdmodel.fit import Fit
from pdmodel.latent import latent, padded
from pdmodel.response import CLASSES, ResistanceClass, Rule, classify_courses, last_cycle
from pdmodel.trajectory import TOGETHER

OPEN = CLASSES.index(ResistanceClass.NOT_DETERMINABLE)
VISIT_DAYS = 42.0
"""From the last scan to the first nominal visit, and from each to the next: the usual interval."""
MOST_VISITS = 17
"""Nominal visits looked at in `decidable`: those within two years."""
MOST_DRAWS = 200
"""Draws looked at in `decidable`."""


class Needed(NamedTuple):
    """Scans after the last one, and days, until a class is expected; nan if not in two years."""

    scans: float
    days: float


def visit_days(patient: Patient, horizon: float | None) -> np.ndarray:
    """Days on which a patient's course is read: scans, then nominal visits up to the horizon."""
    last = patient.last_day
    if horizon is None or horizon <= last:
        return patient.day
    return np.concatenate(
        [patient.day, np.arange(last + VISIT_DAYS, horizon, VISIT_DAYS), [horizon]]
    )


def exposure(patient: Patient, until: float) -> tuple[float, float] | None:
    """Day of the last dose that is not 0 mg, and days until the cycle of the last dose ends.

    The cycle is as long as the schedule says or, from a table, as the patient's doses of the drug
    usually were apart (nan where there was one); of several drugs that counts which covers longest.
    None if treatment goes on, or no dose is known.
    """
    if any(schedule.doses is None for schedule in patient.schedules):
        return None
    planned = {schedule.drug: schedule.interval_day for schedule in patient.schedules}
    last, end = -np.inf, -np.inf
    for name, given in patient.treated_until(until).items():
        day, usual = last_cycle(given.start[given.amount > 0])
        if np.isfinite(day):
            last, end = max(last, day), np.fmax(end, day + planned.get(name, usual))
    if not np.isfinite(last):
        return None
    return float(last), float(end - last) if end > last else np.nan


def decidable(
    fit: Fit,
    patients: Sequence[Patient],
    rule: Rule,
    certainty: float,
    *,
    draws: int = MOST_DRAWS,
    seed: int = 0,
    first: int = 1,
) -> dict[str, Needed]:
    """Find after how many more scans a class is expected to have the certainty asked for.

    Courses go on from each patient's last scan, are read every `VISIT_DAYS`, and are judged free
    of errors of measurement, as `pdmodel.classify` judges them. Scans to come are taken to show
    all that happens after the last scan, and to say nothing more of what lies before it. So the
    expected probability of the leading class by a visit is the share of the draws that have no
    class by the last scan and have one by this visit, and the largest share of one class among
    those that had a class by the last scan already. The first visit counts at which this is
    `certainty` or more.

    Parameters
    ----------
    fit : Fit
    patients : sequence of Patient
        Of the fit's cohort.
    rule : Rule
    certainty : float
    draws : int
        Draws of the posterior, evenly spaced; `MOST_DRAWS` at most.
    seed : int
    first : int
        Least number of scans: 0 where the class by the last scan may be sure already.

    Returns
    -------
    dict of str to Needed
        By the patients' keys.
    """
    found = {}
    for group in batched(patients, TOGETHER):
        ends = [patient.last_day + MOST_VISITS * VISIT_DAYS for patient in group]
        days = [visit_days(patient, end) for patient, end in zip(group, ends, strict=True)]
        given = [patient.treated_until(end) for patient, end in zip(group, ends, strict=True)]
        few = min(draws, MOST_DRAWS)
        courses = latent(fit, group, padded(days), given, few, seed, "classify")
        for k, (patient, day) in enumerate(zip(group, days, strict=True)):
            size = np.exp(courses.log_size[:, k, : len(day)])
            found[patient.key] = _needed(patient, day, size, rule, certainty, first)
    return found


def _needed(
    patient: Patient, day: np.ndarray, size: np.ndarray, rule: Rule, certainty: float, first: int
) -> Needed:
    """Find the first visit at which a class is expected; `size` (draws, visits) in mm."""

    def codes(until: float) -> np.ndarray:
        seen = day <= until
        treated = exposure(patient, until) or (None, None)
        return classify_courses(day[seen], size[:, seen], rule, None, *treated)

    was = codes(patient.last_day)
    known = max(np.mean(was == k) for k in range(len(CLASSES)) if k != OPEN)
    for scans in range(first, MOST_VISITS + 1):
        days = scans * VISIT_DAYS
        told = np.mean((was == OPEN) & (codes(patient.last_day + days) != OPEN))
        if known + told >= certainty:
            return Needed(float(scans), days)
    return Needed(np.nan, np.nan)


def in_words(patient: Patient, needed: Needed) -> str:
    """Say after how many scans a class is expected."""
    if np.isnan(needed.scans):
        return "no class is expected within 2 years of further scans"
    if needed.scans == 0:
        return "the scans that were made tell a class, and what is open is the forecast"
    many = "1 more scan" if needed.scans == 1 else f"{needed.scans:.0f} more scans"
    until = patient.last_day + needed.days
    return f"a class is expected after {many}, by day {until:g}"
