"""The core model's exponential midpoint step in hand-written C++: the limit of what it can do."""

import ctypes as ct
from dataclasses import dataclass

import numpy as np

from peers import native, simd
from peers.problem import Pieces, Problem, pieces, seconds_of

SOURCE = "simd_core.cpp"
LANES = 8
LENGTHS = (21.0, 10.5, 5.25, 2.625, 1.3125, 0.65625, 0.328125, 0.1640625)
"""Longest steps that are tried, days."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(5)


def available() -> str | None:
    return native.missing_compiler(SOURCE)


@dataclass(frozen=True)
class Grid:
    """Steps of one patient: they end at doses and scans, and infusions are averaged over.

    Attributes
    ----------
    length, middle, occupied : (steps,) ndarray
        Days; day of the middle, 0 before day 0; mean occupancy.
    places : (visits,) ndarray of int
        Step after which each scan is read.
    """

    length: np.ndarray
    middle: np.ndarray
    occupied: np.ndarray
    places: np.ndarray


def grid(problem: Problem, cut: Pieces, k: int, longest: float) -> Grid:
    """Lay out one patient's steps, none longer than `longest` days."""
    days = problem.day[k, : problem.visits[k]]
    stops = np.concatenate([[problem.start[k], 0.0], problem.dose_start[k], days])
    stops = np.unique(stops[(stops >= days[0]) & (stops <= days[-1])])
    parts = np.maximum(np.ceil(np.diff(stops) / longest - 1e-9), 1).astype(int)
    begin = np.repeat(stops[:-1], parts)
    nth = np.arange(len(begin)) - np.repeat(np.cumsum(parts) - parts, parts)
    length = np.repeat(np.diff(stops) / parts, parts)
    time = np.append(begin + nth * length, stops[-1])
    edges = cut.edge[k, : cut.count[k]]
    fine = np.unique(np.concatenate([time, edges]))
    half = np.diff(fine) / 2.0
    nodes = (fine[:-1] + half)[:, None] + half[:, None] * NODES
    i = np.searchsorted(edges, nodes[:, 0], side="right") - 1
    since = nodes - edges[i][:, None]
    c = cut.level[k, i][:, None] + np.sum(
        cut.moving[k, i][:, None] * np.exp(-cut.decay * since[..., None]), axis=-1
    )
    free = problem.parameters["tissue_ratio"][k] * c
    area = (free / (free + problem.parameters["half_occupancy"][k]) @ WEIGHTS) * half
    step = np.searchsorted(time, nodes[:, 0], side="right") - 1
    occupied = np.bincount(step, area, minlength=len(length)) / length
    middle = np.maximum(0.5 * (time[1:] + time[:-1]), 0.0)
    return Grid(length, middle, occupied, np.searchsorted(time, days - 1e-9))


class Prepared:
    """Grids side by side in groups of eight patients with about as many steps."""

    def __init__(self, problem: Problem, longest: np.ndarray, *, sensitivities: bool) -> None:
        self.handed, self.sensitivities = native.Handed(problem), sensitivities
        cut = pieces(problem)
        grids = [grid(problem, cut, k, float(one)) for k, one in enumerate(longest)]
        steps = np.array([len(one.length) for one in grids])
        order = np.argsort(-steps, kind="stable")
        self.order = np.append(order, np.full(-len(order) % LANES, -1)).astype(np.int64)
        groups = self.order.reshape(-1, LANES)
        self.steps = steps[groups[:, 0]].astype(np.int64)
        self.places = np.zeros(problem.day.shape, np.int64)
        for k, one in enumerate(grids):
            self.places[k, : len(one.places)] = one.places
        laid = []
        for group, longest_of in zip(groups, self.steps, strict=True):
            side = np.zeros((longest_of, 3, LANES))
            for lane, k in enumerate(group[group >= 0]):
                one = grids[k]
                side[: steps[k], :, lane] = np.stack([one.length, one.middle, one.occupied], 1)
            laid.append(side.ravel())
        self.grid = _aligned(np.concatenate(laid))
        self.kept = _aligned(np.zeros((steps.max() + 1) * native.READ * LANES))
        self.mean_steps = float(steps.mean())
        self.function = native.function(
            native.built(SOURCE, *simd.FLAGS), "core_all",
            ct.c_void_p, ct.c_int, ct.c_long, *[ct.c_void_p] * 6,
        )  # fmt: skip

    def run(self) -> int:
        """Solve all patients."""
        arrays = self.order, self.steps, self.grid, self.places, self.kept, self.handed.out
        return self.function(
            self.handed.address, self.sensitivities, len(self.steps), *map(native.pointer, arrays)
        )


def _aligned(values: np.ndarray) -> np.ndarray:
    """Copy to an address that suits the widest vectors."""
    room = np.zeros(len(values) + LANES)
    first = (-room.ctypes.data // 8) % LANES
    room[first : first + len(values)] = values
    return room[first : first + len(values)]


def lengths(problem: Problem, tolerance: float) -> np.ndarray:
    """Longest step of each patient, days: the longest whose error is within the tolerance.

    The error is 4/3 of the difference from half the step, at the parameters given; grids chosen
    so are right near these parameters, not everywhere.
    """
    chosen = np.full(problem.patients, LENGTHS[-1])
    left, before = np.arange(problem.patients), None
    for longest in LENGTHS:
        now = uniform(problem.only(left), longest)
        if before is not None:
            error = np.abs(now - before).max(axis=1) * 4.0 / 3.0
            chosen[left[error <= tolerance]] = 2.0 * longest
            left, now = left[error > tolerance], now[error > tolerance]
        before = now
        if not len(left):
            break
    return chosen


def uniform(problem: Problem, longest: float) -> np.ndarray:
    """Log sizes with the same longest step for everybody, (P, V)."""
    ready = Prepared(problem, np.full(problem.patients, longest), sensitivities=False)
    ready.run()
    return ready.handed.results(problem, sensitivities=False)[0]


def prepared(
    problem: Problem, rtol: float, *, sensitivities: bool, longest: float | None = None
) -> Prepared:
    """Lay out grids for a tolerance in log size, or with one longest step for everybody."""
    each = lengths(problem, rtol) if longest is None else np.full(problem.patients, longest)
    return Prepared(problem, each, sensitivities=sensitivities)


def solve(
    problem: Problem, rtol: float, *, sensitivities: bool, longest: float | None = None
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Solve all patients, eight side by side."""
    ready = prepared(problem, rtol, sensitivities=sensitivities, longest=longest)
    about = {"method": "exponential midpoint, C++, 8 lanes", "failed": ready.run()}
    about["steps"] = ready.mean_steps
    return *ready.handed.results(problem, sensitivities=sensitivities), about


def timed(
    problem: Problem, rtol: float, *, sensitivities: bool, repeats: int,
    longest: float | None = None,
) -> np.ndarray:  # fmt: skip
    """Seconds of each repeat, sorted; grids are laid out before."""
    ready = prepared(problem, rtol, sensitivities=sensitivities, longest=longest)
    return seconds_of(ready.run, repeats)
