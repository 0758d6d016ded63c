"""RECIST timeline: the response at every scan of every patient, side by side."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdmodel.fit import Fit
from pdmodel.plot.style import (
    INK,
    RESPONSES,
    SMALL,
    WHITE,
    dress,
    key_below,
    names_of,
    page,
    paragraph,
    patch,
    sheet,
)
from pdmodel.plot.times import responses
from pdmodel.response import rule_named

PER_PAGE = 45
"""Patients in one figure."""
THICK = 0.62
"""Of a bar, in rows."""
LAST_DAYS = 14.0
"""Length of the bar that stands for the last scan."""
LETTERED_DAYS = 24.0
"""Of scans that follow sooner than this on the next one, the response is not written."""
NOTES = paragraph(
    "A bar goes from one scan to the next in the response found at the first of them; white bars "
    "begin at the scan that others are compared with. A cross: progression that counts under the "
    "rule. By target lesions alone, each scan by itself: responses are not confirmed here."
)


def plot_timeline(
    fit: Fit, *, rule: str = "sitc2020", page_number: int | None = None, hide_ids: bool = False
) -> Figure:
    """Draw the response at every scan, a row for each patient, longest followed first.

    Parameters
    ----------
    fit : Fit
    rule : str
        Rule of `pdmodel.response.RULES`.
    page_number : int, optional
        From 1; of 45 patients each. The first by default.
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
    table = responses(fit.cohort, rule_named(rule))
    order = table.groupby("patient", sort=False)["day"].max().sort_values(
        ascending=False, kind="stable"
    )  # fmt: skip
    one = sheet(len(order), PER_PAGE, page_number)
    shown = order.index[one.rows].tolist()
    names = names_of(fit.cohort, hide_ids=hide_ids)
    figure = page(0.185 * len(shown) + 2.0)
    ax = figure.subplots()
    for row, key in enumerate(shown):
        _row(ax, row, table[table["patient"] == key])
    ax.set_yticks(range(len(shown)), [names[key] for key in shown])
    for text in ax.get_yticklabels():
        text.set_fontsize(SMALL - 0.5)
    ax.set_ylim(len(shown) - 0.3, -0.8)
    seen = table.loc[table["patient"].isin(shown), "day"]
    ax.set_xlim(seen.min() - LAST_DAYS, seen.max() + 2.0 * LAST_DAYS)
    ax.axvline(0.0, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
    dress(
        ax, title=f"Response at every scan, {len(order)} patients{one.where}",
        x="Days from the first dose",
    )  # fmt: skip
    ax.grid(visible=False, axis="y")
    key_below(figure, _keys(table[table["patient"].isin(shown)]), 3, NOTES)
    return figure


def _row(ax: Axes, row: int, mine: pd.DataFrame) -> None:
    day = mine["day"].to_numpy(float)
    ends = np.append(day[1:], day[-1] + LAST_DAYS)
    for start, end, code in zip(day, ends, mine["response"], strict=True):
        look = RESPONSES.get(code)
        colour, hatch = (look.colour, look.hatch) if look else (WHITE, "")
        ax.barh(
            row, end - start, THICK, start, color=colour, hatch=hatch, edgecolor=INK,
            linewidth=0.5, zorder=2,
        )  # fmt: skip
        if look and end - start >= LETTERED_DAYS:
            box = {"boxstyle": "square,pad=0.08", "facecolor": WHITE, "edgecolor": "none"}
            ax.text(
                0.5 * (start + end), row, look.letter, ha="center", va="center",
                fontsize=SMALL - 2.5, color=INK, bbox=box, zorder=3,
            )  # fmt: skip
    counts = day[mine["counts"].to_numpy(bool)]
    ax.plot(counts, np.full(len(counts), row), **_cross())


def _cross() -> dict:
    return {
        "marker": "X", "markersize": 7.5, "linestyle": "", "color": WHITE, "markeredgewidth": 0.8,
        "markerfacecolor": INK, "markeredgecolor": WHITE, "zorder": 4,
    }  # fmt: skip


def _keys(table: pd.DataFrame) -> list:
    there = set(table["response"])
    found: list = [patch(look, f"{name}: {look.name}") for name, look in RESPONSES.items()
                   if name in there]  # fmt: skip
    found.append(Patch(facecolor=WHITE, edgecolor=INK, linewidth=0.5, label="nothing compared yet"))
    if table["counts"].any():
        found.append(Line2D([], [], label="progression that counts", **_cross()))
    return found
