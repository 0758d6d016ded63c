"""Tables as files: every cell as text, with the file and line that it stands in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Literal, NamedTuple

import pandas as pd

from pdmodel.data.cohort import Note
from pdmodel.errors import DataError

FILE, LINE = " file", " line"
"""Columns that say where a row stands; headers are stripped, so no table has such a name."""

ROWS_LISTED = 20
"""Rows with one and the same problem that are listed one by one."""

type Severity = Literal["error", "warning", "info"]


class UnusableError(DataError):
    """A file as a whole, or a choice of the caller, that cannot be used; carries its note."""

    def __init__(self, note: Note) -> None:
        super().__init__(note.message)
        self.note = note


class Table(NamedTuple):
    """One table as it stands in its file."""

    frame: pd.DataFrame
    """Text in every named column, "" where nothing stands, and FILE and LINE."""
    file: str
    notes: tuple[Note, ...] = ()
    decimal_comma: bool = False
    """Whether 60,5 may stand for 60.5, as in files that separate by semicolons."""
    scales: Mapping[str, float | pd.Series] = {}
    """Factors to the package's units, by column; a series has one for each row."""
    names: Mapping[str, str] = {}
    """Names that columns have in the file, where the package calls them otherwise."""
    per_kg: bool | pd.Series = False
    """Whether amounts are for each kg of body weight; a series says it of each row."""

    @property
    def columns(self) -> list[str]:
        """Names in the header."""
        return [name for name in self.frame.columns if name not in (FILE, LINE)]


def quoted(text: object, longest: int = 40) -> str:
    """Show a cell in a message, on one line whatever it holds."""
    plain = str(text)
    return repr(plain if len(plain) <= longest else plain[: longest - 1] + "…")


def listed(values: Iterable[object], most: int = 3) -> str:
    """Show the first few of many."""
    shown = list(values)
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(quoted(value) for value in shown[:most]) + more


def meant(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Ask whether a name that is like `name` was meant; nothing if there is none."""
    close = get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f" Did you mean {close[0]!r}?" if close else ""


def many(count: int, noun: str) -> str:
    """Count things: 1 row, 2 rows."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def place(file: str, line: int | None = None, column: str = "") -> str:
    """Say where something stands, as an editor counts."""
    parts = [file] + ([f"line {line}"] if line else []) + ([f"column {column}"] if column else [])
    return ", ".join(parts)


def unusable(code: str, message: str, file: str = "", line: int | None = None) -> UnusableError:
    """Make the error for a file as a whole."""
    where = f"{place(file, line)}: " if file else ""
    return UnusableError(Note("error", code, where + message, file=file, line=line))


def row_notes(
    code: str,
    rows: pd.DataFrame,
    column: str,
    why: Callable[[str], str],
    severity: Severity = "error",
) -> list[Note]:
    """Note each of the first rows by itself, and count the others.

    Parameters
    ----------
    code : str
        Code of the notes.
    rows : DataFrame
        Rows with the problem, with FILE and LINE.
    column : str
        Column with the problem.
    why : callable
        From the text of the cell to what is wrong and what to do.
    severity : {"error", "warning", "info"}
        Severity of the notes.
    """
    notes = []
    for row in rows.head(ROWS_LISTED).to_dict("records"):
        file, line, value = row[FILE], int(row[LINE]), str(row[column])
        message = f"{place(file, line, column)}: {why(value)}"
        patient = str(row.get("patient_id", ""))
        notes.append(Note(severity, code, message, 1, file, line, column, patient, value))
    if (rest := len(rows) - ROWS_LISTED) > 0:
        file = str(rows[FILE].iloc[ROWS_LISTED])
        message = f"{place(file, column=column)}: {rest} more rows like these ({code})."
        notes.append(Note(severity, code, message, rest, file, column=column))
    return notes


def rows_note(
    severity: Severity, code: str, table: Table, rows: pd.DataFrame, column: str, what: str
) -> list[Note]:
    """Count rows in one note, and say where the first of them stand."""
    if rows.empty:
        return []
    places = []
    for file, line in zip(rows[FILE].head(3), rows[LINE].head(3), strict=True):
        sheet = str(file).removeprefix(table.file).lstrip(", ")
        places.append(f"{sheet}, line {line}" if sheet else f"line {line}")
    more = [f"{len(rows) - 3} more"] if len(rows) > 3 else []
    message = (
        f"{place(table.file, column=column)}: {many(len(rows), 'row')} {what} "
        f"({'; '.join([*places, *more])})."
    )
    file, line, patient = (rows[name].iloc[0] for name in (FILE, LINE, "patient_id"))
    return [Note(severity, code, message, len(rows), str(file), int(line), column, str(patient))]


def in_own_names(notes: Iterable[Note], table: Table) -> tuple[Note, ...]:
    """Call columns as their file does, in the notes of that file."""
    named = []
    for note in notes:
        own = table.names.get(note.column)
        if own is None or not note.file.startswith(table.file):
            named.append(note)
            continue
        message = note.message.replace(f"column {note.column}:", f"column {own}:", 1)
        named.append(note._replace(message=message, column=own))
    return tuple(named)


def capped(notes: Sequence[Note]) -> list[Note]:
    """Keep the first of many notes of one kind, and count the others."""
    kept, rest = list(notes[:ROWS_LISTED]), notes[ROWS_LISTED:]
    if rest:
        message = f"{place(rest[0].file, column=rest[0].column)}: {len(rest)} more of this kind."
        rows = sum(note.rows for note in rest)
        kept.append(rest[0]._replace(message=message, rows=rows, line=None, patient="", value=""))
    return kept


def require_columns(table: Table, required: Iterable[str]) -> None:
    """Refuse a table without the columns that it must have, and say which it has."""
    found = table.columns
    if not (missing := [name for name in required if name not in found]):
        return
    by_lower = {name.lower(): name for name in found}
    hints = [
        f" Rename {by_lower[close[0]]!r} to {name!r}?"
        for name in missing
        if (close := get_close_matches(name, by_lower, n=1, cutoff=0.5))
    ]
    advice = "".join(hints) or " Rename the columns that hold this."
    message = (
        f"column {' and '.join(map(repr, missing))} missing; the columns are "
        f"{listed(found, most=12)}.{advice}"
    )
    raise unusable("missing-column", message, table.file)
