"""What a fit says of each parameter: moments, mixing of the chains, and what the data taught."""

from itertools import combinations

import arviz as az
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pdmodel.fit import Fit
from pdmodel.influence import population_scales

PRIOR_DRIVEN, LEARNT = 0.2, 0.5
"""Contraction of the sd below which data say next to nothing, from which they say much."""
MIXING = ("r_hat", "ess_bulk", "ess_tail")
RIDGE = 0.95
"""Rank correlation of two parameters from which only a combination of them is known."""
ON_A_RIDGE = "lie on a ridge: only a combination of them is known"
QUIETLY = np.errstate(all="ignore")  # draws may be sick; that shows as nan


@QUIETLY
def of_population(fit: Fit) -> pd.DataFrame:
    """Summarize what is common to all patients; no rows if nothing is."""
    options = fit.manifest["options"]
    scales = population_scales(fit.model, options) if fit.pooling == "partial" else []
    columns = ("parameter", "unit", "mean", "sd", "q05", "median", "q95", *MIXING, "contraction")
    rows, worth = [], fit.manifest.get("effective_share", 1.0)
    for name, unit, transform, prior_sd in scales:
        x = fit.posterior[name].to_numpy()
        summary = (x.mean(), x.std(), *np.quantile(x, (0.05, 0.5, 0.95)))
        spread = (*_mixing(x, worth), _contraction(x, transform, prior_sd))
        rows.append((name, unit, *map(float, (*summary, *spread))))
    return _in_words(pd.DataFrame(rows, columns=list(columns)))


@QUIETLY
def of_patients(fit: Fit) -> pd.DataFrame:
    """Summarize each patient's own parameters, a row for each patient and parameter."""
    alone, worth = fit.pooling == "none", fit.manifest.get("effective_share", 1.0)
    tables = []
    for q in fit.model.free if alone else fit.model.individual:
        x = fit.posterior[q.name].to_numpy()
        prior_sd = q.single_sd if alone else _newcomer_sd(fit, q.name, q.transform)
        numbers = dict(zip(MIXING, _mixing(x, worth), strict=True))
        names = {"patient": list(fit.cohort.keys), "parameter": q.name}
        contraction = {"contraction": _contraction(x, q.transform, prior_sd)}
        tables.append(pd.DataFrame(names | numbers | contraction))
    table = pd.concat(tables).sort_values("patient", kind="stable", ignore_index=True)
    return _in_words(table)


@QUIETLY
def ridges(fit: Fit) -> tuple[str, ...]:
    """Say which pairs of parameters are known in combination only: a sentence for each pair.

    Pairs are those of the population, and those of a patient's own parameters in most patients;
    both by rank correlation.
    """
    options = fit.manifest["options"]
    scales = population_scales(fit.model, options) if fit.pooling == "partial" else []
    found = []
    names = [name for name, *_ in scales]
    drawn = [_ranked(fit.posterior[name].to_numpy().reshape(-1, 1)) for name in names]
    for j, k in combinations(range(len(names)), 2):
        (r,) = _correlation(drawn[j], drawn[k])
        if abs(r) > RIDGE:
            found.append(f"{names[j]} and {names[k]} {ON_A_RIDGE} (rank correlation {r:.2f})")
    own = [q.name for q in (fit.model.free if fit.pooling == "none" else fit.model.individual)]
    draws = [fit.posterior[name].to_numpy() for name in own]
    drawn = [_ranked(x.reshape(-1, x.shape[-1])) for x in draws]
    for j, k in combinations(range(len(own)), 2):
        r = _correlation(drawn[j], drawn[k])
        on = np.abs(r) > RIDGE
        if np.mean(on) > 0.5:
            found.append(
                f"{own[j]} and {own[k]} of single patients {ON_A_RIDGE} in {on.sum()} of "
                f"{len(r)} patients (rank correlation {np.median(r[on]):.2f})"
            )
    return tuple(found)


def _ranked(x: np.ndarray) -> np.ndarray:
    """Standardized ranks over the draws, (draws, columns)."""
    rank = rankdata(x, axis=0)
    return (rank - rank.mean(axis=0)) / rank.std(axis=0)


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.mean(one * other, axis=0)


def _newcomer_sd(fit: Fit, name: str, transform: str) -> float:
    """Sd of a new patient's value, transformed scale, under the population as it was learnt."""
    typical = _unbounded(fit.posterior[f"{name}_typical"].to_numpy(), transform)
    between = fit.posterior[f"{name}_sd"].to_numpy()
    return float(np.sqrt(np.var(typical) + np.mean(between**2)))


def _mixing(x: np.ndarray, worth: float) -> tuple[np.ndarray, ...]:
    """R-hat, bulk and tail effective draws of draws of shape (chains, draws, ...).

    They are nan where draws are not finite or never move. Each draw is worth `worth` of one.
    """
    finite = np.isfinite(x).all(axis=(0, 1))
    tail = az.ess(x, method="tail", prob=(0.05, 0.95))
    found = (az.rhat(x), worth * az.ess(x, method="bulk"), worth * tail)
    return tuple(np.where(finite, value, np.nan) for value in found)


def _unbounded(x: np.ndarray, transform: str) -> np.ndarray:
    if transform == "log":
        return np.log(x)
    return np.log(x) - np.log1p(-x) if transform == "logit" else x


def _contraction(x: np.ndarray, transform: str, prior_sd: float | None) -> np.ndarray:
    """1 - posterior sd / prior sd; nan where draws are not finite or never move."""
    sd = np.std(_unbounded(x, transform), axis=(0, 1))
    return np.where(sd > 0, 1.0 - sd / (prior_sd or np.nan), np.nan)


def _in_words(table: pd.DataFrame) -> pd.DataFrame:
    x = table["contraction"].to_numpy(float)
    words = ["unknown", "prior-driven", "partly"]
    kind = np.select([np.isnan(x), x < PRIOR_DRIVEN, x < LEARNT], words, "learnt")
    return table.assign(informed=kind)
