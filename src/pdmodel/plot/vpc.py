"""Visual predictive check: percentiles of sizes over time, observed and simulated."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from pdmodel.fit import Fit
from pdmodel.plot.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    ROUND_MM,
    SIZE_AXIS,
    SKY,
    SMALL,
    dress,
    key_below,
    page,
    paragraph,
)
from pdmodel.plot.visits import by_bins, corrected_scans
from pdmodel.predict import replicated
from pdmodel.residual import SMALLEST_MM

MARKS = {"q90": ("^", ORANGE, "9 of 10 scans are smaller"), "q50": ("o", SKY, "median"),
         "q10": ("v", ORANGE, "1 of 10 scans is smaller")}  # fmt: skip
"""Marker of the observed percentile, colour of the simulated band, and meaning."""
NOTES = paragraph(
    "Bands: 90 % of simulated cohorts, whose patients have scans on the days of the real ones. Who "
    "left early leaves early there too: this checks sizes at the visits that were made, not who "
    "stays. Sizes too small to measure count as 5 mm on both sides."
)
CORRECTED = paragraph(
    "Each size, observed and simulated, is divided by what the fit predicts for its scan (the "
    "median of its simulations, of the patient's own posterior rather than the typical patient) "
    "and multiplied by the middle prediction of its time. Bands: 90 % "
    "of simulated cohorts, whose patients have scans on the days of the real ones. Sizes too small "
    "to measure count as 5 mm before the correction."
)
NARROWEST_DAYS = 18.0
"""Of a band, so that one is seen where all scans were made on one day."""


def plot_vpc(
    fit: Fit, *, replicates: xr.Dataset | None = None, draws: int = 400, seed: int = 0
) -> Figure:
    """Draw observed percentiles over time in bands of simulated cohorts, and what is too small.

    Parameters
    ----------
    fit : Fit
    replicates : Dataset, optional
        As `pdmodel.predict.replicated` gives it; drawn here otherwise.
    draws, seed : int
        Of the replicates, if they are drawn here.

    Returns
    -------
    Figure
    """
    drawn = replicated(fit, draws=draws, seed=seed) if replicates is None else replicates
    table = by_bins(fit, drawn)
    figure = page(6.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1.0])
    seen = fit.tree["observed_data"].to_dataset()
    size = np.maximum(seen["size_mm"].to_numpy(), SMALLEST_MM)
    upper.plot(seen["obs_day"], size, ".", color=GREY, markersize=3, alpha=0.5, zorder=1)
    for statistic, (marker, colour, _) in MARKS.items():
        _row(upper, table[table["statistic"] == statistic], marker, colour)
    _row(lower, table[table["statistic"] == "too_small"], "s", SKY)
    _scale(upper, size, table)
    lower.set_ylim(-0.02, max(0.1, 1.1 * lower.get_ylim()[1]))
    title = f"Sizes over time: {len(fit.cohort)} patients, {len(size)} scans"
    dress(upper, title=title, y=SIZE_AXIS[fit.cohort.size_kind])
    dress(lower, x="Days from the first dose", y="Too small to\nmeasure (share)")
    key_below(figure, _keys(), 3, NOTES)
    return figure


def plot_pcvpc(
    fit: Fit, *, replicates: xr.Dataset | None = None, draws: int = 400, seed: int = 0
) -> Figure:
    """Draw the check with every size brought to the middle patient of its time (`by_bins`).

    Differences of size between patients are taken out of both sides, so that what is left is how
    sizes change and scatter over time.

    Parameters
    ----------
    fit, replicates, draws, seed
        As for `plot_vpc`.

    Returns
    -------
    Figure
    """
    drawn = replicated(fit, draws=draws, seed=seed) if replicates is None else replicates
    table = by_bins(fit, drawn, corrected=True)
    figure = page(5.2)
    ax = figure.subplots()
    day, size = corrected_scans(fit, drawn)
    ax.plot(day, size, ".", color=GREY, markersize=3, alpha=0.5, zorder=1)
    for statistic, (marker, colour, _) in MARKS.items():
        _row(ax, table[table["statistic"] == statistic], marker, colour)
    _scale(ax, size, table)
    title = f"Sizes over time, prediction-corrected: {len(fit.cohort)} patients, {len(size)} scans"
    what = SIZE_AXIS[fit.cohort.size_kind]
    dress(ax, title=title, x="Days from the first dose", y=f"{what},\nas of the middle patient")
    key_below(figure, _keys(small=False), 3, CORRECTED)
    return figure


def _row(ax: Axes, table: pd.DataFrame, marker: str, colour: str) -> None:
    """Draw a band for each bin of time, and the observed value in it."""
    for first, last, low, middle, high in table[
        ["first", "last", "low", "middle", "high"]
    ].to_numpy(float):
        if not np.isfinite([low, high]).all():
            continue
        wide = max(last - first, NARROWEST_DAYS)
        left = (first + last - wide) / 2
        ax.add_patch(
            Rectangle(
                (left, low), wide, high - low, facecolor=colour, alpha=0.4, edgecolor=INK,
                linewidth=0.4, zorder=2,
            )
        )  # fmt: skip
        ax.plot([left, left + wide], [middle, middle], color=BLUE, linewidth=1.1, zorder=3)
    ax.plot(
        table["day"], table["observed"], marker=marker, color=INK, linewidth=1.1, markersize=5.5,
        markerfacecolor="white", markeredgewidth=1.2, zorder=4,
    )  # fmt: skip


def _scale(ax: Axes, size: np.ndarray, table: pd.DataFrame) -> None:
    sizes = table[table["statistic"] != "too_small"]
    low = 0.8 * min(float(size.min()), float(np.nanmin(sizes[["observed", "low"]])))
    high = 1.25 * max(float(size.max()), float(np.nanmax(sizes[["observed", "high"]])))
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    shown = [x for x in ROUND_MM if low <= x <= high]
    ax.yaxis.set_major_locator(FixedLocator(shown))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.tick_params(labelsize=SMALL)


def _keys(*, small: bool = True) -> list[Artist]:
    look = {"color": INK, "markerfacecolor": "white", "markeredgewidth": 1.2, "linewidth": 1.1}
    marks: list[Artist] = [
        Line2D([], [], marker=marker, label=f"observed: {meaning}", **look)
        for marker, _, meaning in MARKS.values()
    ]
    return [
        *marks,
        *([Line2D([], [], marker="s", label="observed: share too small", **look)] if small else []),
        Patch(
            facecolor=SKY,
            alpha=0.4,
            edgecolor=INK,
            label="simulated: median, share" if small else "simulated: median",
        ),
        Patch(facecolor=ORANGE, alpha=0.4, edgecolor=INK, label="simulated: 1 and 9 of 10"),
        Line2D([], [], color=BLUE, linewidth=1.1, label="simulated: middle of the band"),
        Line2D([], [], color=GREY, marker=".", linestyle="", label="scan"),
    ]
