"""The layout of NONMEM data sets: observations and doses in one table, told apart by EVID."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from pdmodel.data.cells import LIMIT_MM, TOO_SMALL, numbers
from pdmodel.data.cohort import Note
from pdmodel.data.lesions import summed
from pdmodel.data.long import stripped
from pdmodel.data.quantities import in_own_units
from pdmodel.data.records import NUMBERS, doses_from
from pdmodel.data.source import Choices, Source
from pdmodel.data.table import (
    LINE,
    Table,
    listed,
    many,
    meant,
    place,
    quoted,
    require_columns,
    row_notes,
    rows_note,
    unusable,
)
from pdmodel.data.text import delimited, read_bytes
from pdmodel.data.workbook import read_table

NEEDED = ("ID", "TIME", "DV")
OWN = {"patient_id": "ID", "day": "TIME", "size_mm": "DV", "arm": "ARM", "study": "STUDY",
       "lesion_id": "LESION", "amount_mg": "AMT", "duration_day": "DUR"}  # fmt: skip
OWN_BACK = {own: name for name, own in OWN.items()}
RESERVED = (*NUMBERS, "MDV", "BLQ", "CENS", "LIMIT", "LLOQ", "DRUG", "C", "CMT", "DVID", "YTYPE",
            "FLAG", "L2", "OCC", "DATE")  # fmt: skip
"""Columns with a meaning of their own; all others are carried as covariates."""

MISSING = (".", "NA", "NAN", "-99")
LONG_GAP_DAY = 250.0
"""A median gap above this may be in hours."""

KINDS = ("DVID", "YTYPE", "CMT", "FLAG")
"""Columns that may tell observations of one kind from others, in this order."""


def read(path: Path, choices: Choices = Choices()) -> Source:  # noqa: B008 - it is frozen
    """Read a data set: comma-, tab- or space-separated text, Excel or Parquet.

    An observation is a row of EVID 0 (where there is no EVID: without AMT) and MDV 0. Its DV is a
    size, and left-censored where BLQ or CENS is 1: at DV, else at LLOQ, else at 5 mm. ``.`` says
    that a value is missing, never 0. TIME is in days unless declared otherwise, and day 0 is
    TIME 0. Doses are the rows of EVID 1 and 4, with RATE, DUR, ADDL, II and SS, and resets.
    """
    table, notes = _commented(_table(path))
    require_columns(table, NEEDED)
    table = _numbered(table, choices)
    events, more = _events(table)
    notes += more
    observed, more = _observations(table, events)
    notes += more
    observed, more = _of_kind(observed, choices.dv)
    notes += more
    sizes = stripped(_sizes(observed))
    sizes = sizes._replace(notes=(*sizes.notes, *notes))
    doses = doses_from(table, events, choices)
    if "lesion_id" not in sizes.frame:
        return Source(sizes, doses=doses)
    if choices.size_kind == "sld":
        return Source(summed(sizes), doses=doses)
    return Source(sizes, size_kind="lesion", by_lesion=True, doses=doses)


def _table(path: Path) -> Table:
    """Read the file; a table whose columns are set apart by spaces becomes one with commas."""
    if path.suffix.lower() in (".xlsx", ".xlsm", ".parquet", ".xpt"):
        return read_table(path)
    content = read_bytes(path)
    try:
        lines = list(io.StringIO(content.decode("utf-8-sig")))
    except UnicodeDecodeError:
        return delimited(content, str(path))
    first = next((line for line in lines if line.strip()), "")
    skipped = first.upper().startswith("TABLE NO")  # what $TABLE writes above its header
    header = next((line for line in lines[1:] if line.strip()), "") if skipped else first
    if any(mark in header for mark in ",;\t"):
        return delimited(content, str(path))
    words = (line.strip(" \r\n").replace("\t", " ").split(" ") for line in lines)
    spaced = [",".join(word for word in line if word) for line in words]
    if skipped:
        spaced[lines.index(first)] = ""
    return delimited("\n".join(spaced).encode(), str(path))


def _commented(table: Table) -> tuple[Table, list[Note]]:
    """Leave out rows that are comments: a C in the column C, or # or @ at the start."""
    first = table.columns[0]
    frame = table.frame.rename(columns={name: name.lstrip("#@").upper() for name in table.columns})
    if frame.columns.duplicated().any():
        twice = str(frame.columns[frame.columns.duplicated()][0])
        raise unusable("column-twice", f"column {twice!r} occurs twice; keep one.", table.file)
    cells = frame[first.lstrip("#@").upper()].str.strip()
    comment = cells.str.startswith(("#", "@"))
    if "C" in frame:
        comment |= frame["C"].str.strip().str.upper() == "C"
    frame = frame.assign(patient_id=frame.get("ID", ""))
    table = table._replace(frame=frame)
    what = "commented out (C, # or @), left out"
    notes = rows_note("info", "comment", table, frame[comment], "C", what)
    return table._replace(frame=frame[~comment].drop(columns="patient_id")), notes


