"""Why a patient resists: which single change of its parameters would undo the resistance.

A counterfactual for each cause: in every posterior draw whose course is resistant, one parameter
is given the value that is typical of durable responders in the fit, or what wears the response
down is taken away, or doses are made large; the course is solved and judged again. It says what
would have been under the model, not what is true of biology: causes that the model does not have
cannot be found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import batched
from typing import NamedTuple

import numpy as np
import pandas as pd

from pdmodel.data import Patient
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.followup import exposure, visit_days
from pdmodel.latent import padded
from pdmodel.likelihood import kinetics_of
from pdmodel.regimen import Regimen
from pdmodel.resistance import UNDECIDED
from pdmodel.response import CLASSES, ResistanceClass, Rule, classify_courses, rule_named
from pdmodel.trajectory import TOGETHER, trajectories

CAUSES: Mapping[str, str] = {
    "growth": "fast growth",
    "kill": "insufficient priming",
    "suppression": "suppressive microenvironment",
    "antigenicity": "low antigenicity",
    "clone_score": "clonal escape",
}
"""Individual parameters, and what it is called if the responders' value undoes resistance."""
WORN: Mapping[str, str] = {
    "waning": "exhaustion",
    "fixation": "epigenetic fixation",
    "diversity": "antigen loss",
}
"""Shared parameters that wear a response down; here they are taken away."""
AWAY = 1e-6
"""What is left of a parameter that is taken away."""
EXPOSURE, DOSES = "under-exposure", 10.0
"""Of doses, and by how much these are made larger."""
NONE = "no single cause"
COLUMNS = ("patient_id", "study", "arm", "p_resistant", NONE, "attribution")
"""Of every table of attributions; shares of the model's causes stand before the last two."""
INSEPARABLE = "the data cannot separate these"
RESISTANT = tuple(
    CLASSES.index(one)
    for one in (ResistanceClass.PRIMARY, ResistanceClass.ACQUIRED, ResistanceClass.EARLY_LOSS)
)
DURABLE = CLASSES.index(ResistanceClass.DURABLE)
LEAST_RESISTANT = 0.5
"""Probability of resistance from which a cause is looked for."""
LEAST_RESPONDERS = 100
"""Draws of durable patients from which a responder's typical values are taken."""
ALIKE = 0.1
"""Largest difference of a share from that of all resistant patients that says nothing."""


class Change(NamedTuple):
    """One counterfactual: a cause, and what is changed."""

    cause: str
    parameter: str = ""
    value: float = np.nan
    doses: float = 1.0


def attribute(
    fit: Fit,
    *,
    rule: str = "sitc2020",
    horizon: float | None = None,
    certainty: float = 0.6,
    draws: int = 200,
) -> pd.DataFrame:
    """Attribute the resistance of every patient to causes.

    Courses are those of the mechanism: what a residual carries beside it is not attributed.

    Parameters
    ----------
    fit : Fit
    rule, horizon
        As `pdmodel.classify` takes them.
    certainty : float
        Least share of a cause for it to be named.
    draws : int
        Draws of the posterior, evenly spaced; at most as many as there are.

    Returns
    -------
    DataFrame
        A row for each patient, in the order of their keys: ``patient_id, study, arm,
        p_resistant``; of the draws that are resistant the share of each cause, where a draw that
        several changes undo counts in equal parts for each, and of ``no single cause``; and
        ``attribution``: a cause, "undecided", "the data cannot separate these" where all shares
        are within 0.1 of those over all resistant draws of the fit, so that the patient's own
        scans say nothing, or "" for patients who probably do not resist.

    Raises
    ------
    OptionError
        If an option cannot be used, or no course of the fit is durable, so that nobody shows what
        a responder's values are.
    """
    judged_by = rule_named(rule)
    if not 0.5 < certainty <= 1:
        raise OptionError(f"certainty is {certainty}; it must be above 0.5, and 1 at most.")
    if draws < 1:
        raise OptionError(f"draws is {draws}; it must be 1 or more.")
    values = fit.values(draws)
    groups = list(batched(range(len(fit.cohort)), TOGETHER))
    before = np.concatenate(
        [_judged(fit, g, values, Change(""), judged_by, horizon) for g in groups]
    )
    changes = _changes(fit, values, before)
    undone = np.stack([
        np.concatenate([_judged(fit, g, values, change, judged_by, horizon) for g in groups])
        for change in changes
    ])  # fmt: skip
    return _table(fit.cohort.patients, [one.cause for one in changes], before, undone, certainty)


