"""What is planned to be given: schedules in words, and the doses that they come to."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from pdmodel.errors import DoseError
from pdmodel.regimen import Regimen
from pdmodel.units import HOURS_PER_DAY, MINUTES_PER_DAY

USUAL_DURATION_DAY = 1.0 / HOURS_PER_DAY
"""Infusions last 60 min where nothing else is said."""

FRACTION_DAY = 1.0 / HOURS_PER_DAY
"""A fraction of radiation stands as an hour; its length does not matter, only its Gy."""
IN_GRAY = "radiotherapy"

EXAMPLE = "'atezolizumab 1200 mg q3w', or 'ipilimumab 240 mg q3w x4 30 min from day 21'"


@dataclass(frozen=True)
class Schedule:
    """A regimen in words: one drug, one amount, again and again.

    Attributes
    ----------
    drug : str
        International nonproprietary name, lower case.
    amount_mg, interval_day, duration_day : float
        Each dose; from one start to the next; how long each lasts, 0 for a bolus.
    doses : int, optional
        How many; None goes on until told.
    start_day : float
        Day of the first dose.
    stop_day : float, optional
        No dose begins after it.
    pause : tuple of float, optional
        Days from and to which treatment is interrupted: doses due from the first on and before the
        second are left out, later ones keep their days.
    """

    drug: str
    amount_mg: float
    interval_day: float
    duration_day: float = USUAL_DURATION_DAY
    doses: int | None = None
    start_day: float = 0.0
    stop_day: float | None = None
    pause: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for what, good, rule in (
            ("amount_mg", 0 < self.amount_mg < np.inf, "> 0"),
            ("interval_day", 0 < self.interval_day < np.inf, "> 0"),
            ("duration_day", 0 <= self.duration_day < np.inf, ">= 0"),
            ("start_day", np.isfinite(self.start_day), "finite"),
            ("doses", self.doses is None or self.doses >= 1, ">= 1, or None to go on"),
            (
                "stop_day",
                self.stop_day is None or self.start_day <= self.stop_day < np.inf,
                "no earlier than the first dose",
            ),
            (
                "pause",
                self.pause is None or -np.inf < self.pause[0] < self.pause[1] < np.inf,
                "of two rising days",
            ),
        ):
            if not good:
                raise DoseError(
                    f"The schedule of {self.drug!r} has {what} {getattr(self, what)}; it must be "
                    f"{rule}. Write for example {EXAMPLE}."
                )

    def regimen(self, until_day: float) -> Regimen:
        """List the doses that begin no later than `until_day`."""
        if not np.isfinite(until_day):
            raise DoseError(f"Doses of {self.drug!r} are to go on until day {until_day}; say when.")
        fitting = max(int((until_day - self.start_day) / self.interval_day) + 2, 0)
        count = fitting if self.doses is None else min(fitting, self.doses)
        start = self.start_day + self.interval_day * np.arange(count, dtype=np.float64)
        if self.stop_day is not None:
            start = start[start <= self.stop_day]
        if self.pause is not None:
            start = start[(start < self.pause[0]) | (start >= self.pause[1])]
        same = np.ones(len(start))
        return Regimen(start, self.amount_mg * same, self.duration_day * same).until(until_day)

    def __str__(self) -> str:
        """Say it in the words that `parse_schedule` reads."""
        weeks, rest = divmod(self.interval_day, 7)
        every = f"q{self.interval_day:.15g}d" if rest else f"q{weeks:g}w"
        count = "" if self.doses is None else f" x{self.doses}"
        since = f" from day {self.start_day:.15g}" if self.start_day else ""
        length = f"{self.duration_day * MINUTES_PER_DAY:.15g} min"
        until = "" if self.stop_day is None else f" to day {self.stop_day:.15g}"
        gap = self.pause
        paused = "" if gap is None else f" pause day {gap[0]:.15g} to {gap[1]:.15g}"
        amount = f"{self.amount_mg:.15g} mg"
        if self.drug == IN_GRAY:
            amount, length = f"{self.amount_mg:.15g} gy", ""
        said = f"{self.drug} {amount} {every}{count} {length}{since}{until}{paused}"
        return " ".join(said.split())


def planned(schedules: Iterable[Schedule], until_day: float) -> dict[str, Regimen]:
    """List the doses of several schedules by drug; two schedules of one drug are merged."""
    regimens: dict[str, Regimen] = {}
    for schedule in schedules:
        before = regimens.get(schedule.drug, Regimen.none())
        regimens[schedule.drug] = before + schedule.regimen(until_day)
    return regimens


_NUMBER = r"(\d+(?:\.\d+)?)"
_CLAUSES = {
    name: re.compile(pattern + r"(?=[\s,;]|$)")
    for name, pattern in (
        ("amount", rf"{_NUMBER}\s*(mg|gy|g)"),
        ("interval", rf"(?:q\s*|every\s+){_NUMBER}\s*(w|d|weeks?|days?)"),
        ("doses", r"[x×]\s*(\d+)"),
        ("infusion", rf"{_NUMBER}\s*(min|minutes?|h|hours?)"),
        ("start", rf"from\s+day\s+(-?{_NUMBER})"),
        ("stop", rf"to\s+day\s+(-?{_NUMBER})"),
        ("pause", rf"pause\s+(?:from\s+)?day\s+{_NUMBER}\s+to\s+(?:day\s+)?{_NUMBER}"),
    )
}
_BY_BODY = re.compile(rf"{_NUMBER}\s*(mg|g|ug|µg|mcg)\s*(/|per)\s*(kg|m2|m²)")


def parse_schedules(
    text: str,
    labelled: Mapping[str, tuple[str, ...]] | None = None,
    duration_day: float = USUAL_DURATION_DAY,
) -> tuple[Schedule, ...]:
    """Read one schedule, or several joined by ``+``; see `parse_schedule`.

    Examples
    --------
    >>> [str(s) for s in parse_schedules("nivolumab 240 mg q2w + ipilimumab 80 mg q6w 30 min")]
    ['nivolumab 240 mg q2w 60 min', 'ipilimumab 80 mg q6w 30 min']
    """
    return tuple(parse_schedule(part, labelled, duration_day) for part in text.split("+"))


def parse_schedule(
    text: str,
    labelled: Mapping[str, tuple[str, ...]] | None = None,
    duration_day: float = USUAL_DURATION_DAY,
) -> Schedule:
    """Read a schedule in words.

    Parameters
    ----------
    text : str
        Drug, dose and interval; then, in any order, the number of doses (``x4``), the length of
        each infusion (``30 min``, ``1 h``), the first day (``from day 21``), the day after which no
        dose begins (``to day 364``) and an interruption (``pause day 63 to 105``).
    labelled : mapping of str to tuple of str, optional
        Labelled regimens by drug, the usual one first; it stands in where `text` has neither dose
        nor interval. Without it such a text is refused.
    duration_day : float
        Length of an infusion where neither says one, days.

    Examples
    --------
    >>> parse_schedule("atezolizumab 1200 mg every 3 weeks x4").regimen(100).start
    array([ 0., 21., 42., 63.])
    """
    name = re.match(r"\s*([a-z][a-z0-9_-]*)(?=[\s,;]|$)", text.lower())
    if name is None or _CLAUSES["interval"].match(name[1]):
        raise DoseError(f"{text.strip()!r} names no drug first; write for example {EXAMPLE}.")
    drug = name[1]
    said = _clauses(text.lower()[name.end() :], text)
    if not said.keys() & {"amount", "interval"}:
        said = _usual(drug, text, labelled) | said
    for clause, ask in (("amount", "dose ('1200 mg')"), ("interval", "interval ('q3w')")):
        if clause not in said:
            raise DoseError(f"{text.strip()!r} has no {ask}; write for example {EXAMPLE}.")
    count = said.get("doses")
    return Schedule(
        drug=drug,
        amount_mg=said["amount"],
        interval_day=said["interval"],
        duration_day=said.get("infusion", duration_day),
        doses=None if count is None else int(count),
        start_day=said.get("start", 0.0),
        stop_day=said.get("stop"),
        pause=said.get("pause"),
    )


def _clauses(rest: str, text: str) -> dict[str, Any]:
    """Read the clauses behind the drug, each at most once, until nothing is left."""
    said: dict[str, Any] = {}
    while rest := rest.lstrip(" \t\n,;"):
        if found := _BY_BODY.match(rest):
            raise DoseError(
                f"{found[0]!r} in {text.strip()!r} is a dose by body size, and no patient's weight "
                "is used yet; write it in mg (3 mg/kg is 240 mg at 80 kg)."
            )
        matches = ((name, pattern.match(rest)) for name, pattern in _CLAUSES.items())
        name, found = next((pair for pair in matches if pair[1]), ("", None))
        if found is None:
            known = f" (understood: {', '.join(said)})" if said else ""
            raise DoseError(
                f"Cannot read {rest.strip()!r} in {text.strip()!r}{known}; write for example "
                f"{EXAMPLE}."
            )
        if name in said:
            raise DoseError(
                f"{text.strip()!r} says its {name} twice, the second time as {found[0]!r}; leave "
                "one, or join two schedules with '+'."
            )
        said[name] = _quantity(name, found)
        if name == "amount" and found[2] == "gy":
            if "infusion" in said:
                raise DoseError(f"{text.strip()!r} gives a fraction a length; leave it out.")
            said["infusion"] = FRACTION_DAY
        rest = rest[found.end() :]
    return said


def _quantity(name: str, found: re.Match[str]) -> float | tuple[float, float]:
    """Give what a clause says in mg, days or number."""
    if name in ("doses", "start", "stop"):
        return float(found[1])
    if name == "pause":
        return float(found[1]), float(found[2])
    if name == "interval":
        return float(found[1]) * (7.0 if found[2].startswith("w") else 1.0)
    if name == "amount":
        return float(found[1]) * (1000.0 if found[2] == "g" else 1.0)
    return float(found[1]) / (MINUTES_PER_DAY if found[2].startswith("m") else HOURS_PER_DAY)


def _usual(drug: str, text: str, labelled: Mapping[str, tuple[str, ...]] | None) -> dict[str, Any]:
    """Read the first labelled regimen of a drug that came without dose and interval."""
    if labelled and drug in labelled:
        return _clauses(labelled[drug][0], labelled[drug][0])
    close = get_close_matches(drug, labelled or (), n=1) or sorted(labelled or ())
    known = f" Known by its label is {' or '.join(map(repr, close))}." if close else ""
    raise DoseError(
        f"{text.strip()!r} has neither dose nor interval; write for example {EXAMPLE}.{known}"
    )
