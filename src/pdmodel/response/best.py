"""Best overall response of one patient, unconfirmed and confirmed (RECIST 1.1, Table 3).

10.1016/j.ejca.2008.10.026. What comes after the first progression never counts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pdmodel.response.rule import Rule

STABLE = ("SD", "NON-CR/NON-PD")
RANKED = ("CR", "PR", *STABLE, "PD", "NE")
"""Responses from the best to the worst."""


def up_to_progression(day: np.ndarray, codes: Sequence[str]) -> list[tuple[float, str]]:
    """Pair days with responses, up to and with the first PD.

    Parameters
    ----------
    day : ndarray, shape (visits after baseline,)
    codes : sequence of str
        Overall responses.
    """
    pairs = list(zip(map(float, day), codes, strict=True))
    stop = next((k for k, (_, code) in enumerate(pairs) if code == "PD"), len(pairs))
    return pairs[: stop + 1]


def best_overall(day: np.ndarray, codes: Sequence[str], rule: Rule) -> str:
    """Best overall response without confirmation.

    Parameters
    ----------
    day : ndarray, shape (visits after baseline,)
        Days since the first dose.
    codes : sequence of str
        Overall responses at these visits.
    rule : Rule
        Stable disease counts from its `stable_after_day` on; before that it is not evaluable,
        unless a progression follows.

    Returns
    -------
    str
        "CR", "PR", "SD", "NON-CR/NON-PD", "PD" or "NE".

    Examples
    --------
    >>> from pdmodel.response import RULES
    >>> best_overall(np.array([28.0, 70.0]), ["SD", "NE"], RULES["sitc2020"])
    'NE'
    """
    counted = [
        code
        for at, code in up_to_progression(day, codes)
        if code not in STABLE or at >= rule.stable_after_day
    ]
    return min(counted, key=RANKED.index, default="NE")


class Response(NamedTuple):
    """The first response that counts, as days since the first dose; inf where there is none."""

    day: float
    confirmed_on: float


def first_response(
    day: np.ndarray, codes: Sequence[str], rule: Rule, among: tuple[str, ...] = ("CR", "PR")
) -> Response:
    """First response that a later one confirms, without a progression between them.

    Between them may be other responses, stable disease (EORTC), and as many missing assessments in
    a row as the rule allows.

    Parameters
    ----------
    day, codes, rule
        As for `best_overall`.
    among : tuple of str
        Responses that count, both first and as a confirmation: ("CR",) for a complete one.
    """
    pairs = up_to_progression(day, codes)
    for first, (at, code) in enumerate(pairs):
        if code not in among:
            continue
        missed = 0
        for later, then in pairs[first + 1 :]:
            if then in among and later - at >= rule.response_confirm_after_day:
                return Response(at, later)
            missed = missed + 1 if then == "NE" else 0
            if (
                missed > rule.missed_allowed
                or then == "PD"
                or (among == ("CR",) and then in STABLE)
            ):
                break
    return Response(np.inf, np.inf)


def best_confirmed(day: np.ndarray, codes: Sequence[str], rule: Rule) -> str:
    """Best overall response where CR and PR need a confirmation (RECIST 1.1, Table 3).

    A response that is not confirmed is stable disease if it was seen at `Rule.stable_after_day` or
    later; else the progression that follows it, else not evaluable. CR that only a PR confirms is
    PR. Arguments and result are those of `best_overall`.
    """
    for among in (("CR",), ("CR", "PR")):
        if np.isfinite(first_response(day, codes, rule, among).day):
            return among[-1]
    weaker = ["SD" if code in ("CR", "PR") else code for code in codes]
    if "NON-CR/NON-PD" in codes:
        weaker = ["NON-CR/NON-PD" if code == "SD" else code for code in weaker]
    return best_overall(day, weaker, rule)
