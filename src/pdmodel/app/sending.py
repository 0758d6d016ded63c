"""A table that is sent through the page: checked, fitted under progress, and then looked at."""

import asyncio
import os
from typing import Any, NamedTuple

from htmltools import Tag, TagList, tags
from shiny import Inputs, Session, reactive, render

from pdmodel.app import told, uploads
from pdmodel.app.source import Source, source_of
from pdmodel.app.uploads import Table, Watched
from pdmodel.data import Note
from pdmodel.errors import PdmodelError

OFTEN = 0.5
"""Seconds between two looks at how far a fit is."""


class Answer(NamedTuple):
    """What came of a table: findings, a problem, or where the run is kept."""

    notes: tuple[Note, ...] = ()
    folder: str = ""
    problem: str = ""
    kept: str = ""


def sending(input: Inputs, session: Session, source: reactive.Value[Source]) -> None:  # noqa: A002
    """Register what happens to a table that is sent."""
    watch: reactive.Value[Watched | None] = reactive.Value(None)
    answer: reactive.Value[Answer] = reactive.Value(Answer())
    tasks: set[asyncio.Task[None]] = set()

    async def tell(**said: Any) -> None:
        async with reactive.lock():
            answer.set(answer()._replace(**said))
            await reactive.flush()

    async def work(files: tuple, watched: Watched) -> None:
        try:
            await _worked(files, watched, source, tell)
        finally:
            async with reactive.lock():
                watch.set(None)
                await reactive.flush()

    @reactive.effect
    @reactive.event(input.send_it)
    def _send() -> None:
        if watch() is not None:
            return
        files = (
            input.sizes() or (), input.doses() or (), input.layout(), input.regimen(),
            input.size_kind(),
        )  # fmt: skip
        answer.set(Answer())
        watched = Watched()
        watch.set(watched)
        task = asyncio.create_task(work(files, watched))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @reactive.effect
    @reactive.event(input.stop_it)
    def _stop() -> None:
        if (watched := watch()) is not None:
            watched.stop()

    def left() -> None:
        with reactive.isolate():
            watched = watch()
        if watched is not None:
            watched.stop()

    session.on_ended(left)
    _shown(watch, answer)


def _shown(watch: reactive.Value[Watched | None], answer: reactive.Value[Answer]) -> None:
    @render.ui
    def sending() -> Tag | None:
        watched = watch()
        if watched is None:
            return None
        reactive.invalidate_later(OFTEN)
        share = watched.share
        bar = tags.progress(value=f"{share:.3f}", max="1") if share is not None else None
        return tags.div(tags.p(watched.in_words(), class_="working"), bar)

    @render.ui
    def found() -> TagList:
        now = answer()
        kept = f"Fitted, and shown above. The run is kept in {now.kept}." if now.kept else ""
        return TagList(
            told.problem(now.problem) if now.problem else None,
            tags.p(kept, id="kept") if kept else None,
            told.findings(now.notes, now.folder) if now.notes else None,
        )


async def _worked(
    files: tuple, watched: Watched, source: reactive.Value[Source], tell: Any
) -> None:
    """Receive, check and fit; tell what comes of it."""
    table: Table | None = None
    try:
        table = await asyncio.to_thread(uploads.received, *files)
        notes = await asyncio.to_thread(uploads.checked, table)
        await tell(notes=notes, folder=str(table.folder) + os.sep)
        if any(note.severity == "error" for note in notes):
            await tell(problem="The table cannot be used as it is; mend the errors listed.")
            await asyncio.to_thread(uploads.discarded, table)
            return
        cohort = await asyncio.to_thread(uploads.read, table)
        fit, run = await asyncio.to_thread(uploads.fitted, table, cohort, watched)
        new = await asyncio.to_thread(source_of, fit, f"Your table, in {run}")
    except Exception as problem:  # noqa: BLE001  # told in the page
        known = isinstance(problem, PdmodelError)
        said = str(problem) if known else f"This should not have happened ({problem!r})."
        if table is not None:
            await asyncio.to_thread(uploads.discarded, table)
            said = said.replace(str(table.folder) + os.sep, "")
        await tell(problem=said)
        return
    async with reactive.lock():
        source.set(new)
        await reactive.flush()
    await tell(kept=str(run))
