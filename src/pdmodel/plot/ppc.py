"""Posterior predictive check: scans drawn from the fit beside the real ones, visit by visit."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from pdmodel.fit import Fit
from pdmodel.plot.style import (
    BLUE,
    INK,
    ROUND_MM,
    SIZE_AXIS,
    SKY,
    SMALL,
    dress,
    heading,
    key_below,
    page,
)
from pdmodel.plot.visits import by_visit, coverage
from pdmodel.predict import replicated

MARKS = {"q90": "^", "q50": "o", "q10": "v", "too_small": "s"}
MEANINGS = {
    "q90": "9 of 10 scans are smaller",
    "q50": "median",
    "q10": "1 of 10 scans is smaller",
    "too_small": "share too small to measure",
}
HALF_WIDTH = 0.3


def plot_ppc(
    fit: Fit, *, replicates: xr.Dataset | None = None, draws: int = 400, seed: int = 0
) -> Figure:
    """Draw observed sizes against sizes replicated from the fit, by visit.

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
    table = by_visit(fit, drawn)
    figure = page(5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, 1.1])
    visits = list(dict.fromkeys(table["visit"]))
    for statistic, marker in MARKS.items():
        ax = lower if statistic == "too_small" else upper
        rows = table.loc[table["statistic"] == statistic]
        _column(ax, [visits.index(visit) for visit in rows["visit"]], rows, marker)
    upper.set_yscale("log")
    sizes = table[table["statistic"] != "too_small"]
    low = float(np.nanmin(sizes[["observed", "low"]].to_numpy()))
    high = float(np.nanmax(sizes[["observed", "high"]].to_numpy()))
    upper.set_ylim(0.85 * low, 1.15 * high)
    shown = [x for x in ROUND_MM if 0.85 * low <= x <= 1.15 * high]
    upper.set_yticks(shown, [str(x) for x in shown])
    upper.set_yticks([], minor=True)
    dress(upper, y=SIZE_AXIS[fit.cohort.size_kind])
    dress(lower, x="Days from the first dose (number of scans)", y="Too small to\nmeasure (share)")
    lower.set_ylim(-0.012, max(0.1, 1.1 * lower.get_ylim()[1]))
    counts = table.drop_duplicates("visit").set_index("visit")["scans"]
    lower.set_xticks(range(len(visits)), [f"{visit}\n({counts[visit]})" for visit in visits])
    inside = coverage(fit, drawn)
    heading(figure, "Do scans drawn from the fit look like the observed ones?")
    upper.set_title(
        f"{100 * inside[0.9]:.0f} % of the observed scans lie in their own 90 % interval, "
        f"{100 * inside[0.5]:.0f} % in their 50 % interval (all were fitted)",
        loc="left", fontsize=SMALL, color=INK,
    )  # fmt: skip
    key_below(figure, _keys(), 3)
    return figure


def _column(ax: Axes, places: list[int], table: pd.DataFrame, marker: str) -> None:
    bands = table[["low", "middle", "high"]].to_numpy(float)
    for at, (low, middle, high) in zip(places, bands, strict=True):
        if not np.isfinite([low, high]).all():
            continue
        ax.add_patch(
            Rectangle(
                (at - HALF_WIDTH, low), 2 * HALF_WIDTH, high - low, facecolor=SKY, alpha=0.45,
                edgecolor=BLUE, linewidth=0.5,
            )
        )  # fmt: skip
        ax.plot([at - HALF_WIDTH, at + HALF_WIDTH], [middle, middle], color=BLUE, linewidth=1.2)
    ax.plot(
        places, table["observed"], marker=marker, color=INK, linestyle="",
        markersize=6, markerfacecolor="white", markeredgewidth=1.4,
    )  # fmt: skip


def _keys() -> list:
    marks = [
        Line2D(
            [], [], color=INK, marker=marker, linestyle="", markerfacecolor="white",
            markeredgewidth=1.4, label=f"observed: {MEANINGS[statistic]}",
        )
        for statistic, marker in MARKS.items()
    ]  # fmt: skip
    band = Patch(facecolor=SKY, alpha=0.45, edgecolor=BLUE, label="drawn from the fit, 90 %")
    return [
        *marks,
        band,
        Line2D([], [], color=BLUE, linewidth=1.2, label="drawn from the fit, median"),
    ]
