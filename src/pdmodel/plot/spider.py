"""Spider plot: the course of every patient, in percent of the first size."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdmodel.fit import Fit
from pdmodel.plot.change import grouped, percent_change
from pdmodel.plot.style import (
    DASHED,
    INK,
    TEXT,
    Look,
    corner,
    dress,
    heading,
    key_below,
    page,
    response_lines,
    stroke,
)

HIGHEST = 150.0
"""Percent; courses that grow beyond leave the picture, and are counted."""
TOGETHER, CLEAR = 150, 60
"""Up to so many patients all are drawn in one panel, else one a group; beyond so many, thinly."""


def plot_spider(fit: Fit, *, labels: pd.DataFrame | None = None, rule: str = "sitc2020") -> Figure:
    """Draw the change from baseline of every patient against time.

    Parameters
    ----------
    fit : Fit
    labels : DataFrame, optional
        What `classify` gave, to mark courses by it; by their best response otherwise.
    rule : str
        Rule of `pdmodel.response.RULES` for best responses.

    Returns
    -------
    Figure
    """
    table, groups = percent_change(fit.cohort), grouped(fit.cohort, labels, rule)
    courses = {str(key): course for key, course in table.groupby("patient", sort=False)}
    members = {name: [key for key in courses if groups.of[key] == name] for name in groups.looks}
    members = {name: keys for name, keys in members.items() if keys}
    title = f"Change of size from baseline, {len(courses)} patients, by {groups.by}"
    thin = 1.3 if len(courses) <= CLEAR else 0.6
    if len(courses) > TOGETHER:
        return _panels(table, courses, members, groups.looks, title)
    figure = page(4.6)
    ax = figure.subplots()
    for name, keys in members.items():
        for key in keys:
            _course(ax, courses[key], groups.looks[name], thin)
    _frame(ax, table, _top(table))
    dress(ax, title=title, x="Days from the first dose", y="Change from baseline (%)")
    handles = [
        stroke(groups.looks[name], f"{groups.looks[name].name} ({len(keys)})")
        for name, keys in members.items()
    ]
    key_below(figure, handles, 3, [DASHED])
    return figure


def _panels(
    table: pd.DataFrame,
    courses: dict[str, pd.DataFrame],
    members: dict[str, list[str]],
    looks: Mapping[str, Look],
    title: str,
) -> Figure:
    """Draw each group in a panel of its own."""
    across = 2 if len(members) <= 4 else 3
    rows = -(-len(members) // across)
    figure = page(2.7 * rows + 0.4)
    axes = figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False).ravel()
    for place, (ax, (name, keys)) in enumerate(zip(axes, members.items(), strict=False)):
        for key in keys:
            _course(ax, courses[key], looks[name]._replace(marker="", line="-"), 0.35)
        _frame(ax, table.loc[table["patient"].isin(keys)], _top(table))
        y = "" if place % across else "Change from baseline (%)"
        dress(ax, x="Days from the first dose", y=y)
        ax.tick_params(labelbottom=True)
        ax.set_title(f"{looks[name].name} ({len(keys)})", loc="left", fontsize=TEXT, color=INK)
    for ax in axes[len(members) :]:
        ax.set_axis_off()
    heading(figure, title)
    key_below(figure, [], notes=[DASHED])
    return figure


def _course(ax: Axes, course: pd.DataFrame, look: Look, thin: float) -> None:
    ax.plot(
        course["day"], course["change"], color=look.ink, linestyle=look.line, linewidth=thin,
        marker=look.marker, markevery=[-1], markersize=4, alpha=0.85,
    )  # fmt: skip


def _frame(ax: Axes, table: pd.DataFrame, top: float) -> None:
    """Set the limits, draw the lines of RECIST, and count what leaves the picture."""
    change = table["change"].to_numpy(float)
    ax.set_ylim(-105.0, top)
    response_lines(ax)
    if beyond := table.loc[change > top, "patient"].nunique():
        corner(ax, f"growing beyond +{top:.0f} %: {beyond}")


def _top(table: pd.DataFrame) -> float:
    return float(
        np.clip(1.08 * np.max(table["change"].to_numpy(float), initial=0.0), 50.0, HIGHEST)
    )
