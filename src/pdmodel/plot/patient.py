"""One patient's page: scans and course, T cells, and blockade."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdmodel.action import VOCABULARY
from pdmodel.data import Patient
from pdmodel.data.cohort import SizeKind
from pdmodel.fit import Fit
from pdmodel.plot.change import thresholds
from pdmodel.plot.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LINES,
    PURPLE,
    SIZE_AXIS,
    SMALL,
    VERMILLION,
    WIDTH,
    dress,
    key_below,
    line_of,
    names_of,
    page,
    plain,
)
from pdmodel.predict import latent_courses, predict
from pdmodel.response import RULES, Rule, baseline_index

AHEAD_DAYS = 84.0  # courses are drawn two visits beyond the last scan
LEGEND: dict[str, Any] = {
    "fontsize": SMALL, "loc": "upper right", "framealpha": 0.9, "edgecolor": "none",
}  # fmt: skip
"""Of a panel, on white, so that no line runs through the words."""
TITLE_WIDTH = 45  # characters
GRID, EVERY = 141, 5
"""Days on which courses are computed; each fifth for new measurements, whose noise is smoothed."""


class _Page(NamedTuple):
    patient: Patient
    name: str
    size_kind: SizeKind
    courses: xr.Dataset  # of this patient alone
    scans: pd.DataFrame  # as `predict` gives it
    rule: Rule


def plot_patient(
    fit: Fit,
    patient: str | None = None,
    *,
    until: float | None = None,
    rule: str = "sitc2020",
    draws: int = 400,
    seed: int = 0,
    hide_ids: bool = False,
) -> Figure:
    """Draw one patient: scans, course and forecast; effector and exhausted cells; blockade.

    Parameters
    ----------
    fit : Fit
    patient : str, optional
        Key, or id where unique; the first of the cohort by default.
    until : float, optional
        Last day drawn; by default 84 days after the last scan.
    rule : str
        Rule of `pdmodel.response.RULES` for the lines of response and progression.
    draws, seed, hide_ids : int, int, bool
        Draws; seed of the band of a new measurement; write the patient's number, not the id.

    Returns
    -------
    Figure
    """
    name = fit.cohort.keys[0] if patient is None else fit.cohort[patient].key
    return next(patient_pages(
        fit, [name], until=until, rule=rule, draws=draws, seed=seed, hide_ids=hide_ids
    ))  # fmt: skip


def patient_pages(
    fit: Fit,
    patients: Sequence[str],
    *,
    until: float | None = None,
    rule: str = "sitc2020",
    draws: int = 400,
    seed: int = 0,
    small: bool = False,
    hide_ids: bool = False,
) -> Iterator[Figure]:
    """Draw several patients, solving the courses of all at once.

    Options are those of `plot_patient`; `small` figures stand two abreast and have no legend.
    """
    chosen = [fit.cohort[name] for name in patients]
    if not chosen:
        return
    last = max(p.last_day for p in chosen) + AHEAD_DAYS if until is None else until
    first = min(p.start_day for p in chosen)
    days = np.linspace(first, max(last, first + 1.0), GRID)
    keys = [p.key for p in chosen]
    courses = latent_courses(fit, _with_edges(days, chosen), patients=keys, draws=draws)
    ends = {p.key: p.last_day + AHEAD_DAYS if until is None else until for p in chosen}
    sparse = np.unique([*days[::EVERY], *(p.start_day for p in chosen), *ends.values()])
    scans = predict(fit, sparse, patients=keys, draws=10 * draws, seed=seed)
    names = names_of(fit.cohort, hide_ids=hide_ids)
    for p in chosen:
        mine = scans.loc[(scans["patient_id"] == p.id) & (scans["study"] == p.study)]
        end = ends[p.key]
        seen = courses.sel(patient=p.key, day=slice(p.start_day, end))
        mine = mine.loc[mine["day"] <= end]
        given = _Page(p, names[p.key], fit.cohort.size_kind, seen, mine, RULES[rule])
        yield _draw(given, small=small)


def _with_edges(days: np.ndarray, patients: Sequence[Patient]) -> np.ndarray:
    """Add the ends of the patients' courses, and both ends of their first infusions."""
    given = [one for p in patients for one in p.regimens.values() if len(one)]
    ends = [(one.start[0], one.start[0] + one.duration[0]) for one in given]
    courses = [(p.start_day, p.last_day) for p in patients]
    return np.unique(np.concatenate([days, *courses, *ends]))


