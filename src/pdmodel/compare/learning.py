"""Where forecasts come from: a fit of some patients, and what it says of others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pdmodel.data import Cohort, Patient
from pdmodel.fit import Fit, fit
from pdmodel.library import drug, mechanism
from pdmodel.model import Model
from pdmodel.nuts import Progress
from pdmodel.residuals import RESIDUALS, residual

USUAL_RESIDUAL = "walk"

type Report = Callable[[Progress], None]


def model_named(name: str, drugs: Sequence[str]) -> Model:
    """Put together a model from ``MECHANISM`` or ``MECHANISM:RESIDUAL``.

    Parameters
    ----------
    name : str
        The residual is `USUAL_RESIDUAL` if it is left out. A mechanism may be a file of one's own.
    drugs : sequence of str
        Those that were given; a curve, which answers to no drug, is fitted without them.

    Raises
    ------
    ModelError
        If there is no such mechanism or residual.
    """
    head, mark, tail = name.rpartition(":")
    if not mark or (tail not in RESIDUALS and tail.endswith(".py")):
        head, tail = name, USUAL_RESIDUAL
    biology = mechanism(head)
    given = tuple(map(drug, drugs)) if biology.answers_to else ()
    return Model(biology, given, residual(tail))


def as_treated(patients: Sequence[Patient], model: Model) -> tuple[Patient, ...]:
    """Leave the doses of patients out where the model has no drugs."""
    if model.drugs:
        return tuple(patients)
    return tuple(replace(one, regimens={}, schedules=()) for one in patients)


def learnt(
    model: Model, cohort: Cohort, *, seed: int, options: Mapping[str, Any], report: Report
) -> Fit:
    """Fit a population; options as `pdmodel.fit` takes them."""
    patients = as_treated(cohort.patients, model)
    return fit(model, replace(cohort, patients=patients), seed=seed, report=report, **options)


def values_given(
    found: Fit, patients: Sequence[Patient], *, draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Draw the parameters of patients who are not in a fit, given the scans that they have.

    Returns
    -------
    dict of str to ndarray
        Every free parameter, each of shape (draws, patients), on the natural scale.
    """
    from pdmodel.newcomers import joined

    order = {patient.key: k for k, patient in enumerate(patients)}
    cohort = replace(found.cohort, patients=as_treated(patients, found.model))
    them = joined(found, cohort, draws=draws, seed=seed)
    place = np.argsort([order[key] for key in them.cohort.keys])
    return {name: value[:, place] for name, value in them.values().items()}
