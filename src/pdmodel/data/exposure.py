"""The clinical domain EX: what was given, when, and in which unit."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pdmodel.data.cohort import Note
from pdmodel.data.dates import spans, study_day
from pdmodel.data.domains import read_domain, with_columns
from pdmodel.data.doses import doses_of
from pdmodel.data.identity import KEY
from pdmodel.data.source import Doses, Key, OwnDoses, Weights
from pdmodel.data.table import (
    Table,
    UnusableError,
    in_own_names,
    listed,
    many,
    place,
    quoted,
    require_columns,
    row_notes,
    rows_note,
)
from pdmodel.data.workbook import read_table
from pdmodel.dosing import USUAL_DURATION_DAY
from pdmodel.units import MG, PER_KG, unit_named

NEEDED = ("USUBJID", "EXTRT", "EXDOSE")
OPTIONAL = ("STUDYID", "EXDOSU", "EXSTDTC", "EXENDTC", "EXSTDY", "EXENDY", "EXDOSFRQ", "EXOCCUR",
            "EXSTAT", "EXDUR")  # fmt: skip
OWN = {"patient_id": "USUBJID", "drug": "EXTRT", "amount_mg": "EXDOSE", "day": "EXSTDTC",
       "duration_day": "EXENDTC"}  # fmt: skip

BRANDS = {
    "keytruda": "pembrolizumab", "lambrolizumab": "pembrolizumab", "mk-3475": "pembrolizumab",
    "mk3475": "pembrolizumab", "opdivo": "nivolumab", "bms-936558": "nivolumab",
    "mdx-1106": "nivolumab", "tecentriq": "atezolizumab", "mpdl3280a": "atezolizumab",
    "imfinzi": "durvalumab", "medi4736": "durvalumab", "bavencio": "avelumab",
    "msb0010718c": "avelumab", "libtayo": "cemiplimab", "regn2810": "cemiplimab",
    "yervoy": "ipilimumab", "mdx-010": "ipilimumab", "imjudo": "tremelimumab",
}  # fmt: skip
"""Trade names and codes of the antibodies."""

SECONDS_PER_DAY = 86400.0

ONCE = ("", "ONCE", "1 TIME", "SINGLE")
EVERY = {"QD": 1.0, "Q24H": 1.0, "QOD": 2.0, "QW": 7.0, "QM": 28.0}
"""Days from one dose to the next; others are read off, as Q3W."""

_EVERY = re.compile(r"(?:Q|EVERY )\s?(\d+)\s?(W|D|WEEKS?|DAYS?)")
_LENGTH = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+(?:\.\d+)?)M)?(?:\d+S)?)?")


def is_exposure(path: Path) -> bool:
    """Whether a table of doses is a domain EX, by its columns."""
    try:
        return "EXTRT" in map(str.upper, read_table(path).columns)
    except UnusableError:
        return False


def read_exposure(path: Path) -> Table:
    """Read EX, with every column that may be used."""
    table = read_domain(path)
    require_columns(table, NEEDED)
    table = with_columns(table, *OPTIONAL)
    frame = table.frame
    frame = frame.assign(study=frame["STUDYID"].str.strip(), patient_id=frame["USUBJID"])
    return table._replace(frame=frame, names=OWN)


def first_doses(table: Table) -> dict[Key, float]:
    """Give the day of the first dose of each patient, as `dates.span` counts, where known."""
    frame = table.frame
    first, last, _ = spans(table, "EXSTDTC")
    given = (~_omitted(frame)).to_numpy() & (first == last)
    found: dict[Key, float] = {}
    for (study, patient), day in zip(frame[KEY][given].to_numpy(), first[given], strict=True):
        key = (str(study), str(patient))
        found[key] = min(float(day), found.get(key, np.inf))
    return found


def doses_from(table: Table, zero: Mapping[Key, float]) -> OwnDoses:
    """Make what turns EX into doses, once it is known who is in the cohort."""

    def doses(patients: frozenset[Key], drugs: Iterable[str] | None, weights: Weights) -> Doses:
        found, notes = _prepared(table, patients, drugs, zero)
        if found.frame.empty or any(note.severity == "error" for note in notes):
            return Doses({}, in_own_names((*table.notes, *notes), table))
        read = doses_of(found._replace(notes=()), patients, drugs, weights)
        return Doses(read.regimens, in_own_names((*table.notes, *notes, *read.notes), table))

    return doses


def _prepared(
    table: Table, patients: frozenset[Key], drugs: Iterable[str] | None, zero: Mapping[Key, float]
) -> tuple[Table, list[Note]]:
    """Keep what was given of known drugs to the patients, and bring it into the words of doses."""
    frame = table.frame
    here = np.array([key in patients for key in map(tuple, frame[KEY].to_numpy())], dtype=bool)
    table = table._replace(frame=frame[here])
    gone = table.frame[_omitted(table.frame)]
    what = "of doses that were not given (EXOCCUR N, NOT DONE), left out"
    notes = rows_note("info", "not-given", table, gone, "EXOCCUR", what)
    table = table._replace(frame=table.frame[~_omitted(table.frame)])
    table, more = _named(table, drugs)
    notes += more
    table, more = _timed(table, zero)
    notes += more
    unit = table.frame["EXDOSU"].map(unit_named)
    strange = table.frame[~unit.isin([*MG, PER_KG])]
    notes += row_notes("dose-unit", strange, "EXDOSU", _why_no_unit)
    factor = unit.map({**MG, PER_KG: 1.0}).astype(float)
    per_kg = unit == PER_KG
    what = "in mg/kg, times the patient's weight (EXDOSU)"
    notes += rows_note("info", "converted", table, table.frame[per_kg], "EXDOSE", what)
    other = (~unit.isin(["mg", PER_KG])).to_numpy()
    what = "in another unit than mg, converted (EXDOSU)"
    notes += rows_note("info", "converted", table, table.frame[other], "EXDOSE", what)
    frame = table.frame.assign(amount_mg=table.frame["EXDOSE"])
    scales = {"amount_mg": factor, "day": 1.0, "duration_day": 1.0}
    return table._replace(frame=frame, scales=scales, per_kg=per_kg), notes


def _omitted(frame: pd.DataFrame) -> pd.Series:
    return (frame["EXOCCUR"].str.strip().str.upper() == "N") | (
        frame["EXSTAT"].str.strip().str.upper() == "NOT DONE"
    )


def _why_no_unit(cell: str) -> str:
    known = listed([*MG, PER_KG], 9)
    return f"{quoted(cell)} is not a unit of a dose; known are {known}. Write the dose in mg."


def _named(table: Table, drugs: Iterable[str] | None) -> tuple[Table, list[Note]]:
    """Call drugs by their names; those that there are none of are not used, and told."""
    frame = table.frame
    said = frame["EXTRT"].str.strip().str.lower()
    drug = said.replace(BRANDS)
    notes = []
    if other := sorted(set(said[said != drug])):
        pairs = listed((f"{name} = {BRANDS[name]}" for name in other), 6)
        notes.append(Note("info", "brand", f"{place(table.file, column='EXTRT')}: {pairs}.",
                          0, table.file, None, "EXTRT"))  # fmt: skip
    frame = frame.assign(drug=drug)
    if drugs is None:
        return table._replace(frame=frame), notes
    strange = ~drug.isin(list(drugs))
    for name, rows in frame[strange].groupby("drug"):
        what = f"of {quoted(name)}, for which there is no drug here, not used"
        notes += rows_note("warning", "unknown-drug", table, rows, "EXTRT", what)
    return table._replace(frame=frame[~strange]), notes


def _timed(table: Table, zero: Mapping[Key, float]) -> tuple[Table, list[Note]]:
    """Find when each dose began and how long it took; one row for several doses becomes several."""
    frame = table.frame
    first, last, notes = spans(table, "EXSTDTC")
    start = np.array([zero.get(key, np.nan) for key in map(tuple, frame[KEY].to_numpy())])
    said = pd.to_numeric(frame["EXSTDY"].str.strip(), errors="coerce").to_numpy(dtype=float)
    by_date = np.where(first == last, first - start.astype(float), np.nan)
    day = np.where(np.isnan(by_date), study_day(said), by_date)
    notes += row_notes("dose-date", frame[np.isnan(day)], "EXSTDTC", _why_no_start)
    ends, _, more = spans(table, "EXENDTC")
    notes += more
    reach = np.where(np.isnan(ends) | np.isnan(first), 0.0, ends - first)
    often = frame["EXDOSFRQ"].str.strip().str.upper()
    every = often.map(_interval).to_numpy(dtype=float)
    notes += row_notes(
        "dose-frequency",
        frame[(reach > 1) & np.isnan(every)],
        "EXDOSFRQ",
        lambda cell: (
            f"{quoted(cell)} is not known as a frequency, and the row covers several days; write "
            "one row an infusion, or a frequency such as Q3W."
        ),
    )
    several = (reach > 1) & (every > 0)
    count = np.where(several, np.floor(reach / np.where(several, every, 1.0)) + 1, 1).astype(int)
    at = np.repeat(np.arange(len(frame)), count)
    nth = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
    days = day[at] + nth * np.where(several, every, 0.0)[at]
    length, unsaid = _lengths(frame)
    what = f"covering several doses, written out as {int(count[several].sum())} (EXDOSFRQ)"
    notes += rows_note("info", "doses-expanded", table, frame[several], "EXDOSFRQ", what)
    if count_unsaid := int(unsaid.sum()):
        message = (
            f"{place(table.file, column='EXENDTC')}: {many(count_unsaid, 'dose')} without a time "
            "of day or a duration, taken for infusions of 60 min."
        )
        notes.append(Note("info", "usual-duration", message, 0, table.file, None, "EXENDTC"))
    frame = frame.iloc[at].assign(
        day=[format(x, ".15g") for x in days], duration_day=[format(x, ".15g") for x in length[at]]
    )
    return table._replace(frame=frame.reset_index(drop=True)), notes


def _interval(word: str) -> float:
    if word in ONCE:
        return np.nan
    if word in EVERY:
        return EVERY[word]
    found = _EVERY.fullmatch(word)
    return float(found[1]) * (7.0 if found[2][0] == "W" else 1.0) if found else np.nan


def _lengths(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Duration of each infusion in days, and whether the usual one was taken."""
    begin, end = (_moment(frame[name]) for name in ("EXSTDTC", "EXENDTC"))
    by_time = ((end - begin).dt.total_seconds() / SECONDS_PER_DAY).to_numpy(dtype=float)
    by_word = frame["EXDUR"].map(_duration).to_numpy(dtype=float)
    sure = np.where(np.isnan(by_word), np.where(by_time <= 1.0, by_time, np.nan), by_word)
    unsaid = np.isnan(sure) | (sure < 0)
    return np.where(unsaid, USUAL_DURATION_DAY, sure), unsaid


def _moment(cells: pd.Series) -> pd.Series:
    """Read dates that have a time of day; others are not known to the minute."""
    timed = cells.str.strip().where(cells.str.contains("T", regex=False))
    return pd.to_datetime(timed, errors="coerce", format="ISO8601", utc=True)


def _duration(text: str) -> float:
    """Days of a duration in ISO 8601, as PT60M; NaN where it is none."""
    found = _LENGTH.fullmatch(text.strip().upper()) if text.strip() else None
    if found is None or not any(found.groups()):
        return np.nan
    days, hours, minutes = (float(part or 0) for part in found.groups())
    return days + hours / 24.0 + minutes / 1440.0


def _why_no_start(cell: str) -> str:
    return (
        f"{quoted(cell)} does not say on which day the dose began; write the complete date, or "
        "its study day in EXSTDY."
    )
