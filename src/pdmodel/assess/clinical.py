"""What clinical tables hold beside whole sums: recorded responses, and visits without a sum."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from pdmodel.assess.findings import NONTARGET_WORDS, YES_NO, Finding
from pdmodel.data import Assessment, Note, Patient, ReadingLog, Targets
from pdmodel.data.table import listed, many

WITH_RECORDS = ("sdtm", "adam")
"""Layouts whose tables may hold responses beside the sizes."""

WINDOW_DAY = 7.0
"""A record goes with a visit that is so near, as trials plan their visits a week early or late."""

OTHER_DISEASE = NONTARGET_WORDS | {"ND": "", "NED": "", "NOTEVALUABLE": "NE", "UE": "NE"}
NEW = YES_NO | {"UNEQUIVOCAL": True, "PRESENT": True, "NONE": False, "ABSENT": False}
UNCERTAIN = ("EQUIVOCAL", "")
"""Words on new lesions that say neither yes nor no."""
NOTHING = ("", "NA", "ND")
"""Words of overall responses that are none."""


class Seen(NamedTuple):
    """One patient's visits, with what was recorded at each."""

    targets: tuple[Targets, ...]
    found: dict[float, Finding]
    recorded: tuple[str, ...]
    counts: Counter[str]
    """How many records went where."""
    unknown: tuple[str, ...]
    """Words that are not known."""


def seen_of(patient: Patient) -> Seen:
    """Bring the records of a patient to the visits at which targets were seen, or were not.

    A record goes with the visit of its day; of those that are left, the nearest pair goes
    together first, up to `WINDOW_DAY` apart. What still has no visit is one without a target, if
    it is after the first scan. Records are of a person: of a single lesion they say nothing.
    """
    at = {one.day: one for one in patient.targets}
    counts = Counter(unevaluated=sum(one.partial or math.isnan(one.size_mm) for one in at.values()))
    if patient.lesion:
        counts["of lesions"] = len(patient.assessments)
        return Seen(_ordered(at), {}, ("",) * len(at), counts, ())
    records = {one.day: one for one in patient.assessments}
    goes = _matched(tuple(records), tuple(at))
    counts["exact"] = sum(day == visit for day, visit in goes.items())
    counts["near"] = len(goes) - counts["exact"]
    first = min(at)
    for day in records.keys() - goes.keys():
        counts["alone" if day > first else "before"] += 1
        if day > first:
            at[day], goes[day] = Targets(day, math.nan), day
    by_visit = {visit: records[day] for day, visit in goes.items()}
    unknown = [word for one in by_visit.values() for word in _unknown(one)]
    found = {visit: _finding(one) for visit, one in by_visit.items()}
    said = {day: one.overall for day, one in by_visit.items() if one.overall not in NOTHING}
    targets = _ordered(at)
    recorded = tuple(said.get(one.day, "") for one in targets)
    return Seen(targets, found, recorded, counts, tuple(unknown))


def _ordered(at: dict[float, Targets]) -> tuple[Targets, ...]:
    return tuple(at[day] for day in sorted(at))


def _matched(records: Sequence[float], visits: Sequence[float]) -> dict[float, float]:
    """Pair days of records with days of visits, the nearest first, each once."""
    pairs = sorted(
        (abs(record - visit), record, visit)
        for record in records
        for visit in visits
        if abs(record - visit) <= WINDOW_DAY
    )
    goes: dict[float, float] = {}
    for _, record, visit in pairs:
        if record not in goes and visit not in goes.values():
            goes[record] = visit
    return goes


def _finding(one: Assessment) -> Finding:
    other = OTHER_DISEASE.get(one.nontarget.replace(" ", ""), "NE") if one.nontarget else None
    return Finding(nontarget=other, new_lesion=NEW.get(one.new_lesion))


def _unknown(one: Assessment) -> list[str]:
    other = [one.nontarget] if one.nontarget.replace(" ", "") not in OTHER_DISEASE else []
    new = [one.new_lesion] if one.new_lesion not in (*NEW, *UNCERTAIN) else []
    return [word for word in (*other, *new) if word]


def told(log: ReadingLog, patients: Iterable[Seen]) -> ReadingLog:
    """Say which visits have no sum, and what became of the records."""
    patients = tuple(patients)
    counts = Counter[str]()
    for one in patients:
        counts.update(one.counts)
    notes = [*_without_sum(log, counts), *_of_records(log, counts)]
    unknown = sorted({word for one in patients for word in one.unknown})
    if unknown:
        times = sum(len(one.unknown) for one in patients)
        message = (
            f"{log.source}: {many(times, 'record')} of other or new lesions in words that are not "
            f"known ({listed(unknown)}); other lesions are NE there, and of new ones nothing is "
            "said."
        )
        notes.append(Note("warning", "unknown-record", message, times, log.source))
    kept = (note for note in log.notes if note.code != "not-evaluable")  # they are not left out
    return replace(log, notes=(*kept, *notes))


def _without_sum(log: ReadingLog, counts: Counter[str]) -> list[Note]:
    count = counts["unevaluated"]
    if not count:
        return []
    message = (
        f"{log.source}: {many(count, 'visit')} at which a target was not evaluable or has no row: "
        "the response of targets is NE, or PD if the others alone show it."
    )
    return [Note("info", "unevaluated-visit", message, count, log.source)]


def _of_records(log: ReadingLog, counts: Counter[str]) -> list[Note]:
    if count := counts["of lesions"]:
        message = (
            f"{log.source}: responses recorded of persons at {many(count, 'visit')} not used, "
            "since each lesion is a course of its own."
        )
        return [Note("info", "records-of-persons", message, count, log.source)]
    total = sum(counts[name] for name in ("exact", "near", "alone", "before"))
    if not total:
        return []
    message = (
        f"{log.source}: responses recorded at {many(total, 'visit')}: {counts['exact']} on the day "
        f"of a scan, {counts['near']} within {WINDOW_DAY:g} days of one, {counts['alone']} without "
        f"a scan (visits of their own, targets NE), {counts['before']} before the first scan (not "
        "used)."
    )
    severity = "warning" if counts["alone"] or counts["before"] else "info"
    return [Note(severity, "records-matched", message, total, log.source)]


def agreement(scans: pd.DataFrame) -> list[str]:
    """Say at how many visits the recorded response is the one found here; nothing without records.

    Parameters
    ----------
    scans : DataFrame
        What `scan_table` gave. Words of iRECIST are compared with its response by iRECIST.
    """
    rows = scans[scans["recorded"] != ""]
    if rows.empty:
        return []
    later = rows[rows["visit"] == "after"]
    immune = later["recorded"].str.startswith("I")
    ours = later["overall"].where(~immune, later["immune"].str.upper())
    same = ours == later["recorded"]
    none = int((scans["visit"] == "after").sum()) - len(later)
    agree = many(int(same.sum()), "visit")
    rest = f"disagree at {int((~same).sum())}, and are missing at {none}."
    lines = [f"Recorded responses agree at {agree}, {rest}"]
    pairs = Counter(zip(ours[~same], later["recorded"][~same], strict=True))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    lines += [f"  {count} x {a} here, {b} recorded" for (a, b), count in ordered]
    if early := len(rows) - len(later):
        lines.append(f"  {early} recorded by the baseline, where there is no response to compare")
    return lines