def _draw(given: _Page, *, small: bool = False) -> Figure:
    states = [str(n) for n in given.courses if _is_state(given.courses, str(n))]
    actions = [n for n in VOCABULARY if n in given.courses and bool((given.courses[n] > 0).any())]
    heights = [3.2, *([1.5] if states else []), *([1.1] if actions else [])]
    figure = page(sum(heights) + (0.4 if small else 1.2), 0.7 * WIDTH if small else WIDTH)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
    rest = iter(axes[:, 0])
    handles = _sizes(next(rest), given)
    if states:
        _states(next(rest), given, states)
    if actions:
        _actions(next(rest), given, actions)
    axes[-1, 0].set_xlabel("Days from the first dose", fontsize=8.5)
    for ax in axes[:, 0]:
        ax.axvline(given.patient.last_day, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)))
    figure.align_ylabels()
    if not small:
        key_below(figure, handles, 3)
    return figure


def _is_state(courses: xr.Dataset, name: str) -> bool:
    """Whether it is a state of cells; the burden itself is drawn as a size."""
    return set(courses[name].dims) == {"draw", "day"} and not name.startswith(("log_", "size_mm"))


def _bands(ax: Axes, courses: xr.DataArray, colour: str, line: str | tuple) -> None:
    """Draw the median and the 50 % and 90 % bands over draws."""
    cuts = _cuts(courses, [0.05, 0.25, 0.5, 0.75, 0.95])
    day = courses["day"].to_numpy()
    ax.fill_between(day, cuts[0], cuts[4], color=colour, alpha=0.22, linewidth=0)
    ax.fill_between(day, cuts[1], cuts[3], color=colour, alpha=0.35, linewidth=0)
    ax.plot(day, cuts[2], color=colour, linestyle=line, linewidth=1.6)


def _cuts(courses: xr.DataArray, at: list[float]) -> np.ndarray:
    """Quantiles over the draws that were solved (quantile, day); nan if none was."""
    solved = courses.transpose("draw", "day").to_numpy()
    solved = solved[np.isfinite(solved).all(axis=1)]
    return (
        np.quantile(solved, at, axis=0)
        if len(solved)
        else np.full((len(at), *courses["day"].shape), np.nan)
    )


def _sizes(ax: Axes, given: _Page) -> list:
    p, scans = given.patient, given.scans
    new = ax.fill_between(
        scans["day"], scans["q05"], scans["q95"], facecolor="#EFEFEF", edgecolor="#BDBDBD",
        linewidth=0.5, label="a new measurement, 90 %",
    )  # fmt: skip
    _bands(ax, given.courses["size_mm"], BLUE, "-")
    lines = _recist(ax, given)
    seen = ~p.censored
    ax.plot(p.day[seen], p.size_mm[seen], "o", color=INK, markersize=5, zorder=5)
    for day, limit in zip(p.day[p.censored], p.size_mm[p.censored], strict=True):
        ax.annotate(
            "", (day, 0.0), (day, limit), zorder=5,
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.3},
        )  # fmt: skip
        ax.plot([day - 4, day + 4], [limit, limit], color=INK, linewidth=1.3, zorder=5)
    if p.censored.any():
        at = int(np.flatnonzero(p.censored)[0])
        ax.annotate(
            f"≤ {p.size_mm[at]:g} mm", (p.day[at], p.size_mm[at]), xytext=(0, 4),
            textcoords="offset points", ha="center", fontsize=SMALL, color=INK,
        )  # fmt: skip
    top = _top(given)
    doses = _doses(ax, given, top)
    ax.set_ylim(-0.06 * top * len(doses) - 0.01 * top, top)
    ax.set_yticks([tick for tick in ax.get_yticks() if 0.0 <= tick <= top])
    ax.annotate(
        " forecast →", (p.last_day, 0.985), xycoords=("data", "axes fraction"), va="top",
        fontsize=SMALL, color=INK,
    )  # fmt: skip
    where = f" ({plain(', '.join(x for x in (p.study, p.arm) if x))})" if p.study or p.arm else ""
    title = wrap(f"Patient {given.name}{where}", TITLE_WIDTH, break_long_words=False)
    dress(ax, title="\n".join(title), y=SIZE_AXIS[given.size_kind])
    scan = Line2D([], [], color=INK, marker="o", linestyle="", markersize=5, label="scan")
    return [scan, *_band_keys(), new, *lines, *doses]


