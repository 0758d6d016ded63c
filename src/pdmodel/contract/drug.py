"""Whether a drug acts as it says: strengths between none and all, and regimens that can be read."""

from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np

from pdmodel.contract.calls import Watched, called
from pdmodel.contract.finding import Finding, error, listed, note
from pdmodel.dosing import parse_schedule
from pdmodel.drug import Drug
from pdmodel.errors import PdmodelError

CONCENTRATIONS = (0.0, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""mg/L."""
HALF_LIVES = (0.02, 400.0)
"""Days; outside of them a clearance or volume is in other units."""


def engaged(one: Drug) -> Iterator[Finding]:
    """Ask for strengths at some concentrations, half-lives and regimens."""
    p = Watched("constant", "parameters", {q.name: q.typical for q in one.parameters})
    strengths, wrong = called(one.engage, "engage", jnp.array(CONCENTRATIONS), p)
    if wrong or not isinstance(strengths, Mapping):
        yield wrong or error("engage must give a dict, one strength an action.")
        return
    if strengths.keys() != set(one.actions):
        yield error(f"engage gives {listed(strengths)}; actions are {listed(one.actions)}.")
    for action, strength in strengths.items():
        yield from _strength(action, np.asarray(strength))
    yield from _kinetics(one)
    yield from _regimens(one)


def _strength(action: str, strength: np.ndarray) -> Iterator[Finding]:
    if strength.shape != (len(CONCENTRATIONS),):
        yield error(f"engage gives {action!r} in shape {strength.shape}, not one a concentration.")
    elif not np.isfinite(strength).all() or strength.min() < 0 or strength.max() > 1:
        at = CONCENTRATIONS[int(np.argmax(~((strength >= 0) & (strength <= 1))))]
        yield error(
            f"engage gives {action!r} {strength[CONCENTRATIONS.index(at)]:.3g} at {at:g} mg/L; a "
            "strength is from 0 (none) to 1 (complete)."
        )
    elif strength[0] != 0:
        yield error(f"engage gives {action!r} {strength[0]:.3g} without any drug; it must be 0.")
    elif (np.diff(strength) < 0).any():
        yield note(f"{action!r} falls as the concentration rises.")


def _kinetics(one: Drug) -> Iterator[Finding]:
    for population in one.populations:
        if not population.patients:
            continue  # a virtual compartment, of nobody
        k10, out, back = population.typical().rates()
        total = k10 + out.sum() + back.sum()
        slowest = (total - np.sqrt(max(total**2 - 4 * k10 * back.prod(), 0.0))) / 2
        half_life = np.log(2) / slowest
        if not HALF_LIVES[0] < half_life < HALF_LIVES[1]:
            yield error(
                f"population model {population.name!r} has a half-life of {half_life:.3g} days; "
                "clearances are in L/day (1 mL/h is 0.024 L/day) and volumes in L."
            )


def _regimens(one: Drug) -> Iterator[Finding]:
    if not one.labelled:
        yield error("labelled is empty; give a regimen in words, as ('200 mg q3w 30 min',).")
    for text in one.labelled:
        try:
            parse_schedule(f"{one.name} {text}")
        except PdmodelError as problem:
            yield error(f"labelled has {text!r}, which cannot be read: {problem}")
