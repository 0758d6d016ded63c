"""What was given of one drug: each dose with its day, and when the body was emptied."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdmodel.errors import DoseError

COLUMNS = ("start", "amount", "duration", "interval")


@dataclass(frozen=True, eq=False)
class Regimen:
    """Doses of one drug, in order of time; equal to another if all of it is.

    On one day resets come first, then doses, then samples: a bolus on the day of a scan is in
    that scan whole.

    Attributes
    ----------
    start, amount, duration : (doses,) ndarray
        Day on which each begins, rising; its mg; how many days it lasts, 0 for a bolus. Read-only.
    interval : (doses,) ndarray
        Above 0: when this dose begins, the same has been given every so many days for ever; what
        is left of that is added to what is there. 0, the default: nothing came before.
    resets : (resets,) ndarray
        Days, rising, on which all that is in the body is removed and infusions are stopped,
        before any dose of that day. Doses that began earlier are of no effect from then on.

    Raises
    ------
    DoseError
        If a number is impossible; it says which dose, its day and value, and what to do.

    Examples
    --------
    >>> steady = Regimen([0, 21], [1200, 1200], [1 / 24, 1 / 24], [21, 0])
    >>> steady.total_mg, len(steady)
    (2400.0, 2)
    """

    start: NDArray[np.float64]
    amount: NDArray[np.float64]
    duration: NDArray[np.float64]
    interval: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    resets: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        columns = {name: _column(name, getattr(self, name)) for name in COLUMNS}
        if not len(columns["interval"]):
            columns["interval"] = np.zeros(len(columns["start"]))
        _check_doses(**columns)
        order = np.lexsort([*columns.values()][::-1])
        columns = {name: column[order] for name, column in columns.items()}
        for name, values in (*columns.items(), ("resets", _checked_resets(self.resets))):
            ordered = values + 0.0  # no negative zero
            ordered.flags.writeable = False
            object.__setattr__(self, name, ordered)

    @classmethod
    def none(cls) -> "Regimen":
        """Return a regimen without a dose."""
        return cls(np.zeros(0), np.zeros(0), np.zeros(0))

    def __len__(self) -> int:
        return len(self.start)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Regimen) and self.signature == other.signature

    def __hash__(self) -> int:
        return hash(self.signature)

    def __add__(self, other: "Regimen") -> "Regimen":
        """Merge two regimens of one drug; a reset of either removes the doses of both."""
        resets = np.concatenate([self.resets, other.resets])
        return Regimen(*np.hstack([self._columns, other._columns]), resets=resets)

    def until(self, day: float) -> "Regimen":
        """Drop doses that begin and resets that come after `day`; those of that day stay."""
        return Regimen(*self._columns[:, self.start <= day], resets=self.resets[self.resets <= day])

    def shifted(self, days: float) -> "Regimen":
        """Give every dose and reset `days` later (earlier if negative)."""
        return replace(self, start=self.start + days, resets=self.resets + days)

    @property
    def total_mg(self) -> float:
        """Sum of all doses, mg; without those that a steady-state dose stands for."""
        return float(self.amount.sum())

    @cached_property
    def signature(self) -> bytes:
        """All of its numbers as bytes, equal for equal regimens."""
        return len(self).to_bytes(8) + self._columns.tobytes() + self.resets.tobytes()

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Days on which the concentration jumps or bends, rising: starts, ends, resets."""
        steady = np.flatnonzero((self.interval > 0.0) & (self.duration > self.interval))
        running = [
            np.arange(self.duration[i] - self.interval[i], 0.0, -self.interval[i]) + self.start[i]
            for i in steady
        ]
        return np.unique(
            np.concatenate([self.start, self.start + self.duration, self.resets, *running])
        )

    @property
    def _columns(self) -> NDArray[np.float64]:
        return np.stack([self.start, self.amount, self.duration, self.interval])


def _column(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        column = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DoseError(f"Doses have a {name} that is not a number ({error}).") from None
    if column.ndim != 1:
        raise DoseError(
            f"Doses have a {name} of shape {column.shape}; give a list with one number a dose."
        )
    return column


def _check_doses(
    start: np.ndarray, amount: np.ndarray, duration: np.ndarray, interval: np.ndarray
) -> None:
    if not len(start) == len(amount) == len(duration):
        raise DoseError(
            f"Doses have {len(start)} starts, {len(amount)} amounts and {len(duration)} "
            "durations; give one of each for every dose."
        )
    if len(interval) != len(start):
        raise DoseError(
            f"{len(start)} doses have {len(interval)} intervals; give one for every dose, 0 where "
            "there is no steady state, or none at all."
        )
    for what, unit, column, lowest in (
        ("start", "day", start, -np.inf),
        ("amount", "mg", amount, 0.0),
        ("duration", "day", duration, 0.0),
        ("interval", "day", interval, 0.0),
    ):
        bad = np.flatnonzero(~(np.isfinite(column) & (column >= lowest)))
        if bad.size:
            first = bad[0]
            rule = "finite" if lowest < 0 else "finite and >= 0"
            raise DoseError(
                f"Dose {first + 1} of {len(start)} (day {start[first]:g}) has {what} "
                f"{column[first]:g} {unit}. It must be {rule}; correct or drop this dose."
            )


def _checked_resets(resets: ArrayLike) -> NDArray[np.float64]:
    days = np.asarray(resets, dtype=np.float64)
    if days.ndim != 1 or not np.isfinite(days).all():
        raise DoseError(f"Resets are on days {days}; give a list of finite days.")
    return np.unique(days)
