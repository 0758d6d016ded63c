"""What happened to each patient, and when: the numbers behind the swimmer and survival plots.

Target lesions alone are judged; a size too small to measure counts as 5 mm.
"""

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from pdmodel.data import Cohort, Patient
from pdmodel.residual import SMALLEST_MM
from pdmodel.response import (
    Rule,
    Visits,
    progression,
    progression_day,
    time_to_progression,
    visit_responses,
)

BAND = (0.05, 0.5, 0.95)


def swum(cohort: Cohort, rule: Rule) -> pd.DataFrame:
    """Give the bar of each patient, the longest first.

    Returns
    -------
    DataFrame
        Columns ``patient`` (key); ``start, end`` (days from the first dose: the first scan or day
        0, and the last scan or dose); ``response, progression`` (days of the first CR or PR, and
        of the progression that counts; nan if there was none); ``ongoing`` (scanned after the
        baseline, and no progression by the last scan).
    """
    rows = []
    for p in cohort:
        visits, codes = _judged(p, rule)
        at = progression(visits, rule)[0]
        day = visits.day[list(visits.later)]
        responses = day[np.isin(codes, ("CR", "PR")) & (day < at)]
        given = [one.start[-1] for one in p.regimens.values() if len(one)]
        rows.append({
            "patient": p.key, "start": p.start_day, "end": float(max(p.last_day, 0.0, *given)),
            "response": responses[0] if len(responses) else np.nan,
            "progression": at if np.isfinite(at) else np.nan,
            "ongoing": bool(len(day)) and not np.isfinite(at),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    return table.sort_values("end", ascending=False, kind="stable", ignore_index=True)


def responses(cohort: Cohort, rule: Rule) -> pd.DataFrame:
    """List the response at every scan of every patient.

    Returns
    -------
    DataFrame
        Columns ``patient`` (key), ``day``, ``response`` (as the rule names it; "" for scans up to
        the one that others are compared with) and ``counts``: whether it is the progression that
        counts under the rule, at the scan where it was first seen.
    """
    rows = []
    for p in cohort:
        visits, codes = _judged(p, rule)
        at = progression(visits, rule)[0]
        later = dict(zip(visits.day[list(visits.later)].tolist(), codes.tolist(), strict=True))
        rows += [(p.key, day, later.get(day, ""), day == at) for day in visits.day.tolist()]
    return pd.DataFrame(rows, columns=["patient", "day", "response", "counts"])


def doses_of(cohort: Cohort) -> pd.DataFrame:
    """List doses above 0 mg: ``patient`` (key), ``drug``, ``day``, by drug in order of names."""
    rows = [
        (p.key, name, float(day))
        for name in cohort.drugs
        for p in cohort
        for day in _given(p, name)
    ]
    return pd.DataFrame(rows, columns=["patient", "drug", "day"])


def observed_times(cohort: Cohort, rule: Rule) -> pd.DataFrame:
    """Time to progression of each patient, as `pdmodel.response` has it.

    Returns
    -------
    DataFrame
        Columns ``patient`` (key), ``days`` and ``event`` (else censored at the last scan).
        Patients without a scan after baseline are left out; their keys are in
        ``attrs["left_out"]``.
    """
    rows, left_out = [], []
    for p in cohort:
        visits, codes = _judged(p, rule)
        if not len(codes):
            left_out.append(p.key)
            continue
        at = progression(visits, rule)[0]
        day = visits.day[list(visits.later)]
        found = time_to_progression(day, codes.tolist(), rule, progressed=at)
        rows.append((p.key, found.days, found.event))
    table = pd.DataFrame(rows, columns=["patient", "days", "event"])
    table.attrs["left_out"] = left_out
    return table


def simulated_times(
    cohort: Cohort, replicates: xr.Dataset, rule: Rule
) -> tuple[np.ndarray, np.ndarray]:
    """Times to progression of replicated scans, made on the days of the real ones.

    Replicates are read in whole mm, and as 5 mm where too small; draws in which some course could
    not be solved are left out.

    Returns
    -------
    days, event : ndarray, shape (draws, patients with a scan after baseline)
        As in `observed_times`.
    """
    size = replicates["size_mm"].transpose("draw", "obs").to_numpy()
    size = np.maximum(np.round(size[np.isfinite(size).all(axis=1)]), SMALLEST_MM)
    ends = np.cumsum([len(p.day) for p in cohort])
    days, event = [], []
    for p, mine in zip(cohort, np.split(size, ends[:-1], axis=1), strict=True):
        visits = _judged(p, rule)[0]
        if not len(visits.later):
            continue
        at = progression_day(p.day, mine, rule)
        days.append(np.where(np.isfinite(at), at, max(p.last_day, 0.0)))
        event.append(np.isfinite(at))
    return np.stack(days, axis=1), np.stack(event, axis=1)


def free_of_progression(days: np.ndarray, event: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Kaplan-Meier estimate of the share without the event, shape of `at`."""
    data = stats.CensoredData(uncensored=days[event], right=days[~event])
    return stats.ecdf(data).sf.evaluate(at)


def survival_band(observed: pd.DataFrame, simulated: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """Set the observed share free of progression beside that of simulated cohorts.

    Parameters
    ----------
    observed : DataFrame
        As `observed_times` gives it.
    simulated : tuple of ndarray
        As `simulated_times` gives it.

    Returns
    -------
    DataFrame
        A row for each whole day up to the last one seen: ``day, at_risk, observed`` and ``low,
        middle, high``, 5, 50 and 95 % of the simulated cohorts; nan if there is none.
    """
    days, event = observed["days"].to_numpy(float), observed["event"].to_numpy(bool)
    at = np.arange(np.ceil(days.max()) + 1)
    shares = np.array([free_of_progression(*one, at) for one in zip(*simulated, strict=True)])
    shares = shares if len(shares) else np.full((1, len(at)), np.nan)
    low, middle, high = np.quantile(shares, BAND, axis=0)
    at_risk = (days[:, None] >= at).sum(axis=0)
    found = free_of_progression(days, event, at)
    bands = {"low": low, "middle": middle, "high": high}
    return pd.DataFrame({"day": at, "at_risk": at_risk, "observed": found} | bands)


def _judged(p: Patient, rule: Rule) -> tuple[Visits, np.ndarray]:
    """Scans as they are judged, and the response at each after the baseline."""
    size = np.where(p.censored, SMALLEST_MM, p.size_mm)
    return Visits(p.day, size), visit_responses(p.day, size, rule)


def _given(p: Patient, name: str) -> np.ndarray:
    doses = p.regimens.get(name)
    return np.zeros(0) if doses is None else doses.start[doses.amount > 0]
