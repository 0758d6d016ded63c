"""SAS transport files (.xpt), as clinical tables are exchanged."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pandas as pd

from pdmodel.data.cohort import Note
from pdmodel.data.table import Table, unusable
from pdmodel.data.text import from_records, read_bytes

MAGIC = b"HEADER RECORD*******"
EPOCH = dt.datetime(1960, 1, 1)  # noqa: DTZ001 - SAS counts without a time zone
DATES = ("DATE", "YYMMDD", "E8601DA", "DDMMYY", "MMDDYY")
TIMES = ("DATETIME", "E8601DT")


def transport(path: Path) -> Table:
    """Read a SAS transport file, of version 5 or 8; rows count as lines below a header.

    Numbers are written with 15 digits; those with a format of dates, as dates.

    Raises
    ------
    UnusableError
        If it cannot be read, or pyreadstat is not installed.
    """
    if not read_bytes(path).startswith(MAGIC):
        message = "this is not a SAS transport file (.xpt); name text .csv, or export it again."
        raise unusable("no-xpt", message, str(path))
    try:
        import pyreadstat  # pyright: ignore[reportMissingImports] - it is optional
    except ImportError:
        message = (
            "SAS transport files need pyreadstat: pip install 'pdmodel[formats]', or save the "
            "table as CSV."
        )
        raise unusable("no-xpt", message, str(path)) from None
    notes: tuple[Note, ...] = ()
    try:
        try:
            frame, meta = pyreadstat.read_xport(str(path), disable_datetime_conversion=True)
        except UnicodeDecodeError:
            how = {"disable_datetime_conversion": True, "encoding": "WINDOWS-1252"}
            frame, meta = pyreadstat.read_xport(str(path), **how)
            message = f"{path}: its text is not UTF-8; read as Windows-1252, look at the names."
            notes = (Note("warning", "not-utf8", message, file=str(path)),)
    except Exception as error:  # noqa: BLE001 - of a damaged file the library raises anything
        message = f"the SAS transport file is damaged ({error}); export it again."
        raise unusable("no-xpt", " ".join(message.split()), str(path)) from None
    frame = cast("pd.DataFrame", frame)
    formats = meta.original_variable_types
    columns = [_texts(frame[name], formats.get(name) or "") for name in frame.columns]
    records = [(1, list(frame.columns)), *enumerate(zip(*columns, strict=True), start=2)]
    table = from_records(records, str(path))
    return table._replace(notes=(*table.notes, *notes))


def _texts(cells: pd.Series, form: str) -> list[str]:
    write = _writer(form)
    values = cells.to_list()
    return ["" if value != value or value is None else
            value if isinstance(value, str) else write(value) for value in values]  # fmt: skip


def _writer(form: str) -> Callable[[float], str]:
    name = form.upper()
    if name.startswith(TIMES):
        return lambda seconds: (EPOCH + dt.timedelta(seconds=seconds)).isoformat(sep="T")
    if name.startswith(DATES):
        return lambda days: (EPOCH + dt.timedelta(days=days)).date().isoformat()
    return _number


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else format(value, ".15g")
