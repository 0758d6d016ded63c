"""Hand-written C++ for the vector unit: the practical limit, with everything known in advance."""

import ctypes as ct
from dataclasses import dataclass

import numpy as np

from peers import native
from peers.problem import FAR, Pieces, Problem, modes, seconds_of

SOURCE = "simd.cpp"
FLAGS = (
    "-std=c++17",
    "-ffast-math",
    "-fno-finite-math-only",
    "-fno-associative-math",
    "-Wno-psabi",
)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


def available() -> str | None:
    return native.missing_compiler(SOURCE)


# ----------------------------------------------------------------- one edge a dose, instead of two


def jumps(problem: Problem) -> Pieces:
    """Lay out the concentrations with each infusion as one jump, at the day that keeps its effect.

    Blockade of the hour before and of the hour after are continued to a day within the infusion,
    chosen so that the integral of the blockade is that of the true course.
    """
    decay, share = modes(problem)
    begin, length = problem.dose_start, problem.dose_length
    end = begin + length
    given = problem.dose_mg > 0.0
    if np.any((end[:, :-1] > begin[:, 1:]) & given[:, 1:]):
        raise ValueError("Infusions overlap; use Problem.cut.")
    pace = problem.dose_mg[..., None] / length[..., None] * share / decay
    whole = pace * -np.expm1(-decay * length[..., None])  # mg/L at the end, of this dose alone
    left = np.zeros_like(whole)  # at the beginning, of the doses before
    for d in range(1, begin.shape[1]):
        since = np.minimum(begin[:, d] - end[:, d - 1], FAR)[:, None]
        reached = left[:, d - 1] * np.exp(-decay * length[:, d - 1, None]) + whole[:, d - 1]
        left[:, d] = reached * np.exp(-decay * since)

    ratio = problem.parameters["tissue_ratio"] / problem.parameters["half_occupancy"]

    def blockade(parts: np.ndarray) -> np.ndarray:
        free = ratio[(...,) + (None,) * (parts.ndim - 2)] * parts.sum(-1)
        return free / (free + 1.0)

    def before(since: np.ndarray) -> np.ndarray:
        return left[:, :, None] * np.exp(-decay * since[..., None])

    def after(since: np.ndarray) -> np.ndarray:
        late = since - length[..., None]
        return before(since) + whole[:, :, None] * np.exp(-decay * late[..., None])

    def integral(course, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        at = middle[..., None] + half[..., None] * NODES
        return (blockade(course(at)) @ WEIGHTS) * half

    def during(since: np.ndarray) -> np.ndarray:
        return before(since) + pace[:, :, None] * -np.expm1(-decay * since[..., None])

    true, at = integral(during, 0.0 * length, length), 0.5 * length
    for _ in range(4):
        missing = integral(before, 0.0 * length, at) + integral(after, at, length) - true
        slope = (blockade(before(at[..., None])) - blockade(after(at[..., None])))[..., 0]
        at = np.clip(at - missing / np.where(given, slope, 1.0), 0.0, length)
    jump = np.where(given, begin + at, FAR)

    start = problem.start[:, None]
    far = np.full_like(start, FAR)
    edge = np.concatenate([start, np.where(start < 0.0, 0.0, FAR), jump, far], axis=1)
    used = (edge >= start) & (edge < problem.last[:, None])
    edge = np.sort(np.where(used, edge, FAR), axis=1)
    count = np.sum(edge < FAR, axis=1)
    edge = edge[:, : count.max() + 1]
    begun = (jump[:, None, :] <= edge[:, :, None]) & (edge[:, :, None] < FAR)
    since = np.where(begun, edge[:, :, None] - end[:, None, :], 0.0)
    moving = np.stack(
        [
            np.sum(np.where(begun, whole[:, None, :, i] * np.exp(-k * since), 0.0), axis=2)
            for i, k in enumerate(decay)
        ],
        axis=-1,
    )
    return Pieces(edge, count, np.zeros_like(edge), moving, decay)


# ------------------------------------------------------------------------------------- the solver


@dataclass(frozen=True)
class Method:
    """How the problem is given to the compiled solver.

    Attributes
    ----------
    jump : bool
        Whether an infusion is one jump; if not, it is two edges with a smooth course between.
    """

    jump: bool = True


DEFAULT = Method()


class Prepared:
    """Everything that a run needs, allocated once."""

    def __init__(
        self, problem: Problem, rtol: float, *, sensitivities: bool, method: Method = DEFAULT
    ) -> None:
        self.handed = native.Handed(problem, jumps(problem) if method.jump else problem.cut)
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
    problem: Problem, rtol: float, *, sensitivities: bool, method: Method = DEFAULT
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Solve all patients, eight side by side."""
    ready = Prepared(problem, rtol, sensitivities=sensitivities, method=method)
    steps = ready.run()
    about = {"method": "Tsit5, C++, 8 lanes", "steps": steps, "failed": int(steps < 0.0)}
    return *ready.handed.results(problem, sensitivities=sensitivities), about


def timed(
    problem: Problem, rtol: float, *, sensitivities: bool, repeats: int, method: Method = DEFAULT
) -> np.ndarray:
    """Seconds of each repeat, sorted."""
    ready = Prepared(problem, rtol, sensitivities=sensitivities, method=method)
    return seconds_of(ready.run, repeats)
