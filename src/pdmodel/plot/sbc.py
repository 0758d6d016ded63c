"""Ranks of simulation-based calibration: whether the truth lies anywhere among draws as often."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdmodel.errors import DataError, OptionError
from pdmodel.fit import Fit
from pdmodel.plot.calibration import ecdf_difference
from pdmodel.plot.style import (
    BLUE,
    INK,
    SKY,
    SMALL,
    VERMILLION,
    dress,
    heading,
    key_below,
    page,
    paragraph,
    plain,
)

LEVEL = 0.95
ACROSS = 4
JOINT = "log likelihood"
"""What is ranked beside the parameters."""
HOW = (
    "The plot 'sbc' is of a file of ranks: give the one that benchmarks/bench_sbc.py keeps "
    "(--keep FILE) with --table FILE."
)
NOTES = paragraph(
    "Each panel: share of replicates whose true value ranks below x among the draws of the fit, "
    "less x. Above 0 on the left and below on the right: draws too narrow; the reverse: too wide; "
    "on one side all along: draws too large (above) or too small (below). A band holds the whole "
    "curve of even ranks in 95 % of the cases: one panel in twenty leaves its own by chance."
)


def plot_sbc(fit: Fit, *, table: pd.DataFrame | None = None) -> Figure:
    """Draw ranks of the population parameters of a fit's model.

    Parameters
    ----------
    fit : Fit
        Of the model whose calibration the ranks are of.
    table : DataFrame
        As `pdmodel.tables.read_ranks` gives it.

    Returns
    -------
    Figure

    Raises
    ------
    OptionError
        If there is no table.
    DataError
        If the ranks are of another model.
    """
    if table is None:
        raise OptionError(HOW)
    strange = [name for name in table if name != JOINT and name not in fit.posterior]
    if strange:
        raise DataError(
            f"The ranks are of {', '.join(map(plain, strange))}, which the fit has not; they are "
            "of another model. Draw them beside a run of their own model."
        )
    return plot_ranks(table)


def plot_ranks(table: pd.DataFrame) -> Figure:
    """Draw ranks of any quantities, a panel each.

    Parameters
    ----------
    table : DataFrame
        As `pdmodel.tables.read_ranks` gives it.

    Returns
    -------
    Figure
    """
    curves = rank_curves(table)
    quantities = list(dict.fromkeys(curves["quantity"]))
    rows = -(-len(quantities) // ACROSS)
    figure = page(1.5 * rows + 1.8)
    axes = figure.subplots(rows, ACROSS, sharex=True, sharey=True, squeeze=False)
    for k, (name, ax) in enumerate(zip(quantities, axes.flat, strict=False)):
        _panel(ax, curves[curves["quantity"] == name], name)
        ax.tick_params(labelleft=k % ACROSS == 0, labelbottom=k + ACROSS >= len(quantities))
        ax.set_ylabel("" if k % ACROSS else "Share below,\nless even", fontsize=SMALL, color=INK)
        if k + ACROSS >= len(quantities):
            ax.set_xlabel("Rank among draws (share)", fontsize=SMALL, color=INK)
    for ax in axes.flat[len(quantities) :]:
        ax.set_axis_off()
    off = int(curves.groupby("quantity")["outside"].any().sum())
    heading(
        figure,
        f"Calibration by simulation, {len(table)} replicates: {off} of {len(quantities)} "
        "quantities leave their band",
    )
    told = [] if "trusted" not in table.attrs else [_trusted(table)]
    key_below(figure, _keys(), 3, [*told, *NOTES])
    return figure


def rank_curves(table: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """Compare the ranks of each quantity with even ones.

    Parameters
    ----------
    table : DataFrame
        Ranks from 0 to 1, a row for each replicate and a column for each quantity.
    level : float
        Probability that the whole curve of even ranks stays inside its band.

    Returns
    -------
    DataFrame
        Columns ``quantity``, those of `pdmodel.plot.calibration.ecdf_difference`, and ``outside``.
    """
    found = []
    for name in map(str, table):
        curve = ecdf_difference(table[name].to_numpy(float), level=level)
        outside = (curve["difference"] < curve["low"]) | (curve["difference"] > curve["high"])
        found.append(curve.assign(quantity=name, outside=outside))
    return pd.concat(found, ignore_index=True)


def _trusted(table: pd.DataFrame) -> str:
    return f"{table.attrs['trusted']} of {len(table)} fits passed all their checks; all are drawn."


def _panel(ax: Axes, curve: pd.DataFrame, name: str) -> None:
    off = bool(curve["outside"].any())
    ax.fill_between(curve["at"], curve["low"], curve["high"], color=SKY, alpha=0.35, linewidth=0)
    colour, line = (VERMILLION, "--") if off else (BLUE, "-")
    ax.step(curve["at"], curve["difference"], where="post", color=colour, linestyle=line)
    ax.axhline(0.0, color=INK, linewidth=0.7)
    dress(ax)
    ax.set_title(plain(name) + (" ✕" if off else ""), loc="left", fontsize=SMALL, color=INK)
    ax.set_xlim(0.0, 1.0)
    ax.set_xticks(np.linspace(0.0, 1.0, 3), ["0", "0.5", "1"])


def _keys() -> list[Line2D | Patch]:
    return [
        Patch(facecolor=SKY, alpha=0.35, label="95 % of even ranks"),
        Line2D([], [], color=BLUE, label="inside"),
        Line2D([], [], color=VERMILLION, linestyle="--", label="leaves the band (✕)"),
    ]
