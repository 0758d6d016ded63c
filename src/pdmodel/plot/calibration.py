"""Whether places of scans in their forecasts are even: the numbers behind the PIT plot."""

import numpy as np
import pandas as pd
from arviz_stats import ecdf_utils
from scipy import stats

LEVEL = 0.9
SIMULATIONS = 1000
"""Of even scans, for the simultaneous band."""
MOST_BARS, LEAST_SCANS = 20, 10


def ecdf_difference(pit: np.ndarray, *, seed: int = 0, level: float = LEVEL) -> pd.DataFrame:
    """How far the share of scans below each place is from that place.

    Parameters
    ----------
    pit : ndarray, shape (scans,)
    seed : int
        Of the simulations for the band.
    level : float
        Probability that the whole curve of even, independent scans stays inside the band.

    Returns
    -------
    DataFrame
        Columns ``at, difference, low, high``; the band is ArviZ's (doi:10.1007/s11222-022-10090-6).
    """
    rng = np.random.default_rng(seed)
    at, *curves = ecdf_utils.ecdf_pit(pit, level, SIMULATIONS, rng=rng)
    names = ("difference", "low", "high")
    return pd.DataFrame({"at": at} | {n: c - at for n, c in zip(names, curves, strict=True)})


def pit_bars(pit: np.ndarray, *, level: float = LEVEL) -> pd.DataFrame:
    """Count scans in equal bins, with the band that holds all bars of even, independent scans.

    Returns
    -------
    DataFrame
        Columns ``left, right, share`` (1 if even), ``low, high``: binomial quantiles, so far out
        that all bars together stay inside with probability `level` (Bonferroni).
    """
    bars = int(np.clip(len(pit) // LEAST_SCANS, 1, MOST_BARS))
    count, edges = np.histogram(pit, bars, (0.0, 1.0))
    tail = (1.0 - level) / bars / 2.0
    ends = stats.binom.ppf([tail, 1.0 - tail], len(pit), 1.0 / bars) * bars / len(pit)
    share = count * bars / len(pit)
    columns = {"left": edges[:-1], "right": edges[1:], "share": share}
    return pd.DataFrame(columns | {"low": ends[0], "high": ends[1]})
