"""One patient explored: what is known, the forecast, and the course under changed doses."""

from textwrap import wrap

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdmodel.action import VOCABULARY
from pdmodel.explore import Explored, Future
from pdmodel.plot.change import thresholds
from pdmodel.plot.style import (
    BLACK,
    BLUE,
    DARK,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SIZE_AXIS,
    SKY,
    SMALL,
    TEXT,
    VERMILLION,
    WHITE,
    WIDTH,
    dress,
    key_below,
    line_of,
    page,
    plain,
)
from pdmodel.regimen import Regimen

NARROW = 5.5
"""Inches below which the legend has one column and the page is taller for it."""
CHANGED, DASHED = VERMILLION, (0, (5, 2))
ROW = 0.055
"""Height of a row of doses, of the height of the sizes."""
LETTERS, LABEL = 10.0, 15.0
"""Of a title, and of an entry of the legend, in an inch."""
BESIDE = 0.8
"""Inches beside the axes."""


def plot_explored(found: Explored, name: str = "", *, width: float = WIDTH) -> Figure:
    """Draw scans, course and forecast of a patient, and the course under changed doses.

    Parameters
    ----------
    found : Explored
        As `pdmodel.explore.explore` gives it.
    name : str
        What to call the patient, in a title; no title by default.
    width : float
        Inches.

    Returns
    -------
    Figure
        Sizes with doses below them; where a drug acts, the strength of its action in a second
        panel.
    """
    strengths = {**found.planned.strength, **(found.changed.strength if found.changed else {})}
    heights = [3.4, *([1.1] if strengths else [])]
    wide = width >= NARROW
    figure = page(sum(heights) + (1.6 if wide else 2.6), width)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
    title = f"Patient {plain(name)}" if name else ""
    handles = _sizes(axes[0, 0], found)
    lines = wrap(title, int(LETTERS * (width - BESIDE)), break_long_words=True)
    dress(axes[0, 0], title="\n".join(lines), y=SIZE_AXIS[found.known.fit.cohort.size_kind])
    if strengths:
        handles += _strengths(axes[1, 0], found, list(strengths))
    last = found.known.patient.last_day
    for ax in axes[:, 0]:
        ax.axvline(last, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)))
    axes[-1, 0].set_xlabel("Days from the first dose", fontsize=TEXT, color=INK)
    axes[0, 0].set_xlim(*_span(found))
    for one in handles:
        entry = one[0] if isinstance(one, tuple) else one
        entry.set_label("\n".join(wrap(str(entry.get_label()), int(LABEL * width) - 8)))
    key_below(figure, handles, 2 if wide else 1)
    return figure


def in_words(found: Explored) -> str:
    """Say what the picture shows, for those who cannot see it.

    Returns
    -------
    str
        Without the name of the patient.
    """
    known, day = found.known, found.known.patient.last_day
    hidden = len(known.whole.day) - len(known.patient.day)
    left_out = f", {hidden} later ones left out" if hidden else ""
    said = [
        f"{len(known.patient.day)} scans up to day {day:g}{left_out}",
        f"course forecast to day {found.day[-1]:g}: median {_end(found.planned)}",
    ]
    if found.changed:
        said.append(f"under changed doses: median {_end(found.changed)}")
    return "; ".join(said) + "."


def _end(future: Future) -> str:
    low, middle, high = future.size_mm[[0, 2, 4], -1]
    if not np.isfinite(middle):
        return "not solved"
    return f"{middle:.0f} mm (90 %: {low:.0f} to {high:.0f})"


def _span(found: Explored) -> tuple[float, float]:
    first, last = float(found.day[0]), float(found.day[-1])
    room = 0.02 * (last - first)
    return first - room, last + room


def _sizes(ax: Axes, found: Explored) -> list[Artist | tuple[Artist, ...]]:
    top = _top(found)
    handles = [*_scans(ax, found), *_bands(ax, found)]
    handles += _thresholds(ax, found)
    rows = _doses(ax, found, top)
    ax.set_ylim(-ROW * top * (len(rows) + 0.9), top)
    ax.set_yticks([tick for tick in ax.get_yticks() if 0.0 <= tick <= top])
    ax.annotate(
        " forecast →", (found.known.patient.last_day, 0.985), xycoords=("data", "axes fraction"),
        va="top", fontsize=SMALL, color=INK,
    )  # fmt: skip
    return [*handles, *rows]


def _bands(ax: Axes, found: Explored) -> list[Artist | tuple[Artist, ...]]:
    handles: list[Artist | tuple[Artist, ...]] = []
    own, changed = found.planned.size_mm, found.changed
    ax.fill_between(found.day, own[0], own[4], color=BLUE, alpha=0.16, linewidth=0)
    ax.fill_between(found.day, own[1], own[3], color=BLUE, alpha=0.3, linewidth=0)
    ax.plot(found.day, own[2], color=BLUE, linewidth=1.7)
    line = Line2D([], [], color=BLUE, linewidth=1.7)
    line.set_label("course as treated: median")
    shades = Patch(color=BLUE, alpha=0.45, label="50 % and 90 % of what is possible")
    handles += [line, (shades, Patch(color=BLUE, alpha=0.16))]
    if changed is not None:
        later = found.day >= found.from_day
        day, (low, middle, high) = found.day[later], changed.size_mm[[0, 2, 4]][:, later]
        ax.fill_between(day, low, high, color=CHANGED, alpha=0.12, linewidth=0)
        for edge in (low, high):
            ax.plot(day, edge, color=CHANGED, linewidth=0.8, linestyle=DASHED)
        ax.plot(day, middle, color=CHANGED, linewidth=1.7, linestyle=DASHED)
        line = Line2D([], [], color=CHANGED, linewidth=1.7, linestyle=DASHED)
        line.set_label("with your change: median, 90 %")
        handles.append((line, Patch(color=CHANGED, alpha=0.12)))
    return handles


