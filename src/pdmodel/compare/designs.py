"""Which scans are held out: the last ones, or all that come within some months of a landmark."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from pdmodel.data import Patient
from pdmodel.dosing import Regimen
from pdmodel.errors import OptionError

HORIZON_DAYS = 270.0
"""After a landmark, how long scans are forecast."""


class Held(NamedTuple):
    """A patient with some scans held out.

    Attributes
    ----------
    seen : Patient
        With the scans that a forecast may rest on, one or more, and the doses up to them.
    day, size_mm, censored : ndarray, shape (scans,)
        Of the scans ahead, one or more, as in `Patient`.
    given : mapping of str to Regimen
        Doses up to the last scan ahead: those of the patient's schedule, or where doses came from
        a table those of the table. A forecast is one under these.
    """

    seen: Patient
    day: np.ndarray
    size_mm: np.ndarray
    censored: np.ndarray
    given: Mapping[str, Regimen]


type Design = Callable[[Patient], Held | None]
"""Holds out scans of a patient; None where it has not enough of them."""


def _cut(patient: Patient, ahead: np.ndarray) -> Held:
    """Hold out some of the scans, all later than the others."""
    end = float(patient.day[ahead][-1])
    given = {name: one.until(end) for name, one in patient.treated_until(end).items()}
    return Held(
        patient.known_by(float(patient.day[np.argmax(ahead) - 1])),
        patient.day[ahead],
        patient.size_mm[ahead],
        patient.censored[ahead],
        given,
    )


def last(patient: Patient, *, count: int, least: int) -> Held | None:
    """Hold out the last `count` scans of a patient with `least` scans or more."""
    scans = len(patient.day)
    return _cut(patient, np.arange(scans) >= scans - count) if scans >= least else None


def landmark(patient: Patient, *, day: float) -> Held | None:
    """Hold out the scans of `HORIZON_DAYS` after a day, if there are some, and one before."""
    kept = patient.day <= day + HORIZON_DAYS
    ahead = kept & (patient.day > day)
    if not ahead.any() or ahead[0]:
        return None
    return _cut(patient, ahead)


DESIGNS: Mapping[str, Design] = {
    "last1": partial(last, count=1, least=4),
    "last3": partial(last, count=3, least=6),
    "day60": partial(landmark, day=60.0),
    "day100": partial(landmark, day=100.0),
    "day150": partial(landmark, day=150.0),
}
"""Held-out designs by name."""


def design(name: str) -> Design:
    """Find a design by name; OptionError lists the names if there is none."""
    if name not in DESIGNS:
        raise OptionError(f"There is no design {name!r}; known are {', '.join(DESIGNS)}.")
    return DESIGNS[name]
