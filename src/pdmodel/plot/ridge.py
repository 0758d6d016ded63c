"""Pair plot of one patient: which parameters the data tell only together."""

from itertools import combinations
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdmodel.errors import ModelError
from pdmodel.fit import Fit
from pdmodel.plot.quantity import Quantity, density, natural, own, ticks, transformed
from pdmodel.plot.style import (
    BLUE,
    GREY,
    INK,
    SMALL,
    TEXT,
    VERMILLION,
    dress,
    heading,
    key_below,
    names_of,
    page,
    paragraph,
    plain,
    unit_of,
)

MOST_DOTS = 800
STRONG = 0.7
"""Correlation from which two parameters are said to be hard to tell apart."""
MARGIN = 0.06


def plot_pairs(fit: Fit, *, patient: str | None = None, hide_ids: bool = False) -> Figure:
    """Draw the draws of one patient's parameters against each other, and name the strongest ridge.

    Parameters
    ----------
    fit : Fit
    patient : str, optional
        Key, or id where unique; by default the patient with the strongest correlation.
    hide_ids : bool
        Write the number of the patient in place of the id.

    Returns
    -------
    Figure

    Raises
    ------
    ModelError
        If patients have fewer than two parameters of their own.
    """
    everybody = own(fit)
    if len(everybody) < 2:
        raise ModelError(
            f"Patients have {len(everybody)} parameter of their own in this model, and a pair "
            "needs two; draw another kind."
        )
    found = strongest(everybody, fit.cohort.keys)
    key = str(found["patient"].iloc[0]) if patient is None else fit.cohort[patient].key
    quantities = own(fit, key)
    ridge = found[found["patient"] == key].iloc[0]
    pair = {str(ridge["first"]), str(ridge["second"])}
    count = len(quantities)
    figure = page(0.55 + 6.3 * min(1.0, 0.25 * count + 0.15), 7.4)
    axes: list[list[Axes]] = figure.subplots(count, count, squeeze=False).tolist()
    for row, column in np.ndindex(count, count):
        _panel(axes[row][column], quantities, row, column, pair)
    who = f"Patient {names_of(fit.cohort, hide_ids=hide_ids)[key]}"
    heading(figure, f"{who}: what the scans tell only together")
    key_below(figure, [], notes=_notes(ridge, chosen=patient is None))
    return figure


def correlations(quantities: list[Quantity]) -> pd.DataFrame:
    """Correlate one patient's parameters on their transformed scales, the strongest first.

    Parameters
    ----------
    quantities : list of Quantity
        Draws of shape (chains, draws).

    Returns
    -------
    DataFrame
        Columns ``first, second, correlation``; nan where draws do not move.
    """
    flat = np.stack([transformed(q.draws, q.transform).ravel() for q in quantities])
    flat = flat[:, np.isfinite(flat).all(axis=0)]
    with np.errstate(all="ignore"):  # draws that do not move have no correlation
        table = np.corrcoef(flat)
    names = [q.name for q in quantities]
    rows = [(names[a], names[b], table[a, b]) for a, b in combinations(range(len(names)), 2)]
    found = pd.DataFrame(rows, columns=["first", "second", "correlation"])
    return found.sort_values(
        "correlation", key=lambda x: -x.abs().fillna(-1.0), kind="stable", ignore_index=True
    )


def strongest(quantities: list[Quantity], keys: tuple[str, ...]) -> pd.DataFrame:
    """Give each patient's strongest correlation, the strongest of all first.

    Parameters
    ----------
    quantities : list of Quantity
        Draws of shape (chains, draws, patients).
    keys : tuple of str
        Of the patients.

    Returns
    -------
    DataFrame
        Columns ``patient, first, second, correlation``.
    """
    tops = [
        correlations([q._replace(draws=q.draws[..., k]) for q in quantities]).iloc[[0]]
        for k in range(len(keys))
    ]
    found = pd.concat(tops, ignore_index=True)
    found.insert(0, "patient", list(keys))
    return found.sort_values(
        "correlation", key=lambda x: -x.abs().fillna(-1.0), kind="stable", ignore_index=True
    )


