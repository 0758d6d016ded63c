"""Text files, and rows of cells, made into tables with the line of every row."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pdmodel.data.cohort import Note
from pdmodel.data.table import FILE, LINE, Table, listed, place, quoted, unusable

MOST_COLUMNS = 5000
"""A wider table is none of measurements, one a row."""


def read_bytes(path: Path) -> bytes:
    """Read a file, or say why it cannot be read."""
    file = str(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise unusable("no-file", "there is no such file; check the path.", file) from None
    except IsADirectoryError:
        raise unusable("folder", "this is a folder; give a file inside it.", file) from None
    except PermissionError:
        raise unusable("no-permission", "reading is not permitted; check its mode.", file) from None
    except OSError as error:
        raise unusable("no-file", f"it cannot be read ({error.strerror or error}).", file) from None
    if not content.strip():
        raise unusable("empty", "the file is empty; it needs a header and rows.", file)
    return content


def delimited(content: bytes, file: str) -> Table:
    """Read comma-, tab- or semicolon-separated text, whichever the header has most of."""
    text = _decoded(content, file)
    start = next((line for line in io.StringIO(text) if line.strip()), "")
    separator = max("\t,;", key=start.count)
    if (width := start.count(separator) + 1) > MOST_COLUMNS:
        message = f"there are {width} columns; keep those that are needed, {MOST_COLUMNS} at most."
        raise unusable("too-wide", message, file)
    if (plain := _plain(text, separator)) is not None:
        return _of_frame(*plain, file)._replace(decimal_comma=separator == ";")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    records, line = [], 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                records.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        message = f"the quotes do not match or a cell is too long ({error}); correct this line."
        raise unusable("quotes", message, file, line) from None
    return from_records(records, file)._replace(decimal_comma=separator == ";")


def _plain(text: str, separator: str) -> tuple[list[str], int, pd.DataFrame, np.ndarray] | None:
    """Read text without quotes whose rows have equally many cells, fast; None for any other.

    Returns
    -------
    list of str, int, DataFrame, ndarray
        Header and its line, the cells below it, and their lines.
    """
    if '"' in text or text.count("\r") != text.count("\r\n"):
        return None
    try:
        frame = pd.read_csv(
            io.StringIO(text), sep=separator, header=None, dtype=str, na_filter=False,
            skip_blank_lines=False, quoting=csv.QUOTE_NONE,
        ).fillna("")  # fmt: skip
    except ValueError:  # rows with more cells than the first
        return None
    filled = np.zeros(len(frame), dtype=bool)
    for column in frame:
        filled |= (frame[column].str.strip() != "").to_numpy()
    if not filled.any():
        return None
    lines = np.flatnonzero(filled) + 1
    rows = frame[filled]
    return rows.iloc[0].tolist(), int(lines[0]), rows.iloc[1:].reset_index(drop=True), lines[1:]


def from_records(records: Sequence[tuple[int, Sequence[str]]], file: str) -> Table:
    """Make a table of (line, cells), the first of which is the header."""
    if not records:
        raise unusable("empty", "the table is empty; it needs a header and rows.", file)
    (line, header), body = records[0], records[1:]
    width = len(_trimmed(header))
    fitted = [[*cells[:width], *[""] * (width - len(cells))] for _, cells in body]
    frame = pd.DataFrame(fitted, columns=range(width), dtype=str)
    table = _of_frame(list(header), line, frame, np.array([at for at, _ in body], dtype=int), file)
    return table._replace(notes=(*table.notes, *_extra_cells(body, width, file)))


def _of_frame(
    header: list[str], line: int, frame: pd.DataFrame, lines: np.ndarray, file: str
) -> Table:
    """Name the columns of a table, and say where its rows stand."""
    names = _header(_trimmed(header), line, file)
    if frame.empty:
        raise unusable("no-rows", "there is a header but no rows below it.", file)
    width = len(names)
    notes = []
    if extra := list(range(width, frame.shape[1])):
        body = [(int(at), list(row)) for at, row in zip(lines, frame.to_numpy(), strict=True)
                if any(map(str.strip, row[width:]))]  # fmt: skip
        notes = list(_extra_cells(body, width, file))
        frame = frame.drop(columns=extra)
    frame = frame.set_axis(names, axis=1)
    if unnamed := [k for k, name in enumerate(names) if not name]:
        filled = (frame.iloc[:, unnamed].apply(lambda cells: cells.str.strip()) != "").any()
        if filled.any():
            position = unnamed[int(filled.to_numpy().argmax())] + 1
            message = f"column {position} has cells but no name; give it one or empty it."
            raise unusable("no-name", message, file, line)
        frame = frame.iloc[:, [k for k, name in enumerate(names) if name]]
    frame = frame.assign(**{FILE: file, LINE: lines})
    return Table(frame, file, tuple(notes))


def _decoded(content: bytes, file: str) -> str:
    known = {
        b"PK\x03\x04": "this is an Excel workbook or a zip file; name a workbook .xlsx",
        b"\xd0\xcf\x11\xe0": "this is an old or a locked Excel file; save it as .xlsx",
        b"\x1f\x8b": "this file is compressed; unpack it",
        b"PAR1": "this is a Parquet file; name it .parquet",
        b"\xff\xfe": "this text is UTF-16; save it as CSV UTF-8",
        b"\xfe\xff": "this text is UTF-16; save it as CSV UTF-8",
    }
    for magic, message in known.items():
        if content.startswith(magic):
            raise unusable("not-text", message + ".", file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as CSV UTF-8."
        raise unusable("not-utf8", message, file, line) from None
    if "\0" in text:
        raise unusable("not-text", "this is not a text file; save it as CSV UTF-8.", file)
    return text


def _trimmed(header: Sequence[str]) -> list[str]:
    """Leave out nameless columns at the end; cells below them are told as extra cells."""
    names = [name.strip() for name in header]
    while names and not names[-1]:
        names.pop()
    return names


def _header(names: list[str], line: int, file: str) -> list[str]:
    counts = Counter(name for name in names if name)
    if twice := [name for name, count in counts.items() if count > 1]:
        message = f"column {quoted(twice[0])} occurs {counts[twice[0]]} times; keep one of them."
        raise unusable("column-twice", message, file, line)
    return names


def _extra_cells(
    body: Sequence[tuple[int, Sequence[str]]], width: int, file: str
) -> Iterable[Note]:
    for line, cells in body:
        if extra := [cell for cell in cells[width:] if cell.strip()]:
            message = (
                f"{place(file, line)}: {len(cells)} cells under {width} columns ({listed(extra)} "
                "too many); quote cells that hold the separator, or name the columns."
            )
            yield Note("error", "extra-cells", message, 1, file, line, value=extra[0])
