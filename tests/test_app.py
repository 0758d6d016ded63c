"""The page to explore a fit, without a browser: who may see it, what it says, what it is sent."""

# what is missing is told before it is imported
import asyncio
import re
import socket
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("shiny", reason="Shiny is not installed: pip install 'pdmodel[app]'")

from made_explored import AFTER, ASSUMED, BEFORE, a_source, explored
from made_report import PATIENTS, XSS, Page, a_fit
from pdmodel import cli, exploring
from pdmodel.app import application, guard, listening, serve, source_of, told, uploads, words
from pdmodel.app.guard import Guard, new_token
from pdmodel.app.sending import _worked
from pdmodel.app.server import problem_of
from pdmodel.app.work import Desk, Latest, Wish
from pdmodel.data import Note
from pdmodel.errors import DataError, OptionError, RunError
from pdmodel.explore import Change
from pdmodel.nuts import Progress
from pdmodel.plot.explored import in_words, plot_explored
from pdmodel.response import CLASSES, RULES

TOKEN, PORT = "right", 8123
HOST = f"127.0.0.1:{PORT}"


# ---------------------------------------------------------------- who may see it


async def _asked(app, scope, bodies):
    """Send a request to an application; give what it answers."""
    messages = [{"type": "http.request", "body": one, "more_body": True} for one in bodies]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    if scope["type"] == "websocket":
        messages = [{"type": "websocket.connect"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent


def asked(app, path, kind="http", method="GET", bodies=(), **headers):
    given = {"host": HOST} | headers
    scope = {
        "type": kind, "path": path, "raw_path": path.encode(), "method": method,
        "query_string": b"", "scheme": "http", "root_path": "", "http_version": "1.1",
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items() if v],
        "server": ("127.0.0.1", PORT), "client": ("127.0.0.1", 5),
    }  # fmt: skip
    return asyncio.run(_asked(app, scope, bodies))


async def _inside(scope, receive, send):
    """An application that reads all, and says which path it saw."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"server", b"x"), (b"Cache-Control", b"public")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
def guarded():
    return Guard(_inside, TOKEN, PORT)


def test_with_the_token_the_path_behind_it_is_served(guarded):
    start, body = asked(guarded, "/right/lib/x.js")
    assert (start["status"], body["body"]) == (200, b"/lib/x.js")
    assert asked(guarded, "/right")[1]["body"] == b"/"
    assert asked(guarded, "/right/", host=f"localhost:{PORT}")[0]["status"] == 200
    assert asked(guarded, "/right/", origin=f"http://{HOST}")[0]["status"] == 200


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/wrong/", {}),
        ("/righ/t", {}),
        ("/r\u00efght/", {}),
        ("/websocket/", {}),
        ("/right/", {"host": "evil.example"}),
        ("/right/", {"host": f"evil.example:{PORT}"}),
        ("/right/", {"host": "127.0.0.1:9"}),
        ("/right/", {"host": ""}),
        ("/right/", {"origin": "http://evil.example"}),
        ("/right/", {"origin": "null"}),
    ],
)
def test_others_are_refused(guarded, kind, path, headers):
    origin = {"origin": f"http://{HOST}"} if kind == "websocket" else {}
    sent = asked(guarded, path, kind, **(origin | headers))
    if kind == "websocket":
        assert sent == [{"type": "websocket.close", "code": 1008}]
    else:
        assert sent[0]["status"] == 403
        assert b"the whole address that 'pdmodel app' printed" in sent[1]["body"]
        assert TOKEN.encode() not in sent[1]["body"]


def test_a_websocket_says_from_which_page_it_comes(guarded):
    path = "/right/websocket/"
    assert asked(guarded, path, "websocket")[0]["type"] == "websocket.close"
    assert asked(guarded, path, "websocket", origin=f"http://{HOST}")[0]["type"].endswith("accept")


def test_every_answer_forbids_what_comes_from_outside(guarded):
    for path in ("/right/", "/wrong/"):
        headers = {k.decode().lower(): v.decode() for k, v in asked(guarded, path)[0]["headers"]}
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'; script-src 'self';" in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]


def test_too_large_a_file_is_refused_whether_it_says_so_or_not(guarded, monkeypatch):
    said = asked(guarded, "/right/", method="POST", content_length=str(guard.LARGEST + 1))
    assert said[0]["status"] == 413
    monkeypatch.setattr(guard, "LARGEST", 10)
    start, body = asked(guarded, "/right/", method="POST", bodies=[b"12345678", b"9ab"])
    assert start["status"] == 413
    assert b"larger than 20 MB; nothing of it was kept" in body["body"]
    assert asked(guarded, "/right/", method="POST", bodies=[b"12345678"])[0]["status"] == 200


def test_tokens_are_long_and_never_the_same():
    assert len({new_token() for _ in range(9)}) == 9
    assert len(new_token()) == 32


def test_the_page_loads_its_own_files_only():
    app = application(a_source(), TOKEN, PORT)
    start, body = asked(app, f"/{TOKEN}/")
    assert start["status"] == 200
    page = Page(body["body"].decode())
    loading = [v for _, name, v in page.attributes if name in ("src", "href", "action", "data")]
    assert loading
    assert all(one.startswith(("lib/", "data:,", "#")) for one in loading)
    assert not re.search(r"https?:|@import|url\(", "".join(page.styles))
    policy = dict(start["headers"])[b"content-security-policy"].decode()
    assert policy.count("sha256-") == len(guard.script_hashes(body["body"].decode())) > 0
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert asked(app, f"/{TOKEN}/lib/none.js")[0]["status"] == 404


def test_a_port_that_is_taken_is_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RunError, match=rf"Port {port} is taken .*another with --port"):
            listening(port)
    with listening(0) as free:
        assert free.getsockname()[0] == "127.0.0.1"


# ---------------------------------------------------------------- what it says


@pytest.fixture(scope="module")
def seen():
    return explored(a_fit(), 1, 2, Change(amount=0.5, add_on="ipilimumab", add_day=60.0))


def test_probabilities_stand_beside_those_under_the_change(seen):
    page = Page(str(told.probabilities(seen)))
    assert "Primary resistance" in page.text
    assert "50 % 10 % −40 points" in page.text
    assert "20 % 80 % +60 points" in page.text
    assert "0 % <1 % 0" in page.text
    assert "by day 730, by the rule SITC 2020" in page.text
    alone = Page(str(told.probabilities(seen._replace(changed=None)))).text
    assert "With your change" not in alone
    assert sum(BEFORE.values()) == sum(AFTER.values()) == pytest.approx(1.0)


def test_what_is_known_and_what_is_forecast_is_said(seen):
    said = Page(str(told.heading(seen, "p2"))).text
    assert "As known on day 42: 2 of 4 scans" in said
    assert "Right of the dotted line all is forecast" in said
    whole = explored(a_fit(), 1, 4, Change())
    assert "All 4 scans are known, the last on day 126" in Page(str(told.heading(whole, "x"))).text
    assert "goes from primary resistance to durable control" in str(told.summary(seen))
    assert "in 60 % of the possible courses" in str(told.summary(seen))
    assert "Nothing is changed" in str(told.summary(whole))


def test_what_numbers_rest_on_is_said(seen):
    change = Change(amount=0.5, add_on="ipilimumab 80 mg q6w", add_day=60.0)
    said = Page(str(told.notes(seen, change, simulated=True))).text
    for part in ("were simulated", "first 2 scans of this patient", "almost wholly", ASSUMED,
                 "no treatment should be chosen"):  # fmt: skip
        assert part in said
    table = explored(a_fit(), 0, 3, Change())._replace(unsolved=0.25)
    said = Page(str(told.notes(table, Change(), simulated=False))).text
    assert "after the last one in it, day 84" in said
    assert "25 % of the courses could not be solved" in said
    same = Page(str(told.notes(seen._replace(assumed=()), change, simulated=False))).text
    assert "its strength is assumed" in same


def test_every_class_and_rule_has_words():
    assert list(words.CLASSES) == [str(one) for one in CLASSES]
    assert set(words.RULES) == set(RULES)


def test_hostile_texts_are_shown_as_texts():
    notes = [Note("error", "x", f"a/b/{one}") for one in XSS]
    parts = [told.findings(notes, "a/b/"), *(told.problem(one) for one in XSS)]
    page = Page("".join(map(str, parts)))
    assert not {"script", "img", "svg", "iframe", "a", "object", "meta", "style"} & {*page.elements}
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in page.text
    assert "a/b" not in page.text
    assert "... and 5 more." in Page(str(told.findings([notes[0]] * 45, "a/b/"))).text


def test_patients_are_named_by_id_or_number():
    patients = (*PATIENTS, replace(PATIENTS[0], study="T"))
    cohort = a_fit(patients=patients).cohort
    assert told.names_of(cohort, hide_ids=False)[0] == "S/p1"
    assert told.names_of(cohort, hide_ids=True) == ["1", "2", "3", "4", "5"]
    assert told.names_of(a_fit().cohort, hide_ids=False)[0] == "p1"


@pytest.mark.parametrize("width", [3.1, 7.4])
def test_the_picture_keeps_its_texts_on_the_page(seen, outside, width):
    for name in (XSS[0] * 3, "$\\bad$"):
        figure = plot_explored(seen, name, width=width)
        assert not outside(figure)
    sizes, strengths = figure.axes
    assert "mm" in sizes.get_ylabel()
    assert "Days" in strengths.get_xlabel()
    labels = [one.get_text().replace("\n", " ") for one in figure.legends[0].get_texts()]
    assert "later scan, left out" in labels
    assert "dose of ipilimumab, changed" in labels
    said = in_words(seen)
    assert "2 scans up to day 42, 2 later ones left out" in said
    assert "under changed doses" in said


def test_a_picture_of_a_course_that_was_not_solved_is_drawn(seen):
    lost = seen.planned._replace(size_mm=np.full_like(seen.planned.size_mm, np.nan), strength={})
    found = seen._replace(planned=lost, changed=None)
    assert len(plot_explored(found).axes) == 1
    assert "not solved" in in_words(found)


def test_a_mistake_of_the_program_tells_nothing_of_the_data():
    assert problem_of(ValueError("patient p1")) == (
        "This should not have happened (ValueError); please report it."
    )
    assert problem_of(OptionError("Choose.")) == "Choose."


def test_a_fit_that_must_not_be_trusted_says_so(fit_by_hand):
    cohort = a_fit().cohort
    assert "must not be trusted" in source_of(fit_by_hand(cohort, divergences=300), "x").warning


# ---------------------------------------------------------------- what is computed


def test_what_was_known_is_not_looked_up_twice(monkeypatch):
    calls = []
    monkeypatch.setattr("pdmodel.app.work.known_of", lambda *a, **k: calls.append(a[1:]) or a[1:])
    monkeypatch.setattr("pdmodel.app.work.explore", lambda known, change, **how: (known, how))
    monkeypatch.setattr("pdmodel.app.work.KEPT", 2)
    desk = Desk(a_fit(), draws=8, seed=3)
    wish = Wish(1, 1, Change(), "sitc2020", 365.0)
    assert not desk.is_known(wish)
    known, how = desk.look(wish)
    assert known == ("S/p2", 3)
    assert how == {"rule": "sitc2020", "horizon": 365.0, "draws": 8, "seed": 3}
    assert desk.is_known(wish)
    desk.look(wish._replace(rule="jitc2021"))
    assert len(calls) == 1
    assert desk.is_known(wish._replace(left_out=0))
    for patient in (0, 3):
        desk.look(wish._replace(patient=patient))
    assert not desk.is_known(wish)
    assert desk.scans(wish._replace(left_out=99)) == 1
    assert desk.scans(wish._replace(left_out=-2)) == 4


def test_only_the_latest_wish_is_worked_on(monkeypatch):
    monkeypatch.setattr("pdmodel.app.work.PAUSE", 0.05)
    worked, told_ = [], []

    def work(wish):
        worked.append(wish)
        if wish == "bad":
            raise OptionError("no")
        return wish.upper()

    async def begun(wish):
        told_.append(f"begun {wish}")

    async def done(wish, found):
        told_.append(str(found))

    async def heard(word):
        while told_[-1:] != [word]:
            await asyncio.sleep(0.01)

    async def page():
        latest = Latest(work, begun, done)
        for wish in "abc":
            latest.ask(wish)
        await asyncio.wait_for(heard("C"), 20)
        latest.ask("bad")
        await asyncio.wait_for(heard("no"), 20)
        latest.ask("d")
        latest.stop()
        await asyncio.sleep(0.1)

    asyncio.run(page())
    assert worked == ["c", "bad"]
    assert told_ == ["begun c", "C", "begun bad", "no"]


# ---------------------------------------------------------------- what it is sent

GOOD = b"patient_id,day,size_mm\na,0,50\na,42,40\nb,0,30\nb,42,33\n"


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """A function that makes an upload; what is kept of it goes into the test's folder."""
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(kept))

    def made(content=GOOD, name="mine.csv"):
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        path.write_bytes(content)
        return {"name": name, "datapath": str(path)}

    made.kept = kept
    return made


