"""Probabilities of progression and of each class after a landmark, from what was known by then."""

from dataclasses import replace
from itertools import batched

import numpy as np
import pandas as pd

from pdmodel import newcomers
from pdmodel.compare.learning import as_treated
from pdmodel.data import Cohort, Patient
from pdmodel.fit import Fit
from pdmodel.landmark.outcomes import (
    CLASS_DAYS,
    COLUMNS,
    WITHIN_DAYS,
    happened,
    judged,
    landmark_cohort,
    visits_ahead,
)
from pdmodel.latent import latent, padded
from pdmodel.response import CLASSES
from pdmodel.trajectory import TOGETHER


def forecasts(
    fit: Fit, day: float, cohort: Cohort | None = None, *, draws: int = 200, seed: int
) -> pd.DataFrame:
    """Forecast progression and classes of all patients with a scan up to a landmark day.

    Patients get a posterior from their scans up to the landmark under the population of the fit
    (`pdmodel.newcomers.joined`). Scans to come are drawn from it as they would be measured, every
    42 days after the last scan known, and are judged together with the scans known by the rule of
    `pdmodel.classify`. So classes are those that scans will show, not those of courses free of
    errors of measurement, which `classify` tells. Doses go on by the patients' schedules; where
    they came from a table, none is added after the landmark.

    The population was learnt from all scans of the fit's patients, those after the landmark too,
    so that of these patients the table is no honest validation; of new patients it is.

    Parameters
    ----------
    fit : Fit
        Hierarchical.
    day : float
        The landmark, in days from the first dose.
    cohort : Cohort, optional
        New patients; by default those of the fit.
    draws : int
        Draws of each patient, as of `pdmodel.newcomers.joined`; 4 or more.
    seed : int
        The same seed gives the same table.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, with the index and the outcomes of `happened`. ``next_visit_day`` is the
        first nominal visit after the landmark; ``p_next`` is of progression by then, ``p_6_months``
        and ``p_12_months`` within 182 and 365 days of the landmark, ``p_primary`` and so on of the
        class by then. Draws that could not be solved are left out and counted in
        ``attrs["failed_solves"]``; if none is left, probabilities are nan. Patients without a
        scan up to the landmark are left out and counted in ``attrs["no_scan"]``.

    Raises
    ------
    OptionError
        If an option cannot be used, the fit has no population, or nobody had a scan by the day.
    DataError
        If new patients are of another kind than those of the fit.
    """
    whole = fit.cohort if cohort is None else cohort
    happened(whole, day)  # refuses a day that cannot be used before anything is computed
    _, known = landmark_cohort(whole, day)
    mine = newcomers.joined(fit, replace(whole, patients=tuple(known)), draws=draws, seed=seed)
    found = foretold(mine, whole, day, draws, seed)
    found.attrs["new"] = cohort is not None
    return found


def foretold(mine: Fit, whole: Cohort, day: float, draws: int, seed: int) -> pd.DataFrame:
    """Forecast from draws of all who had a scan by the landmark, given these scans.

    Parameters
    ----------
    mine : Fit
        Of patients as they were known by the landmark.
    whole : Cohort
        With all scans.
    day, draws, seed
        As for `forecasts`.

    Returns
    -------
    DataFrame
        As `forecasts` gives it.
    """
    table = happened(whole, day)
    rows, failed, tried = [], 0, 0
    for group in batched(mine.cohort, TOGETHER):
        ahead = [visits_ahead(patient, day) for patient in group]
        treated = as_treated(group, mine.model)
        given = [patient.treated_until(day + CLASS_DAYS) for patient in treated]
        courses = latent(mine, group, padded(ahead), given, draws, seed, "landmark")
        failed, tried = failed + int(np.sum(~courses.ok)), tried + courses.ok.size
        for k, (patient, visits) in enumerate(zip(group, ahead, strict=True)):
            size = courses.measured[courses.ok[:, k], k, : len(visits)]
            rows.append((visits[0], *_shares(patient, visits, size, day)))
    said = ["next_visit_day", "p_next", *(f"p_{name}" for name in WITHIN_DAYS)]
    said += [f"p_{label}" for label in CLASSES]
    found = pd.concat([table, pd.DataFrame(rows, table.index, columns=said)], axis=1)[list(COLUMNS)]
    found.attrs = {
        "failed_solves": f"{failed} of {tried}",
        "no_scan": len(whole) - len(mine.cohort),
        "new": False,
    }
    return found


def _shares(known: Patient, visits: np.ndarray, size: np.ndarray, day: float) -> np.ndarray:
    """Shares of draws (draws, visits) that progress by each day, and of each class."""
    if not len(size):
        return np.full(1 + len(WITHIN_DAYS) + len(CLASSES), np.nan)
    found = judged(known, visits, size)
    by = [visits[0], *(day + within for within in WITHIN_DAYS.values())]
    progressed = [np.mean(found.progressed <= end) for end in by]
    return np.array([*progressed, *(np.mean(found.code == k) for k in range(len(CLASSES)))])
