"""How much of an antibody is in the blood, day by day, after the infusions that were given.

Amounts ``A1`` (central) and ``A2`` (peripheral), in mg, obey ::

    dA1/dt = R(t) - (CL(t) + Q)/V1 A1 + Q/V2 A2,    dA2/dt = Q/V1 A1 - Q/V2 A2,    C = A1/V1
    CL(t)  = CL0 exp(Emax t^h / (T50^h + t^h)),     t since the first dose

The functions here are written for one patient and are batched by `jax.vmap`. A dose that begins
at the very time of a sample counts first: a bolus is in that sample whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, nan, sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from pdmodel.dosing import Regimen
from pdmodel.errors import DoseError, ModelError

type Number = Array | float
"""One number, known or traced."""

KNOTS = np.arange(1, 64) / np.arange(63, 0, -1), np.linspace(0.0, 1.0, 192)
"""Where a varying clearance is followed: by T50, dense around it; by time to the last sample."""


class _Modes(NamedTuple):
    """Two compartments move as a slow and a fast exponential; rates in 1/day."""

    slow: Array
    fast: Array
    gap: Array
    """Fast minus slow."""
    share: Array
    """Share of the slow mode in the central compartment after a bolus there, 0 to 1."""


def _modes(elimination: Number, out: Number, back: Number, skew: Number = 0.0) -> _Modes:
    """Find the modes for rates in 1/day; `skew` leaves ``out * back * (1 - skew**2)`` in exchange.

    Nothing is subtracted that could cancel: late concentrations hang on the smaller share.
    """
    exchange = out * back * (1.0 - skew**2)
    tilt = elimination + out - back
    gap = jnp.sqrt(tilt**2 + 4.0 * exchange)
    fast = 0.5 * (elimination + out + back + gap)
    slow = back * (elimination + out * skew**2) / fast
    minor = 2.0 * exchange / (gap * (gap + jnp.where(tilt >= 0.0, tilt, -tilt)))
    return _Modes(slow, fast, gap, jnp.where(tilt >= 0.0, minor, 1.0 - minor))


def _mean_decay(x: Array) -> Array:
    """Mean of ``exp(-s x)`` over s from 0 to 1, ``(1 - exp(-x)) / x``, smooth at 0."""
    tiny = x < 1e-3
    series = 1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0 * (1.0 - x / 5.0)))
    safe = jnp.where(tiny, 1.0, x)
    return jnp.where(tiny, series, -jnp.expm1(-safe) / safe)


def _arrived(since: Array, duration: Array) -> Array:
    """Fraction of a dose that is in the body some days after its start; a bolus is whole at 0."""
    lasts = duration > 0.0
    part = jnp.clip(since / jnp.where(lasts, duration, 1.0), 0.0, 1.0)
    return jnp.where(lasts, part, since >= 0.0)


def two_compartment_concentration(
    time: Array, start: Array, amount: Array, duration: Array,
    clearance: Number, central_volume: Number, intercompartmental: Number,
    peripheral_volume: Number,
) -> Array:  # fmt: skip
    """Add up the infusions at constant clearance, in closed form.

    Parameters
    ----------
    time : (T,) array
        Days of the samples, in any order.
    start, amount, duration : (D,) array
        Days, mg and days of the infusions; duration 0 is a bolus, amount 0 is padding.
    clearance, central_volume, intercompartmental, peripheral_volume : float
        CL (L/day), V1 (L), Q (L/day) and V2 (L), all > 0.

    Returns
    -------
    (T,) Array
        Concentration in the central compartment, mg/L; 0 before the first dose.
    """
    out, back = intercompartmental / central_volume, intercompartmental / peripheral_volume
    m = _modes(clearance / central_volume, out, back)
    since, duration = time[:, None] - start[None, :], duration[None, :]
    infusing = jnp.clip(since, 0.0, duration)
    ended = jnp.maximum(since - duration, 0.0)
    slow, fast = (jnp.exp(-k * ended) * _mean_decay(k * infusing) for k in (m.slow, m.fast))
    left = _arrived(since, duration) * (m.share * slow + (1.0 - m.share) * fast)
    return left @ amount / central_volume


def sigmoid_clearance(
    time: Array, clearance: Number, emax: Number, t50: Number, hill: Number
) -> Array:
    """Give the clearance ``CL0 exp(Emax t^h / (T50^h + t^h))`` (doi:10.1002/psp4.12143), L/day.

    Parameters
    ----------
    time : array
        Days since the first dose; clearance is CL0 up to 0.
    clearance, emax : float
        CL0, L/day; log of the final over the first clearance, negative if clearance falls.
    t50, hill : float
        Day of half the change and steepness, both > 0.
    """
    begun = time > 0.0
    logs = jnp.log(jnp.where(begun, time, t50) / t50)
    return clearance * jnp.exp(emax * jnp.where(begun, jax.nn.sigmoid(hill * logs), 0.0))


def varying_clearance_concentration(
    time: Array, start: Array, amount: Array, duration: Array,
    clearance: Number, central_volume: Number, intercompartmental: Number,
    peripheral_volume: Number,
    emax: Number, t50: Number, hill: Number,
) -> Array:  # fmt: skip
    """Follow the infusions under a clearance that changes as `sigmoid_clearance` does.

    Fourth-order steps between all samples, dose edges and 255 further points; within 5e-6 of an
    exact solution for labelled regimens of antibodies over two years, 3e-5 over five.

    Parameters
    ----------
    time, start, amount, duration, clearance, central_volume, intercompartmental, peripheral_volume
        As in `two_compartment_concentration`; `clearance` is CL0.
    emax, t50, hill : float
        As in `sigmoid_clearance`, from the first dose above 0 mg.

    Returns
    -------
    (T,) Array
        Concentration in the central compartment, mg/L; 0 before the first dose.
    """
    first = jnp.min(start, where=amount > 0.0, initial=inf)
    first = jnp.where(jnp.isfinite(first), first, 0.0)
    span = jnp.maximum(time.max() - first, 0.0)
    by_t50, by_span = (jnp.asarray(one, jnp.result_type(time, start, t50)) for one in KNOTS)
    knots = first + lax.stop_gradient(jnp.append(t50 * by_t50, span * by_span))
    events = jnp.concatenate([time, start, start + duration, knots])
    grid = jnp.sort(jnp.append(events, events.min() - 1.0))  # opens with nothing given yet
    length, middle = jnp.diff(grid), 0.5 * (grid[1:] + grid[:-1]) - first
    early, late = (
        sigmoid_clearance(middle + gauss * length, clearance, emax, t50, hill) / central_volume
        for gauss in (-sqrt(3.0) / 6.0, sqrt(3.0) / 6.0)
    )
    # as the grid sees the durations, so that no milligram is lost to rounding
    lasting = ((start + duration) - start)[None, :]
    arrived = _arrived(grid[:, None] - start[None, :], lasting) * amount[None, :]
    given = jnp.diff(arrived, axis=0)
    infused = jnp.where(lasting > 0.0, given, 0.0).sum(1)
    out, back = intercompartmental / central_volume, intercompartmental / peripheral_volume
    transfer, entry = _magnus_step(length, early, late, out, back, infused)
    entry = entry.at[:, 0].add(jnp.where(lasting > 0.0, 0.0, given).sum(1))

    def move(amounts: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        amounts = step[0] @ amounts + step[1]
        return amounts, amounts[0]

    _, central = lax.scan(move, jnp.zeros_like(entry[0]), (transfer, entry))
    return central[jnp.searchsorted(grid, time) - 1] / central_volume


def _magnus_step(
    length: Array, early: Array, late: Array, out: Number, back: Number, infused: Array
) -> tuple[Array, Array]:
    """Integrate over stretches of `length` days in which elimination drifts from early to late.

    Fourth-order Magnus step (doi:10.1016/j.physrep.2008.11.001) with the eliminations, 1/day, at
    the two Gauss points; its commutator comes down to a skew of the exchange and of the infusion.

    Returns
    -------
    transfer : (N, 2, 2) Array
        What becomes of the amounts at the beginning; exact for a clearance at rest.
    entry : (N, 2) Array
        What is left of the `infused` mg, given evenly over the stretch.
    """
    skew = sqrt(3.0) / 12.0 * length * (late - early)
    m = _modes(0.5 * (early + late), out, back, skew)
    leaving, coming = out * (1.0 + skew) / m.gap, back * (1.0 - skew) / m.gap

    def mixed(slow: Array, fast: Array) -> tuple[Array, Array, Array, Array]:
        """Central to itself, peripheral to central, central to peripheral, peripheral to itself."""
        swing = slow - fast
        return fast + m.share * swing, coming * swing, leaving * swing, slow - m.share * swing

    slow, fast = m.slow * length, m.fast * length
    transfer = jnp.stack(mixed(jnp.exp(-slow), jnp.exp(-fast)), -1).reshape(*length.shape, 2, 2)
    stay, _, across, _ = mixed(_mean_decay(slow), _mean_decay(fast))
    return transfer, jnp.stack([stay, across], -1) * (infused * (1.0 - skew))[:, None]


class Exposure(NamedTuple):
    """Concentrations over a stretch of days, mg/L, and the area under them, mg day/L."""

    peak: float
    trough: float
    """At the end, before a dose given then."""
    auc: float
    average: float


@dataclass(frozen=True)
class TwoCompartment:
    """The typical individual of a published population model of one antibody.

    Attributes
    ----------
    clearance, central_volume, intercompartmental, peripheral_volume : float
        CL (at the first dose; L/day), V1 (L), Q (L/day) and V2 (L).
    emax, t50, hill : float
        Change of clearance, see `sigmoid_clearance`; emax 0 means none.
    variances : mapping of str to float
        Published variances between patients, on the log scale unless the source says otherwise.
    residual : mapping of str to float
        Published residual error: ``"proportional"``, and ``"additive"`` in mg/L.
    source, population : str
        DOI; who was studied, and the reference covariates.
    """

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

    def __post_init__(self) -> None:
        names = ["clearance", "central_volume", "intercompartmental", "peripheral_volume", "hill"]
        for name in names + ["t50"] * self.varies:
            if not 0.0 < (value := getattr(self, name)) < inf:
                raise ModelError(f"The pharmacokinetics have {name} {value}; it must be above 0.")
        if not isfinite(self.emax):
            raise ModelError(f"The pharmacokinetics have emax {self.emax}; 0 means no change.")

    @property
    def varies(self) -> bool:
        """Whether clearance changes with time."""
        return self.emax != 0.0

    def concentration(self, regimen: Regimen, time: ArrayLike) -> Array:
        """Give the concentration in mg/L at some days, a list of known (not traced) numbers."""
        day = np.asarray(time, dtype=np.float64)
        if day.ndim != 1 or not np.isfinite(day).all():
            raise DoseError(f"Concentrations are wanted at days {day}; give a list of finite days.")
        if not len(day) or not len(regimen):
            return jnp.zeros(len(day))
        doses = (_padded(one, 8) for one in (regimen.start, regimen.amount, regimen.duration))
        flow = (self.clearance, self.central_volume, self.intercompartmental)
        change = (self.emax, self.t50, self.hill) if self.varies else ()
        solve = _varying if self.varies else _constant
        with jax.ensure_compile_time_eval():
            # numpy cuts the padding off: jax would compile that anew for every length
            full = solve(_padded(day, 64), *doses, *flow, self.peripheral_volume, *change)
            return jnp.asarray(np.asarray(full)[: len(day)])

    def exposure(self, regimen: Regimen, from_day: float, to_day: float) -> Exposure:
        """Give peak, trough and area between two days, by Gauss quadrature between all edges."""
        if not from_day < to_day:
            raise DoseError(f"Exposure from day {from_day} to day {to_day}: give rising days.")
        edges = np.concatenate([regimen.start, regimen.start + regimen.duration])
        edges = np.append(edges, np.arange(np.ceil(from_day), to_day))
        inside = edges[(edges > from_day) & (edges < to_day)]
        ends = np.unique(np.concatenate([[from_day, to_day], inside]))
        node, weight = np.polynomial.legendre.leggauss(8)
        half = np.diff(ends)[:, None] / 2.0
        days = ends[:-1, None] + half * (node + 1.0)
        at = np.asarray(self.concentration(regimen, np.append(days.ravel(), ends)))
        auc = float(at[: days.size] @ (half * weight).ravel())
        pushed = regimen.amount[(regimen.start == to_day) & (regimen.duration == 0.0)].sum()
        trough = float(at[-1] - pushed / self.central_volume)
        return Exposure(max(float(at[:-1].max()), trough), trough, auc, auc / (to_day - from_day))


_constant = jax.jit(two_compartment_concentration)
_varying = jax.jit(varying_clearance_concentration)


def _padded(values: np.ndarray, at_least: int) -> np.ndarray:
    """Fill up with zeros to a power of two, so that few lengths are compiled."""
    size = max(at_least, 1 << (len(values) - 1).bit_length())
    return np.pad(values, (0, size - len(values)))
