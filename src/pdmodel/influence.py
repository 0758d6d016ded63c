"""What of the patients moves the typical values of parameters: covariates, brought to one scale."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from pdmodel.data import Cohort
from pdmodel.errors import OptionError
from pdmodel.model import Model
from pdmodel.quadrature.coordinates import (
    ORDER,
    SHRINKAGE,
    SHRINKAGE_SPREAD,
    Coordinates,
    Traits,
    correlation_name,
    slope_name,
)

type Influences = Mapping[str, Sequence[str]]
"""Covariates by the parameter whose typical value they move."""
type Scaling = Mapping[str, tuple[float, float]]
"""Mean and standard deviation of covariates in the patients of a fit."""


def coordinates(model: Model, options: Mapping[str, Any]) -> Coordinates:
    """Give the coordinates of a fit by its options ``correlated`` and ``covariates``.

    Raises
    ------
    OptionError
        If a covariate is to move what is no individual parameter of the model.
    """
    influences: Influences = options.get("covariates") or {}
    own = [q.name for q in model.individual]
    for name in influences:
        if name not in own:
            raise OptionError(
                f"Covariates cannot move {name!r}, which is no parameter with an own value in each "
                f"patient; those are {', '.join(own)}."
            )
    slopes = tuple(
        (name, one)
        for name, several in influences.items()
        for one in dict.fromkeys([several] if isinstance(several, str) else several)
    )
    columns = tuple(dict.fromkeys(one for _, one in slopes))
    return Coordinates(model, bool(options.get("correlated")), slopes, columns)


def population_scales(
    model: Model, options: Mapping[str, Any]
) -> list[tuple[str, str, str, float | None]]:
    """Give every parameter of the population of a fit, with the sd of its prior.

    Returns
    -------
    list of (name, unit, transform, prior sd on the transformed scale)
    """
    scales: list[tuple[str, str, str, float | None]] = []
    for q in model.individual:
        scales.append((f"{q.name}_typical", q.unit, q.transform, q.prior_sd))
        scales.append((f"{q.name}_sd", "1", "log", q.between_spread))
    scales += [(q.name, q.unit, q.transform, q.prior_sd) for q in model.shared]
    of = coordinates(model, options)
    strength = 2.0 * (ORDER - 1.0) + len(of.effects)
    correlations = [
        (correlation_name(of.effects[j], of.effects[i]), "1", "identity", (strength + 1.0) ** -0.5)
        for i, j in of.pairs
    ]
    widest = SHRINKAGE * np.exp(SHRINKAGE_SPREAD**2)
    between = {q.name: q.iiv for q in model.individual}
    effects = [
        (slope_name(name, covariate), "1", "identity", float(widest * between[name]))
        for name, covariate in of.slopes
    ]
    return [*scales, *correlations, *effects]


def scaling(cohort: Cohort, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Mean and sd of covariates over the patients who have them.

    Raises
    ------
    OptionError
        If a covariate is unknown, the same in all patients, or not a number.
    """
    found = {}
    for name in names:
        seen = column(cohort, name)
        seen = seen[np.isfinite(seen)]
        if not seen.size:
            known = sorted({key for patient in cohort for key in patient.covariates})
            raise OptionError(
                f"No patient has the covariate {name!r}; the table has "
                f"{', '.join(known) or 'none'}."
            )
        if np.ptp(seen) == 0.0:
            raise OptionError(
                f"Covariate {name!r} is {seen[0]:g} in every patient who has it; leave it out."
            )
        found[name] = (float(seen.mean()), float(seen.std()))
    return found


def column(cohort: Cohort, name: str) -> np.ndarray:
    """One covariate of all patients, nan where missing, (patients,).

    Raises
    ------
    OptionError
        If a value is not a number; it names the patient.
    """
    values = []
    for patient in cohort:
        value = patient.covariates.get(name)
        try:
            values.append(np.nan if value is None or value == "" else float(value))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise OptionError(
                f"Patient {patient.id!r}: covariate {name!r} is {value!r}, not a number; code its "
                "categories as numbers (0 and 1)."
            ) from None
    return np.array(values)


def traits(of: Coordinates, cohort: Cohort, scales: Scaling) -> Traits:
    """Covariates of a cohort on the scale of a fit; 0 where missing."""
    if not of.covariates:
        nothing = jnp.zeros((len(cohort), 0))
        return Traits(nothing, nothing)
    raw = np.stack([column(cohort, name) for name in of.covariates], axis=1)
    mean, sd = np.array([scales[name] for name in of.covariates]).T
    missing = ~np.isfinite(raw)
    value = np.where(missing, 0.0, (np.where(missing, 0.0, raw) - mean) / sd)
    return Traits(jnp.asarray(value), jnp.asarray(missing, float))
