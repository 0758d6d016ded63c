"""Progression-free survival, time to progression and duration of response of one patient.

An event counts on the day on which it was seen. It is censored at the last adequate assessment
where too many assessments before it were missed, or another therapy was begun before it (FDA,
Clinical Trial Endpoints for the Approval of Cancer Drugs and Biologics, 2018, Appendix).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pdmodel.response.best import first_response
from pdmodel.response.rule import Rule


class Time(NamedTuple):
    """A time to an event in days, without the one that SAS programs add."""

    days: float
    event: bool
    reason: str
    """What happened, or why it was censored, in words."""


def progression_free_survival(
    day: np.ndarray,
    codes: Sequence[str],
    rule: Rule,
    *,
    death_day: float | None = None,
    new_therapy_day: float | None = None,
    progressed: float | None = None,
) -> Time:
    """Days from the first dose to progression or death, whatever comes first.

    Parameters
    ----------
    day : ndarray, shape (visits after baseline,)
        Days since the first dose, rising.
    codes : sequence of str
        Overall responses at these visits; "NE" is a missed assessment.
    rule : Rule
        `missed_allowed` and `visit_interval_day` say when too many assessments were missed.
    death_day, new_therapy_day : float, optional
        Day of death, and of the first dose of another therapy.
    progressed : float, optional
        Day of the progression where another than the first "PD" counts (iRECIST), inf for none.
    """
    seen = _first_pd(day, codes) if progressed is None else progressed
    died = np.inf if death_day is None else float(death_day)
    return _time(day, codes, rule, _Ends(seen, died, new_therapy_day), 0.0)


def time_to_progression(
    day: np.ndarray,
    codes: Sequence[str],
    rule: Rule,
    *,
    death_day: float | None = None,
    new_therapy_day: float | None = None,
    progressed: float | None = None,
) -> Time:
    """Days from the first dose to progression; death is censored at the last adequate assessment.

    Arguments are those of `progression_free_survival`.
    """
    seen = _first_pd(day, codes) if progressed is None else progressed
    died = np.inf if death_day is None else float(death_day)
    switched = np.inf if new_therapy_day is None else float(new_therapy_day)
    if died < seen and died <= switched:
        last = _adequate(day, codes, died)
        return Time(last, event=False, reason=f"died on day {died:g} without progression")
    return _time(day, codes, rule, _Ends(seen, np.inf, new_therapy_day), 0.0)


def duration_of_response(
    day: np.ndarray,
    codes: Sequence[str],
    rule: Rule,
    *,
    confirmed: bool = True,
    death_day: float | None = None,
    new_therapy_day: float | None = None,
) -> Time | None:
    """Days from the first CR or PR to progression or death; None without a response.

    Parameters
    ----------
    day, codes, rule, death_day, new_therapy_day
        As for `progression_free_survival`.
    confirmed : bool
        Whether the response must be confirmed; it begins on its own day all the same.
    """
    progressed = _first_pd(day, codes)
    if confirmed:
        start = first_response(day, codes, rule).day
    else:
        early = (at for at, code in zip(day, codes, strict=True) if code in ("CR", "PR"))
        start = next((float(at) for at in early if at < progressed), np.inf)
    if not np.isfinite(start):
        return None
    died = np.inf if death_day is None else float(death_day)
    return _time(day, codes, rule, _Ends(progressed, died, new_therapy_day), start)


class _Ends(NamedTuple):
    progressed: float
    died: float
    new_therapy: float | None


def _time(day: np.ndarray, codes: Sequence[str], rule: Rule, ends: _Ends, start: float) -> Time:
    """Days from `start` to the first event, or to where it is censored."""
    at, what = ends.died, "death"
    if ends.progressed <= ends.died:
        at, what = ends.progressed, "progression"
    switched = np.inf if ends.new_therapy is None else float(ends.new_therapy)
    if switched < at:
        last = _adequate(day, codes, switched)
        reason = f"another therapy from day {switched:g}"
        return Time(max(last - start, 0.0), event=False, reason=reason)
    if np.isinf(at):
        last = _adequate(day, codes, np.inf)
        reason = "no adequate assessment" if last == 0 else "no event"
        return Time(max(last - start, 0.0), event=False, reason=reason)
    last, missed = _missed_before(day, codes, at, rule)
    if missed > rule.missed_allowed:
        reason = f"{what} on day {at:g} after {missed} missed assessments"
        return Time(max(last - start, 0.0), event=False, reason=reason)
    return Time(at - start, event=True, reason=what)


def _first_pd(day: np.ndarray, codes: Sequence[str]) -> float:
    return next((float(at) for at, code in zip(day, codes, strict=True) if code == "PD"), np.inf)


def _adequate(day: np.ndarray, codes: Sequence[str], until: float) -> float:
    """Day of the last assessment by `until` that could be evaluated; 0, the start, if none."""
    seen = [float(at) for at, code in zip(day, codes, strict=True) if code != "NE" and at <= until]
    return max([0.0, *seen])


def _missed_before(
    day: np.ndarray, codes: Sequence[str], event: float, rule: Rule
) -> tuple[float, int]:
    """Last adequate assessment before an event, and how many in a row were missed since then.

    Missed are the visits that could not be evaluated, or, where visits have a planned interval,
    as many as fit into the gap rounded to whole intervals, if these are more.
    """
    before = [(float(at), code) for at, code in zip(day, codes, strict=True) if at < event]
    last = max([0.0, *(at for at, code in before if code != "NE")])
    missed = sum(at > last for at, _ in before)
    if rule.visit_interval_day is not None:
        missed = max(missed, math.floor((event - last) / rule.visit_interval_day + 0.5) - 1)
    return last, missed
