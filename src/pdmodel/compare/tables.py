"""Models side by side: mean scores, paired differences with intervals over patients, coverage."""

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
import pandas as pd

from pdmodel.errors import OptionError
from pdmodel.integration import COARSE, HEAVY

SCAN = ["design", "patient", "day"]
"""What tells a scan that is ahead from all others."""
RESAMPLES = 2000
INTERVAL = (0.025, 0.975)
COVERED = (50, 90)
"""Percent of the intervals whose coverage is told."""
FURTHEST = 3
"""Scans ahead told apart."""
PAIRED = (
    "design", "model", "against", "patients", "scans", "difference", "low", "high",
    "mae_difference", "mae_low", "mae_high",
)  # fmt: skip
"""Columns of `differences`."""


class Interval(NamedTuple):
    """A mean, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrapped(
    value: np.ndarray, patient: np.ndarray, *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """Give the mean over scans with an interval by resampling patients.

    Parameters
    ----------
    value : ndarray, shape (scans,)
    patient : ndarray, shape (scans,)
        Whose scan each is.
    seed : int
        The same patients are drawn for every value of the same patients.
    resamples : int

    Returns
    -------
    Interval
        Percentiles of the means of the resamples (doi:10.1214/aos/1176344552).
    """
    _, whose = np.unique(patient, return_inverse=True)
    total, scans = np.bincount(whose, value), np.bincount(whose)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(total), size=(resamples, len(total)))
    means = total[chosen].sum(axis=1) / scans[chosen].sum(axis=1)
    low, high = np.quantile(means, INTERVAL)
    return Interval(float(value.mean()), float(low), float(high))


def covered(pit: np.ndarray, percent: int) -> float:
    """Share of scans within the central interval of a percentage; nan if there is no scan."""
    return float(np.mean(np.abs(pit - 0.5) <= percent / 200)) if len(pit) else float("nan")


def differences(scores: pd.DataFrame, *, seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Compare every two models on the same scans.

    Parameters
    ----------
    scores : DataFrame
        Columns ``model, design, patient, day, log_score, error_mm``, a row for each scan ahead.
    seed, resamples : int
        Of the bootstrap over patients.

    Returns
    -------
    DataFrame
        ``design, model, against, patients, scans, difference, low, high``: of the log score in
        nats per scan, above 0 where `model` is better; and ``mae_difference, mae_low, mae_high``
        of the absolute error in mm, below 0 where it is better.

    Raises
    ------
    OptionError
        If two models were not scored on the same scans.
    """
    rows = []
    for design, part in scores.groupby("design", sort=False):
        by_model = part.groupby("model", sort=False)
        wide = {str(name): one.set_index(SCAN).sort_index() for name, one in by_model}
        _same_scans(str(design), wide)
        for model, against in permutations(wide, 2):
            a, b = wide[model], wide[against]
            patient = a.index.get_level_values("patient").to_numpy()
            row = {"design": design, "model": model, "against": against,
                   "patients": len(set(patient)), "scans": len(a)}  # fmt: skip
            for head, column in (("", "log_score"), ("mae_", "error_mm")):
                value = (a[column] - b[column]).to_numpy()
                found = bootstrapped(value, patient, seed=seed, resamples=resamples)
                row[f"{head}difference"] = found.mean
                row |= {f"{head}low": found.low, f"{head}high": found.high}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(PAIRED))


def _same_scans(design: str, wide: Mapping[str, pd.DataFrame]) -> None:
    first, *others = wide
    for name in others:
        if not wide[name].index.equals(wide[first].index):
            lone = wide[name].index.symmetric_difference(wide[first].index)[0]
            raise OptionError(
                f"{first} and {name} were not scored on the same scans of design {design}: patient "
                f"{lone[1]!r} has one on day {lone[2]:g} in one of them only. Score both again."
            )


