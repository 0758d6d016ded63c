"""RECIST 1.1 of one patient (10.1016/j.ejca.2008.10.026), sizes compared as decimal numbers.

23.31 mm is exactly 30 % below 33.3 mm, which binary numbers miss.
"""

from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pdmodel.response.courses import checked
from pdmodel.response.rule import RESPONSES, Rule
from pdmodel.response.visits import Visits, exact

NO_TARGET_STABLE = "NON-CR/NON-PD"
"""What stable disease is called where there are no target lesions."""


class Thresholds(NamedTuple):
    """The measures of a rule as decimals; sizes in mm."""

    gone: Decimal
    more: Decimal
    small: Decimal
    large: Decimal


def thresholds(rule: Rule) -> Thresholds:
    """Take the measures of a rule as they are written."""
    return Thresholds(
        exact(rule.disappeared_mm),
        exact(rule.progression_mm),
        1 + exact(rule.partial_response),
        1 + exact(rule.progression),
    )


def target_responses(visits: Visits, rule: Rule) -> list[str]:
    """Response of the target lesions at every visit after baseline.

    Each visit is judged by itself, PD before CR before PR, against the baseline and the smallest
    sum since then; but PR stays PR above 70 % of the baseline until PD (EORTC: 100, 70, 80 mm is
    PR, PR). Equality counts. Nodes are no disease below `Rule.node_mm`, so that CR needs no sum of
    0. A lesion that is gone at baseline cannot be CR.

    Parameters
    ----------
    visits : Visits
        What was seen; where a lesion is missing from a sum, the sum can show PD and nothing else.
    rule : Rule
        The thresholds.

    Returns
    -------
    list of str
        "CR", "PR", "SD", "PD" or "NE" for each of `Visits.later`; "" where there are no targets.
    """
    if not visits.has_targets:
        return [""] * len(visits.later)
    by, first = thresholds(rule), visits.sums[visits.baseline]
    if first is None or visits.partial[visits.baseline]:
        return ["NE"] * len(visits.later)
    base = nadir = max(first, by.gone)
    responded = completed = False
    codes = []
    for k in visits.later:
        if (seen := visits.sums[k]) is None:
            codes.append("NE")
            continue
        x = max(seen, by.gone)
        rest = seen - exact(visits.nodes_mm[k])  # of what is no node
        back = nadir == 0 or (rule.back_is_progression and completed and rest > by.gone)
        grown = x >= by.large * nadir and x - nadir >= by.more
        gone = rest <= by.gone < base and visits.largest_node_mm[k] < rule.node_mm
        if x > nadir and (grown or back):
            code = "PD"
        elif visits.partial[k]:
            codes.append("NE")
            continue
        elif gone:
            code = "CR"
        else:
            code = "PR" if responded or x <= by.small * base else "SD"
        codes.append(code)
        responded, completed = code in ("CR", "PR"), completed or code == "CR"
        nadir = nadir if visits.partial[k] else min(nadir, x)
    return codes


def overall_response(target: str, nontarget: str, *, new_lesion: bool) -> str:
    """Overall response at one visit (RECIST 1.1, Tables 1 and 2).

    Parameters
    ----------
    target : {"CR", "PR", "SD", "PD", "NE", ""}
        Response of the target lesions; "" where there are none, which is Table 2.
    nontarget : {"CR", "NON-CR/NON-PD", "PD", "NE", ""}
        Response of the non-target lesions; "" where there are none.
    new_lesion : bool
        Whether a new lesion is there.

    Examples
    --------
    >>> overall_response("CR", "NE", new_lesion=False)
    'PR'
    """
    if new_lesion or "PD" in (target, nontarget):
        return "PD"
    if not target:
        return nontarget or "NE"
    if target == "CR" and nontarget not in ("CR", ""):
        return "PR"
    return target


def overall_responses(visits: Visits, rule: Rule) -> list[str]:
    """Overall response at each of `Visits.later`, from targets, non-targets and new lesions."""
    targets = target_responses(visits, rule)
    words = visits.nontarget or ()
    return [
        overall_response(target, words[k], new_lesion=bool(visits.new_lesion[k]))
        for k, target in zip(visits.later, targets, strict=True)
    ]


def visit_responses(day: ArrayLike, size_mm: ArrayLike, rule: Rule) -> np.ndarray:
    """Response at every scan after baseline of a series of sizes, without anything else.

    Parameters
    ----------
    day, size_mm : array_like, shape (visits,)
        Days since the first dose, sorted, and sizes in mm; visits not assessed are left out.
    rule : Rule
        The thresholds.

    Returns
    -------
    ndarray of str, shape (visits after baseline,)
        "CR", "PR", "SD" or "PD", as `target_responses` gives them.
    """
    return np.array(target_responses(series(day, size_mm), rule), dtype="<U2")


def series(day: ArrayLike, size_mm: ArrayLike) -> Visits:
    """Take a series of sizes, none missing, as visits; ValueError if they cannot be used."""
    day, size = checked(day, np.ravel(size_mm))
    for at, x in zip(day, size, strict=True):
        if not 0 <= x < np.inf:
            raise ValueError(f"size_mm is {x} on day {at:g}. Give sizes >= 0; drop missing visits.")
    return Visits(day, size)


def best_response(codes: list[str] | np.ndarray) -> str:
    """Best of the `visit_responses`, unconfirmed ("CR", "PR", "SD", "PD"); "NE" without any."""
    return str(min(codes, key=RESPONSES.index, default="NE"))
