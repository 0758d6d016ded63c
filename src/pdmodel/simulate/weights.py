"""Virtual populations that agree with published numbers: weights as even as the numbers allow.

Among all weights whose means come near the published values, those of greatest entropy are taken
(exponential tilting, doi:10.1103/PhysRev.106.620); a target with a standard error is a soft one, a
normal penalty. How uneven the weights are shows in the effective number of patients.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize
from scipy.special import logsumexp, softmax

from pdmodel.errors import OptionError
from pdmodel.response import CLASSES
from pdmodel.simulate.survival import pseudo_values
from pdmodel.simulate.trial import Trial

FEW = 0.05
"""Share of the patients below which the effective number of them is called small."""
NUMBERED = r"(progression_free_day|alive_day|best_change_below)_(-?\d+(?:\.\d+)?)"
STEEPEST = 500.0
"""Largest tilt per unit of a share; where it is reached no weights meet the targets."""


class Target(NamedTuple):
    """A published number.

    Attributes
    ----------
    endpoint : str
        ``objective_response``, ``disease_control``, ``progression_free_day_182`` (any day),
        ``alive_day_365``, ``class_primary``, or ``best_change_below_-30``: the share of patients
        whose best change is at or below so many percent, a quantile of the waterfall.
    value, error : float
        A share, and its standard error; 0 is met exactly.
    """

    endpoint: str
    value: float
    error: float


class Weights(NamedTuple):
    """Weights of virtual patients, and what they do.

    Attributes
    ----------
    weight : ndarray, shape (patients,)
        Sums to 1; 0 where a course could not be solved.
    effective : float
        Number of equally weighted patients that are as good, ``1 / sum(weight**2)``.
    table : DataFrame
        ``endpoint, target, error, before, after``.
    notes : tuple of str
        What speaks against the weights.
    """

    weight: np.ndarray
    effective: float
    table: pd.DataFrame
    notes: tuple[str, ...]


def weigh(trial: Trial, arm: str, targets: Sequence[Target], *, seen: str = "measured") -> Weights:
    """Weigh the virtual patients of a trial so that one arm agrees with published numbers.

    Agreement with the targets is then by construction, and no validation.

    Parameters
    ----------
    trial : Trial
    arm : str
        The arm that the numbers are of.
    targets : sequence of Target
    seen : {"measured", "latent"}

    Raises
    ------
    OptionError
        If the arm or an endpoint is unknown, or no weights meet the targets.
    """
    if not targets:
        raise OptionError("There is no target; give one or more published numbers.")
    features = np.stack([feature(trial, arm, one.endpoint, seen) for one in targets], axis=1)
    value, error = (np.array([getattr(t, name) for t in targets]) for name in ("value", "error"))
    if not (np.all((value >= 0) & (value <= 1)) and np.all(error >= 0)):
        raise OptionError("Targets are shares from 0 to 1 with standard errors of 0 or more.")
    known = np.isfinite(features).all(axis=1)
    weight = np.zeros(len(features))
    weight[known] = _tilted(features[known], value, error, targets)
    before, after = features[known].mean(0), weight[known] @ features[known]
    effective = float(1.0 / np.sum(weight**2))
    table = pd.DataFrame(
        {
            "endpoint": [one.endpoint for one in targets], "target": value, "error": error,
            "before": before, "after": after,
        }
    )  # fmt: skip
    return Weights(weight, effective, table, _notes(table, effective, int(known.sum())))


def weighted(trial: Trial, weight: np.ndarray, endpoints: Sequence[str]) -> pd.DataFrame:
    """Give endpoints of every arm without and with weights: ``arm, endpoint, before, after``."""
    rows = []
    for arm in trial.arms:
        for name in endpoints:
            x = feature(trial, arm, name, "measured")
            ok = np.isfinite(x)
            after = np.sum(weight[ok] * x[ok]) / np.sum(weight[ok])
            rows.append({"arm": arm, "endpoint": name, "before": x[ok].mean(), "after": after})
    return pd.DataFrame(rows)


def feature(trial: Trial, arm: str, endpoint: str, seen: str) -> np.ndarray:
    """Give the number of each patient whose mean is an endpoint, (patients,); nan if not solved.

    Raises
    ------
    OptionError
        If the arm or the endpoint is unknown.
    """
    if arm not in trial.arms:
        raise OptionError(f"There is no arm {arm!r}; the trial has {list(trial.arms)}.")
    people = trial.patients[trial.patients["arm"] == arm]
    before = "latent_" if seen == "latent" else ""
    progressed = people[f"{before}progression_day"].to_numpy()
    found = _found(people, before, endpoint)
    if found is None:
        raise OptionError(
            f"There is no endpoint {endpoint!r}; known are objective_response, disease_control, "
            "progression_free_day_182, alive_day_365, class_primary and best_change_below_-30, "
            "with days, classes and percents of one's own."
        )
    return np.where(np.isnan(progressed), np.nan, found)


def _found(people: pd.DataFrame, before: str, endpoint: str) -> np.ndarray | None:
    best = people[f"{before}best_response"]
    if endpoint == "objective_response":
        return best.isin(["CR", "PR"]).to_numpy(float)
    if endpoint == "disease_control":
        return best.isin(["CR", "PR", "SD"]).to_numpy(float)
    if endpoint.startswith("class_") and endpoint[6:] in CLASSES:
        return (people[f"{before}resistance_class"] == endpoint[6:]).to_numpy(float)
    number = re.fullmatch(
        r"(progression_free_day|alive_day|best_change_below)_(-?[\d.]+)", endpoint
    )
    if number is None:
        return None
    what, at = number[1], float(number[2])
    if what == "alive_day":
        return (people["death_day"] > at).to_numpy(float)
    if what == "best_change_below":
        return (people[f"{before}best_change_percent"] <= at).to_numpy(float)
    return _event_free(people, before, at)


def _event_free(people: pd.DataFrame, before: str, at: float) -> np.ndarray:
    time = people["latent_progression_day" if before else "event_day"].to_numpy(float)
    event = np.isfinite(time) if before else people["event"].to_numpy(bool)
    ok = ~np.isnan(time)
    out = np.full(len(time), np.nan)
    out[ok] = pseudo_values(time[ok], event[ok], at)
    return out


def _tilted(
    x: np.ndarray, value: np.ndarray, error: np.ndarray, targets: Sequence[Target]
) -> np.ndarray:
    """Weights ``exp(x lam)``, of which ``lam`` solves the convex dual problem."""

    def dual(lam: np.ndarray) -> tuple[float, np.ndarray]:
        w = softmax(x @ lam)
        height = logsumexp(x @ lam) - lam @ value + 0.5 * np.sum((error * lam) ** 2)
        return float(height), x.T @ w - value + error**2 * lam

    found = optimize.minimize(
        dual, np.zeros(len(value)), jac=True, method="L-BFGS-B",
        bounds=[(-STEEPEST, STEEPEST)] * len(value),
        options={"gtol": 1e-10, "ftol": 1e-16, "maxiter": 2000},
    )  # fmt: skip
    w = softmax(x @ found.x)
    off = np.abs(dual(found.x)[1])
    if off.max() > 1e-4:
        worst = targets[int(off.argmax())]
        raise OptionError(
            f"No weights of these virtual patients meet {worst.endpoint} {worst.value:g} with the "
            "other targets; give it a standard error, or simulate a wider population."
        )
    return w


def _notes(table: pd.DataFrame, effective: float, count: int) -> tuple[str, ...]:
    notes = [f"{effective:.0f} effective patients of {count}."]
    if effective < FEW * count:
        notes.append("So few that the population hardly holds what was published.")
    far = table[(table["after"] - table["target"]).abs() > 2 * table["error"] + 1e-4]
    notes += [f"{name} stays more than 2 standard errors away." for name in far["endpoint"]]
    return tuple(notes)
