"""The house style: colours that the colour-blind can tell apart, and marks that print in grey."""

import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pdmodel.data import Cohort
from pdmodel.data.cohort import SizeKind

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
"""Okabe and Ito's palette."""
GREY, PALE, INK = "#8C8C8C", "#E4E4E4", "#262626"
WIDTH = 7.4
"""Inches; a page with margins."""
SMALL, TEXT, HEAD = 7.5, 8.5, 10.0
"""Sizes of text, in points."""
REPORT_DPI = 120
LONGEST_NAME = 34
SIZE_AXIS: Mapping[SizeKind, str] = {
    "sld": "Sum of longest diameters (mm)",
    "lesion": "Longest diameter of one lesion (mm)",
}


class Look(NamedTuple):
    """How one group is drawn: colour, and what tells it from the others in grey."""

    name: str
    colour: str
    hatch: str
    line: str | tuple
    marker: str
    letter: str


RESPONSES: Mapping[str, Look] = {
    "CR": Look("complete response", BLUE, "....", "-", "o", "CR"),
    "PR": Look("partial response", GREEN, "", (0, (6, 1.5)), "s", "PR"),
    "SD": Look("stable disease", ORANGE, "////", "-.", "^", "SD"),
    "PD": Look("progressive disease", VERMILLION, "xxxx", ":", "X", "PD"),
    "NE": Look("no scan to compare", GREY, "", "-", "d", "NE"),
}
CLASSES: Mapping[str, Look] = {
    "primary": Look("primary resistance", VERMILLION, "", "-", "X", "P"),
    "acquired": Look("acquired resistance", ORANGE, "////", (0, (6, 1.5)), "^", "A"),
    "early_loss": Look("response lost early", PURPLE, "xxxx", "-.", "v", "E"),
    "durable": Look("durable control", GREEN, "....", ":", "s", "D"),
    "not_determinable": Look("not determinable", "#C8C8C8", "", (0, (1, 3)), "d", "N"),
    "undecided": Look("undecided", "#FFFFFF", "\\\\\\\\", "--", "o", "?"),
}
LINES: Sequence[tuple[str, str | tuple]] = (
    (BLUE, "-"),
    (VERMILLION, "--"),
    (GREEN, "-."),
    (ORANGE, ":"),
    (PURPLE, (0, (6, 1.5))),
    (BLACK, (0, (1, 3))),
    (SKY, "-"),
    (GREY, "--"),
)
"""Colour and line of the first, second, ... of things that have no look of their own."""


def line_of(place: int) -> tuple[str, str | tuple]:
    """Colour and line style by place, from the start again after the last."""
    return LINES[place % len(LINES)]


def plain(text: object, longest: int = LONGEST_NAME) -> str:
    r"""Make somebody's text safe to draw: no mathtext, no control characters, not too long.

    >>> plain("$\\bad")
    '\\$\\bad'
    """
    shown = "".join(ch if ch.isprintable() else "\N{REPLACEMENT CHARACTER}" for ch in str(text))
    if len(shown) > longest:
        shown = f"{shown[: longest // 2 - 1]}…{shown[-(longest // 2) :]}"
    return shown.replace("$", r"\$")


def names_of(cohort: Cohort) -> dict[str, str]:
    """Names to draw, by key: ids, with the study where one id occurs in two."""
    ids = [patient.id for patient in cohort]
    once = len(set(ids)) == len(ids)
    return {patient.key: plain(patient.id if once else patient.key) for patient in cohort}


def page(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, known to no window and no global list; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def dress(ax: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Give an axis its title and labels (with units) in the house style."""
    if title:
        ax.set_title(title, loc="left", fontsize=HEAD, color=INK)
    ax.set_xlabel(x, fontsize=TEXT, color=INK)
    ax.set_ylabel(y, fontsize=TEXT, color=INK)
    ax.tick_params(labelsize=SMALL, color=GREY, labelcolor=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.grid(visible=True, color=PALE, linewidth=0.6)
    ax.set_axisbelow(True)


def heading(figure: Figure, title: str, below: str = "") -> None:
    """Say over a whole figure what it shows, with a smaller line of explanation."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=HEAD + 1, color=INK)
    if below:
        figure.supxlabel(below, x=0.01, ha="left", fontsize=SMALL, color=INK)


def key_below(figure: Figure, handles: Sequence[Artist], columns: int = 4) -> None:
    """Put one legend below the axes of a figure."""
    figure.legend(
        handles=list(handles), loc="outside lower left", ncols=columns, fontsize=SMALL,
        frameon=False, handlelength=2.8,
    )  # fmt: skip


def patch(look: Look, name: str = "") -> Patch:
    """Legend entry of an area."""
    return Patch(
        facecolor=look.colour, hatch=look.hatch, edgecolor=INK, linewidth=0.4,
        label=name or look.name,
    )  # fmt: skip


def stroke(look: Look, name: str = "") -> Line2D:
    """Legend entry of a line that ends in a mark."""
    return Line2D(
        [], [], color=look.colour, linestyle=look.line, marker=look.marker, markersize=4.5,
        linewidth=1.4, label=name or look.name,
    )  # fmt: skip


def png(figure: Figure, dpi: int = REPORT_DPI) -> bytes:
    """Give a figure as the bytes of a PNG file."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    return buffer.getvalue()
