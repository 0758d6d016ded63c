"""A fit that is not finished: what was asked for, so that it goes on as the same or not at all.

The folder of a run holds ``unfinished.json``, written before anything is computed, and ``chunks/``
with what is finished, until the fit is written. Nothing goes on with other data, another model,
options, seed or versions than it began with: half of the draws would be of another posterior.
"""

import inspect
import json
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from pdmodel.checkpoint import InFolder, iterations_kept
from pdmodel.data import Cohort
from pdmodel.errors import FitError, OptionError, RunError
from pdmodel.files import clear_drafts, digest, whole
from pdmodel.model import Model
from pdmodel.run import (
    CHUNKS,
    MANIFEST,
    UNFINISHED,
    check_files,
    cohort_entries,
    model_entries,
    read_manifest,
)

SHORT = 12
"""Characters of a checksum that are shown."""
COMPUTING = ("pdmodel", "jax", "jaxlib", "numpyro", "numpy", "scipy")
"""Packages whose version decides on the last bit."""


def asked_for(model: Model, cohort: Cohort, options: Mapping[str, Any]) -> dict[str, Any]:
    """Say in full what a fit is asked for; two that say the same give the same draws.

    Parameters
    ----------
    model : Model
        Known by its names, the priors of its parameters, and the text of its equations.
    cohort : Cohort
        Known by what was seen in and given to patients, wherever it was read from.
    options : mapping
        As `pdmodel.fit` is given them.

    Returns
    -------
    dict of str to JSON
    """
    entries = cohort_entries(cohort)
    seen = _short(json.dumps([entries["size_kind"], entries["patients"]], sort_keys=True))
    names = model_entries(model)
    return {
        "data": f"{len(cohort)} patients with {cohort.scans} scans, checksum {seen}",
        "mechanism": names["mechanism"],
        "drugs": names["drugs"],
        "residual": names["residual"],
        "priors": _short(repr(model.parameters)),
        "equations": _short("".join(_texts(model))),
        **options,
        **{name: version(name) for name in COMPUTING},
        "Python": platform.python_version(),
        "precision": str(jnp.result_type(float)),
        "device": jax.default_backend(),
    }


@contextmanager
def unfinished(
    folder: Path | str,
    model: Model,
    cohort: Cohort,
    options: Mapping[str, Any],
    *,
    resume: bool = False,
    tell: Callable[[str], None] = print,
) -> Iterator[InFolder]:
    """Keep what a fit has finished until it is written, or go on from what another kept.

    Parameters
    ----------
    folder : path
        Of the run; there already.
    model, cohort, options
        As `pdmodel.fit` is given them.
    resume : bool
        Whether to go on from what is there; or else it is removed.
    tell : callable
        Takes lines about damaged files.

    Yields
    ------
    Checkpoints
        For `pdmodel.fit`. What was kept is removed in the end, unless an error or an interruption
        leaves something to go on from.

    Raises
    ------
    RunError
        If what is to go on is another fit; it names what differs.
    """
    folder = Path(folder)
    note, chunks, asked = folder / UNFINISHED, folder / CHUNKS, asked_for(model, cohort, options)
    clear_drafts(folder)
    resumed = 0
    if resume and note.exists():
        known = _known(note)
        _same(folder, known["asked"], asked)
        resumed = known["resumed"] + 1
        if chunks.is_dir():
            clear_drafts(chunks)
    else:
        shutil.rmtree(chunks, ignore_errors=True)
    _noted(note, {"asked": asked, "resumed": resumed})
    keep = InFolder(chunks, asked, tell, resumed=resumed)
    try:
        yield keep
    except BaseException as problem:
        if keep.empty or isinstance(problem, FitError | OptionError):
            _removed(folder)
        raise
    _removed(folder)


def finished(folder: Path | str, model: Model, cohort: Cohort, options: Mapping[str, Any]) -> bool:
    """Tell whether a folder holds the whole fit that is asked for, and nothing is to be done.

    Raises
    ------
    RunError
        If it holds the whole of another fit, or is damaged.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).exists():
        return False
    manifest, asked = read_manifest(folder), asked_for(model, cohort, options)
    known = manifest.get("asked")
    if (folder / UNFINISHED).exists() and known != asked:
        return False  # another is to take its place
    if known is not None:
        _same(folder, known, asked)
    check_files(folder, manifest)
    _removed(folder)
    return True


def kept_so_far(folder: Path | str) -> str:
    """Say in one sentence what an unfinished fit has kept; nothing where it has kept nothing."""
    folder = Path(folder)
    if not (folder / UNFINISHED).exists():
        return ""
    stages = [path.stem.partition("-")[2] for path in (folder / CHUNKS).glob("stage-*.npz")]
    asked = _known(folder / UNFINISHED)["asked"]
    chains = asked.get("chains", 0)
    done = sum(iterations_kept(folder / CHUNKS, chains))
    total = chains * (asked.get("warmup", 0) + asked.get("draws", 0))
    drawn = f"{done} of {total} iterations of {chains} chains"
    return f"{', '.join([*sorted(stages), drawn])} are kept in {folder / CHUNKS}"


def _same(folder: Path, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Compare what was asked for with what is; RunError names each difference."""
    names = [*asked, *(name for name in known if name not in asked)]
    differ = [
        f"{name} was {_said(known.get(name))} and is now {_said(asked.get(name))}"
        for name in names
        if json.dumps(known.get(name)) != json.dumps(asked.get(name))
    ]
    if differ:
        raise RunError(
            f"The fit in {folder} cannot go on as another: {'; '.join(differ)}. Ask for the same "
            "again, choose another folder with -o, or begin anew with --overwrite."
        )


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} ({about})" for name, about in value.items()) or "none"
    return "not said" if value is None else str(value)


def _known(note: Path) -> dict[str, Any]:
    try:
        known = json.loads(note.read_text("utf-8"))
        return {"asked": dict(known["asked"]), "resumed": int(known["resumed"])}
    except (ValueError, LookupError, TypeError) as problem:
        raise RunError(
            f"{note} is damaged and cannot be read; begin anew with --overwrite."
        ) from problem


def _noted(note: Path, content: Mapping[str, Any]) -> None:
    try:
        whole(note, json.dumps(content, indent=1).encode())
    except OSError as problem:
        raise RunError(
            f"{note} could not be written: {problem.strerror or problem}. Make room there, or "
            "choose another folder with -o."
        ) from problem


def _removed(folder: Path) -> None:
    """Remove what an unfinished fit kept; first the note, so that half of it is never gone on."""
    with suppress(OSError):
        (folder / UNFINISHED).unlink(missing_ok=True)
        shutil.rmtree(folder / CHUNKS, ignore_errors=True)


def _short(text: str) -> str:
    return digest(text.encode())[:SHORT]


def _texts(model: Model) -> Iterator[str]:
    """Text of the files that the model's functions are written in, each once."""
    parts = (model.mechanism, model.mechanism.linear, model.residual, *model.drugs)
    files = set()
    for part in filter(None, parts):
        for function in filter(callable, vars(part).values()):
            with suppress(TypeError):  # without a file: typed at a prompt
                files.add(inspect.getsourcefile(inspect.unwrap(function)))
    for file in sorted(filter(None, files)):
        with suppress(OSError):
            yield Path(file).read_text("utf-8")
