"""What is going on, and how far a fit is; Ctrl-C stops it."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

from pdmodel.shell import Terminated

if TYPE_CHECKING:
    from pdmodel.nuts import Progress

type Report = Callable[[Progress], None]
type Watch = Callable[[], AbstractContextManager[Report]]

COUNTED = 1
"""A stage with more steps than this is counted; others are only named."""
TELLING = 1.0
"""Seconds after which a rate says something."""
STEP = 10
"""Percent between two lines where no bar is shown."""
SIGNALS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
"""Signals that stop a fit, and what they raise."""
STEPPED = ("warm-up", "sampling")
"""Stages that chains are in side by side, counted together."""


@contextmanager
def shown() -> Iterator[Report]:
    """Show progress on stderr: a bar on a terminal, a few lines elsewhere."""
    watch = _bar() if sys.stderr.isatty() else told(_on_stderr)
    with watch as report, stoppable(report) as stopping:
        yield stopping


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show on a terminal what is being done until it is; elsewhere say nothing."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} ..."):
        yield


@contextmanager
def told(say: Callable[[str], None]) -> Iterator[Report]:
    """Say progress in lines: each stage once, then every tenth of its steps.

    Parameters
    ----------
    say : callable
        Takes a line.
    """
    lock, named, state = threading.Lock(), set(), {"percent": 0, "began": 0.0, "first": 0}

    def report(progress: "Progress") -> None:
        with lock:
            counted = progress.total > COUNTED
            stage = " and ".join(STEPPED) if progress.stage in STEPPED else progress.stage
            if stage not in named:
                named.add(stage)
                state.update(percent=0, began=time.monotonic(), first=progress.done)
                say(f"  {stage} ...")
            percent = 100 * progress.done // max(progress.total, 1)
            if counted and percent // STEP > state["percent"] // STEP:
                state["percent"] = percent
                passed = time.monotonic() - state["began"]
                new = progress.done - state["first"]  # a fit that goes on begins with old ones
                left = passed * (progress.total - progress.done) / max(new, 1)
                say(
                    f"    {percent} %, {passed:.0f} s so far, about {left:.0f} s left"
                    f"{_rate(progress, new, passed)}{_wrong(progress)}"
                )

    yield report


@contextmanager
def _bar() -> Iterator[Report]:
    """Show a bar: stage, how far, time passed, time left, divergences, failures."""
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[about]}"),
    )
    console = Console(stderr=True)
    with rich.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None, about="")
        named: set[str] = set()
        begun = {"at": 0.0, "first": 0}

        def report(progress: "Progress") -> None:
            counted = progress.total > COUNTED
            stage = STEPPED[-1] if progress.stage in STEPPED else progress.stage
            if stage not in named:
                named.add(stage)
                total = progress.total if counted else None
                bar.reset(task, total=total, completed=progress.done)
                begun.update(at=time.monotonic(), first=progress.done)
            passed, new = time.monotonic() - begun["at"], progress.done - begun["first"]
            bar.update(
                task,
                description=progress.stage,
                total=progress.total if counted else None,
                completed=progress.done,
                about=(_rate(progress, int(new), passed) + _wrong(progress)).lstrip(", "),
            )

        yield report


def _on_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _rate(progress: "Progress", new: int, passed: float) -> str:
    """Say how many iterations a second a stage that draws makes, after a comma."""
    if progress.stage not in STEPPED or passed < TELLING or new <= 0:
        return ""
    return f", {new / passed:.3g} iterations/s"


def _wrong(progress: "Progress") -> str:
    """Say how many draws diverged, of a stage that draws, and courses failed; after a comma."""
    failed = f", {progress.failed} courses not solved" if progress.failed else ""
    if progress.stage not in STEPPED:
        return failed
    count = progress.divergences
    return f", {count} divergence{'' if count == 1 else 's'}{failed}"


@contextmanager
def stoppable(report: Report) -> Iterator[Report]:
    """Let Ctrl-C stop all chains at their next report, and a second one end the program.

    Chains run in threads, which an exception in the main thread does not reach. What a system
    sends to end a program (SIGTERM) does the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield report
        return
    stopped: list[type[KeyboardInterrupt]] = []

    def interrupted(number: int, _: object) -> None:
        stopped.append(SIGNALS[signal.Signals(number)])
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        with suppress(RuntimeError):  # where the signal came in the middle of a line
            _on_stderr("Stopping at the end of this step; Ctrl-C again stops at once.")
        raise stopped[0]

    def checked(progress: "Progress") -> None:
        if stopped:
            raise stopped[0]
        report(progress)

    before = {one: signal.signal(one, interrupted) for one in SIGNALS}
    try:
        yield checked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
