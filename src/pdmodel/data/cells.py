"""Cells of text, understood as numbers, days and sizes, or refused with the way out."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from pdmodel.data.cohort import Note
from pdmodel.data.table import Table, many, place, quoted, row_notes

LIMIT_MM = 5.0
"""Below this a lesion is too small to measure (RECIST 1.1), unless the table says otherwise."""

LARGEST_MM = 1000.0
"""No sum of diameters is larger."""

LONGEST_DAY = 36525.0
"""A hundred years; larger days are dates in disguise."""

TOO_SMALL = (
    "TOO SMALL TO MEASURE", "TOO SMALL", "TOO SMALL TO BE MEASURED", "BELOW MEASURABLE LIMIT",
    "TSTM", "<5", "<5 MM", "< 5 MM", "< 5",
)  # fmt: skip
NOT_EVALUABLE = (
    "NOT EVALUABLE", "NE", "NOT ASSESSABLE", "NOT ASSESSED", "NOT DONE", "ND", "INEVALUABLE",
    "UNEVALUABLE", "NON-EVALUABLE", "UNKNOWN", "UNK",
)  # fmt: skip
ABSENT = ("ABSENT", "RESOLVED", "DISAPPEARED", "NOT PRESENT")
"""A lesion that is gone, size 0."""
MISSING = ("", ".", "NA", "NAN")
MEASURED = ("MEASURED", *MISSING)

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}.*|[0-9]{1,2}[-/.][0-9A-Za-z]+[-/.][0-9]+")
_UNIT = re.compile(r"[+-]?[0-9.,]+ *(?:mm|cm|mg|g|d|days?|weeks?)", re.IGNORECASE)


class Sizes(NamedTuple):
    """What the cells of sizes say, row by row."""

    size_mm: np.ndarray
    """Measured size, or the limit where it is censored, or NaN; in mm."""
    censored: np.ndarray
    missing: np.ndarray
    """Nothing stands there."""
    not_evaluable: np.ndarray
    notes: list[Note]
    measured: np.ndarray
    """The number that stands there, or NaN; in mm."""
    small: np.ndarray
    """Too small to measure, by its words."""
    limit: np.ndarray
    """Size up to which a lesion is too small to measure, in mm."""


def words(cells: pd.Series) -> pd.Series:
    """Bring words into one form: capitals, single spaces."""
    codes, unique = pd.factorize(cells)  # few words, often repeated
    plain = pd.Series([" ".join(str(word).upper().split()) for word in unique], dtype=str)
    return plain.take(codes).set_axis(cells.index)


def numbers(
    table: Table, column: str, passed: np.ndarray | None = None
) -> tuple[np.ndarray, list[Note]]:
    """Read a column of finite numbers.

    Parameters
    ----------
    table : Table
        Where the column stands.
    column : str
        Its name.
    passed : ndarray of bool, optional
        Cells that need not be numbers; by default the blank ones.

    Returns
    -------
    ndarray, list of Note
        The numbers, NaN where none stands, and an error for each cell that is not one.
    """
    codes, unique = pd.factorize(table.frame[column].str.strip())  # the same number stands often
    text = pd.Series(unique, dtype=str)
    notes = []
    good = text.str.fullmatch(_NUMBER)
    commas = text.str.fullmatch(_COMMA) & ~text.str.fullmatch(_GROUPED)
    if table.decimal_comma and commas.any():
        good = commas | (good & ~text.str.contains(".", regex=False))  # 1.234 may be 1234 here
        text = text.str.replace(",", ".", regex=False)
        notes.append(_decimal_comma(table, column, int(commas.take(codes).sum())))
    good = good.to_numpy(dtype=bool)
    parsed = np.full(len(text), np.nan)
    parsed[good] = text[good].astype(float)
    passed = (text == "").to_numpy()[codes] if passed is None else passed
    good, values = good[codes], parsed[codes]
    values *= _factor(table, column)
    infinite = np.isinf(values)
    values[infinite] = np.nan
    bad = table.frame[(~good & ~passed) | infinite]
    notes += row_notes("not-a-number", bad, column, lambda cell: _why_no_number(cell, column))
    return values, notes


def _factor(table: Table, column: str) -> float | np.ndarray:
    """Give what turns the cells of a column into the package's unit; shape () or (rows,)."""
    factor = table.scales.get(column, 1.0)
    if isinstance(factor, pd.Series):
        return factor.reindex(table.frame.index).to_numpy(dtype=float)
    return factor


