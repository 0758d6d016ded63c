"""Excel workbooks and Parquet files, turned into text without changing an id."""

import datetime as dt
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd

from pdmodel.data.cohort import Note
from pdmodel.data.table import Table, unusable
from pdmodel.data.text import delimited, from_records, read_bytes
from pdmodel.data.transport import transport

EXCEL = (".xlsx", ".xlsm")
DIGITS_OF_EXCEL = 1e15
"""Numbers beyond 15 digits may have been rounded when a workbook was made."""


def read_table(path: Path) -> Table:
    """Read a file by its ending: Excel (first sheet), Parquet, SAS transport, or else text."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    if suffix == ".xpt":
        return transport(path)
    if suffix not in EXCEL:
        return delimited(read_bytes(path), str(path))
    sheets = list(read_sheets(path))
    if len(sheets) == 1:
        return sheets[0][1]
    name, table = sheets[0]
    message = f"{path}: read sheet {name!r}, the first of {len(sheets)}; the others are left out."
    other = Note("warning", "other-sheets", message, file=str(path))
    return table._replace(notes=(*table.notes, other))


def read_sheets(path: Path) -> Iterator[tuple[str, Table]]:
    """Read the sheets of a workbook that are not empty, with their names."""
    content = read_bytes(path)
    if not content.startswith(b"PK"):
        message = "this is not an .xlsx workbook; save it as one, or name a text file .csv."
        raise unusable("not-excel", message, str(path))
    sheets = _sheets(content, str(path))
    filled = {name: records for name, records in sheets.items() if records}
    if not filled:
        raise unusable("empty", "the workbook is empty; it needs a header and rows.", str(path))
    for name, records in filled.items():
        file = str(path) if len(filled) == 1 else f"{path}, sheet {name}"
        table = from_records([(line, [as_text(v) for v in row]) for line, row in records], file)
        long = {abs(v) for _, row in records for v in row if isinstance(v, float)}
        if any(value >= DIGITS_OF_EXCEL for value in long):
            message = (
                f"{file}: numbers of more than 15 digits, which Excel rounds; if they are patient "
                "ids, make them text where they come from, or two may have become one."
            )
            note = Note("warning", "rounded-number", message, file=file)
            table = table._replace(notes=(*table.notes, note))
        yield name, table


def as_text(value: object) -> str:
    """Write a typed cell as text: whole numbers in full, others with 15 digits as Excel does.

    Examples
    --------
    >>> as_text(3.657015667902161e18), as_text(8.800000000000001), as_text(7), as_text(None)
    ('3657015667902160896', '8.8', '7', '')
    """
    if value is None or value is pd.NaT:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        if value != value:  # a missing value of a Parquet file
            return ""
        return str(int(value)) if value.is_integer() else format(value, ".15g")
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return str(value)


def _sheets(content: bytes, file: str) -> dict[str, list[tuple[int, tuple[object, ...]]]]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of styles and lists that are not read
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            sheets = {sheet.title: _records(sheet) for sheet in book.worksheets}
            book.close()
    except Exception as error:  # noqa: BLE001 - of a damaged file openpyxl raises anything
        message = f"the workbook is damaged ({error}); open it in Excel and save it again."
        raise unusable("not-excel", " ".join(message.split()), file) from None
    return sheets


def _records(sheet: Any) -> list[tuple[int, tuple[object, ...]]]:
    sheet.reset_dimensions()  # some writers state a wrong size
    rows = enumerate(sheet.iter_rows(values_only=True), start=1)
    return [(line, row) for line, row in rows if any(map(as_text, row))]


def _parquet(path: Path) -> Table:
    content = read_bytes(path)
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except ImportError:
        message = "Parquet needs pyarrow: pip install 'pdmodel[formats]', or save the table as CSV."
        raise unusable("no-parquet", message, str(path)) from None
    except (OSError, ValueError) as error:
        raise unusable("no-parquet", f"it is not a Parquet file ({error}).", str(path)) from None
    rows = [[as_text(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    header = [str(name) for name in frame.columns]
    return from_records([(1, header), *enumerate(rows, start=2)], str(path))
