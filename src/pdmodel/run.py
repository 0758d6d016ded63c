"""A fit on disk: a folder of plain files, written whole or not at all, checked when read.

``manifest.json`` says what was done and holds the checksum of every other file; ``cohort.json``
has the patients, ``posterior.nc`` the draws. Nothing is pickled.
"""

import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pdmodel.data import Assessment, Cohort, CovariateNote, Note, Patient, ReadingLog
from pdmodel.dosing import Regimen, parse_schedule
from pdmodel.errors import PdmodelError, RunError
from pdmodel.files import DRAFT, checksum, draft_of, whole
from pdmodel.fit import Fit
from pdmodel.library import drug, mechanism, own_files, reopen
from pdmodel.model import Model
from pdmodel.residuals import residual

SCHEMA = 1
POSTERIOR, COHORT, MANIFEST = "posterior.nc", "cohort.json", "manifest.json"
UNFINISHED, CHUNKS = "unfinished.json", "chunks"
"""What a fit leaves while it has not finished, see `pdmodel.unfinished`."""
RECORDED = ("pdmodel", "jax", "numpyro", "arviz", "numpy", "scipy", "xarray", "h5netcdf")


def save(fit: Fit, folder: Path | str) -> Path:
    """Write a fit into a folder, the manifest last, so that an unfinished folder shows.

    A run that was there stays whole until now, and is replaced.

    Parameters
    ----------
    fit : Fit
    folder : path
        Made if it is not there; use `claim` first to refuse or clear one in use.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    RunError
        If the folder cannot be written to, saying what the system said.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        whole(folder / COHORT, json.dumps(cohort_entries(fit.cohort), indent=1).encode())
        with draft_of(folder / POSTERIOR) as draft:
            fit.tree.to_netcdf(draft, engine="h5netcdf")
        manifest = fit.manifest | {
            "schema": SCHEMA,
            "model": model_entries(fit.model),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in RECORDED},
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
            "precision": str(fit.posterior[fit.model.free[0].name].dtype),
            "sha256": {name: checksum(folder / name) for name in (COHORT, POSTERIOR)},
        }
        whole(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    except OSError as problem:
        raise RunError(
            f"The run could not be written to {folder}: {problem.strerror or problem}. "
            "Free space or choose another folder with -o."
        ) from problem
    return folder


def load(folder: Path | str) -> Fit:
    """Read a fit back, checking that every file is the one that was written.

    Raises
    ------
    RunError
        If the folder is missing, unfinished, damaged, or from a later version.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    cohort = _understood(folder / COHORT, _cohort_in)
    tree = _understood(folder / POSTERIOR, _tree_in)
    parts = manifest["model"]
    reopen(parts.get("files", {}))
    model = Model(
        mechanism(parts["mechanism"]),
        tuple(drug(name).using(population) for name, population in parts["drugs"].items()),
        residual(parts["residual"]),
    )
    return Fit(model, cohort, tree, manifest)


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Make sure that every file of a run is the one that was written; RunError if not."""
    for name, known in manifest["sha256"].items():
        path = folder / name
        if not path.exists():
            raise RunError(f"{path} is missing; run 'pdmodel fit' again.")
        if checksum(path) != known:
            raise RunError(
                f"{path} is damaged or was changed: its checksum differs from the manifest's. "
                "Run 'pdmodel fit' again with --overwrite."
            )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a run folder's manifest; RunError if it is not one, unfinished, or too new."""
    path = Path(folder) / MANIFEST
    if path.parent.is_file():
        raise RunError(f"{folder} is a file; give the folder that 'pdmodel fit' wrote.")
    if not path.parent.is_dir():
        raise RunError(f"There is no run folder {folder}; make one with 'pdmodel fit ... -o RUN'.")
    if not path.exists() and (path.parent / UNFINISHED).exists():
        raise RunError(
            f"The fit in {folder} is not finished. Go on with the same 'pdmodel fit ...' and "
            f"--resume; {path.parent / UNFINISHED} says what was asked for."
        )
    if not path.exists():
        inside = sorted(path.parent.glob(f"*/{MANIFEST}"))
        hint = f" Did you mean {inside[0].parent}?" if inside else ""
        raise RunError(
            f"{folder} has no {MANIFEST}: it is no run folder, or the fit did not finish.{hint}"
        )
    manifest = _understood(path, lambda path: _entries(json.loads(path.read_text("utf-8"))))
    if manifest["schema"] > SCHEMA:
        raise RunError(
            f"{folder} was written by a later version of pdmodel "
            f"({manifest.get('versions', {}).get('pdmodel', 'unknown')}); update pdmodel."
        )
    return manifest


