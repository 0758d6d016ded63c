"""Hand-written C++ for the vector unit: the practical limit, with everything known in advance."""

import ctypes as ct

import numpy as np

from peers import native
from peers.problem import Problem, seconds_of

SOURCE = "simd.cpp"
FLAGS = (
    "-std=c++17",
    "-ffast-math",
    "-fno-finite-math-only",
    "-fno-associative-math",
    "-Wno-psabi",
)


def available() -> str | None:
    return native.missing_compiler(SOURCE)


class Prepared:
    """Everything that a run needs, allocated once."""

    def __init__(self, problem: Problem, rtol: float, *, sensitivities: bool) -> None:
        self.handed = native.Handed(problem)
        self.rtol, self.sensitivities, self.patients = rtol, sensitivities, problem.patients
        work = np.where(problem.visits > 1, problem.last - problem.start, -1.0)
        longest_first = np.argsort(-work, kind="stable")[: np.sum(work > 0.0)]
        self.order = np.ascontiguousarray(longest_first, dtype=np.int64)
        self.function = native.function(
            native.built(SOURCE, *FLAGS), "tsit5_all",
            ct.c_void_p, ct.c_double, ct.c_int, ct.c_void_p, ct.c_long, ct.c_void_p,
            result=ct.c_double,
        )  # fmt: skip

    def run(self) -> float:
        """Solve all patients; steps tried by each, on average."""
        tried = self.function(
            self.handed.address, self.rtol, self.sensitivities, native.pointer(self.order),
            len(self.order), native.pointer(self.handed.out),
        )  # fmt: skip
        return tried / self.patients


def solve(
    problem: Problem, rtol: float, *, sensitivities: bool
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Solve all patients, eight side by side."""
    ready = Prepared(problem, rtol, sensitivities=sensitivities)
    steps = ready.run()
    about = {"method": "Tsit5, C++, 8 lanes", "steps": steps, "failed": int(steps < 0.0)}
    return *ready.handed.results(problem, sensitivities=sensitivities), about


def timed(problem: Problem, rtol: float, *, sensitivities: bool, repeats: int) -> np.ndarray:
    """Seconds of each repeat, sorted."""
    ready = Prepared(problem, rtol, sensitivities=sensitivities)
    return seconds_of(ready.run, repeats)
