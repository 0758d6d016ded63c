"""Patients and cohorts: what was seen in, and given to, whom; frozen once read."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from pdmodel.dosing import Regimen, Schedule, planned
from pdmodel.errors import DataError

SizeKind = Literal["sld", "lesion"]
"""Sum of the longest diameters of the target lesions, or one lesion's longest diameter."""

SIZE_KINDS: Mapping[SizeKind, str] = {
    "sld": "sum of longest diameters of the target lesions",
    "lesion": "longest diameter of one target lesion",
}


class Assessment(NamedTuple):
    """What was judged at one visit, in the words of the source; "" where nothing was said."""

    day: float
    overall: str = ""
    target: str = ""
    nontarget: str = ""
    new_lesion: str = ""


class Targets(NamedTuple):
    """What was seen of the target lesions at one visit, whether it makes a whole sum or not."""

    day: float
    size_mm: float
    """Sum as it stands: 0 if all are gone, 5 for each too small; nan if nothing was evaluable."""
    partial: bool = False
    """Whether a target was not evaluable or has no row, so that the sum is of the others."""
    nodes_mm: float = 0.0
    largest_node_mm: float = 0.0


@dataclass(frozen=True)
class Patient:
    """What was seen in, and given to, one person.

    Attributes
    ----------
    id, study, arm : str
        Text, always; study and arm may be empty.
    day : ndarray
        Days of the scans from the first dose (day 0), rising; shape (scans,).
    size_mm : ndarray
        Sizes in mm, or the limit where `censored`; shape (scans,).
    censored : ndarray of bool
        Whether the size is only known to be at or below `size_mm`; shape (scans,).
    regimens : mapping of str to Regimen
        What was given, by drug; where `schedules` are known, their doses up to the last scan.
    covariates : mapping of str to float or str
        Whatever else came with the table.
    schedules : tuple of Schedule
        Regimens in words that `regimens` was made from, so that dosing can be taken further than
        the last scan; empty where every dose came from a table.
    lesion : str
        The lesion that the sizes are of, where each lesion is a course of its own; its id then
        ends in ``:`` and the lesion.
    assessments : tuple of Assessment
        What was judged at visits beside the sizes, in order of days; no model uses it.
    targets : tuple of Targets
        What was seen of the target lesions of clinical tables at every visit, in order of days:
        also where that is no size for a model. Not stored with a run.
    """

    id: str
    study: str
    arm: str
    day: np.ndarray
    size_mm: np.ndarray
    censored: np.ndarray
    regimens: Mapping[str, Regimen] = field(default_factory=dict)
    covariates: Mapping[str, float | str] = field(default_factory=dict)
    schedules: tuple[Schedule, ...] = ()
    lesion: str = ""
    assessments: tuple[Assessment, ...] = ()
    targets: tuple[Targets, ...] = ()

    @property
    def person(self) -> str:
        """Id of the person, whose lesions may be several courses."""
        return self.id.removesuffix(f":{self.lesion}") if self.lesion else self.id

    @property
    def key(self) -> str:
        """Study and id together: what tells this patient from all others in a cohort."""
        return f"{self.study}/{self.id}" if self.study else self.id

    @property
    def last_day(self) -> float:
        """Day of the last scan."""
        return float(self.day[-1])

    @property
    def start_day(self) -> float:
        """Day at which the model's course begins: the first scan, or day 0 if that is earlier."""
        return float(min(self.day[0], 0.0))

    def known_by(self, day: float) -> "Patient":
        """Return the same patient with only what was known by `day`: scans, and doses given."""
        keep = self.day <= day
        return replace(
            self,
            day=self.day[keep],
            size_mm=self.size_mm[keep],
            censored=self.censored[keep],
            regimens={name: given.until(day) for name, given in self.regimens.items()},
            assessments=tuple(one for one in self.assessments if one.day <= day),
            targets=tuple(one for one in self.targets if one.day <= day),
        )

    def treated_until(self, day: float) -> Mapping[str, Regimen]:
        """Give the doses up to `day`: those of the table, or its schedules taken further.

        Where doses came from a table, none is added after the last.
        """
        return planned(self.schedules, day) if self.schedules else self.regimens


