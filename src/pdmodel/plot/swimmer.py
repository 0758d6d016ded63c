"""Swimmer plot: one bar a patient, with doses, response and progression."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdmodel.fit import Fit
from pdmodel.plot.change import Groups, grouped
from pdmodel.plot.style import (
    INK,
    SMALL,
    WHITE,
    dress,
    key_below,
    line_of,
    names_of,
    page,
    patch,
    plain,
    sheet,
)
from pdmodel.plot.times import doses_of, swum
from pdmodel.response import rule_named

PER_PAGE = 60
"""Patients that are drawn by name in one figure."""
THICK, HANGS = 0.5, 0.4
"""Of a bar, and how far below its middle doses stand, in rows."""
MARKS: dict[str, dict[str, Any]] = {
    "response": {"marker": "^", "markersize": 5.5, "label": "first response (CR or PR)"},
    "progression": {"marker": "X", "markersize": 7.5, "label": "progression"},
    "ongoing": {"marker": ">", "markersize": 5.5, "label": "no progression by the last scan"},
}
NOTE = "Bars: from the first scan or dose to the last; filled by {by}. By target lesions alone."


def plot_swimmer(
    fit: Fit,
    *,
    labels: pd.DataFrame | None = None,
    rule: str = "sitc2020",
    page_number: int | None = None,
    hide_ids: bool = False,
) -> Figure:
    """Draw each patient's time on study: doses, first response, progression, and what it came to.

    Parameters
    ----------
    fit : Fit
    labels : DataFrame, optional
        What `classify` gave, to mark bars by it; by their best response otherwise.
    rule : str
        Rule of `pdmodel.response.RULES` for responses and progression.
    page_number : int, optional
        From 1: the patients of that page, 60 on each, by name. By default all: by name if they
        fit on one page, else without names and doses, group by group.
    hide_ids : bool
        Write 1, 2, ... for the patients.

    Returns
    -------
    Figure

    Raises
    ------
    OptionError
        If there is no such page, or no such rule.
    """
    table = swum(fit.cohort, rule_named(rule))
    groups = grouped(fit.cohort, labels, rule)
    one = sheet(len(table), PER_PAGE, page_number)
    if page_number is None and one.pages > 1:
        return _everybody(table, groups)
    shown = table.iloc[one.rows].reset_index(drop=True)
    names = names_of(fit.cohort, hide_ids=hide_ids)
    return _by_name(fit, shown, groups, names, f"{len(table)} patients{one.where}")


def _by_name(
    fit: Fit, table: pd.DataFrame, groups: Groups, names: dict[str, str], who: str
) -> Figure:
    figure = page(0.165 * len(table) + 1.9)
    ax = figure.subplots()
    ink = {"edgecolor": INK, "linewidth": 0.5}
    for name, look in groups.looks.items():
        at = _members(table, groups, name)
        ax.barh(
            at, (table["end"] - table["start"]).to_numpy()[at], THICK,
            table["start"].to_numpy()[at], color=look.colour, hatch=look.hatch, **ink,
        )  # fmt: skip
    handles = _doses(ax, fit, table)
    _marks(ax, table, 1.0)
    _frame(ax, table, f"Time on study, {who}")
    ax.set_yticks(range(len(table)), [names[key] for key in table["patient"]])
    for text in ax.get_yticklabels():
        text.set_fontsize(SMALL - 0.5)
    shown = [look for name, look in groups.looks.items() if len(_members(table, groups, name))]
    marks = [_handle(name) for name in MARKS if table[name].notna().any()]
    key_below(figure, [*map(patch, shown), *marks, *handles], 3, [NOTE.format(by=groups.by)])
    return figure


def _everybody(table: pd.DataFrame, groups: Groups) -> Figure:
    """Draw all as thin lines, group by group, so that groups are told apart in grey."""
    names = [name for name in groups.looks if len(_members(table, groups, name))]
    order = np.concatenate([_members(table, groups, name) for name in names])
    table = table.iloc[order].reset_index(drop=True)
    figure = page(7.0)
    ax = figure.subplots()
    places, edge = [], 0.0
    for name in names:
        at = _members(table, groups, name)
        ends = table.iloc[at]
        ax.hlines(at, ends["start"], ends["end"], color=groups.looks[name].ink, linewidth=0.8)
        places.append(float(np.mean(at)))
        edge += len(at)
        ax.axhline(edge - 0.5, color=INK, linewidth=0.5)
    _marks(ax, table, 0.45)
    _frame(ax, table, f"Time on study, {len(table)} patients, by {groups.by}")
    counts = [len(_members(table, groups, name)) for name in names]
    looks = [groups.looks[name].name.replace(" ", "\n", 1) for name in names]
    words = [f"{look}\n({count})" for look, count in zip(looks, counts, strict=True)]
    ax.set_yticks(places, words)
    ax.tick_params(axis="y", length=0)
    marks = [_handle(name) for name in MARKS if table[name].notna().any()]
    key_below(figure, marks, 3, [NOTE.format(by=f"{groups.by}") + " Doses not shown."])
    return figure


def _members(table: pd.DataFrame, groups: Groups, name: str) -> np.ndarray:
    return np.flatnonzero([groups.of[key] == name for key in table["patient"]])


def _frame(ax: Axes, table: pd.DataFrame, title: str) -> None:
    first, last = table["start"].min(), table["end"].max()
    room = 0.03 * (last - first)
    ax.set_xlim(first - room, last + 2.0 * room)
    ax.set_ylim(len(table) - 0.3, -0.8)
    ax.axvline(0.0, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
    dress(ax, title=title, x="Days from the first dose")
    ax.grid(visible=False, axis="y")


def _marks(ax: Axes, table: pd.DataFrame, scale: float) -> None:
    """Mark responses and progressions, and the ends of bars that go on."""
    rows = np.arange(len(table))
    going = table["ongoing"].to_numpy(bool)
    at = {
        "response": table["response"].to_numpy(float),
        "progression": table["progression"].to_numpy(float),
    }
    for name, days in at.items():
        ax.plot(days, rows, **_look(name, scale))
    gap = 0.012 * (table["end"].max() - table["start"].min())
    ax.plot(table["end"].to_numpy()[going] + gap, rows[going], **_look("ongoing", scale))


def _look(name: str, scale: float) -> dict[str, Any]:
    size = scale * MARKS[name]["markersize"]
    fill, edge = (WHITE, INK) if name == "response" else (INK, WHITE)
    return {
        "marker": MARKS[name]["marker"], "markersize": size, "linestyle": "", "color": edge,
        "markerfacecolor": fill, "markeredgewidth": 0.9 * max(scale, 0.5), "zorder": 4,
    }  # fmt: skip


def _handle(name: str) -> Line2D:
    return Line2D([], [], label=MARKS[name]["label"], **_look(name, 1.0))


def _doses(ax: Axes, fit: Fit, table: pd.DataFrame) -> list[Line2D]:
    """Draw a tick below the bar for every dose; drugs differ by colour and by form."""
    row = {key: at for at, key in enumerate(table["patient"])}
    handles = []
    doses = doses_of(fit.cohort)
    doses = doses[doses["patient"].isin(row)]
    for place, (name, mine) in enumerate(doses.groupby("drug", sort=False)):
        look: dict[str, Any] = {
            "color": line_of(place)[0], "marker": ("|", "+", "x", ".")[place % 4],
            "markersize": 3.2, "markeredgewidth": 0.9, "linestyle": "",
        }  # fmt: skip
        ax.plot(mine["day"], mine["patient"].map(row) + HANGS, **look)
        handles.append(Line2D([], [], label=f"dose of {plain(name)}", **look))
    return handles
