"""The house style: colours that the colour-blind can tell apart, and marks that print in grey."""

import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from textwrap import wrap
from typing import Any, Literal, NamedTuple

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from pdmodel.data import Cohort
from pdmodel.data.cohort import SizeKind
from pdmodel.errors import OptionError

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
"""Okabe and Ito's palette."""
GREY, PALE, INK, WHITE = "#8C8C8C", "#E4E4E4", "#262626", "#FFFFFF"
LIGHT, DARK = "#C8C8C8", "#555555"
WIDTH = 7.4
"""Inches; a page with margins."""
SMALL, TEXT, HEAD = 7.5, 8.5, 10.0
"""Sizes of text, in points."""
PRINT_DPI, REPORT_DPI, COLOURS = 200, 150, 256
LONGEST_NAME, NOTE_WIDTH = 34, 112
"""Characters of a name, and of a line of notes."""
ROUND_MM = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Sizes that are written on logarithmic axes."""
SIZE_AXIS: Mapping[SizeKind, str] = {
    "sld": "Sum of longest diameters (mm)",
    "lesion": "Longest diameter of one lesion (mm)",
}


type LineStyle = Literal["-", "--", "-.", ":"] | tuple[float, tuple[float, ...]]


class Look(NamedTuple):
    """How one group is drawn: colour, and what tells it from the others in grey."""

    name: str
    colour: str
    hatch: str
    line: LineStyle
    marker: str
    letter: str

    @property
    def ink(self) -> str:
        """Colour where no outline or hatch shows the group: pale areas need darker lines."""
        return {WHITE: DARK, LIGHT: GREY}.get(self.colour, self.colour)


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
    "not_determinable": Look("not determinable", LIGHT, "", (0, (1, 3)), "d", "N"),
    "undecided": Look("undecided", WHITE, "\\\\\\\\", "--", "o", "?"),
}
LINES: Sequence[tuple[str, LineStyle]] = (
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


HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")


def line_of(place: int) -> tuple[str, LineStyle]:
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


def names_of(cohort: Cohort, *, hide_ids: bool = False) -> dict[str, str]:
    """Names to draw, by key: ids, with the study where one id occurs in two.

    Hidden ids are 1, 2, ... in the order of the keys, as in tables that hide them.
    """
    if hide_ids:
        return {key: str(number) for number, key in enumerate(cohort.keys, start=1)}
    ids = [patient.id for patient in cohort]
    once = len(set(ids)) == len(ids)
    return {patient.key: plain(patient.id if once else patient.key) for patient in cohort}


class Sheet(NamedTuple):
    """One page of several: how many there are, which one, its rows, and how a title names it."""

    pages: int
    number: int
    rows: slice
    where: str


def sheet(total: int, on_each: int, number: int | None) -> Sheet:
    """Choose the rows of a page, counted from 1; the first if none is asked for.

    Raises
    ------
    OptionError
        If there is no such page.
    """
    pages, asked = -(-total // on_each), 1 if number is None else number
    if not 1 <= asked <= pages:
        raise OptionError(f"page_number is {asked}; there are pages 1 to {pages}.")
    where = f", page {asked} of {pages}" if pages > 1 else ""
    return Sheet(pages, asked, slice(on_each * (asked - 1), on_each * asked), where)


def names_in(table: pd.DataFrame, *, hide_ids: bool = False) -> pd.Series:
    """Names to draw for the rows of a result table: ids, with the study where one occurs in two.

    Hidden ids are 1, 2, ... in the order in which patients stand in the table.
    """
    key = table["study"] + "/" + table["patient_id"]
    if hide_ids:
        return (key.groupby(key, sort=False).ngroup() + 1).astype(str)
    once = key.nunique() == table["patient_id"].nunique()
    return (table["patient_id"] if once else key).map(plain)


def page(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, known to no window and no global list; sizes in inches."""
    return Figure(figsize=(width, height), dpi=PRINT_DPI, layout="constrained")


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


DASHED = "Dashed: 30 % below the baseline (response), and 20 % above it."
"""What `response_lines` draws."""


def response_lines(ax: Axes) -> None:
    """Draw 30 % below the baseline, the least response of RECIST, and 20 % above it."""
    for level, text in ((-30.0, "−30 %"), (20.0, "+20 %")):
        ax.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.annotate(
            text, (1.003, level), xycoords=("axes fraction", "data"), va="center",
            fontsize=SMALL, color=INK, annotation_clip=False,
        )  # fmt: skip


def corner(ax: Axes, text: str) -> None:
    """Write a short note into the upper right corner."""
    ax.annotate(
        text, (1, 1), xycoords="axes fraction", ha="right", va="top", fontsize=SMALL, color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
    )  # fmt: skip


def heading(figure: Figure, title: str) -> None:
    """Say over a whole figure what it shows."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=HEAD + 1, color=INK)


def unit_of(unit: str) -> str:
    """Say a unit; a pure number has none.

    >>> unit_of("1/day"), unit_of("1")
    ('1/day', 'no unit')
    """
    return "no unit" if unit == "1" else unit


def key_below(
    figure: Figure,
    handles: Sequence[Artist | tuple[Artist, ...]],
    columns: int = 4,
    notes: Sequence[str] = (),
) -> None:
    """Put one legend below the axes, under notes in words; a tuple of things is one entry."""
    named = [one[0] if isinstance(one, tuple) else one for one in handles]
    entries: list[Any] = list(handles)
    figure.legend(
        entries, [str(one.get_label()) for one in named], loc="outside lower left",
        ncols=columns, fontsize=SMALL, frameon=False, handlelength=2.8,
        handler_map={tuple: HandlerTuple(ndivide=None)}, title="\n".join(notes) or None,
        title_fontsize=SMALL, alignment="left",
    )  # fmt: skip


def paragraph(text: str) -> list[str]:
    """Break a note into lines that fit on a page of the usual width."""
    return wrap(text, NOTE_WIDTH, break_long_words=False, break_on_hyphens=False)


def patch(look: Look, name: str = "") -> Patch:
    """Legend entry of an area."""
    return Patch(
        facecolor=look.colour, hatch=look.hatch, edgecolor=INK, linewidth=0.4,
        label=name or look.name,
    )  # fmt: skip


def stroke(look: Look, name: str = "") -> Line2D:
    """Legend entry of a line that ends in a mark."""
    return Line2D(
        [], [], color=look.ink, linestyle=look.line, marker=look.marker, markersize=4.5,
        linewidth=1.4, label=name or look.name,
    )  # fmt: skip


def png(figure: Figure, dpi: int = REPORT_DPI) -> bytes:
    """Give a figure as the bytes of a PNG file of few colours, a third of the usual size."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    few = (
        Image.open(buffer)
        .convert("RGB")
        .quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )  # rare colours stay what they are
    small = BytesIO()
    few.save(small, format="PNG", optimize=True)
    return small.getvalue()