DOSED = "atezolizumab 1200 mg q3w"


def test_a_table_is_kept_under_a_name_of_ours(sent):
    table = uploads.received([sent(name="../../$(x).CSV")], None, "long", DOSED, "")
    assert table.sizes == table.folder / "sizes.csv"
    assert table.folder.parent == sent.kept
    assert table.folder.stat().st_mode & 0o077 == 0
    assert not [one for one in uploads.checked(table) if one.severity == "error"]
    cohort = uploads.read(table)
    assert cohort.drugs == ("atezolizumab",)
    uploads.discarded(table)
    assert not table.folder.exists()


def test_clinical_tables_keep_what_is_harmless_of_their_names(sent):
    files = [sent(name="../TR.xpt"), sent(name="tu(1).csv"), sent(name="\u00e9.csv")]
    table = uploads.received(files, [sent(name="ex.csv")], "sdtm", "", "sld")
    assert table.sizes == table.folder
    assert {"TR.xpt", "tu1.csv", "ex.csv"} < {p.name for p in table.folder.iterdir()}
    assert table.doses is not None
    assert all(p.parent == table.folder for p in table.folder.iterdir())


def test_what_cannot_be_sent_is_refused(sent):
    for files, layout, regimen, said in (
        ((), "long", "", "There is no table of sizes; choose a file"),
        ((sent(), sent()), "long", "", "There are 2 files of sizes; format 'long' takes fewer"),
        ((sent(name="run.py"),), "long", "", r"'run\.py' is no table that is read; send \.csv"),
        ((sent(),), "long", "a\nb", "Regimen: give one for all"),
    ):
        with pytest.raises(OptionError, match=said):
            uploads.received(files, None, layout, regimen, "")
    assert not list(sent.kept.iterdir())
    bare = uploads.received([sent()], None, "long", "", "")
    with pytest.raises(DataError, match="Nobody was given a drug: send a table of doses"):
        uploads.read(bare)
    assert len(uploads.read(uploads.received([sent()], None, "long", "none", ""))) == 2


