"""One patient's classes as scans arrived."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdmodel.explore.history import class_history
from pdmodel.fit import Fit
from pdmodel.plot.style import (
    CLASSES,
    INK,
    SIZE_AXIS,
    SMALL,
    WHITE,
    dress,
    key_below,
    names_of,
    page,
    paragraph,
    patch,
)
from pdmodel.response import CLASSES as NAMES

WRITTEN = 0.12
"""Least share that is written into its part of a bar."""


def plot_history(
    fit: Fit,
    patient: str | None = None,
    *,
    history: pd.DataFrame | None = None,
    rule: str = "sitc2020",
    horizon: float = 730.0,
    draws: int = 400,
    seed: int = 0,
    hide_ids: bool = False,
) -> Figure:
    """Draw the scans of a patient, and below each the probabilities of the classes known by then.

    Parameters
    ----------
    fit : Fit
        Hierarchical.
    patient : str, optional
        Key, or id where unique; the first of the cohort by default.
    history : DataFrame, optional
        What `pdmodel.explore.class_history` gave; computed here otherwise.
    rule, horizon, draws, seed
        As for `class_history`.
    hide_ids : bool
        Write the patient's number.

    Returns
    -------
    Figure
    """
    key = fit.cohort.keys[0] if patient is None else fit.cohort[patient].key
    how = {"rule": rule, "horizon": horizon, "draws": draws, "seed": seed}
    table = class_history(fit, key, **how) if history is None else history
    name = names_of(fit.cohort, hide_ids=hide_ids)[key]
    figure = page(5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.1, 1.6])
    place = np.arange(len(table))
    _scans(upper, fit, key, place)
    _bars(lower, table, place)
    dress(upper, title=f"Patient {name}, scan by scan", y=SIZE_AXIS[fit.cohort.size_kind])
    dress(lower, x="Day of the last scan known", y=f"Probability of the class\nby day {horizon:g}")
    there = [look for label, look in _looks() if (table[f"p_{label}"] >= 0.005).any()]
    scan = Line2D([], [], color=INK, marker="o", label="scan")
    small = Line2D([], [], color=INK, marker="v", markerfacecolor=WHITE, label="at most this size")
    marks = [scan, *([small] if fit.cohort[key].censored.any() else [])]
    notes = paragraph(
        "Each bar: what the scans up to that day said, under the population of the fit, which has "
        f"seen later scans too; doses are those really given. Rule {rule}."
    )
    key_below(figure, [*marks, *map(patch, there)], 3, notes)
    return figure


def _looks() -> list:
    return [(str(name), CLASSES[str(name)]) for name in NAMES]


def _scans(ax: Axes, fit: Fit, key: str, place: np.ndarray) -> None:
    p = fit.cohort[key]
    ax.plot(place, p.size_mm, color=INK, linewidth=1.0, zorder=2)
    seen = ~p.censored
    ax.plot(place[seen], p.size_mm[seen], "o", color=INK, markersize=5, zorder=3)
    ax.plot(
        place[p.censored], p.size_mm[p.censored], "v", color=INK, markerfacecolor=WHITE,
        markersize=6, zorder=3,
    )  # fmt: skip
    ax.set_ylim(0.0, 1.15 * p.size_mm.max())


def _bars(ax: Axes, table: pd.DataFrame, place: np.ndarray) -> None:
    bottom = np.zeros(len(table))
    box = {"boxstyle": "square,pad=0.12", "facecolor": WHITE, "edgecolor": "none"}
    for label, look in _looks():
        share = table[f"p_{label}"].to_numpy(float)
        ax.bar(
            place, share, 0.78, bottom, color=look.colour, hatch=look.hatch, edgecolor=INK,
            linewidth=0.4, zorder=2,
        )  # fmt: skip
        for x, part, below in zip(place, share, bottom, strict=True):
            if part >= WRITTEN:
                ax.text(
                    x, below + part / 2, f"{100 * part:.0f}", ha="center", va="center",
                    fontsize=SMALL - 1.5, bbox=box, zorder=3,
                )  # fmt: skip
        bottom = bottom + share
    ax.set_ylim(0.0, 1.0)
    ax.set_xlim(-0.6, len(table) - 0.4)
    ax.set_xticks(place, [f"{day:g}" for day in table["day"]])
    ax.tick_params(axis="x", labelsize=SMALL - (1 if len(table) > 12 else 0))
    ax.grid(visible=False, axis="x")
