"""What is possible but odd in a table of sizes: likely slips of unit, zero day or dosing."""

from collections.abc import Sequence

import pandas as pd

from pdmodel.data.cohort import Note, Patient
from pdmodel.data.identity import KEY
from pdmodel.data.long import Scans
from pdmodel.data.table import LINE, listed, many, place

SMALL_MM = 12.0
"""A median size below this may be in cm."""

SHORT_GAP_DAY = 16.0
"""A median gap between scans below this may be in weeks; scans are 6 to 12 weeks apart."""


def oddities(scans: Scans, patients: Sequence[Patient], file: str) -> list[Note]:
    """Warn of what may be a slip; nothing here stops the reading.

    Parameters
    ----------
    scans : Scans
        The sizes as they were read.
    patients : sequence of Patient
        The same sizes by patient, with what each was given.
    file : str
        Name of the table in the messages.

    Returns
    -------
    list of Note
        Warnings, and infos on order.
    """
    if not patients:
        return []
    return [
        *_units(scans.frame, file),
        *_order(scans.frame, file),
        *_courses(patients, file),
    ]


def _units(frame: pd.DataFrame, file: str) -> list[Note]:
    notes = []
    measured = frame[~frame["censored"]]["size_mm"]
    if len(measured) and (usual := measured.median()) < SMALL_MM:
        message = (
            f"{place(file, column='size_mm')}: the median size is {usual:g}; are the sizes in cm? "
            "Write mm."
        )
        notes.append(Note("warning", "small-sizes", message, 0, file, None, "size_mm"))
    gaps = frame.groupby(KEY)["day"].diff().dropna()
    if len(gaps) and (usual := gaps.median()) < SHORT_GAP_DAY:
        message = (
            f"{place(file, column='day')}: the median time between two scans is {usual:g} days; "
            "are the days weeks or months? Write days."
        )
        notes.append(Note("warning", "short-gaps", message, 0, file, None, "day"))
    return notes


def _order(frame: pd.DataFrame, file: str) -> list[Note]:
    """Say how many patients had their scans out of order (they are sorted now)."""
    back = frame.groupby(KEY)[LINE].diff() < 0
    count = len(frame[back].drop_duplicates(KEY))
    if not count:
        return []
    message = f"{file}: {many(count, 'patient')} with scans out of order, sorted by day."
    return [Note("info", "unsorted", message, 0, file, None, "day")]


def _courses(patients: Sequence[Patient], file: str) -> list[Note]:
    return [
        *_some(
            "one-scan",
            [p.id for p in patients if len(p.day) == 1],
            "one scan only, which says nothing about the course",
            file,
        ),
        *_some(
            "no-baseline",
            [p.id for p in patients if p.day[0] > 0],
            "the first scan after day 0, so that the size at the start of treatment is unknown",
            file,
        ),
        *_some(
            "before-first-dose",
            [p.id for p in patients if p.last_day < _first_dose(p)],
            "all scans before the first dose, which say nothing about its effect",
            file,
        ),
    ]


def _first_dose(patient: Patient) -> float:
    starts = [r.start[r.amount > 0] for r in patient.regimens.values()]
    return min((float(start[0]) for start in starts if len(start)), default=0.0)


def undosed(patients: Sequence[Patient], file: str) -> list[Note]:
    """Warn of patients without a dose, where doses are known."""
    bare = [p.id for p in patients if not p.regimens]
    return _some("no-dose", bare, "no dose, taken as untreated", file)


def _some(code: str, ids: Sequence[str], what: str, file: str) -> list[Note]:
    if not ids:
        return []
    message = f"{file}: {many(len(ids), 'patient')} with {what} ({listed(ids)})."
    return [Note("warning", code, message, 0, file, patient=ids[0])]
