"""Tables of response: one row a scan, one row a patient, and counts by arm."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pdmodel.assess.cases import Case
from pdmodel.response import (
    CLASSES,
    HYPERPROGRESSION,
    RULES,
    Rule,
    Time,
    agreeing,
    best_confirmed,
    best_overall,
    class_of,
    duration_of_response,
    first_response,
    hyperprogression,
    immune_best,
    immune_progression,
    immune_responses,
    overall_responses,
    progression_free_survival,
    pseudoprogression,
    strict,
    target_responses,
    time_to_progression,
)

WHO = ("patient_id", "study", "arm")
SCAN_COLUMNS = (
    *WHO, "day", "visit", "size_mm", "change_percent", "nadir_mm", "change_from_nadir_mm",
    "change_from_nadir_percent", "target", "nontarget", "new_lesion", "overall", "immune",
    "recorded",
)  # fmt: skip
RESPONSES = ("CR", "PR", "SD", "NON-CR/NON-PD", "PD", "NE")


def _who(case: Case) -> dict[str, Any]:
    return {name: getattr(case.patient, name.removeprefix("patient_")) for name in WHO}


def scan_table(cases: Iterable[Case], rule: Rule) -> pd.DataFrame:
    """Response at every scan.

    Parameters
    ----------
    cases : iterable of Case
    rule : Rule
        Its thresholds are compared as RECIST has them (`pdmodel.response.strict`).

    Returns
    -------
    DataFrame
        Columns `SCAN_COLUMNS`, one row a visit: whether it is before, at or after the baseline;
        the sum of the target lesions (mm), its change from the baseline (%) and from the smallest
        sum before (mm, %); responses of target and other lesions, whether new lesions are there,
        the overall response by RECIST 1.1 and by iRECIST, and the one that a clinical table
        records. Blank where there is none.
    """
    rule = strict(rule)
    rows = [row for case in cases for row in _scans(case, rule)]
    return pd.DataFrame(rows, columns=list(SCAN_COLUMNS))


def _scans(case: Case, rule: Rule) -> list[dict[str, Any]]:
    seen = case.visits
    first = seen.baseline
    codes = (target_responses(seen, rule), overall_responses(seen, rule))
    judged = dict(
        zip(seen.later, zip(*codes, immune_responses(seen, rule), strict=True), strict=True)
    )
    base = float(seen.size_mm[first])
    nadir, rows = np.nan, []
    for k, (at, mm) in enumerate(zip(seen.day, seen.size_mm, strict=True)):
        x = float(mm)
        row = _who(case) | {"day": float(at), "size_mm": x}
        row["visit"] = "before" if k < first else "baseline" if k == first else "after"
        row["recorded"] = case.recorded[k] if case.recorded else ""
        row["new_lesion"] = "yes" if seen.new_lesion[k] else "no"
        if k > first:
            row["nontarget"] = (seen.nontarget or ())[k]
            row["target"], row["overall"], row["immune"] = judged[k]
            row["nadir_mm"], row["change_from_nadir_mm"] = nadir, round(x - nadir, 6)
            row["change_percent"] = _percent(x, base)
            row["change_from_nadir_percent"] = _percent(x, nadir)
        if k >= first and not seen.partial[k]:
            nadir = float(np.fmin(nadir, x))
        rows.append(row)
    return rows


def _percent(size: float, of: float) -> float:
    return round(100 * (size / of - 1), 6) if of > 0 else np.nan


def patient_table(
    cases: Iterable[Case], rule: Rule, compare: Mapping[str, Rule] = RULES
) -> pd.DataFrame:
    """Endpoints and classes of every patient.

    Parameters
    ----------
    cases : iterable of Case
    rule : Rule
        For responses and times, and the class with its reason.
    compare : mapping of str to Rule
        Rules under which the label is given side by side, at least one; all with RECIST's own
        measures (`pdmodel.response.strict`).

    Returns
    -------
    DataFrame
        One row a patient: best response, unconfirmed, confirmed and by iRECIST; days of
        progression by RECIST (``pd_day``) and iRECIST; times with whether they ended in an event
        (days from day 0, of response from its first day, ``dor``); pseudoprogression and
        hyperprogression by every definition ("yes", "no", or why it cannot be told); ``class``
        and ``reason`` under the rule; ``class_NAME`` under each rule compared; ``label`` and
        ``robustness``: what most of these say, and the share of them that say it.
    """
    rule, rules = strict(rule), {name: strict(one) for name, one in compare.items()}
    return pd.DataFrame([_patient(case, rule, rules) for case in cases])


def _patient(case: Case, rule: Rule, rules: Mapping[str, Rule]) -> dict[str, Any]:
    seen, codes = case.visits, overall_responses(case.visits, rule)
    day = np.array([seen.day[k] for k in seen.later])
    ends: dict[str, Any] = {name: getattr(case, name) for name in ("death_day", "new_therapy_day")}
    immune = immune_progression(seen, rule)
    change = _best_change(case)
    row = _who(case) | {
        "visits": len(seen.day),
        "best_change_percent": change,
        "best_response": best_overall(day, codes, rule),
        "best_confirmed": best_confirmed(day, codes, rule),
        "immune_best": immune_best(immune_responses(seen, rule)),
        "pd_day": next((at for at, c in zip(day, codes, strict=True) if c == "PD"), np.nan),
        "immune_pd_day": immune[0] if np.isfinite(immune[0]) else np.nan,
        "immune_pd_open": "yes" if np.isfinite(immune[1]) and np.isinf(immune[0]) else "no",
    }
    row |= _time("pfs", progression_free_survival(day, codes, rule, **ends))
    row |= _time("immune_pfs", _immune_pfs(case, day, rule, immune))
    row |= _time("ttp", time_to_progression(day, codes, rule, **ends))
    start = first_response(day, codes, rule).day
    row["response_day"] = start if np.isfinite(start) else np.nan
    row |= _time("dor", duration_of_response(day, codes, rule, **ends))
    row["pseudoprogression"] = _told(*pseudoprogression(day, codes))
    for name in HYPERPROGRESSION:
        row[f"hyper_{name}"] = _told(*hyperprogression(seen, rule, name))
    label, reason = class_of(seen, rule, *case.treated)
    row |= {"class": str(label), "reason": reason}
    labels = {name: str(class_of(seen, one, *case.treated)[0]) for name, one in rules.items()}
    row |= {f"class_{name}": one for name, one in labels.items()}
    most, row["robustness"] = agreeing(list(labels.values()))
    return row | {"label": str(most)}


def _immune_pfs(case: Case, day: np.ndarray, rule: Rule, immune: tuple[float, float]) -> Time:
    """Progression-free survival by iRECIST: dated by the iUPD, also one that waits at the end."""
    codes = ["NE" if code == "NE" else "iSD" for code in immune_responses(case.visits, rule)]
    return progression_free_survival(
        day, codes, rule, death_day=case.death_day, new_therapy_day=case.new_therapy_day,
        progressed=immune[1],
    )  # fmt: skip


def _best_change(case: Case) -> float:
    """Smallest sum after baseline, % from baseline; nan without one."""
    seen = case.visits
    after = [float(seen.size_mm[k]) for k in seen.later if not seen.partial[k]]
    whole = [x for x in after if np.isfinite(x)]
    return _percent(min(whole), float(seen.size_mm[seen.baseline])) if whole else np.nan


def _time(name: str, time: Time | None) -> dict[str, Any]:
    days, event, reason = (np.nan, None, "no response") if time is None else time
    told = {None: "", True: "yes", False: "no"}[event]
    return {f"{name}_days": days, f"{name}_event": told, f"{name}_reason": reason}


def _told(met: bool | None, reason: str) -> str:  # noqa: FBT001 - what a definition answers
    if met is None:
        return f"not determinable: {reason}"
    return "yes" if met else "no"


def counts(patients: pd.DataFrame, column: str, values: Sequence[str]) -> pd.DataFrame:
    """Count patients by arm (rows) and the values of a column, with a last row for all.

    Parameters
    ----------
    patients : DataFrame
        What `patient_table` gave.
    column : str
    values : sequence of str
        Columns, in order; those that nobody has are kept.
    """
    arm = patients["arm"].where(patients["arm"] != "", "-")
    table = pd.crosstab(arm, patients[column]).reindex(columns=list(values), fill_value=0)
    table.insert(0, "patients", table.sum(axis=1))
    if len(table) > 1:
        table.loc["all"] = table.sum()
    return table.rename_axis(index="arm", columns=None)


def robust_counts(patients: pd.DataFrame) -> pd.DataFrame:
    """Count patients by label (rows) and by how many of the rules agree on it."""
    names = [str(label) for label in CLASSES]
    share = patients["robustness"].map("{:.0%}".format)
    order = sorted(set(share), key=lambda text: -float(text.rstrip("%")))
    table = pd.crosstab(patients["label"], share).reindex(index=names, columns=order, fill_value=0)
    table.insert(0, "patients", table.sum(axis=1))
    return table.rename_axis(index="label", columns=None)
