"""The time axis of each patient, laid out once before solving: steps, blockade, and scans to read.

Steps end at every dose and every day that is to be read, and are at most `longest_step` days
long. On each step an action stands at its exact mean, taken by Gauss quadrature on both sides of
an infusion's end, so that an hour's infusion needs no steps of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pdmodel.dosing import Regimen
from pdmodel.model import Model

LONGEST_STEP = 5.25
"""Days; a quarter of a three-week cycle."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(5)
SAME_DAY = 1e-9


@dataclass(frozen=True)
class Courses:
    """Time axes of patients side by side, padded to a common length.

    Attributes
    ----------
    time : ndarray, shape (patients, steps + 1)
        Days at which steps begin and end; padding repeats the last.
    actions : dict of str to ndarray, each of shape (patients, steps)
        Mean strength of each action on each step.
    read : ndarray of int, shape (patients, visits)
        Which entry of `time` each visit is; padding repeats the last.
    visible : ndarray of bool, shape (patients, visits)
        False for padding.
    """

    time: np.ndarray
    actions: Mapping[str, np.ndarray]
    read: np.ndarray
    visible: np.ndarray

    @property
    def steps(self) -> np.ndarray:
        """Number of steps that each patient needs, shape (patients,)."""
        return self.read.max(axis=1)


def breakpoints(
    start: float, days: np.ndarray, regimens: Mapping[str, Regimen], longest_step: float
) -> np.ndarray:
    """Lay out one patient's steps: from `start` over day 0, every dose and day, none too long."""
    end = float(days.max(initial=start))
    starts = [regimen.start for regimen in regimens.values()]
    edges = np.concatenate([[start, 0.0, end], days, *starts])  # rates may bend on day 0
    edges = np.unique(edges[(edges >= start) & (edges <= end)])
    edges = edges[np.concatenate([[True], np.diff(edges) > SAME_DAY])]
    parts = np.maximum(np.ceil(np.diff(edges) / longest_step - SAME_DAY), 1).astype(int)
    fine = [
        np.linspace(a, b, n, endpoint=False)
        for a, b, n in zip(edges[:-1], edges[1:], parts, strict=True)
    ]
    return np.concatenate([*fine, edges[-1:]])


def mean_actions(
    model: Model, regimens: Mapping[str, Regimen], time: np.ndarray
) -> dict[str, np.ndarray]:
    """Average each action over the steps between `time`, exact at doses and infusion ends."""
    ends = [regimen.start + regimen.duration for regimen in regimens.values()]
    edges = np.unique(np.concatenate([time, *ends]))
    edges = edges[(edges >= time[0]) & (edges <= time[-1])]
    half = np.diff(edges) / 2
    nodes = (edges[:-1] + half)[:, None] + half[:, None] * NODES
    strengths = model.strengths(regimens, nodes.ravel())
    step = np.clip(np.searchsorted(time, nodes[:, 0], side="right") - 1, 0, len(time) - 2)
    length = np.maximum(np.diff(time), SAME_DAY)
    means = {}
    for action, strength in strengths.items():
        area = (np.reshape(np.asarray(strength), nodes.shape) @ WEIGHTS) * half
        means[action] = np.bincount(step, area, minlength=len(length)) / length
    return means


def lay_out(
    model: Model,
    starts: Sequence[float],
    days: Sequence[np.ndarray],
    regimens: Sequence[Mapping[str, Regimen]],
    longest_step: float = LONGEST_STEP,
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
    longest_step : float
        Days; the accuracy of the solution goes with its square.

    Returns
    -------
    Courses
    """
    times, means, reads = [], [], []
    known: dict[bytes, dict[str, np.ndarray]] = {}
    for start, day, given in zip(starts, days, regimens, strict=True):
        time = breakpoints(start, day, given, longest_step)
        signature = time.tobytes() + b"".join(
            name.encode() + r.start.tobytes() + r.amount.tobytes() + r.duration.tobytes()
            for name, r in given.items()
        )
        if signature not in known:
            known[signature] = mean_actions(model, given, time) if len(time) > 1 else {}
        times.append(time)
        means.append(known[signature])
        reads.append(np.searchsorted(time, day - SAME_DAY))
    longest = max(2, *(len(time) for time in times))
    visits = max(1, *(len(read) for read in reads))
    return Courses(
        time=np.stack([np.pad(t, (0, longest - len(t)), mode="edge") for t in times]),
        actions={
            action: np.stack(
                [_padded(mean.get(action, np.zeros(0)), longest - 1) for mean in means]
            )
            for action in model.mechanism.answers_to
        },
        read=np.stack([_padded(r, visits, r[-1] if len(r) else 0) for r in reads]).astype(int),
        visible=np.stack([np.arange(visits) < len(r) for r in reads]),
    )


def _padded(values: np.ndarray, length: int, fill: float = 0.0) -> np.ndarray:
    return np.pad(values, (0, length - len(values)), constant_values=fill)
