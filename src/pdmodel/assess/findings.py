"""What a table says beside sizes: other lesions, new ones, and days that end a patient's course."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from pdmodel.data.table import FILE, LINE, Table, place, quoted
from pdmodel.errors import DataError
from pdmodel.response import NONTARGET, RULES

type Key = tuple[str, str]

NONTARGET_WORDS = {word: word for word in NONTARGET} | {"SD": "NON-CR/NON-PD", "NA": ""}
YES_NO = {"YES": True, "Y": True, "TRUE": True, "1": True}
YES_NO |= {"NO": False, "N": False, "FALSE": False, "0": False}
TOO_SMALL_MM = RULES["sitc2020"].too_small_mm
"""Size of a lesion that is too small to measure (RECIST 1.1, 10.1016/j.ejca.2008.10.026)."""
OF_VISIT = ("nontarget", "nontarget_grown", "new_lesion", "new_count", "new_mm")
OF_PATIENT = ("death_day", "new_therapy_day", "last_dose_day")


class Finding(NamedTuple):
    """What was found at one visit beside the target lesions; None where nothing is said."""

    nontarget: str | None = None
    nontarget_grown: bool | None = None
    new_lesion: bool | None = None
    new_count: float | None = None
    new_mm: float | None = None


def cell_error(row: Mapping[str, Any], column: str, why: str) -> DataError:
    """Say where a cell stands, what is wrong and what to do."""
    return DataError(f"{place(str(row[FILE]), int(row[LINE]), column)}: {why}")


def rows_of(table: Table, columns: Iterable[str]) -> list[dict[str, Any]]:
    """Rows as dictionaries: key, day as text, and the cells of the columns that are there."""
    frame = table.frame
    names = [name for name in columns if name in frame]
    study = frame["study"].str.strip() if "study" in frame else pd.Series("", frame.index)
    cut = frame[["patient_id", "day", FILE, LINE, *names]].assign(study=study)
    cut = cut.assign(**{name: cut[name].str.strip() for name in ("day", *names)})
    return [{str(name): cell for name, cell in row.items()} for row in cut.to_dict("records")]


def key_of(row: Mapping[str, Any]) -> Key:
    """Study and id of the patient of a row."""
    return str(row["study"]), str(row["patient_id"])


def number(text: str) -> float:
    """Read a number, with a decimal comma or point; nan where it is none."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan


def worth(row: Mapping[str, Any]) -> float:
    """Size of a row in mm, for those at or below the limit of measurement; nan if none is said.

    0 is gone; too small to measure is 5 mm; a number below the limit is taken as it stands.
    """
    if "TOO SMALL" in f"{row.get('size_mm', '')} {row.get('status', '')}".upper():
        return TOO_SMALL_MM
    return number(str(row.get("size_mm", "")))


def yes_or_no(row: Mapping[str, Any], column: str) -> bool | None:
    """Read yes or no; None where the cell is blank or not there."""
    text = str(row.get(column, ""))
    if not text:
        return None
    if text.upper() not in YES_NO:
        raise cell_error(row, column, f"{quoted(text)} is neither yes nor no; write one of them.")
    return YES_NO[text.upper()]


def quantity(row: Mapping[str, Any], column: str, *, least: float = 0.0) -> float | None:
    """Read a number; None where the cell is blank or not there."""
    text = str(row.get(column, ""))
    if not text:
        return None
    value = number(text)
    if not (math.isfinite(value) and value >= least):
        bound = f" >= {least:g}" if math.isfinite(least) else ""
        why = f"{quoted(text)} is no number{bound}; write one, or leave it blank."
        raise cell_error(row, column, why)
    return value


def _nontarget(row: Mapping[str, Any]) -> str | None:
    text = str(row.get("nontarget", ""))
    if not text:
        return None
    if (word := text.upper().replace(" ", "")) not in NONTARGET_WORDS:
        known = ", ".join(word for word in NONTARGET if word)
        why = f"{quoted(text)} is no response of other lesions; write {known} or leave it blank."
        raise cell_error(row, "nontarget", why)
    return NONTARGET_WORDS[word]


def finding(row: Mapping[str, Any]) -> Finding:
    """Read the cells of one row."""
    return Finding(
        _nontarget(row),
        yes_or_no(row, "nontarget_grown"),
        yes_or_no(row, "new_lesion"),
        quantity(row, "new_count"),
        quantity(row, "new_mm"),
    )


def by_visit(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[Key, float], Finding]:
    """Bring together what the rows of one visit say; DataError if two say different things."""
    said: dict[tuple[Key, float], Finding] = {}
    lines: dict[tuple[Key, float], Mapping[str, Any]] = {}
    for row in rows:
        at = (key_of(row), number(str(row["day"])))
        now, before = finding(row), said.get(at, Finding())
        for column, old, new in zip(Finding._fields, before, now, strict=True):
            if old is not None and new is not None and old != new:
                first = int(lines[at][LINE])
                why = (
                    f"{quoted(row[column])} differs from line {first}, of the same patient and "
                    "day; write the same, or leave one blank."
                )
                raise cell_error(row, column, why)
        told = {name: cell for name, cell in now._asdict().items() if cell is not None}
        said[at] = before._replace(**told)
        lines.setdefault(at, row)
    return said


def ends(rows: Iterable[Mapping[str, Any]]) -> dict[Key, dict[str, float]]:
    """Read the days that are one for each patient; DataError if two rows differ."""
    found: dict[Key, dict[str, float]] = {}
    for row in rows:
        mine = found.setdefault(key_of(row), {})
        for column in OF_PATIENT:
            day = quantity(row, column, least=-math.inf)
            if day is None:
                continue
            if mine.setdefault(column, day) != day:
                why = f"{day:g} differs from {mine[column]:g} in an earlier row; keep one."
                raise cell_error(row, column, why)
    return found


def carried(values: Iterable[Any], blank: Any) -> list[Any]:
    """Fill what is not said with what was said last, `blank` before that."""
    out, last = [], blank
    for value in values:
        last = last if value is None else value
        out.append(last)
    return out