def _judged(
    fit: Fit, group: Sequence[int], values: Mapping[str, np.ndarray], change: Change, rule: Rule,
    horizon: float | None,
) -> np.ndarray:  # fmt: skip
    """Classes of the courses of some patients after a change, (patients, draws)."""
    patients = [fit.cohort.patients[k] for k in group]
    days = [visit_days(patient, horizon) for patient in patients]
    given = [
        {name: _larger(one, change.doses) for name, one in p.treated_until(day[-1]).items()}
        for p, day in zip(patients, days, strict=True)
    ]
    mine = {name: value[:, list(group)] for name, value in values.items()}
    model = fit.model
    if change.parameter in mine:
        mine[change.parameter] = np.full_like(mine[change.parameter], change.value)
    courses = trajectories(
        model, mine, [p.start_day for p in patients], padded(days), given,
        fit.manifest["options"]["accuracy"], kinetics_of(model, patients, fit.kinetics_seed),
    )  # fmt: skip
    found = []
    for k, (patient, day) in enumerate(zip(patients, days, strict=True)):
        treated = exposure(patient, day[-1]) or (None, None)
        size = np.exp(courses.log_size[:, k, : len(day)])
        found.append(classify_courses(day, size, rule, None, *treated))
    return np.stack(found)


def _larger(regimen: Regimen, doses: float) -> Regimen:
    return regimen if doses == 1.0 else replace(regimen, amount=doses * regimen.amount)


def _changes(fit: Fit, values: Mapping[str, np.ndarray], before: np.ndarray) -> list[Change]:
    durable = (before == DURABLE).T
    if durable.sum() < LEAST_RESPONDERS:
        raise OptionError(
            f"{durable.sum()} of {durable.size} courses are durable responses, too few to show a "
            "responder's values; give a later --horizon, or a fit with responders."
        )
    moving = {q.name for q in fit.model.mechanism.parameters} - {fit.model.mechanism.anchor}
    found = [
        Change(CAUSES.get(q.name, q.name), q.name, float(np.median(values[q.name][durable])))
        for q in fit.model.individual
        if q.name in moving and q.name != "baseline"
    ]
    found += [
        Change(WORN[q.name], q.name, AWAY * q.typical) for q in fit.model.shared if q.name in WORN
    ]
    return [*found, Change(EXPOSURE, doses=DOSES)] if fit.model.drugs else found


def _table(
    patients: Sequence[Patient], causes: list[str], before: np.ndarray, after: np.ndarray,
    certainty: float,
) -> pd.DataFrame:  # fmt: skip
    """Count which changes undo resistance; `before` (patients, draws), `after` causes first."""
    resistant = np.isin(before, RESISTANT)
    undone = resistant & ~np.isin(after, RESISTANT)
    several = undone.sum(axis=0)
    part = np.concatenate([undone / np.maximum(several, 1), (resistant & (several == 0))[None]])
    count = resistant.sum(axis=1)
    with np.errstate(invalid="ignore"):
        share = part.sum(axis=2) / count  # causes and none, patients
    usual = part.sum(axis=(1, 2)) / max(resistant.sum(), 1)
    named = [*causes, NONE]
    rows = []
    for k, patient in enumerate(patients):
        p = count[k] / before.shape[1]
        said = _said(share[:, k], usual, named, certainty) if p >= LEAST_RESISTANT else ""
        rows.append((patient.id, patient.study, patient.arm, p, *share[:, k], said))
    columns = ["patient_id", "study", "arm", "p_resistant", *named, "attribution"]
    return pd.DataFrame(rows, columns=columns)


def _said(share: np.ndarray, usual: np.ndarray, named: list[str], certainty: float) -> str:
    if np.max(np.abs(share - usual)) <= ALIKE:
        return INSEPARABLE
    top = int(np.argmax(share))
    return named[top] if share[top] >= certainty else UNDECIDED
