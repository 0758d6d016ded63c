"""What else is constant in a patient: covariates, their types, and of whom they say nothing."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdmodel.covariates import COVARIATES
from pdmodel.data.cohort import CovariateNote, Note
from pdmodel.data.identity import KEY
from pdmodel.data.table import Table, listed, many, place, quoted, row_notes, rows_note

type Covariates = dict[tuple[str, str], dict[str, float | str]]

_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")
WORDS_SHOWN = 4
MOSTLY = 0.5
"""Share of numbers above which a column of numbers and words is suspected."""


def covariates(
    table: Table, columns: Sequence[str]
) -> tuple[Covariates, list[CovariateNote], list[Note]]:
    """Take the other columns, where they are constant in each patient.

    A column whose every cell is a number (without leading zeros) becomes numbers, others stay
    text; blank cells and ``.`` say nothing. A column that varies in a patient is left out, and
    noted; so are patients of whom it says nothing, words among numbers, and values outside the
    range of a covariate of the drugs.
    """
    found: Covariates = {}
    about, notes = [], []
    patients = len(table.frame.drop_duplicates(KEY))
    for column in columns:
        cells = table.frame[column].str.strip()
        said = ~cells.isin(("", "."))
        rows = table.frame[said].assign(**{column: cells[said]})
        groups = rows.groupby(KEY, sort=False)
        other = rows[(rows[column] != groups[column].transform("first")).to_numpy()]
        if not other.empty:
            what = "unlike another row of the patient, so this column is left out"
            notes += rows_note("info", "varying-column", table, other, column, what)
            continue
        firsts = rows.drop_duplicates(KEY)
        keys = map(tuple, firsts[KEY].to_numpy())
        values = _typed(firsts[column])
        for key, value in zip(keys, values, strict=True):
            found.setdefault(key, {})[column] = value
        if len(firsts):
            about.append(_described(column, values, patients))
            notes += _missing(table, column, firsts, patients)
            notes += _odd(table, column, firsts, values)
    return found, about, notes


def _typed(cells: pd.Series) -> list[float] | list[str]:
    if cells.str.match(_LEADING_ZERO).any():  # codes such as 007
        return cells.to_list()
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float)
    exact = np.abs(values) < 2.0**53
    return values.tolist() if exact.all() else cells.to_list()


def _numeric(values: Sequence[float] | Sequence[str]) -> bool:
    return isinstance(values[0], float)


def _described(
    column: str, values: Sequence[float] | Sequence[str], patients: int
) -> CovariateNote:
    known = len(values)
    if _numeric(values):
        numbers = np.asarray(values, dtype=float)
        span = f"{numbers.min():g} to {numbers.max():g}"
        return CovariateNote(column, "number", known, patients - known, span)
    span = listed(sorted(set(map(str, values))), WORDS_SHOWN)
    return CovariateNote(column, "text", known, patients - known, span)


def _missing(table: Table, column: str, firsts: pd.DataFrame, patients: int) -> list[Note]:
    count = patients - len(firsts)
    if not count:
        return []
    there = set(map(tuple, firsts[KEY].to_numpy()))
    everybody = map(tuple, table.frame.drop_duplicates(KEY)[KEY].to_numpy())
    lack = [key[1] for key in everybody if key not in there]
    message = (
        f"{place(table.file, column=column)}: {many(count, 'patient')} of {patients} without a "
        f"value ({listed(lack)}); where a drug's model uses it, its reference is taken."
    )
    return [Note("info", "missing-covariate", message, 0, table.file, None, column, str(lack[0]))]


def _odd(
    table: Table, column: str, firsts: pd.DataFrame, values: Sequence[float] | Sequence[str]
) -> list[Note]:
    """Warn of words among numbers, and of numbers that a covariate of the drugs never has."""
    if not _numeric(values):
        strange = pd.to_numeric(firsts[column], errors="coerce").isna()
        if column not in COVARIATES and strange.mean() >= MOSTLY:
            return []
        return row_notes(
            "mixed-covariate",
            firsts[strange.to_numpy()],
            column,
            lambda cell: (
                f"{quoted(cell)} is a word among numbers, so that the column is text; "
                "leave the cell blank if the value is not known."
            ),
            "warning",
        )
    if (one := COVARIATES.get(column)) is None:
        return []
    numbers = np.asarray(values, dtype=float)
    fits = (
        np.isin(numbers, (0.0, 1.0)) if one.binary else (numbers >= one.low) & (numbers <= one.high)
    )
    span = "0 or 1" if one.binary else f"{one.low:g} to {one.high:g} {one.unit}"
    return row_notes(
        "odd-covariate",
        firsts[~fits],
        column,
        lambda cell: (
            f"{quoted(cell)} is no {one.about}, which is {span}; correct it, or leave it "
            "blank: models of drugs that use it refuse it."
        ),
        "warning",
    )
