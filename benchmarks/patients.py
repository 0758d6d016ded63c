"""Patients made by the package's own model, with the truth beside what was measured."""

from typing import NamedTuple

import numpy as np

from pdmodel import Cohort, Model, Patient, parse_schedules
from pdmodel.dosing import planned
from pdmodel.keys import key_of
from pdmodel.residual import SMALLEST_MM
from pdmodel.trajectory import trajectories

REGIMEN = "atezolizumab 1200 mg q3w"
UNTIL = 730.0
VISIT_EVERY, VISIT_JITTER, BASELINE_BEFORE = 42, 5, 21  # days
FOLLOWED = (120.0, UNTIL)
"""The study ends for a patient on a day between these: after 4 to 24 months."""
TOO_LARGE = 2.0
"""Nobody is scanned again once the measured size is so many times that at baseline."""
POPULATION = {"baseline": (60.0, 0.5), "growth": (0.005, 0.7), "kill": (0.4, 1.1)}
"""Typical value, and standard deviation between patients on the transformed scale."""
SHARED = {"waning": 0.004, "scatter": 0.08}


class Made(NamedTuple):
    """A cohort, and the parameters of its patients in the order of the cohort."""

    cohort: Cohort
    values: dict[str, np.ndarray]


def drawn(model: Model, patients: int, seed: int) -> dict[str, np.ndarray]:
    """Draw every free parameter of every patient, natural scale, each of shape (patients,)."""
    rng = np.random.default_rng([seed, 1])
    values = {name: np.full(patients, value) for name, value in SHARED.items()}
    for q in model.individual:
        typical, sd = POPULATION[q.name]
        place = float(q.unbounded(typical)) + sd * rng.standard_normal(patients)
        values[q.name] = np.asarray(q.natural(place))
    return values


def planned_visits(rng: np.random.Generator) -> np.ndarray:
    """Baseline up to three weeks before treatment, then every 42 +- 5 days for two years."""
    nominal = np.arange(VISIT_EVERY, UNTIL - VISIT_JITTER, VISIT_EVERY)
    jitter = rng.integers(-VISIT_JITTER, VISIT_JITTER + 1, len(nominal))
    first = -rng.integers(1, BASELINE_BEFORE + 1)
    return np.concatenate([[first], nominal + jitter]).astype(float)


def made(model: Model, patients: int, seed: int) -> Made:
    """Simulate a cohort: scatter of the residual, whole mm, "too small" below 5 mm."""
    values = drawn(model, patients, seed)
    rng = np.random.default_rng([seed, 2])
    days = np.stack([planned_visits(rng) for _ in range(patients)])
    ends = rng.uniform(*FOLLOWED, patients)
    schedules = parse_schedules(REGIMEN)
    given = [planned(schedules, UNTIL)] * patients
    rows = {name: value[None] for name, value in values.items()}
    expected = trajectories(model, rows, list(days[:, 0]), days, given).log_size[0]
    people = []
    for k, (day, log_size, end) in enumerate(zip(days, expected, ends, strict=True)):
        mine = model.constants | {name: value[k] for name, value in values.items()}
        size = np.asarray(model.residual.read(key_of(seed, "scans", k), log_size, mine))
        censored = size < SMALLEST_MM
        size = np.where(censored, SMALLEST_MM, np.rint(size))
        large = np.flatnonzero(size >= TOO_LARGE * size[0])
        kept = (day <= end) & (np.arange(len(day)) <= large.min(initial=len(day)))
        regimens = planned(schedules, day[kept][-1])
        scans = (day[kept], size[kept], censored[kept])
        people.append(Patient(f"S{k:03d}", "", "", *scans, regimens, schedules=schedules))
    return Made(Cohort(tuple(people), simulated=True), values)
