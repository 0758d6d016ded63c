"""An honest validation on the patients of a run: each under a population that is learnt anew."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from pdmodel.compare.folds import folds_of
from pdmodel.compare.learning import (
    Laid,
    Learnt,
    laid_out,
    laid_out_for,
    learnt,
    model_named,
    values_given,
)
from pdmodel.errors import OptionError
from pdmodel.fit import Fit, quiet
from pdmodel.landmark.ahead import foretold
from pdmodel.landmark.outcomes import RIVAL, landmark_cohort
from pdmodel.model import Model
from pdmodel.nuts import Progress

WALK = "flat:last_value"
"""The rival: a random walk on the last value, with a slope."""


def forecasts_by_folds(
    fit: Fit, day: float, *, folds: int = 5, draws: int = 200, seed: int,
    report: Callable[[Progress], None] = quiet,
) -> pd.DataFrame:  # fmt: skip
    """Forecast the patients of a fit as if each had not been in it.

    The population is learnt as often as there are folds, each time without the patients of one,
    who are then forecast under it from their scans up to the landmark, as by `forecasts`. The
    model and how it is fitted are those of the fit; of the fit's draws none is used. Covariates
    keep the scale that they have in all patients.

    Parameters
    ----------
    fit : Fit
        Hierarchical.
    day : float
        The landmark, in days from the first dose.
    folds : int
        Whose fold a patient is in hangs on the seed and its id alone.
    draws : int
        Draws of each patient.
    seed : int
    report : callable
        Told of progress.

    Returns
    -------
    DataFrame
        As of `forecasts`, with a column ``fold``, and the same probabilities by a random walk with
        a slope that is learnt in the same folds, as ``random_walk_p_next`` and so on;
        ``attrs["folds"]`` tells the largest Pareto k of the folds' populations and the largest
        error of their likelihoods in nats, of the model.

    Raises
    ------
    OptionError
        If an option cannot be used, the fit has no population, or nobody had a scan by the day.
    """
    if fit.pooling != "partial":
        raise OptionError("This fit has no population: it was made with pooling='none'.")
    whole = fit.cohort
    landmark_cohort(whole, day)  # refuses a day that cannot be used before anything is computed
    fold = folds_of(whole, folds, seed)
    method = fit.manifest["options"]["method"]
    how = {"seed": seed, "method": "quick" if method == "quick" else "nuts", "report": report}

    def foretold_by(model: Model, laid: Laid) -> tuple[pd.DataFrame, list[Learnt]]:
        populations = [learnt(laid, fold != k, **how) for k in range(folds)]
        x = np.stack([one.x for one in populations], axis=1)
        return _foretold(replace(fit, model=model), laid, x[:, fold], day, draws, seed), populations

    table, populations = foretold_by(fit.model, laid_out_for(fit))
    walk = model_named(WALK, ())
    rival, _ = foretold_by(walk, laid_out(walk, whole))
    place = np.array([k for k, patient in enumerate(whole) if patient.day[0] <= day])
    forecast = rival.filter(regex="^p_").add_prefix(RIVAL)
    both = pd.concat([table.assign(fold=fold[place] + 1), forecast], axis=1)
    return _judged(both, table.attrs, populations)


def _foretold(
    fit: Fit, laid: Laid, populations: np.ndarray, day: float, draws: int, seed: int
) -> pd.DataFrame:
    """Forecast all patients of a fit, each under its own draws of a population."""
    whole = fit.cohort
    _, known = landmark_cohort(whole, day)
    seen = np.array([int(np.sum(patient.day <= day)) for patient in whole])
    values = values_given(laid, seen, populations, draws=draws, seed=seed)
    place = [k for k, patient in enumerate(whole) if patient.day[0] <= day]
    posterior = xr.Dataset({
        name: (("chain", "draw", "patient"), value[None][:, :, place])
        for name, value in values.items()
    })  # fmt: skip
    cohort = replace(whole, patients=tuple(known))
    mine = replace(fit, cohort=cohort, tree=xr.DataTree.from_dict({"posterior": posterior}))
    return foretold(mine, whole, day, draws, seed)


def _judged(table: pd.DataFrame, attrs: dict, populations: list[Learnt]) -> pd.DataFrame:
    k, off = (max(getattr(one, name) for one in populations) for name in ("pareto_k", "off_nats"))
    folds = {"count": len(populations), "pareto_k": k, "off_nats": off}
    table.attrs = {**attrs, "folds": folds}
    return table