def _scans(ax: Axes, found: Explored) -> list[Artist]:
    """Draw scans that are known, those left out, and where scans to come would read."""
    patient, whole = found.known.patient, found.known.whole
    many = len(patient.day)
    handles: list[Artist] = []
    for rows, filled, label in (
        (slice(None, many), INK, "scan"),
        (slice(many, None), WHITE, "later scan, left out"),
    ):
        day, size, censored = whole.day[rows], whole.size_mm[rows], whole.censored[rows]
        if not len(day):
            continue
        mark = {"color": INK, "markerfacecolor": filled, "linestyle": "", "zorder": 5}
        ax.plot(day[~censored], size[~censored], marker="o", markersize=5.5, **mark)
        ax.plot(day[censored], size[censored], marker="v", markersize=6, **mark)
        handles.append(Line2D([], [], marker="o", markersize=5.5, label=label, **mark))
        if censored.any():
            handles.append(Line2D([], [], marker="v", label=f"{label}, at most this size", **mark))
    if len(found.scan_day):
        low, high = found.scan_mm[[0, 4]]
        line = ax.vlines(found.scan_day, low, high, color=DARK, linewidth=0.9, alpha=0.7, zorder=3)
        line.set_label("a new scan would read here, 90 %")
        handles.append(line)
    return handles


def _thresholds(ax: Axes, found: Explored) -> list[Artist]:
    """Draw response and progression by the known scans, as the rule has them."""
    table, rule = thresholds(found.known.patient, found.rule), found.rule
    if table.empty:
        return []
    day = np.append(table["day"], found.day[-1])
    held = table.iloc[[*range(len(table)), -1]]
    response = ax.plot(
        day, held["response_mm"], color=GREEN, linestyle="--", linewidth=1.0,
        label=f"response: −{-100 * rule.partial_response:.0f} % from baseline",
    )  # fmt: skip
    progression = ax.plot(
        day, held["progression_mm"], color=ORANGE, linestyle="-.", linewidth=1.0,
        drawstyle="steps-pre",
        label=f"progression: +{100 * rule.progression:.0f} % and "
        f"+{rule.progression_mm:g} mm from smallest",
    )  # fmt: skip
    return [*response, *progression]


def _top(found: Explored) -> float:
    """Upper limit of the sizes: what was seen, and the middle of what is expected."""
    table = thresholds(found.known.patient, found.rule)
    seen = [float(found.known.whole.size_mm.max()), *table["progression_mm"]]
    futures = [found.planned, *([found.changed] if found.changed else [])]
    upper = max(float(np.nanmax(np.append(one.size_mm[3], 0.0))) for one in futures)
    return 1.18 * max(*seen, min(upper, 2.5 * max(seen)))


def _doses(ax: Axes, found: Explored, top: float) -> list[Artist]:
    """Draw a row of ticks below zero for the doses of each drug, and of each that is changed."""
    handles: list[Artist] = []
    for name, given, changed in _rows(found):
        colour = CHANGED if changed else line_of(0)[0]
        height = -ROW * top * (len(handles) + 0.85)
        shown = given.start[given.start >= found.day[0]]
        mark = {"color": colour, "linestyle": "", "markersize": 5.5, "markeredgewidth": 1.2}
        mark["marker"] = 3 if changed else 2
        ax.plot(shown, np.full(len(shown), height), zorder=4, **mark)
        said = ", changed" if changed else ""
        handles.append(Line2D([], [], label=f"dose of {plain(name)}{said}", **mark))
    return handles


def _rows(found: Explored) -> list[tuple[str, Regimen, bool]]:
    own = found.planned.given
    rows = [(name, one, False) for name, one in own.items() if len(one)]
    other = found.changed.given if found.changed else {}
    return rows + [(name, one, True) for name, one in other.items() if one != own.get(name)]


def _strengths(ax: Axes, found: Explored, actions: list[str]) -> list[Artist]:
    """Draw the strength of each action, dashed where doses are changed."""
    handles: list[Artist] = []
    for k, action in enumerate(actions):
        look = {"color": (PURPLE, GREEN, BLACK, SKY)[k % 4], "linewidth": 1.4}
        for future, line in ((found.planned, "-"), (found.changed, DASHED)):
            if future is not None:
                strength = future.strength.get(action, np.zeros(len(found.day)))
                ax.plot(found.day, strength, linestyle=line, **look)
        dashed = " (dashed: changed)" if found.changed else ""
        handles.append(Line2D([], [], label=f"{VOCABULARY[action].about}{dashed}", **look))
    ax.set_ylim(-0.05, 1.1)
    ax.set_yticks([0.0, 0.5, 1.0])
    dress(ax, y="Effect of drugs\n(0 none, 1 full)")
    return handles
