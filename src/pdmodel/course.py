"""The time axis of each patient, laid out once before solving: cells between doses and scans.

Within a cell each action is smooth, and stands as a polynomial in time. A short infusion at the
beginning of a cell is not resolved: what the polynomial gives too much (or too little) there is
taken off as an impulse, so that an hour's infusion needs no step of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import comb
from typing import Literal, NamedTuple

import numpy as np

from pdmodel.dosing import Regimen
from pdmodel.errors import OptionError
from pdmodel.model import Kinetics, Model

type Accuracy = Literal["draft", "standard", "fine"]
"""Courses whose log size is within 1e-3, 1e-4 or 1e-6 of the exact one."""


class Grid(NamedTuple):
    """How finely courses are laid out and solved.

    Attributes
    ----------
    tolerance : float
        Error of one step that is allowed, in log size.
    longest : float
        Longest cell, days; a cycle of three weeks, or half of it.
    degree : int
        Of the polynomials in time.
    unresolved : float
        Days; an infusion that ends later than this in its cell ends the cell.
    paired : tuple of float, optional
        Of the faster path, see `pdmodel.pairs`: longest step of the coarse grid, days, and the
        difference of log size up to which two grids agree.
    """

    tolerance: float
    longest: float
    degree: int
    unresolved: float
    paired: tuple[float, float] | None = None


GRIDS: Mapping[str, Grid] = {
    "draft": Grid(1e-3, 21.0, 4, 0.125, (21.0, 5e-3)),
    "standard": Grid(5e-5, 21.0, 4, 0.125, (10.5, 1e-3)),
    "fine": Grid(2e-7, 10.5, 6, 0.01),
}
RAMP = np.polynomial.legendre.leggauss(12)
GRADED = 4
"""Power by which nodes crowd at the start of an infusion, where occupancy rises within seconds."""
SAME_DAY = 1e-9


@dataclass(frozen=True)
class Courses:
    """Time axes of patients one after the other.

    Attributes
    ----------
    begin, length : ndarray, shape (cells,)
        Day on which each cell begins, and its length in days.
    actions : dict of str to ndarray, each of shape (cells, degree + 2)
        Impulse at the beginning, in days, and coefficients of the powers of the time in the cell
        as a fraction of its length.
    slot : ndarray of int, shape (cells,)
        Number, within the patient, of the record that is made at the end of the cell; -1 for none.
    first, last : ndarray of int, shape (patients,)
        Cells of each patient, the last not included.
    read : ndarray of int, shape (patients, visits)
        Which record each visit is: 0 for the beginning of the course; padding has 0.
    visible : ndarray of bool, shape (patients, visits)
        False for padding.
    tolerance : float
        Error of one step that is allowed, in log size.
    paired : tuple of float, optional
        See `Grid.paired`; only for mechanisms that declare a linear pair.
    """

    begin: np.ndarray
    length: np.ndarray
    actions: Mapping[str, np.ndarray]
    slot: np.ndarray
    first: np.ndarray
    last: np.ndarray
    read: np.ndarray
    visible: np.ndarray
    tolerance: float
    paired: tuple[float, float] | None = None


def breakpoints(
    start: float, days: np.ndarray, regimens: Mapping[str, Regimen], grid: Grid
) -> np.ndarray:
    """Lay out one patient's cells: from `start` over day 0, every dose and day, none too long."""
    end = float(days.max(initial=start))
    given = [one for r in regimens.values() for one in (r.start, r.resets)]
    edges = _apart(np.concatenate([[start, 0.0, end], days, *given]), start, end)  # bends on day 0
    stops = np.concatenate([np.zeros(0), *(r.edges for r in regimens.values())])
    before = edges[np.maximum(np.searchsorted(edges, stops) - 1, 0)]
    edges = _apart(np.concatenate([edges, stops[stops - before > grid.unresolved]]), start, end)
    parts = np.maximum(np.ceil(np.diff(edges) / grid.longest - SAME_DAY), 1).astype(int)
    fine = [
        np.linspace(a, b, n, endpoint=False)
        for a, b, n in zip(edges[:-1], edges[1:], parts, strict=True)
    ]
    return np.concatenate([*fine, edges[-1:]])


def _apart(edges: np.ndarray, start: float, end: float) -> np.ndarray:
    edges = np.unique(edges[(edges >= start) & (edges <= end)])
    return edges[np.concatenate([[True], np.diff(edges) > SAME_DAY])]


def smooth_actions(
    model: Model,
    regimens: Mapping[str, Regimen],
    edges: np.ndarray,
    grid: Grid,
    kinetics: Kinetics | None = None,
) -> dict[str, np.ndarray]:
    """Describe each action on the cells between `edges`: see `Courses.actions`."""
    a, b = edges[:-1], edges[1:]
    begun = [r.start + np.minimum(r.duration, grid.unresolved) for r in regimens.values()]
    stops = np.unique(np.concatenate([*begun, *(r.edges for r in regimens.values())]))
    last = np.searchsorted(stops, a + grid.unresolved, side="right") - 1
    rest = np.where(last >= 0, np.clip(stops[np.maximum(last, 0)], a, b), a)
    short = rest - a > 0.25 * (b - a)  # a cell that is mostly infusion stands at its mean
    rest = np.where(short, b, rest)
    half = np.where(short, 0.0, (b - rest) / 2)
    node, weights = np.polynomial.legendre.leggauss(grid.degree + 3)
    smooth = rest[:, None] + half[:, None] * (node + 1.0)
    ramp, weight = _ramps(a, rest)
    day = np.concatenate([smooth.ravel(), ramp.ravel()])
    at = model.strengths(regimens, day, kinetics)
    skipped = (rest - a) / (b - a)
    found = {}
    for action, strength in at.items():
        values = strength[: smooth.size].reshape(smooth.shape)
        given = np.sum(strength[smooth.size :].reshape(ramp.shape) * weight, axis=1)
        power = _powers(values * weights, np.where(short, 0.0, skipped), grid.degree)
        level = np.eye(grid.degree + 1)[0] * (given / (b - a))[:, None]
        power = np.where(short[:, None], level, power)
        order = np.arange(1, grid.degree + 2)
        taken = np.sum(power * skipped[:, None] ** order / order, axis=1) * (b - a)
        found[action] = np.column_stack([np.where(short, 0.0, taken - given), power])
    return found


