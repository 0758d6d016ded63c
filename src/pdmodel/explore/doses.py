"""Other doses than those that were given: more, less, later, or another drug beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pdmodel.dosing import planned
from pdmodel.drug import Drug
from pdmodel.errors import DoseError, ModelError, OptionError
from pdmodel.library import drug, names
from pdmodel.model import Model
from pdmodel.regimen import Regimen
from pdmodel.simulate.arms import Arm, read_arms


class Change(NamedTuple):
    """Other doses than those given; by default none.

    Attributes
    ----------
    amount : float
        Factor on every dose from `from_day` on: 0 stops treatment.
    delay_day : float
        By how many days doses from `from_day` on come later.
    from_day : float
        Day from which on doses are changed.
    add_on : str
        What is given beside them, in words, as ``"ipilimumab 80 mg q6w"``; its days count from
        `add_day`. Nothing if blank.
    add_day : float
    """

    amount: float = 1.0
    delay_day: float = 0.0
    from_day: float = 0.0
    add_on: str = ""
    add_day: float = 0.0

    @property
    def nothing(self) -> bool:
        """Whether all is as it was given."""
        return self.amount == 1.0 and self.delay_day == 0.0 and not self.add_on.strip()


def add_ons(model: Model) -> tuple[Drug, ...]:
    """List the drugs of the library that may be added: those that the mechanism answers to."""
    own = {one.name for one in model.drugs}
    found = (drug(name) for name in names("drug") if name not in own)
    return tuple(one for one in found if set(one.actions) <= set(model.mechanism.answers_to))


def read_change(model: Model, change: Change) -> tuple[Arm, ...]:
    """Check a change, and read what is added.

    Parameters
    ----------
    model : Model
        Whose drugs are found before those of the library.
    change : Change

    Returns
    -------
    tuple of Arm
        One, or none where nothing is added.

    Raises
    ------
    OptionError
        If a number cannot be used, or what is added depends on scans.
    DoseError, ModelError
        If what is added cannot be read, or is no drug that there is.
    """
    for name in ("amount", "delay_day"):
        if not 0.0 <= (value := getattr(change, name)) < np.inf:
            raise OptionError(f"{name} is {value}; it must be >= 0.")
    for name in ("from_day", "add_day"):
        if not np.isfinite(value := getattr(change, name)):
            raise OptionError(f"{name} is {value}; it must be a day.")
    if not change.add_on.strip():
        return ()
    try:
        (arm,) = read_arms([change.add_on], model.drugs)
    except (DoseError, ModelError) as problem:
        said = str(problem).removeprefix(f"Arm {change.add_on.strip()!r}: ")
        raise type(problem)(said) from None
    if arm.reacts or not arm.schedules:
        raise OptionError(f"Add-on {arm.text!r} must be drugs, given whatever scans show.")
    return (arm,)


def changed_doses(
    given: Mapping[str, Regimen], change: Change, arms: Sequence[Arm], until: float
) -> dict[str, Regimen]:
    """Change doses, and add those of add-ons.

    Parameters
    ----------
    given : mapping of str to Regimen
        Doses by drug.
    change : Change
    arms : sequence of Arm
        As `read_change` gives them.
    until : float
        No dose begins after this day.

    Returns
    -------
    dict of str to Regimen
        Drugs without a dose are left out.
    """
    other = {name: _moved(one, change).until(until) for name, one in given.items()}
    for arm in arms:
        for name, one in planned(arm.schedules, until - change.add_day).items():
            other[name] = other.get(name, Regimen.none()) + one.shifted(change.add_day)
    return {name: one for name, one in other.items() if len(one)}


def _moved(given: Regimen, change: Change) -> Regimen:
    """Change the doses of one drug that begin on `from_day` or later."""
    later = given.start >= change.from_day
    columns = (given.start, given.amount, given.duration, given.interval)
    resets = given.resets >= change.from_day
    kept = Regimen(*(x[~later] for x in columns), resets=given.resets[~resets])
    rest = Regimen(*(x[later] for x in columns), resets=given.resets[resets])
    if change.amount == 0.0:
        return kept
    return kept + replace(rest, amount=change.amount * rest.amount).shifted(change.delay_day)
