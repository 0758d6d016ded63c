"""Radiotherapy in fractions: a linear-quadratic kill for each, in Gy.

A fraction of d Gy kills ``alpha d + beta d^2`` of the log of the volume. It stands as a dose that
is given within an hour to a compartment that empties at once, so that the level tells the rate at
which dose is given.
"""

from collections.abc import Mapping

import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.dosing import FRACTION_DAY
from pdmodel.drug import Drug, virtual_compartment
from pdmodel.parameter import Parameter

HALF_LIFE_DAY = 1e-5
EMPTIES = 0.6931471805599453 / HALF_LIFE_DAY
LARGEST = 240.0
"""Kill per day that is a strength of 1: 21 Gy in an hour."""

LINEAR = Parameter(
    "linear", "1/Gy", 0.15, "kill of the log volume per Gy",
    source="near 0.146/Gy of a mouse model (doi:10.1186/s40425-018-0327-9)",
)  # fmt: skip
QUADRATIC = Parameter(
    "quadratic", "1/Gy^2", 0.015, "and per Gy squared",
    source="assumption: ratio of the two of 10 Gy",
)  # fmt: skip


def engage(level: Array, p: Mapping[str, float]) -> Actions:
    """Strength of killing at a level that tells the rate of dose."""
    rate = level * EMPTIES  # Gy/day
    kill = p["linear"] * rate + p["quadratic"] * FRACTION_DAY * rate**2
    return {"radiation": jnp.minimum(kill / LARGEST, 1.0)}


DRUG = Drug(
    name="radiotherapy",
    about="radiation in fractions (Gy), linear-quadratic",
    populations=(
        virtual_compartment(HALF_LIFE_DAY, "assumption: no drug, a fraction is over at once"),
    ),
    parameters=(LINEAR, QUADRATIC),
    actions=("radiation",),
    engage=engage,
    labelled=("8 gy q1d x3", "2 gy q1d x10"),
)
