"""The clinical layout ADaM: tumor results (ADTR) with ADSL, ADRS and EX beside it."""

from pathlib import Path

import numpy as np
import pandas as pd

from pdmodel.data.assessments import assessments_of
from pdmodel.data.cells import words
from pdmodel.data.cohort import Note
from pdmodel.data.dates import spans, study_day
from pdmodel.data.domains import beside, main_table, read_domain, taken, with_columns
from pdmodel.data.evaluators import INVESTIGATOR
from pdmodel.data.exposure import doses_from, first_doses, read_exposure
from pdmodel.data.identity import KEY
from pdmodel.data.people import ARMS, first_days, with_people
from pdmodel.data.source import Choices, Key, Source
from pdmodel.data.table import (
    FILE,
    LINE,
    Table,
    listed,
    many,
    meant,
    place,
    require_columns,
    row_notes,
    rows_note,
    unusable,
)

NEEDED = ("USUBJID", "PARAMCD", "AVAL")
OPTIONAL = ("STUDYID", "PARAM", "PARCAT2", "AVALC", "ADY", "ADT", "TRTSDT", "ANL01FL", "TREVAL",
            "DTYPE", *ARMS)  # fmt: skip
OWN = {"patient_id": "USUBJID", "size_mm": "AVAL", "day": "ADY", "study": "STUDYID"}

SUMS = ("SDIAM", "SUMDIAM", "SLD", "SUMLDIAM", "SUMTLD", "TLSUM", "TSLD")
"""Parameters that are the sum of diameters, as sponsors name them."""

LESION = r"LDIAM(\d+)|DIAM(\d+)|TL(\d+)DIAM"
"""Parameters that are the diameter of one target lesion."""


def read(path: Path, choices: Choices = Choices()) -> Source:  # noqa: B008 - it is frozen
    """Read ADTR at a path, which is the file or its folder, and the tables that lie beside it.

    Sizes are the rows of the sum of diameters that are flagged for analysis (ANL01FL), where any
    is; for `size_kind` ``"lesion"`` those of single lesions. ADY counts from 1 and becomes day 0;
    without it days are ADT less TRTSDT.
    """
    main = main_table(path, "adtr")
    table = read_domain(main)
    require_columns(table, NEEDED)
    table = with_columns(table, *OPTIONAL)
    frame = table.frame
    frame = frame.assign(study=frame["STUDYID"].str.strip(), patient_id=frame["USUBJID"])
    table = table._replace(frame=frame, names=OWN)
    by_lesion = choices.size_kind == "lesion"
    table, notes = _of_evaluator(table, choices.evaluator)
    table, more = _of_parameter(table, by_lesion=by_lesion)
    notes += more
    table, other, more = _for_analysis(table)
    notes += more
    ex_path = choices.exposure or beside(main, "adtr", "ex")
    exposure = read_exposure(ex_path) if ex_path else None
    zero, more = first_days(main, "adtr", first_doses(exposure) if exposure else {})
    notes += more
    if ex_path is not None:
        notes.append(taken("EX", ex_path, "the doses, where none are given otherwise"))
    day, more = _days(table)
    notes += more
    sizes = _sizes(table, day)
    if not sizes.frame["arm"].any() or beside(main, "adtr", "adsl") is not None:
        sizes = with_people(sizes, main, "adtr")
    judged, more = assessments_of(main, "adtr", "adrs", choices.evaluator, zero)
    sizes = sizes._replace(notes=(*sizes.notes, *notes, *more))
    return Source(
        sizes, "lesion" if by_lesion else "sld", blank_day="drop", by_lesion=by_lesion,
        doses=doses_from(exposure, zero) if exposure else None, assessments=judged, by_visit=True,
        bare={} if by_lesion else _visits_of(other),
    )  # fmt: skip


def _of_evaluator(table: Table, wanted: str) -> tuple[Table, list[Note]]:
    """Keep the rows of one evaluator (PARCAT2, or else TREVAL)."""
    frame = table.frame
    who = words(frame["PARCAT2"])
    who = who.where(who != "", words(frame["TREVAL"])).replace("", INVESTIGATOR)
    asked = " ".join(wanted.upper().split())
    there = sorted(set(who))
    if not asked:
        asked = INVESTIGATOR if INVESTIGATOR in there or len(there) > 1 else there[0]
    if asked not in there:
        message = f"there is no evaluator {asked.lower()!r}; there are {listed(there, 9)}."
        raise unusable("evaluator", message + meant(asked, there), table.file)
    kept = who == asked
    notes = []
    if rest := int((~kept).sum()):
        message = f"{place(table.file, column='PARCAT2')}: {many(int(kept.sum()), 'row')} of "
        message += f"{asked.lower()}; {rest} of others passed over."
        notes = [Note("info", "evaluator", message, rest, table.file, None, "PARCAT2")]
    return table._replace(frame=frame[kept]), notes