def test_progress_of_a_fit_is_told_and_a_fit_can_be_stopped():
    watch = uploads.Watched()
    assert "getting ready" in watch.in_words()
    watch(Progress("climbing", 1, 4, 0))
    assert watch.share == 0.25
    assert re.search(r"Fitting: climbing, 25 % \(\d+ s so far", watch.in_words())
    watch(Progress("first look", 0, 1, 0))
    assert watch.share is None
    watch.stop()
    assert "Stopping" in watch.in_words()
    with pytest.raises(uploads.StoppedError, match="stopped; nothing of it was kept"):
        watch(Progress("climbing", 2, 4, 0))


def test_the_quick_method_is_asked_for_and_the_run_is_kept(sent, monkeypatch):
    calls = {}

    def stub(model, cohort, **how):
        calls.update(how, drugs=[one.name for one in model.drugs])
        return a_fit()

    monkeypatch.setattr(uploads, "fit", stub)
    monkeypatch.setattr(uploads, "save", lambda found, folder: folder)
    monkeypatch.setattr(uploads, "load", lambda folder: f"fit in {folder.name}")
    table = uploads.received([sent()], None, "long", DOSED, "")
    watch = uploads.Watched()
    found, run = uploads.fitted(table, uploads.read(table), watch)
    assert (found, run) == ("fit in run", table.folder / "run")
    assert calls == {"seed": 1, "method": "quick", "report": watch, "drugs": ["atezolizumab"]}


