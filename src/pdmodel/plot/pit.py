"""PIT plot: whether scans fall evenly into their forecasts, or forecasts are off or too sure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdmodel.compare import one_step_pit
from pdmodel.errors import DataError
from pdmodel.fit import Fit
from pdmodel.plot.calibration import LEVEL, ecdf_difference, pit_bars
from pdmodel.plot.style import BLUE, GREY, INK, SKY, dress, heading, key_below, page, paragraph

READ = (
    "Place of a scan: probability that its forecast gave to smaller sizes, drawn at random within "
    "its bin of 1 mm or below the limit. Raised at both ends: forecasts too sure. Raised in the "
    "middle: not sure enough. Slanted: too small or too large."
)
"""How places are read."""
NOTES = paragraph(
    f"{READ} Each forecast is from the scans before it, but with parameters learnt from all scans, "
    "so that faults may stay hidden; 'pdmodel compare' holds scans out. Bands take scans as "
    "independent."
)


def plot_pit(
    fit: Fit, *, table: pd.DataFrame | None = None, draws: int = 200, seed: int = 0
) -> Figure:
    """Draw where scans fell in their one-step forecasts: histogram, and distance from even.

    Parameters
    ----------
    fit : Fit
    table : DataFrame, optional
        As `pdmodel.compare.one_step_pit` gives it; computed here otherwise.
    draws, seed : int
        Of the forecasts, if they are made here.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If no patient has two scans, or no course could be solved.
    """
    table = one_step_pit(fit, draws=draws, seed=seed) if table is None else table
    return draw_places(table, "Do scans fall evenly into their forecasts?", NOTES, seed)


def draw_places(table: pd.DataFrame, title: str, notes: Sequence[str], seed: int) -> Figure:
    """Draw places of scans, in the column ``pit``, nan where there is none: two panels.

    Raises
    ------
    DataError
        If no scan has a place.
    """
    pit = table["pit"].dropna().to_numpy(float)
    if not len(pit):
        raise DataError(
            "No course of the fit could be solved, so that no scan has a place in its forecast; "
            "look at 'pdmodel diagnose'."
        )
    figure = page(4.3)
    left, right = figure.subplots(1, 2)
    _bars(left, pit_bars(pit))
    _curve(right, ecdf_difference(pit, seed=seed))
    missing = len(table) - len(pit)
    note = f"; {missing} unsolved left out" if missing else ""
    scans = f"{len(pit)} scans of {table['patient'].nunique()} patients{note}"
    heading(figure, f"{title} {scans}")
    key_below(figure, _keys(), 4, notes)
    return figure


def _bars(ax: Axes, table: pd.DataFrame) -> None:
    edges = np.append(table["left"], table["right"].iloc[-1])
    ax.fill_between([0, 1], table["low"].iloc[0], table["high"].iloc[0], color=SKY, alpha=0.35)
    ax.stairs(table["share"], edges, fill=True, facecolor=GREY, alpha=0.35)
    ax.stairs(table["share"], edges, color=INK, linewidth=1.2)
    ax.axhline(1.0, color=BLUE, linestyle="--", linewidth=1.0)
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(0.0, 1.1 * max(table["high"].max(), table["share"].max()))
    dress(ax, x="Place in the forecast (probability)", y="Scans, relative to an even share")


def _curve(ax: Axes, table: pd.DataFrame) -> None:
    at = table["at"]
    ax.fill_between(at, table["low"], table["high"], color=SKY, alpha=0.35, linewidth=0)
    ax.step(at, table["difference"], where="post", color=INK, linewidth=1.4)
    ax.axhline(0.0, color=BLUE, linestyle="--", linewidth=1.0)
    ax.set_xlim(0.0, 1.0)
    y = "Share of scans below, less even share"
    dress(ax, x="Place in the forecast (probability)", y=y)


def _keys() -> list:
    return [
        Line2D([], [], color=INK, linewidth=1.4, label="observed scans"),
        Patch(color=SKY, alpha=0.35, label=f"holds all of an even curve, {100 * LEVEL:.0f} %"),
        Line2D([], [], color=BLUE, linestyle="--", linewidth=1.0, label="even"),
    ]
