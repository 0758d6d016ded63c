"""Trace and rank plots: whether all chains of a fit went through the same places.

ArviZ draws such plots too, but opens them in pyplot's global list of windows and reads names as
mathematics; these are plain figures. Its numbers (R-hat, effective draws) are used, by `diagnose`.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy import stats

from pdmodel.diagnose import Diagnosis, diagnose
from pdmodel.fit import Fit
from pdmodel.plot.quantity import Quantity, common, own
from pdmodel.plot.style import (
    GREY,
    INK,
    SMALL,
    dress,
    heading,
    key_below,
    line_of,
    names_of,
    page,
    plain,
    unit_of,
)
from pdmodel.summaries import MIXING

BINS = 20
NOTES = (
    "ESS: effective number of draws, in the bulk and in the tails of 5 %.",
    "Ranks: share of a chain's draws in each bin of rank, relative to an even share.",
)


def plot_trace_rank(fit: Fit, *, patient: str | None = None, hide_ids: bool = False) -> Figure:
    """Draw every draw of each quantity by chain, and how the chains' ranks are spread.

    Parameters
    ----------
    fit : Fit
    patient : str, optional
        Key, or id where unique, to see this patient's parameters. By default those of the
        population or, for patients fitted alone, of the patient with the worst R-hat.
    hide_ids : bool
        Write the number of the patient in place of the id.

    Returns
    -------
    Figure
    """
    diagnosis = diagnose(fit)
    whose, quantities, table = _chosen(fit, diagnosis, patient, hide_ids=hide_ids)
    figure = page(1.15 * len(quantities) + 1.2)
    axes = figure.subplots(len(quantities), 2, width_ratios=[2.2, 1.0], squeeze=False)
    for (left, right), q in zip(axes, quantities, strict=True):
        _trace(left, q)
        _ranks(right, q)
        r_hat, bulk, tail = np.asarray(table.loc[q.name, list(MIXING)], float)
        left.set_title(
            f"{plain(q.label)}: R-hat {r_hat:.3f}, ESS {_whole(bulk)} bulk, {_whole(tail)} tails",
            loc="left", fontsize=SMALL, color=INK,
        )  # fmt: skip
    axes[0, 1].set_title("ranks: flat if chains agree", loc="left", fontsize=SMALL, color=INK)
    axes[-1, 0].set_xlabel("Draw after warm-up", fontsize=SMALL, color=INK)
    axes[-1, 1].set_xlabel("Rank among all draws (fraction)", fontsize=SMALL, color=INK)
    heading(figure, f"Did the chains go to the same places? {whose}")
    chains = [
        Line2D([], [], color=colour, linestyle=line, label=f"chain {k + 1}")
        for k, (colour, line) in enumerate(map(line_of, range(quantities[0].draws.shape[0])))
    ]
    key_below(figure, chains, 8, NOTES)
    return figure


def rank_shares(draws: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Share of each chain's draws in equal bins of rank among all draws; shape (chains, bins).

    All are ``1 / bins`` where chains agree perfectly.
    """
    ranks = (stats.rankdata(draws, axis=None).reshape(draws.shape) - 0.5) / draws.size
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.array([np.histogram(chain, edges)[0] / len(chain) for chain in ranks])


def _chosen(
    fit: Fit, diagnosis: Diagnosis, patient: str | None, *, hide_ids: bool
) -> tuple[str, list[Quantity], pd.DataFrame]:
    if patient is None and fit.pooling == "partial":
        table = diagnosis.population.set_index("parameter")
        return "Population parameters", common(fit), table
    rows = diagnosis.patients
    if patient is None:
        r_hat = rows["r_hat"].fillna(np.inf).to_numpy()
        key, why = str(rows["patient"].iloc[int(np.argmax(r_hat))]), ", who has the worst R-hat"
    else:
        key, why = fit.cohort[patient].key, ""
    table = rows[rows["patient"] == key].set_index("parameter")
    return f"Patient {names_of(fit.cohort, hide_ids=hide_ids)[key]}{why}", own(fit, key), table


def _trace(ax: Axes, q: Quantity) -> None:
    for k, chain in enumerate(q.draws):
        colour, line = line_of(k)
        ax.plot(chain, color=colour, linestyle=line, linewidth=0.5, alpha=0.85)
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    dress(ax, y=unit_of(q.unit))


def _ranks(ax: Axes, q: Quantity) -> None:
    edges = np.linspace(0.0, 1.0, BINS + 1)
    shares = rank_shares(q.draws)
    for k, share in enumerate(shares):
        colour, line = line_of(k)
        ax.stairs(share * BINS, edges, color=colour, linestyle=line, linewidth=1.0)
    ax.axhline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    ax.set_ylim(0.0, max(2.0, float(shares.max()) * BINS * 1.1))
    dress(ax, y="ratio")


def _whole(number: float) -> str:
    return f"{number:.0f}" if np.isfinite(number) else "unknown"
