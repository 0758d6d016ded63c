"""iRECIST of one patient: progression that a later visit must confirm.

Seymour et al. 2017, Table 2 (10.1016/S1470-2045(17)30074-8). Progression by RECIST 1.1 is iUPD. The
next visits confirm it (iCPD), leave it as it is (iUPD), or reset the bar (iSD, iPR, iCR), after
which a new iUPD must be met again.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from pdmodel.response.recist import overall_response, target_responses
from pdmodel.response.rule import Rule
from pdmodel.response.visits import Visits, exact


class Open(NamedTuple):
    """An iUPD that waits for confirmation: what it was seen by, and what must be exceeded."""

    day: float
    target: Decimal | None
    """Sum of the target lesions, mm; None where they were not the reason."""
    nontarget: bool
    new: bool
    new_count: float
    new_mm: float


def immune_responses(visits: Visits, rule: Rule) -> list[str]:
    """Overall response by iRECIST at every visit after baseline.

    An iUPD is confirmed, no sooner than `Rule.confirm_after_day`, in one of three ways in the kind
    of lesion that it was seen in (growth since then adds up over visits), or by progression in
    another kind:

    - target lesions: `Rule.further_mm` more than at the iUPD;
    - non-target lesions: any further growth;
    - new lesions: `Rule.further_mm` more, or another one.

    Without a confirmation it stays iUPD as long as the visit is a progression by RECIST, and the
    bar is reset by a visit that is none. A visit that cannot be evaluated changes nothing, and
    after iCPD every visit is iCPD.

    Parameters
    ----------
    visits : Visits
    rule : Rule

    Returns
    -------
    list of str
        "iCR", "iPR", "iSD", "iUPD", "iCPD", "NE", or "NON-iCR/NON-iUPD" where there are no
        target lesions, for each of `Visits.later`.
    """
    words, codes = visits.nontarget or (), []
    waiting: Open | None = None
    confirmed = False
    for k, target in zip(visits.later, target_responses(visits, rule), strict=True):
        overall = overall_response(target, words[k], new_lesion=bool(visits.new_lesion[k]))
        if not confirmed and waiting is not None:
            confirmed = visits.day[k] - waiting.day >= rule.confirm_after_day and _worse(
                visits, k, target, waiting, exact(rule.further_mm)
            )
        if confirmed:
            codes.append("iCPD")
        elif overall == "PD":
            waiting = waiting or _opened(visits, k, target)
            codes.append("iUPD")
        else:
            waiting = waiting if overall == "NE" else None
            codes.append(_named(overall))
    return codes


def immune_progression(visits: Visits, rule: Rule) -> tuple[float, float]:
    """Day of the iUPD that was confirmed, and of the one that waits at the last visit, else inf.

    The date of progression is that of the iUPD that iCPD confirms, without a reset between.
    """
    start = np.inf
    for k, code in zip(visits.later, immune_responses(visits, rule), strict=True):
        if code == "iCPD":
            return start, start
        if code == "iUPD":
            start = min(start, float(visits.day[k]))
        elif code != "NE":
            start = np.inf
    return np.inf, start


def immune_best(codes: Sequence[str]) -> str:
    """Best of the `immune_responses` before iCPD; else iCPD, iUPD that was never undone, or NE.

    Examples
    --------
    >>> immune_best(["iUPD", "iPR", "iUPD", "iCPD"]), immune_best(["iUPD", "iCPD"])
    ('iPR', 'iCPD')
    """
    for code in ("iCR", "iPR", "iSD", "NON-iCR/NON-iUPD", "iCPD", "iUPD"):
        if code in codes:
            return code
    return "NE"


def _opened(visits: Visits, k: int, target: str) -> Open:
    return Open(
        day=float(visits.day[k]),
        target=visits.sums[k] if target == "PD" else None,
        nontarget=(visits.nontarget or ())[k] == "PD",
        new=bool(visits.new_lesion[k]),
        new_count=float(visits.new_count[k]),
        new_mm=float(visits.new_mm[k]),
    )


def _worse(visits: Visits, k: int, target: str, was: Open, further: Decimal) -> bool:
    """Whether a visit confirms an iUPD, in its own kind of lesion or in another."""
    now = visits.sums[k]
    if was.target is None:
        by_target = target == "PD"
    else:
        by_target = now is not None and now - was.target >= further
    if was.nontarget:
        by_nontarget = bool(visits.nontarget_grown[k])
    else:
        by_nontarget = (visits.nontarget or ())[k] == "PD"
    if was.new:
        grown = exact(visits.new_mm[k]) - exact(was.new_mm) >= further
        by_new = bool(visits.new_count[k] > was.new_count or (was.new_mm > 0 and grown))
    else:
        by_new = bool(visits.new_lesion[k])
    return by_target or by_nontarget or by_new


def _named(overall: str) -> str:
    """Name a RECIST response that is no progression as iRECIST does."""
    if overall == "NON-CR/NON-PD":
        return "NON-iCR/NON-iUPD"
    return overall if overall == "NE" else f"i{overall}"
