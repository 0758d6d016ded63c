"""What a fit keeps while it runs, so that one that is killed goes on where it was, to the bit.

Two things are kept: stages that are finished, and of each chain its state after a chunk with what
was drawn up to there. A file that is damaged is told and never used: a stage is computed again, a
chain goes on from its last good file.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import jax
import numpy as np

from pdmodel.archive import (
    DamagedError,
    described,
    flattened,
    into,
    names_of,
    places,
    read,
    rebuilt,
    write,
)
from pdmodel.errors import RunError
from pdmodel.files import digest

EVERY = 5.0
"""Seconds between two files of a chain: so much work is lost at most, beside an open chunk."""
SHARE = 0.04
"""Share of the time that writing may take; where it is slow, files are fewer."""


class Begun[State, Kept](NamedTuple):
    """Where a chain goes on: iterations that are done, its state, and what was kept of them."""

    done: int
    state: State
    pieces: list[Kept]


class Checkpoints(Protocol):
    """Keeps finished stages, and chunks of chains."""

    def kept[T](self, name: str, compute: Callable[[], T]) -> T:
        """Give a finished stage: as it was kept, or computed now."""
        ...

    def begun[State, Kept](self, chain: int, state: State, kept: Kept) -> Begun[State, Kept]:
        """Give where a chain goes on; `state` is its start, `kept` has the shapes of a chunk."""
        ...

    def add(self, chain: int, count: int, done: int, state: Any, kept: Any) -> None:
        """Take a chain's state after a chunk, and what is kept of it; or None."""
        ...

    def flush(self, chain: int) -> None:
        """Write what was taken of a chain and is not yet on disk."""
        ...

    def notes(self) -> dict[str, Any]:
        """Give what a manifest should say of them."""
        ...


class NotKept:
    """Keeps nothing: for fits that have no folder."""

    def kept[T](self, name: str, compute: Callable[[], T]) -> T:
        """Compute the stage."""
        del name
        return compute()

    def begun[State, Kept](self, chain: int, state: State, kept: Kept) -> Begun[State, Kept]:
        """Begin at the start."""
        del chain, kept
        return Begun(0, state, [])

    def add(self, chain: int, count: int, done: int, state: Any, kept: Any) -> None:
        """Let it go."""

    def flush(self, chain: int) -> None:
        """Nothing is open."""

    def notes(self) -> dict[str, Any]:
        """Say nothing."""
        return {}


NOT_KEPT = NotKept()


@dataclass
class _Open:
    """What a chain has done since its last file."""

    first: int
    last: int
    state: Any
    pieces: list[Any] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)


