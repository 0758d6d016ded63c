"""What is sampled of a population: one vector of coordinates, and the population it stands for.

Every coordinate has a standard normal prior but those of correlations. Patients' effects are
normal on the transformed scales of their parameters: around the typical value, moved by
covariates, with a covariance that may hold correlations. A covariate that is missing in a patient
is integrated out as a standard normal: it widens that patient's population. Neglected is that it
correlates the anchor with the effects, where one covariate moves both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.errors import ModelError
from pdmodel.model import Model
from pdmodel.parameter import Parameter
from pdmodel.residual import Start

ORDER = 2.0
"""Of the LKJ prior of correlations (doi:10.1016/j.jmva.2009.04.008); 1 would be uniform."""
SHRINKAGE, SHRINKAGE_SPREAD = 0.3, 0.7
"""Prior median and log-sd of the common scale of covariates' effects, in sds between patients."""


class Traits(NamedTuple):
    """Covariates of patients, standardised, 0 where missing; each (patients, covariates)."""

    value: Array
    missing: Array


class Population(NamedTuple):
    """A population on transformed scales; patients first, or 1 where it is the same for all.

    Attributes
    ----------
    shared : Array, shape (shared,)
    centre : Array, shape (patients or 1, effects)
    root : Array, shape (patients or 1, effects, effects)
        Cholesky factor of the covariance.
    start, start_sd : Array, shape (patients or 1,)
        Mean and sd of the log of the anchor; empty where there is none.
    """

    shared: Array
    centre: Array
    root: Array
    start: Array
    start_sd: Array


