"""What was seen of one patient at each visit: sums of target lesions, other lesions, new ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pdmodel.response.courses import baseline_index

NONTARGET = ("", "CR", "NON-CR/NON-PD", "PD", "NE")
"""Responses of non-target lesions; "" where there are none."""


def exact(number: float) -> Decimal:
    """Take a number as it is written, to nine decimals: sums of decimals have noise beyond."""
    return Decimal(str(round(number, 9)))


@dataclass(frozen=True, eq=False)
class Visits:
    """Assessments of one patient, in order of time; only day and size are needed.

    Attributes
    ----------
    day : ndarray, shape (visits,)
        Days since the first dose, rising.
    size_mm : ndarray, shape (visits,)
        Sum of the diameters of the target lesions (short axes of nodes), with 5 mm for each that
        is too small to measure and 0 for each that is gone; nan where it could not be evaluated,
        and at every visit where there are no target lesions.
    partial : ndarray of bool, shape (visits,)
        Whether the sum misses a lesion, so that it can show PD and nothing else.
    nodes_mm, largest_node_mm : ndarray, shape (visits,)
        Part of the sum that is of nodes, and the largest short axis among them; 0 without nodes.
    nontarget : tuple of str
        Response of the non-target lesions at each visit, of `NONTARGET`.
    nontarget_grown : ndarray of bool, shape (visits,)
        Whether non-target lesions grew further since the last visit, unequivocally or not.
    new_lesion : ndarray of bool, shape (visits,)
        Whether new lesions are there.
    new_count, new_mm : ndarray, shape (visits,)
        How many new lesions there are, and the sum of the diameters of those that are measured.

    Raises
    ------
    ValueError
        If the columns do not match or hold impossible values; it says where.
    """

    day: Any
    size_mm: Any
    partial: Any = None
    nodes_mm: Any = None
    largest_node_mm: Any = None
    nontarget: Sequence[str] | None = None
    nontarget_grown: Any = None
    new_lesion: Any = None
    new_count: Any = None
    new_mm: Any = None
    sums: tuple[Decimal | None, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        day = np.atleast_1d(np.asarray(self.day, float))
        if day.ndim != 1 or not day.size or not np.isfinite(day).all() or (np.diff(day) < 0).any():
            raise ValueError(f"Days must be one or more numbers in rising order, but are {day}.")
        size = np.atleast_1d(np.asarray(self.size_mm))
        columns: dict[str, Any] = {"day": day, "size_mm": size}
        for name in ("partial", "nontarget_grown", "new_lesion"):
            columns[name] = _column(getattr(self, name), len(day), bool)
        for name in ("nodes_mm", "largest_node_mm", "new_count", "new_mm"):
            columns[name] = _column(getattr(self, name), len(day), float)
        columns["nontarget"] = tuple(self.nontarget or [""] * len(day))
        for name, values in columns.items():
            if len(values) != len(day):
                raise ValueError(f"There are {len(day)} days, but {len(values)} values of {name}.")
        columns["new_lesion"] = columns["new_lesion"] | (columns["new_count"] > 0)
        for name, values in columns.items():
            object.__setattr__(self, name, values)
        _check(self)
        sums = tuple(None if np.isnan(x) else exact(x) for x in size)
        object.__setattr__(self, "sums", sums)

    @cached_property
    def has_targets(self) -> bool:
        """Whether there are target lesions: a sum at any visit."""
        return any(x is not None for x in self.sums)

    @cached_property
    def baseline(self) -> int:
        """Position of the baseline: the last visit by day 0 with a whole sum, else the first."""
        whole = [k for k, x in enumerate(self.sums) if x is not None and not self.partial[k]]
        if not whole:
            return baseline_index(self.day)
        return max((k for k in whole if self.day[k] <= 0), default=whole[0])

    @property
    def later(self) -> range:
        """Positions of the visits after baseline."""
        return range(self.baseline + 1, len(self.day))

    def until(self, day: float) -> "Visits":
        """Keep what was seen by `day`."""
        keep = np.flatnonzero(self.day <= day)
        names = [name for name in self.__dataclass_fields__ if name != "sums"]
        return Visits(**{name: [getattr(self, name)[k] for k in keep] for name in names})


def _column(values: Any, count: int, kind: type) -> np.ndarray:
    return np.zeros(count, kind) if values is None else np.atleast_1d(np.asarray(values, kind))


def _check(visits: Visits) -> None:
    for at, x in zip(visits.day, visits.size_mm, strict=True):
        if not (0 <= x < np.inf or np.isnan(x)):
            raise ValueError(
                f"size_mm is {x} on day {at:g}. Give sizes >= 0, nan where not evaluable."
            )
    for name in ("nodes_mm", "largest_node_mm", "new_count", "new_mm"):
        for at, x in zip(visits.day, getattr(visits, name), strict=True):
            if not 0 <= x < np.inf:
                raise ValueError(f"{name} is {x} on day {at:g}. Give numbers >= 0.")
    for at, word in zip(visits.day, visits.nontarget or (), strict=True):
        if word not in NONTARGET:
            raise ValueError(
                f"nontarget is {word!r} on day {at:g}; write one of {list(NONTARGET)}."
            )


class Sums(NamedTuple):
    """Sums over target lesions at each visit, each of shape (visits,), as `Visits` takes them."""

    size_mm: np.ndarray
    partial: np.ndarray
    nodes_mm: np.ndarray
    largest_node_mm: np.ndarray


def sum_lesions(size_mm: ArrayLike, node: ArrayLike) -> Sums:
    """Sum the target lesions of each visit, exactly (RECIST 1.1, 10.1016/j.ejca.2008.10.026).

    Parameters
    ----------
    size_mm : array_like, shape (visits, lesions)
        Longest diameter of each lesion, short axis of a node; nan where not evaluated.
    node : array_like of bool, shape (lesions,)
        Which lesions are lymph nodes.

    Returns
    -------
    Sums
        The size is nan where no lesion was evaluated, and partial where some were not.

    Examples
    --------
    >>> sum_lesions([[10.1, 20.2], [5.0, float("nan")]], [False, True]).size_mm.tolist()
    [30.3, 5.0]
    """
    size, node = np.asarray(size_mm, float), np.asarray(node, bool)
    if size.ndim != 2 or node.shape != size.shape[1:]:
        raise ValueError(f"There are sizes of shape {size.shape}, but {node.size} lesions.")
    missing = np.isnan(size)
    whole = [float(sum(map(exact, row[~np.isnan(row)]))) for row in size]
    nodes = np.where(missing | ~node, 0.0, size)
    return Sums(
        size_mm=np.where(missing.all(1), np.nan, whole),
        partial=missing.any(1) & ~missing.all(1),
        nodes_mm=np.array([float(sum(map(exact, row), Decimal(0))) for row in nodes]),
        largest_node_mm=nodes.max(1, initial=0.0),
    )
