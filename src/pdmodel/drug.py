"""A drug: from a regimen to a concentration, and from that to actions on the disease."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jax import Array

from pdmodel.action import VOCABULARY, Actions
from pdmodel.dosing import Regimen
from pdmodel.errors import ModelError
from pdmodel.parameter import Parameter
from pdmodel.pharmacokinetics import TwoCompartment
from pdmodel.variability import CL, V1, V2, PopulationModel, Q

TISSUE_RATIO = Parameter(
    "tissue_ratio",
    "1",
    0.2,
    "free antibody in tumor interstitium per plasma concentration",
    source="assumption: fixed working value, range 0.1 to 0.3; no measurement found",
)


def occupied(concentration: Array, p: Mapping[str, float]) -> Array:
    """Fraction of a target that is occupied in the tumor, at a plasma concentration in mg/L."""
    free = p["tissue_ratio"] * concentration
    return free / (free + p["half_occupancy"])


def block_pd1(concentration: Array, p: Mapping[str, float]) -> Actions:
    """Blockade of PD-1 signalling, by an antibody against PD-1 or PD-L1."""
    return {"pd1_block": occupied(concentration, p)}


def block_ctla4(concentration: Array, p: Mapping[str, float]) -> Actions:
    """Blockade of CTLA-4 signalling."""
    return {"ctla4_block": occupied(concentration, p)}


def half_occupancy(typical: float, about: str, source: str) -> Parameter:
    """Declare the free concentration, mg/L, at half of the maximal effect on the target."""
    return Parameter(
        "half_occupancy", "mg/L", typical, f"free concentration at half {about}", source=source
    )


def half_pd1_block(why: str) -> Parameter:
    """Declare the concentration at half of PD-1 blockade, measured of pembrolizumab.

    Parameters
    ----------
    why : str
        What it is to this drug (``"taken for PD-L1 antibodies too; "``).
    """
    return half_occupancy(
        0.54,
        "of the maximal PD-1 blockade",
        "fixed: functional engagement of pembrolizumab, IC50 0.535 mg/L "
        f"(doi:10.1002/psp4.12132){why}; labelled doses saturate it, so sizes cannot inform it "
        "(doi:10.1002/psp4.12140)",
    )


HALF_EFFECT = "half_effect"


def half_effect(typical: float, source: str) -> Parameter:
    """Declare the amount in a virtual compartment, mg, at half of the largest effect."""
    return Parameter(HALF_EFFECT, "mg/L", typical, "level at half of the effect", source=source)


def saturating(action: str, concentration: Array, p: Mapping[str, float]) -> Actions:
    """One action that saturates with the level in the virtual compartment."""
    return {action: concentration / (concentration + p[HALF_EFFECT])}


def virtual_compartment(half_life_day: float, source: str) -> PopulationModel:
    """Make a K-PD model (doi:10.1007/s10928-006-9035-z): one compartment of 1 L, no plasma data.

    Parameters
    ----------
    half_life_day : float
        Of the effect's driver.
    source : str
        Where it is from, or why it was assumed.
    """
    out = math.log(2.0) / half_life_day
    apart = {Q: out * 1e-6, V2: 1.0}  # a second compartment that takes nothing
    return PopulationModel(
        name="K-PD", source=source, patients=0, disease="nobody: a virtual compartment",
        values={CL: out, V1: 1.0, **apart},
    )  # fmt: skip


@dataclass(frozen=True)
class Drug:
    """One drug, with its published population pharmacokinetics and what it acts on.

    Attributes
    ----------
    name : str
        International nonproprietary name, lower case.
    about : str
        Target and class, in a few words.
    populations : tuple of PopulationModel
        Published population models, the one that is used first.
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
    populations: tuple[PopulationModel, ...] = field(hash=False)
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
        if not self.populations:
            raise ModelError(f"Drug {self.name!r} has no population model; give a published one.")

    def population(self, name: str | None = None) -> PopulationModel:
        """Find a published population model by author and year; without a name, the one in use.

        Raises
        ------
        ModelError
            If there is none of the name; it lists those that there are.
        """
        known = {one.name: one for one in self.populations}
        if name is None:
            return self.populations[0]
        if name not in known:
            raise ModelError(
                f"Drug {self.name!r} has no population model {name!r}; known are {[*known]}."
            )
        return known[name]

    def using(self, name: str) -> "Drug":
        """Return the drug with another of its published population models in use.

        A saved run keeps names of drugs alone: read back, it has the library's choice.
        """
        chosen = self.population(name)
        rest = tuple(one for one in self.populations if one is not chosen)
        return replace(self, populations=(chosen, *rest))

    @cached_property
    def pharmacokinetics(self) -> TwoCompartment:
        """The reference patient of the population model in use."""
        return self.population().typical()

    def strengths(
        self, regimen: Regimen, day: np.ndarray, pharmacokinetics: TwoCompartment | None = None
    ) -> dict[str, np.ndarray]:
        """Give the strength of each action on the given days, each of the shape of `day`.

        Parameters
        ----------
        regimen : Regimen
        day : ndarray, shape (days,)
        pharmacokinetics : TwoCompartment, optional
            Of one patient, in place of the reference patient's.
        """
        constants = {q.name: q.typical for q in self.parameters}
        # few lengths, so that JAX compiles few shapes
        longer = np.pad(day, (0, -len(day) % 256), mode="edge") if len(day) else np.zeros(256)
        patient = self.pharmacokinetics if pharmacokinetics is None else pharmacokinetics
        strengths = self.engage(patient.concentration(regimen, longer), constants)
        return {action: np.asarray(strength)[: len(day)] for action, strength in strengths.items()}
