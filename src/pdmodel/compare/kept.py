"""Scores on disk: one table for each model and fold, with what it was made from beside it."""

import json
import shutil
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from pdmodel.errors import RunError
from pdmodel.files import checksum, whole

SCORES = "scores"
"""Folder of the scores."""
WORDS = ("design", "patient")
FLAGS = ("censored", "floored")


def taken(folder: Path, *, overwrite: bool) -> Path:
    """Make sure that a folder may be written to: new, empty, or of an earlier comparison.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    overwrite : bool
        Whether scores that are there are removed; or else the comparison goes on from them.

    Raises
    ------
    RunError
        If it is a file, holds other things, or cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another output folder with -o.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SCORES).is_dir():
        raise RunError(f"The folder {folder} holds other things; choose another with -o.")
    try:
        if overwrite:
            shutil.rmtree(folder / SCORES, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(
            f"Cannot write to {folder}: {problem.strerror}; choose another with -o."
        ) from problem
    return folder


def place_of(folder: Path, model: str, name: str) -> Path:
    """Give the path of a table of a model: of a design, or of a fold's population."""
    return folder / SCORES / model.replace(":", "-") / f"{name.replace(' ', '-')}.csv"


def store(path: Path, table: pd.DataFrame, made_from: Mapping[str, Any]) -> None:
    """Write a table, and then what it was made from with its checksum.

    Raises
    ------
    RunError
        If it cannot be written, saying what the system said.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _beside(path).unlink(missing_ok=True)
        whole(path, table.to_csv(index=False, lineterminator="\n").encode())
        note = {"made_from": made_from, "sha256": checksum(path)}
        whole(_beside(path), json.dumps(note, indent=1).encode())
    except OSError as problem:
        raise RunError(
            f"{path} could not be written: {problem.strerror or problem}. Free space, or choose "
            "another folder with -o."
        ) from problem


def stored(
    path: Path, made_from: Mapping[str, Any], tell: Callable[[str], None]
) -> pd.DataFrame | None:
    """Read a table back if it is whole and was made from the same.

    Parameters
    ----------
    path : Path
    made_from : mapping of str to JSON
    tell : callable
        Takes a line about a damaged table.

    Returns
    -------
    DataFrame or None
        None if it is not there, not finished, or damaged, and has to be made.

    Raises
    ------
    RunError
        If it was made from something else; it names what differs.
    """
    if not (path.exists() and _beside(path).exists()):
        return None
    try:
        note = json.loads(_beside(path).read_text("utf-8"))
        known, sha256 = dict(note["made_from"]), note["sha256"]
    except (ValueError, LookupError, TypeError):
        known, sha256 = None, ""
    if known is None or checksum(path) != sha256:
        tell(f"{path} is damaged; it is made again.")
        return None
    _same(path, known, json.loads(json.dumps(made_from)))
    return read(path.read_bytes())


def read(content: bytes) -> pd.DataFrame:
    """Read a table of scores from its bytes, to the last bit."""
    head = pd.read_csv(BytesIO(content), nrows=0).columns
    numbers = {name: [""] for name in head if name not in (*WORDS, *FLAGS)}
    return pd.read_csv(
        BytesIO(content), dtype=dict.fromkeys(WORDS, str) | dict.fromkeys(FLAGS, bool),
        keep_default_na=False, na_values=numbers,
    )  # fmt: skip


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _same(path: Path, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    names = [*asked, *(name for name in known if name not in asked)]
    differ = [
        f"{name} was {known.get(name, 'not said')} and is now {asked.get(name, 'not said')}"
        for name in names
        if known.get(name) != asked.get(name)
    ]
    if differ:
        raise RunError(
            f"{path} is of another comparison: {'; '.join(differ)}. Ask for the same again, choose "
            "another folder with -o, or begin anew with --overwrite."
        )