def _ramps(a: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (cells, nodes) over the unresolved beginning of every cell."""
    node, weight = (RAMP[0] + 1.0) / 2.0, RAMP[1] / 2.0
    ramp = a[:, None] + (rest - a)[:, None] * node**GRADED
    return ramp, (rest - a)[:, None] * GRADED * node ** (GRADED - 1) * weight


def _powers(weighted: np.ndarray, skipped: np.ndarray, degree: int) -> np.ndarray:
    """Coefficients of powers of the cell's time, from values at the nodes behind `skipped`."""
    local = weighted @ _projection(degree)
    power, stretch = np.zeros_like(local), 1.0 / (1.0 - skipped)
    for k in range(degree + 1):
        for j in range(k + 1):
            power[:, j] += local[:, k] * stretch**k * comb(k, j) * (-skipped) ** (k - j)
    return power


@cache
def _projection(degree: int) -> np.ndarray:
    """From weighted values at Gauss nodes to powers of x in [0, 1], (nodes, degree + 1)."""
    node, _ = np.polynomial.legendre.leggauss(degree + 3)
    basis = np.polynomial.legendre.legvander(node, degree) * (np.arange(degree + 1) + 0.5)
    to_power = np.zeros((degree + 1, degree + 1))
    for k in range(degree + 1):
        shifted = np.polynomial.Legendre.basis(k, domain=[0.0, 1.0])
        to_power[k, : k + 1] = shifted.convert(kind=np.polynomial.Polynomial).coef
    return basis @ to_power


def lay_out(
    model: Model,
    starts: Sequence[float],
    days: Sequence[np.ndarray],
    regimens: Sequence[Mapping[str, Regimen]],
    accuracy: Accuracy = "standard",
    kinetics: Sequence[Kinetics] | None = None,
) -> Courses:
    """Lay out the courses of several patients.

    Parameters
    ----------
    model : Model
        Its drugs turn regimens into actions.
    starts : sequence of float
        Day on which each patient's course begins.
    days : sequence of ndarray
        Days to be read in each patient, rising, none before the start.
    regimens : sequence of mapping of str to Regimen
        What each patient is given.
    accuracy : {"draft", "standard", "fine"}
        The log size is within 1e-3, 1e-4 or 1e-6 of the exact one.
    kinetics : sequence of mapping of str to TwoCompartment, optional
        Patients' own pharmacokinetics; without them, those of the typical patient.

    Returns
    -------
    Courses
        Patients with the same start, days and doses share their cells.

    Raises
    ------
    OptionError
        If there is no such accuracy.
    """
    if accuracy not in GRIDS:
        raise OptionError(f"There is no accuracy {accuracy!r}; choose one of {list(GRIDS)}.")
    grid = GRIDS[accuracy]
    known: dict[bytes, int] = {}
    pieces: list[tuple] = []
    which = []
    for start, day, given, own in zip(
        starts, days, regimens, kinetics or [{}] * len(starts), strict=True
    ):
        signature = np.float64(start).tobytes() + day.tobytes()
        signature += b"".join(name.encode() + r.signature for name, r in given.items())
        signature += repr(sorted(own.items())).encode() if own else b""
        if signature not in known:
            known[signature] = len(pieces)
            pieces.append(_one(model, start, day, given, own, grid))
        which.append(known[signature])
    sizes = np.array([len(piece[0]) - 1 for piece in pieces])
    ends = np.cumsum(sizes)
    visits = max(1, 1, *(len(day) for day in days))
    edges, slots, actions, reads = zip(*pieces, strict=True)
    return Courses(
        begin=np.concatenate([e[:-1] for e in edges]),
        length=np.concatenate([np.diff(e) for e in edges]),
        actions={name: np.concatenate([a[name] for a in actions]) for name in _exerted(model)},
        slot=np.concatenate(slots),
        first=(ends - sizes)[which],
        last=ends[which],
        read=np.stack([np.pad(reads[i], (0, visits - len(reads[i]))) for i in which]),
        visible=np.stack([np.arange(visits) < len(reads[i]) for i in which]),
        tolerance=grid.tolerance,
        paired=grid.paired if model.mechanism.linear else None,
    )


def _exerted(model: Model) -> list[str]:
    return [action for action in model.mechanism.answers_to if action in model.actions]


def _one(
    model: Model,
    start: float,
    day: np.ndarray,
    given: Mapping[str, Regimen],
    kinetics: Kinetics,
    grid: Grid,
) -> tuple:
    edges = breakpoints(start, day, given, grid)
    looked = np.searchsorted(edges, day - SAME_DAY)
    seen = np.unique(looked[looked > 0])
    slot = np.full(len(edges) - 1, -1)
    slot[seen - 1] = 1 + np.arange(len(seen))
    read = np.where(looked > 0, np.searchsorted(seen, looked) + 1, 0)
    names = _exerted(model)
    if len(edges) > 1 and any(len(regimen) for regimen in given.values()):
        actions = smooth_actions(model, given, edges, grid, kinetics)
    else:
        actions = {name: np.zeros((len(edges) - 1, grid.degree + 2)) for name in names}
    return edges, slot, {name: actions[name] for name in names}, read