def summary(scores: pd.DataFrame, *, seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Sum up every model under every design.

    Parameters
    ----------
    scores : DataFrame
        As `differences` takes them, with the rest of the columns of `Scores`.
    seed, resamples : int
        Of the bootstrap over patients.

    Returns
    -------
    DataFrame
        ``design, model, patients, scans, log_score`` (mean, nats per scan), ``floored`` (scans at
        the least probability), ``mae_mm, last_mae_mm`` (of the median and of the last value
        carried forward), ``mae_difference, mae_low, mae_high`` (the first less the second),
        ``unsolved`` (share of the draws), ``cover50, cover90`` (shares of scans within intervals),
        and ``log_score_K, cover50_K, cover90_K`` of the K-th scan ahead.
    """
    rows = []
    for (design, model), part in scores.groupby(["design", "model"], sort=False):
        gap = (part["error_mm"] - part["last_error_mm"]).to_numpy()
        patient = part["patient"].to_numpy()
        found = bootstrapped(gap, patient, seed=seed, resamples=resamples)
        row = {
            "design": design, "model": model, "patients": part["patient"].nunique(),
            "scans": len(part), "log_score": part["log_score"].mean(),
            "floored": int(part["floored"].sum()), "mae_mm": part["error_mm"].mean(),
            "last_mae_mm": part["last_error_mm"].mean(), "mae_difference": found.mean,
            "mae_low": found.low, "mae_high": found.high, "unsolved": part["unsolved"].mean(),
        }  # fmt: skip
        row |= {f"cover{c}": covered(part["pit"].to_numpy(), c) for c in COVERED}
        for k in range(1, FURTHEST + 1):
            some = part[part["ahead"] == k]
            row[f"log_score_{k}"] = some["log_score"].mean() if len(some) else np.nan
            row |= {f"cover{c}_{k}": covered(some["pit"].to_numpy(), c) for c in COVERED}
        rows.append(row)
    return pd.DataFrame(rows)


def lines(summed: pd.DataFrame, pairs: pd.DataFrame, against: Sequence[str] = ()) -> list[str]:
    """Write the table in words and numbers, a block for each design.

    Parameters
    ----------
    summed, pairs : DataFrame
        From `summary` and `differences`.
    against : sequence of str
        Models that all others are compared with, where they are in the table.
    """
    out = []
    for design, part in summed.groupby("design", sort=False):
        head = part.iloc[0]
        said = (
            f"{design}: {head['patients']} patients, {head['scans']} scans ahead; MAE of the last "
            f"value {head['last_mae_mm']:.2f} mm"
        )
        here = [name for name in against if name in set(part["model"])]
        mine = pairs[pairs["design"] == design]
        named = ["model", "log score", *(f"vs {name}" for name in here), "MAE mm", "50 %", "90 %"]
        out += ["", said, *_aligned([named, *(_cells(r, mine, here) for _, r in part.iterrows())])]
    return out[1:]


def doubts(scores: pd.DataFrame) -> list[str]:
    """Name the models of whose folds some must not be trusted, a line each.

    Parameters
    ----------
    scores : DataFrame
        Columns ``model, fold, pareto_k, off_nats`` of `pdmodel.compare.held_out`.
    """
    out = []
    for model, part in scores.groupby("model", sort=False):
        folds = part.groupby("fold")[["pareto_k", "off_nats"]].first()
        bad = ~((folds["pareto_k"] <= HEAVY) & (folds["off_nats"] <= COARSE))
        if bad.any():
            k, off = folds.max()
            out.append(
                f"{model}: {bad.sum()} of {len(folds)} folds must not be trusted (Pareto k up to "
                f"{k:.2f}, to be at most {HEAVY}; likelihood off by up to {off:.1f} nats, to be at "
                f"most {COARSE}); fit with --method nuts."
            )
    return out


def _cells(row: pd.Series, pairs: pd.DataFrame, against: Sequence[str]) -> list[str]:
    floored = f" ({row['floored']} floored)" if row["floored"] else ""
    cells = [str(row["model"]), f"{row['log_score']:.3f}{floored}"]
    mine = pairs[pairs["model"] == row["model"]].set_index("against")
    for other in against:
        if other in mine.index:
            one = mine.loc[other]
            cells += [f"{one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"]
        else:
            cells += ["-"]
    return [*cells, f"{row['mae_mm']:.2f}", f"{row['cover50']:.2f}", f"{row['cover90']:.2f}"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lined = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return [f"  {line.rstrip()}" for line in lined]
