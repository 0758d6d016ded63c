"""Pseudoprogression and hyperprogression of one patient, in the published definitions.

Growth before treatment needs a scan before the baseline; where it is missing, or growth before
treatment was none, the definitions that compare with it are refused, with the reason.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pdmodel.response.recist import overall_responses
from pdmodel.response.rule import SLACK, Rule
from pdmodel.response.visits import Visits, exact

MONTH_DAY = 365.25 / 12
"""Days of a month, in which the definitions count."""
LEAST_GAP_DAY = 14.0
"""Between the scan before the baseline and the baseline (Ferrara et al. 2018); less is too near."""


class Found(NamedTuple):
    """An answer of a definition: whether it is met, or None where that cannot be told, and why."""

    met: bool | None
    reason: str


class Growth(NamedTuple):
    """Sums of target lesions before treatment, at baseline and at the first assessment after it."""

    before: Decimal | None
    base: Decimal
    after: Decimal
    days_before: float
    """From the scan before the baseline to the baseline; nan without one."""
    days_after: float
    """From the baseline to the first assessment."""
    first_day: float
    """Day of the first assessment."""


def growth_rate(start_mm: float, end_mm: float, days: float) -> float:
    """Tumor growth rate (TGR), % of the volume a month.

    TG = 3 ln(D_t / D_0) / t with t in months, TGR = 100 (exp(TG) - 1), for the sum of diameters D
    (Champiat et al. 2017, 10.1158/1078-0432.CCR-16-1741).

    Parameters
    ----------
    start_mm, end_mm : float
        Sums of diameters, mm; the first above 0.
    days : float
        Between them.

    Examples
    --------
    >>> round(growth_rate(50, 55, 365.25 / 12), 6)  # 1.1 cubed
    33.1
    """
    if not (start_mm > 0 and end_mm >= 0 and days > 0):
        raise ValueError(
            f"No growth rate from {start_mm:g} mm to {end_mm:g} mm in {days:g} days: give a start "
            "above 0, an end of 0 or more, and days above 0."
        )
    if end_mm == 0:
        return -100.0
    growth = 3.0 * math.log(end_mm / start_mm) / (days / MONTH_DAY)
    return 100.0 * math.expm1(min(growth, 700.0))


def growth_kinetics(start_mm: float, end_mm: float, days: float) -> float:
    """Tumor growth kinetics (TGK), mm a day (Saâda-Bouzid et al. 2017, 10.1093/annonc/mdx178)."""
    if not days > 0:
        raise ValueError(f"No growth kinetics in {days:g} days; give days above 0.")
    return (end_mm - start_mm) / days


def growth_around(visits: Visits) -> Growth | str:
    """Find the three sums that growth is told from, or why they are not there."""
    whole = [k for k, x in enumerate(visits.sums) if x is not None and not visits.partial[k]]
    if not visits.has_targets or not whole:
        return "no target lesion was measured"
    first = visits.baseline
    base = visits.sums[first]
    later = [k for k in whole if k > first]
    if base is None or not base > 0:
        return "the baseline is 0 mm"
    if not later:
        return "no scan after baseline"
    day = visits.day
    earlier = [k for k in whole if k < first and day[first] - day[k] >= LEAST_GAP_DAY]
    after = visits.sums[later[0]] or Decimal(0)
    before = visits.sums[earlier[-1]] if earlier else None
    days_before = float(day[first] - day[earlier[-1]]) if earlier else math.nan
    days_after = float(day[later[0]] - day[first])
    return Growth(before, base, after, days_before, days_after, float(day[later[0]]))


def hyperprogression(
    visits: Visits, rule: Rule, definition: str, *, new_organs: int | None = None
) -> Found:
    """Whether a patient hyperprogressed by one of the published definitions.

    Parameters
    ----------
    visits : Visits
        What was seen, with scans before the baseline.
    rule : Rule
        For progression by RECIST 1.1.
    definition : str
        Of `HYPERPROGRESSION`.
    new_organs : int, optional
        In how many organs new lesions appeared at the first assessment, for ``matos2020``.

    Raises
    ------
    ValueError
        If there is no such definition.
    """
    if definition not in HYPERPROGRESSION:
        raise ValueError(
            f"There is no definition {definition!r}; known are {sorted(HYPERPROGRESSION)}."
        )
    seen = growth_around(visits)
    if isinstance(seen, str):
        return Found(None, seen)
    codes = overall_responses(visits, rule)
    days = [float(visits.day[k]) for k in visits.later]
    progressed = next((at for at, c in zip(days, codes, strict=True) if c == "PD"), np.inf)
    at_first = [k for k in visits.later if visits.day[k] <= seen.first_day]
    organs = new_organs if any(visits.new_lesion[k] for k in at_first) else 0
    return HYPERPROGRESSION[definition](seen, progressed, organs)


def champiat2017(seen: Growth, progressed: float, organs: int | None) -> Found:
    """PD at the first assessment, and TGR at least doubled (10.1158/1078-0432.CCR-16-1741)."""
    del organs
    if seen.before is None or not seen.before > 0:
        return _no_scan_before(seen)
    was, now = _rates(seen)
    if was <= 0:
        return Found(None, f"TGR before treatment was {was:.3g} % a month; it has no multiple")
    words = f"TGR {now:.3g} after {was:.3g} % a month, {_first(seen, progressed)}"
    return Found(progressed <= seen.first_day and now >= 2 * was * (1 - SLACK), words)


def saada_bouzid2017(seen: Growth, progressed: float, organs: int | None) -> Found:
    """TGK at least doubled, progression or not (10.1093/annonc/mdx178)."""
    del progressed, organs
    if seen.before is None:
        return _no_scan_before(seen)
    was, now = seen.base - seen.before, seen.after - seen.base
    if was <= 0:
        return Found(None, "TGK before treatment was not above 0 mm a day; it has no multiple")
    met = now * exact(seen.days_before) >= 2 * was * exact(seen.days_after)
    slopes = (float(now) / seen.days_after, float(was) / seen.days_before)
    return Found(met, "TGK {:.3g} after {:.3g} mm a day".format(*slopes))


def kato2017(seen: Growth, progressed: float, organs: int | None) -> Found:
    """Failure in under two months, burden up by more than 50 %, pace more than doubled.

    10.1158/1078-0432.CCR-16-3133. Failure is progression here, as no other reason to stop is
    seen; the pace is the change of the sum relative to the start of each period, a month.
    """
    del organs
    if seen.before is None or not seen.before > 0:
        return _no_scan_before(seen)
    was = (seen.base - seen.before) / seen.before / exact(seen.days_before)
    now = (seen.after - seen.base) / seen.base / exact(seen.days_after)
    if was <= 0:
        return Found(None, "the pace before treatment was not above 0 % a month; no multiple")
    burden = 100 * (seen.after / seen.base - 1)
    words = f"burden {burden:+.0f} %, pace {now / was:.3g} times, {_first(seen, progressed)}"
    fails = progressed < 2 * MONTH_DAY
    return Found(bool(fails and 2 * seen.after > 3 * seen.base and now > 2 * was), words)


def ferrara2018(seen: Growth, progressed: float, organs: int | None) -> Found:
    """PD at the first assessment, TGR up by over 50 % a month (10.1001/jamaoncol.2018.3676)."""
    del organs
    if seen.before is None or not seen.before > 0:
        return _no_scan_before(seen)
    was, now = _rates(seen)
    words = f"TGR {now - was:+.3g} % a month, {_first(seen, progressed)}"
    return Found(progressed <= seen.first_day and now - was > 50 * (1 + SLACK), words)


def matos2020(seen: Growth, progressed: float, organs: int | None) -> Found:
    """PD within eight weeks, 10 mm more, and 40 % more or 20 % and new lesions in two organs.

    10.1158/1078-0432.CCR-19-2226; the one definition that needs no scan before the baseline.
    Both shares are of the baseline.
    """
    more = seen.after - seen.base
    share = f"{float(100 * more / seen.base):+.3g} % and {float(more):+.3g} mm"
    words = f"{share}, {_first(seen, progressed)}"
    if progressed > 56 or seen.first_day > 56 or more < 10 or 5 * more < seen.base:
        return Found(False, words)
    if 5 * more >= 2 * seen.base:
        return Found(True, words)
    if organs is None:
        return Found(None, f"{words}; it is not known in how many organs new lesions are")
    return Found(organs >= 2, f"{words}, new lesions in {organs} organs")


type Definition = Callable[[Growth, float, int | None], Found]

HYPERPROGRESSION: Mapping[str, Definition] = MappingProxyType(
    {
        one.__name__: one
        for one in (champiat2017, saada_bouzid2017, kato2017, ferrara2018, matos2020)
    }
)
"""Definitions of hyperprogression by name."""


def _rates(seen: Growth) -> tuple[float, float]:
    """TGR before and after the baseline, % a month."""
    base = float(seen.base)
    was = growth_rate(float(seen.before or 0), base, seen.days_before)
    return was, growth_rate(base, float(seen.after), seen.days_after)


def _no_scan_before(seen: Growth) -> Found:
    if seen.before is None:
        return Found(None, f"no scan {LEAST_GAP_DAY:g} days or more before the baseline")
    return Found(None, "the scan before the baseline is 0 mm")


def _first(seen: Growth, progressed: float) -> str:
    return "PD at the first scan" if progressed <= seen.first_day else "no PD at the first scan"


def pseudoprogression(
    day: np.ndarray, codes: Sequence[str], after: tuple[str, ...] = ("CR", "PR", "SD")
) -> Found:
    """Whether a progression was followed by what is none.

    Studies differ: some ask for a response, most take stable disease as well (review:
    10.1148/radiol.2020200443).

    Parameters
    ----------
    day : ndarray, shape (visits after baseline,)
    codes : sequence of str
        Responses at these visits by RECIST 1.1.
    after : tuple of str
        Responses that undo a progression; ("CR", "PR") for the narrow definition.
    """
    first = next((k for k, code in enumerate(codes) if code == "PD"), None)
    if first is None:
        return Found(False, "no progression")
    if all(code == "NE" for code in codes[first + 1 :]):
        return Found(None, f"no scan after the progression on day {day[first]:g}")
    undone = next((k for k in range(first, len(codes)) if codes[k] in after), None)
    if undone is None:
        return Found(False, f"the progression on day {day[first]:g} stood")
    return Found(True, f"PD on day {day[first]:g}, {codes[undone]} on day {day[undone]:g}")
