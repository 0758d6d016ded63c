"""Change of size from baseline: the numbers behind the spider, waterfall and patient plots.

A size that was too small to measure stands at its limit, so that its change is "at most" that.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from pdmodel.data import Cohort, Patient
from pdmodel.plot.style import CLASSES, RESPONSES, Look
from pdmodel.residual import SMALLEST_MM
from pdmodel.response import (
    RULES,
    Rule,
    baseline_index,
    best_change,
    best_response,
    visit_responses,
)


def best_responses(cohort: Cohort, rule: Rule) -> dict[str, str]:
    """Best response of the scans of each patient ("CR", "PR", "SD", "PD", "NE"), by key.

    A size too small to measure counts as 5 mm whatever its limit, as `classify` takes it.
    """
    sized = [(p, np.where(p.censored, SMALLEST_MM, p.size_mm)) for p in cohort]
    return {p.key: best_response(visit_responses(p.day, x, rule)) for p, x in sized}


def label_of(labels: pd.DataFrame) -> dict[str, str]:
    """Give the label of each patient by key, from the table that `classify` gives."""
    named = zip(labels["study"], labels["patient_id"], labels["label"], strict=True)
    return {f"{study}/{id_}" if study else str(id_): str(label) for study, id_, label in named}


class Groups(NamedTuple):
    """Which group each patient is in, by key; how groups look, by name; what groups them."""

    of: dict[str, str]
    looks: Mapping[str, Look]
    by: str


def grouped(cohort: Cohort, labels: pd.DataFrame | None, rule: str) -> Groups:
    """Group patients by their label, or by the best response of their scans."""
    if labels is None:
        return Groups(best_responses(cohort, RULES[rule]), RESPONSES, "best response")
    return Groups(label_of(labels), CLASSES, "label of the model")


def percent_change(cohort: Cohort) -> pd.DataFrame:
    """Change from baseline at every scan from baseline on.

    Parameters
    ----------
    cohort : Cohort

    Returns
    -------
    DataFrame
        Columns ``patient`` (key), ``day``, ``change`` (%, 0 at baseline) and ``at_most`` (the
        size was too small to measure). Patients with a baseline of 0 are left out; their keys are
        in ``attrs["left_out"]``.
    """
    columns = ["patient", "day", "change", "at_most"]
    rows, left_out = [], []
    for p in cohort:
        first = baseline_index(p.day)
        base = p.size_mm[first]
        if not base > 0:
            left_out.append(p.key)
            continue
        change = 100.0 * (p.size_mm[first:] / base - 1.0)
        named = {"patient": p.key, "day": p.day[first:], "change": change}
        rows.append(pd.DataFrame(named | {"at_most": p.censored[first:]}))
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
    table.attrs["left_out"] = left_out
    return table


def waterfall(cohort: Cohort) -> pd.DataFrame:
    """Best change from baseline of each patient, the largest growth first.

    Returns
    -------
    DataFrame
        Columns ``patient`` (key), ``change`` (%) and ``at_most``. Patients without a scan after
        baseline, or with a baseline of 0, are left out; their keys are in ``attrs["left_out"]``.
    """
    rows, left_out = [], []
    for p in cohort:
        change = float(best_change(p.day, p.size_mm))
        if not np.isfinite(change):
            left_out.append(p.key)
            continue
        first = baseline_index(p.day) + 1
        least = first + int(np.argmin(p.size_mm[first:]))
        rows.append((p.key, change, bool(p.censored[least])))
    table = pd.DataFrame(rows, columns=["patient", "change", "at_most"])
    table = table.sort_values("change", ascending=False, kind="stable", ignore_index=True)
    table.attrs["left_out"] = left_out
    return table


def thresholds(patient: Patient, rule: Rule) -> pd.DataFrame:
    """Sizes at which each scan after baseline would be a response, or a progression.

    Returns
    -------
    DataFrame
        Columns ``day``, ``response_mm`` (30 % below baseline) and ``progression_mm`` (20 % and
        5 mm above the smallest size before, which counts as 5 mm where it is less).
    """
    first = baseline_index(patient.day)
    size = patient.size_mm[first:]
    nadir = np.maximum(np.minimum.accumulate(size)[:-1], rule.disappeared_mm)
    grown = np.maximum(nadir * (1.0 + rule.progression), nadir + rule.progression_mm)
    response = np.full(len(nadir), size[0] * (1.0 + rule.partial_response))
    return pd.DataFrame(
        {"day": patient.day[first + 1 :], "response_mm": response, "progression_mm": grown}
    )
