"""How much of a drug is in the blood, day by day, after the doses that were given.

Compartments are linear: one is the blood, and up to two more exchange with it. The models here
are typical individuals of published populations, in mg, L and days.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, nan
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from pdmodel.clearance import Sigmoid, followed
from pdmodel.errors import DoseError, ModelError
from pdmodel.modes import modes
from pdmodel.regimen import Regimen
from pdmodel.superposition import Doses, superposed

BLOCK = 4096
"""On so many days at once doses are added up; more would take more memory and no less time."""


class Exposure(NamedTuple):
    """Concentrations over a stretch of days, mg/L, and the area under them, mg day/L."""

    peak: float
    trough: float
    """At the end, before a dose given then."""
    auc: float
    average: float


class Compartments:
    """What one, two and three compartments have in common; use one of them."""

    flows: ClassVar[tuple[str, ...]]
    """CL, V1, then Q and V of each further compartment."""
    central_volume: float
    emax: float

    @classmethod
    def from_rates(
        cls, central_volume: float, elimination: float, *exchange: float, **others: Any
    ) -> Self:
        """Make a model of V1 (L) and k10, then k12 and k21, then k13 and k31 (1/day)."""
        flow: list[float] = []
        for out, back in zip(exchange[::2], exchange[1::2], strict=True):
            flow += central_volume * out, central_volume * out / back
        values = elimination * central_volume, central_volume, *flow
        return cls(**dict(zip(cls.flows, values, strict=True)), **others)

    def __post_init__(self) -> None:
        if self.varies and not isinstance(self, TwoCompartment):
            raise ModelError(
                f"{type(self).__name__} has emax {self.emax}, a clearance that changes with time, "
                "which only TwoCompartment follows. Use that, or emax=0."
            )
        shape = ("t50", "hill") if self.varies else ()
        for name in (*self.flows, *shape):
            if not 0.0 < (value := getattr(self, name, nan)) < inf:
                raise ModelError(f"The pharmacokinetics have {name} {value}; it must be above 0.")
        if not isfinite(self.emax):
            raise ModelError(f"The pharmacokinetics have emax {self.emax}; 0 means no change.")

    @property
    def varies(self) -> bool:
        """Whether clearance changes with time."""
        return self.emax != 0.0

    def rates(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Give k10, and k1j and kj1 of each further compartment, 1/day."""
        clearance, volume, *others = (float(getattr(self, name)) for name in self.flows)
        flow, further = np.array(others[::2]), np.array(others[1::2])
        return clearance / volume, flow / volume, flow / further

    def concentration(self, regimen: Regimen, time: ArrayLike) -> Array:
        """Give the concentration at some days.

        Parameters
        ----------
        regimen : Regimen
            Its resets count before its doses, and its doses before the concentration of that day.
        time : (days,) array_like
            Known (not traced) numbers, in any order.

        Returns
        -------
        (days,) Array
            mg/L in the central compartment.

        Raises
        ------
        DoseError
            If a day is not finite.
        """
        day = np.asarray(time, dtype=np.float64)
        if day.ndim != 1 or not np.isfinite(day).all():
            raise DoseError(f"Concentrations are wanted at days {day}; give a list of finite days.")
        if not len(day) or not len(regimen):
            return jnp.zeros(len(day))
        doses = padded_doses(regimen)
        with jax.ensure_compile_time_eval():
            if isinstance(self, TwoCompartment) and self.varies:
                return jnp.asarray(_varying(self, doses, day) / self.central_volume)
            return jnp.asarray(_constant(self, doses, day) / self.central_volume)

    def exposure(self, regimen: Regimen, from_day: float, to_day: float) -> Exposure:
        """Give peak, trough and area between two days, by Gauss quadrature between all edges."""
        if not from_day < to_day:
            raise DoseError(f"Exposure from day {from_day} to day {to_day}: give rising days.")
        edges = np.append(regimen.edges, np.arange(np.ceil(from_day), to_day))
        inside = edges[(edges > from_day) & (edges < to_day)]
        ends = np.unique(np.concatenate([[from_day, to_day], inside]))
        node, weight = np.polynomial.legendre.leggauss(8)
        half = np.diff(ends)[:, None] / 2.0
        days = (ends[:-1, None] + half * (node + 1.0)).ravel()
        before = np.nextafter(ends[1:], -inf)  # doses and resets of a day come after these
        at = np.asarray(self.concentration(regimen, np.concatenate([days, ends[:-1], before])))
        auc = float(at[: days.size] @ (half * weight).ravel())
        return Exposure(float(at.max()), float(at[-1]), auc, auc / (to_day - from_day))


