"""How the classes of a patient became clear, scan by scan."""

from dataclasses import replace

import numpy as np
import pandas as pd

from pdmodel.errors import OptionError
from pdmodel.explore.known import Known
from pdmodel.fit import Fit
from pdmodel.followup import exposure, visit_days
from pdmodel.latent import latent, padded
from pdmodel.newcomers import joined
from pdmodel.response import CLASSES, classify_courses, rule_named


def class_history(
    fit: Fit,
    patient: str,
    *,
    rule: str = "sitc2020",
    horizon: float = 730.0,
    draws: int = 400,
    seed: int = 0,
) -> pd.DataFrame:
    """Tell the probability of each class of a patient as it was known after each scan.

    After each scan the patient gets a posterior from the scans up to it, under the population of
    the fit (`pdmodel.newcomers.joined`), which has seen the later ones too; doses are those that
    were really given or are planned. Courses free of errors of measurement are judged up to the
    horizon, as by `pdmodel.classify`.

    Parameters
    ----------
    fit : Fit
        Hierarchical.
    patient : str
        Key, or id where unique.
    rule : str
        Name of a rule in `pdmodel.response.RULES`.
    horizon : float
        Day up to which courses are judged, or the last scan known if that is later.
    draws, seed : int, int

    Returns
    -------
    DataFrame
        A row for each scan: ``scans`` (1, 2, ...), ``day``, ``size_mm``, ``p_primary`` and so on,
        which sum to 1, and ``unsolved``, the share of draws whose course could not be solved; they
        count as not determinable.

    Raises
    ------
    DataError
        If the patient is unknown.
    OptionError
        If an option cannot be used, or the fit has no population.
    """
    judged_by, whole = rule_named(rule), fit.cohort[patient]
    if not 0.0 <= horizon < np.inf:
        raise OptionError(f"horizon is {horizon}; it must be a day, 0 or later.")
    known = [
        replace(whole.known_by(float(day)), study=f"{k:05d} {whole.study}")
        for k, day in enumerate(whole.day, start=1)
    ]
    mine = joined(fit, replace(fit.cohort, patients=tuple(known)), draws=draws, seed=seed)
    visits = [visit_days(one, horizon) for one in known]
    treated = [Known(mine, one, whole).treated for one in known]
    given = [one.treated_until(day[-1]) for one, day in zip(treated, visits, strict=True)]
    courses = latent(mine, known, padded(visits), given, draws, seed, "classify")
    rows = []
    for k, (one, day) in enumerate(zip(treated, visits, strict=True)):
        size = np.exp(courses.log_size[:, k, : len(day)])
        codes = classify_courses(
            day, size, judged_by, None, *(exposure(one, day[-1]) or (None, None))
        )
        share = np.bincount(codes, minlength=len(CLASSES)) / len(codes)
        unsolved = 1.0 - np.mean(courses.ok[:, k])
        rows.append((k + 1, one.day[-1], one.size_mm[-1], *share, unsolved))
    columns = ["scans", "day", "size_mm", *(f"p_{name}" for name in CLASSES), "unsolved"]
    return pd.DataFrame(rows, columns=columns)
