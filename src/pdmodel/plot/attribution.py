"""Why patients resist: how often each single change would undo the resistance of each of them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdmodel.attribution import EXPOSURE, INSEPARABLE, LEAST_RESISTANT, NONE, attribute
from pdmodel.errors import DataError
from pdmodel.fit import Fit
from pdmodel.plot.style import (
    BLUE,
    DARK,
    GREEN,
    HATCHES,
    INK,
    LIGHT,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
    VERMILLION,
    WHITE,
    YELLOW,
    Look,
    dress,
    key_below,
    line_of,
    names_in,
    page,
    paragraph,
    patch,
)
from pdmodel.resistance import UNDECIDED

PER_PAGE = 60
"""Patients that are drawn by name."""
WHO = ("patient_id", "study", "arm", "p_resistant")
ATTRIBUTION = "attribution"
LOOKS: Mapping[str, tuple[str, str]] = {
    "fast growth": (VERMILLION, ""),
    "insufficient priming": (SKY, "////"),
    "suppressive microenvironment": (PURPLE, "xxxx"),
    "low antigenicity": (YELLOW, "\\\\\\\\"),
    "clonal escape": (BLUE, ""),
    "exhaustion": (ORANGE, "...."),
    "epigenetic fixation": (GREEN, "++++"),
    "antigen loss": (WHITE, "oooo"),
    EXPOSURE: (DARK, "...."),
    NONE: (LIGHT, ""),
}
HEADINGS = {
    UNDECIDED: "undecided between several",
    INSEPARABLE: "the data cannot separate causes",
}
NOTES = paragraph(
    "Bars: of the draws in which the patient resists, the share that each single change of the "
    "model would undo; one that several would undo counts in parts for each. This is what would "
    "have been under the model, not what is true of biology. “Cannot separate”: the scans say no "
    "more than those of all who resist."
)


def plot_attribution(
    fit: Fit, *, table: pd.DataFrame | None = None, hide_ids: bool = False
) -> Figure:
    """Draw why each patient resists who probably does, and count what resistance is laid to.

    Parameters
    ----------
    fit : Fit
    table : DataFrame, optional
        As `pdmodel.attribution.attribute` gives it; computed here otherwise.
    hide_ids : bool
        Write 1, 2, ... for the patients, in the order of the table.

    Returns
    -------
    Figure
        Up to 60 patients by name, more without names.

    Raises
    ------
    DataError
        If nobody resists with a probability of 0.5 or more.
    OptionError
        As `pdmodel.attribution.attribute` raises it.
    """
    table = attribute(fit) if table is None else table
    shown = in_order(table.assign(name=names_in(table, hide_ids=hide_ids)))
    if shown.empty:
        raise DataError(
            f"None of {len(table)} patients resists with a probability of {LEAST_RESISTANT:g} or "
            "more, so that nothing is attributed; a later --horizon may show who does."
        )
    named = len(shown) <= PER_PAGE
    gap = 1.3 if named else len(shown) / 30
    groups = shown.groupby(ATTRIBUTION, sort=False).ngroup().to_numpy()
    at = np.arange(len(shown)) + gap * (groups + 1)
    figure = page(0.155 * at[-1] + 1.9 if named else 6.0)
    ax = figure.subplots()
    _stacked(ax, shown, at, 0.82 if named else 1.0)
    _headings(ax, shown, at, gap)
    who = f"{len(shown)} of {len(table)} patients, who probably resist"
    dress(ax, title=f"What would undo resistance: {who}", x="Share of resistant draws")
    ax.set_yticks(at if named else [], shown["name"] if named else [])
    for text in ax.get_yticklabels():
        text.set_fontsize(SMALL - 1)
    ax.set_ylabel("" if named else "Patients, sorted", fontsize=SMALL + 1, color=INK)
    ax.grid(visible=False, axis="y")
    key_below(figure, [patch(_look(k, name)) for k, name in enumerate(causes(table))], 3, NOTES)
    return figure


def causes(table: pd.DataFrame) -> list[str]:
    """Names of the shares in a table of attributions, "no single cause" last."""
    return [str(name) for name in table if name not in (*WHO, ATTRIBUTION, "name")]


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Keep who probably resists, sorted by what it is attributed to, the clearest first.

    Attributions stand in the order of the causes, then "undecided" and what cannot be separated.
    """
    kept = table[table["p_resistant"] >= LEAST_RESISTANT]
    shares = kept[causes(table)].to_numpy(float)
    order = [*causes(table), UNDECIDED, INSEPARABLE]
    place = kept[ATTRIBUTION].map({name: k for k, name in enumerate(order)}).to_numpy(float)
    first = shares.argmax(axis=1) if len(kept) else place
    return kept.iloc[np.lexsort([-shares.max(axis=1, initial=0.0), first, place])].reset_index(
        drop=True
    )


def counted(shown: pd.DataFrame) -> pd.Series:
    """Count patients by what their resistance is attributed to, in the order of `in_order`."""
    order = [*causes(shown), UNDECIDED, INSEPARABLE]
    return shown[ATTRIBUTION].value_counts().reindex(order, fill_value=0)


def _look(place: int, name: str) -> Look:
    plain = line_of(place)[0], HATCHES[place % len(HATCHES)]
    colour, hatch = LOOKS.get(name, plain)
    return Look(name, colour, hatch, "-", "", "")


def _stacked(ax: Axes, shown: pd.DataFrame, at: np.ndarray, high: float) -> None:
    left = np.zeros(len(shown))
    for k, name in enumerate(causes(shown)):
        look, share = _look(k, name), shown[name].to_numpy(float)
        ax.barh(
            at, share, high, left, facecolor=look.colour, hatch=look.hatch, edgecolor=INK,
            linewidth=0.3 if high < 1.0 else 0.0,
        )  # fmt: skip
        left = left + share
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(at[-1] + 0.6, 0.0)


def _headings(ax: Axes, shown: pd.DataFrame, at: np.ndarray, gap: float) -> None:
    """Name each group above its bars, with the number of its patients."""
    for name, count in counted(shown).items():
        if count:
            first = at[np.flatnonzero(shown[ATTRIBUTION] == name)[0]]
            ax.annotate(
                f"{HEADINGS.get(str(name), str(name))}: {count}", (0.0, first - 0.5 - 0.1 * gap),
                xytext=(2, 0), textcoords="offset points", va="bottom", fontsize=SMALL,
                weight="bold", color=INK,
            )  # fmt: skip
