"""The table of doses: patient_id, drug, day, amount_mg and duration_day, one row a dose."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from pdmodel.covariates import COVARIATES
from pdmodel.data.cells import LONGEST_DAY, days, numbers
from pdmodel.data.cohort import Note
from pdmodel.data.identity import KEY, check_ids
from pdmodel.data.quantities import in_own_units
from pdmodel.data.source import Doses, Key, Weights
from pdmodel.data.table import (
    Table,
    in_own_names,
    listed,
    many,
    meant,
    place,
    quoted,
    require_columns,
    row_notes,
    rows_note,
)
from pdmodel.data.workbook import read_table
from pdmodel.dosing import Regimen

COLUMNS = ("patient_id", "drug", "day", "amount_mg", "duration_day")
SMALL_AMOUNT_MG = 25.0
"""A median dose below this may be in g, or per kg."""

LONG_INFUSION_DAY = 14.0
"""A median duration above this may be in minutes."""

LIKENESS = 0.8
"""Names of antibodies end alike: only a name as like as this is a slip of the pen."""


DOSES = pa.DataFrameSchema(
    {
        "study": pa.Column(str),
        "patient_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "drug": pa.Column(str, pa.Check.str_length(min_value=1)),
        "day": pa.Column(float, pa.Check.in_range(-LONGEST_DAY, LONGEST_DAY)),
        "amount_mg": pa.Column(float, pa.Check.in_range(0.0, np.inf, include_max=False)),
        "duration_day": pa.Column(float, pa.Check.in_range(0.0, np.inf, include_max=False)),
    }
)
"""What every table of doses comes to: one row a dose."""

WEIGHT = "weight"
"""Column of doses, or covariate, with the body weight in kg."""


def read_doses(
    path: Path,
    patients: Iterable[Key],
    known_drugs: Iterable[str] | None = None,
    *,
    units: Mapping[str, str] | None = None,
    weights: Weights | None = None,
) -> Doses:
    """Read a table of doses.

    Parameters
    ----------
    path : Path
        CSV, TSV, Excel or Parquet.
    patients : iterable of (study, id)
        Everybody in the table of sizes. Where one of the tables has no study, ids alone tell who
        is who.
    known_drugs : iterable of str, optional
        Drugs that there are; any other is an error. None takes all.
    units : mapping of str to str, optional
        Declared units, as `quantities.checked_units` gives them.
    weights : mapping of (study, id) to float, optional
        Body weights in kg, for amounts per kg.

    Returns
    -------
    Doses
        Regimens, and a note for every problem; rows that repeat another add to it.
    """
    table = in_own_units(read_table(path), units or {})
    require_columns(table, COLUMNS)
    doses = doses_of(table, patients, known_drugs, weights)
    return doses._replace(notes=in_own_names(doses.notes, table))


def doses_of(
    table: Table,
    patients: Iterable[Key],
    known_drugs: Iterable[str] | None = None,
    weights: Weights | None = None,
) -> Doses:
    """Turn a table with the columns of doses into regimens; see `read_doses`."""
    table, notes = _named(table, frozenset(patients), known_drugs)
    day, more = days(table)
    notes += [*more, *_blank(table.frame, "day", day)]
    table, more = by_weight(table, weights or {})
    notes += more
    columns = {"day": day}
    for column, low in (("amount_mg", "no dose"), ("duration_day", "a bolus")):
        values, more = numbers(table, column)
        columns[column] = values
        notes += [*more, *_blank(table.frame, column, values)]
        notes += _negative(table, values, column, low)
    frame = table.frame.assign(**columns)
    if any(note.severity == "error" for note in notes):
        return Doses({}, tuple(notes))
    frame = DOSES.validate(frame)
    return Doses(_regimens(frame), (*notes, *_again(frame, table), *odd_doses(frame, table.file)))


def by_weight(table: Table, weights: Weights) -> tuple[Table, list[Note]]:
    """Multiply amounts per kg by the weight, from the table of doses or of the patient."""
    frame = table.frame
    per_kg = pd.Series(table.per_kg, frame.index).to_numpy(dtype=bool)
    if not per_kg.any():
        return table, []
    own, notes = numbers(table, WEIGHT) if WEIGHT in frame else (np.full(len(frame), np.nan), [])
    known = [weights.get(key, np.nan) for key in map(tuple, frame[KEY].to_numpy())]
    weight = np.where(np.isnan(own), np.asarray(known, dtype=float), own)
    low, high = COVARIATES[WEIGHT].low, COVARIATES[WEIGHT].high
    lacks = per_kg & ~((weight >= low) & (weight <= high))
    notes += row_notes(
        "no-weight",
        frame[lacks],
        "amount_mg",
        lambda cell: (
            f"{quoted(cell)} is for each kg, and the patient has no weight of {low:g} to {high:g} "
            f"kg; add the column {WEIGHT!r} (kg) to the sizes or the doses, or write mg."
        ),
    )
    before = table.scales.get("amount_mg", 1.0)
    factor = pd.Series(np.where(per_kg, weight, 1.0), frame.index) * before
    return table._replace(scales={**table.scales, "amount_mg": factor}), notes


def _named(
    table: Table, patients: frozenset[tuple[str, str]], known_drugs: Iterable[str] | None
) -> tuple[Table, list[Note]]:
    """Say whose each dose is and of which drug."""
    frame = table.frame
    study = frame["study"].str.strip() if "study" in frame else ""
    frame = frame.assign(study=study, drug=frame["drug"].str.strip().str.lower())
    ids = check_ids(table._replace(frame=frame))
    notes = [*table.notes, *(note for note in ids if note.severity == "error")]
    blank = frame[frame["drug"] == ""]
    notes += row_notes("blank-drug", blank, "drug", lambda _: "no drug is named; name it.")
    if known_drugs is not None:
        known = sorted(known_drugs)
        strange = frame[~frame["drug"].isin([*known, ""])]
        notes += row_notes("unknown-drug", strange, "drug", lambda c: _why_no_drug(c, known))
    if not frame["study"].any() or not any(study for study, _ in patients):
        frame, more = _studies_by_id(frame, patients)
        notes += more
    present = np.array([key in patients for key in map(tuple, frame[KEY].to_numpy())], dtype=bool)
    unknown = frame[~present & (frame["patient_id"].str.strip() != "")]
    what = (
        f"of patients without sizes ({listed(unknown['patient_id'].unique())}), not used; write "
        "ids the same in both tables"
    )
    notes += rows_note("warning", "dose-unknown-patient", table, unknown, "patient_id", what)
    return table._replace(frame=frame), notes


def _studies_by_id(
    frame: pd.DataFrame, patients: frozenset[tuple[str, str]]
) -> tuple[pd.DataFrame, list[Note]]:
    """Take the studies from the sizes; an id of two studies cannot be told apart."""
    studies: dict[str, list[str]] = {}
    for study, name in sorted(patients):
        studies.setdefault(name, []).append(study)
    torn = np.array([len(studies.get(name, [])) > 1 for name in frame["patient_id"]], dtype=bool)
    notes = row_notes(
        "dose-study",
        frame[torn],
        "patient_id",
        lambda cell: (
            f"{quoted(cell)} is in studies {listed(studies[cell])} of the sizes; add the column "
            "'study' to the doses."
        ),
    )
    study = [studies.get(name, [""])[0] for name in frame["patient_id"]]
    return frame.assign(study=study), notes


def _why_no_drug(cell: str, known: list[str]) -> str:
    hint = meant(cell, known, LIKENESS)
    return f"{quoted(cell)} is not a known drug; known are {listed(known, most=12)}.{hint}"


def _blank(frame: pd.DataFrame, column: str, values: np.ndarray) -> list[Note]:
    blank = frame[np.isnan(values) & (frame[column].str.strip() == "").to_numpy()]
    ask = {
        "day": "write the day on which the infusion began",
        "amount_mg": "write the dose in mg, 0 if it was not given",
        "duration_day": "write how long the infusion took in days (60 min: 0.0417), 0 for a bolus",
    }
    return row_notes(f"blank-{column}", blank, column, lambda _: f"it is blank; {ask[column]}.")


def _negative(table: Table, values: np.ndarray, column: str, zero: str) -> list[Note]:
    return row_notes(
        f"negative-{column}",
        table.frame[values < 0],
        column,
        lambda cell: f"{quoted(cell)} is negative; it must be >= 0 (0 is {zero}).",
    )


def _regimens(frame: pd.DataFrame) -> dict[tuple[str, str], dict[str, Regimen]]:
    regimens: dict[tuple[str, str], dict[str, Regimen]] = {}
    for key, rows in frame.groupby([*KEY, "drug"]):
        study, patient, drug = map(str, key)
        doses = (rows[name].to_numpy() for name in ("day", "amount_mg", "duration_day"))
        regimens.setdefault((study, patient), {})[drug] = Regimen(*doses)
    return regimens


def _again(frame: pd.DataFrame, table: Table) -> list[Note]:
    """Warn of equal rows; both were given, for all that the table says."""
    again = frame[frame.duplicated([*KEY, "drug", "day", "amount_mg", "duration_day"])]
    what = "repeating a dose; the amounts add up. Drop repeats if it was given once"
    return rows_note("warning", "duplicate-dose", table, again, "day", what)


def odd_doses(frame: pd.DataFrame, file: str) -> list[Note]:
    """Warn of amounts and durations that look like other units."""
    notes = []
    given = frame[frame["amount_mg"] > 0]
    for drug, amount in given.groupby("drug")["amount_mg"].median().items():
        if amount < SMALL_AMOUNT_MG:
            message = (
                f"{place(file, column='amount_mg')}: the median dose of {drug} is {amount:g} mg; "
                "is it in g or mg/kg? Write mg."
            )
            notes.append(Note("warning", "small-amount", message, 0, file, None, "amount_mg"))
    if len(given) and (usual := given["duration_day"].median()) > LONG_INFUSION_DAY:
        message = (
            f"{place(file, column='duration_day')}: the median infusion takes {usual:g} days; "
            "are these minutes? Write days (60 min: 0.0417)."
        )
        notes.append(Note("warning", "long-infusion", message, 0, file, None, "duration_day"))
    first = given.groupby(KEY)["day"].min()
    if len(late := first[first != 0]):
        message = (
            f"{place(file, column='day')}: {many(len(late), 'patient')} with the first dose on "
            f"another day than 0 ({listed(late.index.get_level_values(1))}); days count from the "
            "first dose, in both tables."
        )
        who = str(late.index[0][1])
        notes.append(Note("warning", "first-dose-day", message, 0, file, None, "day", who))
    return notes
