"""Result tables on disk: written whole or not at all, safe to open in a spreadsheet."""

from pathlib import Path

import pandas as pd

from pdmodel.errors import RunError
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


def _harmless(cell: object) -> object:
    if not isinstance(cell, str) or not cell.startswith(FORMULA) or _is_number(cell):
        return cell
    return f"'{cell}"


def _is_number(text: str) -> bool:
    """Whether it is only digits, with a sign and a point at most."""
    return text.removeprefix("-").removeprefix("+").replace(".", "", 1).isdecimal()
