"""Result tables on disk: written whole or not at all, safe to open in a spreadsheet; read back."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pdmodel.errors import DataError, RunError
from pdmodel.run import whole

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins so may run as a formula in a spreadsheet (OWASP, CSV injection)."""


def write_table(table: pd.DataFrame, path: Path | str, *, hide_ids: bool = False) -> Path:
    """Write a table as CSV (UTF-8, comma, point).

    Text that a spreadsheet would take for a formula gets a leading ``'``. Text that is a plain
    number, as an id ``-594245265511412736`` is, stays as it is: it is harmless, and ids must be
    found again. Numeric columns are never touched.

    Parameters
    ----------
    table : DataFrame
    path : path
        Of the file; its folder must be there. What was there before is replaced.
    hide_ids : bool
        Write 1, 2, ... for the patients instead of their ids, in the order in which they stand in
        this table, so that two tables of the same patients in the same order still match.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RunError
        If the file cannot be written, saying what the system said.
    """
    path = Path(path)
    if hide_ids:
        named = [name for name in ("study", "patient_id") if name in table]
        number = table.groupby(named, sort=False, dropna=False).ngroup() + 1
        table = table.assign(patient_id=number.astype(str))
    try:
        whole(path, safe(table).to_csv(index=False, lineterminator="\n").encode())
    except OSError as problem:
        raise RunError(
            f"{path} could not be written: {problem.strerror or problem}. "
            "Free space, make the folder, or choose another file with -o."
        ) from problem
    return path


def safe(table: pd.DataFrame) -> pd.DataFrame:
    """Put a ``'`` before text that a spreadsheet would take for a formula."""
    text = table.select_dtypes(include=["object", "str", "category"]).columns
    return table.assign(**{name: table[name].map(_harmless) for name in text})


TEXTS = ("patient_id", "study", "arm")


def read_table(path: Path | str, columns: Sequence[str], command: str) -> pd.DataFrame:
    """Read a table that `write_table` wrote; ids are text, and nothing is added to them.

    Parameters
    ----------
    path : path
    columns : sequence of str
        That it must have.
    command : str
        What writes such tables, for messages.

    Raises
    ------
    DataError
        If it cannot be read, lacks a column, or has no row.
    """
    path = Path(path)
    try:
        text = dict.fromkeys(TEXTS, "str")
        table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}.") from None
    except (ValueError, pd.errors.ParserError):
        raise DataError(
            f"{path} cannot be read as CSV; give a table that {command} wrote."
        ) from None
    if missing := [name for name in columns if name not in table]:
        raise DataError(
            f"{path} has no column {', '.join(missing)}; give a table that {command} wrote."
        )
    if table.empty:
        raise DataError(f"{path} has no row; there is nothing to show.")
    known = [name for name in TEXTS if name in table]
    return table.assign(**{name: table[name].fillna("").map(_as_it_was) for name in known})


NO_RANKS = ("seed", "seconds", "trusted", "pareto_k")
"""What a line tells of a replicate beside its ranks."""
OF_PATIENTS = "in "
"""Begins the name of what covers single patients, which is no rank."""


def read_ranks(path: Path | str) -> pd.DataFrame:
    """Read ranks of simulation-based calibration: a line of JSON for each replicate.

    Returns
    -------
    DataFrame
        A row for each replicate, and a column of ranks, 0 to 1, for each quantity. How many
        replicates passed their checks is in ``attrs["trusted"]``.

    Raises
    ------
    DataError
        If it cannot be read, a line is no replicate, or replicates tell of different quantities.
    """
    path = Path(path)
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        said = getattr(problem, "strerror", None) or "it is no text"
        raise DataError(f"{path} cannot be read: {said}.") from None
    rows = [_replicate(path, k, line) for k, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise DataError(f"{path} holds no replicate; there is nothing to show.")
    table = pd.DataFrame(rows).rename(columns=str)
    names = [one for one in map(str, table) if not one.startswith(OF_PATIENTS)]
    ranks = table[[one for one in names if one not in NO_RANKS]]
    numbers = ranks.apply(pd.to_numeric, errors="coerce")
    bad = [name for name in names if name in numbers and not numbers[name].between(0, 1).all()]
    if bad or ranks.empty:
        raise DataError(
            f"{path}: ranks of {', '.join(bad) or 'nothing'} are not in every line, or not between "
            "0 and 1; give one file of replicates of one model."
        )
    numbers.attrs["trusted"] = int(table.get("trusted", pd.Series(dtype=bool)).sum())
    return numbers.astype(np.float64)


def _replicate(path: Path, number: int, line: str) -> dict:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise DataError(
            f"{path}, line {number}: this is no replicate; give the file that "
            "benchmarks/bench_sbc.py keeps with --keep."
        )
    return row


def _as_it_was(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def _harmless(cell: object) -> object:
    if not isinstance(cell, str) or not cell.startswith(FORMULA) or _is_number(cell):
        return cell
    return f"'{cell}"


def _is_number(text: str) -> bool:
    """Whether it is only digits, with a sign and a point at most."""
    return text.removeprefix("-").removeprefix("+").replace(".", "", 1).isdecimal()
