"""Triangle of class probabilities: how far each patient is from the three outcomes."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdmodel.fit import Fit
from pdmodel.plot.style import (
    CLASSES,
    GREY,
    INK,
    PALE,
    SMALL,
    TEXT,
    WHITE,
    heading,
    key_below,
    page,
    paragraph,
)
from pdmodel.resistance import classify

CORNERS = {"primary": (0.0, 0.0), "acquired": (1.0, 0.0), "durable": (0.5, np.sqrt(0.75))}
"""Where a patient stands who is certain to be of a class."""
CERTAIN = 0.8
LITTLE, HALF = 0.05, 0.5
"""Probability of the three classes together below which a patient has no place in the triangle,
and below which its dot is hollow."""
STEPS = (0.2, 0.4, 0.6, 0.8)
STAGGER = 0.021
"""From one of several patients in one place to the next; the side of the triangle is 1."""


def plot_triangle(fit: Fit, *, labels: pd.DataFrame | None = None) -> Figure:
    """Draw the probabilities of primary and acquired resistance and durable control, a dot each.

    Parameters
    ----------
    fit : Fit
    labels : DataFrame, optional
        What `classify` gave; computed here otherwise.

    Returns
    -------
    Figure
    """
    table = in_triangle(classify(fit) if labels is None else labels)
    figure = page(6.2)
    ax = figure.subplots()
    _frame(ax)
    drawn = staggered(table)
    for name, look in CLASSES.items():
        for hollow in (False, True):
            mine = drawn[(drawn["label"] == name) & ((drawn["inside"] < HALF) == hollow)]
            ax.plot(
                mine["x"], mine["y"], look.marker, color=INK, markersize=5.5, alpha=0.9,
                markerfacecolor=WHITE if hollow else look.ink, markeredgewidth=0.6, zorder=3,
            )  # fmt: skip
    out = len(table.attrs["left_out"])
    note = f"; {out} almost surely of another class, not drawn" if out else ""
    heading(figure, f"Probability of three classes, {len(table)} patients{note}")
    key_below(figure, _keys(table), 3, _notes())
    return figure


def in_triangle(labels: pd.DataFrame) -> pd.DataFrame:
    """Place patients by their probabilities of the three classes, these taken to sum to 1.

    Parameters
    ----------
    labels : DataFrame
        As `classify` gives it.

    Returns
    -------
    DataFrame
        Columns ``patient_id, study, label``; ``inside``, probability of the three classes together;
        ``x, y``, of `CORNERS`. Patients with less than `LITTLE` inside are left out; their ids are
        in ``attrs["left_out"]``.
    """
    share = labels[[f"p_{name}" for name in CORNERS]].to_numpy(float)
    inside = share.sum(axis=1)
    kept = inside >= LITTLE
    place = share[kept] / inside[kept, None] @ np.array([*CORNERS.values()])
    columns = {"inside": inside[kept], "x": place[:, 0], "y": place[:, 1]}
    table = labels.loc[kept, ["patient_id", "study", "label"]].reset_index(drop=True)
    table = table.assign(**columns)
    table.attrs["left_out"] = labels.loc[~kept, "patient_id"].tolist()
    return table


def staggered(table: pd.DataFrame) -> pd.DataFrame:
    """Move dots that would hide each other apart, around their place in a sunflower's spiral."""
    cell = (table[["x", "y"]] / STAGGER).round().astype(int)
    rank = cell.groupby(["x", "y"]).cumcount().to_numpy(float)
    turn, far = rank * np.pi * (3.0 - np.sqrt(5.0)), STAGGER * np.sqrt(rank)
    return table.assign(x=table["x"] + far * np.cos(turn), y=table["y"] + far * np.sin(turn))


def _frame(ax: Axes) -> None:
    """Draw the sides, a scale of each class along one, and what counts as certain."""
    corners = np.array([*CORNERS.values()])
    ax.fill(*corners.T, facecolor="none", edgecolor=INK, linewidth=1.0, zorder=2)
    for k, name in enumerate(CORNERS):
        mine, one, two = (corners[(k + more) % 3] for more in range(3))
        for step in STEPS:
            ends = np.array([step * mine + (1.0 - step) * other for other in (one, two)])
            sure = step == CERTAIN
            style = (0, (4, 3)) if sure else "-"
            ax.plot(*ends.T, color=INK if sure else PALE, linestyle=style, linewidth=0.8, zorder=1)
            _write(ax, ends[0] + 0.04 * (one - two), f"{step:g}", SMALL)
        middle = (mine + one) / 2.0
        outward = middle - corners.mean(axis=0)
        words = f"Probability of {CLASSES[name].name}"
        words = f"← {words}" if name == "primary" else f"{words} →"
        _write(ax, middle + 0.32 * outward, words, TEXT, rotation=(0, -60, 60)[k])
    ax.set_xlim(-0.16, 1.16)
    ax.set_ylim(-0.14, 0.94)
    ax.set_aspect("equal")
    ax.set_axis_off()


def _write(ax: Axes, at: np.ndarray, text: str, size: float, rotation: float = 0.0) -> None:
    ax.text(
        float(at[0]), float(at[1]), text, fontsize=size, rotation=rotation, color=INK,
        ha="center", va="center", rotation_mode="anchor",
    )  # fmt: skip


def _keys(table: pd.DataFrame) -> list[Artist]:
    shown: list[Artist] = [
        Line2D(
            [], [], marker=look.marker, linestyle="", color=INK, markerfacecolor=look.ink,
            markeredgewidth=0.6, markersize=5.5, label=f"{look.name} ({count})",
        )
        for name, look in CLASSES.items() if (count := int((table["label"] == name).sum()))
    ]  # fmt: skip
    if (table["inside"] < HALF).any():
        words = "hollow: rather of another class"
        shown.append(
            Line2D([], [], marker="o", linestyle="", color=GREY, markerfacecolor=WHITE, label=words)
        )
    return shown


def _notes() -> list[str]:
    return paragraph(
        "Numbers: probability of the class at the corner that the line faces, where the three "
        f"classes sum to 1. Dashed: {CERTAIN:g}, the probability from which a class is the label. "
        "Dots in one place are drawn side by side. Dots show the label of the model:"
    )
