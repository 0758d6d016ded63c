"""What happens on a click: wishes are gathered, worked on in threads, and shown when done."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from htmltools import Tag, TagList, tags
from shiny import Inputs, Outputs, Session, reactive, render, req, ui
from shiny.types import ImgData

from pdmodel.app import told
from pdmodel.app.page import NO_DRUG, choices, drugs
from pdmodel.app.sending import sending
from pdmodel.app.source import Source
from pdmodel.app.work import Desk, Latest, Wish
from pdmodel.errors import PdmodelError
from pdmodel.explore import Change, Explored, add_ons
from pdmodel.library import labelled
from pdmodel.plot.explored import in_words, plot_explored
from pdmodel.plot.style import png

DPI, SHARP = 110.0, 2.0
"""Pixels of the page to an inch of a picture, and pixels of the picture to one of the page."""
NARROWEST, WIDEST = 300.0, 1000.0
"""Pixels."""
SECOND = 1.0
QUICK = "Following the courses: about a second; up to half a minute the first time."
SLOW = (
    "Working out what was known on day {day:g}: some seconds; up to a minute the first time, while "
    "programs are compiled."
)


class Page(NamedTuple):
    """What is on the page now.

    Attributes
    ----------
    source : Value of Source
    shown : Value
        The last wish that was worked out, its desk, and what was found; None before the first.
    trouble : Value of str
        What was wrong with the last wish; blank if nothing.
    working : Value
        What is being done, and since when; None if nothing.
    """

    source: reactive.Value[Source]
    shown: reactive.Value[tuple[Desk, Wish, Explored] | None]
    trouble: reactive.Value[str]
    working: reactive.Value[tuple[str, float] | None]
    hide_ids: bool

    def names(self) -> list[str]:
        """Names of the patients, in order."""
        return told.names_of(self.source().desk.fit.cohort, hide_ids=self.hide_ids)


def server_of(first: Source, *, hide_ids: bool) -> Callable[[Inputs, Outputs, Session], None]:
    """Make what serves each visit of the page, beginning with a fit."""

    def server(input: Inputs, output: Outputs, session: Session) -> None:  # noqa: A002
        del output
        now = Page(
            reactive.Value(first), reactive.Value(None), reactive.Value(""), reactive.Value(None),
            hide_ids,
        )  # fmt: skip
        _choices(input, now)
        _scans(input, now)
        _doses(input, now)
        _wishes(input, session, now)
        _states(now)
        _results(session, now)
        sending(input, session, now.source)

    return server


def _desk(now: Page, input: Inputs) -> tuple[Desk, int]:  # noqa: A002
    """Give the desk and the place of the chosen patient; stop quietly where none is chosen."""
    desk = now.source().desk
    chosen = input.patient()
    place = int(chosen) if chosen and chosen.isdecimal() else len(desk.fit.cohort)
    req(place < len(desk.fit.cohort))
    return desk, place


def _choices(input: Inputs, now: Page) -> None:  # noqa: A002
    """Fill in patients and drugs, anew for every fit."""

    @reactive.effect
    def _patients() -> None:
        ui.update_select("patient", choices=choices(now.names()), selected="0")
        several = drugs(add_ons(now.source().desk.fit.model))
        ui.update_select("add_on", choices=dict(several), selected=NO_DRUG)

    @reactive.effect
    @reactive.event(input.add_on)
    def _usual() -> None:
        usual = labelled().get(input.add_on(), ("",))
        ui.update_text("add_words", value=usual[0] if usual else "")

    @render.ui
    def about_add_on() -> Tag | None:
        usual = labelled().get(input.add_on(), ())
        if not usual:
            return None
        said = f"Usual: {' or '.join(usual)}. Every 6 weeks is q6w; x4 gives four doses."
        return tags.p(said, class_="hint")


def _scans(input: Inputs, now: Page) -> None:  # noqa: A002
    """Keep the number of scans left out within those that the patient has."""

    @reactive.effect
    def _patient() -> None:
        desk, place = _desk(now, input)
        many = len(desk.fit.cohort.patients[place].day)
        ui.update_slider("left_out", max=max(many - 1, 1), value=0)

    def step(by: int) -> None:
        desk, place = _desk(now, input)
        most = len(desk.fit.cohort.patients[place].day) - 1
        ui.update_slider("left_out", value=min(max(input.left_out() + by, 0), most))

    @reactive.effect
    @reactive.event(input.earlier)
    def _earlier() -> None:
        step(1)

    @reactive.effect
    @reactive.event(input.later)
    def _later() -> None:
        step(-1)

    @reactive.effect
    def _from_now_on() -> None:
        desk, place = _desk(now, input)
        patient = desk.fit.cohort.patients[place]
        many = max(len(patient.day) - int(input.left_out()), 1)
        for name in ("from_day", "add_day"):
            ui.update_numeric(name, value=round(float(patient.day[many - 1])))


def _doses(input: Inputs, now: Page) -> None:  # noqa: A002
    @reactive.effect
    @reactive.event(input.reset)
    def _reset() -> None:
        ui.update_slider("amount", value=100)
        ui.update_slider("delay", value=0)
        ui.update_select("add_on", selected=NO_DRUG)

    del now


def wish_of(input: Inputs, place: int) -> Wish:  # noqa: A002
    """Gather what is wished for; what has no bearing is left at its default."""
    amount, delay = input.amount() / 100.0, float(input.delay())
    change = Change(amount, delay)
    if amount != 1.0 or delay != 0.0:
        req(input.from_day() is not None)
        change = change._replace(from_day=float(input.from_day()))
    if drug := input.add_on():
        req(input.add_day() is not None)
        words = f"{drug} {input.add_words().strip()}".strip()
        change = change._replace(add_on=words, add_day=float(input.add_day()))
    return Wish(place, int(input.left_out()), change, input.rule(), float(input.horizon()))


def _wishes(input: Inputs, session: Session, now: Page) -> None:  # noqa: A002
    """Work on the latest wish."""

    async def begun(asked: tuple[Desk, Wish]) -> None:
        desk, wish = asked
        patient = desk.fit.cohort.patients[wish.patient]
        day = float(patient.day[desk.scans(wish) - 1])
        said = QUICK if desk.is_known(wish) else SLOW.format(day=day)
        async with reactive.lock():
            now.working.set((said, time.monotonic()))
            await reactive.flush()

    async def done(asked: tuple[Desk, Wish], found: Explored | Exception) -> None:
        async with reactive.lock():
            now.working.set(None)
            now.trouble.set(problem_of(found) if isinstance(found, Exception) else "")
            if isinstance(found, Explored):
                now.shown.set((*asked, found))
            await reactive.flush()

    latest = Latest[tuple[Desk, Wish], Explored](lambda x: x[0].look(x[1]), begun, done)
    session.on_ended(latest.stop)

    @reactive.effect
    def _ask() -> None:
        desk, place = _desk(now, input)
        latest.ask((desk, wish_of(input, place)))


def problem_of(found: Exception) -> str:
    """Say what is wrong, in words for who looks at the page."""
    if isinstance(found, PdmodelError):
        return str(found)
    return f"This should not have happened ({type(found).__name__}); please report it."


def _states(now: Page) -> None:
    """Say of what fit this is, what is being done, and what is wrong."""

    @render.ui
    def of_what() -> TagList:
        source = now.source()
        cohort = source.desk.fit.cohort
        made = " simulated" if cohort.simulated else ""
        said = f"{told.text(source.title)}: {len(cohort)}{made} patients, {cohort.scans} scans."
        warning = tags.p(told.text(source.warning), class_="warned") if source.warning else None
        return TagList(tags.p(said), warning)

    @render.ui
    def state() -> Tag | None:
        working, trouble = now.working(), now.trouble()
        if working is not None:
            reactive.invalidate_later(SECOND)
            said, since = working
            return tags.p(f"{said} ({time.monotonic() - since:.0f} s)", class_="working")
        return told.problem(trouble) if trouble else None


def _results(session: Session, now: Page) -> None:
    """Show what was found."""

    def found() -> tuple[Desk, Wish, Explored]:
        shown = now.shown()
        req(shown is not None and not now.trouble() and shown[0] is now.source().desk)
        assert shown is not None  # noqa: S101  # as `req` made sure
        return shown

    @render.ui
    def head() -> TagList:
        _, wish, explored = found()
        return told.heading(explored, now.names()[wish.patient])

    @render.ui
    def table() -> TagList:
        explored = found()[2]
        return TagList(told.summary(explored), told.probabilities(explored))

    @render.ui
    def remarks() -> Tag:
        desk, wish, explored = found()
        return told.notes(explored, wish.change, simulated=desk.fit.cohort.simulated)

    @render.image(delete_file=True)
    async def course() -> ImgData:
        _, wish, explored = found()
        wide = min(max(session.clientdata.output_width("course") or WIDEST, NARROWEST), WIDEST)
        name = now.names()[wish.patient]
        path = await asyncio.to_thread(_drawn, explored, wide / DPI)
        return {"src": str(path), "width": wide, "alt": f"Patient {name}: {in_words(explored)}"}


def _drawn(found: Explored, width: float) -> Path:
    """Draw into a file; the name stands above it on the page."""
    picture = png(plot_explored(found, width=width), round(SHARP * DPI))
    with tempfile.NamedTemporaryFile(suffix=".png", delete=False) as file:
        file.write(picture)
    return Path(file.name)
