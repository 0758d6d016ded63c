"""What a fit learnt, quantity by quantity: draws beside the prior they started from."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from pdmodel.fit import Fit
from pdmodel.parameter import Parameter, Transform

POINTS = 200
SMALLEST_SPREAD = 1e-9
"""Draws that spread less than this, relative to their size, do not move."""


class Quantity(NamedTuple):
    """Draws of one quantity, and its normal prior on the transformed scale.

    Attributes
    ----------
    name, label, about, unit : str
        Name in the posterior; what it is called; what it means; unit on the natural scale.
    transform : {"log", "logit", "identity"}
    prior_centre, prior_sd : float
        On the transformed scale.
    draws : ndarray, shape (chains, draws) or (chains, draws, patients)
        On the natural scale.
    """

    name: str
    label: str
    about: str
    unit: str
    transform: Transform
    prior_centre: float
    prior_sd: float
    draws: np.ndarray


def common(fit: Fit) -> list[Quantity]:
    """Quantities of the population of a hierarchical fit; none for patients fitted alone."""
    if fit.pooling == "none":
        return []
    found = []
    for q in fit.model.individual:
        found += [
            _taken(fit, q, f"{q.name}_typical", "typical", q.centre, q.prior_sd),
            _spread(fit, q),
        ]
    return found + [_taken(fit, q, q.name, "", q.centre, q.prior_sd) for q in fit.model.shared]


def own(fit: Fit, patient: str | None = None) -> list[Quantity]:
    """Quantities of the patients themselves: of one (by key), or of all.

    The prior is that of a patient fitted alone; in a hierarchical fit the population takes its
    place, so only patients fitted alone are to be compared with it.
    """
    chosen = fit.model.free if fit.pooling == "none" else fit.model.individual
    found = [_taken(fit, q, q.name, "", q.centre, q.single_sd) for q in chosen]
    if patient is None:
        return found
    place = fit.cohort.keys.index(fit.cohort[patient].key)
    return [one._replace(draws=one.draws[..., place]) for one in found]


def _taken(
    fit: Fit, q: Parameter, name: str, what: str, centre: float, sd: float | None
) -> Quantity:
    label = f"{q.name}, {what}" if what else q.name
    draws = fit.posterior[name].to_numpy()
    return Quantity(name, label, q.about, q.unit, q.transform, centre, sd or 0.0, draws)


def _spread(fit: Fit, q: Parameter) -> Quantity:
    name = f"{q.name}_sd"
    centre = float(np.log(q.between or 1.0))
    label = f"{q.name}, sd between patients"
    unit = {"log": "sd of log", "logit": "sd of logit", "identity": q.unit}[q.transform]
    about, spread = "spread between patients", q.between_spread
    draws = fit.posterior[name].to_numpy()
    return Quantity(name, label, about, unit, "log", centre, spread, draws)


def transformed(x: np.ndarray, transform: Transform) -> np.ndarray:
    """Bring natural values to the scale on which the prior is normal."""
    if transform == "log":
        return np.log(x)
    return np.log(x) - np.log1p(-x) if transform == "logit" else x


def natural(u: np.ndarray, transform: Transform) -> np.ndarray:
    """Bring values from the transformed scale to the natural one."""
    if transform == "log":
        return np.exp(u)
    return 1.0 / (1.0 + np.exp(-u)) if transform == "logit" else u


def density(u: np.ndarray, at: np.ndarray) -> np.ndarray | None:
    """Smooth density of draws `u` (flat) at some places; None if they do not move."""
    finite = u[np.isfinite(u)]
    if finite.size < 2 or np.std(finite) <= SMALLEST_SPREAD * max(1.0, np.abs(finite).max()):
        return None
    return stats.gaussian_kde(finite)(at)


def prior_density(q: Quantity, at: np.ndarray) -> np.ndarray:
    """Density of the prior on the transformed scale."""
    return stats.norm.pdf(at, q.prior_centre, q.prior_sd)


def window(q: Quantity) -> np.ndarray:
    """Places on the transformed scale that hold nearly all of prior and posterior."""
    u = transformed(q.draws, q.transform)
    u = u[np.isfinite(u)]
    low, high = q.prior_centre - 3.0 * q.prior_sd, q.prior_centre + 3.0 * q.prior_sd
    if u.size:
        ends = np.quantile(u, [0.002, 0.998]) + 0.1 * q.prior_sd * np.array([-1.0, 1.0])
        low, high = min(low, ends[0]), max(high, ends[1])
    return np.linspace(low, high, POINTS)


def ticks(low: float, high: float, transform: Transform, most: int = 5) -> np.ndarray:
    """Round values between two natural ones, evenly thinned.

    >>> ticks(0.0009, 0.02, "log").tolist()
    [0.001, 0.002, 0.005, 0.01, 0.02]
    """
    if transform == "identity":
        step = 10.0 ** np.floor(np.log10((high - low) / 2.0))
        values = np.arange(np.ceil(low / step), high / step + 1e-9) * step
    elif transform == "logit":
        half = [0.001, 0.01, 0.05, 0.2]
        values = np.array([*half, 0.5, *(1.0 - x for x in half[::-1])])
    else:
        decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        values = np.array([float(f"{digit}e{k}") for k in decades for digit in (1, 2, 5)])
    inside = values[(values >= low) & (values <= high * (1 + 1e-12))]
    return inside[:: max(1, -(-len(inside) // most))]
