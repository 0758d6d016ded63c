"""Whether whole patients are like patients of the population: normalised prediction errors.

Each patient's series is drawn many times as that of a new patient, with effects from the learnt
population on the same days under the same doses. The real series is freed of its mean and of its
correlations as these drawn ones are, and placed among them (doi:10.1007/s11095-006-9067-5). Errors
of a model that is right are independent standard normals, within a patient too.
"""

from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from scipy.linalg import solve_triangular

from pdmodel.data import Patient
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.influence import coordinates, traits
from pdmodel.keys import key_of
from pdmodel.newcomers import populations
from pdmodel.predict import replicated

SMALLEST = 1.0
"""mm; sizes below count as this on the log scale."""
HALF_MM = 0.5
"""What rounding to whole mm hides on each side."""
RIDGE = 1e-9
"""Added to the diagonal of a covariance, as a share of its trace, so that it can be factored."""
LEAST_REPLICATES = 100
"""Solved new patients below which a patient has no errors."""


def from_population(fit: Fit, *, draws: int = 1000, seed: int = 0) -> Fit:
    """Give every patient of a fit new effects, drawn from the population that was learnt.

    Correlations and covariates of the fit are kept.

    Parameters
    ----------
    fit : Fit
        Hierarchical.
    draws : int
        Draws of the population, evenly spaced; at most as many as there are.
    seed : int

    Returns
    -------
    Fit
        With one chain; of one draw of the population one new patient in each patient's place.

    Raises
    ------
    OptionError
        If the fit is of patients alone.
    """
    if fit.pooling != "partial":
        raise OptionError(
            "This fit has no population (pooling 'none'), so that nobody can be compared with it; "
            "fit with --pooling partial."
        )
    options = fit.manifest["options"]
    of = coordinates(fit.model, options)
    own = traits(of, fit.cohort, options)
    names, population = populations(of, own, fit, draws)
    shape = (len(population.shared), len(fit.cohort), len(of.effects) + 1)
    z = jax.random.normal(key_of(seed, "strangers"), shape)
    moved = population.centre + (population.root @ z[..., :-1, None])[..., 0]
    values: dict[str, tuple] = {name: (("chain", "draw"), x[None]) for name, x in names.items()}
    dims = ("chain", "draw", "patient")
    for k, q in enumerate(of.effects):
        values[q.name] = (dims, np.asarray(q.natural(moved[..., k]))[None])
    if of.anchor is not None:
        start = population.start + population.start_sd * z[..., -1]
        values[of.anchor.name] = (dims, np.exp(np.asarray(start))[None])
    tree = fit.tree.copy()
    tree["posterior"] = xr.DataTree(xr.Dataset(values, {"patient": list(fit.cohort.keys)}))
    return replace(fit, tree=tree)


def npde(fit: Fit, *, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Compute normalised prediction distribution errors of all scans.

    A size that was rounded is drawn within its mm. The error of one too small to measure is drawn
    below that of its limit, given the scans before it (doi:10.1007/s10928-012-9264-2 draws it
    whatever was before it, so that one vanished lesion seems to jump from scan to scan).

    Parameters
    ----------
    fit : Fit
        Hierarchical.
    draws : int
        Of the population, one new patient of each in each place; at most as many as there are.
    seed : int

    Returns
    -------
    DataFrame
        Columns ``patient`` (key), ``day, size_mm, censored``; ``predicted``, the median of the
        new patients in mm; and ``npde``. nan where too few courses could be solved.

    Raises
    ------
    OptionError
        If the fit is of patients alone.
    """
    drawn = replicated(from_population(fit, draws=draws, seed=seed), draws=draws, seed=seed)
    size, ends = drawn["size_mm"].to_numpy(), np.cumsum([len(p.day) for p in fit.cohort])
    rng = np.random.default_rng([seed, len(ends)])
    tables = []
    for p, part in zip(fit.cohort, np.split(size, ends[:-1], axis=1), strict=True):
        solved = part[np.isfinite(part).all(axis=1)]
        table = {"patient": p.key, "day": p.day, "size_mm": p.size_mm, "censored": p.censored}
        middle = errors = np.full(len(p.day), np.nan)
        if len(solved) >= LEAST_REPLICATES:
            middle, errors = np.median(solved, axis=0), _errors(p, solved, rng)
        tables.append(pd.DataFrame(table | {"predicted": middle, "npde": errors}))
    return pd.concat(tables, ignore_index=True)


def summary(errors: np.ndarray) -> dict[str, float]:
    """Test errors (scans,) against a standard normal.

    Returns
    -------
    dict
        ``mean, sd``; and p values ``p_mean`` (t test), ``p_variance`` (chi-square) and ``p_normal``
        (Shapiro-Wilk), which take errors as independent.
    """
    count, spread = len(errors), float(np.var(errors, ddof=1))
    chi = stats.chi2.cdf((count - 1) * spread, count - 1)
    return {
        "mean": float(np.mean(errors)),
        "sd": float(np.sqrt(spread)),
        "p_mean": float(stats.ttest_1samp(errors, 0.0).pvalue),  # type: ignore[union-attr]  # SciPy's
        "p_variance": float(2 * min(chi, 1 - chi)),
        "p_normal": float(stats.shapiro(errors).pvalue),
    }


def _errors(p: Patient, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Errors of a patient's series among drawn ones (replicates, visits)."""
    x = np.log(np.maximum(drawn, SMALLEST))
    spread = np.atleast_2d(np.cov(x, rowvar=False))
    root = np.linalg.cholesky(spread + RIDGE * np.trace(spread) * np.eye(len(spread)))
    others = solve_triangular(root, (x - x.mean(axis=0)).T, lower=True)
    read = p.size_mm + np.where(p.censored, 0.0, rng.uniform(-HALF_MM, HALF_MM, len(p.day)))
    size, mine = np.log(np.maximum(read, SMALLEST)), np.zeros(len(read))
    for k in range(len(size)):
        mine[k] = (size[k] - x[:, k].mean() - root[k, :k] @ mine[:k]) / root[k, k]
        if p.censored[k] and (below := others[k][others[k] <= mine[k]]).size:
            mine[k] = rng.choice(below)
    place = (np.sum(others < mine[:, None], axis=1) + 0.5) / (len(x) + 1)
    return stats.norm.ppf(place)
