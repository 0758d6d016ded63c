"""Kaplan-Meier plot: time to progression as it was seen, beside cohorts simulated from the fit."""

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdmodel.errors import DataError
from pdmodel.fit import Fit
from pdmodel.plot.style import BLUE, INK, SKY, SMALL, dress, key_below, page, paragraph
from pdmodel.plot.times import free_of_progression, observed_times, simulated_times, survival_band
from pdmodel.predict import replicated
from pdmodel.response import rule_named

NOTES = paragraph(
    "Progression of target lesions, at the scan that shows it; patients without it are censored at "
    "their last scan. Simulated cohorts have scans on the same days. As real scans often end with "
    "progression, a simulated patient who would progress later is censored there, which may lift "
    "the band."
)
PANELS = 8
"""Most days at which patients at risk are counted."""


def plot_km(
    fit: Fit,
    *,
    replicates: xr.Dataset | None = None,
    rule: str = "sitc2020",
    draws: int = 400,
    seed: int = 0,
) -> Figure:
    """Draw the share free of progression over time, observed and simulated.

    Parameters
    ----------
    fit : Fit
    replicates : Dataset, optional
        As `pdmodel.predict.replicated` gives it; drawn here otherwise.
    rule : str
        Rule of `pdmodel.response.RULES` for progression.
    draws, seed : int
        Of the replicates, if they are drawn here.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If no patient has a scan after baseline.
    OptionError
        If there is no such rule.
    """
    judged_by = rule_named(rule)
    observed = observed_times(fit.cohort, judged_by)
    if observed.empty:
        raise DataError(
            "No patient has a scan after baseline, so that no time to progression is known; "
            "add scans, or draw another kind."
        )
    drawn = replicated(fit, draws=draws, seed=seed) if replicates is None else replicates
    table = survival_band(observed, simulated_times(fit.cohort, drawn, judged_by))
    figure = page(4.9)
    ax = figure.subplots()
    _curves(ax, table, observed)
    out = len(observed.attrs["left_out"])
    note = f"; {out} without a later scan left out" if out else ""
    events = int(observed["event"].sum())
    title = f"Time to progression, {len(observed)} patients, {events} progressions{note}"
    x = "Days from the first dose (patients still at risk)"
    dress(ax, title=title, x=x, y="Share without progression of size")
    _at_risk(ax, table)
    key_below(figure, _keys(), 4, NOTES)
    return figure


def _curves(ax: Axes, table: pd.DataFrame, observed: pd.DataFrame) -> None:
    day = table["day"]
    ax.fill_between(
        day, table["low"], table["high"], step="post", facecolor=SKY, edgecolor=BLUE,
        linewidth=0.5, alpha=0.45,
    )  # fmt: skip
    ax.step(day, table["middle"], where="post", color=BLUE, linestyle="--", linewidth=1.2)
    ax.step(day, table["observed"], where="post", color=INK, linewidth=1.8)
    days, event = observed["days"].to_numpy(float), observed["event"].to_numpy(bool)
    censored = days[~event]
    height = free_of_progression(days, event, censored)
    ax.plot(censored, height, "|", color=INK, markersize=6, markeredgewidth=1.0)
    ax.set_ylim(0.0, 1.03)
    ax.set_xlim(0.0, 1.01 * float(day.iloc[-1]) or 1.0)


def _at_risk(ax: Axes, table: pd.DataFrame) -> None:
    """Write how many are at risk below some days."""
    days = [int(x) for x in ax.get_xticks() if 0 <= x <= table["day"].iloc[-1]]
    days = days[:: max(1, -(-len(days) // PANELS))]
    ax.set_xticks(days, [f"{day}\n({table['at_risk'].iloc[day]})" for day in days])
    ax.tick_params(labelsize=SMALL)


def _keys() -> list:
    return [
        Line2D([], [], color=INK, linewidth=1.8, label="observed"),
        Line2D([], [], color=INK, marker="|", linestyle="", markersize=6, label="censored"),
        Patch(facecolor=SKY, alpha=0.45, edgecolor=BLUE, label="simulated cohorts, 90 %"),
        Line2D([], [], color=BLUE, linestyle="--", linewidth=1.2, label="simulated, median"),
    ]
