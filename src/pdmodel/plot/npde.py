"""NPDE plot: whether whole series are like those of new patients from the learnt population."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from pdmodel.compare.npde import npde, summary
from pdmodel.errors import DataError
from pdmodel.fit import Fit
from pdmodel.plot.calibration import LEVEL, ecdf_difference
from pdmodel.plot.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SKY,
    VERMILLION,
    dress,
    heading,
    key_below,
    page,
    paragraph,
)

BINS = 6
FEWEST = 8
CUTS = (0.05, 0.5, 0.95)
UNIT = "NPDE (sds of a standard normal)"
NOTES = paragraph(
    "Error of a scan: its place among scans of new patients drawn from the population as it was "
    "learnt, freed of what earlier scans of the patient foretell. Right: independent standard "
    "normals, without a trend. Bands: 90 % of such errors, all of the curve together on the left, "
    "each median or percentile on the right. The population was learnt from these scans, so that "
    "faults may stay hidden."
)


def plot_npde(
    fit: Fit, *, table: pd.DataFrame | None = None, draws: int = 1000, seed: int = 0
) -> Figure:
    """Draw prediction errors against even ones, over time and over the predicted size.

    Parameters
    ----------
    fit : Fit
        Hierarchical.
    table : DataFrame, optional
        As `pdmodel.compare.npde` gives it; computed here otherwise.
    draws, seed : int
        Of the new patients, if they are drawn here.

    Returns
    -------
    Figure

    Raises
    ------
    OptionError
        If the fit is of patients alone.
    DataError
        If fewer than 8 scans have an error, or too few courses could be solved.
    """
    table = npde(fit, draws=draws, seed=seed) if table is None else table
    kept = table.dropna(subset="npde")
    if len(kept) < FEWEST:
        raise DataError(
            f"{len(kept)} scans have a prediction error, and the plot needs {FEWEST}; fit more "
            "scans, or with more draws (at least 100), and look at 'pdmodel diagnose'."
        )
    figure = page(4.6)
    left, middle, right = figure.subplots(1, 3)
    _curve(left, kept["npde"].to_numpy(float), seed)
    for ax, column, x in (
        (middle, "day", "Days from the first dose"),
        (right, "predicted", "Predicted size, median (mm)"),
    ):
        _over(ax, kept[column].to_numpy(float), kept)
        title = "Over time" if column == "day" else "Over size"
        dress(ax, title=title, x=x, y=UNIT if column == "day" else "")
    found = summary(kept["npde"].to_numpy(float))
    missing = len(table) - len(kept)
    heading(
        figure,
        f"Prediction errors of {len(kept)} scans: mean {found['mean']:z.2f}, "
        f"sd {found['sd']:.2f}" + (f"; {missing} unsolved left out" if missing else ""),
    )
    tests = (
        f"p values, as if scans were independent: of mean 0 {found['p_mean']:.2g}, of sd 1 "
        f"{found['p_variance']:.2g}, of a normal {found['p_normal']:.2g}."
    )
    key_below(figure, _keys(), 3, [*NOTES, tests])
    return figure


def percentiles(x: np.ndarray, errors: np.ndarray, *, level: float = LEVEL) -> pd.DataFrame:
    """Compare percentiles of errors in bins of x with those of standard normals.

    Parameters
    ----------
    x, errors : ndarray, shape (scans,)
    level : float
        Share of samples of standard normals whose percentile lies in its band.

    Returns
    -------
    DataFrame
        Columns ``at`` (median of x in the bin), ``scans, cut`` (0.05, 0.5 or 0.95),
        ``observed, low, high``; bins hold equal numbers of scans.
    """
    order = np.argsort(x, kind="stable")
    rows = []
    for part in np.array_split(order, max(1, min(BINS, len(x) // FEWEST))):
        count, tails = len(part), np.array([0.5 - level / 2, 0.5 + level / 2])
        for cut in CUTS:
            rank = cut * (count - 1) + 1  # of an order statistic, whose law is a Beta
            ends = stats.norm.ppf(stats.beta.ppf(tails, rank, count + 1 - rank))
            seen = float(np.quantile(errors[part], cut))
            rows.append((float(np.median(x[part])), count, cut, seen, *map(float, ends)))
    return pd.DataFrame(rows, columns=["at", "scans", "cut", "observed", "low", "high"])


def _curve(ax: Axes, errors: np.ndarray, seed: int) -> None:
    curve = ecdf_difference(stats.norm.cdf(errors), seed=seed)
    ax.fill_between(curve["at"], curve["low"], curve["high"], color=SKY, alpha=0.35, linewidth=0)
    ax.step(curve["at"], curve["difference"], where="post", color=INK, linewidth=1.2)
    ax.axhline(0.0, color=BLUE, linestyle="--", linewidth=1.0)
    ax.set_xlim(0.0, 1.0)
    dress(ax, title="All scans", x="Normal place of the error (share)", y="Share below, less even")


def _over(ax: Axes, x: np.ndarray, kept: pd.DataFrame) -> None:
    errors, small = kept["npde"].to_numpy(float), kept["censored"].to_numpy(bool)
    ax.plot(x[~small], errors[~small], ".", color=GREY, markersize=3.0, alpha=0.6)
    ax.plot(x[small], errors[small], "v", color=ORANGE, markersize=3.5)
    for cut, rows in percentiles(x, errors).groupby("cut"):
        colour = SKY if cut == 0.5 else GREY
        ax.fill_between(
            rows["at"], rows["low"], rows["high"], color=colour, alpha=0.35, linewidth=0
        )
        line = "-" if cut == 0.5 else "--"
        ax.plot(rows["at"], rows["observed"], color=VERMILLION, linestyle=line, linewidth=1.3)
    ax.axhline(0.0, color=INK, linewidth=0.7)


def _keys() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=GREY, marker=".", linestyle="", label="scan"),
        Line2D([], [], color=ORANGE, marker="v", linestyle="", label="too small to measure"),
        Line2D([], [], color=VERMILLION, label="median of the scans"),
        Line2D([], [], color=VERMILLION, linestyle="--", label="5 % and 95 % of them"),
        Patch(facecolor=SKY, alpha=0.35, label="where they should be"),
    ]
