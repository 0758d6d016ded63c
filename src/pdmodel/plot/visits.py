"""Observed against replicated scans, visit by visit: the numbers behind the predictive check.

Sizes below 5 mm are recorded as "too small" only, so both sides count as 5 mm there.
"""

import numpy as np
import pandas as pd
import xarray as xr

from pdmodel.fit import Fit
from pdmodel.residual import SMALLEST_MM

EDGES = (0.0, 63.0, 105.0, 147.0, 210.0, 294.0, 420.0)
"""Days that part the visits; up to the first is baseline. The first three hold one visit each
where scans are six weeks apart."""
QUANTILES = (0.1, 0.5, 0.9)
BAND = (0.05, 0.5, 0.95)
FEW = 5
"""Of fewer scans at a visit only the median is compared."""


def by_visit(fit: Fit, replicates: xr.Dataset) -> pd.DataFrame:
    """Compare quantiles of observed scans with those of scans drawn anew from the fit.

    Parameters
    ----------
    fit : Fit
    replicates : Dataset
        As `pdmodel.predict.replicated` gives it.

    Returns
    -------
    DataFrame
        A row for each visit and statistic, with columns ``visit`` (in words), ``scans``,
        ``statistic`` ("q10", "q50", "q90" in mm, of few scans "q50" only; or "too_small", a
        share), ``observed``, and ``low, middle, high``: 5, 50 and 95 % of the replicates.
    """
    seen = fit.tree["observed_data"].to_dataset()
    day = seen["obs_day"].to_numpy()
    size, censored = seen["size_mm"].to_numpy(), seen["censored"].to_numpy()
    observed = np.maximum(np.where(censored, SMALLEST_MM, size), SMALLEST_MM)
    drawn = _solved(replicates)
    rows = []
    place = np.searchsorted(EDGES, day, side="left")
    for k in np.unique(place):
        here = place == k
        rows += [
            (_name(int(k)), int(here.sum()), *row)
            for row in _compared(observed[here], drawn[:, here])
        ]
    columns = ["visit", "scans", "statistic", "observed", "low", "middle", "high"]
    return pd.DataFrame(rows, columns=columns)


def coverage(fit: Fit, replicates: xr.Dataset) -> dict[float, float]:
    """Share of scans inside their own 50 % and 90 % intervals; for scans that were fitted.

    Where the interval ends below 5 mm, a scan that was too small counts as inside.
    """
    seen = fit.tree["observed_data"].to_dataset()
    observed = np.maximum(
        np.where(seen["censored"], SMALLEST_MM, seen["size_mm"].to_numpy()), SMALLEST_MM
    )
    drawn = _solved(replicates)
    found = {}
    for level in (0.5, 0.9):
        low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
        found[level] = float(np.mean((observed >= low) & (observed <= high)))
    return found


def _solved(replicates: xr.Dataset) -> np.ndarray:
    """Replicates (draws, scans) in mm, of draws in which every course could be solved."""
    drawn = replicates["size_mm"].transpose("draw", "obs").to_numpy()
    finite = drawn[np.isfinite(drawn).all(axis=1)]
    return np.maximum(finite if len(finite) else np.full((1, drawn.shape[1]), np.nan), SMALLEST_MM)


def _compared(observed: np.ndarray, drawn: np.ndarray) -> list[tuple]:
    rows = []
    for q in QUANTILES if len(observed) >= FEW else (0.5,):
        middle = np.quantile(drawn, q, axis=1)
        band = np.quantile(middle, BAND)
        rows.append((f"q{100 * q:.0f}", float(np.quantile(observed, q)), *map(float, band)))
    small = np.mean(drawn <= SMALLEST_MM, axis=1)
    share = float(np.mean(observed <= SMALLEST_MM))
    return [*rows, ("too_small", share, *map(float, np.quantile(small, BAND)))]


def _name(place: int) -> str:
    if place == 0:
        return "baseline"
    if place == len(EDGES):
        return f"after {EDGES[-1]:.0f}"
    return f"{EDGES[place - 1] + 1:.0f}–{EDGES[place]:.0f}"
