"""One program at a time writes into a folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pdmodel.errors import RunError


@contextmanager
def writing(folder: Path | str) -> Iterator[None]:
    """Keep others from a folder that is to be written, by a lock beside it, as long as it takes.

    The operating system gives the lock back when the program ends, however it ends. Where nothing
    can be written beside the folder there is no lock.

    Raises
    ------
    RunError
        If another program holds it; it says which, and on which machine.
    """
    whole = Path(folder).resolve()
    path = whole.parent / f".{whole.name}.lock"
    lock = FileLock(path, blocking=False)
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise RunError(
            f"{folder} is being written by {_holder(path)}; wait until it has ended, or choose "
            "another folder with -o."
        ) from None
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        lock.release()


def _holder(path: Path) -> str:
    try:
        return path.read_text() or "another program"
    except OSError:
        return "another program"