def _numbered(table: Table, choices: Choices) -> Table:
    """Give the columns the package's names, and empty cells where a value is missing."""
    frame = table.frame.rename(columns=OWN_BACK)
    blanks = {
        name: frame[name].mask(frame[name].str.strip().str.upper().isin(MISSING), "")
        for name in frame.columns
        if name in (*OWN_BACK.values(), *RESERVED) and name not in ("patient_id", "arm", "study")
    }
    frame = frame.assign(**blanks)
    if "patient_id" in frame:
        frame["patient_id"] = frame["patient_id"].str.strip()
    table = table._replace(frame=frame, names=OWN)
    table = in_own_units(table, choices.units)
    time, amount, size = (table.scales.get(n, 1.0) for n in ("day", "amount_mg", "size_mm"))
    scales = {"II": time, "duration_day": time, "limit_mm": size, "RATE": amount / time}
    return table._replace(scales={**scales, **table.scales})


def _events(table: Table) -> tuple[pd.DataFrame, list[Note]]:
    """Read the numbers of every row; columns that are not there are 0, EVID follows AMT."""
    notes: list[Note] = []
    found = {}
    for name in (*NUMBERS, "MDV", "BLQ", "CENS"):
        if name not in table.frame:
            found[name] = np.zeros(len(table.frame))
            continue
        values, more = numbers(table, name)
        notes += more
        found[name] = np.nan_to_num(values)
    if "EVID" not in table.frame:
        found["EVID"] = (found["amount_mg"] != 0).astype(float)
    for name, known in (("EVID", range(5)), ("MDV", range(2)), ("BLQ", range(2)),
                        ("CENS", range(-1, 2))):  # fmt: skip
        strange = ~np.isin(found[name], known)
        notes += row_notes(
            f"bad-{name.lower()}", table.frame[strange], name,
            lambda cell, known=known: f"{quoted(cell)} is not known; known are {listed(known, 5)}.",
        ) if name in table.frame else []  # fmt: skip
    right = found["CENS"] == -1
    if right.any():
        notes += row_notes(
            "right-censored", table.frame[right], "CENS",
            lambda _: "a size above a limit (-1) cannot be used; write the size, or drop the row.",
        )  # fmt: skip
    return pd.DataFrame(found, index=table.frame.index), notes


def _observations(table: Table, events: pd.DataFrame) -> tuple[Table, list[Note]]:
    """Keep the rows that are observations."""
    frame = table.frame
    is_event = (events["EVID"] != 0).to_numpy()
    no_value = (events["MDV"] == 1).to_numpy() & ~is_event
    kept = ~is_event & ~no_value
    notes = _apart(table)
    message = (
        f"{table.file}: {len(frame)} records: {many(int(kept.sum()), 'observation')}, "
        f"{int(np.isin(events['EVID'], (1, 4)).sum())} of doses, "
        f"{int(is_event.sum() - np.isin(events['EVID'], (1, 4)).sum())} other events, "
        f"{int(no_value.sum())} without a value (MDV 1)."
    )
    notes.append(Note("info", "records", message, len(frame) - int(kept.sum()), table.file))
    said = (frame["size_mm"].str.strip().replace("0", "") != "").to_numpy()
    what = "of doses or other events that have a DV, which is not used"
    notes += rows_note("info", "dv-of-dose", table, frame[is_event & said], "size_mm", what)
    small = (events["BLQ"] == 1) | (events["CENS"] == 1)
    frame = frame.assign(small=small.to_numpy())[kept]
    return table._replace(frame=frame), notes