def days(table: Table, column: str = "day") -> tuple[np.ndarray, list[Note]]:
    """Read a column of days from the first dose; blank cells stay NaN."""
    values, notes = numbers(table, column)
    far = np.abs(values) > LONGEST_DAY
    notes += row_notes(
        "absurd-day",
        table.frame[far],
        column,
        lambda cell: (
            f"{quoted(cell)} is more than 100 years from the first dose. Is it a date as a "
            "number? Count days from the first dose (day 0)."
        ),
    )
    return np.where(far, np.nan, values), notes


def sizes(table: Table) -> Sizes:
    """Read the sizes with their limits and status."""
    frame = table.frame
    said = words(frame["size_mm"])
    status = words(frame["status"]) if "status" in frame else pd.Series("", index=frame.index)
    small = (said.isin(TOO_SMALL) | status.isin(TOO_SMALL)).to_numpy()
    evaluable = ~(said.isin(NOT_EVALUABLE) | status.isin(NOT_EVALUABLE)).to_numpy()
    blank = said.isin(MISSING).to_numpy()
    worded = said.isin((*TOO_SMALL, *NOT_EVALUABLE)).to_numpy()
    size, notes = numbers(table, "size_mm", passed=blank | worded)
    limit, more = _limits(table)
    notes += more
    notes += _impossible(frame, size, limit, small)
    known = (*TOO_SMALL, *NOT_EVALUABLE, *MEASURED)
    if "status" in frame:
        strange = frame[~status.isin(known).to_numpy()]
        notes += row_notes("unknown-status", strange, "status", _why_no_status)
    censored = small | (size <= limit)
    return Sizes(
        size_mm=np.where(censored, limit, size),
        censored=censored & evaluable,
        missing=blank & ~small & evaluable,
        not_evaluable=~evaluable,
        notes=notes,
        measured=size,
        small=small,
        limit=limit,
    )


def _limits(table: Table) -> tuple[np.ndarray, list[Note]]:
    if "limit_mm" not in table.frame:
        return np.full(len(table.frame), LIMIT_MM), []
    limit, notes = numbers(table, "limit_mm")
    bad = table.frame[(limit <= 0) | (limit > LARGEST_MM)]
    notes += row_notes(
        "bad-limit",
        bad,
        "limit_mm",
        lambda cell: (
            f"{quoted(cell)} is no limit of measurement; write a size in mm > 0, or leave it blank "
            f"for {LIMIT_MM:g} mm."
        ),
    )
    return np.where(np.isnan(limit), LIMIT_MM, limit), notes


def _impossible(
    frame: pd.DataFrame, size: np.ndarray, limit: np.ndarray, small: np.ndarray
) -> list[Note]:
    negative = row_notes(
        "negative-size",
        frame[size < 0],
        "size_mm",
        lambda cell: f"{quoted(cell)} is negative. Sizes are >= 0 mm; write NE if not assessed.",
    )
    absurd = row_notes(
        "absurd-size",
        frame[size > LARGEST_MM],
        "size_mm",
        lambda cell: f"{quoted(cell)} is above {LARGEST_MM:g} mm; write the size in mm.",
    )
    contrary = row_notes(
        "status-against-size",
        frame[small & (size > limit)],
        "size_mm",
        lambda cell: (
            f"{quoted(cell)} is above the limit of measurement, but the status says too small to "
            "measure; correct one of them."
        ),
    )
    return [*negative, *absurd, *contrary]


def _why_no_number(cell: str, column: str) -> str:
    text, shown = cell.strip(), quoted(cell)
    if _DATE.fullmatch(text):
        return f"{shown} is a date or a time; count days from the first dose (day 0)."
    if text.lower().lstrip("+-") in ("inf", "infinity", "nan") or _NUMBER.fullmatch(text):
        return f"{shown} is not finite, or mixes decimal points and commas; correct it."
    if _GROUPED.fullmatch(text):
        return f"{shown} has a thousands separator, or a decimal comma; write 1234 or 1.234."
    if _COMMA.fullmatch(text):
        return f"{shown} has a decimal comma; write a decimal point."
    if _UNIT.fullmatch(text):
        return f"{shown} has a unit; write the number alone, in the unit of the column name."
    if column == "size_mm":
        return (
            f"{shown} is not a size. Write a number of mm >= 0, TOO SMALL TO MEASURE (also 0), or "
            "NOT EVALUABLE (NE, '.' or blank)."
        )
    return f"{shown} is not a number; correct it."


def _why_no_status(cell: str) -> str:
    return (
        f"{quoted(cell)} is not a known status; write MEASURED (or blank), {TOO_SMALL[0]} or "
        f"{NOT_EVALUABLE[0]}."
    )


def _decimal_comma(table: Table, column: str, count: int) -> Note:
    commas = f"{many(count, 'decimal comma')} as {'a point' if count == 1 else 'points'}"
    message = f"{place(table.file, column=column)}: read {commas}."
    return Note("info", "decimal-comma", message, count, table.file, None, column)