class Note(NamedTuple):
    """One thing that was found, or done to rows, while reading."""

    severity: Literal["error", "warning", "info"]
    code: str
    """Short stable word, e.g. ``not-evaluable``."""
    message: str
    """What, where, and what to do, in a sentence or two."""
    rows: int = 0
    """How many rows it concerns."""
    file: str = ""
    line: int | None = None
    column: str = ""
    patient: str = ""
    value: str = ""


class CovariateNote(NamedTuple):
    """One covariate of a table: what it holds, and of how many patients it says nothing."""

    name: str
    kind: Literal["number", "text"]
    known: int
    missing: int
    span: str
    """Lowest and highest number, or the first words."""

    def __str__(self) -> str:
        of = self.known + self.missing
        return f"{self.name} ({self.kind}: {self.span}; missing in {self.missing} of {of})"


@dataclass(frozen=True)
class ReadingLog:
    """What reading did to the rows of a table, so that none is lost silently."""

    source: str
    rows_read: int
    rows_kept: int
    notes: tuple[Note, ...] = ()
    covariates: tuple[CovariateNote, ...] = ()

    @property
    def rows_dropped(self) -> int:
        """Rows that no patient carries."""
        return self.rows_read - self.rows_kept

    def lines(self) -> list[str]:
        """Say it in words, a line each."""
        head = f"{self.source}: {self.rows_read} rows read, {self.rows_kept} kept"
        about = [f"  covariate: {one}." for one in self.covariates]
        return [head, *about, *(f"  {note.severity}: {note.message}" for note in self.notes)]


@dataclass(frozen=True)
class Cohort:
    """Patients side by side.

    Attributes
    ----------
    patients : tuple of Patient
        In the order of their keys, whatever the order of the table.
    size_kind : {"sld", "lesion"}
        What the sizes measure; results repeat it.
    log : ReadingLog
        How the table was read.
    simulated : bool
        Whether the patients were made by a computer.
    """

    patients: tuple[Patient, ...]
    size_kind: SizeKind = "sld"
    log: ReadingLog = field(default_factory=lambda: ReadingLog("memory", 0, 0))
    simulated: bool = False

    def __post_init__(self) -> None:
        if not self.patients:
            raise DataError("The cohort has no patient left; check the filters and the table.")
        ordered = tuple(sorted(self.patients, key=lambda patient: patient.key))
        object.__setattr__(self, "patients", ordered)
        counts = Counter(self.keys)
        if twice := [key for key, count in counts.items() if count > 1]:
            raise DataError(
                f"Patient {twice[0]!r} appears twice in one cohort; give the studies names "
                "(column 'study') or the patients different ids."
            )

    def __len__(self) -> int:
        return len(self.patients)

    def __iter__(self) -> Iterator[Patient]:
        return iter(self.patients)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Keys of the patients, in order."""
        return tuple(patient.key for patient in self.patients)

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that occur, sorted."""
        return tuple(sorted({patient.arm for patient in self.patients}))

    @property
    def drugs(self) -> tuple[str, ...]:
        """Drugs that somebody was given, sorted."""
        return tuple(sorted({name for patient in self.patients for name in patient.regimens}))

    @property
    def scans(self) -> int:
        """Number of scans in all patients together."""
        return sum(len(patient.day) for patient in self.patients)

    def __getitem__(self, name: str) -> Patient:
        """Find a patient by key, or by id where that is unique; DataError says what there is."""
        found = [p for p in self.patients if p.key == name] or [
            p for p in self.patients if p.id == name
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"Patient id {name!r} occurs in studies {[p.study for p in found]}; "
                f"write one of {[p.key for p in found]}."
            )
        shown = ", ".join(self.keys[:5]) + (", ..." if len(self) > 5 else "")
        alike = [p.key for p in self if p.id.strip().casefold() == name.strip().casefold()]
        hint = f"did you mean {alike[0]!r}?" if alike else "write the id as it is in the table."
        raise DataError(f"There is no patient {name!r} among the {len(self)} ({shown}); {hint}")

    def subset(self, names: tuple[str, ...]) -> "Cohort":
        """Keep the named patients."""
        return replace(self, patients=tuple(self[name] for name in names))

    def of_arms(self, arms: tuple[str, ...]) -> "Cohort":
        """Keep the patients of the named arms; DataError lists the arms if one is unknown."""
        if unknown := sorted(set(arms) - set(self.arms)):
            raise DataError(f"There is no arm {unknown[0]!r}; the table has {list(self.arms)}.")
        return replace(self, patients=tuple(p for p in self.patients if p.arm in arms))