class InFolder:
    """Keeps stages and chunks as files of a folder.

    Parameters
    ----------
    folder : Path
        Made with the first file.
    asked : dict of str to JSON
        What was asked for, by which the fit is known; files of another are not used.
    tell : callable
        Takes a line about each file that is damaged.
    every : float, optional
        Seconds between two files of a chain, or more where writing is slow; `EVERY` by default,
        and 0 for one after each chunk.
    resumed : int
        How often the fit went on before.
    """

    def __init__(
        self,
        folder: Path,
        asked: dict[str, Any],
        tell: Callable[[str], None],
        every: float | None = None,
        resumed: int = 0,
    ) -> None:
        self.folder, self.asked, self.resumed = folder, asked, resumed
        self._run = digest(json.dumps(asked, sort_keys=True).encode())
        self._tell, self._every = tell, EVERY if every is None else every
        self._damaged: list[str] = []
        self._open: dict[int, _Open] = {}
        self._pause: dict[int, float] = {}
        self._lock = threading.Lock()

    def kept[T](self, name: str, compute: Callable[[], T]) -> T:
        """Give a finished stage: as it was kept, or computed now and kept.

        Parameters
        ----------
        name : str
            Of the stage, unlike any other of the fit; becomes the name of a file.
        compute : callable
            Gives nested dicts, lists and named tuples of arrays; always the same.

        Returns
        -------
        Any
            What `compute` gives, from the file also the first time, so that going on is not
            another way.
        """
        path = self.folder / f"stage-{re.sub(r'[^a-z0-9]+', '-', name.lower())}.npz"
        if path.exists():
            try:
                about, arrays = self._read(path, {"stage": name})
                return cast(T, rebuilt(about["spec"], arrays))
            except (DamagedError, KeyError, TypeError) as problem:
                self._say(f"{path} is damaged ({problem}); {name} is computed again.")
        arrays = {}
        spec = described(compute(), arrays)
        self._write(path, {"stage": name, "spec": spec}, arrays)
        return cast(T, rebuilt(spec, arrays))

    def begun[State, Kept](self, chain: int, state: State, kept: Kept) -> Begun[State, Kept]:
        """Give where a chain goes on: after the last of the files that are good.

        Parameters
        ----------
        chain : int
        state : pytree of Array
            The chain's start, for its structure.
        kept : pytree
            What is kept of a chunk, draws first; shapes are enough.
        """
        found = Begun(0, state, [])
        for path in sorted(self.folder.glob(f"chain-{chain}-*.npz")):
            wanted = _about(chain, state) | {"first": found.done}
            try:
                about, arrays = self._read(path, wanted)
                pieces = found.pieces
                if about["draws"]:
                    pieces = [*pieces, into(kept, arrays, "kept", rows=True)]
                found = Begun(about["last"], into(state, arrays, "state"), pieces)
            except (DamagedError, KeyError) as problem:
                self._say(
                    f"{path} is damaged ({problem}); chain {chain} goes on from iteration "
                    f"{found.done}, before it."
                )
                break
        for path in self.folder.glob(f"chain-{chain}-*.npz"):
            if _number(path) > found.done:
                path.unlink(missing_ok=True)
        return found

    def add(self, chain: int, count: int, done: int, state: Any, kept: Any) -> None:
        """Take a chain's state after a chunk; written when some seconds have passed.

        Parameters
        ----------
        chain, count, done : int
            Which chain, iterations of the chunk, and iterations of the chain up to its end.
        state, kept : pytree
            The chain's state, and what is kept of the chunk, draws first; or None.
        """
        now = self._open.setdefault(chain, _Open(done - count, done, state))
        now.last, now.state = done, state
        if kept is not None:
            now.pieces.append(kept)
        if time.monotonic() - now.since >= self._pause.get(chain, self._every):
            self.flush(chain)

    def flush(self, chain: int) -> None:
        """Write what was taken of a chain since its last file."""
        now = self._open.pop(chain, None)
        if now is None:
            return
        kept = jax.tree.map(lambda *some: np.concatenate(some), *now.pieces) if now.pieces else None
        about = _about(chain, now.state) | {"first": now.first, "last": now.last}
        arrays = flattened(now.state, "state") | flattened(kept, "kept")
        name = f"chain-{chain}-{now.last:06d}.npz"
        began = time.monotonic()
        self._write(self.folder / name, about | {"draws": kept is not None}, arrays)
        spent = time.monotonic() - began
        self._pause[chain] = self._every and max(self._every, spent / SHARE)

    def notes(self) -> dict[str, Any]:
        """Say what was asked for, how often the fit went on, and which files were damaged."""
        return {"asked": self.asked, "resumed": self.resumed, "damaged": list(self._damaged)}

    @property
    def empty(self) -> bool:
        """Whether nothing was kept yet."""
        return not any(self.folder.glob("*.npz"))

    def _read(
        self, path: Path, wanted: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        about, arrays = read(path)
        if any(about.get(name) != value for name, value in ({"run": self._run} | wanted).items()):
            raise DamagedError("it belongs to another fit or place")
        return about, arrays

    def _write(self, path: Path, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write(path, {"run": self._run} | about, arrays)
        except OSError as problem:
            size = sum(array.nbytes for array in arrays.values())
            raise RunError(
                f"{path} ({size / 1e6:.1f} MB) could not be written: "
                f"{problem.strerror or problem}. Make room there."
            ) from problem

    def _say(self, line: str) -> None:
        with self._lock:
            self._damaged.append(line)
            self._tell(line)


def _about(chain: int, state: Any) -> dict[str, Any]:
    """What a file of a chain says of itself, and must say to be used."""
    return {"chain": chain, "state": names_of(places(state))}


def _number(path: Path) -> int:
    """Iterations that were done when a file of a chain was written."""
    last = path.stem.rpartition("-")[2]
    return int(last) if last.isdigit() else 0


def iterations_kept(folder: Path, chains: int) -> list[int]:
    """How many iterations of each chain are kept in a folder, by the names of its files."""
    return [max(map(_number, folder.glob(f"chain-{k}-*.npz")), default=0) for k in range(chains)]
