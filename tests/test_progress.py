"""Progress of a fit: what is said of it and how often, and how Ctrl-C stops it."""

import io
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pdmodel import progress
from pdmodel.nuts import Progress
from pdmodel.progress import busy, shown, stoppable, told
from pdmodel.shell import Terminated


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set."""
    now = {"s": 100.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: now["s"])
    return now


def test_each_stage_is_named_once_and_every_tenth_is_told_with_the_time_left(clock):
    lines = []
    with told(lines.append) as report:
        report(Progress("first look", 0, 1, 0))
        report(Progress("first look", 1, 1, 0))
        for done in (0, 9, 10, 19, 40):
            clock["s"] = 100.0 + done
            report(Progress("warm-up", done, 100, 0))
        clock["s"] = 180.0
        report(Progress("sampling", 80, 100, 1))
        report(Progress("sampling", 85, 100, 2))
        clock["s"] = 200.0
        report(Progress("sampling", 100, 100, 2))
    assert lines == [
        "  first look ...",
        "  warm-up and sampling ...",
        "    10 %, 10 s so far, about 90 s left, 1 iterations/s, 0 divergences",
        "    40 %, 40 s so far, about 60 s left, 1 iterations/s, 0 divergences",
        "    80 %, 80 s so far, about 20 s left, 1 iterations/s, 1 divergence",
        "    100 %, 100 s so far, about 0 s left, 1 iterations/s, 2 divergences",
    ]


def test_a_second_stage_that_is_counted_begins_at_nothing(clock):
    lines = []
    with told(lines.append) as report:
        for stage in ("sampling", "solving nodes"):
            for done in (1, 2):
                clock["s"] += 3
                report(Progress(stage, done, 2, 0))
    assert [line.strip() for line in lines] == [
        "warm-up and sampling ...",
        "50 %, 0 s so far, about 0 s left, 0 divergences",
        "100 %, 3 s so far, about 0 s left, 0.333 iterations/s, 0 divergences",
        "solving nodes ...",
        "50 %, 0 s so far, about 0 s left",
        "100 %, 3 s so far, about 0 s left",
    ]


def test_what_a_fit_goes_on_from_is_not_counted_as_speed(clock):
    lines = []
    with told(lines.append) as report:
        report(Progress("sampling", 700, 1000, 3))
        clock["s"] += 50
        report(Progress("sampling", 800, 1000, 3))
    assert lines[-1] == "    80 %, 50 s so far, about 100 s left, 2 iterations/s, 3 divergences"


def test_chains_that_report_at_once_say_nothing_twice():
    lines = []
    with told(lines.append) as report, ThreadPoolExecutor(8) as pool:
        steps = [Progress("sampling", done, 400, 0) for done in range(1, 401)]
        list(pool.map(report, steps))
    assert lines[0] == "  warm-up and sampling ..."
    tenths = [line.split(" %")[0].strip() for line in lines[1:]]
    assert len(tenths) == len(set(tenths))


def test_without_a_terminal_lines_go_to_stderr(capsys):
    with shown() as report:
        report(Progress("sampling", 1, 4, 0))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("  warm-up and sampling ...\n    25 %, 0 s so far")


def a_terminal(monkeypatch):
    """Make stderr a terminal whose screen can be read."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return terminal


def test_a_terminal_shows_what_is_being_done_and_a_file_does_not(monkeypatch, capsys):
    with busy("Drawing"):
        pass
    assert capsys.readouterr() == ("", "")
    terminal = a_terminal(monkeypatch)
    with busy("Drawing"):
        pass
    assert "Drawing ..." in terminal.getvalue()


def test_courses_that_were_not_solved_are_counted():
    lines = []
    with told(lines.append) as report:
        report(Progress("weighing populations", 1, 10, 0))
        report(Progress("weighing populations", 5, 10, 0, 12))
    assert lines[-1].endswith("left, 12 courses not solved")


def test_a_terminal_has_a_bar_with_stage_share_and_divergences(monkeypatch):
    terminal = a_terminal(monkeypatch)
    with shown() as report:
        report(Progress("first look", 0, 1, 0))
        report(Progress("warm-up", 1, 4, 0))
        report(Progress("sampling", 3, 4, 2))
    screen = terminal.getvalue()
    assert "sampling" in screen
    assert "75%" in screen
    assert "2 divergences" in screen
    assert "..." not in screen  # no line of those for files
    assert screen.endswith("\x1b[2K")  # the bar is wiped away at the end


def test_reports_pass_until_ctrl_c_and_no_further(capsys):
    seen, before = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stoppable(seen.append) as report:  # noqa: PT012
        report("one")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL  # a second one ends the program
        report("two")
    assert seen == ["one"]
    assert signal.getsignal(signal.SIGINT) is before
    said = "Stopping at the end of this step; Ctrl-C again stops at once.\n"
    assert capsys.readouterr().err == said


def test_a_request_to_end_is_taken_as_ctrl_c():
    seen, before = [], signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), stoppable(seen.append) as report:  # noqa: PT012
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        report("two")
    assert seen == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_stops_chains_in_threads_at_their_next_report():
    seen, going, go_on = [], threading.Event(), threading.Event()

    def chain(report):
        report("one")
        going.set()
        go_on.wait(10)
        report("two")

    with stoppable(seen.append) as report, ThreadPoolExecutor(1) as pool:
        running = pool.submit(chain, report)
        assert going.wait(10)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        go_on.set()
        with pytest.raises(KeyboardInterrupt):
            running.result(10)
    assert seen == ["one"]


def test_the_handler_comes_back_after_a_failure():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="odd"), stoppable(print):
        raise ValueError("odd")
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_signals_are_left_alone():
    seen, before = [], signal.getsignal(signal.SIGINT)

    def elsewhere():
        with stoppable(seen.append) as report:
            report("one")
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(elsewhere).result() is before
    assert seen == ["one"]
