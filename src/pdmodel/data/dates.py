"""Dates as clinical tables write them, complete or not, and the days that they come to."""

import calendar
import datetime as dt
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from pdmodel.data.cohort import Note
from pdmodel.data.identity import KEY
from pdmodel.data.table import Table, quoted, row_notes, rows_note

_ISO = re.compile(r"(\d{4})(?:-(\d{2}|-)(?:-(\d{2}|-))?)?(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?.*)?")
_SAS = re.compile(r"(\d{1,2})[- ]?([A-Za-z]{3})[- ]?(\d{4})(?::.*)?")
_MONTHS = {name.upper(): k for k, name in enumerate(calendar.month_abbr) if name}

LONGEST_GAP_DAY = 31.0
"""Of an incomplete date, only a month is near enough to place a scan in."""


class Span(NamedTuple):
    """The days between which a date lies, counted from the year 1; equal if it is complete."""

    first: float
    last: float


NEVER = Span(np.nan, np.nan)


def span(text: str) -> Span | None:
    """Read a date of ISO 8601, complete or cut short, or of SAS; None if it is no date.

    Examples
    --------
    >>> whole, month = span("2014-02-12T09:30"), span("2014-02")
    >>> whole.last - whole.first, month.last - month.first, span("12JAN2014") == span("2014-01-12")
    (0.0, 27.0, True)
    """
    plain = text.strip()
    if not plain:
        return NEVER
    if found := _SAS.fullmatch(plain):
        month = _MONTHS.get(found[2].upper(), 0)
        year, day = int(found[3]), int(found[1])
    elif found := _ISO.fullmatch(plain):
        year = int(found[1])
        month = int(found[2]) if found[2] not in (None, "-") else None
        day = int(found[3]) if month and found[3] not in (None, "-") else None
    else:
        return None
    try:
        low = dt.date(year, month or 1, day or 1)
        last = calendar.monthrange(year, month or 12)[1]
        high = dt.date(year, month or 12, day or last)
    except ValueError:
        return None
    return Span(float(low.toordinal()), float(high.toordinal()))


def spans(table: Table, column: str) -> tuple[np.ndarray, np.ndarray, list[Note]]:
    """Read a column of dates: first and last day that each may be, and an error for each strange.

    Returns
    -------
    ndarray, ndarray, list of Note
        Each of shape (rows,); NaN where no date stands.
    """
    cells = table.frame[column].str.strip()
    known = {text: span(text) for text in cells.unique()}
    strange = cells.map(lambda text: known[text] is None).to_numpy(dtype=bool)
    notes = row_notes("no-date", table.frame[strange], column, _why_no_date)
    found = [known[text] or NEVER for text in cells]
    first, last = np.array(found, dtype=float).reshape(-1, 2).T
    return first, last, notes


def _why_no_date(cell: str) -> str:
    return f"{quoted(cell)} is not a date; write 2024-01-31, or 2024-01 if the day is not known."


def study_day(dy: np.ndarray) -> np.ndarray:
    """Turn study days (1 is the first, there is no 0) into days from the first dose (day 0)."""
    return np.where(dy > 0, dy - 1.0, dy)


def visit_days(
    table: Table, date: str, dy: str, zero: Mapping[tuple[str, str], float]
) -> tuple[np.ndarray, list[Note]]:
    """Find the day of each row's visit, counted from the patient's first dose.

    The earliest complete date of the visit counts, of the reader's rows or else of another's. If
    there is none, the study day; if it contradicts the date, or is not there, the middle of the
    month, not before the visit before, and for the first visit not after the first dose.

    Parameters
    ----------
    table : Table
        With study, patient_id, reader and ``at``, the visit.
    date, dy : str
        Columns of dates and of study days.
    zero : mapping of (study, id) to float
        Day of the first dose, as `span` counts.

    Returns
    -------
    ndarray, list of Note
        Days, shape (rows,), NaN where there is none; and what was done.
    """
    frame = table.frame
    first, last, notes = spans(table, date)
    exact = pd.Series(np.where(first == last, first, np.nan), frame.index)
    by_reader = exact.groupby([frame[n] for n in (*KEY, "reader", "at")]).transform("min")
    by_visit = exact.groupby([frame[n] for n in (*KEY, "at")]).transform("min")
    seen = by_reader.fillna(by_visit).to_numpy()
    start = np.array([zero.get(key, np.nan) for key in map(tuple, frame[KEY].to_numpy())])
    start = start.astype(float)
    day = seen - start
    said = study_day(pd.to_numeric(frame[dy].str.strip(), errors="coerce").to_numpy(dtype=float))
    notes += _against(table, date, exact.to_numpy() - start, said)
    open_ = np.isnan(day)
    fits = np.isnan(first) | np.isnan(start) | ((said >= first - start) & (said <= last - start))
    by_dy = open_ & fits & ~np.isnan(said)
    day[by_dy] = said[by_dy]
    what = f"with no complete date, placed on the study day ({dy})"
    notes += rows_note("info", "study-day", table, frame[by_dy & ~np.isnan(first)], date, what)
    month = np.isnan(day) & (last - first <= LONGEST_GAP_DAY) & ~np.isnan(start)
    low, high = first - start, last - start
    high = np.where(low <= 0, np.minimum(high, 0), high)
    day[month] = ((low + high) / 2)[month].round()
    what = "of which only the month is known, placed in its middle, up to 15 days off"
    notes += rows_note("warning", "month-only", table, frame[month], date, what)
    no_zero = np.isnan(start) & np.isnan(day)
    what = "of patients whose first dose has no date (DM, EX), without a day"
    notes += rows_note("warning", "no-day-zero", table, frame[no_zero], "patient_id", what)
    return day, notes


def _against(table: Table, date: str, by_date: np.ndarray, said: np.ndarray) -> list[Note]:
    """Warn of study days that are not those of the dates."""
    off = ~np.isnan(by_date) & ~np.isnan(said) & (by_date != said)
    what = "whose study day is not that of its date and of the first dose; the date is taken"
    return rows_note("warning", "day-against-date", table, table.frame[off], date, what)
