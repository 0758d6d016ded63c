"""The page to explore a fit in a real browser: every click, hostile ids, desktop and phone."""

# ruff: noqa: E402  # what is missing is told before it is imported
import asyncio
import re
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

for missing, way in (("shiny", "pip install 'pdmodel[app]'"), ("playwright", "make test")):
    pytest.importorskip(missing, reason=f"{missing} is not installed: {way}")

import uvicorn
from playwright.sync_api import expect, sync_playwright

from made_explored import QuickDesk, a_source
from made_report import PATIENTS, XSS, a_fit
from pdmodel import plot
from pdmodel.app import application, listening, sending, server, uploads
from pdmodel.app.source import Source
from pdmodel.app.work import Desk
from pdmodel.data.demo import REGIMEN, SIZES, demo_cohort
from pdmodel.errors import RunError
from pdmodel.nuts import Progress
from pdmodel.report import visible
from pdmodel.report.printed import chromium

del plot  # matplotlib is loaded before the clock of a test begins
TOKEN = "right"  # noqa: S105
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
RAN = "document.body.dataset.ran=1"
SECONDS = 15_000
expect.set_options(timeout=SECONDS)


@pytest.fixture(scope="module")
def browser():
    try:
        program = chromium()
    except RunError:
        pytest.skip("there is no Chromium here; install one (Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(program), args=list(OPTIONS))
        yield found
        found.close()


@pytest.fixture(scope="module", autouse=True)
def quickly_drawn():
    """Pictures of few pixels, and wishes that are worked on at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "SHARP", 0.6)
        patch.setattr("pdmodel.app.work.PAUSE", 0.05)
        yield


@pytest.fixture(scope="module")
def served():
    """A function that serves a page for a while and gives its address; all in one loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    @contextmanager
    def serving(source, **how):
        with listening(0) as taken:
            port = taken.getsockname()[1]
            app = application(source, TOKEN, port, **how)
            config = uvicorn.Config(
                app, log_level="error", ws="websockets-sansio", timeout_graceful_shutdown=1
            )
            running = uvicorn.Server(config)
            served = asyncio.run_coroutine_threadsafe(running.serve(sockets=[taken]), loop)
            try:
                yield f"http://127.0.0.1:{port}/{TOKEN}/"
            finally:
                running.should_exit = True
                served.result(SECONDS / 1000)

    yield serving
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextmanager
def opened(browser, address, size=DESKTOP):
    """Open a page; whatever it asks of others, or complains of, is an error."""
    context = browser.new_context(viewport=size)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(address)
    expect(page.locator("#classes")).to_be_visible()
    yield page
    expect(page.locator("#course img")).to_be_visible()
    context.close()
    host = address.split("/")[2]
    assert all(re.match(rf"(http|ws)://{host}/{TOKEN}/|data:", one) for one in asked), asked
    assert not wrong


def slide(page, name, times, key="ArrowRight"):
    """Move a slider by its keys."""
    page.locator(f".shiny-input-container:has(#{name}) .irs-line").focus()
    for _ in range(times):
        page.keyboard.press(key)


@pytest.fixture(scope="module")
def address(served):
    with served(a_source(warning="made by hand, never sampled")) as found:
        yield found


def test_a_visit_from_patient_to_added_drug(browser, address):
    with opened(browser, address) as page:
        expect(page.locator("#of_what")).to_contain_text("made by hand: 4 patients, 14 scans")
        expect(page.locator(".warned")).to_contain_text("never sampled")
        assert page.locator("#patient option").all_inner_texts() == ["p1", "p2", "p3", "p4"]
        expect(page.locator("#basis")).to_contain_text("All 3 scans are known")

        page.select_option("#patient", label="p4")
        expect(page.locator("#whom")).to_have_text("Patient p4")
        expect(page.locator("#basis")).to_contain_text("All 5 scans are known")
        page.click("#earlier")
        expect(page.locator("#basis")).to_contain_text("As known on day 130: 4 of 5 scans")
        slide(page, "left_out", 1)
        expect(page.locator("#basis")).to_contain_text("As known on day 85: 3 of 5 scans")
        expect(page.locator("#from_day")).to_have_value("85")
        page.click("#later")
        expect(page.locator("#basis")).to_contain_text("4 of 5 scans")
        expect(page.locator("#notes")).to_contain_text("first 4 scans of this patient")

        slide(page, "amount", 5, "ArrowLeft")
        expect(page.locator("#classes")).to_contain_text("With your change")
        expect(page.locator("#notes")).to_contain_text("almost wholly")
        page.select_option("#add_on", "ipilimumab")
        expect(page.locator("#add_words")).to_have_value("240 mg q3w x4")
        page.fill("#add_day", "150")
        expect(page.locator("#notes")).to_contain_text("ipilimumab 240 mg q3w x4 adds was not")
        expect(page.locator("#summary")).to_contain_text("to durable control")
        row = page.locator("#classes tr[data-class=durable]")
        expect(row).to_contain_text("+60 points")

        page.select_option("#rule", "schoenfeld2021")
        expect(page.locator("#classes caption")).to_contain_text("Schoenfeld")
        page.select_option("#horizon", "365")
        expect(page.locator("#classes caption")).to_contain_text("by day 365")
        alt = page.locator("#course img").get_attribute("alt")
        assert alt.startswith("Patient p4: 4 scans up to day 130, 1 later ones left out")
        page.click("#reset")
        expect(page.locator("#summary")).to_contain_text("Nothing is changed")


def test_what_is_wrong_is_told_and_can_be_mended(browser, served, monkeypatch):
    source = a_source()
    look = QuickDesk.look

    def strict(desk, wish):
        from pdmodel.explore.doses import read_change

        read_change(desk.fit.model, wish.change)
        return look(desk, wish)

    monkeypatch.setattr(QuickDesk, "look", strict)
    with served(source) as address, opened(browser, address) as page:
        page.select_option("#add_on", "docetaxel")
        expect(page.locator("#notes")).to_contain_text("docetaxel")
        page.fill("#add_words", "75 mg/m2 q3w")
        expect(page.locator("#state .problem")).to_contain_text("is a dose by body size")
        page.fill("#add_words", "135 mg q3w")
        expect(page.locator("#notes")).to_contain_text("docetaxel 135 mg q3w")
        expect(page.locator("#state .problem")).to_have_count(0)


@pytest.mark.parametrize("hide", [False, True])
def test_hostile_ids_are_inert(browser, served, hide):
    texts = [one.replace("alert(1)", RAN) for one in XSS]
    patients = tuple(
        replace(PATIENTS[k % 4], id=f"{k:02}{one}", study=one, arm=one)
        for k, one in enumerate(texts)
    )
    fit = a_fit(patients=patients)
    source = Source(QuickDesk(fit), texts[0], texts[2])
    with served(source, hide_ids=hide) as address, opened(browser, address, PHONE) as page:
        names = page.locator("#patient option").all_text_contents()
        ids = [visible(one.id) for one in fit.cohort]
        assert names == ([str(k + 1) for k in range(len(ids))] if hide else ids)
        for place in (3, len(ids) - 1):
            page.select_option("#patient", index=place)
            expect(page.locator("#whom")).to_have_text(f"Patient {names[place]}")
        assert page.locator("[data-ran]").count() == 0
        assert page.locator("main :is(script, iframe, object, svg, a, base, meta)").count() == 0
        assert page.locator(":is([onload], [onerror], [onfocus], [onmouseover])").count() == 0
        expect(page.locator("#of_what")).to_contain_text(texts[0])


def test_a_table_is_checked_fitted_and_looked_at(browser, served, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    going, go = threading.Event(), threading.Event()

    def stub(model, cohort, report, **how):
        report(Progress("climbing", 3, 12, 0))
        going.set()
        assert go.wait(20)
        report(Progress("climbing", 4, 12, 0))
        return a_fit(patients=cohort.patients)

    monkeypatch.setattr(uploads, "fit", stub)
    monkeypatch.setattr(uploads, "save", lambda found, folder: (found, folder)[1])
    monkeypatch.setattr(uploads, "load", lambda folder: a_fit(patients=PATIENTS[:2]))
    monkeypatch.setattr(sending, "source_of", lambda fit, title: Source(QuickDesk(fit), title, ""))
    table = tmp_path / "mine.csv"
    table.write_text("patient_id,day,size_mm\n<b>x</b>,0,-3\n")
    with served(a_source()) as address, opened(browser, address) as page:
        page.click("summary")
        page.set_input_files("#sizes", table)
        page.fill("#regimen", "atezolizumab 1200 mg q3w")
        page.wait_for_timeout(400)
        page.click("#send_it")
        expect(page.locator("#found")).to_contain_text("line 2, column size_mm: '-3' is negative")
        assert page.locator("#found b", has_text="x").count() == 0

        table.write_text("patient_id,day,size_mm\na,0,50\na,42,40\nb,0,30\nb,42,33\n")
        page.set_input_files("#sizes", [])
        page.set_input_files("#sizes", table)
        page.wait_for_timeout(400)
        for stop in (True, False):
            going.clear()
            go.clear()
            page.click("#send_it")
            expect(page.locator("#sending")).to_contain_text("climbing, 25 %")
            if stop:
                page.click("#stop_it")
                expect(page.locator("#sending")).to_contain_text("Stopping at the end")
            go.set()
            said = "nothing of it was kept" if stop else "The run is kept in"
            expect(page.locator("#found")).to_contain_text(said)
        expect(page.locator("#of_what")).to_contain_text("Your table, in")
        assert page.locator("#patient option").all_inner_texts() == ["p1", "p2"]
        kept = Path(page.locator("#kept").inner_text().partition("kept in ")[2][:-1])
        assert kept.parent.parent == tmp_path
        assert [p.name for p in kept.parent.iterdir()] == ["sizes.csv"]
        expect(page.locator("#whom")).to_have_text("Patient p1")


def test_a_phone_shows_all_without_scrolling_sideways(browser, address, tmp_path):
    with opened(browser, address, PHONE) as page:
        slide(page, "amount", 1)
        expect(page.locator("#classes")).to_contain_text("points")
        expect(page.locator("#course img")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        picture = page.locator("#course img").bounding_box()
        assert 250 < picture["width"] <= PHONE["width"]
        page.screenshot(path=tmp_path / "phone.png", full_page=True)
    assert (tmp_path / "phone.png").stat().st_size > 30_000  # not an empty page


@pytest.mark.slow
@pytest.mark.usefixtures("broadcasting")
def test_real_courses_and_a_real_fit(browser, served, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    patient = demo_cohort().keys[:12]
    rows = pd.read_csv(SIZES, dtype=str)
    table = tmp_path / "mine.csv"
    rows[rows["patient_id"].isin(patient)].to_csv(table, index=False)
    expect.set_options(timeout=600_000)
    with served(Source(Desk(a_fit(), draws=40), "by hand", "")) as address:
        try:
            _real_visit(browser, address, table)
        finally:
            expect.set_options(timeout=SECONDS)


def _real_visit(browser, address, table):
    with opened(browser, address) as page:
        expect(page.locator("#basis")).to_contain_text("All 3 scans are known")
        page.click("#earlier")
        expect(page.locator("#state")).to_contain_text("what was known on day 42")
        expect(page.locator("#basis")).to_contain_text("2 of 3 scans")
        slide(page, "amount", 10, "ArrowLeft")
        expect(page.locator("#classes")).to_contain_text("With your change")
        page.select_option("#add_on", "ipilimumab")
        expect(page.locator("#notes")).to_contain_text("CTLA-4")
        page.fill("#add_words", "80 mg")
        expect(page.locator("#state .problem")).to_contain_text("has no interval")
        page.select_option("#add_on", "")
        page.click("summary")
        page.set_input_files("#sizes", table)
        page.fill("#regimen", REGIMEN)
        page.wait_for_timeout(500)
        page.click("#send_it")
        expect(page.locator("#sending")).to_contain_text("Fitting")
        expect(page.locator("#kept")).to_be_visible()
        expect(page.locator("#of_what")).to_contain_text("12 patients")
        expect(page.locator("#whom")).to_have_text("Patient P01")


def test_without_the_token_nothing_is_seen(browser, address):
    page = browser.new_page()
    answer = page.goto(address.replace(TOKEN, "guess"))
    assert answer.status == 403
    assert "the whole address" in page.inner_text("body")
    page.close()
