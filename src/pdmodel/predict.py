"""What a fit says about courses and scans: past ones again, coming ones, and under other doses."""

from collections.abc import Mapping, Sequence
from itertools import batched

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from pdmodel.action import VOCABULARY
from pdmodel.data import Patient
from pdmodel.data.cohort import SIZE_KINDS
from pdmodel.dosing import Regimen, parse_schedules, planned
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.latent import latent, padded
from pdmodel.library import labelled
from pdmodel.trajectory import TOGETHER

COLUMNS = ("patient_id", "study", "day", "mean", "median", "q05", "q25", "q75", "q95")
QUANTILES = {"median": 0.5, "q05": 0.05, "q25": 0.25, "q75": 0.75, "q95": 0.95}
BEFORE_DAY_0 = -1e-9


def predict(
    fit: Fit,
    days: ArrayLike,
    *,
    patients: Sequence[str] | None = None,
    regimen: str | None = None,
    draws: int = 1000,
    seed: int,
) -> pd.DataFrame:
    """Predict new measurements of patients of the fit.

    A prediction is of a scan as it would be measured: the latent course with the error of a fresh
    measurement on top, before rounding, and below 5 mm too, where a table would only say "too
    small". Where the residual carries deviations from scan to scan, the course goes on from the
    patient's last scan (`pdmodel.latent`).

    Doses go on by the patients' schedules to the last day asked for; where doses came from a
    table, none is added after the last.

    Parameters
    ----------
    fit : Fit
    days : array_like, shape (days,)
        Days from the first dose, in any order. A patient has no row for days before the course
        begins (first scan, or day 0 if that is earlier).
    patients : sequence of str, optional
        Keys, or ids where unique; all by default. A patient's numbers do not depend on who else
        is asked for.
    regimen : str, optional
        What to give instead from day 0 on, in words (`pdmodel.dosing.parse_schedules`); doses
        before day 0 stay. The patients' parameters are those learnt under what they really got.
    draws : int
        Draws of the posterior, evenly spaced; at most as many as there are.
    seed : int
        The same seed gives the same table.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, sizes in mm; patients in the order of their keys, days rising. Draws
        that could not be solved are left out and counted in ``attrs["failed_solves"]``; if none
        is left, sizes are nan. Under a Student-t residual the mean of small lesions is carried by
        few draws (its expectation is infinite): use the median.

    Raises
    ------
    DataError
        If a patient is unknown.
    DoseError, ModelError
        If the regimen cannot be understood, or is of a drug that the model lacks.
    OptionError
        If days or draws cannot be used.
    """
    day, chosen = _checked_days(days), _chosen(fit, patients)
    rows, failed, tried = [], 0, 0
    for group in batched(chosen, TOGETHER):
        given = [_given(patient, regimen, day[-1]) for patient in group]
        courses = latent(fit, group, day, given, draws, seed, "predict")
        failed, tried = failed + int(np.sum(~courses.ok)), tried + courses.ok.size
        for k, patient in enumerate(group):
            seen = day >= patient.start_day
            table = _summary(courses.measured[courses.ok[:, k], k][:, seen])
            who = {"patient_id": patient.id, "study": patient.study, "day": day[seen]}
            rows.append(pd.DataFrame(who | table, columns=list(COLUMNS)))
    table = pd.concat(rows, ignore_index=True)
    table.attrs |= {"failed_solves": f"{failed} of {tried}"}
    return table


