"""Waterfall plot: the best change of every patient, side by side."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdmodel.fit import Fit
from pdmodel.plot.change import Groups, grouped, waterfall
from pdmodel.plot.style import (
    DASHED,
    INK,
    SMALL,
    corner,
    dress,
    key_below,
    names_of,
    page,
    patch,
    response_lines,
)

HIGHEST = 100.0
"""Percent; taller bars are cut, and their height is written on them."""
NAMED = 60
"""Up to so many patients, each is named below its bar."""
HATCHED = 120
"""Beyond so many, bars are too thin for hatches, and each group has a row of ticks below."""


def plot_waterfall(
    fit: Fit,
    *,
    labels: pd.DataFrame | None = None,
    rule: str = "sitc2020",
    hide_ids: bool = False,
) -> Figure:
    """Draw the best change from baseline of every patient, sorted.

    Parameters
    ----------
    fit : Fit
    labels : DataFrame, optional
        What `classify` gave, to mark bars by it; by their best response otherwise.
    rule : str
        Rule of `pdmodel.response.RULES` for best responses.
    hide_ids : bool
        Write 1, 2, ... for the patients.

    Returns
    -------
    Figure
    """
    table, groups = waterfall(fit.cohort), grouped(fit.cohort, labels, rule)
    keys = table["patient"].tolist()
    many = len(keys) > HATCHED
    figure = page(5.4 if many else 4.7)
    axes = figure.subplots(
        1 + many, 1, sharex=True, squeeze=False, height_ratios=[4, 1][: 1 + many]
    )
    ax: Axes = axes[0, 0]
    _bars(ax, table, groups, many=many)
    missing = len(table.attrs["left_out"])
    note = f"; {missing} without a size to compare" if missing else ""
    title = f"Best change of size, {len(keys)} patients{note}"
    dress(ax, title=title, y="Best change from baseline (%)")
    ax.grid(visible=False, axis="x")
    if many:
        _rows(axes[1, 0], keys, groups)
    names = names_of(fit.cohort, hide_ids=hide_ids)
    _named(axes[-1, 0], [names[key] for key in keys])
    notes = [f"Bars: {groups.by}. {DASHED}"]
    key_below(figure, _handles(table, groups, many=many), 3, notes)
    return figure


def _bars(ax: Axes, table: pd.DataFrame, groups: Groups, *, many: bool) -> None:
    """Draw bars, the lines of RECIST, and marks on what is cut or too small to measure."""
    change = table["change"].to_numpy(float)
    height = np.minimum(change, HIGHEST)
    for name, look in groups.looks.items():
        at = np.flatnonzero([groups.of[key] == name for key in table["patient"]])
        if many:
            ax.bar(at, height[at], 1.0, color=look.ink)
        else:
            ink = {"hatch": look.hatch, "edgecolor": INK, "linewidth": 0.5}
            ax.bar(at, height[at], 0.82, color=look.colour, **ink)
    response_lines(ax)
    ax.axhline(0.0, color=INK, linewidth=0.8)
    small = np.flatnonzero(table["at_most"])
    if len(small):
        ax.plot(small, change[small] - 2.5, "v", markersize=3.5, color=INK, clip_on=False)
    cut = np.flatnonzero(change > HIGHEST)
    if many and len(cut):
        corner(ax, f"bars cut at +{HIGHEST:.0f} %: {len(cut)}")
    for at in () if many else cut:
        ax.annotate(
            f"+{change[at]:.0f} %", (at, HIGHEST), xytext=(0, 2), textcoords="offset points",
            ha="center", fontsize=SMALL - 1, rotation=90, color=INK,
        )  # fmt: skip
    low, high = np.min(change, initial=0.0), np.max(change, initial=0.0)
    ax.set_ylim(min(-40.0, low - 8.0), float(np.clip(high * 1.1, 30.0, HIGHEST * 1.2)))
    ax.set_xlim(-0.8, max(len(table), 1) - 0.2)


def _rows(ax: Axes, keys: list[str], groups: Groups) -> None:
    """Draw one row of ticks for each group, so that groups are told apart in grey."""
    present = [name for name in groups.looks if any(groups.of[key] == name for key in keys)]
    for row, name in enumerate(present):
        at = np.flatnonzero([groups.of[key] == name for key in keys])
        ax.vlines(at, row - 0.38, row + 0.38, color=INK, linewidth=0.5)
    ax.set_ylim(len(present) - 0.4, -0.6)
    dress(ax)
    ax.grid(visible=False)
    ax.set_yticks(range(len(present)), [groups.looks[name].name for name in present])


def _named(ax: Axes, names: list[str]) -> None:
    if len(names) > NAMED:
        ax.set_xticks([])
        ax.set_xlabel(f"{len(names)} patients, sorted", fontsize=SMALL + 1, color=INK)
        return
    size = SMALL - 1 if len(names) <= NAMED // 2 else SMALL - 2.5
    ax.set_xticks(range(len(names)), names, rotation=90)
    for text in ax.get_xticklabels():
        text.set_fontsize(size)


def _handles(table: pd.DataFrame, groups: Groups, *, many: bool) -> list[Artist]:
    handles: list[Artist] = []
    for name, look in groups.looks.items():
        count = sum(groups.of[key] == name for key in table["patient"])
        flat = look._replace(hatch="", colour=look.ink)
        if count:
            handles.append(patch(flat if many else look, f"{look.name} ({count})"))
    if table["at_most"].to_numpy(bool).any():
        words = "too small to measure at best: fell at least so far"
        handles.append(
            Line2D([], [], marker="v", markersize=4, color=INK, linestyle="", label=words)
        )
    return handles
