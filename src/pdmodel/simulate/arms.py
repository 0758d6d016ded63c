"""Arms of a simulated trial: treatment in words, and one model that can give all of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pdmodel.dosing import Schedule, parse_schedules
from pdmodel.drug import Drug
from pdmodel.errors import DoseError, ModelError, OptionError
from pdmodel.library import drug, labelled
from pdmodel.model import Model

NO_DRUG = ("", "none", "no drug")
"""What says that an arm is given nothing."""
CLOSE_VISITS, CLOSE_UNTIL, WIDE_VISITS = 42.0, 252.0, 63.0
"""Days: scans every 6 weeks for 36 weeks, then every 9 (OAK, doi:10.1016/S0140-6736(16)32517-X)."""
_THEN = re.compile(r"[\s,;]+then\s+", re.IGNORECASE)
_UNTIL = re.compile(
    r"[\s,;]*\buntil\s+(?:(\d+(?:\.\d+)?)\s*(?:d|days?)\s+beyond\s+)?progression\s*$", re.IGNORECASE
)


class Line(NamedTuple):
    """A line of treatment."""

    schedules: tuple[Schedule, ...]
    """Their days count from the beginning of the line."""
    beyond_day: float | None
    """Days from the scan that shows progression to the end of the line; None never ends it."""


class Arm(NamedTuple):
    """One arm: a line of treatment, or several, each from the progression under the one before."""

    name: str
    text: str
    """What is given, in the words of the caller."""
    lines: tuple[Line, ...]

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """Schedules of all lines."""
        return tuple(one for line in self.lines for one in line.schedules)

    @property
    def drugs(self) -> tuple[str, ...]:
        """Names of what is given, each once."""
        return tuple(dict.fromkeys(schedule.drug for schedule in self.schedules))

    @property
    def reacts(self) -> bool:
        """Whether what is given depends on what scans show."""
        return self.lines[0].beyond_day is not None


def read_arms(arms: Mapping[str, str] | Sequence[str], own: Sequence[Drug]) -> tuple[Arm, ...]:
    """Understand what each arm is given.

    Parameters
    ----------
    arms : mapping of str to str, or sequence of str
        Treatment in words, by name of the arm; a sequence names each arm by its words. A line of
        treatment is what `pdmodel.dosing.parse_schedules` reads ("A + B"), given to the end
        whatever scans show; "A until progression" ends with the scan that shows progression,
        "A until 84 d beyond progression" so many days after it, and "A then B" goes on with B from
        the end of A, whose progression it takes to be the one that ends it.
    own : sequence of Drug
        Drugs to be found before those of the library.

    Raises
    ------
    OptionError
        If there is no arm, or two have one name.
    ModelError
        If a drug is unknown.
    DoseError
        If the words cannot be read.
    """
    if isinstance(arms, str):
        raise OptionError(f"arms is the text {arms!r}; give a list of texts, or names and texts.")
    pairs = list(arms.items()) if isinstance(arms, Mapping) else [(text, text) for text in arms]
    names = [name.strip() for name, _ in pairs]
    if not names:
        raise OptionError("There is no arm to simulate; give one or more, as 'atezolizumab'.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionError(f"Arm {twice[0]!r} stands twice; give each its own name.")
    known = {one.name: one.labelled for one in own}
    read = []
    for name, (_, text) in zip(names, pairs, strict=True):
        try:
            read.append(Arm(name or "none", text.strip(), _lines(text, known)))
        except (DoseError, ModelError) as problem:
            raise type(problem)(f"Arm {name!r}: {problem}") from None
    return tuple(read)


def common_model(source: Model, arms: Iterable[Arm]) -> Model:
    """Give the source's mechanism and residual the drugs of all arms.

    Raises
    ------
    ModelError
        If the mechanism ignores what a drug does.
    """
    own = {one.name: one for one in source.drugs}
    wanted = dict.fromkeys(name for arm in arms for name in arm.drugs)
    drugs = tuple(own.get(name) or drug(name) for name in wanted)
    return Model(source.mechanism, drugs, source.residual)


def visit_days(visits: ArrayLike | None, until: float) -> np.ndarray:
    """Days of the scans: those asked for, else as in OAK up to a day; the first is baseline.

    Raises
    ------
    OptionError
        If there is no scan after baseline, or a day is not a number.
    """
    if visits is None:
        if not np.isfinite(until):
            raise OptionError(f"until is {until}; give a day.")
        close = np.arange(0.0, min(until, CLOSE_UNTIL) + 1e-9, CLOSE_VISITS)
        day = np.append(close, np.arange(CLOSE_UNTIL + WIDE_VISITS, until + 1e-9, WIDE_VISITS))
    else:
        day = np.unique(np.asarray(visits, float))
        if day.size and day[0] > 0:
            day = np.append(0.0, day)
    if not np.isfinite(day).all() or not (day > 0).any() or np.sum(day <= 0) > 1:
        raise OptionError(
            f"Visits are on days {day.tolist()}; give finite days, at most one of them on or "
            "before day 0 (baseline) and one or more after."
        )
    return day


def _lines(text: str, own: Mapping[str, tuple[str, ...]]) -> tuple[Line, ...]:
    """Read lines of treatment joined by "then"."""
    parts = _THEN.split(text.strip())
    lines = []
    for k, part in enumerate(parts):
        ends, beyond = _UNTIL.search(part), None
        if ends is not None:
            beyond, part = float(ends[1] or 0.0), part[: ends.start()]  # noqa: PLW2901
        elif k < len(parts) - 1:
            beyond = 0.0
        lines.append(Line(_schedules(part, own), beyond))
    return tuple(lines)


def _schedules(text: str, own: Mapping[str, tuple[str, ...]]) -> tuple[Schedule, ...]:
    if text.strip().lower() in NO_DRUG:
        return ()
    for part in text.split("+"):
        word = re.match(r"\s*([a-z][a-z0-9_-]*)(?=[\s,;]|$)", part.lower())
        if word and word[1] not in own:
            drug(word[1])  # says which drugs there are if it is none of them
    return parse_schedules(text, {**labelled(), **own})
