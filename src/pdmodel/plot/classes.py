"""Classes of resistance: how many patients, and how sure of each."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdmodel.fit import Fit
from pdmodel.plot.style import CLASSES, INK, SMALL, dress, key_below, names_in, page, patch, sheet
from pdmodel.resistance import UNDECIDED, classify
from pdmodel.response import CLASSES as NAMES

PER_PAGE = 60
"""Patients that are drawn by name in one figure."""
CERTAIN = 0.8
"""Probability from which a class is a label, as in `classify`."""


def plot_classes(
    fit: Fit,
    *,
    labels: pd.DataFrame | None = None,
    page_number: int | None = None,
    hide_ids: bool = False,
) -> Figure:
    """Draw the probability of each class for every patient, as stacked bars.

    Parameters
    ----------
    fit : Fit
    labels : DataFrame, optional
        What `classify` gave; computed here otherwise.
    page_number : int, optional
        From 1: the patients of that page, 60 on each, by name. By default all: by name if they
        fit on one page, else without names.
    hide_ids : bool
        Write 1, 2, ... for the patients, in the order of the labels.

    Returns
    -------
    Figure

    Raises
    ------
    OptionError
        If there is no such page.
    """
    table = classify(fit) if labels is None else labels
    table = in_order(table.assign(name=names_in(table, hide_ids=hide_ids)))
    one = sheet(len(table), PER_PAGE, page_number)
    if page_number is None and one.pages > 1:
        return _everybody(table)
    return _by_name(table.iloc[one.rows].reset_index(drop=True), len(table), one.where)


def in_order(labels: pd.DataFrame) -> pd.DataFrame:
    """Sort patients by their most probable class, in the order of `CLASSES`, surest first."""
    share = labels[[f"p_{name}" for name in NAMES]].to_numpy(float)
    order = np.lexsort([-share.max(axis=1), np.argmax(share, axis=1)])
    return labels.iloc[order].reset_index(drop=True)


def counted(labels: pd.DataFrame) -> pd.Series:
    """Count patients by label, in the order of `CLASSES`, undecided last; zeros included."""
    names = [*map(str, NAMES), UNDECIDED]
    return labels["label"].value_counts().reindex(names, fill_value=0)


def _stacked(ax: Axes, table: pd.DataFrame) -> None:
    """Draw a bar for each patient; beyond a page, the bars run into areas."""
    left = np.zeros(len(table))
    areas = len(table) > PER_PAGE
    at = np.arange(len(table) + 1) - 0.5
    for name in map(str, NAMES):
        look, right = CLASSES[name], left + table[f"p_{name}"].to_numpy(float)
        ink: dict[str, Any] = {"facecolor": look.colour, "hatch": look.hatch, "edgecolor": INK}
        if areas:
            ends = (np.append(x, x[-1]) for x in (left, right))
            ax.fill_betweenx(at, *ends, step="post", linewidth=0.2, **ink)
        else:
            ax.barh(np.arange(len(table)), right - left, 0.82, left, linewidth=0.3, **ink)
        left = right
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.axvline(CERTAIN, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.grid(visible=False, axis="y")


def _by_name(table: pd.DataFrame, total: int, where: str) -> Figure:
    figure = page(0.155 * len(table) + 1.7)
    ax = figure.subplots()
    _stacked(ax, table)
    dress(ax, title=f"Probability of each class, {total} patients{where}", x="Probability")
    ax.set_yticks(range(len(table)), table["name"])
    for text in ax.get_yticklabels():
        text.set_fontsize(SMALL - 1)
    right = {"xycoords": ("axes fraction", "data"), "fontsize": SMALL - 1, "color": INK}
    head = {"xycoords": ("axes fraction", "axes fraction"), "fontsize": SMALL - 1, "color": INK}
    for x, text in ((1.02, "model"), (1.09, "scans")):
        ax.annotate(text, (x, 1.005), ha="center", va="bottom", **head)
    for at, (label, seen) in enumerate(zip(table["label"], table["observed_label"], strict=True)):
        bold = "bold" if label == UNDECIDED else "normal"
        ax.annotate(
            CLASSES[str(label)].letter, (1.02, at), ha="center", va="center", weight=bold, **right
        )
        ax.annotate(CLASSES[str(seen)].letter, (1.09, at), ha="center", va="center", **right)
    _legend(figure, table)
    return figure


def _everybody(table: pd.DataFrame) -> Figure:
    """Draw all patients, one thin row each, and the counts of labels beside them."""
    figure = page(4.8)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1.0])
    _stacked(left, table)
    open_ = np.flatnonzero(table["label"] == UNDECIDED)
    left.plot(np.full(len(open_), 1.015), open_, "_", color=INK, markersize=4, clip_on=False)
    dress(
        left, title=f"Probability of each class, {len(table)} patients",
        x="Probability (a mark on the right: undecided)", y="Patients, sorted",
    )  # fmt: skip
    left.set_yticks([])
    counts = counted(table)
    places = np.arange(len(counts))
    for at, (name, count) in enumerate(counts.items()):
        look = CLASSES[str(name)]
        right.barh(
            at, count, 0.75, color=look.colour, hatch=look.hatch, edgecolor=INK, linewidth=0.4
        )
        share = f"{count} ({100 * count / len(table):.0f} %)"
        right.annotate(
            share, (count, at), xytext=(3, 0), textcoords="offset points", va="center",
            fontsize=SMALL, color=INK,
        )  # fmt: skip
    right.set_xlim(0, 1.32 * max(counts.max(), 1))
    right.set_ylim(len(counts) - 0.5, -0.5)
    dress(right, title="Labels", x="Patients")
    right.grid(visible=False, axis="y")
    right.set_yticks(
        places, [CLASSES[str(name)].name.replace(" ", "\n", 1) for name in counts.index]
    )
    _legend(figure, table, letters=False)
    return figure


def _legend(figure: Figure, table: pd.DataFrame, *, letters: bool = True) -> None:
    counts = counted(table)
    shown = []
    for name, look in CLASSES.items():
        if name == UNDECIDED and not letters:
            continue
        mark = f"{look.letter} = {look.name}" if letters else look.name
        if name == UNDECIDED:
            mark += f" (no class reaches {CERTAIN:g}; {counts[name]} here)"
        shown.append(patch(look, mark))
    notes = [f"Dashed: {CERTAIN:g}, the probability from which a class is the label."]
    if letters:
        notes.append("Letters on the right: label of the model, and class of the scans themselves.")
    key_below(figure, shown, 3, notes)
