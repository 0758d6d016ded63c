"""Waterfall plot: the best change of every patient, side by side."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdmodel.fit import Fit
from pdmodel.plot.change import best_responses, label_of, waterfall
from pdmodel.plot.style import (
    CLASSES,
    INK,
    RESPONSES,
    SMALL,
    dress,
    key_below,
    names_of,
    page,
    patch,
)
from pdmodel.response import RULES

HIGHEST = 100.0
"""Percent; taller bars are cut, and their height is written on them."""
NAMED = 60
"""Up to so many patients, each is named below its bar."""
HATCHED = 150
"""Beyond so many, bars are too thin for hatches."""


def plot_waterfall(
    fit: Fit, *, labels: pd.DataFrame | None = None, rule: str = "sitc2020"
) -> Figure:
    """Draw the best change from baseline of every patient, sorted.

    Parameters
    ----------
    fit : Fit
    labels : DataFrame, optional
        What `classify` gave, to mark bars by it; by their best response otherwise.
    rule : str
        Rule of `pdmodel.response.RULES` for best responses.

    Returns
    -------
    Figure
    """
    table = waterfall(fit.cohort)
    by_response = labels is None
    groups = best_responses(fit.cohort, RULES[rule]) if by_response else label_of(labels)
    looks = RESPONSES if by_response else CLASSES
    figure = page(4.6)
    ax = figure.subplots()
    many = len(table) > HATCHED
    for name, look in looks.items():
        at = np.flatnonzero([groups[key] == name for key in table["patient"]])
        ax.bar(
            at, np.minimum(table["change"].to_numpy()[at], HIGHEST), color=look.colour,
            hatch=None if many else look.hatch, edgecolor=INK, linewidth=0.1 if many else 0.5,
            width=1.0 if many else 0.82,
        )  # fmt: skip
    _lines(ax)
    _marks(ax, table)
    names = names_of(fit.cohort)
    _names(ax, [names[key] for key in table["patient"]])
    missing = len(table.attrs["left_out"])
    note = f"; {missing} without a size to compare" if missing else ""
    dress(
        ax,
        title=f"Best change of size from baseline, {len(table)} patients{note}",
        y="Best change from baseline (%)",
        x="" if len(table) <= NAMED else f"{len(table)} patients, sorted",
    )  # fmt: skip
    ax.grid(visible=False, axis="x")
    counts = {name: sum(groups[key] == name for key in table["patient"]) for name in looks}
    shown: list[Artist] = [
        patch(looks[name], f"{looks[name].name} ({n})") for name, n in counts.items() if n
    ]
    if table["at_most"].any():
        arrow = {"marker": "v", "markersize": 4, "color": INK, "linestyle": ""}
        shown.append(Line2D([], [], **arrow, label="at best too small to measure: at most this"))
    key_below(figure, shown, 3)
    return figure


def _lines(ax: Axes) -> None:
    for level in (-30.0, 20.0):
        ax.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.annotate(
            f"{level:+.0f} %", (1.003, level), xycoords=("axes fraction", "data"), va="center",
            fontsize=SMALL, color=INK, annotation_clip=False,
        )  # fmt: skip
    ax.axhline(0.0, color=INK, linewidth=0.8)


def _marks(ax: Axes, table: pd.DataFrame) -> None:
    """Write the height on cut bars, and an arrow on sizes too small to measure."""
    for at, change, at_most in zip(table.index, table["change"], table["at_most"], strict=True):
        if change > HIGHEST:
            ax.annotate(
                f"+{change:.0f} %", (at, HIGHEST), xytext=(0, 2), textcoords="offset points",
                ha="center", fontsize=SMALL - 1, rotation=90, color=INK,
            )  # fmt: skip
        if at_most:
            ax.plot(at, change - 2.5, marker="v", markersize=3.5, color=INK, clip_on=False)
    low = float(table["change"].min()) if len(table) else 0.0
    high = float(table["change"].max()) if len(table) else 0.0
    ax.set_ylim(min(-40.0, low - 8.0), float(np.clip(high * 1.1, 30.0, HIGHEST * 1.2)))
    ax.set_xlim(-0.8, max(len(table), 1) - 0.2)


def _names(ax: Axes, names: list[str]) -> None:
    if len(names) > NAMED:
        ax.set_xticks([])
        return
    size = SMALL - 1 if len(names) <= NAMED // 2 else SMALL - 2.5
    ax.set_xticks(range(len(names)), names, rotation=90)
    for text in ax.get_xticklabels():
        text.set_fontsize(size)
