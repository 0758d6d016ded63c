"""The equations, patients and doses that every contender is given, as plain arrays."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

import pdmodel as pdm
from pdmodel.units import HOURS_PER_DAY

SENSITIVE = ("growth", "kill", "waning")
"""Parameters whose sensitivities need equations; that of baseline is one over it."""
NAMES = (
    *SENSITIVE, "exhaustion", "exhausted_ratio", "reinvigoration", "loss", "block",
    "antigen_half", "fixed_fraction", "tissue_ratio", "half_occupancy", "baseline",
)  # fmt: skip
"""Columns of `Problem.table`, in the order in which rates.h names them."""
LOG_BURDEN_LIMIT = 60.0


class Pieces(NamedTuple):
    """Concentration ``level + moving @ exp(-decay (day - edge))`` up to the next edge.

    Edges are the start, day 0 (where waning begins), and starts and ends of infusions before the
    last scan; padding lies beyond any scan.
    """

    edge: np.ndarray
    """Days, (patients, edges)."""
    count: np.ndarray
    """Edges of each patient, (patients,)."""
    level: np.ndarray
    """mg/L, (patients, edges)."""
    moving: np.ndarray
    """mg/L, (patients, edges, 2)."""
    decay: np.ndarray
    """1/day, (2,)."""


FAR = 1e9
"""A day beyond every scan."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


@dataclass(frozen=True, eq=False)
class Problem:
    """Patients to be solved, padded to the same number of scans and doses.

    Attributes
    ----------
    start : (P,) ndarray
        Day of the first scan, on which each course begins.
    day : (P, V) ndarray
        Days of the scans, rising; padding repeats the last.
    visits : (P,) ndarray of int
    dose_start, dose_mg, dose_length : (P, D) ndarray
        Days, mg and days of the infusions; padding is 0 mg on a day beyond every scan.
    doses : (P,) ndarray of int
    parameters : dict of str to (P,) ndarray
        Every parameter, constants included, natural scale.
    clearance, central_volume, intercompartmental, peripheral_volume : float
        CL (L/day), V1 (L), Q (L/day) and V2 (L).
    jump : bool
        Whether contenders are given each infusion as one jump (`jumps`), not as two edges.
    """

    start: np.ndarray
    day: np.ndarray
    visits: np.ndarray
    dose_start: np.ndarray
    dose_mg: np.ndarray
    dose_length: np.ndarray
    doses: np.ndarray
    parameters: dict[str, np.ndarray]
    clearance: float
    central_volume: float
    intercompartmental: float
    peripheral_volume: float
    jump: bool = False

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(self.start)

    @property
    def visible(self) -> np.ndarray:
        """Whether there is a scan, (P, V); False for padding."""
        return np.arange(self.day.shape[1]) < self.visits[:, None]

    @cached_property
    def last(self) -> np.ndarray:
        """Day of the last scan, (P,)."""
        return np.take_along_axis(self.day, self.visits[:, None] - 1, axis=1)[:, 0]

    @cached_property
    def table(self) -> np.ndarray:
        """Parameters side by side, (P, names)."""
        return np.stack([self.parameters[name] for name in NAMES], axis=1)

    @cached_property
    def cut(self) -> "Pieces":
        """Concentrations as contenders are given them, kept."""
        return jumps(self) if self.jump else pieces(self)

    def only(self, which: np.ndarray) -> "Problem":
        """Keep some patients, by index."""
        rows = {name: getattr(self, name)[which] for name in ROWS}
        some = {name: value[which] for name, value in self.parameters.items()}
        return replace(self, parameters=some, **rows)


ROWS = ("start", "day", "visits", "dose_start", "dose_mg", "dose_length", "doses")


