"""One unknown of a model: its name, unit, meaning, prior and where the prior comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid
from jax.typing import ArrayLike

from pdmodel.errors import ModelError

type Values = Mapping[str, Array]
"""Parameter values on their natural scale, under the names they were declared with."""

Transform = Literal["log", "logit", "identity"]


class Level(NamedTuple):
    """How a parameter varies: over the population's uncertainty, and between patients."""

    shared: float | None
    """Prior sd of the typical value on the transformed scale; None if it is fixed."""
    between: float | None
    """Prior median of the sd between patients (IIV) on the transformed scale; None if shared."""


@dataclass(frozen=True)
class Parameter:
    """One unknown, declared once; sampler, tables, plots and report take it from here.

    Attributes
    ----------
    name : str
        The word that stands for it everywhere.
    unit : str
        Unit on the natural scale; ``"1"`` for a pure number.
    typical : float
        Median of the prior of the population's typical value, on the natural scale.
    about : str
        What it is, in a few words.
    transform : {"log", "logit", "identity"}
        The scale on which priors and random effects are normal.
    prior_sd : float, optional
        Prior standard deviation of the typical value on the transformed scale; None fixes it.
    between : float, optional
        Prior median of the standard deviation between patients on the transformed scale
        (log-normal with log-sd `between_spread`); None shares one value among all patients.
    between_spread : float
        Log-sd of the prior of the standard deviation between patients.
    source : str
        Where the prior comes from (DOI), or ``"assumption"`` with the reason.
    needs : str, optional
        The action without which the parameter does nothing, and is then left out of a model.
    """

    name: str
    unit: str
    typical: float
    about: str
    transform: Transform = "log"
    prior_sd: float | None = None
    between: float | None = None
    between_spread: float = 0.4
    source: str = ""
    needs: str | None = None

    def __post_init__(self) -> None:
        inside = {"log": self.typical > 0, "logit": 0 < self.typical < 1, "identity": True}
        if not inside[self.transform]:
            raise ModelError(
                f"Parameter {self.name!r} has a typical value of {self.typical}, outside the "
                f"support of its {self.transform} transform; choose another value or transform."
            )
        for label, sd in (("prior_sd", self.prior_sd), ("between", self.between)):
            if sd is not None and not sd > 0:
                raise ModelError(f"Parameter {self.name!r} has {label} {sd}; it must be above 0.")
        if self.between is not None and self.prior_sd is None:
            raise ModelError(
                f"Parameter {self.name!r} varies between patients but its typical value is fixed; "
                "give it a prior_sd."
            )
        if not self.source:
            raise ModelError(
                f"Parameter {self.name!r} has no source; give a DOI, or say 'assumption: ...'."
            )

    @property
    def fixed(self) -> bool:
        """Whether it is a known constant."""
        return self.prior_sd is None

    @property
    def individual(self) -> bool:
        """Whether each patient has an own value."""
        return self.between is not None

    @property
    def sd(self) -> float:
        """Prior sd of the typical value, for a parameter that is known to be free."""
        if self.prior_sd is None:
            raise ModelError(f"Parameter {self.name!r} is fixed and has no prior.")
        return self.prior_sd

    @property
    def iiv(self) -> float:
        """Prior median of the sd between patients, for a parameter known to be individual."""
        if self.between is None:
            raise ModelError(f"Parameter {self.name!r} does not vary between patients.")
        return self.between

    @property
    def centre(self) -> float:
        """The typical value on the transformed scale."""
        if self.transform == "log":
            return log(self.typical)
        if self.transform == "logit":
            return log(self.typical / (1.0 - self.typical))
        return self.typical

    @property
    def single_sd(self) -> float:
        """Prior sd of one patient's value, transformed scale: typical value and IIV together."""
        return ((self.prior_sd or 0.0) ** 2 + (self.between or 0.0) ** 2) ** 0.5

    def natural(self, unbounded: ArrayLike) -> Array:
        """Bring a value from the transformed scale, where it is unbounded, to the natural one."""
        if self.transform == "log":
            return jnp.exp(unbounded)
        if self.transform == "logit":
            return sigmoid(unbounded)
        return jnp.asarray(unbounded)

    def unbounded(self, natural: ArrayLike) -> Array:
        """Bring a value from the natural scale to the transformed one; inverse of `natural`."""
        if self.transform == "log":
            return jnp.log(natural)
        if self.transform == "logit":
            return jnp.log(natural) - jnp.log1p(-jnp.asarray(natural))
        return jnp.asarray(natural)

    def interval(self, z: float = 1.645) -> tuple[float, float]:
        """Give the prior interval of one patient's value on the natural scale, `z` sds each way."""
        ends = (self.centre - z * self.single_sd, self.centre + z * self.single_sd)
        if self.transform == "log":
            return exp(ends[0]), exp(ends[1])
        if self.transform == "logit":
            return 1 / (1 + exp(-ends[0])), 1 / (1 + exp(-ends[1]))
        return ends
