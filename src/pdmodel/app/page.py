"""The page itself: what can be chosen, and where results stand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from htmltools import Tag, tags
from shiny import ui

from pdmodel.app import words
from pdmodel.app.guard import LARGEST
from pdmodel.app.uploads import SUFFIXES
from pdmodel.drug import Drug

STYLE = Path(__file__).with_name("page.css")
NO_DRUG = ""


def whole_page() -> Tag:
    """Make the page; who is in the cohort is filled in once it is connected."""
    return ui.page_fluid(
        ui.head_content(
            tags.link(rel="icon", href="data:,"),
            tags.style(STYLE.read_text("utf-8")),
        ),
        tags.header(tags.h1("pdmodel: explore a fit"), ui.output_ui("of_what"), class_="top"),
        tags.main(_who(), _seen(), _change(), _send()),
        title="pdmodel: explore",
        lang="en",
    )


def _who() -> Tag:
    return tags.section(
        ui.input_select("patient", "Patient", {}),
        ui.input_slider("left_out", "Leave out the last scans", 0, 1, 0, step=1, ticks=False),
        tags.p(
            "See what was known when: leave scans out, and the forecast starts earlier.",
            class_="hint",
        ),
        tags.div(
            ui.input_action_button("earlier", "One scan earlier"),
            ui.input_action_button("later", "One scan later"),
            class_="pair",
        ),
        ui.input_select(
            "horizon", "Classes and forecast up to", dict(words.HORIZONS), selected="730",
        ),
        ui.input_select("rule", "Rule for classes", dict(words.RULES)),
        id="who",
        aria_label="Patient and scans",
    )  # fmt: skip


def _seen() -> Tag:
    return tags.section(
        tags.div(ui.output_ui("state"), aria_live="polite", role="status"),
        ui.output_ui("head"),
        ui.output_image("course", height="auto"),
        ui.output_ui("table"),
        ui.output_ui("remarks"),
        id="seen",
        aria_label="Course and classes",
    )


def _change() -> Tag:
    return tags.section(
        tags.h2("What if"),
        ui.input_slider(
            "amount", "Dose, % of what was given or planned", 0, 200, 100, step=10, post=" %",
            ticks=False,
        ),
        ui.input_slider(
            "delay", "Give doses later by", 0, 126, 0, step=7, post=" days", ticks=False
        ),
        ui.input_numeric("from_day", "Change doses from day", 0, step=1),
        ui.input_select("add_on", "Add a drug", {NO_DRUG: "none"}),
        ui.output_ui("about_add_on"),
        ui.input_text("add_words", "Its doses, in words", "", placeholder="80 mg q6w"),
        ui.input_numeric("add_day", "First dose on day", 0, step=1),
        ui.input_action_button("reset", "Back to what was given"),
        id="change",
        aria_label="Changed doses",
    )  # fmt: skip


def _send() -> Tag:
    kinds = {"": "as the format says", "sld": "sum of longest diameters", "lesion": "one lesion's"}
    return tags.section(
        tags.details(
            tags.summary("Fit a table of your own"),
            tags.p(
                f"It stays on this computer. A file may have {LARGEST // 1_000_000} MB.",
                class_="hint",
            ),
            ui.input_file(
                "sizes", "Table of sizes", multiple=True, accept=list(SUFFIXES), width="100%"
            ),
            ui.input_file(
                "doses", "Table of doses, if there is one", accept=list(SUFFIXES), width="100%"
            ),
            ui.input_text_area(
                "regimen", "Or what everybody was given, in words", "", rows=2,
                placeholder="atezolizumab 1200 mg q3w",
            ),
            ui.input_select("layout", "Format", dict(words.FORMATS)),
            ui.input_select("size_kind", "Sizes are", kinds),
            tags.div(
                ui.input_action_button("send_it", "Check and fit"),
                ui.input_action_button("stop_it", "Stop"),
                class_="pair",
            ),
            tags.div(ui.output_ui("sending"), aria_live="polite"),
            ui.output_ui("found"),
        ),
        id="send",
        aria_label="A table of your own",
    )  # fmt: skip


def choices(names: Sequence[str]) -> dict[str, str]:
    """Name the patients for the choice, by their place."""
    return {str(place): name for place, name in enumerate(names)}


def drugs(several: Sequence[Drug]) -> Mapping[str, str]:
    """Name drugs for the choice, with what they are."""
    return {NO_DRUG: "none"} | {one.name: f"{one.name} ({one.about})" for one in several}
