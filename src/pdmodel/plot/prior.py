"""Prior and posterior side by side: what the data said, and what was only assumed."""

from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdmodel.diagnose import diagnose
from pdmodel.fit import Fit
from pdmodel.plot.quantity import (
    Quantity,
    common,
    density,
    natural,
    own,
    prior_density,
    ticks,
    transformed,
    window,
)
from pdmodel.plot.style import (
    BLUE,
    GREY,
    INK,
    PALE,
    SMALL,
    TEXT,
    dress,
    heading,
    key_below,
    page,
    plain,
    unit_of,
)
from pdmodel.summaries import LEARNT, PRIOR_DRIVEN

COLUMNS = 3
CONTRACTION = (
    "Contraction: part of the prior's sd that the data took away; below "
    f"{PRIOR_DRIVEN:g} prior-driven, from {LEARNT:g} learnt."
)
ACROSS = 42
"""Characters of a line below a panel."""
MOST_CURVES = 60
"""Patients whose curves are drawn, of those fitted alone."""


def plot_prior_posterior(fit: Fit) -> Figure:
    """Draw the densities of prior and posterior, with the contraction of each.

    Contraction is 1 - posterior sd / prior sd on the scale of the prior: 0, nothing was learnt;
    near 1, the prior hardly mattered. Of a hierarchical fit the population's parameters are drawn;
    of patients fitted alone each patient's, one thin curve a patient.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Figure
    """
    found = diagnose(fit)
    alone = fit.pooling == "none"
    quantities = own(fit) if alone else common(fit)
    table = found.patients if alone else found.population
    rows = -(-len(quantities) // COLUMNS)
    figure = page(2.15 * rows + 1.1)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax, q in zip(axes, quantities, strict=False):
        _densities(ax, q)
        _title(ax, q, table.loc[table["parameter"] == q.name])
    for ax in axes[len(quantities) :]:
        ax.set_axis_off()
    what = "each patient, fitted alone" if alone else "the population"
    heading(figure, f"What was learnt about {what}")
    name = "density of the posterior" + (", one line a patient" if alone else "")
    prior = Patch(facecolor=PALE, edgecolor=GREY, linestyle="--", label="density of the prior")
    posterior = Line2D([], [], color=BLUE, linewidth=1.6, label=name)
    key_below(figure, [prior, posterior], notes=[CONTRACTION])
    return figure


def _densities(ax: Axes, q: Quantity) -> None:
    at = window(q)
    prior = prior_density(q, at)
    ax.fill_between(at, prior, color=PALE, edgecolor=GREY, linestyle="--", linewidth=1.0)
    flat = transformed(q.draws, q.transform)
    curves = [flat.ravel()] if flat.ndim == 2 else list(flat.reshape(-1, flat.shape[-1]).T)
    thin = len(curves) > 1
    highest = float(prior.max())
    for u in curves[:MOST_CURVES]:
        curve = density(u, at)
        if curve is None:
            ax.axvline(float(np.nanmean(u)), color=BLUE, linewidth=1.4)
            continue
        highest = max(highest, float(curve.max()))
        ax.plot(at, curve, color=BLUE, linewidth=0.6 if thin else 1.6, alpha=0.6 if thin else 1.0)
    ax.set_ylim(0.0, 1.08 * highest)
    ax.set_xlim(at[0], at[-1])
    low, high = (float(x) for x in natural(at[[0, -1]], q.transform))
    shown = ticks(low, high, q.transform, 4)
    ax.set_xticks(transformed(shown, q.transform), [f"{value:g}" for value in shown])
    dress(ax)
    meaning = "\n".join(wrap(f"{plain(q.about, 2 * ACROSS)} ({unit_of(q.unit)})", ACROSS))
    ax.set_xlabel(meaning, fontsize=SMALL, color=INK)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _title(ax: Axes, q: Quantity, rows: pd.DataFrame) -> None:
    """Say what it is, and how much was learnt."""
    contraction = rows["contraction"].to_numpy(float)
    known = contraction[np.isfinite(contraction)]
    if not known.size:
        learnt = "contraction unknown"
    elif len(rows) == 1:
        learnt = f"contraction {known[0]:.2f}, {rows['informed'].iloc[0]}"
    else:
        ends = f"{known.min():.2f} to {known.max():.2f}"
        learnt = f"contraction {np.median(known):.2f} ({ends})"
    ax.set_title(f"{plain(q.label)}\n", loc="left", fontsize=TEXT, color=INK)
    ax.text(0.0, 1.03, learnt, transform=ax.transAxes, fontsize=SMALL, color=INK)