def _panel(ax: Axes, quantities: list[Quantity], row: int, column: int, ridge: set[str]) -> None:
    """Draw a density on the diagonal, dots below it, and the correlation above it."""
    up, across = quantities[row], quantities[column]
    dress(ax)
    ax.grid(visible=False)
    if column > row:
        ax.set_axis_off()
        r = float(correlations([across, up])["correlation"].iloc[0])
        bold = {across.name, up.name} == ridge
        ax.text(
            0.5, 0.5, _signed(r), transform=ax.transAxes, ha="center", va="center", color=INK,
            fontsize=TEXT + 2.0, weight="bold" if bold else "normal",
        )  # fmt: skip
        return
    x = transformed(across.draws, across.transform).ravel()
    low, high = _ends(x)
    if row == column:
        at = np.linspace(low, high, 120)
        curve = density(x, at)
        if curve is None:
            ax.axvline(float(np.nanmean(x)), color=BLUE, linewidth=1.4)
        else:
            ax.fill_between(at, curve, color=BLUE, alpha=0.25, linewidth=0)
            ax.plot(at, curve, color=BLUE, linewidth=1.3)
        ax.set_ylim(bottom=0.0)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_title(plain(across.name), loc="left", fontsize=TEXT, color=INK)
    else:
        y = transformed(up.draws, up.transform).ravel()
        some = np.unique(np.linspace(0, len(x) - 1, MOST_DOTS).astype(int))
        strong = {across.name, up.name} == ridge
        colour = VERMILLION if strong else GREY
        ax.plot(x[some], y[some], ".", color=colour, markersize=2.0, alpha=0.5)
        if strong:
            ax.spines[:].set(visible=True, color=INK, linewidth=1.4)
        _label(ax, "y", up, *_ends(y), shown=column == 0)
    _label(ax, "x", across, low, high, shown=row == len(quantities) - 1)


def _label(ax: Axes, which: str, q: Quantity, low: float, high: float, *, shown: bool) -> None:
    """Mark round values of the natural scale; words and numbers at the edge of the figure only."""
    first, last = (float(value) for value in natural(np.array([low, high]), q.transform))
    values = ticks(first, last, q.transform, 3)
    if len(values) < 2:
        values = np.array([float(f"{value:.2g}") for value in np.linspace(first, last, 4)[1:3]])
    words = [f"{value:g}" if shown else "" for value in values]
    name = "\n".join(wrap(f"{plain(q.name)} ({unit_of(q.unit)})", 22))
    if which == "x":
        ax.set_xlim(low, high)
        ax.set_xticks(transformed(values, q.transform), words)
        ax.set_xlabel(name, fontsize=SMALL, color=INK, visible=shown)
    else:
        ax.set_ylim(low, high)
        ax.set_yticks(transformed(values, q.transform), words)
        ax.set_ylabel(name, fontsize=SMALL, color=INK, visible=shown)


def _ends(u: np.ndarray) -> tuple[float, float]:
    known = u[np.isfinite(u)]
    if not known.size:
        return -1.0, 1.0
    low, high = np.quantile(known, [0.002, 0.998])
    room = MARGIN * (high - low) or 0.05
    return float(low - room), float(high + room)


def _notes(ridge: pd.Series, *, chosen: bool) -> list[str]:
    r, (one, two) = float(ridge["correlation"]), (plain(ridge[n]) for n in ("first", "second"))
    scale = "Numbers: correlations on the scales drawn. One dot is one draw of the posterior."
    scale += " Of all patients, this one has the strongest." if chosen else ""
    if not np.isfinite(r):
        return paragraph(f"No parameter of this patient moves together with another. {scale}")
    if abs(r) < STRONG:
        said = f"Strongest: {one} and {two} ({_signed(r)}), not a narrow ridge."
    else:
        said = f"Strongest ridge: {one} and {two} ({_signed(r)}): the scans tell the two together "
        said += "better than each by itself."
    return paragraph(f"{said} {scale}")


def _signed(r: float) -> str:
    return f"{r:+.2f}".replace("-", "−") if np.isfinite(r) else "unknown"
