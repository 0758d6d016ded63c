"""How each patient resists: the posterior probability of every class, and why, in words."""

from collections.abc import Mapping, Sequence
from itertools import batched
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pdmodel.data import Patient
from pdmodel.diagnose import Diagnosis, diagnose
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.followup import OPEN, Needed, decidable, exposure, in_words, visit_days
from pdmodel.latent import latent, padded
from pdmodel.residual import SMALLEST_MM
from pdmodel.response import (
    CLASSES,
    ResistanceClass,
    Rule,
    best_change,
    classify_courses,
    resistance_class,
    rule_named,
)
from pdmodel.tables import write_table
from pdmodel.trajectory import TOGETHER

PROBABILITIES = tuple(f"p_{label}" for label in CLASSES)
COLUMNS = (
    "patient_id", "study", "arm", "observed_label", *PROBABILITIES, "label", "confidence", "reason",
    "further_scans", "further_days",
)  # fmt: skip
UNDECIDED = "undecided"


def classify(
    fit: Fit,
    *,
    rule: str = "sitc2020",
    horizon: float | None = None,
    certainty: float = 0.8,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Classify every patient of a fit.

    Each posterior draw gives a course free of errors of measurement, which is read on the days of
    the patient's own scans and judged by the rule; the probability of a class is its share of the
    draws. Draws that could not be solved are not determinable.

    Parameters
    ----------
    fit : Fit
    rule : str
        Name of a rule in `pdmodel.response.RULES`, for courses and scans alike.
    horizon : float, optional
        Day up to which courses are forecast where it is later than the last scan: read every 42
        days after that scan, and on the horizon itself. Doses go on by the patients' schedules;
        where they came from a table, none is added, and a late progression may count as one after
        treatment. By default courses end with the last scan, and what that leaves open is
        called not determinable.
    certainty : float
        Least probability for a label; above 0.5, up to 1.
    draws : int
        Draws of the posterior, evenly spaced; at most as many as there are.
    seed : int
        Matters where the residual carries deviations from scan to scan; these are then drawn.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row for each patient, in the order of their keys. ``observed_label``
        is the class of the scans themselves (censored sizes as 5 mm), ``label`` the class with a
        probability of `certainty` or more, else "undecided"; ``confidence`` is the largest of the
        probabilities, which sum to 1. ``reason`` begins with "fit not trusted" where
        `pdmodel.diagnose` has something against the fit, or against this patient's draws.
        ``further_scans`` and ``further_days`` after the last scan are those until a class is
        expected (`pdmodel.followup.decidable`): 0 where the label is a class, nan where none is
        expected within two years.

    Raises
    ------
    OptionError
        If an option cannot be used.

    Notes
    -----
    Rules: `pdmodel.response`. A patient is treated to the end of the cycle of the last dose; where
    a schedule goes on, up to the last day looked at.
    """
    judged_by = rule_named(rule)
    if not 0.5 < certainty <= 1:
        raise OptionError(f"certainty is {certainty}; it must be above 0.5, and 1 at most.")
    if horizon is not None and not np.isfinite(horizon):
        raise OptionError(f"horizon is {horizon}; give a day, or leave it out.")
    moving = frozenset(q.name for q in fit.model.mechanism.parameters)
    how = _Judging(judged_by, certainty, diagnose(fit), moving)
    rows = []
    for group in batched(fit.cohort, TOGETHER):
        visits = [visit_days(patient, horizon) for patient in group]
        given = [p.treated_until(day[-1]) for p, day in zip(group, visits, strict=True)]
        courses = latent(fit, group, padded(visits), given, draws, seed, "classify")
        for k, (patient, day) in enumerate(zip(group, visits, strict=True)):
            size = np.exp(courses.log_size[:, k, : len(day)])
            rows.append(_row(patient, day, size, how))
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-2]))
    open_ = table["label"].isin([UNDECIDED, str(CLASSES[OPEN])]).to_numpy()
    patients = [patient for patient, still in zip(fit.cohort, open_, strict=True) if still]
    first = 0 if horizon is not None else 1
    needed = decidable(fit, patients, judged_by, certainty, draws=draws, seed=seed, first=first)
    return _followed(table, fit.cohort.patients, needed)


def _followed(
    table: pd.DataFrame, patients: Sequence[Patient], needed: Mapping[str, Needed]
) -> pd.DataFrame:
    """Say of those without a class how long they have to be followed."""
    enough = Needed(0.0, 0.0)
    every = [needed.get(patient.key, enough) for patient in patients]
    reasons = [
        f"{reason[:-1]}; {in_words(patient, needed[patient.key])}."
        if patient.key in needed
        else reason
        for reason, patient in zip(table["reason"], patients, strict=True)
    ]
    scans, days = zip(*every, strict=True)
    return table.assign(reason=reasons, further_scans=scans, further_days=days)


def agreement(labels: pd.DataFrame) -> pd.DataFrame:
    """Count patients by the class of their scans (rows) and the label of the model (columns)."""
    names = [str(label) for label in CLASSES]
    table = pd.crosstab(labels["observed_label"], labels["label"])
    table = table.reindex(index=names, columns=[*names, UNDECIDED], fill_value=0)
    return table.rename_axis(index="observed", columns="model")


def write_labels(labels: pd.DataFrame, path: Path | str, *, hide_ids: bool = False) -> Path:
    """Write what `classify` gave as CSV, as `pdmodel.tables.write_table` does."""
    return write_table(labels, path, hide_ids=hide_ids)


class _Judging(NamedTuple):
    rule: Rule
    certainty: float
    diagnosis: Diagnosis
    moving: frozenset[str]  # parameters of the course, not of its measurement


def _row(patient: Patient, day: np.ndarray, size: np.ndarray, how: _Judging) -> tuple:
    """One row of the labels; `size` (draws, visits) in mm, nan where a course failed."""
    treated = exposure(patient, day[-1]) or (None, None)
    codes = classify_courses(day, size, how.rule, None, *treated)
    by_scans = classify_courses(day, size, how.rule, patient.last_day, *treated)
    share = np.bincount(codes, minlength=len(CLASSES)) / len(codes)
    top = int(np.argmax(share))
    sure = bool(share[top] >= how.certainty)
    forecast = float(np.mean((by_scans == OPEN) | (by_scans != codes)))
    observed, told = _observed(patient, how.rule)
    parts = [
        f"scans: {told}",
        f"model: {_in_words(share, sure=sure)}",
        _basis(patient, day[-1], forecast),
        *_unlearnt(patient, how, ahead=day[-1] > patient.last_day and forecast > 0),
    ]
    reason = "; ".join(parts) + "."
    doubt = how.diagnosis.doubt(patient.key)
    reason = f"fit not trusted: {doubt}; {reason}" if doubt else reason[0].upper() + reason[1:]
    label = str(CLASSES[top]) if sure else UNDECIDED
    who = (patient.id, patient.study, patient.arm)
    return (*who, str(observed), *share, label, share[top], reason)


def _observed(patient: Patient, rule: Rule) -> tuple[ResistanceClass, str]:
    """Class of the scans themselves, and what they show."""
    size = np.where(patient.censored, SMALLEST_MM, patient.size_mm)
    treated = exposure(patient, patient.last_day) or (None, None)
    label, why = resistance_class(patient.day, size, rule, *treated)
    change = float(best_change(patient.day, size))
    return label, f"best change {round(change):+d} %, {why}" if np.isfinite(change) else why


def _in_words(share: np.ndarray, *, sure: bool) -> str:
    order = np.argsort(-share, kind="stable")[: 1 if sure else 2]
    named = (f"{CLASSES[k].replace('_', ' ')} {_percent(float(share[k]))}" for k in order)
    return ("" if sure else "undecided, ") + ", ".join(named)


def _percent(share: float) -> str:
    if 0 < share < 0.005 or 0.995 <= share < 1:
        return "<1 %" if share < 0.5 else ">99 %"
    return f"{100 * share:.0f} %"


def _basis(patient: Patient, until: float, forecast: float) -> str:
    """Say how much rests on what was scanned, and how much on a forecast."""
    last = patient.last_day
    if until <= last or forecast == 0:
        return f"resting on the course to the last scan on day {last:g}"
    doses = exposure(patient, until)
    treated = "" if doses is None else f" with no dose after day {doses[0]:g}"
    return (
        f"resting to {_percent(1 - forecast)} on the course to the last scan, to "
        f"{_percent(forecast)} on a forecast from day {last:g} to day {until:g}{treated}"
    )


def _unlearnt(patient: Patient, how: _Judging, *, ahead: bool) -> list[str]:
    """Say which of the patient's parameters, and for a forecast of all, are hardly learnt."""
    names = list(how.diagnosis.prior_driven(patient.key))
    if ahead:
        common = how.diagnosis.population
        names += list(common["parameter"][common["informed"] == "prior-driven"])
    names = [name for name in names if name in how.moving]
    return [f"hardly learnt from the data, so prior-driven: {', '.join(names)}"] if names else []
