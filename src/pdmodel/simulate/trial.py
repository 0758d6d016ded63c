"""A simulated trial: its tables and courses, and a folder of plain files that holds them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pdmodel.errors import RunError
from pdmodel.run import RECORDED, checksum, whole
from pdmodel.simulate.endpoints import Outcomes, mean, outcomes, progression_free, rows
from pdmodel.tables import write_table

SHOWN = 200
"""Virtual patients whose single courses are kept."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SEEN = ("measured", "latent")
PATIENTS, SUMMARY, COURSES, TRIAL = "patients.csv", "summary.csv", "courses.nc", "trial.json"
COLUMNS = (
    "arm", "seen", "endpoint", "unit", "n", "estimate", "low", "high", "mc_error",
    "difference", "difference_low", "difference_high", "basis",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """What virtual patients came to in each arm; the same patients are in every arm.

    Attributes
    ----------
    arms : mapping of str to str
        What each arm is given, in words.
    patients : DataFrame
        A row for each arm and virtual patient: ``arm``, ``virtual_patient``, ``population_draw``,
        the parameters, and best_response, best_change_percent, progression_day (inf if there is
        none by the last visit) and resistance_class by the measured sizes, and again, with
        ``latent_`` before the names, by the course free of measurement error at the same visits.
        Where a course could not be solved the response is NE, the numbers nan.
    summary : DataFrame
        A row for each arm, way of seeing (measured, latent) and endpoint, with the columns
        `COLUMNS`. ``low`` and ``high`` are a 90 % interval for a population of unlimited size:
        what is uncertain about the population, and what the finite number of virtual patients
        and draws adds; ``mc_error`` is the standard error by the latter alone. ``difference`` is
        from the first arm, patient by patient, with its own 90 % interval. Medians are days of
        visits, inf if not reached, with the interval where that of the share free of progression
        includes a half.
    courses : Dataset
        ``change_percent`` from baseline, quantiles over patients (arm, seen, quantile, day);
        ``progression_free``, a share (arm, seen, day); ``size_mm`` of single virtual patients
        (arm, seen, virtual_patient, day), the first 200 at most.
    prior_driven : tuple of str
        Parameters drawn from their prior, for want of a posterior.
    assumptions : tuple of str
        What a reader must know before believing a number.
    manifest : dict
        Source, seed, numbers, visits, failed solves, and the basis of each arm: "posterior", or
        "prior-driven" where its result depends on a parameter that no data have informed.
    """

    arms: Mapping[str, str]
    patients: pd.DataFrame
    summary: pd.DataFrame
    courses: xr.Dataset
    prior_driven: tuple[str, ...]
    assumptions: tuple[str, ...]
    manifest: dict[str, Any]


def tables(
    day: np.ndarray,
    sizes: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    group: np.ndarray,
    basis: Mapping[str, str],
) -> tuple[pd.DataFrame, pd.DataFrame, xr.Dataset]:
    """Turn sizes into the tables and courses of a trial.

    Parameters
    ----------
    day : ndarray, shape (visits,)
    sizes : mapping of str to ndarray, each of shape (ways of seeing, patients, visits)
        By arm, in mm; nan where a course could not be solved.
    values : mapping of str to ndarray, each of shape (patients,)
        Parameters of the virtual patients.
    group : ndarray of int, shape (patients,)
        Which draw of the population each is of.
    basis : mapping of str to str
        Of each arm.

    Returns
    -------
    patients, summary : DataFrame
    courses : Dataset
    """
    judged = {
        arm: {seen: outcomes(day, x) for seen, x in zip(SEEN, both, strict=True)}
        for arm, both in sizes.items()
    }
    first = next(iter(judged.values()))
    people, summary = [], []
    for arm, ways in judged.items():
        who = {"arm": arm, "virtual_patient": np.arange(len(group)), "population_draw": group}
        latent = {f"latent_{name}": x for name, x in ways["latent"].columns().items()}
        people.append(pd.DataFrame(who | dict(values) | ways["measured"].columns() | latent))
        for seen, found in ways.items():
            reference = None if ways is first else first[seen]
            same = {"arm": arm, "seen": seen, "basis": basis[arm]}
            summary += [same | row for row in rows(day, found, reference, group)]
    courses = _courses(day, sizes, judged, group)
    table = pd.DataFrame(summary, columns=list(COLUMNS))
    return pd.concat(people, ignore_index=True), table, courses


def write(trial: Trial, folder: Path | str) -> Path:
    """Write a trial into a folder: two tables, the courses, and last trial.json about them.

    Parameters
    ----------
    trial : Trial
    folder : path
        Made if it is not there; a trial that is there is replaced.

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
        (folder / TRIAL).unlink(missing_ok=True)
        write_table(trial.patients, folder / PATIENTS)
        write_table(trial.summary, folder / SUMMARY)
        whole(folder / COURSES, bytes(trial.courses.to_netcdf(None, engine="h5netcdf")))
        about = {
            "arms": dict(trial.arms),
            "prior_driven": trial.prior_driven,
            "assumptions": trial.assumptions,
            **trial.manifest,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in RECORDED},
            "sha256": {n: checksum(folder / n) for n in (PATIENTS, SUMMARY, COURSES)},
        }
        whole(folder / TRIAL, json.dumps(about, indent=1).encode())
    except OSError as problem:
        raise RunError(
            f"The trial could not be written to {folder}: {problem.strerror or problem}. "
            "Free space or choose another folder with -o."
        ) from problem
    return folder


def _courses(
    day: np.ndarray,
    sizes: Mapping[str, np.ndarray],
    judged: Mapping[str, Mapping[str, Outcomes]],
    group: np.ndarray,
) -> xr.Dataset:
    change = [_quantiles(both) for both in sizes.values()]
    free = [
        [_free(day, one.progression_day, group) for one in ways.values()]
        for ways in judged.values()
    ]
    single = np.stack([both[:, :SHOWN] for both in sizes.values()])
    about = {"unit": "%", "about": "change of size from baseline, quantiles over patients"}
    share = {"unit": "1", "about": "share of virtual patients free of progression after the visit"}
    variables = {
        "change_percent": (("arm", "seen", "quantile", "day"), np.stack(change), about),
        "progression_free": (("arm", "seen", "day"), np.array(free), share),
        "size_mm": (
            ("arm", "seen", "virtual_patient", "day"), single,
            {"unit": "mm", "about": "size of single virtual patients"},
        ),
    }  # fmt: skip
    coords = {
        "arm": list(sizes),
        "seen": list(SEEN),
        "quantile": list(QUANTILES),
        "virtual_patient": np.arange(single.shape[2]),
        "day": ("day", day, {"unit": "day", "about": "days from the first dose"}),
    }
    return xr.Dataset(variables, coords)


def _quantiles(size: np.ndarray) -> np.ndarray:
    """Quantiles of change (%) of sizes (seen, patients, days): (seen, quantile, days)."""
    solved = size[:, np.isfinite(size).all(axis=(0, 2))]
    if not solved.shape[1]:
        solved = np.full((len(size), 1, size.shape[2]), np.nan)
    change = 100 * (solved / solved[:, :, :1] - 1)
    return np.moveaxis(np.quantile(change, QUANTILES, axis=1), 0, 1)


def _free(day: np.ndarray, progressed: np.ndarray, group: np.ndarray) -> Sequence[float]:
    return [mean(x, group).estimate for x in progression_free(day, progressed).T]
