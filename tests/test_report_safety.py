"""The report runs nothing of the data, in a real browser too, and loads nothing; its print."""

import re
import subprocess
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest

from made_report import PATIENTS, SURE, XSS, Page, a_fit, labels_of
from pdmodel.data import Note, ReadingLog
from pdmodel.errors import RunError
from pdmodel.report import TEMPLATES, visible, write_report
from pdmodel.report.printed import OPTIONS, chromium, print_page
from pdmodel.resistance import PROBABILITIES
from pdmodel.simulate import simulate

SORTING = (TEMPLATES / "sort.js").read_text("utf-8")
LOADING = {"src", "href", "data", "action", "formaction", "poster", "srcset", "background"}
FORBIDDEN = {"iframe", "object", "embed", "link", "base", "svg", "form", "input"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A report of patients whose every text is hostile."""
    patients = tuple(
        replace(PATIENTS[k % 4], id=f"{k}{text}", study=text, arm=text)
        for k, text in enumerate(XSS)
    )
    notes = tuple(Note("warning", text, text, 1, text, 1, text, text, text) for text in XSS)
    fit = a_fit(patients=patients, log=ReadingLog(XSS[0], 40, 30, notes))
    fit = replace(fit, manifest=fit.manifest | {"machine": XSS[2], XSS[3]: list(XSS)})
    classes = [SURE[k % 4] for k in range(len(XSS))]
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    said = {"question": " ".join(XSS[:11]), "context": " ".join(XSS[11:])}
    arms = {XSS[0]: "atezolizumab", XSS[2]: "none"}
    trial = simulate(fit, arms, n=20, seed=1, until=100.0)
    write_report(fit, path, trial=trial, labels=labels_of(fit.cohort, classes), **said)
    return path


@pytest.fixture(scope="module")
def hostile(path):
    return path.read_text("utf-8")


# ---------------------------------------------------------------- what stands in the file


def test_nothing_runs_and_nothing_is_loaded(hostile):
    page = Page(hostile)
    assert not FORBIDDEN & set(page.elements)
    assert page.elements.count("style") == page.elements.count("script") == 1
    before, found, after = "".join(page.scripts).partition(SORTING)
    assert (before, found, after.strip()) == ("", SORTING, "")
    assert page.elements.count("meta") == 4
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]
    for tag, name, value in page.attributes:
        if name in LOADING:
            assert value.startswith(("data:image/png;base64,", "#")), (tag, name, value[:60])
    assert not re.search(r"url\(|@import|http", "".join(page.styles))


def test_the_policy_forbids_what_is_not_inside(hostile):
    policy = next(v for tag, _, v in Page(hostile).attributes if v.startswith("default-src"))
    assert "default-src 'none'" in policy
    checksum = b64encode(sha256(SORTING.encode()).digest()).decode()
    assert re.findall(r"script-src ([^;]*);", policy) == [f"'sha256-{checksum}'"]
    assert not re.search(r"http|eval|innerHTML|fetch|import", SORTING)
    assert hostile.index("Content-Security-Policy") < hostile.index("<style>")


def test_hostile_texts_stand_there_as_texts(hostile):
    page = Page(hostile)
    for k, text in enumerate(XSS):
        assert visible(f"{text}/{k}{text}") in page.text.replace("  ", " "), text
    for several in (XSS[:11], XSS[11:]):
        assert " ".join(visible(" ".join(several)).split()) in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "49{%" not in page.text
    assert "\u202e" not in hostile
    assert "\x00" not in hostile


def test_every_picture_is_told_in_words(hostile):
    page = Page(hostile)
    images = page.elements.count("img")
    words = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert len(words) == images == 7 + 12
    assert all(len(one) > 20 for one in words)


def test_the_file_is_small(hostile):
    assert len(hostile.encode()) < 1_500_000


# ---------------------------------------------------------------- what a real browser makes of it

RAN = "document.body.dataset.ran=1"
"""In place of an alert, which nobody would see: a mark that the page keeps."""


@pytest.fixture(scope="module")
def browser():
    try:
        return chromium()
    except RunError:
        pytest.skip("there is no Chromium here; install one (Debian: apt-get install chromium)")


def seen_by(browser, page, folder):
    """The page as the browser has it once everything has run that would."""
    words = [browser, *OPTIONS, "--no-sandbox", f"--user-data-dir={folder}", "--dump-dom"]
    found = subprocess.run(  # noqa: S603
        [*words, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return Page(found.stdout)


def test_a_browser_runs_what_is_ours_and_nothing_of_the_data(browser, hostile, tmp_path):
    marked = hostile.replace("alert(1)", RAN)
    assert marked.count(RAN) > 50
    page = tmp_path / "page.html"
    page.write_text(marked, "utf-8")
    seen = seen_by(browser, page, tmp_path / "user")
    names = {name for _, name, _ in seen.attributes}
    assert "data-ran" not in names
    assert not {name for name in names if name.startswith("on")}
    assert not FORBIDDEN & set(seen.elements)
    assert seen.elements.count("script") == 1
    assert seen.elements.count("button") == 4 + len(PROBABILITIES)  # made by our script
    for k, text in enumerate(XSS):
        shown = visible(f"{text}/{k}{text}").replace("alert(1)", RAN)
        assert " ".join(shown.split()) in seen.text, text


def test_a_text_that_is_not_escaped_would_have_been_seen_to_run(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<body>{XSS[0].replace('alert(1)', RAN)}</body>", "utf-8")
    seen = seen_by(browser, page, tmp_path / "user")
    assert "data-ran" in {name for _, name, _ in seen.attributes}


def test_the_page_is_printed(browser, path, tmp_path):
    printed = print_page(path, tmp_path / "r.pdf", browser)
    assert printed.read_bytes().startswith(b"%PDF")


# ---------------------------------------------------------------- printing


@pytest.fixture
def page(tmp_path):
    page = tmp_path / "r.html"
    page.write_text("<p>A page</p>")
    return page


def program(folder, body):
    """A program that stands for Chromium."""
    path = folder / "chromium"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_without_a_browser_the_way_to_one_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("pdmodel.report.printed.ELSEWHERE", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PDMODEL_CHROMIUM", raising=False)
    with pytest.raises(RunError, match=r"There is no Chromium .*apt-get install chromium"):
        chromium()
    program(tmp_path, "exit 0")
    assert chromium() == tmp_path / "chromium"
    monkeypatch.setenv("PDMODEL_CHROMIUM", "nothing")
    with pytest.raises(RunError, match="PDMODEL_CHROMIUM is 'nothing', which is no program"):
        chromium()


def test_what_the_browser_said_is_told_where_nothing_was_printed(page, tmp_path):
    broken = program(tmp_path, "echo 'No room.' >&2; exit 3")
    with pytest.raises(RunError, match=r"did not print .*r\.html: No room\. The page is there"):
        print_page(page, tmp_path / "r.pdf", broken)
    with pytest.raises(RunError, match=r"did not print .*: exit code 3"):
        print_page(page, tmp_path / "r.pdf", program(tmp_path, "exit 3"))
    with pytest.raises(RunError, match=r"did not print .*: No such file"):
        print_page(page, tmp_path / "r.pdf", tmp_path / "none")
    assert not (tmp_path / "r.pdf").exists()


def test_a_browser_that_does_not_end_is_stopped(page, tmp_path, monkeypatch):
    monkeypatch.setattr("pdmodel.report.printed.SECONDS", 0.2)
    with pytest.raises(RunError, match="it had not finished after 0 s"):
        print_page(page, tmp_path / "r.pdf", program(tmp_path, "exec sleep 30"))


def test_an_old_print_stays_where_the_new_one_cannot_be_written(page, tmp_path):
    prints = program(
        tmp_path,
        """for x in "$@"; do case "$x" in
        --print-to-pdf=*) echo %PDF > "${x#*=}";; esac; done""",
    )
    path = tmp_path / "r.pdf"
    assert print_page(page, path, prints).read_text() == "%PDF\n"
    with pytest.raises(RunError, match=r"could not be written to .*none/r\.pdf: No such file"):
        print_page(page, tmp_path / "none" / "r.pdf", prints)
