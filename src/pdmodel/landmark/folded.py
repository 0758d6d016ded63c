"""An honest validation on the patients of a run: each under a population that is learnt anew."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from pdmodel.compare.folds import folds_of
from pdmodel.compare.learning import Learnt, laid_out_for, learnt, values_given
from pdmodel.errors import OptionError
from pdmodel.fit import Fit, quiet
from pdmodel.landmark.ahead import foretold
from pdmodel.landmark.outcomes import landmark_cohort
from pdmodel.nuts import Progress


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
        As of `forecasts`, with a column ``fold``; ``attrs["folds"]`` tells the largest Pareto k
        of the folds' populations and the largest error of their likelihoods in nats.

    Raises
    ------
    OptionError
        If an option cannot be used, the fit has no population, or nobody had a scan by the day.
    """
    if fit.pooling != "partial":
        raise OptionError("This fit has no population: it was made with pooling='none'.")
    whole = fit.cohort
    _, known = landmark_cohort(whole, day)
    fold = folds_of(whole, folds, seed)
    laid, method = laid_out_for(fit), fit.manifest["options"]["method"]
    how = {"seed": seed, "method": "quick" if method == "quick" else "nuts", "report": report}
    populations = [learnt(laid, fold != k, **how) for k in range(folds)]
    seen = np.array([int(np.sum(patient.day <= day)) for patient in whole])
    x = np.stack([one.x for one in populations], axis=1)
    values = values_given(laid, seen, x[:, fold], draws=draws, seed=seed)
    place = np.array([k for k, patient in enumerate(whole) if patient.day[0] <= day])
    posterior = xr.Dataset({
        name: (("chain", "draw", "patient"), value[None][:, :, place])
        for name, value in values.items()
    })  # fmt: skip
    cohort = replace(whole, patients=tuple(known))
    mine = replace(fit, cohort=cohort, tree=xr.DataTree.from_dict({"posterior": posterior}))
    table = foretold(mine, whole, day, draws, seed)
    return _judged(table.assign(fold=fold[place] + 1), table.attrs, populations)


def _judged(table: pd.DataFrame, attrs: dict, populations: list[Learnt]) -> pd.DataFrame:
    k, off = (max(getattr(one, name) for one in populations) for name in ("pareto_k", "off_nats"))
    folds = {"count": len(populations), "pareto_k": k, "off_nats": off}
    table.attrs = {**attrs, "folds": folds}
    return table
