"""Spider plot: the course of every patient, in percent of the first size."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pdmodel.fit import Fit
from pdmodel.plot.change import best_responses, label_of, percent_change
from pdmodel.plot.style import (
    CLASSES,
    GREY,
    INK,
    RESPONSES,
    SMALL,
    Look,
    dress,
    key_below,
    page,
    stroke,
)
from pdmodel.response import RULES

HIGHEST = 150.0
"""Percent; courses that grow beyond leave the picture, and are counted."""


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
    table = percent_change(fit.cohort)
    looks: dict[str, Look]
    if labels is None:
        groups, looks, by = best_responses(fit.cohort, RULES[rule]), dict(RESPONSES), "best response"
    else:
        groups, looks, by = label_of(labels), dict(CLASSES), "class"
    figure = page(4.6)
    ax = figure.subplots()
    counts = dict.fromkeys(looks, 0)
    thin = 1.3 if len(fit.cohort) <= 60 else 0.6  # noqa: PLR2004
    for key, course in table.groupby("patient", sort=False):
        group = groups[str(key)]
        counts[group] += 1
        look = looks[group]
        colour = GREY if group == "undecided" else look.colour
        ax.plot(
            course["day"], course["change"], color=colour, linestyle=look.line, linewidth=thin,
            marker=look.marker, markevery=[-1], markersize=4, alpha=0.85,
        )  # fmt: skip
    top = _frame(ax, table)
    beyond = int((table.groupby("patient")["change"].max() > top).sum())
    dress(
        ax,
        title=f"Change of size from baseline, {sum(counts.values())} patients, by {by}",
        x="Days from the first dose", y="Change from baseline (%)",
    )  # fmt: skip
    if beyond:
        ax.annotate(
            f"{beyond} grow beyond +{top:.0f} %", (1, 1), xycoords="axes fraction",
            ha="right", va="top", fontsize=SMALL, color=INK,
        )  # fmt: skip
    shown = [(name, n) for name, n in counts.items() if n]
    key_below(figure, [stroke(looks[name], f"{looks[name].name} ({n})") for name, n in shown], 3)
    return figure


def _frame(ax, table: pd.DataFrame) -> float:  # noqa: ANN001  # an Axes
    """Draw the lines of RECIST and set the limits; give the upper one."""
    top = float(np.clip(table["change"].max() * 1.08, 50.0, HIGHEST)) if len(table) else 50.0
    ax.set_ylim(-105.0, top)
    for level in (-30.0, 20.0):
        ax.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.annotate(
            f"{level:+.0f} %", (1.003, level), xycoords=("axes fraction", "data"),
            va="center", fontsize=SMALL, color=INK, annotation_clip=False,
        )  # fmt: skip
    return top
