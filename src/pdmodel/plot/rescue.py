"""What might still turn the course of each patient who resists: gains of add-ons."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdmodel.errors import DataError, OptionError
from pdmodel.fit import Fit
from pdmodel.plot.style import (
    INK,
    PALE,
    SMALL,
    WHITE,
    dress,
    key_below,
    line_of,
    names_in,
    page,
    paragraph,
    plain,
    sheet,
)
from pdmodel.simulate.rescue import NOTHING

PER_PAGE = 30
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HOW = (
    "The plot 'rescue' is of a table: write one with 'pdmodel rescue RUN --add-on DRUG -o "
    "rescue.csv', and give it with --table rescue.csv."
)
NOTES = paragraph(
    "Of each add-on the best day of those looked at. Gain: days without further progression beyond "
    "those without an add-on, up to the horizon; line: 90 % of the draws. On the right: the option "
    "with the most expected days, the day from which, the probability that it is the best of all "
    "options, and that the lesions are smaller at the horizon than at the last scan. Open marks: "
    "prior-driven, that is assumed, not learnt from these data."
)


def plot_rescue(
    fit: Fit,
    *,
    table: pd.DataFrame | None = None,
    page_number: int | None = None,
    hide_ids: bool = False,
) -> Figure:
    """Draw the gain of each add-on for each patient, and name the best.

    Parameters
    ----------
    fit : Fit
        The table is of this fit; nothing else is taken from it.
    table : DataFrame
        As `pdmodel.simulate.rescue.rescue` gives it.
    page_number : int, optional
        From 1: 30 patients on each page. By default the first.
    hide_ids : bool
        Write 1, 2, ... for the patients, in the order of the table.

    Returns
    -------
    Figure

    Raises
    ------
    OptionError
        If there is no table, or no such page.
    DataError
        If the table has no patient.
    """
    del fit
    if table is None:
        raise OptionError(HOW)
    if table.empty:
        raise DataError("The table of rescues has no patient; there is nothing to draw.")
    table = table.assign(name=names_in(table, hide_ids=hide_ids))
    shown, total = best_of_each(table), table["name"].nunique()
    one = sheet(total, PER_PAGE, page_number)
    names = shown["name"].drop_duplicates().iloc[one.rows]
    options = shown["add_on"].drop_duplicates().tolist()
    figure = page(0.3 * len(names) * max(1.0, 0.5 * len(options)) + 2.3)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.35, 1.0])
    _gains(left, shown, names.tolist(), options)
    _best(right, table[table["best"].astype(bool)].set_index("name").loc[names])
    dress(left, title=f"Gain of add-ons, {total} patients{one.where}", x="Gain (days)")
    left.set_yticks(range(len(names)), names, fontsize=SMALL)
    left.grid(visible=False, axis="y")
    key_below(figure, _keys(options), 4, NOTES)
    return figure


def best_of_each(table: pd.DataFrame) -> pd.DataFrame:
    """Give the best day of each add-on for each patient, patients by their largest gain.

    Returns
    -------
    DataFrame
        Rows of the table, of one patient together, without "nothing".
    """
    added = table[table["add_on"] != NOTHING]
    who = ["study", "patient_id"]
    best = added.loc[added.groupby([*who, "add_on"], sort=False)["expected_days"].idxmax()]
    most = best.groupby(who, sort=False)["gain_days"].transform("max")
    order = best.assign(most=most).sort_values(
        ["most", *who, "add_on"], ascending=[False, True, True, True], kind="stable"
    )
    return order.drop(columns="most").reset_index(drop=True)


def _gains(ax: Axes, shown: pd.DataFrame, names: list[str], options: list[str]) -> None:
    for k, option in enumerate(options):
        rows = shown[shown["add_on"] == option].set_index("name").reindex(names)
        at = np.arange(len(names)) + 0.7 * ((k + 0.5) / len(options) - 0.5)
        learnt = (rows["basis"] == "posterior").to_numpy()
        ax.hlines(at, rows["gain_low"], rows["gain_high"], color=line_of(k)[0], linewidth=1.3)
        for mine, filled in ((learnt, True), (~learnt, False)):
            ax.plot(rows["gain_days"].to_numpy()[mine], at[mine], **_mark(k, filled=filled))
    for at in np.arange(len(names) - 1):
        ax.axhline(at + 0.5, color=PALE, linewidth=0.6)
    ax.axvline(0.0, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    ax.set_ylim(len(names) - 0.5, -0.5)


def _best(ax: Axes, best: pd.DataFrame) -> None:
    """Write the best option of each patient in words and numbers."""
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    text: dict[str, Any] = {"fontsize": SMALL, "color": INK}
    for x, head, side in ((0.0, "best option", "left"), (0.76, "P(best)", "right"),
                          (1.0, "P(smaller)", "right")):  # fmt: skip
        ax.text(x, -0.72, head, ha=side, va="bottom", weight="bold", **text)
    for at, row in enumerate(best.to_dict("records")):
        day = f", day {row['from_day']:.0f}" if row["add_on"] != NOTHING else ""
        ax.text(0.0, at, plain(row["add_on"], 20) + day, ha="left", va="center", **text)
        ax.text(0.76, at, f"{row['p_best']:.2f}", ha="right", va="center", **text)
        ax.text(1.0, at, f"{row['p_turn']:.2f}", ha="right", va="center", **text)


def _mark(place: int, *, filled: bool, line: str = "") -> dict[str, Any]:
    colour = line_of(place)[0]
    return {
        "marker": MARKERS[place % len(MARKERS)], "linestyle": line, "markersize": 5.0,
        "color": colour,
        "markerfacecolor": colour if filled else WHITE, "markeredgewidth": 1.1,
    }  # fmt: skip


def _keys(options: list[str]) -> list[Line2D]:
    marks = [
        Line2D([], [], label=plain(one), **_mark(k, filled=True, line="-"))
        for k, one in enumerate(options)
    ]
    open_ = Line2D(
        [], [], marker="o", linestyle="", color=INK, markerfacecolor=WHITE, label="prior-driven"
    )
    none = Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (4, 3)), label="no gain")
    return [*marks, open_, none]
