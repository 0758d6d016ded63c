"""What of the patients moves the typical values of parameters: covariates, brought to one scale."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from pdmodel.data import Cohort, Patient
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
type Levels = Mapping[str, Sequence[str]]
"""Levels of the covariates that are words, the reference first."""

BELONGING = ("arm", "study")
"""What a patient belongs to, which may be named as covariates are."""
MOST_LEVELS = 12
"""Of a covariate that is words."""


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


def scaling(
    cohort: Cohort, names: Sequence[str], levels: Levels | None = None
) -> dict[str, tuple[float, float]]:
    """Mean and sd of covariates over the patients who have them; contrasts keep their scale.

    Raises
    ------
    OptionError
        If a covariate is unknown, the same in all patients, or not a number.
    """
    contrast, found = _contrasts(levels or {}), {}
    for name in names:
        every = column(cohort, name, levels)
        seen = every[np.isfinite(every)]
        if not seen.size:
            raise OptionError(
                f"No patient has the covariate {name!r}; the table has {_known(cohort)}."
            )
        if np.ptp(seen) == 0.0:
            raise OptionError(
                f"Covariate {name!r} is {seen[0]:g} in every patient who has it; leave it out."
            )
        found[name] = (float(seen.mean()), 1.0 if name in contrast else float(seen.std()))
    return found


def _known(cohort: Cohort) -> str:
    found = {key for patient in cohort for key in patient.covariates}
    found |= {name for name in BELONGING if any(getattr(p, name) for p in cohort)}
    return ", ".join(sorted(found)) or "none"


def spread_out(influences: Influences, cohort: Cohort) -> tuple[dict[str, list[str]], Levels]:
    """Put contrasts in place of covariates that are words: arms, studies, texts.

    Each level but the most frequent one is a contrast with that one, named ``arm=B``.

    Parameters
    ----------
    influences : mapping of str to sequence of str
    cohort : Cohort

    Returns
    -------
    influences : dict of str to list of str
    levels : dict of str to list of str
        Of every covariate that is words, the reference first, then in alphabetical order.

    Raises
    ------
    OptionError
        If such a covariate has one level only, or more than `MOST_LEVELS`.
    """
    names = dict.fromkeys(one for several in influences.values() for one in several)
    levels = {name: found for name in names if (found := _levels(cohort, name))}
    return {
        parameter: [
            column
            for one in several
            for column in ([f"{one}={x}" for x in levels[one][1:]] if one in levels else [one])
        ]
        for parameter, several in influences.items()
    }, levels


def _levels(cohort: Cohort, name: str) -> list[str]:
    """Levels of a covariate that is words, the most frequent first; none where it is numbers.

    Arms and studies are names even where these are written as numbers.
    """
    seen = [str(value) for p in cohort if (value := _value(p, name)) is not None]
    if not seen or (name not in BELONGING and any(map(_is_number, seen))):
        return []
    count = Counter(seen)
    if len(count) == 1:
        raise OptionError(
            f"Covariate {name!r} is {seen[0]} in every patient who has it; leave it out."
        )
    if len(count) > MOST_LEVELS:
        raise OptionError(
            f"Covariate {name!r} has {len(count)} different values; a covariate of words may have "
            f"{MOST_LEVELS}. Join some, or leave it out."
        )
    first = min(count, key=lambda level: (-count[level], level))
    return [first, *sorted(set(count) - {first})]


def _value(patient: Patient, name: str) -> object | None:
    """Value of a covariate, of the arm or of the study; None where there is none."""
    own = getattr(patient, name) if name in BELONGING and name not in patient.covariates else None
    value = patient.covariates.get(name, own)
    return None if value in (None, "") else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _contrasts(levels: Levels) -> dict[str, tuple[str, str]]:
    """Covariate and level of every contrast."""
    return {f"{name}={x}": (name, x) for name, found in levels.items() for x in found[1:]}


def column(cohort: Cohort, name: str, levels: Levels | None = None) -> np.ndarray:
    """One covariate of all patients, nan where missing, (patients,); contrasts are 0 or 1.

    Raises
    ------
    OptionError
        If a value is not a number, or none of the levels; it names the patient.
    """
    levels = levels or {}
    contrast = _contrasts(levels).get(name)
    if contrast is None:
        return np.array([_number(patient, name) for patient in cohort])
    base, level = contrast
    return np.array([_is_level(patient, base, level, levels[base]) for patient in cohort])


def _is_level(patient: Patient, name: str, level: str, known: Sequence[str]) -> float:
    value = _value(patient, name)
    if value is None:
        return np.nan
    if str(value) not in known:
        raise OptionError(
            f"Patient {patient.id!r}: {name} is {str(value)!r}, and the fit knows "
            f"{', '.join(known)}. Leave it blank if it is none of them, or fit such patients."
        )
    return float(str(value) == level)


def _number(patient: Patient, name: str) -> float:
    value = _value(patient, name)
    try:
        return np.nan if value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise OptionError(
            f"Patient {patient.id!r}: covariate {name!r} is {value!r}, not a number as in others; "
            "code all as numbers, or all as words."
        ) from None


def traits(of: Coordinates, cohort: Cohort, options: Mapping[str, Any]) -> Traits:
    """Covariates of a cohort on the scale of a fit, by its options; 0 where missing."""
    if not of.covariates:
        nothing = jnp.zeros((len(cohort), 0))
        return Traits(nothing, nothing)
    levels = options.get("levels", {})
    raw = np.stack([column(cohort, name, levels) for name in of.covariates], axis=1)
    mean, sd = np.array([options["scaling"][name] for name in of.covariates]).T
    missing = ~np.isfinite(raw)
    value = np.where(missing, 0.0, (np.where(missing, 0.0, raw) - mean) / sd)
    return Traits(jnp.asarray(value), jnp.asarray(missing, float))
