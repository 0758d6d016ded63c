"""SciPy with the right-hand side in NumPy: as a user would write it, and as the exact reference."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from scipy.integrate import solve_ivp

from peers.problem import FAR, LOG_BURDEN_LIMIT, Problem, pieces, seconds_of

METHOD = "LSODA"
EXACT = 1e-12


def available() -> str | None:
    return None


def change(
    day: np.ndarray, y: np.ndarray, p: Mapping[str, np.ndarray], concentration: np.ndarray
) -> np.ndarray:
    """Change of the three states, and of their sensitivities where there are twelve rows.

    Rows are log burden, effector, exhausted, and the same three to growth, to kill, to waning.
    """
    log_burden, e, x = y[:3]
    inside = np.abs(log_burden) < LOG_BURDEN_LIMIT
    burden = np.exp(np.clip(log_burden, -LOG_BURDEN_LIMIT, LOG_BURDEN_LIMIT))
    antigen = burden * (1.0 + p["antigen_half"]) / (burden + p["antigen_half"])
    treated = np.maximum(day, 0.0)
    free = p["tissue_ratio"] * concentration
    reversible = (1.0 - p["fixed_fraction"]) * np.exp(-p["waning"] * treated)
    act = free / (free + p["half_occupancy"]) * reversible
    spared = 1.0 - p["block"] * act
    exhausting, returning = p["exhaustion"] * antigen * spared, p["reinvigoration"] * act
    exhausted_loss = p["exhaustion"] / p["exhausted_ratio"]
    inflow = p["loss"] + p["exhaustion"]
    swap = exhausting * e - returning * x
    moved = [
        3.0 * p["growth"] * (1.0 - p["kill"] * e),
        inflow - p["loss"] * e - swap,
        swap - exhausted_loss * x,
    ]
    if len(y) == 3:
        return np.stack(moved)
    to_burden = exhausting * e * p["antigen_half"] / (burden + p["antigen_half"]) * inside
    to_waning = (
        treated * act * (p["exhaustion"] * antigen * p["block"] * e + p["reinvigoration"] * x)
    )
    own = (
        (3.0 * (1.0 - p["kill"] * e), 0.0),
        (-3.0 * p["growth"] * e, 0.0),
        (0.0, to_waning),
    )
    for s, (first, swapped) in zip(y[3:].reshape(3, 3, *y.shape[1:]), own, strict=True):
        exchange = to_burden * s[0] + exhausting * s[1] - returning * s[2] + swapped
        moved += [
            first - 3.0 * p["growth"] * p["kill"] * s[1],
            -p["loss"] * s[1] - exchange,
            exchange - exhausted_loss * s[2],
        ]
    return np.stack(moved)


def beginning(problem: Problem, *, sensitivities: bool) -> np.ndarray:
    y = np.zeros((12 if sensitivities else 3, problem.patients))
    y[1], y[2] = 1.0, problem.parameters["exhausted_ratio"]
    return y


def exact(problem: Problem, rtol: float = EXACT) -> tuple[np.ndarray, np.ndarray]:
    """Log sizes (P, V) and their sensitivities (P, V, 3) by DOP853, restarted at edges and scans.

    All patients move together, each on a clock that runs from 0 to 1 between two of its stops.
    """
    cut = pieces(problem)
    stops = np.concatenate([cut.edge, np.where(problem.visible, problem.day, FAR)], axis=1)
    stops = np.sort(np.minimum(stops, problem.last[:, None]), axis=1)
    patient = np.arange(problem.patients)
    y = beginning(problem, sensitivities=True)
    seen = np.full((*problem.day.shape, 4), np.nan)
    for begin, end in pairwise(stops.T):
        _read(problem, begin, y, seen)
        i = np.clip(np.sum(cut.edge <= begin[:, None], axis=1) - 1, 0, None)
        edge, level, moving = cut.edge[patient, i], cut.level[patient, i], cut.moving[patient, i]
        length = end - begin

        def rate(
            s: float, flat: np.ndarray, begin=begin, length=length, edge=edge, level=level,
            moving=moving,
        ) -> np.ndarray:  # fmt: skip
            day = begin + s * length
            c = level + np.sum(moving * np.exp(-cut.decay * (day - edge)[:, None]), axis=1)
            moved = change(day, flat.reshape(12, -1), problem.parameters, c)
            return (length * moved).ravel()

        if length.max() > 0.0:
            solved = solve_ivp(rate, (0.0, 1.0), y.ravel(), "DOP853", rtol=rtol, atol=rtol)
            y = solved.y[:, -1].reshape(12, -1)
    _read(problem, stops[:, -1], y, seen)
    return finished(problem, seen[..., 0], seen[..., 1:])


def _read(problem: Problem, day: np.ndarray, y: np.ndarray, seen: np.ndarray) -> None:
    """Keep log burden and its sensitivities wherever a scan is on this day."""
    here = problem.day == day[:, None]
    seen[here] = y[[0, 3, 6, 9]].T[np.nonzero(here)[0]]


def finished(
    problem: Problem, log_burden: np.ndarray, slopes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """From the log of relative volume to the log of mm; 0 where there is no scan."""
    log_size = np.log(problem.parameters["baseline"])[:, None] + log_burden / 3.0
    visible = problem.visible
    if slopes is not None:
        slopes = np.where(visible[..., None], slopes / 3.0, 0.0)
    return np.where(visible, log_size, 0.0), slopes


def solve(
    problem: Problem, rtol: float, *, sensitivities: bool, method: str = METHOD
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Solve one patient after another, restarted at every edge."""
    cut, calls = problem.cut, 0
    seen = np.zeros((*problem.day.shape, 4))
    y0 = beginning(problem, sensitivities=sensitivities)
    read = [0, 3, 6, 9] if sensitivities else [0]
    for k in range(problem.patients):
        p = {name: value[k] for name, value in problem.parameters.items()}
        days = problem.day[k, : problem.visits[k]]
        edges = np.append(cut.edge[k, : cut.count[k]], days[-1])
        y = y0[:, k]
        seen[k, 0, : len(read)] = y[read]
        for i, (a, b) in enumerate(pairwise(edges)):
            level, moving = cut.level[k, i], cut.moving[k, i]

            def rate(day: float, y: np.ndarray, a=a, level=level, moving=moving, p=p) -> np.ndarray:
                return change(day, y, p, level + moving @ np.exp(-cut.decay * (day - a)))

            scans = np.flatnonzero((days > a) & (days <= b))
            at = np.unique(np.append(days[scans], b))
            found = solve_ivp(rate, (a, b), y, method, at, rtol=rtol, atol=rtol)
            seen[k, scans, : len(read)] = found.y[np.ix_(read, np.arange(len(scans)))].T
            y, calls = found.y[:, -1], calls + found.nfev
    slopes = seen[..., 1:] if sensitivities else None
    about = {"method": f"SciPy {method}", "evaluations": calls / problem.patients}
    return *finished(problem, seen[..., 0], slopes), about


def timed(
    problem: Problem, rtol: float, *, sensitivities: bool, repeats: int, method: str = METHOD
) -> np.ndarray:
    """Seconds of each repeat, sorted."""
    return seconds_of(
        lambda: solve(problem, rtol, sensitivities=sensitivities, method=method), repeats
    )
