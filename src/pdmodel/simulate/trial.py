"""A simulated trial: its tables and courses, and a folder of plain files that holds them."""

import json
from collections.abc import Callable, Mapping
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
from pdmodel.simulate.plan import SEEN
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


@dataclass(frozen=True)
class About:
    """What is known of a trial beside its columns; what `trial.json` tells.

    Attributes
    ----------
    arms : mapping of str to str
    parameters : tuple of str
    lines : int
        Lines of treatment of the arm that has most.
    day : ndarray, shape (visits,)
        Planned.
    basis : mapping of str to str
    prior_driven, assumptions : tuple of str
    manifest : mapping of str to object
        Without the numbers of failed solves.
    """

    arms: Mapping[str, str]
    parameters: tuple[str, ...]
    lines: int
    day: np.ndarray
    basis: Mapping[str, str]
    prior_driven: tuple[str, ...]
    assumptions: tuple[str, ...]
    manifest: Mapping[str, Any]

    def group(self, first: int = 0, count: int | None = None) -> np.ndarray:
        """Draw of the population that each patient is of; all patients, or some."""
        n = self.manifest["n"] - first if count is None else count
        return np.arange(first, first + n) % max(self.manifest["draws"], 1)


type Joined = Callable[[str], np.ndarray]
"""Gives a column of all patients, by its name in a `pdmodel.simulate.plan.Block`."""


def judged(joined: Joined, arm: int, seen: str) -> Outcomes:
    """Outcomes of all patients in one arm, seen in one way."""
    return Outcomes(*(joined(f"{arm}/{seen}/{name}") for name in Outcomes._fields))


def people(about: About, joined: Joined, place: int, first: int = 0) -> pd.DataFrame:
    """Rows of virtual patients in the arm at a place; see `Trial.patients`.

    Parameters
    ----------
    about : About
    joined : callable
    place, first : int
        Of the arm, and number of the first of the patients.
    """
    by = {seen: judged(joined, place, seen).columns() for seen in SEEN}
    values = {name: joined(f"value/{name}") for name in about.parameters}
    number = first + np.arange(len(by["latent"]["progression_day"]))
    group = about.group(first, len(number))
    who = {"arm": list(about.arms)[place], "virtual_patient": number, "population_draw": group}
    latent = {f"latent_{name}": by["latent"][name] for name in LATENT}
    begun = joined(f"{place}/begun")
    never = np.full((len(number), about.lines - 1 - begun.shape[1]), np.inf)
    begun = np.concatenate([begun, never], axis=1)
    lines = {f"line_{k + 2}_day": begun[:, k] for k in range(begun.shape[1])}
    return pd.DataFrame(who | values | by["measured"] | latent | lines)


def summarized(about: About, joined: Joined) -> tuple[pd.DataFrame, xr.Dataset, dict[str, int]]:
    """Summary and courses of a trial.

    Parameters
    ----------
    about : About
    joined : callable

    Returns
    -------
    summary : DataFrame
    courses : Dataset
    failed : dict of str to int
        Courses of each arm that could not be solved.
    """
    summary, free, failed = [], [], {}
    reference: dict[str, Outcomes] = {}
    group = about.group()
    for place, arm in enumerate(about.arms):
        for seen in SEEN:
            found = judged(joined, place, seen)
            same = {"arm": arm, "seen": seen, "basis": about.basis[arm]}
            before = reference.get(seen)
            summary += [same | row for row in rows(about.day, found, before, group)]
            reference.setdefault(seen, found)
            free.append(_free(about.day, found))
            failed[arm] = int(np.isnan(found.progression_day).sum())
    table = pd.DataFrame(summary).reindex(columns=list(COLUMNS))
    curves = np.reshape(free, (len(about.arms), len(SEEN), -1))
    return table, _courses(about, joined, curves), failed


def assembled(about: About, joined: Joined) -> Trial:
    """Make a trial of the columns of all patients."""
    summary, courses, failed = summarized(about, joined)
    tables = [people(about, joined, place) for place in range(len(about.arms))]
    patients, told = pd.concat(tables, ignore_index=True), dict(about.manifest)
    return Trial(
        about.arms, patients, summary, courses, about.prior_driven, about.assumptions,
        told | {"failed_solves": failed},
    )  # fmt: skip


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
        write_about(trial, folder)
    except OSError as problem:
        raise RunError(
            f"The trial could not be written to {folder}: {problem.strerror or problem}. "
            "Free space or choose another folder with -o."
        ) from problem
    return folder


def write_about(trial: Trial, folder: Path) -> None:
    """Write trial.json, with the checksums of the other files; last, so that it marks the end."""
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


def _courses(about: About, joined: Joined, free: np.ndarray) -> xr.Dataset:
    places = range(len(about.arms))
    change = [[_quantiles(joined(f"{k}/{seen}/change")) for seen in SEEN] for k in places]
    single = np.array([[joined(f"{k}/{seen}/size") for seen in SEEN] for k in places])
    percent = {"unit": "%", "about": "change of size from baseline, quantiles over patients"}
    share = {"unit": "1", "about": "share of virtual patients free of progression after the visit"}
    variables = {
        "change_percent": (("arm", "seen", "quantile", "day"), np.array(change), percent),
        "progression_free": (("arm", "seen", "day"), free, share),
        "size_mm": (
            ("arm", "seen", "virtual_patient", "day"), single,
            {"unit": "mm", "about": "size of single virtual patients"},
        ),
    }  # fmt: skip
    coords = {
        "arm": list(about.arms),
        "seen": list(SEEN),
        "quantile": list(QUANTILES),
        "virtual_patient": np.arange(single.shape[2]),
        "day": ("day", about.day, {"unit": "day", "about": "planned days from the first dose"}),
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