@dataclass(frozen=True)
class Coordinates:
    """The coordinates of a model's population.

    Attributes
    ----------
    model : Model
    correlated : bool
        Whether patients' effects are correlated (LKJ prior of order 2).
    slopes : tuple of (str, str)
        Parameters and the covariates that move their typical values.
    covariates : tuple of str
        The columns of `Traits`.
    """

    model: Model
    correlated: bool = False
    slopes: tuple[tuple[str, str], ...] = ()
    covariates: tuple[str, ...] = ()

    @cached_property
    def anchor(self) -> Parameter | None:
        """The individual parameter that is integrated out by the residual, if there is one."""
        name = self.model.mechanism.anchor
        mine = [q for q in self.model.individual if q.name == name]
        return mine[0] if mine and self.model.residual.start is not None else None

    @property
    def start(self) -> Start:
        """How the residual deals with the anchor, for a model that has one."""
        if self.model.residual.start is None:
            raise ModelError(f"Residual {self.model.residual.name!r} cannot integrate a size out.")
        return self.model.residual.start

    @cached_property
    def effects(self) -> tuple[Parameter, ...]:
        """The individual parameters that nodes are laid in."""
        return tuple(q for q in self.model.individual if q is not self.anchor)

    @property
    def _own(self) -> tuple[Parameter, ...]:
        """All individual parameters, the anchor last."""
        return (*self.effects, *([self.anchor] if self.anchor else []))

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of effects with a correlation of their own, later one first."""
        count = len(self.effects) if self.correlated else 0
        return tuple((i, j) for i in range(count) for j in range(i))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The coordinates in order, those of shared parameters first."""
        own = self._own
        out = [f"{q.name}_z" for q in self.model.shared]
        out += [f"{q.name}_typical_z" for q in own] + [f"{q.name}_sd_z" for q in own]
        out += [correlation_name(self.effects[j], self.effects[i]) + "_z" for i, j in self.pairs]
        out += [slope_name(*slope) + "_z" for slope in self.slopes]
        return (*out, *(["shrinkage_z"] if self.slopes else []))

    def __len__(self) -> int:
        """Count the coordinates."""
        return len(self.names)

    def _parts(self, x: Array) -> dict[str, Array]:
        count, own = len(self.model.shared), len(self.effects) + (self.anchor is not None)
        sizes = (count, own, own, len(self.pairs), len(self.slopes), int(bool(self.slopes)))
        keys = ("shared", "centre", "sd", "correlation", "slope", "shrinkage")
        return dict(zip(keys, jnp.split(x, np.cumsum(sizes)[:-1]), strict=True))

    def log_prior(self, x: Array) -> Array:
        """Log prior density of the coordinates, up to a constant."""
        at = self._parts(x)
        y = at.pop("correlation")
        total = -0.5 * sum(jnp.sum(part**2) for part in at.values())
        for k, (_, j) in enumerate(
            self.pairs
        ):  # partial correlations of doi:10.1016/j.jmva.2009.04.008
            power = ORDER + 0.5 * (len(self.effects) - 2 - j)
            total += 2.0 * power * (jnp.log(2.0) - jnp.logaddexp(y[k], -y[k]))
        return jnp.asarray(total)

    def _between(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Typical values, sds, Cholesky factor of the correlations, and covariates' effects."""
        at, own = self._parts(x), self._own
        centre = jnp.array([q.centre for q in own]) + jnp.array([q.sd for q in own]) * at["centre"]
        iiv = jnp.array([q.iiv for q in own])
        sd = iiv * jnp.exp(jnp.array([q.between_spread for q in own]) * at["sd"])
        size = len(self.effects)
        partial = jnp.zeros((size, size))
        for k, (i, j) in enumerate(self.pairs):
            partial = partial.at[i, j].set(jnp.tanh(at["correlation"][k]))
        root = jnp.eye(size)
        for i in range(size if self.pairs else 0):
            left = jnp.ones(())
            for j in range(i):
                root = root.at[i, j].set(partial[i, j] * jnp.sqrt(left))
                left = left - root[i, j] ** 2
            root = root.at[i, i].set(jnp.sqrt(left))
        slope = jnp.zeros((len(own), len(self.covariates)))
        for k, (name, covariate) in enumerate(self.slopes):
            row = [q.name for q in own].index(name)
            size_of = SHRINKAGE * jnp.exp(SHRINKAGE_SPREAD * at["shrinkage"][0])
            value = iiv[row] * size_of * at["slope"][k]
            slope = slope.at[row, self.covariates.index(covariate)].set(value)
        return centre, sd, root, slope

    def population(self, x: Array, traits: Traits) -> Population:
        """Give the population of a position, of shape (coordinates,)."""
        at, q = self._parts(x), self.model.shared
        shared = jnp.array([p.centre for p in q]) + jnp.array([p.sd for p in q]) * at["shared"]
        return self._of(shared, *self._between(x), traits)

    def population_of(self, values: Mapping[str, Array], traits: Traits) -> Population:
        """Give the population of named values, as `named` gives them."""
        own, size = self._own, len(self.effects)
        shared = [q.unbounded(values[q.name]) for q in self.model.shared]
        centre = jnp.stack([q.unbounded(values[f"{q.name}_typical"]) for q in own])
        sd = jnp.stack([jnp.asarray(values[f"{q.name}_sd"]) for q in own])
        correlation = jnp.eye(size)
        for i, j in self.pairs:
            value = values[correlation_name(self.effects[j], self.effects[i])]
            correlation = correlation.at[i, j].set(value).at[j, i].set(value)
        root = jnp.linalg.cholesky(correlation) if self.pairs else correlation
        slope = jnp.zeros((len(own), len(self.covariates)))
        for name, covariate in self.slopes:
            at = [q.name for q in own].index(name), self.covariates.index(covariate)
            slope = slope.at[at].set(values[slope_name(name, covariate)])
        stacked = jnp.stack(shared) if shared else jnp.zeros(0)
        return self._of(stacked, centre, sd, root, slope, traits)

    def _of(
        self, shared: Array, centre: Array, sd: Array, root: Array, slope: Array, traits: Traits
    ) -> Population:
        size = len(self.effects)
        middle = jnp.atleast_2d(centre + (traits.value @ slope.T if self.slopes else 0.0))
        factor = (sd[:size, None] * root)[None]
        start_sd = sd[size:]
        if self.slopes:
            loose = traits.missing[:, None, :] * slope
            wide = jnp.einsum("pic,pjc->pij", loose, loose)
            covariance = factor @ jnp.swapaxes(factor, 1, 2) + wide[:, :size, :size]
            factor = jnp.linalg.cholesky(covariance) if size else factor
            if self.anchor:
                start_sd = jnp.sqrt(sd[size] ** 2 + wide[:, size, size])
        start = middle[:, size] if self.anchor else sd[size:]
        return Population(shared, middle[:, :size], factor, start, start_sd)

    def named(self, x: Array) -> dict[str, Array]:
        """Give the population's parameters on their natural scales, by name."""
        centre, sd, root, slope = self._between(x)
        at, own = self._parts(x), self._own
        out = {q.name: q.natural(q.centre + q.sd * z)
               for q, z in zip(self.model.shared, at["shared"], strict=True)}  # fmt: skip
        for k, q in enumerate(own):
            out[f"{q.name}_typical"], out[f"{q.name}_sd"] = q.natural(centre[k]), sd[k]
        correlation = root @ root.T
        for i, j in self.pairs:
            out[correlation_name(self.effects[j], self.effects[i])] = correlation[i, j]
        for name, covariate in self.slopes:
            row = [q.name for q in own].index(name)
            out[slope_name(name, covariate)] = slope[row, self.covariates.index(covariate)]
        return out


def correlation_name(one: Parameter, other: Parameter) -> str:
    """Name the correlation of two effects."""
    return f"{one.name}_{other.name}_correlation"


def slope_name(parameter: str, covariate: str) -> str:
    """Name the effect of a covariate: change of the transformed scale per sd of the covariate."""
    return f"{parameter}_by_{covariate}"


def no_traits(patients: int) -> Traits:
    """Covariates of patients when none is used."""
    return Traits(jnp.zeros((patients, 0)), jnp.zeros((patients, 0)))


def log_density(effects: Array, population: Population) -> Array:
    """Log density of effects (..., patients, effects), less half log 2 pi for each effect."""
    off = effects - population.centre
    root = population.root
    solved: list[Array] = []
    total = jnp.zeros(effects.shape[:-1])
    for i in range(effects.shape[-1]):
        rest = off[..., i] - sum(root[:, i, j] * solved[j] for j in range(i))
        solved.append(rest / root[:, i, i])
        total = total - 0.5 * solved[i] ** 2 - jnp.log(root[:, i, i])
    return total