def claim(folder: Path | str, *, overwrite: bool = False, resume: bool = False) -> Path:
    """Make sure that a folder may be written to, before hours of work; nothing in it is touched.

    Raises
    ------
    RunError
        If something is in it and `overwrite` is not set, or it is no folder; a fit that is to go
        on may be in it if `resume` is set.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another output folder with -o.")
    found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    names = {name for name in found if not name.startswith(DRAFT)}
    if names and not (resume and names & {UNFINISHED, MANIFEST}):
        _not_in_the_way(folder, names, overwrite=overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise RunError(
            f"Cannot write to {folder}: {problem.strerror}; choose another with -o."
        ) from problem
    return folder


def _not_in_the_way(folder: Path, names: set[str], *, overwrite: bool) -> None:
    """Make sure that what is in a folder may be replaced."""
    if UNFINISHED in names and not overwrite:
        raise RunError(
            f"A fit in {folder} is not finished; go on with --resume, or begin anew with "
            "--overwrite."
        )
    if not overwrite:
        raise RunError(
            f"The folder {folder} is not empty; choose another with -o, or add --overwrite."
        )
    ours = {POSTERIOR, COHORT, MANIFEST, UNFINISHED, CHUNKS, "plots"}
    foreign = sorted(name for name in names - ours if not name.endswith((".csv", ".html", ".nc")))
    if foreign and not names & {MANIFEST, UNFINISHED}:
        raise RunError(
            f"The folder {folder} holds {foreign[0]!r} and no run; it is not overwritten. "
            "Choose another with -o."
        )


def _understood[T](path: Path, read: Callable[[Path], T]) -> T:
    """Read a file by `read`; RunError if it holds something else than it should."""
    try:
        return read(path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, PdmodelError) as problem:
        raise RunError(f"{path} is damaged and cannot be read; fit again.") from problem


def _entries(manifest: dict[str, Any]) -> dict[str, Any]:
    """Look whether a manifest has what this version writes, unless it is of a later one."""
    if manifest["schema"] <= SCHEMA and not manifest["sha256"].keys() >= {COHORT, POSTERIOR}:
        raise ValueError("checksums are missing")
    return manifest


def _tree_in(path: Path) -> xr.DataTree:
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return tree.load()


def model_entries(model: Model) -> dict[str, Any]:
    """Give what a manifest says of a model, in JSON."""
    return {
        "mechanism": model.mechanism.name,
        "drugs": {one.name: one.population().name for one in model.drugs},
        "residual": model.residual.name,
        "files": own_files(
            {"mechanism": [model.mechanism.name], "drug": [one.name for one in model.drugs]}
        ),
    }


def cohort_entries(cohort: Cohort) -> dict[str, Any]:
    """Give a cohort in JSON, from which it can be read again to the bit."""

    def patient(p: Patient) -> dict[str, Any]:
        return {
            "id": p.id, "study": p.study, "arm": p.arm,
            "day": p.day.tolist(), "size_mm": p.size_mm.tolist(), "censored": p.censored.tolist(),
            "regimens": {
                name: {field: getattr(r, field).tolist() for field in r.__match_args__}
                for name, r in p.regimens.items()
            },
            "schedules": [str(s) for s in p.schedules],
            "covariates": dict(p.covariates), "lesion": p.lesion,
            "assessments": [one._asdict() for one in p.assessments],
        }  # fmt: skip

    return {
        "size_kind": cohort.size_kind,
        "simulated": cohort.simulated,
        "log": asdict(cohort.log)
        | {
            name: [one._asdict() for one in getattr(cohort.log, name)]
            for name in ("notes", "covariates")
        },
        "patients": [patient(p) for p in cohort],
    }


def _cohort_in(path: Path) -> Cohort:
    stored = json.loads(path.read_text("utf-8"))

    def patient(p: Mapping[str, Any]) -> Patient:
        return Patient(
            p["id"], p["study"], p["arm"],
            np.array(p["day"], float), np.array(p["size_mm"], float),
            np.array(p["censored"], bool),
            {name: Regimen(**{k: np.array(v) for k, v in r.items()})
             for name, r in p["regimens"].items()},
            p["covariates"],
            tuple(parse_schedule(text) for text in p["schedules"]),
            p.get("lesion", ""), tuple(Assessment(**one) for one in p.get("assessments", ())),
        )  # fmt: skip

    log = stored["log"]
    notes = tuple(Note(**note) for note in log["notes"])
    about = tuple(CovariateNote(**one) for one in log.get("covariates", ()))
    return Cohort(
        tuple(patient(p) for p in stored["patients"]),
        stored["size_kind"],
        ReadingLog(log["source"], log["rows_read"], log["rows_kept"], notes, about),
        stored["simulated"],
    )
