"""A drug: from a regimen to a concentration, and from that to actions on the disease."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jax import Array

from pdmodel.action import VOCABULARY, Actions
from pdmodel.dosing import Regimen
from pdmodel.errors import ModelError
from pdmodel.parameter import Parameter
from pdmodel.pharmacokinetics import TwoCompartment


@dataclass(frozen=True)
class Drug:
    """One drug, with its published population pharmacokinetics and what it acts on.

    Attributes
    ----------
    name : str
        International nonproprietary name, lower case.
    about : str
        Target and class, in a few words.
    pharmacokinetics : TwoCompartment
        Typical individual of the published population model.
    parameters : tuple of Parameter
        Constants of target engagement, all fixed, with sources.
    actions : tuple of str
        Names of the actions that `engage` returns.
    engage : callable
        ``(concentration in mg/L, values) -> {action: strength in [0, 1]}``.
    labelled : tuple of str
        Regimens in words, the usual one first (``"1200 mg q3w"``).
    """

    name: str
    about: str
    pharmacokinetics: TwoCompartment = field(hash=False)
    parameters: tuple[Parameter, ...]
    actions: tuple[str, ...]
    engage: Callable[[Array, Mapping[str, float]], Actions]
    labelled: tuple[str, ...]

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.actions) - set(VOCABULARY)):
            raise ModelError(
                f"Drug {self.name!r} acts through {unknown}, which are not actions; "
                f"known are {sorted(VOCABULARY)}."
            )
        if free := [q.name for q in self.parameters if not q.fixed]:
            raise ModelError(
                f"Drug {self.name!r} leaves {free} free; labelled doses saturate the target, so "
                "its constants must be fixed."
            )

    def strengths(self, regimen: Regimen, day: np.ndarray) -> dict[str, np.ndarray]:
        """Give the strength of each action on the given days, each of the shape of `day`."""
        constants = {q.name: q.typical for q in self.parameters}
        # few lengths, so that JAX compiles few shapes
        longer = np.pad(day, (0, -len(day) % 256), mode="edge") if len(day) else np.zeros(256)
        concentration = self.pharmacokinetics.concentration(regimen, longer)
        strengths = self.engage(concentration, constants)
        return {action: np.asarray(strength)[: len(day)] for action, strength in strengths.items()}