def _apart(table: Table) -> list[Note]:
    """Say if records of one ID are not together: NONMEM takes them for two patients."""
    ids = table.frame["patient_id"]
    begun = ids[ids != ids.shift()]
    torn = sorted(set(begun[begun.duplicated()]))
    if not torn:
        return []
    message = (
        f"{place(table.file, column='ID')}: {many(len(torn), 'ID')} ({listed(torn)}) whose records "
        "are not together; NONMEM takes them for several patients, here each is one."
    )
    return [Note("warning", "id-apart", message, 0, table.file, None, "ID", torn[0])]


def _of_kind(table: Table, wanted: str) -> tuple[Table, list[Note]]:
    """Keep the observations that are sizes, where there are others."""
    frame = table.frame
    values = {name: sorted(set(frame[name].str.strip()) - {""}) for name in KINDS if name in frame}
    if not wanted:
        several = {name: there for name, there in values.items() if len(there) > 1}
        if not several:
            return table, []
        name, there = next(iter(several.items()))
        message = (
            f"observations of several kinds ({name} {listed(there, 6)}); say which are sizes, as "
            f"dv='{name}={there[0]}' (--dv {name}={there[0]})."
        )
        raise unusable("dv", message, table.file)
    name, _, value = (part.strip() for part in wanted.partition("="))
    if name.upper() not in frame or not value:
        message = f"dv {quoted(wanted)} is not COLUMN=VALUE; the columns are "
        message += f"{listed(values or table.columns, 12)}.{meant(name.upper(), values)}"
        raise unusable("dv", message, table.file)
    kept = frame[name.upper()].str.strip() == value
    if not kept.any():
        there = sorted(set(frame[name.upper()].str.strip()))
        message = f"no observation has {name.upper()} {quoted(value)}; there are "
        message += f"{listed(there, 9)}."
        raise unusable("dv", message, table.file)
    rest = int((~kept).sum())
    message = f"{table.file}: {many(int(kept.sum()), 'size')} ({name.upper()} {value}); {rest} "
    message += "other observations passed over."
    return table._replace(frame=frame[kept]), [Note("info", "dv", message, rest, table.file)]


def _sizes(table: Table) -> Table:
    """Bring observations into the words of the long layout."""
    frame = table.frame
    small = frame["small"].to_numpy()
    stated = frame["size_mm"].str.strip().replace({"0": "", "0.0": ""})
    lloq = frame["LLOQ"].str.strip() if "LLOQ" in frame else pd.Series("", frame.index)
    limit = stated.where(stated != "", lloq).where(small, lloq)
    size = frame["size_mm"].where(~small, TOO_SMALL[0])
    frame = frame.assign(size_mm=size, limit_mm=limit)
    below = frame[small & (limit == "").to_numpy()]
    what = f"below a limit that is not said, taken for {LIMIT_MM:g} mm"
    notes = rows_note("warning", "no-limit", table, below, "size_mm", what)
    low = frame["LIMIT"].str.strip() if "LIMIT" in frame else pd.Series("", frame.index)
    between = frame[small & (low != "").to_numpy()]
    what = "with a lower limit (LIMIT), which is not used: the size is taken to be at most DV"
    notes += rows_note("info", "lower-limit", table, between, "size_mm", what)
    reserved = [name for name in (*RESERVED, "small") if name in frame]
    kept = frame.drop(columns=reserved).rename(columns=str.lower)
    kept = kept.rename(columns={LINE.lower(): LINE})
    return table._replace(frame=kept, notes=(*table.notes, *notes, *_hours(table)))


def _hours(table: Table) -> list[Note]:
    """Suspect that TIME is in hours, where scans are years apart."""
    if "day" in table.scales:
        return []
    frame = table.frame
    time = pd.to_numeric(frame["day"].str.strip(), errors="coerce")
    gap = time.groupby(frame["patient_id"]).diff().abs().median()
    if not gap > LONG_GAP_DAY:
        return []
    message = (
        f"{place(table.file, column='TIME')}: the median time between two observations is {gap:g} "
        "days; are these hours? Declare the unit (--unit time=hour)."
    )
    return [Note("warning", "long-gaps", message, 0, table.file, None, "TIME")]