def latent_courses(
    fit: Fit,
    days: ArrayLike,
    *,
    patients: Sequence[str] | None = None,
    draws: int = 400,
    regimen: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Give courses free of measurement error, with states and strengths of action.

    Parameters
    ----------
    fit, days, patients, draws, regimen, seed
        As for `predict`. The seed matters where the residual carries deviations.

    Returns
    -------
    Dataset
        ``size_mm`` and every state of the mechanism, of dims (draw, patient, day), nan before the
        patient's course begins and where it could not be solved; every action's strength, of dims
        (patient, day); ``ok``, of dims (draw, patient). Units and meanings are in the attributes.

    Raises
    ------
    DataError, DoseError, ModelError, OptionError
        As for `predict`.
    """
    day, chosen = _checked_days(days), _chosen(fit, patients)
    given = [_given(patient, regimen, day[-1]) for patient in chosen]
    courses = latent(fit, chosen, day, given, draws, seed, "courses")
    strengths = [fit.model.strengths(one, day) for one in given]
    dims = ("draw", "patient", "day")
    kind = {"unit": "mm", "about": SIZE_KINDS[fit.cohort.size_kind]}
    variables: dict[str, tuple] = {"size_mm": (dims, np.exp(courses.log_size), kind)}
    for name, about in fit.model.mechanism.states.items():
        variables[name] = (dims, courses.state[name], {"unit": "1", "about": about})
    for name in fit.model.mechanism.answers_to:
        about = {"unit": "1", "about": VOCABULARY[name].about}
        variables[name] = (dims[1:], np.stack([strength[name] for strength in strengths]), about)
    variables["ok"] = (dims[:2], courses.ok)
    coords = {
        "draw": np.arange(len(courses.ok)),
        "patient": [patient.key for patient in chosen],
        "day": ("day", day, {"unit": "day", "about": "days from the first dose"}),
    }
    return xr.Dataset(variables, coords)


def replicated(fit: Fit, *, draws: int = 400, seed: int) -> xr.Dataset:
    """Draw every observed scan anew from the posterior, for predictive checks.

    Where the residual carries deviations, each patient's series is simulated from its first day.

    Sizes are as `predict` gives them: before rounding, and not censored; to compare with censored
    scans, apply their limit.

    Parameters
    ----------
    fit : Fit
    draws : int
        Draws of the posterior, evenly spaced; at most as many as there are.
    seed : int

    Returns
    -------
    Dataset
        ``size_mm``, of dims (draw, obs), with the coordinates of the fit's ``observed_data``; nan
        where the course could not be solved.

    Raises
    ------
    OptionError
        If draws cannot be used.
    """
    pieces = []
    for group in batched(fit.cohort, TOGETHER):
        day = padded([patient.day for patient in group])
        given = [patient.regimens for patient in group]
        courses = latent(fit, group, day, given, draws, seed, "replicated", anew=True)
        pieces += [courses.measured[:, k, : len(patient.day)] for k, patient in enumerate(group)]
    size = np.concatenate(pieces, axis=1)
    seen = fit.tree["observed_data"].to_dataset()
    about = {"unit": "mm", "about": SIZE_KINDS[fit.cohort.size_kind]}
    coords = {"draw": np.arange(len(size)), **seen.coords}
    return xr.Dataset({"size_mm": (("draw", "obs"), size, about)}, coords)


def _summary(size: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and quantiles over draws (draws, days); nan if there is no draw."""
    if not len(size):
        size = np.full((1, size.shape[1]), np.nan)
    cuts = np.quantile(size, list(QUANTILES.values()), axis=0)
    return {"mean": size.mean(axis=0), **dict(zip(QUANTILES, cuts, strict=True))}


def _checked_days(days: ArrayLike) -> np.ndarray:
    day = np.unique(np.asarray(days, float))
    if not day.size or not np.isfinite(day).all():
        raise OptionError(f"days are {days}; give one or more finite numbers.")
    return day


def _chosen(fit: Fit, names: Sequence[str] | None) -> tuple[Patient, ...]:
    if names is None:
        return fit.cohort.patients
    wanted = {fit.cohort[name].key for name in ([names] if isinstance(names, str) else names)}
    if not wanted:
        raise OptionError("No patient was asked for; name one, or leave patients out for all.")
    return tuple(patient for patient in fit.cohort if patient.key in wanted)


def _given(patient: Patient, regimen: str | None, until: float) -> Mapping[str, Regimen]:
    """Doses up to a day: the patient's, or from day 0 on those of a regimen in words."""
    if regimen is None:
        return patient.treated_until(until)
    given = {name: one.until(BEFORE_DAY_0) for name, one in patient.regimens.items()}
    for name, one in planned(parse_schedules(regimen, labelled()), until).items():
        given[name] = given.get(name, Regimen.none()) + one
    return {name: one for name, one in given.items() if len(one)}