@dataclass(frozen=True)
class OneCompartment(Compartments):
    """The typical individual of a published population model of one drug that stays in the blood.

    Attributes
    ----------
    clearance, central_volume : float
        CL (L/day) and V (L).
    emax : float
        Must be 0: only `TwoCompartment` follows a clearance that changes.
    variances, residual, source, population
        As in `TwoCompartment`.
    """

    flows = ("clearance", "central_volume")
    clearance: float
    central_volume: float
    emax: float = 0.0
    variances: Mapping[str, float] = field(default_factory=dict, hash=False)
    residual: Mapping[str, float] = field(default_factory=dict, hash=False)
    source: str = ""
    population: str = ""


@dataclass(frozen=True)
class TwoCompartment(Compartments):
    """The typical individual of a published population model of one antibody.

    Attributes
    ----------
    clearance, central_volume, intercompartmental, peripheral_volume : float
        CL (at the first dose; L/day), V1 (L), Q (L/day) and V2 (L).
    emax, t50, hill : float
        Change of clearance, see `pdmodel.clearance`; emax 0 means none.
    variances : mapping of str to float
        Published variances between patients, on the log scale unless the source says otherwise.
    residual : mapping of str to float
        Published residual error: ``"proportional"``, and ``"additive"`` in mg/L.
    source, population : str
        DOI; who was studied, and the reference covariates.
    """

    flows = ("clearance", "central_volume", "intercompartmental", "peripheral_volume")
    clearance: float
    central_volume: float
    intercompartmental: float
    peripheral_volume: float
    emax: float = 0.0
    t50: float = nan
    hill: float = 1.0
    variances: Mapping[str, float] = field(default_factory=dict, hash=False)
    residual: Mapping[str, float] = field(default_factory=dict, hash=False)
    source: str = ""
    population: str = ""


@dataclass(frozen=True)
class ThreeCompartment(Compartments):
    """The typical individual of a published population model of one drug with a deep compartment.

    Attributes
    ----------
    clearance, central_volume, intercompartmental, peripheral_volume : float
        CL (L/day), V1 (L), Q2 (L/day) and V2 (L).
    deep_intercompartmental, deep_volume : float
        Q3 (L/day) and V3 (L); which of the two is deeper does not matter.
    emax, variances, residual, source, population
        As in `OneCompartment`.
    """

    flows = (
        "clearance", "central_volume", "intercompartmental", "peripheral_volume",
        "deep_intercompartmental", "deep_volume",
    )  # fmt: skip
    clearance: float
    central_volume: float
    intercompartmental: float
    peripheral_volume: float
    deep_intercompartmental: float
    deep_volume: float
    emax: float = 0.0
    variances: Mapping[str, float] = field(default_factory=dict, hash=False)
    residual: Mapping[str, float] = field(default_factory=dict, hash=False)
    source: str = ""
    population: str = ""


def _constant(model: Compartments, doses: Doses, day: np.ndarray) -> np.ndarray:
    """Give the mg in the central compartment; numpy cuts the padding off, jax would compile it."""
    found = _modes(*model.rates())
    blocks = (day[i : i + BLOCK] for i in range(0, len(day), BLOCK))
    return np.concatenate(
        [np.asarray(_superposed(found, _padded(b, 64), doses))[: len(b)] for b in blocks]
    )


def _varying(model: TwoCompartment, doses: Doses, day: np.ndarray) -> np.ndarray:
    change = Sigmoid(model.clearance, model.emax, model.t50, model.hill)
    _, out, back = model.rates()
    found = _followed(_padded(day, 64), doses, change, model.central_volume, out[0], back[0])
    return np.asarray(found)[: len(day)]


def padded_doses(regimen: Regimen) -> Doses:
    """Give the arrays of a regimen, filled up so that few lengths are compiled."""
    start, amount, duration, interval = (
        _padded(one, 8)
        for one in (regimen.start, regimen.amount, regimen.duration, regimen.interval)
    )
    resets = _padded(regimen.resets, 4, inf) if len(regimen.resets) else regimen.resets
    return Doses(start, amount, duration, interval if interval.any() else interval[:0], resets)  # pyright: ignore[reportArgumentType]


def _padded(values: np.ndarray, at_least: int, fill: float = 0.0) -> np.ndarray:
    """Fill up to a power of two."""
    size = max(at_least, 1 << (len(values) - 1).bit_length())
    return np.pad(values, (0, size - len(values)), constant_values=fill)


_modes = jax.jit(modes)
_superposed = jax.jit(superposed)
_followed = jax.jit(followed)
