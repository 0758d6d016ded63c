"""Clinical tables that belong together: found beside each other by their names."""

import re
from pathlib import Path

from pdmodel.data.cohort import Note
from pdmodel.data.table import Table, listed, place, unusable
from pdmodel.data.workbook import read_table

ENDINGS = (".xpt", ".parquet", ".csv", ".tsv", ".xlsx")


def main_table(path: Path, code: str) -> Path:
    """Find the table `code` at a path, which is the file or the folder that holds it.

    Raises
    ------
    UnusableError
        If the folder has none, or several.
    """
    if not path.is_dir():
        return path
    found = [file for file in _files(path) if _is(file, code)]
    if len(found) == 1:
        return found[0]
    if found:
        message = f"there are {listed((file.name for file in found), 9)}; name the file to read."
    else:
        message = f"there is no {code.lower()} (as {code.lower()}.xpt) in this folder."
    raise unusable("folder", message, str(path))


def beside(main: Path, main_code: str, code: str) -> Path | None:
    """Find the table `code` that goes with another: of the same ending of the name, or plain.

    ``tr_onco.xpt`` goes with ``tu_onco.xpt``, or else with ``tu.xpt``.
    """
    stem = main.stem.lower()
    rest = stem[len(main_code) :] if stem.startswith(main_code.lower()) else ""
    names = list(dict.fromkeys((code.lower() + rest, code.lower())))
    endings = dict.fromkeys((main.suffix.lower(), *ENDINGS))
    files = {file.name.lower(): file for file in _files(main.parent)}
    for name in names:
        for ending in endings:
            if found := files.get(name + ending):
                return found
    return None


def read_domain(path: Path) -> Table:
    """Read a table with the names of its columns in capitals, and the study as its place."""
    table = read_table(path)
    frame = table.frame.rename(columns={name: name.upper() for name in table.columns})
    if frame.columns.duplicated().any():
        twice = frame.columns[frame.columns.duplicated()][0]
        message = f"column {twice!r} occurs in capitals and in small letters; keep one."
        raise unusable("column-twice", message, table.file)
    return table._replace(frame=frame)


def with_columns(table: Table, *names: str) -> Table:
    """Add empty columns where a table has none of these names."""
    lack = {name: "" for name in names if name not in table.frame}
    return table._replace(frame=table.frame.assign(**lack))


def taken(code: str, path: Path, what: str) -> Note:
    """Say that a table beside the one that was named is used."""
    return Note("info", "companion", f"{place(str(path))}: {code}, for {what}.", file=str(path))


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    except OSError:
        return []


def _is(file: Path, code: str) -> bool:
    return re.fullmatch(rf"{code}(?:[_.-].*)?", file.stem, re.IGNORECASE) is not None