def _band_keys() -> list:
    return [
        Line2D([], [], color=BLUE, linewidth=1.6, label="course, median"),
        Patch(color=BLUE, alpha=0.5, label="course, 50 %"),
        Patch(color=BLUE, alpha=0.22, label="course, 90 %"),
    ]


def _top(given: _Page) -> float:
    """Upper limit of the sizes: what was seen and the middle of what is expected."""
    seen = [given.patient.size_mm.max(), thresholds(given.patient, given.rule)["progression_mm"]]
    central = float(np.max(_cuts(given.courses["size_mm"], [0.75]), initial=0.0))
    highest = max(np.max(seen[0]), seen[1].max() if len(seen[1]) else 0.0)
    return 1.18 * max(highest, np.fmin(central, 2.5 * highest))


def _recist(ax: Axes, given: _Page) -> list:
    table = thresholds(given.patient, given.rule)
    if table.empty:
        return []
    base = given.patient.day[baseline_index(given.patient.day)]
    day = np.concatenate([[base], table["day"], given.courses["day"].to_numpy()[-1:]])
    held = table.iloc[[0, *range(len(table)), -1]]
    first = ax.plot(
        day, held["response_mm"], color=GREEN, linestyle="--", linewidth=1.1,
        label=f"response: {_signed(given.rule.partial_response)} from baseline",
    )  # fmt: skip
    second = ax.plot(
        day, held["progression_mm"], color=VERMILLION, linestyle="-.", linewidth=1.1,
        drawstyle="steps-pre",
        label=f"progression: {_signed(given.rule.progression)} and "
        f"+{given.rule.progression_mm:g} mm from nadir",
    )  # fmt: skip
    return [*first, *second]


def _signed(change: float) -> str:
    return f"{100 * change:+.0f} %".replace("-", "−")


def _doses(ax: Axes, given: _Page, top: float) -> list:
    """Draw a row of ticks below zero for each drug, pale where doses are only assumed."""
    handles = []
    end = float(given.courses["day"][-1])
    for place, (name, doses) in enumerate(given.patient.treated_until(end).items()):
        tick = {
            "color": LINES[place % len(LINES)][0], "marker": 2, "linestyle": "",
            "markersize": 5.5, "markeredgewidth": 1.2,
        }  # fmt: skip
        height = -0.06 * top * (place + 0.9)
        planned = doses.start > given.patient.last_day
        for start, strength in ((doses.start[~planned], 1.0), (doses.start[planned], 0.4)):
            ax.plot(start, np.full(len(start), height), alpha=strength, zorder=4, **tick)
        after = " (pale: assumed)" if planned.any() else ""
        handles.append(Line2D([], [], label=f"dose of {plain(name)}{after}", **tick))
    return handles


def _states(ax: Axes, given: _Page, states: list[str]) -> None:
    colours = {"effector": (GREEN, "-"), "exhausted": (PURPLE, "--")}
    for place, name in enumerate(states):
        colour, line = colours.get(name, line_of(place))
        _bands(ax, given.courses[name], colour, line)
        ax.plot([], [], color=colour, linestyle=line, label=f"{plain(name)} T cells, median")
    ax.legend(**LEGEND, ncols=len(states))
    highest = np.max([_cuts(given.courses[n], [0.95]) for n in states])
    ax.set_ylim(0.0, 1.25 * (highest if np.isfinite(highest) else 1.0))
    dress(ax, y="T cells, relative to\neffectors before\ntreatment")


def _actions(ax: Axes, given: _Page, actions: list[str]) -> None:
    for place, name in enumerate(actions):
        colour, line = line_of(place)
        label = VOCABULARY[name].about
        course = given.courses[name]
        ax.plot(course["day"], course, color=colour, linestyle=line, linewidth=1.5, label=label)
    ax.set_ylim(-0.05, 1.65)
    ax.set_yticks([0.0, 0.5, 1.0])
    ax.legend(**LEGEND, ncols=len(actions))
    dress(ax, y="Blockade\n(fraction)")