def _of_parameter(table: Table, *, by_lesion: bool) -> tuple[Table, list[Note]]:
    frame = table.frame
    code = words(frame["PARAMCD"])
    kept = code.str.fullmatch(LESION) if by_lesion else code.isin(SUMS)
    if not kept.any():
        wanted = "LDIAM1, LDIAM2, ..." if by_lesion else " or ".join(SUMS[:3])
        message = f"no PARAMCD is {wanted}; there are {listed(sorted(set(code)), 12)}."
        raise unusable("no-diameter", message, table.file)
    found = sorted(set(code[kept]))
    if not by_lesion and len(found) > 1:
        message = f"{listed(found, 9)} are all sums of diameters (PARAMCD); keep one."
        raise unusable("several-sums", message, table.file)
    rest = int((~kept).sum())
    message = (
        f"{table.file}: {many(int(kept.sum()), 'row')} of {listed(found, 9)}; {rest} of other "
        "parameters passed over."
    )
    return table._replace(frame=frame[kept].assign(lesion_id=code[kept])), [
        Note("info", "passed-over", message, rest, table.file)
    ]


def _for_analysis(table: Table) -> tuple[Table, Table, list[Note]]:
    """Leave out rows that were derived, and set apart those that are not flagged for analysis."""
    frame = table.frame
    notes: list[Note] = []
    derived = frame["DTYPE"].str.strip() != ""
    what = "that were imputed or derived (DTYPE), left out"
    notes += rows_note("info", "derived", table, frame[derived], "DTYPE", what)
    frame = frame[~derived]
    flag = frame["ANL01FL"].str.strip().str.upper()
    if not (flag == "Y").any():
        return table._replace(frame=frame), table._replace(frame=frame[:0]), notes
    other = frame[flag != "Y"]
    what = "not flagged for analysis (ANL01FL), left out"
    notes += rows_note("warning", "not-for-analysis", table, other, "AVAL", what)
    return table._replace(frame=frame[flag == "Y"]), table._replace(frame=other), notes


def _visits_of(table: Table) -> dict[Key, tuple[float, ...]]:
    """Days of visits whose sum is not one for the analysis, such as those with a target missing."""
    day, _ = _days(table)
    found: dict[Key, tuple[float, ...]] = {}
    for key, at in zip(map(tuple, table.frame[KEY].to_numpy()), day, strict=True):
        if np.isfinite(at):
            found[key] = (*found.get(key, ()), float(at))
    return found


def _days(table: Table) -> tuple[np.ndarray, list[Note]]:
    """Days from the first dose: by ADY, or else by ADT and TRTSDT."""
    frame = table.frame
    said = pd.to_numeric(frame["ADY"].str.strip().replace(".", ""), errors="coerce")
    day = study_day(said.to_numpy(dtype=float))
    date, start = (_dates(table, name) for name in ("ADT", "TRTSDT"))
    notes = [*date[1], *start[1]]
    by_date = date[0] - start[0]
    zeroth = frame[(said == 0).to_numpy()]
    notes += row_notes("day-zero", zeroth, "ADY", lambda cell: (
        f"{cell!r} is no study day: 1 is the day of the first dose, -1 the day before."
    ))  # fmt: skip
    off = ~np.isnan(by_date) & ~np.isnan(day) & (by_date != day)
    what = "whose ADY is not that of ADT and TRTSDT; ADY is taken"
    notes += rows_note("warning", "day-against-date", table, frame[off], "ADY", what)
    return np.where(np.isnan(day), by_date, day), notes


def _dates(table: Table, column: str) -> tuple[np.ndarray, list[Note]]:
    """Read dates, or the numbers of days that SAS writes for them."""
    number = pd.to_numeric(table.frame[column].str.strip(), errors="coerce").to_numpy(dtype=float)
    if not np.isnan(number).all():
        return number, []
    first, last, notes = spans(table, column)
    return np.where(first == last, first, np.nan), notes


def _sizes(table: Table, day: np.ndarray) -> Table:
    frame = table.frame
    value = frame["AVAL"].str.strip().replace(".", "")
    word = words(frame["AVALC"])
    size = value.where(value != "", word)
    arm = pd.Series("", frame.index)
    for column in ARMS:
        arm = arm.where(arm != "", frame[column].str.strip())
    columns = {"age": "AGE", "sex": "SEX", "race": "RACE"}
    own = {name: frame[column].str.strip() for name, column in columns.items() if column in frame}
    kept = frame[["study", "patient_id", "lesion_id", FILE, LINE]].assign(
        arm=arm, size_mm=size, day=["" if np.isnan(x) else format(x, ".15g") for x in day], **own
    )
    return table._replace(frame=kept.reset_index(drop=True))
