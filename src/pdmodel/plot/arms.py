"""Arms of a simulated trial, compared: sizes over time, time to progression, endpoints."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdmodel.fit import Fit
from pdmodel.plot.style import (
    HATCHES,
    INK,
    SMALL,
    dress,
    heading,
    key_below,
    line_of,
    page,
    plain,
)
from pdmodel.simulate import Trial, simulate
from pdmodel.simulate.arms import NO_DRUG

ENDPOINTS: Mapping[str, str] = {
    "objective_response": "response\n(CR or PR)",
    "progression_free_day_182": "no progression\nby 6 months",
    "progression_free_day_365": "no progression\nby 12 months",
    "class_primary": "primary\nresistance",
    "class_acquired": "acquired\nresistance",
    "class_durable": "durable\ncontrol",
}
ACROSS = 3
LOWEST, HIGHEST = -105.0, 150.0
"""Percent; growth beyond is not drawn."""


def plot_arms(trial: Trial, *, seen: str = "measured") -> Figure:
    """Draw what virtual patients came to in each arm of a trial.

    Parameters
    ----------
    trial : Trial
    seen : {"measured", "latent"}
        Sizes as they would be measured, or the courses free of measurement error.

    Returns
    -------
    Figure
    """
    arms = list(trial.arms)
    across = min(len(arms), ACROSS)
    rows = -(-len(arms) // across)
    tall = 0.5 + len(ENDPOINTS) * (0.12 + 0.13 * len(arms))
    figure = page(2.2 * rows + tall + 1.1 + 0.16 * len(arms))
    whole = figure.add_gridspec(2, 1, height_ratios=[2.2 * rows, tall])
    upper = whole[0].subgridspec(rows, across)
    for place, arm in enumerate(arms):
        ax = figure.add_subplot(upper[divmod(place, across)])
        _courses(ax, trial, arm, seen, place)
        y = "" if place % across else "Change from baseline (%)"
        dress(ax, y=y, x="Days from the first dose")
        ax.tick_params(labelleft=place % across == 0)
        name = "\n".join(wrap(_named(trial, arm), 90 // across))
        ax.set_title(name, loc="left", fontsize=SMALL, color=INK)
    lower = whole[1].subgridspec(1, 2, width_ratios=[1.0, 1.2])
    _progression(figure.add_subplot(lower[0]), trial, seen)
    _endpoints(figure.add_subplot(lower[1]), trial, seen)
    heading(figure, _title(trial, seen))
    handles = [_handle(place, _named(trial, arm)) for place, arm in enumerate(arms)]
    key_below(figure, handles, 1, _notes(trial))
    return figure


def plot_arms_of_fit(
    fit: Fit,
    *,
    trial: Trial | None = None,
    arms: Mapping[str, str] | Sequence[str] | None = None,
    n: int = 1000,
    seed: int = 0,
    seen: str = "measured",
) -> Figure:
    """Draw a trial, simulated from a fit if it is not given.

    Parameters
    ----------
    fit : Fit
    trial : Trial, optional
    arms : mapping of str to str, or sequence of str, optional
        As for `pdmodel.simulate.simulate`; by default no drug, and the drugs of the cohort.
    n, seed : int
        Virtual patients, and seed.
    seen : {"measured", "latent"}
        As for `plot_arms`.

    Returns
    -------
    Figure
    """
    if trial is None:
        wanted = arms or ["none", *fit.cohort.drugs]
        trial = simulate(fit, wanted, n=n, seed=seed)
    return plot_arms(trial, seen=seen)


def endpoint_table(trial: Trial, seen: str) -> pd.DataFrame:
    """Give the endpoints that are drawn: ``arm, endpoint, estimate, low, high``, shares 0 to 1."""
    table = trial.summary
    kept = (table["seen"] == seen) & table["endpoint"].isin(list(ENDPOINTS))
    columns = ["arm", "endpoint", "estimate", "low", "high"]
    return table.loc[kept, columns].reset_index(drop=True)


def _title(trial: Trial, seen: str) -> str:
    how = "as measured" if seen == "measured" else "free of measurement error"
    return f"Simulated trial: {trial.manifest['n']} virtual patients in each arm, {how}"


def _named(trial: Trial, arm: str) -> str:
    prior_driven = trial.manifest["basis"][arm] == "prior-driven"
    name = "no drug" if trial.arms[arm] in NO_DRUG else plain(arm, 60)
    return f"{name} (prior-driven)" if prior_driven else name


def _look(place: int) -> dict[str, Any]:
    colour, line = line_of(place)
    return {"color": colour, "linestyle": line, "linewidth": 1.6}


def _handle(place: int, name: str) -> tuple[Patch, Line2D]:
    """Legend entry of an arm: its bars and its line."""
    bar = Patch(
        facecolor=line_of(place)[0], hatch=HATCHES[place % len(HATCHES)], edgecolor=INK,
        linewidth=0.4, label=name,
    )  # fmt: skip
    return bar, Line2D([], [], **_look(place))


def _notes(trial: Trial) -> list[str]:
    bands = "Upper row: median, middle half and 90 % of the virtual patients, cut at "
    notes = [f"{bands}+{HIGHEST:.0f} %; dashed: −30 % and +20 %."]
    if trial.prior_driven:
        unlearnt = ", ".join(plain(name) for name in trial.prior_driven)
        notes.append(f"Prior-driven: rests on {unlearnt}, which no data informed.")
    return notes


def _courses(ax: Axes, trial: Trial, arm: str, seen: str, place: int) -> None:
    """Draw the median course, and the middle half and 90 % of the patients."""
    change = trial.courses["change_percent"].sel(arm=arm, seen=seen)
    day = change["day"].to_numpy()
    cut = {float(q): np.asarray(change.sel(quantile=q)) for q in change["quantile"].to_numpy()}
    colour = line_of(place)[0]
    ax.fill_between(day, cut[0.05], cut[0.95], color=colour, alpha=0.18, linewidth=0)
    ax.fill_between(day, cut[0.25], cut[0.75], color=colour, alpha=0.3, linewidth=0)
    ax.plot(day, cut[0.5], **_look(place))
    for level in (-30.0, 20.0):
        ax.axhline(level, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
    ax.set_ylim(LOWEST, HIGHEST)


def _progression(ax: Axes, trial: Trial, seen: str) -> None:
    free = trial.courses["progression_free"].sel(seen=seen)
    for place, arm in enumerate(trial.arms):
        ax.step(free["day"], free.sel(arm=arm), where="post", **_look(place))
    ax.set_ylim(0.0, 1.02)
    x, y = "Days from the first dose", "Share of virtual patients"
    dress(ax, title="Without progression of size", x=x, y=y)


def _endpoints(ax: Axes, trial: Trial, seen: str) -> None:
    """Draw a bar with its 90 % interval for each endpoint and arm."""
    table = endpoint_table(trial, seen).set_index(["arm", "endpoint"])
    known = [name for name in ENDPOINTS if name in table.index.get_level_values("endpoint")]
    arms = list(trial.arms)
    height = 0.8 / len(arms)
    for place, arm in enumerate(arms):
        rows = table.loc[[(arm, name) for name in known]]
        at = np.arange(len(known)) - 0.4 + height * (place + 0.5)
        middle = rows["estimate"].to_numpy(float)
        ends = [middle - rows["low"].to_numpy(float), rows["high"].to_numpy(float) - middle]
        ax.barh(
            at, middle, 0.9 * height, color=line_of(place)[0], edgecolor=INK, linewidth=0.4,
            hatch=HATCHES[place % len(HATCHES)], xerr=np.maximum(ends, 0.0),
            error_kw={"elinewidth": 1.1, "capsize": 2.0, "ecolor": INK},
        )  # fmt: skip
    ax.set_ylim(len(known) - 0.5, -0.5)
    ax.set_xlim(0.0, 1.0)
    dress(ax, title="Endpoints, with 90 % intervals", x="Share of virtual patients")
    ax.set_yticks(range(len(known)), [ENDPOINTS[name] for name in known])
    ax.grid(visible=False, axis="y")
