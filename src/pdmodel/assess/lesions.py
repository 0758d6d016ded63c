"""Tables with several lesions in a patient: each is read by itself, then summed by visit."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pdmodel.assess.findings import (
    OF_PATIENT,
    OF_VISIT,
    Key,
    cell_error,
    key_of,
    number,
    rows_of,
    worth,
    yes_or_no,
)
from pdmodel.data import Cohort, Note, ReadingLog, read_cohort
from pdmodel.data.identity import KEY
from pdmodel.data.long import Source, scans
from pdmodel.data.table import FILE, LINE, Table, many, place, quoted
from pdmodel.errors import DataError
from pdmodel.response import Sums, sum_lesions

APART = "\x1f"
"""Between a patient and a lesion, where each lesion is read as if it were a patient."""
OWN = (FILE, LINE, "lesion_id", "node", "size_mm", "status", "limit_mm", "day", *OF_VISIT)
TOLD = 3
SUMMED = "several-lesions"
"""Code of the note by which the long layout refuses several lesions."""


class Summed(NamedTuple):
    """Target and new lesions of one patient at each visit, shape (visits,)."""

    day: np.ndarray
    sums: Sums
    new_lesion: np.ndarray
    new_count: np.ndarray
    new_mm: np.ndarray


class OfLesions(NamedTuple):
    """What a table of lesions comes to."""

    cohort: Cohort
    rows: list[dict[str, Any]]
    sums: dict[Key, Summed]


def has_lesions(table: Table) -> bool:
    """Whether the table holds several lesions of some patient."""
    frame = table.frame
    if "lesion_id" not in frame:
        return False
    study = frame["study"].str.strip() if "study" in frame else ""
    named = frame.assign(study=study, lesion_id=frame["lesion_id"].str.strip())
    pairs = named[named["lesion_id"] != ""].drop_duplicates([*KEY, "lesion_id"])
    return bool(pairs.duplicated(KEY).any())


def read_summed(table: Table, **options: Any) -> OfLesions:
    """Read a table of lesions; each target must have been seen by the baseline."""
    rows = rows_of(table, ("lesion_id", "node", "size_mm", "status", *OF_VISIT, *OF_PATIENT))
    for row in rows:
        if not row["lesion_id"]:
            why = "the lesion has no name; every row of a table of lesions needs one."
            raise cell_error(row, "lesion_id", why)
    sizes = _sizes(table, rows)
    by_patient: dict[Key, list[dict[str, Any]]] = {}
    for row in rows:
        by_patient.setdefault(key_of(row), []).append(row)
    sums = {key: _summed(mine, sizes) for key, mine in by_patient.items()}
    return OfLesions(_cohort(table, sums, options), rows, sums)


def _sizes(table: Table, rows: list[dict[str, Any]]) -> dict[tuple[str, str, str, float], float]:
    """Size of each lesion and day in mm: 0 if gone, 5 if too small to measure."""
    lesion = table.frame["lesion_id"].str.strip()
    apart = table.frame.assign(patient_id=table.frame["patient_id"] + APART + lesion)
    named = [name for name in apart if name not in ("lesion_id", *OF_VISIT, *OF_PATIENT, "node")]
    source = Source(
        table._replace(frame=apart[named], notes=tuple(n for n in table.notes if n.code != SUMMED))
    )
    read = scans(source)
    errors = [note for note in read.notes if note.severity == "error" and note.code != "broken-id"]
    if errors:
        told = [note.message.replace(APART, ":").replace("\\x1f", ":") for note in errors[:TOLD]]
        more = [f"... and {len(errors) - TOLD} more."] if len(errors) > TOLD else []
        raise DataError("\n".join([*told, *more]))
    small = {(*key_of(r), r["lesion_id"], number(r["day"])): worth(r) for r in rows}
    found = {}
    columns = ("study", "patient_id", "day", "size_mm", "censored")
    for study, name, day, mm, low in read.frame[[*columns]].itertuples(index=False, name=None):
        patient, lesion_id = str(name).split(APART)
        at = (str(study), patient, lesion_id, float(day))
        found[at] = min(small.get(at, float(mm)), float(mm)) if low else float(mm)
    return found


def _summed(rows: list[dict[str, Any]], sizes: dict[tuple[str, str, str, float], float]) -> Summed:
    """Sum the lesions of one patient."""
    key = key_of(rows[0])
    day = sorted({number(row["day"]) for row in rows})
    names = list(dict.fromkeys(row["lesion_id"] for row in rows))
    mm = np.array([[sizes.get((*key, name, at), np.nan) for name in names] for at in day])
    node = [_is_node([row for row in rows if row["lesion_id"] == name]) for name in names]
    base = max((k for k, at in enumerate(day) if at <= 0), default=0)
    new = np.zeros(len(names), bool)
    for k, name in enumerate(names):
        if np.isnan(mm[: base + 1, k]).all():
            mine = [row for row in rows if row["lesion_id"] == name]
            if not any(yes_or_no(row, "new_lesion") for row in mine):
                why = (
                    f"lesion {quoted(name)} of patient {quoted(key[1])} has no size by the "
                    "baseline, when targets are chosen; write yes in new_lesion if it is new, or "
                    "drop its rows."
                )
                raise cell_error(mine[0], "lesion_id", why)
            new[k] = True
    there = np.where(np.isnan(mm), 0.0, mm)[:, new]
    return Summed(
        np.array(day),
        sum_lesions(mm[:, ~new], np.array(node, bool)[~new]),
        (there > 0).any(1),
        (there > 0).sum(1).astype(float),
        np.round(there.sum(1), 9),
    )


def _is_node(rows: list[dict[str, Any]]) -> bool:
    said = [(yes_or_no(row, "node"), row) for row in rows]
    told = [(is_node, row) for is_node, row in said if is_node is not None]
    for is_node, row in told:
        if is_node != told[0][0]:
            why = f"lesion {quoted(row['lesion_id'])} is a node in one row and none in another."
            raise cell_error(row, "node", why + " Write the same in all.")
    return bool(told and told[0][0])


def _cohort(table: Table, sums: dict[Key, Summed], options: dict[str, Any]) -> Cohort:
    """Read the sums as a table of one size a visit, with doses, arms and covariates."""
    frame = table.frame
    names = [str(name) for name in frame]
    others = [name for name in names if name not in (*OWN, "patient_id", "study", *OF_PATIENT)]
    study = frame["study"].str.strip() if "study" in frame else pd.Series("", frame.index)
    groups = frame.assign(study=study).groupby(["study", "patient_id"], sort=False)[others]
    one = groups.nunique().max() == 1
    kept = [name for name in others if one[name]]
    first = dict(zip(groups.first().index, groups.first()[kept].to_dict("records"), strict=True))
    lines = []
    for key, seen in sums.items():
        for at, mm, partial in zip(seen.day, seen.sums.size_mm, seen.sums.partial, strict=True):
            size = "NE" if np.isnan(mm) or partial else format(mm, ".15g")
            named = {"study": key[0], "patient_id": key[1], "day": format(at, ".15g")}
            lines.append(named | {"size_mm": size} | first[key])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sums.csv"
        pd.DataFrame(lines).to_csv(path, index=False)
        try:
            whole: dict[str, Any] = options | {"format": "long", "size_kind": "sld"}
            cohort = read_cohort(path, **whole)
        except DataError as error:
            raise DataError(str(error).replace(str(path), table.file)) from None
    return replace(cohort, log=_log(table, sums, cohort))


def _log(table: Table, sums: dict[Key, Summed], cohort: Cohort) -> ReadingLog:
    """Say what became of the lesions; lines of the sums are no lines of the table."""
    visits = sum(len(seen.day) for seen in sums.values())
    torn = sum(int(seen.sums.partial.sum()) for seen in sums.values())
    message = (
        f"{place(table.file, column='lesion_id')}: lesions of {many(len(sums), 'patient')} summed "
        f"at {many(visits, 'visit')}; at {torn} of them a target is missing, and the sum can show "
        "progression only."
    )
    note = Note("info", "summed", message, len(table.frame), table.file, None, "lesion_id")
    others = tuple(n for n in cohort.log.notes if n.line is None and n.file != cohort.log.source)
    rows = len(table.frame)
    return ReadingLog(table.file, rows, rows, (note, *others))
