"""Observed against replicated scans, visit by visit: the numbers behind the predictive check.

Sizes below 5 mm are recorded as "too small" only, so both sides count as 5 mm there.
"""

from collections.abc import Iterator

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
COLUMNS = ("scans", "statistic", "observed", "low", "middle", "high")
APART_DAYS, BINS, LEAST_SCANS = 14.0, 4, 15
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
    parts = _parted(fit, replicates, np.array(EDGES))
    rows = [(_name(k), *row) for k, _, several in parts for row in several]
    return pd.DataFrame(rows, columns=["visit", *COLUMNS])


def by_bins(fit: Fit, replicates: xr.Dataset, *, corrected: bool = False) -> pd.DataFrame:
    """Compare observed scans with replicated ones in bins of time, as `time_edges` parts them.

    Parameters
    ----------
    fit : Fit
    replicates : Dataset
        As `pdmodel.predict.replicated` gives it.
    corrected : bool
        Whether each size, observed and replicated, is brought to the middle patient of its bin:
        times the median of the bin's predictions, over its own (prediction correction,
        doi:10.1208/s12248-011-9255-z). A prediction is the median of the scan's replicates, so of
        the patient's own posterior; in that paper it is of the typical patient. No share of scans
        too small is told then.

    Returns
    -------
    DataFrame
        As `by_visit`, with columns ``first, last, day`` (days of the first, last and middle scan of
        the bin) in place of ``visit``.
    """
    parts = _parted(fit, replicates, time_edges(_observed(fit)[0]), corrected=corrected)
    spans = [
        (tuple(float(f(day)) for f in (np.min, np.max, np.median)), several)
        for _, day, several in parts
    ]
    rows = [(*span, *row) for span, several in spans for row in several]
    return pd.DataFrame(rows, columns=["first", "last", "day", *COLUMNS])


def _parted(
    fit: Fit, replicates: xr.Dataset, edges: np.ndarray, *, corrected: bool = False
) -> Iterator[tuple[int, np.ndarray, list[tuple]]]:
    """Compare scans part by part: its number, the days of its scans, and rows of `COLUMNS`."""
    day, observed = _observed(fit)
    drawn = _solved(replicates)
    place = np.searchsorted(edges, day, side="left")
    factor = correction(drawn, place) if corrected else np.ones(len(day))
    observed, drawn = observed * factor, drawn * factor
    for k in np.unique(place):
        here = place == k
        compared = _compared(observed[here], drawn[:, here])
        if corrected:
            compared = [row for row in compared if row[0] != "too_small"]
        yield int(k), day[here], [(int(here.sum()), *row) for row in compared]


def correction(drawn: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Give what brings each scan to the middle patient of its bin, (scans,).

    Parameters
    ----------
    drawn : ndarray, shape (draws, scans)
        Replicates in mm.
    place : ndarray of int, shape (scans,)
        Bin of each scan.
    """
    own = np.median(drawn, axis=0)
    middle = {k: np.median(own[place == k]) for k in np.unique(place)}
    return np.array([middle[k] for k in place]) / own


def corrected_scans(fit: Fit, replicates: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Days and sizes in mm of the scans that were fitted, as `by_bins` corrects them."""
    day, observed = _observed(fit)
    place = np.searchsorted(time_edges(day), day, side="left")
    return day, observed * correction(_solved(replicates), place)


def time_edges(day: np.ndarray) -> np.ndarray:
    """Days that part scans (scans,) into bins, each the last of its bin.

    Baseline is one bin, up to day 0. Later, a bin ends where no scan was made for `APART_DAYS`; or
    where such gaps are fewer than `BINS`, since visits run into each other, at quantiles. A bin
    that would hold less than `LEAST_SCANS` scans goes on.
    """
    later = np.sort(day[day > 0])
    ends = later[:-1][np.diff(later) > APART_DAYS]
    if len(ends) < BINS:
        ends = np.quantile(later, np.arange(1, BINS) / BINS) if len(later) else later
    kept = [0.0]
    for end in ends:
        here = int(np.sum((later > kept[-1]) & (later <= end)))
        if min(here, int(np.sum(later > end))) >= LEAST_SCANS:
            kept.append(float(end))
    return np.array(kept)


def coverage(fit: Fit, replicates: xr.Dataset) -> dict[float, float]:
    """Share of scans inside their own 50 % and 90 % intervals; for scans that were fitted.

    Where the interval ends below 5 mm, a scan that was too small counts as inside.
    """
    observed = _observed(fit)[1]
    drawn = _solved(replicates)
    found = {}
    for level in (0.5, 0.9):
        low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
        found[level] = float(np.mean((observed >= low) & (observed <= high)))
    return found


def _observed(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Days and sizes in mm (scans,) of the scans that were fitted, at least 5 mm."""
    seen = fit.tree["observed_data"].to_dataset()
    size = np.where(seen["censored"], SMALLEST_MM, seen["size_mm"].to_numpy())
    return seen["obs_day"].to_numpy(), np.maximum(size, SMALLEST_MM)


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