def told_of(sent, content, regimen):
    """What the page tells of a table that is sent."""
    said = {}

    async def tell(**more):
        said.update(more)

    files = ((sent(content),), (), "long", regimen, "")
    asyncio.run(_worked(files, uploads.Watched(), None, tell))
    return said


def test_problems_of_a_table_are_listed_and_nothing_of_it_is_kept(sent, monkeypatch):
    said = told_of(sent, b"patient_id,day,size_mm\na,0,-3\na,x,4\n", DOSED)
    assert "mend the errors listed" in said["problem"]
    errors = [note for note in said["notes"] if note.severity == "error"]
    assert len(errors) == 2
    assert "sizes.csv, line 2" in str(told.findings(errors, said["folder"]))
    assert "Nobody was given a drug" in told_of(sent, GOOD, "")["problem"]
    assert told_of(sent, GOOD, "a\nb")["problem"].startswith("Regimen: give one for all")

    def broken(*_):
        raise ValueError("inside")

    monkeypatch.setattr(uploads, "fitted", broken)
    assert "should not have happened" in told_of(sent, GOOD, DOSED)["problem"]
    assert not list(sent.kept.iterdir())


# ---------------------------------------------------------------- the command


def test_without_shiny_the_way_to_it_is_told(monkeypatch):
    monkeypatch.setattr(exploring, "find_spec", lambda _: None)
    done = CliRunner().invoke(cli.app, ["app", "nowhere"])
    assert done.exit_code == 1
    assert 'which is not installed: pip install "pdmodel[app]"' in done.output


