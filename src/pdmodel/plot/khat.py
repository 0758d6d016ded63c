"""Pareto k of leaving out one patient at a time: whom the fit leans on too much to judge by it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdmodel.compare import left_out
from pdmodel.fit import Fit
from pdmodel.plot.style import (
    BLUE,
    INK,
    SMALL,
    VERMILLION,
    WHITE,
    dress,
    key_below,
    names_of,
    page,
    paragraph,
)

NAMED, LABELLED = 60, 15
"""Up to so many patients all are named below; else those above the limit, the worst so many."""
NOTES = paragraph(
    "k: tail of the weights that take one patient out of the fit. Above the limit, the forecast of "
    "that patient from the others cannot be trusted without fitting again."
)


def plot_khat(fit: Fit, *, hide_ids: bool = False) -> Figure:
    """Draw the Pareto k of each patient, left out of the fit with all its scans, by importance.

    Parameters
    ----------
    fit : Fit
        Over nodes (``--method quick``; ``nuts`` for a walk, correlations or covariates).
    hide_ids : bool
        Write 1, 2, ... for the patients.

    Returns
    -------
    Figure

    Raises
    ------
    RunError
        If the fit has no integrated likelihood.
    OptionError
        If it has fewer than 100 draws, or its likelihood is not finite.
    """
    table = k_table(fit)
    limit = table.attrs["limit"]
    names = names_of(fit.cohort, hide_ids=hide_ids)
    figure = page(4.2)
    ax = figure.subplots()
    _dots(ax, table, limit)
    above = int(table["refit"].sum())
    title = f"Leaving out one patient at a time, {len(table)} patients: {above} above the limit"
    dress(ax, title=title, y="Pareto k (no unit)")
    ax.grid(visible=False, axis="x")
    shown = [names[key] for key in table["patient"]]
    if len(table) <= NAMED:
        ax.set_xticks(range(len(table)), shown, rotation=90)
        ax.set_xlabel("Patients, by k", fontsize=SMALL + 1, color=INK)
        for text in ax.get_xticklabels():
            text.set_fontsize(SMALL - (0.5 if len(table) <= NAMED // 2 else 2.0))
    else:
        ax.set_xticks([])
        ax.set_xlabel(f"{len(table)} patients, by k", fontsize=SMALL + 1, color=INK)
        for at in range(min(above, LABELLED)):
            ax.annotate(
                shown[at], (at, table["k"].iloc[at]), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=SMALL - 1, color=INK,
            )  # fmt: skip
    key_below(figure, _keys(limit), 3, NOTES)
    return figure


def k_table(fit: Fit) -> pd.DataFrame:
    """Give each patient's k, the largest first.

    Returns
    -------
    DataFrame
        Columns ``patient`` (key), ``k`` and ``refit`` (above the limit, which is in
        ``attrs["limit"]``).
    """
    found = left_out(fit)
    table = pd.DataFrame({"patient": fit.cohort.keys, "k": found.k, "refit": found.refit})
    order = table["k"].fillna(np.inf).sort_values(ascending=False, kind="stable").index
    table = table.loc[order].reset_index(drop=True)
    table.attrs["limit"] = found.limit
    return table


def _dots(ax: Axes, table: pd.DataFrame, limit: float) -> None:
    k, at = table["k"].to_numpy(float), np.arange(len(table))
    bad = table["refit"].to_numpy(bool)
    ax.plot(at[~bad], k[~bad], **_look(bad=False))
    ax.plot(at[bad], k[bad], **_look(bad=True))
    ax.axhline(limit, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    known = k[np.isfinite(k)]
    ax.set_ylim(min(-0.1, known.min(initial=0.0) - 0.1), max(1.0, known.max(initial=0.0) + 0.1))
    ax.set_xlim(-0.8, len(table) - 0.2)


def _look(*, bad: bool) -> dict:
    return {
        "marker": "X" if bad else "o", "markersize": 6.0 if bad else 4.5, "linestyle": "",
        "color": INK if bad else BLUE, "markeredgewidth": 0.8,
        "markerfacecolor": VERMILLION if bad else WHITE,
    }  # fmt: skip


def _keys(limit: float) -> list[Line2D]:
    return [
        Line2D([], [], label="can be trusted", **_look(bad=False)),
        Line2D([], [], label="fit again without the patient", **_look(bad=True)),
        Line2D(
            [], [], color=INK, linestyle=(0, (4, 3)), linewidth=1.0, label=f"limit, {limit:.2f}"
        ),
    ]
