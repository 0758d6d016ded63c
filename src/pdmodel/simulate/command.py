"""What the command `simulate` does: blocks on disk, here or on a cluster, and then the tables."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pdmodel.errors import OptionError, RunError
from pdmodel.fit import Fit
from pdmodel.model import Model
from pdmodel.simulate import about_of, planned_trial
from pdmodel.simulate.chunks import PLAN, begin, gather, keep, missing, share_of, work
from pdmodel.simulate.cluster import cluster, work_on
from pdmodel.simulate.trial import SUMMARY, TRIAL


def simulated(
    source: Fit | Model,
    arms: Mapping[str, str] | Sequence[str],
    folder: Path,
    *,
    chunk: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    **how: Any,
) -> list[str]:
    """Simulate into a folder, with memory that does not grow with the number of patients.

    Parameters
    ----------
    source, arms
        As for `pdmodel.simulate.simulate`.
    folder : path
        Blocks of the same simulation that are there are used again.
    chunk : str, optional
        Only a share, as "3/8"; the tables are then left to `pdmodel.simulate.chunks.gather`.
    workers, scheduler : int, str, optional
        See `pdmodel.simulate.cluster.cluster`; without them, this process.
    overwrite : bool
        Whether a trial that is there may be replaced.
    **how
        The other options of `pdmodel.simulate.simulate`.

    Returns
    -------
    list of str
        What was done, in words.

    Raises
    ------
    OptionError, RunError
        If an option cannot be used, or the folder cannot be written to.
    """
    if workers is not None and scheduler is not None:
        raise OptionError("Give either --workers or --scheduler.")
    _free(folder, overwrite=overwrite)
    plan = planned_trial(source, arms, **how)
    numbers = share_of(plan, chunk) if chunk else range(plan.blocks)
    try:
        begin(folder, plan, about_of(source, plan))
    except OSError as problem:
        raise RunError(
            f"The trial could not be written to {folder}: {problem.strerror or problem}. "
            "Free space or choose another folder with -o."
        ) from problem
    todo = missing(folder, numbers)
    if todo and (workers is not None or scheduler is not None):
        with cluster(scheduler, workers) as client:
            keep(folder, plan, work_on(client, plan, todo), None)
    else:
        keep(folder, plan, work(plan, todo), None)
    if chunk is None:
        gather(folder, remove=True)
    return [f"Blocks {numbers.start} to {numbers.stop - 1} of {plan.blocks} are in {folder}."]


def gathered(folder: Path) -> list[str]:
    """Say what is in the folder of a trial: endpoints as measured, and the assumptions."""
    about = json.loads((folder / TRIAL).read_text("utf-8"))
    columns = ["arm", "endpoint", "estimate", "low", "high", "basis"]
    table = pd.read_csv(folder / SUMMARY, dtype={"arm": str}).query("seen == 'measured'")
    shown = table.to_string(index=False, columns=columns)
    return [shown, *about["assumptions"], f"Written to {folder}."]


def _free(folder: Path, *, overwrite: bool) -> None:
    """Make sure, before the work, that the folder may be written: new, empty, or a trial's."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another output folder with -o.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    ours = (folder / TRIAL).is_file(), (folder / PLAN).is_file()
    if not any(ours):
        raise RunError(f"The folder {folder} holds other things; choose another with -o.")
    if ours[0] and not overwrite:
        raise RunError(f"{folder} is there already; choose another with -o, or add --overwrite.")