def from_cohort(model: pdm.Model, cohort: pdm.Cohort, values: Mapping[str, np.ndarray]) -> Problem:
    """Take over patients and the values of the free parameters, each of shape (patients,)."""
    people, (drug,) = list(cohort), model.drugs
    pk = drug.pharmacokinetics
    given = [patient.regimens[drug.name] for patient in people]
    known = {q.name: q.typical for q in drug.parameters} | model.constants | dict(values)
    size = (len(people),)
    doses = {"dose_start": ("start", FAR), "dose_mg": ("amount", 0.0)}
    doses |= {"dose_length": ("duration", 1.0 / HOURS_PER_DAY)}
    return Problem(
        start=np.array([patient.start_day for patient in people]),
        day=_padded([patient.day for patient in people]),
        visits=np.array([len(patient.day) for patient in people]),
        doses=np.array([len(one) for one in given]),
        parameters={n: np.broadcast_to(np.asarray(known[n], float), size).copy() for n in NAMES},
        clearance=pk.clearance,
        central_volume=pk.central_volume,
        intercompartmental=pk.intercompartmental,
        peripheral_volume=pk.peripheral_volume,
        **{
            name: _padded([getattr(one, column) for one in given], fill)
            for name, (column, fill) in doses.items()
        },
    )


def _padded(rows: list[np.ndarray], fill: float | None = None) -> np.ndarray:
    longest = max(len(row) for row in rows)
    return np.array([
        np.pad(row, (0, longest - len(row)), constant_values=row[-1] if fill is None else fill)
        for row in rows
    ])  # fmt: skip


