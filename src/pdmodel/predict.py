"""What a fit says about courses and scans: past ones again, coming ones, and under other doses."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import batched

import jax
import jax.numpy as jnp
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
from pdmodel.keys import key_of
from pdmodel.library import labelled
from pdmodel.model import Model
from pdmodel.trajectory import TOGETHER, Trajectories, trajectories

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

    A prediction is of a scan as it would be measured: the latent course with the model's residual
    error on top, before rounding, and below 5 mm too, where a table would only say "too small".
    The error is that of a fresh measurement; it knows nothing of the errors of earlier scans.

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
        courses = solved(fit, group, day, given, draws)
        size = _measured(fit, group, np.tile(day, (len(group), 1)), courses, seed, "predict")
        failed, tried = failed + int(np.sum(~courses.ok)), tried + courses.ok.size
        for k, patient in enumerate(group):
            seen = day >= patient.start_day
            table = _summary(size[courses.ok[:, k], k][:, seen])
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
) -> xr.Dataset:
    """Give courses free of measurement error, with states and strengths of action.

    Parameters
    ----------
    fit, days, patients, draws, regimen
        As for `predict`.

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
    courses = solved(fit, chosen, day, given, draws)
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
        courses = solved(fit, group, day, [patient.regimens for patient in group], draws)
        size = _measured(fit, group, day, courses, seed, "replicated")
        pieces += [size[:, k, : len(patient.day)] for k, patient in enumerate(group)]
    size = np.concatenate(pieces, axis=1)
    seen = fit.tree["observed_data"].to_dataset()
    about = {"unit": "mm", "about": SIZE_KINDS[fit.cohort.size_kind]}
    coords = {"draw": np.arange(len(size)), **seen.coords}
    return xr.Dataset({"size_mm": (("draw", "obs"), size, about)}, coords)


def solved(
    fit: Fit,
    patients: Sequence[Patient],
    days: np.ndarray,
    regimens: Sequence[Mapping[str, Regimen]],
    draws: int,
) -> Trajectories:
    """Solve the courses of posterior draws of some patients, with the steps of the fit.

    Parameters
    ----------
    fit : Fit
    patients : sequence of Patient
        Of the fit's cohort.
    days : ndarray, shape (days,) or (patients, days)
        Rising.
    regimens : sequence of mapping of str to Regimen
        What each patient is given.
    draws : int
        As for `predict`.

    Returns
    -------
    Trajectories

    Raises
    ------
    OptionError
        If `draws` is below 1.
    """
    values = _values(fit, patients, draws)
    starts = [patient.start_day for patient in patients]
    accuracy = fit.manifest["options"]["accuracy"]
    own = [fit.model.kinetics(patient.covariates) for patient in patients]
    return trajectories(fit.model, values, starts, days, regimens, accuracy, own)


def padded(days: Sequence[np.ndarray]) -> np.ndarray:
    """Bring the days of several patients to one length, repeating each one's last."""
    longest = max(len(day) for day in days)
    return np.stack([np.pad(day, (0, longest - len(day)), mode="edge") for day in days])


def _values(fit: Fit, patients: Sequence[Patient], draws: int) -> dict[str, np.ndarray]:
    if draws < 1:
        raise OptionError(f"draws is {draws}; it must be >= 1.")
    place = {key: k for k, key in enumerate(fit.cohort.keys)}
    mine = [place[patient.key] for patient in patients]
    return {name: value[:, mine] for name, value in fit.values(draws).items()}


def _measured(
    fit: Fit, patients: Sequence[Patient], day: np.ndarray, courses: Trajectories,
    seed: int, purpose: str,
) -> np.ndarray:  # fmt: skip
    """Add residual error to courses: sizes in mm of shape (draws, patients, days)."""
    values = _values(fit, patients, len(courses.ok))
    sizes = []
    for k, patient in enumerate(patients):
        key, log_size = key_of(seed, purpose, patient.key), courses.log_size[:, k]
        known = np.isfinite(log_size)
        begun = np.maximum(day[k], patient.start_day)
        mine = {name: value[:, k] for name, value in values.items()}
        size = _scattered(fit.model, key, np.where(known, log_size, 0.0), begun, mine)
        sizes.append(np.where(known, size, np.nan))
    return np.stack(sizes, axis=1)


@partial(jax.jit, static_argnums=0)
def _scattered(
    model: Model, key: jax.Array, log_size: jax.Array, day: jax.Array, values: dict
) -> jax.Array:
    """Sizes of one patient, (draws, days)."""
    constants = {k: jnp.asarray(v) for k, v in model.constants.items()}

    def one(key: jax.Array, expected: jax.Array, p: dict) -> jax.Array:
        return model.residual.sample(key, expected, day, constants | p)

    return jax.vmap(one)(jax.random.split(key, len(log_size)), log_size, values)


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
