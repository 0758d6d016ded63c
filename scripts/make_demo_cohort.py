"""Make the embedded cohort with the package's own model: `python scripts/make_demo_cohort.py`.

Every patient depends on the seed and on its number alone. The typical values stand near those that
resemble the atezolizumab arm of OAK, with growth and waning faster and kill stronger, so that each
class of resistance has patients enough to be looked at.
"""

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from pdmodel import Model, drug, mechanism, parse_schedules, residual
from pdmodel.data.demo import REGIMEN, SIZES, TRUTH
from pdmodel.dosing import planned
from pdmodel.keys import key_of
from pdmodel.residual import SMALLEST_MM
from pdmodel.response import RULES, progression_day, resistance_class, visit_responses
from pdmodel.trajectory import trajectories

SEED, PATIENTS = 20261124, 60
UNTIL = 730.0
RULE = RULES["sitc2020"]
MODEL = Model(mechanism("exhaustion"), (drug("atezolizumab"),), residual("lognormal"))
POPULATION = {"baseline": (60.0, 0.5), "growth": (0.005, 0.6), "kill": (0.45, 1.0)}
"""Typical value, and standard deviation between patients on the transformed scale."""
SHARED = {"waning": 0.005, "scatter": 0.08}
VISIT_EVERY, VISIT_JITTER, BASELINE_BEFORE = 42, 5, 21  # days
FOLLOWED = (120.0, UNTIL)
"""The study ends for a patient on a day between these, progression or not."""
LEAVES = 0.8
"""Probability that a patient is scanned only once or twice more after progression."""
TOO_LARGE = 2.0
"""Nobody is scanned again once the size is so many times that at baseline."""
NOT_EVALUABLE = {"P03": 2, "P11": 1, "P18": 2, "P27": 1, "P42": 2}
BLANK = {"P14": 2, "P36": 1}
DUPLICATE, UNSORTED = {"P09": 1}, ("P04", "P22", "P50")
"""What is untidy on purpose: by patient, which scan; and whose rows are out of order."""
PARAMETERS = ("baseline", "growth", "kill", "waning")


class Drawn(NamedTuple):
    """One patient before anything was measured."""

    name: str
    values: dict[str, float]
    day: np.ndarray
    """Planned visits: baseline, every 6 weeks, and the end of the second year."""
    end: float
    """Day on which the study ends for this patient."""
    after: float
    """Scans after progression; inf if it changes nothing."""


def drawn(name: str, number: int, seed: int) -> Drawn:
    """Draw a patient's parameters, visits and follow-up."""
    rng = np.random.default_rng([seed, number])
    values = dict(SHARED)
    for q in MODEL.individual:
        typical, sd = POPULATION[q.name]
        place = np.log(typical / (1 - typical) if q.transform == "logit" else typical)
        values[q.name] = float(q.natural(place + sd * rng.standard_normal()))
    first = -rng.integers(1, BASELINE_BEFORE + 1)
    nominal = np.arange(VISIT_EVERY, UNTIL - VISIT_JITTER, VISIT_EVERY)
    jitter = rng.integers(-VISIT_JITTER, VISIT_JITTER + 1, len(nominal))
    day = np.concatenate([[first], nominal + jitter, [UNTIL]]).astype(float)
    end = rng.uniform(*FOLLOWED)
    after = float(rng.integers(1, 3)) if rng.uniform() < LEAVES else np.inf
    return Drawn(name, values, day, end, after)


def courses(patients: Sequence[Drawn]) -> np.ndarray:
    """Log sizes free of error at the planned visits, shape (patients, visits)."""
    values = {q.name: np.array([[p.values[q.name] for p in patients]]) for q in MODEL.free}
    given = [planned(parse_schedules(REGIMEN), UNTIL)] * len(patients)
    days = np.stack([p.day for p in patients])
    return trajectories(MODEL, values, [p.day[0] for p in patients], days, given).log_size[0]


def measured(p: Drawn, log_size: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Days and whole mm of the scans that were made; sizes below 5 mm are 0."""
    values = MODEL.constants | p.values
    size = MODEL.residual.read(key_of(seed, p.name), log_size, values)
    size = np.where(np.asarray(size) < SMALLEST_MM, 0.0, np.rint(size))
    seen = np.maximum(size, SMALLEST_MM)
    worse = np.flatnonzero(visit_responses(p.day, seen, RULE) == "PD") + 1.0
    large = np.flatnonzero(seen >= TOO_LARGE * seen[0])
    last = min(worse.min(initial=np.inf) + p.after, large.min(initial=len(size)))
    kept = (p.day <= p.end) & (np.arange(len(size)) <= last)
    return p.day[kept], size[kept]


def rows(p: Drawn, log_size: np.ndarray, seed: int) -> list[tuple[str, str, str, str]]:
    """Rows of one patient in the table of sizes, untidy where they are to be."""
    day, size = measured(p, log_size, seed)
    cells = [f"{x:g}" if x else "TOO SMALL TO MEASURE" for x in size]
    for word, where in (("NOT EVALUABLE", NOT_EVALUABLE), ("", BLANK)):
        if p.name in where:
            cells[where[p.name]] = word
    table = [(p.name, "atezolizumab", f"{d:g}", x) for d, x in zip(day, cells, strict=True)]
    if p.name in DUPLICATE:
        table.append(table[DUPLICATE[p.name]])
    return table[::-1] if p.name in UNSORTED else table


def truth(p: Drawn, log_size: np.ndarray) -> tuple[str, ...]:
    """Parameters, and the class of the course free of error to day 730."""
    size = np.exp(log_size)
    label, _ = resistance_class(p.day, size, RULE)
    worse = float(progression_day(p.day, size, RULE))
    numbers = [f"{p.values[name]:.6g}" for name in PARAMETERS]
    return (p.name, *numbers, str(label), f"{worse:g}" if np.isfinite(worse) else "")


def tables(patients: int = PATIENTS, seed: int = SEED) -> tuple[str, str]:
    """Make the first patients of the cohort: sizes and truth as CSV."""
    people = [drawn(f"P{k:02d}", k, seed) for k in range(1, patients + 1)]
    pairs = list(zip(people, courses(people), strict=True))
    sizes = [row for p, log_size in pairs for row in rows(p, log_size, seed)]
    truths = [truth(p, log_size) for p, log_size in pairs]
    return (
        _csv(("patient_id", "arm", "day", "size_mm"), sizes),
        _csv(("patient_id", *PARAMETERS, "true_class", "true_progression_day"), truths),
    )


def _csv(header: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *table])
    return text.getvalue()


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", type=Path, default=SIZES.parent, help="folder to write into")
    folder = parser.parse_args().o
    jax.config.update("jax_enable_x64", True)  # noqa: TID251  # this script is the program
    for path, text in zip((SIZES, TRUTH), tables(), strict=True):
        (folder / path.name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
