"""What was known of each patient on the landmark day, and what its later scans showed."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pdmodel.data import Cohort, Patient
from pdmodel.errors import OptionError
from pdmodel.followup import VISIT_DAYS, exposure
from pdmodel.residual import SMALLEST_MM
from pdmodel.response import CLASSES, baseline_index, classify_courses, progression_day, rule_named

RULE = rule_named("sitc2020")
"""The rule of `pdmodel.classify` unless another is asked for."""
WITHIN_DAYS = {"6_months": 182.0, "12_months": 365.0}
"""After the landmark, in the days of the rule."""
CLASS_DAYS = WITHIN_DAYS["12_months"]
"""After the landmark, until which classes are told."""
YES, NO, UNKNOWN = "yes", "no", "unknown"
KNOWN = (
    "patient_id", "study", "arm", "landmark_day", "scans", "last_scan_day", "progressed",
    "first_change", "held_class",
)  # fmt: skip
OBSERVED = ("observed_next", *(f"observed_{name}" for name in WITHIN_DAYS), "observed_class")
COLUMNS = (
    *KNOWN, "next_visit_day", "p_next", *(f"p_{name}" for name in WITHIN_DAYS),
    *(f"p_{label}" for label in CLASSES), *OBSERVED,
)  # fmt: skip
"""Of the table of forecasts."""
RIVAL = "random_walk_"
"""Before the names of a rival's forecasts in the same table."""


class Judged(NamedTuple):
    """Days of progression, inf for none, and positions in `CLASSES`, each of shape (draws,)."""

    progressed: np.ndarray
    code: np.ndarray


def recorded(patient: Patient) -> np.ndarray:
    """Sizes of the scans in mm, those too small to measure as 5."""
    return np.where(patient.censored, SMALLEST_MM, patient.size_mm)


def visits_ahead(patient: Patient, day: float) -> np.ndarray:
    """Nominal visits after the landmark: every 42 days from the last scan known, for 12 months."""
    count = int((day + CLASS_DAYS - patient.last_day) // VISIT_DAYS)
    visits = patient.last_day + VISIT_DAYS * np.arange(1, count + 1)
    return visits[visits > day]


def judged(known: Patient, ahead: np.ndarray, size: np.ndarray) -> Judged:
    """Judge the scans known, followed by sizes (draws, visits) in mm at visits to come."""
    day = np.concatenate([known.day, ahead])
    past = np.broadcast_to(recorded(known), (len(size), len(known.day)))
    whole = np.concatenate([past, size], axis=1)
    treated = exposure(known, day[-1]) or (None, None)
    code = classify_courses(day, whole, RULE, None, *treated)
    return Judged(progression_day(day, whole, RULE), code)


def landmark_cohort(cohort: Cohort, day: float) -> tuple[list[Patient], list[Patient]]:
    """Give patients with a scan up to the landmark, whole and as known by then.

    Raises
    ------
    OptionError
        If the day cannot be used, or nobody had a scan up to it.
    """
    if not (np.isfinite(day) and day >= 0):
        raise OptionError(f"The landmark is day {day}; give day 0 or a later one.")
    whole = [patient for patient in cohort if patient.day[0] <= day]
    if not whole:
        first = min(float(patient.day[0]) for patient in cohort)
        raise OptionError(
            f"Nobody has a scan up to day {day:g}; the first is on day {first:g}. Give a later "
            "landmark."
        )
    return whole, [patient.known_by(day) for patient in whole]


def happened(cohort: Cohort, day: float) -> pd.DataFrame:
    """Tell what was known by a landmark day, and what happened then.

    Parameters
    ----------
    cohort : Cohort
    day : float
        Days from the first dose.

    Returns
    -------
    DataFrame
        A row for each patient with a scan up to the landmark, in the order of their keys; the
        index, `person`, tells whose lesion it is. Of the columns, those of `KNOWN` and `OBSERVED`:
        ``progressed`` by the landmark; ``first_change`` of the first scan after the baseline, if
        made by then: grown, not grown, or none; ``held_class``, the class if the last size stayed
        as it is for 12 months; and whether progression was observed by the first scan after the
        landmark, within 182 and within 365 days of it (yes, no, or unknown where follow-up ended
        before), and the class by the scans up to 365 days after it, or unknown.

    Raises
    ------
    OptionError
        If the day cannot be used, or nobody had a scan up to it.
    """
    whole, known = landmark_cohort(cohort, day)
    rows = [_row(patient, seen, day) for patient, seen in zip(whole, known, strict=True)]
    names = [f"{patient.study}/{patient.person}" for patient in whole]
    return pd.DataFrame(rows, pd.Index(names, name="person"), columns=[*KNOWN, *OBSERVED])


def _row(patient: Patient, known: Patient, day: float) -> tuple:
    at = float(progression_day(patient.day, recorded(patient), RULE))
    ahead = visits_ahead(known, day)
    held = judged(known, ahead, np.full((1, len(ahead)), recorded(known)[-1]))
    later = patient.day[patient.day > day]
    following = float(later[0]) if len(later) else np.inf
    told = [_told(at, day if at <= day else following, patient.last_day)]
    told += [_told(at, day + within, patient.last_day) for within in WITHIN_DAYS.values()]
    end = day + CLASS_DAYS
    label = str(_class_by(patient, end)) if told[-1] != UNKNOWN else UNKNOWN
    who = (patient.id, patient.study, patient.arm, day, len(known.day), known.last_day)
    seen = (YES if at <= day else NO, _first_change(known), str(CLASSES[held.code[0]]))
    return (*who, *seen, *told, label)


def _told(progressed: float, by: float, last: float) -> str:
    """Whether there was progression by a day; unknown if there is none and scans ended before."""
    if progressed <= by and np.isfinite(progressed):
        return YES
    return NO if last >= by else UNKNOWN


def _class_by(patient: Patient, end: float) -> str:
    known = patient.known_by(end)
    treated = exposure(known, known.last_day) or (None, None)
    code = classify_courses(patient.day, recorded(patient), RULE, end, *treated)
    return CLASSES[int(code)]


def _first_change(known: Patient) -> str:
    size, base = recorded(known), baseline_index(known.day)
    if base + 1 >= len(size):
        return "none"
    return "grown" if size[base + 1] > size[base] else "not grown"
