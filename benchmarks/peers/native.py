"""Compile the contenders that are written in C and C++, outside the repository, and call them."""

import ctypes as ct
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from peers.problem import Problem
from peers.scipy_peer import finished

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pdmodel-peers"
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC")
READ = 4
"""Log burden and its sensitivities to growth, kill and waning."""


def compiler(source: str) -> str | None:
    """Name of a compiler for a source file, or None where there is none."""
    return shutil.which("g++" if source.endswith(".cpp") else "gcc")


def missing_compiler(source: str) -> str | None:
    """Say that there is no compiler, or nothing."""
    if compiler(source):
        return None
    return "no C or C++ compiler; install gcc and g++"


def built(source: str, *more: str) -> Path:
    """Compile a source file of this folder into the cache, once for every text and machine."""
    command = [str(compiler(source)), *FLAGS, *more]
    texts = [path.read_bytes() for path in sorted(HERE.glob("*.[ch]*"))]
    cpu = Path("/proc/cpuinfo")
    about = cpu.read_text().partition("\n\n")[0] if cpu.is_file() else ""
    flags = [line for line in about.splitlines() if line.startswith("flags")]
    key = hashlib.sha256(repr((command, texts, flags)).encode()).hexdigest()[:16]
    target = CACHE / f"{source.replace('.', '_')}-{key}.so"
    if not target.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(f".{os.getpid()}")
        libraries = [word for word in command if word.startswith("-l")]
        rest = [word for word in command if not word.startswith("-l")]
        whole = [*rest, str(HERE / source), "-o", str(fresh), *libraries, "-lm"]
        done = subprocess.run(whole, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise OSError(f"{' '.join(whole)} failed:\n{done.stderr}")
        fresh.replace(target)
    return target


class _Patients(ct.Structure):
    """As `struct patients` in rates.h."""

    _fields_ = (
        *((name, ct.c_long) for name in ("patients", "visits", "edges")),
        *((name, ct.c_void_p) for name in ("start", "day", "visits_of", "table", "edge")),
        *((name, ct.c_void_p) for name in ("edges_of", "level", "moving")),
        ("decay", ct.c_double * 2),
    )


class Handed:
    """A problem as C sees it, with room for the results; keeps the arrays alive."""

    def __init__(self, problem: Problem) -> None:
        cut = problem.cut
        arrays = {
            "start": problem.start,
            "day": problem.day,
            "visits_of": problem.visits.astype(np.int64),
            "table": problem.table,
            "edge": cut.edge,
            "edges_of": cut.count.astype(np.int64),
            "level": cut.level,
            "moving": cut.moving,
        }
        self.arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        self.patients = _Patients(
            problem.patients,
            problem.day.shape[1],
            cut.edge.shape[1],
            **{name: value.ctypes.data for name, value in self.arrays.items()},
            decay=(ct.c_double * 2)(*cut.decay),
        )
        self.out = np.zeros((*problem.day.shape, READ))

    @property
    def address(self) -> int:
        """Where the patients are."""
        return ct.addressof(self.patients)

    def results(
        self, problem: Problem, *, sensitivities: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Log sizes, and their sensitivities if they were asked for."""
        slopes = self.out[..., 1:] if sensitivities else None
        return finished(problem, self.out[..., 0], slopes)


def function(library: Path, name: str, *arguments: type, result: type = ct.c_long) -> Callable:
    """Find a function in a compiled library."""
    found = getattr(ct.CDLL(str(library)), name)
    found.argtypes, found.restype = arguments, result
    return found


def pointer(array: np.ndarray) -> ct.c_void_p:
    return ct.c_void_p(array.ctypes.data)
