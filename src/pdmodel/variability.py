"""How an antibody's pharmacokinetics differ between patients: a published population model.

A patient's parameter is the published value, times the effects of covariates, times ``exp(eta)``
(or plus ``eta``), with ``eta`` normal and possibly correlated between parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from pdmodel.covariates import COVARIATES, Covariates, Effect, checked
from pdmodel.errors import ModelError, OptionError
from pdmodel.keys import key_of
from pdmodel.pharmacokinetics import TwoCompartment

CL, Q, V1, V2 = "clearance", "intercompartmental", "central_volume", "peripheral_volume"
FLOWS, VOLUMES = (CL, Q), (V1, V2)
NAMES = (CL, V1, Q, V2, "emax", "t50", "hill")
"""What a population model gives: the numbers that a `TwoCompartment` takes."""


@dataclass(frozen=True)
class Eta:
    """One random effect between patients (IIV), with mean 0.

    Attributes
    ----------
    on : tuple of str
        Parameters that share it.
    variance : float
    scale : {"log", "natural"}
        Parameters are multiplied by ``exp(eta)``, also negative ones, or ``eta`` is added.
    """

    on: tuple[str, ...]
    variance: float
    scale: Literal["log", "natural"] = "log"


@dataclass(frozen=True)
class PopulationModel:
    """One published population model of one antibody.

    Attributes
    ----------
    name : str
        First author and year.
    source : str
        DOI, and by whom it was transcribed if not by us.
    patients : int
        How many were studied.
    disease : str
        What they had.
    values : mapping of str to float
        Of the reference patient: CL0 and Q in L/day, V1 and V2 in L; emax, t50 in days and hill
        where clearance changes.
    reference : mapping of str to float
        Covariates of the reference patient; those that are there or not, and are not named, are
        not.
    effects : tuple of Effect
    etas : mapping of str to Eta
        By short name (``"CL"``).
    covariances : mapping of (str, str) to float
        Between etas, by their names; 0 where not named.
    residual : mapping of str to float
        Residual error: ``"proportional"``, and ``"additive"`` in mg/L, as standard deviations.
    change : {"exponential", "linear"}
        With s from 0 to 1, ``CL = CL0 exp(emax s)``, or ``CL0 (1 + emax s)`` which is followed as
        ``CL0 exp(ln(1 + emax) s)``: clearance is at most ``emax^2 / 8`` away, relatively, which
        is 0.1 % for an emax of -0.085 (and 0.3 % of a trough).

    Raises
    ------
    ModelError
        If a name is unknown, the reference of a covariate is missing, or the variances and
        covariances are impossible.
    """

    name: str
    source: str
    patients: int
    disease: str
    values: Mapping[str, float] = field(hash=False)
    reference: Mapping[str, float] = field(default_factory=dict, hash=False)
    effects: tuple[Effect, ...] = ()
    etas: Mapping[str, Eta] = field(default_factory=dict, hash=False)
    covariances: Mapping[tuple[str, str], float] = field(default_factory=dict, hash=False)
    residual: Mapping[str, float] = field(default_factory=dict, hash=False)
    change: Literal["exponential", "linear"] = "exponential"

    def __post_init__(self) -> None:
        moved = [name for one in (*self.effects, *self.etas.values()) for name in one.on]
        if unknown := sorted({*moved, *self.values} - set(NAMES)):
            raise ModelError(f"{self.name} has parameters {unknown}; known are {list(NAMES)}.")
        if lost := sorted({CL, V1, Q, V2, *moved} - set(self.values)):
            raise ModelError(f"{self.name} has no value of {lost}; give what was published.")
        if unknown := sorted({*self._used, *self.reference} - set(COVARIATES)):
            raise ModelError(f"{self.name} has covariates {unknown}; known are {[*COVARIATES]}.")
        numbers = [name for name in self._used if not COVARIATES[name].binary]
        if lost := sorted(set(numbers) - set(self.reference)):
            raise ModelError(f"{self.name} has no reference of {lost}; give what was published.")
        if strange := sorted({name for pair in self.covariances for name in pair} - set(self.etas)):
            raise ModelError(f"{self.name} has covariances of {strange}; known are {[*self.etas]}.")
        if self.etas and np.linalg.eigvalsh(self.omega).min() <= 0.0:
            raise ModelError(
                f"{self.name} has variances and covariances that no patients can have."
            )
        self.typical()

    @property
    def _used(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in self.effects for name in one.sizes))

    @cached_property
    def covariates(self) -> dict[str, float]:
        """Covariates that the model knows, and their reference values."""
        return {name: self.reference.get(name, 0.0) for name in self._used}

    @property
    def omega(self) -> np.ndarray:
        """Covariance matrix of the random effects, in the order of `etas`, (etas, etas)."""
        order = {name: i for i, name in enumerate(self.etas)}
        omega = np.diag([one.variance for one in self.etas.values()])
        for (one, other), value in self.covariances.items():
            omega[order[one], order[other]] = omega[order[other], order[one]] = value
        return omega

    @property
    def population(self) -> str:
        """Who was studied, and who the reference patient is."""
        known = {name: x for name, x in self.covariates.items() if x or not COVARIATES[name].binary}
        told = ", ".join(
            name if COVARIATES[name].binary else f"{name} {x:g} {COVARIATES[name].unit}"
            for name, x in known.items()
        ).replace("_", " ")
        who = f"{self.patients} patients, {self.disease}"
        return f"{who}; reference {told}" if told else who

    def typical(self, covariates: Mapping[str, float] | None = None) -> TwoCompartment:
        """Predict one patient from covariates; those that are not given are the reference's.

        Raises
        ------
        OptionError
            If a covariate is unknown, or has a value that none has.
        """
        found = self._followed(self._predicted(covariates or {}))
        return self._individual({name: float(x) for name, x in found.items()})

    def draw(
        self, n: int, seed: int, covariates: Covariates | None = None, *, first: int = 0
    ) -> tuple[TwoCompartment, ...]:
        """Draw patients, each with own random effects.

        Parameters
        ----------
        n : int
        seed : int
            The same seed gives the same patients, the first of many as the first of few.
        covariates : mapping of str to float or ndarray, shape (n,)
            Of all, or each one's; those that are not given are the reference's.
        first : int
            Number of the first patient; a patient depends on the seed and its number alone.

        Raises
        ------
        OptionError
            As in `typical`; or if `n` is below 1, or does not fit the covariates.
        """
        drawn = self.drawn(n, seed, covariates, first=first)
        rows = zip(*(x.tolist() for x in drawn.values()), strict=True)
        return tuple(self._individual(dict(zip(drawn, row, strict=True))) for row in rows)

    def drawn(
        self, n: int, seed: int, covariates: Covariates | None = None, *, first: int = 0
    ) -> dict[str, np.ndarray]:
        """Draw as `draw` does; give the parameters, each of shape (n,), emax as in exp(emax s)."""
        if n < 1:
            raise OptionError(f"n is {n}; it must be >= 1.")
        for name, x in (covariates or {}).items():
            if np.shape(x) not in ((), (n,)):
                raise OptionError(f"Covariate {name!r} has shape {np.shape(x)} for {n} patients.")
        found = {k: np.full(n, x) for k, x in self._predicted(covariates or {}).items()}
        if self.etas:
            key = key_of(seed, "pharmacokinetics", self.name)
            z = np.asarray(_standard(key, jnp.arange(first, first + n), len(self.etas)))
            effects = (z @ np.linalg.cholesky(self.omega).T).T
            for one, eta in zip(self.etas.values(), effects, strict=True):
                for name in one.on:
                    x = found[name]
                    found[name] = x * np.exp(eta) if one.scale == "log" else x + eta
        return self._followed(found)

    def _predicted(self, covariates: Covariates) -> dict[str, np.ndarray]:
        """Apply the effects of covariates; scalars, or of the shape of the covariates."""
        at = checked(covariates, self.covariates, self.name)
        found = {name: np.asarray(value, np.float64) for name, value in self.values.items()}
        for one in self.effects:
            for covariate in one.sizes:
                by = one.of(covariate, at[covariate], self.covariates[covariate])
                for name in one.on:
                    found[name] = found[name] + by if one.form == "shift" else found[name] * by
        return found

    def _followed(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Write the change of clearance as the solver follows it, ``exp(emax s)``."""
        if self.change == "exponential":
            return dict(found)
        return {**found, "emax": np.log1p(found["emax"])}

    def _individual(self, values: Mapping[str, float]) -> TwoCompartment:
        return TwoCompartment(
            **values,
            variances={name: one.variance for name, one in self.etas.items()},
            residual=self.residual,
            source=self.source,
            population=self.population,
        )


@partial(jax.jit, static_argnums=2)
def _standard(key: jax.Array, index: jax.Array, count: int) -> jax.Array:
    """Draw standard normals, (patients, count), each patient's by its own number."""
    return jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), (count,)))(index)