def modes(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Decay of the fast and the slow exponential, 1/day, and their parts of a bolus, 1/L."""
    k10 = problem.clearance / problem.central_volume
    k12 = problem.intercompartmental / problem.central_volume
    k21 = problem.intercompartmental / problem.peripheral_volume
    fast, slow = np.sort(np.roots([1.0, -(k10 + k12 + k21), k10 * k21]))[::-1]
    parts = np.array([fast - k21, k21 - slow]) / (fast - slow)
    return np.array([fast, slow]), parts / problem.central_volume


def pieces(problem: Problem) -> Pieces:
    """Lay out the concentrations between the starts and ends of infusions, in closed form."""
    decay, share = modes(problem)
    begin, length = problem.dose_start, problem.dose_length
    end = begin + length
    start = problem.start[:, None]
    edge = np.concatenate([start, 0.0 * start, begin, end, np.full_like(start, FAR)], axis=1)
    used = (edge == start) | ((edge > start) & (edge < problem.last[:, None]))
    edge = np.sort(np.where(used, edge, FAR), axis=1)
    again = np.concatenate([np.zeros((len(edge), 1), bool), np.diff(edge, axis=1) <= 0.0], 1)
    edge = np.sort(np.where(again, FAR, edge), axis=1)
    count = np.sum(edge < FAR, axis=1)
    edge = edge[:, : count.max() + 1]
    at, dose = edge[:, :, None], np.s_[:, None, :]
    begun = begin[dose] <= at
    pace = np.where(begun, problem.dose_mg[dose] / length[dose], 0.0)  # mg/day
    on = np.sum(np.where(end[dose] > at, pace, 0.0), axis=2)
    during = np.clip(at - begin[dose], 0.0, length[dose])
    since = np.where(begun, at - begin[dose] - during, 0.0)
    held = [
        np.sum(pace / k * -np.expm1(-k * during) * np.exp(-k * since), axis=2) for k in decay
    ]  # mg, each mode by itself
    steady = on[:, :, None] / decay
    moving = share * (np.stack(held, axis=-1) - steady)
    return Pieces(edge, count, np.sum(share * steady, axis=-1), moving, decay)


def jumps(problem: Problem) -> Pieces:
    """Lay out the concentrations with each infusion as one jump, at the day that keeps its effect.

    Blockade of the hour before and of the hour after are continued to a day within the infusion,
    chosen so that the integral of the blockade is that of the true course. Each dose is then one
    edge instead of two, and log sizes are wrong by less than 1e-4.
    """
    decay, share = modes(problem)
    begin, length = problem.dose_start, problem.dose_length
    end, given = begin + length, problem.dose_mg > 0.0
    if np.any((end[:, :-1] > begin[:, 1:]) & given[:, 1:]):
        raise ValueError("Infusions overlap; leave them as they are.")
    pace = problem.dose_mg[..., None] / length[..., None] * share / decay
    whole = pace * -np.expm1(-decay * length[..., None])  # mg/L at the end, of this dose alone
    jump = np.where(given, begin + _jump_after(problem, pace, whole, decay), FAR)
    start = problem.start[:, None]
    day_0 = np.where(start < 0.0, 0.0, FAR)
    edge = np.concatenate([start, day_0, jump, np.full_like(start, FAR)], axis=1)
    used = (edge == start) | ((edge > start) & (edge < problem.last[:, None]))
    edge = np.sort(np.where(used, edge, FAR), axis=1)
    count = np.sum(edge < FAR, axis=1)
    edge = edge[:, : count.max() + 1]
    begun = (jump[:, None, :] <= edge[:, :, None]) & (edge[:, :, None] < FAR)
    since = np.where(begun, edge[:, :, None] - end[:, None, :], 0.0)
    moving = [
        np.sum(np.where(begun, whole[:, None, :, i] * np.exp(-k * since), 0.0), axis=2)
        for i, k in enumerate(decay)
    ]
    return Pieces(edge, count, np.zeros_like(edge), np.stack(moving, axis=-1), decay)


def _jump_after(
    problem: Problem, pace: np.ndarray, whole: np.ndarray, decay: np.ndarray
) -> np.ndarray:
    """Days from the start of each infusion to its jump, (P, D), by Newton's method."""
    begin, length = problem.dose_start, problem.dose_length
    left = np.zeros_like(whole)  # mg/L at the beginning, of the doses before
    for d in range(1, begin.shape[1]):
        since = np.minimum(begin[:, d] - begin[:, d - 1] - length[:, d - 1], FAR)[:, None]
        reached = left[:, d - 1] * np.exp(-decay * length[:, d - 1, None]) + whole[:, d - 1]
        left[:, d] = reached * np.exp(-decay * since)
    ratio = problem.parameters["tissue_ratio"] / problem.parameters["half_occupancy"]

    def before(since: np.ndarray) -> np.ndarray:
        return left[:, :, None] * np.exp(-decay * since[..., None])

    def after(since: np.ndarray) -> np.ndarray:
        late = since - length[..., None]
        return before(since) + whole[:, :, None] * np.exp(-decay * late[..., None])

    def during(since: np.ndarray) -> np.ndarray:
        return before(since) + pace[:, :, None] * -np.expm1(-decay * since[..., None])

    def blockade(course: Callable, since: np.ndarray) -> np.ndarray:
        free = ratio[:, None, None] * course(since).sum(-1)
        return free / (free + 1.0)

    def integral(course: Callable, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        half = 0.5 * (high - low)
        return blockade(course, (low + half)[..., None] + half[..., None] * NODES) @ WEIGHTS * half

    true, at = integral(during, 0.0 * length, length), 0.5 * length
    for _ in range(4):
        missing = integral(before, 0.0 * length, at) + integral(after, at, length) - true
        slope = (blockade(before, at[..., None]) - blockade(after, at[..., None]))[..., 0]
        at = np.clip(at - missing / np.where(slope < 0.0, slope, -1.0), 0.0, length)
    return at


def weights(problem: Problem) -> np.ndarray:
    """Weight of each log size in the scalar whose gradient is taken, (P, V); 0 for padding."""
    some = np.random.default_rng(3).normal(size=problem.day.shape)
    return np.where(problem.visible, some, 0.0)


def seconds_of(run: Callable[[], object], repeats: int) -> np.ndarray:
    """Processor time of each repeat in seconds, sorted; a first run is not counted.

    Processor time is that of the clock on a quiet core, and less disturbed on a busy one.
    """
    run()
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return np.sort(seconds)
