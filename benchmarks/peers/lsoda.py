"""LSODA in C++ (as the package numbalsoda ships it) with the right-hand side in C."""

import ctypes as ct
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from peers import native
from peers.problem import Problem, seconds_of

SOURCE, PACKAGE = "lsoda.c", "numbalsoda"


def library() -> Path | None:
    """Shared library with LSODA inside the package; the package itself is not imported."""
    found = find_spec(PACKAGE)
    folders = found.submodule_search_locations if found else None
    paths = [Path(folder) / "liblsoda.so" for folder in folders or ()]
    return next((path for path in paths if path.is_file()), None)


def available() -> str | None:
    if library() is None:
        return f"no liblsoda; pip install --no-deps {PACKAGE}"
    return native.missing_compiler(SOURCE)


class Prepared:
    """Everything that a run needs, allocated once."""

    def __init__(self, problem: Problem, rtol: float, *, sensitivities: bool) -> None:
        self.handed, self.evaluations = native.Handed(problem), ct.c_double()
        self.rtol, self.sensitivities = rtol, sensitivities
        self.solver = ct.cast(ct.CDLL(str(library())).lsoda_wrapper, ct.c_void_p)
        self.function = native.function(
            native.built(SOURCE), "lsoda_all",
            ct.c_void_p, ct.c_double, ct.c_int, ct.c_void_p, ct.c_void_p, ct.c_void_p,
        )  # fmt: skip

    def run(self) -> int:
        """Solve all patients; how many failed."""
        return self.function(
            self.handed.address, self.rtol, self.sensitivities, native.pointer(self.handed.out),
            self.solver, ct.addressof(self.evaluations),
        )  # fmt: skip


def solve(
    problem: Problem, rtol: float, *, sensitivities: bool
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Solve one patient after another, restarted at every edge."""
    ready = Prepared(problem, rtol, sensitivities=sensitivities)
    about = {"method": "LSODA, C", "failed": ready.run()}
    about["evaluations"] = ready.evaluations.value
    return *ready.handed.results(problem, sensitivities=sensitivities), about


def timed(problem: Problem, rtol: float, *, sensitivities: bool, repeats: int) -> np.ndarray:
    """Seconds of each repeat, sorted."""
    ready = Prepared(problem, rtol, sensitivities=sensitivities)
    return seconds_of(ready.run, repeats)
