"""From tables to cases: sizes by the reader of every command, and findings from the same rows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pdmodel.assess.clinical import WITH_RECORDS, Seen, seen_of, told
from pdmodel.assess.findings import (
    OF_PATIENT,
    OF_VISIT,
    Finding,
    Key,
    by_visit,
    carried,
    ends,
    key_of,
    number,
    rows_of,
    worth,
)
from pdmodel.assess.lesions import Summed, has_lesions, read_summed
from pdmodel.data import FORMATS, Patient, ReadingLog, read_cohort
from pdmodel.data.source import Choices
from pdmodel.followup import exposure
from pdmodel.response import Visits

WITH_FINDINGS = ("long", "laleh2022")
"""Layouts whose tables may hold findings beside the sizes."""


class Case(NamedTuple):
    """One patient: what was seen, what was given, and what ended it."""

    patient: Patient
    visits: Visits
    death_day: float | None = None
    new_therapy_day: float | None = None
    last_dose_day: float | None = None
    """Where the table itself says it; else it is told from the doses."""
    recorded: tuple[str, ...] = ()
    """Overall response that the table records at each visit, "" where none; () where it cannot."""

    @property
    def treated(self) -> tuple[float | None, float | None]:
        """Day of the last dose and length of its cycle; None where they are not known."""
        if self.last_dose_day is not None:
            return self.last_dose_day, None
        return exposure(self.patient, self.patient.last_day) or (None, None)


class Cases(NamedTuple):
    """The cases of a table, and how it was read."""

    cases: tuple[Case, ...]
    log: ReadingLog


def read_cases(sizes: str | PathLike[str], **options: Any) -> Cases:
    """Read a table of sizes with findings beside them.

    Parameters
    ----------
    sizes : path
        Table as `read_cohort` takes it. Optional columns, one value a visit: ``nontarget`` (CR,
        NON-CR/NON-PD, PD, NE), ``new_lesion`` (yes, no; blank is as before), and for iRECIST
        ``nontarget_grown`` (yes, no), ``new_count`` and ``new_mm``. One value a patient:
        ``death_day``, ``new_therapy_day``, ``last_dose_day``. With several lesions in
        ``lesion_id`` they are summed by visit; ``node`` (yes, no) says that a size is the short
        axis of a lymph node. Of clinical tables (``sdtm``, ``adam``) these come from the lesions
        and from RS or ADRS beside them.
    **options
        Of `read_cohort`: doses, regimen, format, arms, ...

    Returns
    -------
    Cases
        In the order of `Cohort`.

    Raises
    ------
    DataError
        If anything cannot be used; it says what, where, and what to do.
    """
    path = Path(sizes)
    layout = str(options.get("format", "long"))
    if layout in WITH_FINDINGS and path.is_file():
        table = FORMATS[layout](path, Choices()).table
        if has_lesions(table):
            summed = read_summed(table, **options)
            return Cases(_cases(summed.cohort, summed.rows, summed.sums), summed.cohort.log)
        cohort = read_cohort(sizes, **options)
        rows = rows_of(table, ("size_mm", "status", *OF_VISIT, *OF_PATIENT))
        return Cases(_cases(cohort, rows, {}), _told(cohort.log))
    cohort = read_cohort(sizes, **options)  # says what is wrong with the path or the layout
    if layout in WITH_RECORDS:
        seen = [seen_of(patient) for patient in cohort]
        cases = tuple(_recorded(*pair) for pair in zip(cohort, seen, strict=True))
        return Cases(cases, told(cohort.log, seen))
    return Cases(_cases(cohort, [], {}), cohort.log)


def _recorded(patient: Patient, seen: Seen) -> Case:
    day = [one.day for one in seen.targets]
    columns = _columns(day, seen.found)
    for name in ("size_mm", "partial", "nodes_mm", "largest_node_mm"):
        columns[name] = [getattr(one, name) for one in seen.targets]
    return Case(patient, Visits(day, **columns), recorded=seen.recorded)


def _told(log: ReadingLog) -> ReadingLog:
    """Leave out notes that the columns used here are of no use."""
    used = (*OF_VISIT, *OF_PATIENT)
    kept = (n for n in log.notes if n.column not in used and n.code != "unused-column")
    others = tuple(one for one in log.covariates if one.name not in used)
    return replace(log, notes=tuple(kept), covariates=others)


def _cases(
    patients: Iterable[Patient], rows: list[dict[str, Any]], sums: Mapping[Key, Summed]
) -> tuple[Case, ...]:
    patients = tuple(patients)
    known = {(p.study, p.id) for p in patients}
    rows = [row for row in rows if key_of(row) in known]
    found, last = by_visit(rows), ends(rows)
    cells: dict[tuple[Key, float], float] = {}
    for row in () if sums else rows:
        at = (key_of(row), number(str(row["day"])))
        cells[at] = np.fmax(cells.get(at, math.nan), worth(row))
    days: dict[Key, set[float]] = {}
    for key, day in (*found, *cells):
        if math.isfinite(day):
            days.setdefault(key, set()).add(day)
    out = []
    for patient in patients:
        key = (patient.study, patient.id)
        mine = {day: found[key, day] for day in days.get(key, ()) if (key, day) in found}
        if key in sums:
            visits = _of_lesions(sums[key], mine)
        else:
            visits = _of_sizes(patient, {d: cells.get((key, d), math.nan) for d in mine}, mine)
        death, therapy, dose = (last.get(key, {}).get(name) for name in OF_PATIENT)
        out.append(Case(patient, visits, death, therapy, dose))
    return tuple(out)


def _of_sizes(
    patient: Patient, cells: Mapping[float, float], found: Mapping[float, Finding]
) -> Visits:
    """Sizes of a cohort, those too small as their rows say; other days could not be evaluated."""
    sizes = dict.fromkeys(cells, math.nan)
    for at, x, small in zip(patient.day, patient.size_mm, patient.censored, strict=True):
        said = cells.get(float(at), math.nan)
        sizes[float(at)] = float(x) if not small or math.isnan(said) else min(said, float(x))
    day = sorted(sizes)
    return Visits(day, [sizes[at] for at in day], **_columns(day, found))


def _of_lesions(summed: Summed, found: Mapping[float, Finding]) -> Visits:
    day = [float(at) for at in summed.day]
    columns = _columns(day, found)
    for name in ("new_lesion", "new_count", "new_mm"):  # lesions may say it by themselves
        columns[name] = np.maximum(columns[name], getattr(summed, name))
    return Visits(day, summed.sums.size_mm, *summed.sums[1:], **columns)


def _columns(day: Sequence[float], found: Mapping[float, Finding]) -> dict[str, Any]:
    """Findings at each visit; where there is other disease, what was not judged is "NE"."""
    mine = [found.get(at, Finding()) for at in day]
    nothing = "NE" if any(one.nontarget for one in mine) else ""
    return {
        "nontarget": [nothing if one.nontarget is None else one.nontarget for one in mine],
        "nontarget_grown": [bool(one.nontarget_grown) for one in mine],
        "new_lesion": carried((one.new_lesion for one in mine), False),
        "new_count": carried((one.new_count for one in mine), 0.0),
        "new_mm": carried((one.new_mm for one in mine), 0.0),
    }
