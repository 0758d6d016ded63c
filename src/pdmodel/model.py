"""A model is a value: one mechanism, the drugs that act on it, and how sizes scatter."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pdmodel.action import combined
from pdmodel.dosing import Regimen
from pdmodel.drug import Drug
from pdmodel.errors import ModelError
from pdmodel.mechanism import Mechanism
from pdmodel.parameter import Parameter
from pdmodel.pharmacokinetics import TwoCompartment
from pdmodel.residual import Residual

type Kinetics = Mapping[str, TwoCompartment]
"""A patient's own pharmacokinetics, by drug."""


@dataclass(frozen=True)
class Model:
    """Mechanism, drugs and residual, checked when put together.

    Attributes
    ----------
    mechanism : Mechanism
    drugs : tuple of Drug
    residual : Residual

    Raises
    ------
    ModelError
        If a name is declared twice, or a drug acts through what the mechanism ignores.
    """

    mechanism: Mechanism
    drugs: tuple[Drug, ...]
    residual: Residual

    def __post_init__(self) -> None:
        names = [drug.name for drug in self.drugs]
        if len(set(names)) < len(names):
            raise ModelError(f"A drug stands twice in the model: {names}.")
        for drug in self.drugs:
            if ignored := sorted(set(drug.actions) - set(self.mechanism.answers_to)):
                raise ModelError(
                    f"Drug {drug.name!r} acts through {ignored}, which mechanism "
                    f"{self.mechanism.name!r} ignores; {self._answers()}"
                )
        declared = [q.name for q in (*self.mechanism.parameters, *self.residual.parameters)]
        if twice := sorted({name for name in declared if declared.count(name) > 1}):
            raise ModelError(
                f"Parameter {twice[0]!r} is declared twice, in mechanism {self.mechanism.name!r} "
                f"and residual {self.residual.name!r}; rename one."
            )

    def _answers(self) -> str:
        said = f"it answers to {sorted(self.mechanism.answers_to)}. "
        if self.mechanism.answers_to:
            return said + "Choose another mechanism or other drugs."
        return (
            said
            + "It is a curve without drugs: leave them out, and read sizes with --regimen none."
        )

    @cached_property
    def actions(self) -> frozenset[str]:
        """Actions that some drug of the model exerts."""
        return frozenset(action for drug in self.drugs for action in drug.actions)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters of mechanism and residual that can matter under the model's drugs."""
        declared = (*self.mechanism.parameters, *self.residual.parameters)
        return tuple(q for q in declared if q.needs is None or q.needs in self.actions)

    @property
    def individual(self) -> tuple[Parameter, ...]:
        """Parameters with an own value in each patient."""
        return tuple(q for q in self.parameters if q.individual)

    @property
    def shared(self) -> tuple[Parameter, ...]:
        """Unknown parameters with one value for all patients."""
        return tuple(q for q in self.parameters if not q.fixed and not q.individual)

    @property
    def free(self) -> tuple[Parameter, ...]:
        """Unknown parameters, individual ones first."""
        return self.individual + self.shared

    @property
    def constants(self) -> dict[str, float]:
        """Values of the fixed parameters."""
        return {q.name: q.typical for q in self.parameters if q.fixed}

    @property
    def typical(self) -> dict[str, float]:
        """Typical value of every parameter."""
        return {q.name: q.typical for q in self.parameters}

    def drug(self, name: str) -> Drug:
        """Find one of the model's drugs; ModelError lists them if it is not there."""
        for drug in self.drugs:
            if drug.name == name:
                return drug
        raise ModelError(
            f"Drug {name!r} is not in the model, which has {[drug.name for drug in self.drugs]}."
        )

    def kinetics(self, covariates: Mapping[str, object]) -> Kinetics:
        """Predict a patient's pharmacokinetics from what is known of it, by drug.

        Parameters
        ----------
        covariates : mapping of str to object
            Those that a drug's population model does not know are left alone; where it finds none
            it knows, the typical patient stands.

        Raises
        ------
        OptionError
            If a value cannot be in the unit of its covariate.
        """
        predicted = {}
        for drug in self.drugs:
            if mine := self._known(drug, covariates):
                predicted[drug.name] = drug.population().typical(mine)
        return predicted

    def drawn_kinetics(self, covariates: Mapping[str, object], seed: int) -> Kinetics:
        """Draw a patient's pharmacokinetics around those predicted, by drug.

        Raises
        ------
        OptionError
            As `kinetics` does.
        """
        return {
            drug.name: drug.population().draw(1, seed, self._known(drug, covariates))[0]
            for drug in self.drugs
        }

    def _known(self, drug: Drug, covariates: Mapping[str, object]) -> dict[str, float]:
        """Pick the covariates that the population model of a drug uses; it checks them."""
        names = drug.population().covariates
        return {name: covariates[name] for name in names if name in covariates}  # type: ignore[misc]

    def strengths(
        self, regimens: Mapping[str, Regimen], day: np.ndarray, kinetics: Kinetics | None = None
    ) -> dict[str, np.ndarray]:
        """Give the strength of each action the mechanism answers to, each of the shape of `day`.

        Drugs with the same action act independently; without a drug the strength is 0. Who is
        not in `kinetics` has the pharmacokinetics of the typical patient.

        Raises
        ------
        ModelError
            If a regimen is of a drug that the model lacks.
        """
        for name in regimens:
            self.drug(name)
        given: dict[str, list[np.ndarray]] = {name: [] for name in self.mechanism.answers_to}
        for name, regimen in regimens.items():
            own = (kinetics or {}).get(name)
            for action, strength in self.drug(name).strengths(regimen, day, own).items():
                given[action].append(strength)
        return {
            action: np.asarray(combined(strengths)) if strengths else np.zeros(np.shape(day))
            for action, strengths in given.items()
        }
