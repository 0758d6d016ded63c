"""A simulated trial: its tables and courses, and a folder of plain files that holds them."""

import json
from collections.abc import Callable, Iterator, Mapping
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
from pdmodel.simulate.endpoints import Outcomes, rows
from pdmodel.simulate.plan import SEEN, Plan
from pdmodel.simulate.survival import kaplan_meier
from pdmodel.tables import write_table

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PATIENTS, SUMMARY, COURSES, TRIAL = "patients.csv", "summary.csv", "courses.nc", "trial.json"
LATENT = ("best_response", "best_change_percent", "progression_day", "resistance_class")
"""Columns that are also told of the course free of measurement error."""
COLUMNS = (
    "arm", "seen", "endpoint", "unit", "n", "estimate", "low", "high", "mc_error",
    "from_parameters", "from_sampling", "difference", "difference_low", "difference_high", "basis",
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
        the parameters, and by the scans that are seen best_response, best_change_percent,
        progression_day (inf if none is seen), resistance_class, response_day, event_day and event
        (progression or death, or where progression-free survival is censored) and death_day; and
        again, with ``latent_`` before the names, the first four by the course free of measurement
        error at all planned visits; ``line_2_day`` is when the second line of treatment begins.
        Where a course could not be solved the response is NE, the numbers nan.
    summary : DataFrame
        A row for each arm, way of seeing (measured, latent) and endpoint, with the columns
        `COLUMNS`. ``low`` and ``high`` are a 90 % interval for a population of unlimited size:
        what is uncertain about the population, and what the finite number of virtual patients
        and draws adds; ``mc_error`` is the standard error by the latter alone.
        ``from_parameters`` is the standard deviation between the populations that are possible,
        ``from_sampling`` between trials of n patients of one population. ``difference`` is
        from the first arm, patient by patient, with its own 90 % interval. Medians are days, inf
        if not reached, with the interval where that of the share free of the event includes a
        half; that of the duration of response is of those who respond.
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


type Joined = Callable[[str], np.ndarray]
"""Gives a column of all patients, by its name in a `pdmodel.simulate.plan.Block`."""


def judged(joined: Joined, arm: int, seen: str) -> Outcomes:
    """Outcomes of all patients in one arm, seen in one way."""
    return Outcomes(*(joined(f"{arm}/{seen}/{name}") for name in Outcomes._fields))


def people(plan: Plan, joined: Joined, group: np.ndarray) -> Iterator[pd.DataFrame]:
    """Rows of the virtual patients, arm after arm; see `Trial.patients`.

    Parameters
    ----------
    plan : Plan
    joined : callable
    group : ndarray of int, shape (patients,)
        Which draw of the population each is of.
    """
    values = {q.name: joined(f"value/{q.name}") for q in plan.model.free}
    for place, arm in enumerate(plan.arms):
        who = {"arm": arm.name, "virtual_patient": np.arange(len(group)), "population_draw": group}
        by = {seen: judged(joined, place, seen).columns() for seen in SEEN}
        latent = {f"latent_{name}": by["latent"][name] for name in LATENT}
        begun = joined(f"{place}/begun")
        lines = {f"line_{k + 2}_day": begun[:, k] for k in range(begun.shape[1])}
        yield pd.DataFrame(who | values | by["measured"] | latent | lines)


def summarized(
    plan: Plan, joined: Joined, group: np.ndarray, basis: Mapping[str, str]
) -> tuple[pd.DataFrame, xr.Dataset]:
    """Summary and courses of a trial.

    Parameters
    ----------
    plan, joined, group
        As for `people`.
    basis : mapping of str to str
        Of each arm.

    Returns
    -------
    summary : DataFrame
    courses : Dataset
    """
    summary, free = [], []
    reference: dict[str, Outcomes] = {}
    for place, arm in enumerate(plan.arms):
        for seen in SEEN:
            found = judged(joined, place, seen)
            same = {"arm": arm.name, "seen": seen, "basis": basis[arm.name]}
            before = reference.get(seen)
            summary += [same | row for row in rows(plan.day, found, before, group)]
            reference.setdefault(seen, found)
            free.append(_free(plan.day, found))
    table = pd.DataFrame(summary).reindex(columns=list(COLUMNS))
    return table, _courses(plan, joined, np.reshape(free, (len(plan.arms), len(SEEN), -1)))


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


def _courses(plan: Plan, joined: Joined, free: np.ndarray) -> xr.Dataset:
    places = range(len(plan.arms))
    change = [[_quantiles(joined(f"{k}/{seen}/change")) for seen in SEEN] for k in places]
    single = np.array([[joined(f"{k}/{seen}/size") for seen in SEEN] for k in places])
    about = {"unit": "%", "about": "change of size from baseline, quantiles over patients"}
    share = {"unit": "1", "about": "share of virtual patients free of progression after the visit"}
    variables = {
        "change_percent": (("arm", "seen", "quantile", "day"), np.array(change), about),
        "progression_free": (("arm", "seen", "day"), free, share),
        "size_mm": (
            ("arm", "seen", "virtual_patient", "day"), single,
            {"unit": "mm", "about": "size of single virtual patients"},
        ),
    }  # fmt: skip
    coords = {
        "arm": [arm.name for arm in plan.arms],
        "seen": list(SEEN),
        "quantile": list(QUANTILES),
        "virtual_patient": np.arange(single.shape[2]),
        "day": ("day", plan.day, {"unit": "day", "about": "planned days from the first dose"}),
    }
    return xr.Dataset(variables, coords)


def _quantiles(change: np.ndarray) -> np.ndarray:
    """Quantiles of change (patients, days): (quantile, days); nan where nobody is seen."""
    return np.array(
        [
            np.quantile(x, QUANTILES) if x.size else [np.nan] * len(QUANTILES)
            for x in (column[np.isfinite(column)].astype(float) for column in change.T)
        ]
    ).T


def _free(day: np.ndarray, found: Outcomes) -> np.ndarray:
    """Share free of progression and death after each visit."""
    ok = np.isfinite(found.event_day)
    if not ok.any():
        return np.full(len(day), np.nan)
    return kaplan_meier(found.event_day[ok], found.event[ok]).at(day)
