"""Patients drawn from the prior, or from a population, and scanned by the model's own residual."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import pdmodel as pdm
from pdmodel.dosing import parse_schedules, planned
from pdmodel.keys import key_of
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.residual import SMALLEST_MM, Scans
from pdmodel.trajectory import trajectories

DAYS = np.arange(6) * 42.0
REGIMEN = parse_schedules("atezolizumab 1200 mg q3w")


class Simulated(NamedTuple):
    """A cohort, its population (numbers), and every free parameter of the patients."""

    cohort: pdm.Cohort
    named: dict[str, float]
    values: dict[str, np.ndarray]


def simulated(
    of: Coordinates, patients: int, seed: int, at: np.ndarray = DAYS, x: jax.Array | None = None
) -> Simulated:
    """Draw patients of a population, scanned on some days; the population too if none is given."""
    rng, model = np.random.default_rng([seed, 7]), of.model
    drawn = jnp.asarray(rng.standard_normal(len(of)))
    x = drawn if x is None else x
    named = {name: float(value) for name, value in of.named(x).items()}
    values = {q.name: np.full(patients, named[q.name]) for q in model.shared}
    for q in model.individual:
        middle = float(q.unbounded(named[f"{q.name}_typical"]))
        z = middle + named[f"{q.name}_sd"] * rng.standard_normal(patients)
        values[q.name] = np.asarray(q.natural(z))
    return Simulated(scanned(model, values, seed, at), named, values)


def scanned(
    model: pdm.Model, values: dict[str, np.ndarray], seed: int, at: np.ndarray = DAYS
) -> pdm.Cohort:
    """Scan patients whose parameters are known, each (patients,), as the residual has it.

    In whole mm, those up to 5 too small to measure; residuals without memory have no bins, and
    with them sizes are as drawn, and too small below 5 mm.
    """
    patients = len(next(iter(values.values())))
    given = [planned(REGIMEN, at[-1]) if model.drugs else {}] * patients
    rows = {name: value[None] for name, value in values.items()}
    days = np.tile(at, (patients, 1))
    courses = trajectories(model, rows, [0.0] * patients, days, given).log_size[0]
    if not np.isfinite(courses).all():
        raise ArithmeticError("A course drawn from the prior could not be solved.")
    nobody = jnp.zeros(1, bool)
    people = []
    for k in range(patients):
        mine = {n: jnp.asarray(v) for n, v in model.constants.items()}
        mine |= {name: jnp.asarray(value[k]) for name, value in values.items()}
        course = jnp.asarray(courses[k])
        unseen = Scans(jnp.zeros(1), course[:1], nobody)
        expected = jnp.concatenate([course[:1], course])
        drawn = DRAW(model, key_of(seed, "scans", k), expected, unseen, nobody, at, mine)
        size = np.clip(np.asarray(drawn.measured)[-len(at) :], 0.0, 1e6)
        size = np.rint(size) if model.residual.carried else size
        censored = size <= SMALLEST_MM
        size = np.where(censored, SMALLEST_MM, size)
        schedules = REGIMEN if model.drugs else ()
        people.append(
            pdm.Patient(f"S{k:05d}", "", "", at, size, censored, given[k], {}, schedules=schedules)
        )
    return pdm.Cohort(tuple(people), simulated=True)


def _draw(model: pdm.Model, key, expected, unseen, nobody, at, mine):
    return model.residual.draw(key, expected, unseen, nobody, at, mine)


DRAW = jax.jit(_draw, static_argnums=0)
