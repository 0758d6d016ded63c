"""Class of resistance of one patient as seen by scans, under one rule or several side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pdmodel.response.best import first_response
from pdmodel.response.clauses import Course, clauses, treated
from pdmodel.response.irecist import immune_progression, immune_responses
from pdmodel.response.recist import overall_responses, series
from pdmodel.response.rule import CLASSES, RULES, ResistanceClass, Rule
from pdmodel.response.visits import Visits

RECIST_NAMES = {
    "iCR": "CR",
    "iPR": "PR",
    "iSD": "SD",
    "iUPD": "PD",
    "iCPD": "PD",
    "NON-iCR/NON-iUPD": "NON-CR/NON-PD",
}
"""What the responses of iRECIST are by RECIST 1.1."""


def resistance_class(
    day: ArrayLike,
    size_mm: ArrayLike,
    rule: Rule,
    exposure_day: float | None = None,
    cycle_day: float | None = None,
) -> tuple[ResistanceClass, str]:
    """Class of one observed series of sizes, and why, in words.

    Parameters
    ----------
    day, size_mm, rule
        As for `visit_responses`.
    exposure_day, cycle_day : float, optional
        As for `class_of`.
    """
    return class_of(series(day, size_mm), rule, exposure_day, cycle_day)


def class_of(
    visits: Visits,
    rule: Rule,
    exposure_day: float | None = None,
    cycle_day: float | None = None,
) -> tuple[ResistanceClass, str]:
    """Class of one patient, and why, in words (SITC 2020, 10.1136/jitc-2019-000398).

    Parameters
    ----------
    visits : Visits
        What was seen; visits that could not be evaluated say nothing.
    rule : Rule
        The thresholds.
    exposure_day : float, optional
        Day of the last dose; if unknown (or nan), treatment lasts to the last scan.
    cycle_day : float, optional
        Days that the last dose covers, by which exposure outlasts it; `Rule.cycle_day` if unknown.
    """
    course = _followed(visits, rule, exposure_day, cycle_day)
    _, label, reason = next(clause for clause in clauses(course, rule) if clause[0])
    return label, reason.format(rule=rule, **course._asdict())


def progression(visits: Visits, rule: Rule) -> tuple[float, float]:
    """First day of the progression that counts, and of one that is still open; inf if none."""
    if rule.criteria == "irecist":
        return immune_progression(visits, rule)
    wait = rule.confirm_after_day if rule.needs_confirmation else 0.0
    start = np.inf
    for k, code in zip(visits.later, overall_responses(visits, rule), strict=True):
        at = float(visits.day[k])
        if code == "PD":
            start = min(start, at)
            if at - start >= wait:
                return start, start
        elif code != "NE":
            start = np.inf
    return np.inf, start


def _followed(
    visits: Visits, rule: Rule, exposure_day: float | None, cycle_day: float | None
) -> Course:
    """Gather what the clauses ask."""
    if rule.criteria == "irecist":
        codes = [RECIST_NAMES.get(code, code) for code in immune_responses(visits, rule)]
    else:
        codes = overall_responses(visits, rule)
    seen = [(float(visits.day[k]), c) for k, c in zip(visits.later, codes, strict=True)]
    seen = [(at, code) for at, code in seen if code != "NE"]
    progressed, pending = progression(visits, rule)
    last = np.array(seen[-1][0] if seen else -np.inf)
    last_dose, exposure = treated(last, exposure_day, cycle_day, rule)
    base = visits.sums[visits.baseline]
    return Course(
        failed=np.array(False),
        baseline=np.array(np.inf if base is None else float(base)),
        first=np.array(seen[0][0] if seen else np.inf),
        last=last,
        last_dose=last_dose,
        exposure=exposure,
        progressed=np.array(progressed),
        pending=np.array(pending),
        responded=np.array(_responded(seen, progressed, rule)),
    )


def _responded(seen: Sequence[tuple[float, str]], progressed: float, rule: Rule) -> bool:
    """Whether there was a response before the progression that counts."""
    before = [(at, code) for at, code in seen if at < progressed]
    if not rule.response_needs_confirmation:
        return any(code in ("CR", "PR") for _, code in before)
    while before:  # after a progression that did not stand, a response may begin anew
        day, codes = zip(*before, strict=True)
        if np.isfinite(first_response(np.array(day), codes, rule).day):
            return True
        stop = next((k for k, code in enumerate(codes) if code == "PD"), len(codes))
        before = before[stop + 1 :]
    return False


class Robustness(NamedTuple):
    """How much a patient's label depends on the rule."""

    labels: dict[str, ResistanceClass]
    """By the name of the rule."""
    label: ResistanceClass
    """What most rules say; of equally many the first in `CLASSES`."""
    share: float
    """Of the rules that say so."""


def robustness(
    visits: Visits,
    rules: Mapping[str, Rule] = RULES,
    exposure_day: float | None = None,
    cycle_day: float | None = None,
) -> Robustness:
    """Compare the labels of one patient under several rules.

    Parameters
    ----------
    visits, exposure_day, cycle_day
        As for `class_of`.
    rules : mapping of str to Rule
        Rules by name; at least one.
    """
    if not rules:
        raise ValueError("There is no rule to compare; name at least one.")
    labels = {
        name: class_of(visits, rule, exposure_day, cycle_day)[0] for name, rule in rules.items()
    }
    label, share = agreeing(list(labels.values()))
    return Robustness(labels, label, share)


def agreeing(labels: Sequence[str]) -> tuple[ResistanceClass, float]:
    """Label that most of several rules give, and the share of the rules that give it.

    Examples
    --------
    >>> agreeing(["primary", "primary", "early_loss", "primary"])
    (<ResistanceClass.PRIMARY: 'primary'>, 0.75)
    """
    counts = Counter(map(str, labels))
    label = max(CLASSES, key=lambda one: counts[one])  # the first of equals
    return label, counts[label] / len(labels)
