"""A table that somebody sends: kept in a folder of its own, checked, and fitted with `quick`."""

import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from pdmodel import asked
from pdmodel.data import Cohort, Note, check_tables, read_cohort
from pdmodel.errors import DataError, OptionError, PdmodelError
from pdmodel.fit import Fit, fit
from pdmodel.library import drug, mechanism
from pdmodel.model import Model
from pdmodel.nuts import Progress
from pdmodel.residuals import residual
from pdmodel.run import load, save

PREFIX = "pdmodel-app-"
SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".xpt")
SEVERAL = ("sdtm", "adam")
"""Formats whose tables are several files that know each other by their names."""
MOST_FILES = 12
SEED = 1


class Table(NamedTuple):
    """What was sent, and how it is to be read."""

    folder: Path
    sizes: Path
    doses: Path | None
    how: Mapping[str, Any]
    untreated: bool


class StoppedError(PdmodelError):
    """Somebody stopped a fit."""


class Watched:
    """How far a fit is, for a page that asks now and then; it can be stopped."""

    def __init__(self) -> None:
        self._began, self._stopped = time.monotonic(), False
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Take note; called by the fit, in its threads."""
        if self._stopped:
            raise StoppedError("The fit was stopped; nothing of it was kept.")
        self._last = progress

    def stop(self) -> None:
        """Stop the fit at its next step."""
        self._stopped = True

    @property
    def share(self) -> float | None:
        """How much of the stage is done; None where that is not counted."""
        last = self._last
        return last.done / last.total if last is not None and last.total > 1 else None

    def in_words(self) -> str:
        """Say it in a line."""
        passed = f"{time.monotonic() - self._began:.0f} s so far"
        if self._stopped:
            return f"Stopping at the end of this step ({passed})."
        stage = self._last.stage if self._last is not None else "getting ready"
        counted = "" if self.share is None else f", {100 * self.share:.0f} %"
        return f"Fitting: {stage}{counted} ({passed}; usually one to three minutes)."


def received(
    sizes: Sequence[Mapping[str, Any]], doses: Sequence[Mapping[str, Any]] | None, layout: str,
    regimen: str, size_kind: str,
) -> Table:  # fmt: skip
    """Put files into a new folder that only this user can read.

    Parameters
    ----------
    sizes, doses : sequence of mapping
        Each with ``name``, what the sender calls it, and ``datapath``, where it lies.
    layout : str
        Name of a format of `pdmodel.data.read_cohort`.
    regimen : str
        In words, in place of doses; one line for all, or ``ARM=...`` for each arm.
    size_kind : str
        Blank for what the layout says.

    Returns
    -------
    Table

    Raises
    ------
    OptionError
        If there is no file, there are too many, one is of no known kind, or the words make no
        sense.
    """
    if not sizes:
        raise OptionError("There is no table of sizes; choose a file first.")
    if len(sizes) > (MOST_FILES if layout in SEVERAL else 1):
        raise OptionError(f"There are {len(sizes)} files of sizes; format {layout!r} takes fewer.")
    lines = [line.strip() for line in regimen.splitlines() if line.strip()]
    try:
        how = asked.request(lines, layout, None, size_kind or None)
    except typer.BadParameter as problem:
        raise OptionError(f"Regimen: {problem.message}") from None
    for one in (*sizes, *(doses or ())):
        if Path(one["name"]).suffix.lower() not in SUFFIXES:
            raise OptionError(
                f"{one['name']!r} is no table that is read; send {', '.join(SUFFIXES)}."
            )
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    paths = [_kept(one, folder, layout, "sizes") for one in sizes]
    beside = [_kept(one, folder, layout, "doses") for one in doses or ()]
    whole = folder if layout in SEVERAL else paths[0]
    return Table(folder, whole, beside[0] if beside else None, how, asked.untreated(lines))


def checked(table: Table) -> tuple[Note, ...]:
    """List every problem, as `pdmodel check` does."""
    return check_tables(table.sizes, table.doses, **table.how)


def read(table: Table) -> Cohort:
    """Read the patients.

    Raises
    ------
    DataError
        If the table has errors, or nobody was given a drug and it was not said that this is so.
    """
    cohort = read_cohort(table.sizes, doses=table.doses, **table.how)
    if not cohort.drugs and not table.untreated:
        raise DataError(
            "Nobody was given a drug: send a table of doses, or write a regimen as 'atezolizumab "
            "1200 mg q3w', or 'none' if nobody was treated."
        )
    return cohort


def fitted(table: Table, cohort: Cohort, watch: Watched) -> tuple[Fit, Path]:
    """Fit the patients with the quick method, and keep the run beside the table.

    Parameters
    ----------
    table : Table
    cohort : Cohort
    watch : Watched

    Returns
    -------
    Fit
    Path
        The run folder.

    Raises
    ------
    FitError
        As `pdmodel.fit` does.
    StoppedError
        If it was stopped.
    """
    drugs = tuple(drug(name) for name in cohort.drugs)
    model = Model(mechanism("exhaustion"), drugs, residual("student_t"))
    found = fit(model, cohort, seed=SEED, method="quick", report=watch)
    run = save(found, table.folder / "run")
    return load(run), run


def discarded(table: Table) -> None:
    """Remove what was sent."""
    shutil.rmtree(table.folder, ignore_errors=True)


def _kept(one: Mapping[str, Any], folder: Path, layout: str, name: str) -> Path:
    """Copy a file under a name of ours, or, where names count, what is harmless of its own."""
    given = Path(one["name"])
    stem = re.sub(r"[^A-Za-z0-9_-]", "", given.stem)[:32] if layout in SEVERAL else name
    path = folder / f"{stem or name}{given.suffix.lower()}"
    shutil.copyfile(one["datapath"], path)
    return path
