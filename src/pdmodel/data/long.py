"""The long layout: one row a measurement, with patient_id, day and size_mm."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa

from pdmodel.data.cells import LARGEST_MM, LONGEST_DAY, days, sizes
from pdmodel.data.cohort import CovariateNote, Note, Targets
from pdmodel.data.identity import KEY, check_ids, of_arms, one_arm_each, shared_ids
from pdmodel.data.lesions import READER, SEEN, summed
from pdmodel.data.quantities import in_own_units
from pdmodel.data.seen import targets_of
from pdmodel.data.source import Choices, Key, Source
from pdmodel.data.table import (
    FILE,
    LINE,
    Table,
    capped,
    listed,
    many,
    place,
    quoted,
    require_columns,
    row_notes,
    rows_note,
)
from pdmodel.data.traits import Covariates, covariates
from pdmodel.data.workbook import read_table

REQUIRED = ("patient_id", "day", "size_mm")
OPTIONAL = ("study", "arm", "status", "limit_mm", "lesion_id")
NOT_YET = ("new_lesion", "nontarget")
"""Columns that the layout foresees and nothing uses yet."""

DROPPED = ("other-arms", "not-evaluable", "blank-size", "blank-day", "duplicate-row", "same-day")
"""Codes of the notes whose rows no patient carries: kept and these make up all rows read."""

SCANS = pa.DataFrameSchema(
    {
        "study": pa.Column(str),
        "patient_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "arm": pa.Column(str),
        "day": pa.Column(float, pa.Check.in_range(-LONGEST_DAY, LONGEST_DAY)),
        "size_mm": pa.Column(float, pa.Check.in_range(0.0, LARGEST_MM)),
        "censored": pa.Column(bool),
    },
    unique=["study", "patient_id", "day"],
)
"""What every layout comes to in the end: one size a patient and day."""


PERSON = " person"
"""Column with the id of the patient, where each lesion is a course of its own."""


class Scans(NamedTuple):
    """Sizes that can be used, and what became of the other rows."""

    frame: pd.DataFrame
    """Of the schema SCANS, with FILE, LINE, PERSON and lesion_id, ordered by patient and day."""
    rows_read: int
    patients: frozenset[Key]
    """Study and id of everybody in the table, left out or not."""
    arms: frozenset[str]
    """All arms in the table."""
    covariates: Covariates
    about: tuple[CovariateNote, ...]
    notes: tuple[Note, ...]
    targets: Mapping[Key, tuple[Targets, ...]] = {}
    """What was seen at every visit, where the source keeps it."""


def read(path: Path, choices: Choices = Choices()) -> Source:  # noqa: B008 - it is frozen
    """Read a table in the long layout: CSV, TSV, Excel or Parquet."""
    table = in_own_units(read_table(path), choices.units)
    require_columns(table, REQUIRED)
    table = stripped(table)
    if "lesion_id" not in table.frame or not table.frame["lesion_id"].any():
        return Source(table)
    if choices.size_kind == "sld":
        return Source(summed(table))
    if choices.size_kind == "lesion":
        return Source(table, size_kind="lesion", by_lesion=True)
    return _one_lesion(table)


def stripped(table: Table) -> Table:
    """Give every row a study, an arm and a lesion, "" where none stands, without spaces."""
    frame = table.frame
    for name in ("study", "arm"):
        frame = frame.assign(**{name: frame[name].str.strip() if name in frame else ""})
    if "lesion_id" in frame:
        frame = frame.assign(lesion_id=frame["lesion_id"].str.strip())
    return table._replace(frame=frame)


def scans(source: Source, arms: Sequence[str] = ()) -> Scans:
    """Turn text into sizes; every problem on the way is a note, an error if none may be used."""
    table = stripped(source.table)
    whole = table.frame
    notes = [*table.notes, *check_ids(table)]
    whole["arm"], more = one_arm_each(whole)
    notes += more
    table, more = of_arms(table, arms)
    notes += [*more, *shared_ids(table)]
    known = (*REQUIRED, *OPTIONAL, *NOT_YET, READER, *SEEN)
    others = [name for name in table.columns if name not in known]
    carried, about, more = covariates(table, others)
    notes += [*more, *_unused(table)]
    table, more = _apart(table, source)
    notes += more
    frame, more = _measured(table, source)
    notes += more
    targets = targets_of(table, source.bare) if source.by_visit else {}
    frame, more = _once_a_day(frame, source)
    notes += more
    columns = [*SCANS.columns, FILE, LINE, PERSON, "lesion_id"]
    frame = frame.sort_values([*KEY, "day"], kind="stable")[columns]
    if not any(note.severity == "error" for note in notes):
        frame = SCANS.validate(frame)
        notes += _lost(table, frame)
    patients = frozenset(map(tuple, whole[KEY].drop_duplicates().to_numpy()))
    about = tuple(about)
    there = frozenset(whole["arm"])
    return Scans(frame, len(whole), patients, there, carried, about, tuple(notes), targets)


def _apart(table: Table, source: Source) -> tuple[Table, list[Note]]:
    """Give each lesion an id of its own, where each is a course of its own."""
    frame = table.frame.assign(**{PERSON: table.frame["patient_id"]})
    if not source.by_lesion:
        return table._replace(frame=frame.assign(lesion_id="")), []
    blank = row_notes(
        "blank-lesion",
        frame[frame["lesion_id"] == ""],
        "lesion_id",
        lambda _: "the lesion has no name; every row of a table of lesions needs one.",
    )
    several = frame.drop_duplicates([*KEY, "lesion_id"])
    count = int(several.duplicated(KEY, keep=False).sum())
    notes = []
    if count:
        message = (
            f"{place(table.file, column='lesion_id')}: {len(several)} lesions of "
            f"{many(len(several.drop_duplicates(KEY)), 'patient')}, each a course of its own; "
            "models take them for independent."
        )
        notes = [Note("warning", "lesions-apart", message, 0, table.file, None, "lesion_id")]
    frame["patient_id"] = frame["patient_id"] + ":" + frame["lesion_id"]
    return table._replace(frame=frame), [*blank, *notes]


def _one_lesion(table: Table) -> Source:
    """Refuse several lesions in one patient; one lesion is a course of its own."""
    frame = table.frame
    first = frame["lesion_id"].groupby([frame[name] for name in KEY]).transform("first")
    several = row_notes(
        "several-lesions",
        frame[(frame["lesion_id"] != first).to_numpy()],
        "lesion_id",
        lambda cell: (
            f"{quoted(cell)} is another lesion than before in this patient; choose size_kind 'sld' "
            "(--size-kind sld) to sum the lesions of each visit, or 'lesion' for a course of each."
        ),
    )
    return Source(table._replace(notes=(*table.notes, *several)), size_kind="lesion")


def _unused(table: Table) -> list[Note]:
    return [
        Note("info", "unused-column", f"{place(table.file, column=name)}: not used yet.")
        for name in NOT_YET
        if name in table.columns
    ]


def _measured(table: Table, source: Source) -> tuple[pd.DataFrame, list[Note]]:
    """Keep the rows with a day and a size; count the others."""
    frame = table.frame
    day, notes = days(table)
    read = sizes(table)
    no_day = (frame["day"].str.strip() == "").to_numpy()
    if source.blank_day == "refuse":
        notes += row_notes(
            "blank-day",
            frame[no_day],
            "day",
            lambda _: "the day is blank; write the day from the first dose, or drop the row.",
        )
    else:
        what = "without a day, left out"
        notes += rows_note("warning", "blank-day", table, frame[no_day], "day", what)
    ne, blank = read.not_evaluable & ~no_day, read.missing & ~no_day
    notes += read.notes
    what = "NOT EVALUABLE, left out"
    notes += rows_note("info", "not-evaluable", table, frame[ne], "size_mm", what)
    what = "without a size, left out"
    notes += rows_note("warning", "blank-size", table, frame[blank], "size_mm", what)
    small = read.censored & ~no_day
    if small.any():
        limits = sorted(set(read.size_mm[small]))
        below = f"{limits[0]:g}" if len(limits) == 1 else f"{limits[0]:g} to {limits[-1]:g}"
        count = int(small.sum())
        message = (
            f"{place(table.file, column='size_mm')}: {many(count, 'size')} 0, too small to "
            f"measure, or at most {below} mm, left-censored there."
        )
        notes.append(Note("info", "censored", message, count, table.file, None, "size_mm"))
    frame = frame.assign(day=day, size_mm=read.size_mm, censored=read.censored)
    usable = np.isfinite(day) & np.isfinite(read.size_mm) & ~read.not_evaluable
    return frame[usable], notes


def _lost(table: Table, frame: pd.DataFrame) -> list[Note]:
    """Name the patients of whom no scan is left."""
    everybody = table.frame.drop_duplicates(KEY)
    left = set(map(tuple, frame[KEY].drop_duplicates().to_numpy()))
    lost = [i for s, i in everybody[KEY].to_numpy() if (s, i) not in left]
    if not lost:
        return []
    who = many(len(lost), "patient")
    message = f"{table.file}: {who} without a usable scan, left out ({listed(lost)})."
    return [Note("warning", "no-usable-scan", message, 0, table.file, patient=lost[0])]


def _once_a_day(frame: pd.DataFrame, source: Source) -> tuple[pd.DataFrame, list[Note]]:
    """Keep one of equal rows; of different sizes on one day refuse both, or keep the larger."""
    same = [*KEY, "day", "size_mm", "censored"]
    again = frame.duplicated(same)
    what = "the same as another row of the patient, left out"
    notes = rows_note("warning", "duplicate-row", source.table, frame[again], "day", what)
    frame = frame[~again]
    ordered = frame.sort_values(["size_mm", "censored"], ascending=[False, True], kind="stable")
    smaller = frame[frame.index.isin(ordered.index[ordered.duplicated([*KEY, "day"])])]
    if smaller.empty:
        return frame, notes
    if source.same_day == "larger":
        what = "with a larger size of the patient on the same day; that is kept"
        notes += rows_note("warning", "same-day", source.table, smaller, "size_mm", what)
    else:
        notes += _conflicts(frame[frame.duplicated([*KEY, "day"], keep=False)])
    return frame.drop(smaller.index), notes


def _conflicts(frame: pd.DataFrame) -> list[Note]:
    notes = []
    for _, rows in frame.groupby([*KEY, "day"], sort=False):
        first, other = rows.iloc[0], rows.iloc[1]
        message = (
            f"{place(other[FILE], other[LINE], 'size_mm')}: patient {quoted(other['patient_id'])} "
            f"has {listed(f'{mm:g} mm' for mm in rows['size_mm'])} on day {other['day']:g} (lines "
            f"{' and '.join(map(str, rows[LINE]))}); keep one size a day."
        )
        found = (other[FILE], int(other[LINE]), "size_mm", first["patient_id"])
        notes.append(Note("error", "same-day", message, len(rows), *found))
    return capped(notes)