def test_a_folder_that_is_no_run_is_told():
    done = CliRunner().invoke(cli.app, ["app", "nowhere"])
    assert done.exit_code == 1
    assert "There is no run folder nowhere" in done.output


def test_the_command_serves_the_run_and_tells_the_address(monkeypatch, tmp_path):
    told_, opened = {}, []
    monkeypatch.setattr("pdmodel.startup.fitted", lambda run: f"fit of {run.name}")
    monkeypatch.setattr(exploring.webbrowser, "open", opened.append)

    def stub(fit, title, *, ready, **how):
        told_.update(how, fit=fit)
        ready("http://127.0.0.1:1/t/")

    monkeypatch.setattr("pdmodel.app.serve", stub)
    done = CliRunner().invoke(cli.app, ["app", str(tmp_path / "r"), "--open", "--hide-ids"])
    assert done.exit_code == 0, done.output
    assert "Open http://127.0.0.1:1/t/" in done.output
    assert opened == ["http://127.0.0.1:1/t/"]
    assert told_ == {"fit": "fit of r", "port": 0, "hide_ids": True}


def test_ctrl_c_closes_the_page(monkeypatch):
    def stub(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pdmodel.startup.fitted", lambda _: "fit")
    monkeypatch.setattr("pdmodel.app.serve", stub)
    done = CliRunner().invoke(cli.app, ["app", "r"])
    assert done.exit_code == 130
    assert done.output == "The page is closed.\n"


def test_the_address_is_told_when_it_can_be_opened(monkeypatch):
    heard = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: heard.append(sockets))
    serve(a_fit(), "made", ready=heard.append)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", heard[0])
    assert len(heard) == 2
