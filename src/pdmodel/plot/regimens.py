"""Which schedule serves a population best: expected gain, and how probably each is the best."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdmodel.fit import Fit
from pdmodel.plot.style import (
    BLUE,
    INK,
    SKY,
    SMALL,
    WHITE,
    dress,
    key_below,
    page,
    paragraph,
    plain,
)
from pdmodel.simulate.decide import search

LONGEST = 30
"""Characters on a line of a schedule's name."""
NOTES = paragraph(
    "Gain: days without progression beyond those of the schedule compared to, a mean over virtual "
    "patients, less what a schedule was said to cost. Line: 90 % of the draws of the population; "
    "thick: what is due to the finite number of virtual patients. Regret: days that are lost on "
    "average by not knowing which draw is true."
)


def plot_regimens(
    fit: Fit,
    *,
    table: pd.DataFrame | None = None,
    arms: Mapping[str, str] | Sequence[str] | None = None,
    n: int = 1000,
    seed: int = 0,
) -> Figure:
    """Draw schedules by expected gain, with the probability that each is the best.

    Parameters
    ----------
    fit : Fit
    table : DataFrame, optional
        As `pdmodel.simulate.decide.search` gives it; computed here otherwise.
    arms : mapping of str to str, or sequence of str, optional
        Schedules to compare, the first being what others are compared to, if they are compared
        here; by default no drug, and each drug of the cohort.
    n, seed : int
        Virtual patients, and seed.

    Returns
    -------
    Figure
    """
    if table is None:
        table = search(fit, arms or ["none", *fit.cohort.drugs], n=n, seed=seed)
    shown, against = in_order(table)
    figure = page(0.5 * len(shown) + 2.1)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.7, 1.0])
    _gains(left, shown)
    title = f"Gain over {plain(against, LONGEST)}"
    dress(left, title=title, x="Days without progression gained (days a patient)")
    left.set_yticks(range(len(shown)), shown["name"], fontsize=SMALL)
    _chances(right, shown)
    for ax in (left, right):
        ax.grid(visible=False, axis="y")
    key_below(figure, _keys(), 4, NOTES)
    return figure


def in_order(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Sort schedules, the best first, with names to draw; and name what they are compared to.

    Returns
    -------
    table : DataFrame
        With columns ``name`` (in lines), ``learnt`` (bool: not prior-driven).
    against : str
        The schedule with no gain or loss in any draw.
    """
    still = table[["gain", "gain_low", "gain_high"]].abs().max(axis=1)
    against = str(table["schedule"].iloc[int(still.argmin())])
    shown = table.sort_values("utility", ascending=False, kind="stable", ignore_index=True)
    words = ["no drug" if one == "none" else plain(one, 3 * LONGEST) for one in shown["schedule"]]
    learnt = (shown["basis"] != "prior-driven").tolist()
    said = [word if known else f"{word} (prior-driven)"
            for word, known in zip(words, learnt, strict=True)]  # fmt: skip
    shown = shown.assign(name=[fill(one, LONGEST) for one in said], learnt=learnt)
    return shown, "no drug" if against == "none" else against


def _gains(ax: Axes, shown: pd.DataFrame) -> None:
    at = np.arange(len(shown))
    gain, error = shown["gain"].to_numpy(float), 1.645 * shown["mc_error"].to_numpy(float)
    ax.hlines(at, shown["gain_low"], shown["gain_high"], color=BLUE, linewidth=1.3)
    ax.hlines(at, gain - error, gain + error, color=SKY, linewidth=6.0)
    learnt = shown["learnt"].to_numpy(bool)
    for mine, face in ((learnt, BLUE), (~learnt, WHITE)):
        ax.plot(gain[mine], at[mine], **_mark(face))
    ax.axvline(0.0, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    ax.set_ylim(len(shown) - 0.5, -0.5)


def _mark(face: str) -> dict:
    return {
        "marker": "o", "linestyle": "", "color": BLUE, "markersize": 6.0, "markerfacecolor": face,
        "markeredgewidth": 1.2,
    }  # fmt: skip


def _chances(ax: Axes, shown: pd.DataFrame) -> None:
    chance = shown["p_best"].to_numpy(float)
    ax.barh(range(len(shown)), chance, 0.5, color=SKY, edgecolor=INK, linewidth=0.5, hatch="////")
    for at, (p, regret) in enumerate(zip(chance, shown["regret"], strict=True)):
        ax.annotate(
            f"{p:.2f}; regret {regret:.0f} d", (p, at), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=SMALL, color=INK,
        )  # fmt: skip
    ax.set_xlim(0.0, 1.9)
    ax.set_xticks([0.0, 0.5, 1.0])
    dress(ax, title="Which is the best", x="Probability of being best")
    ax.tick_params(labelleft=False)


def _keys() -> list[Line2D]:
    return [
        Line2D([], [], label="expected gain", **_mark(BLUE)),
        Line2D([], [], label="the same, prior-driven", **_mark(WHITE)),
        Line2D([], [], color=BLUE, linewidth=1.3, label="90 % of the draws"),
        Line2D([], [], color=SKY, linewidth=6.0, label="error of the simulation (90 %)"),
    ]
