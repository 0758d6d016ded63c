"""What a layout comes to: a table of sizes in the long layout's words, and what came with it."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pdmodel.data.cohort import Assessment, Note, SizeKind
from pdmodel.data.table import Table
from pdmodel.dosing import Regimen

type Key = tuple[str, str]
"""Study and id of a patient."""

type Weights = Mapping[Key, float]
"""Body weights in kg."""


class Doses(NamedTuple):
    """What each patient was given, by study and id, then by drug."""

    regimens: Mapping[Key, Mapping[str, Regimen]]
    notes: tuple[Note, ...]


type OwnDoses = Callable[[frozenset[Key], Iterable[str] | None, Weights], Doses]
"""From the patients, the drugs that there are, and weights, to what the source says was given."""


class Choices(NamedTuple):
    """What a caller said about a source; each layout uses some of it."""

    units: Mapping[str, str] = {}
    """Declared units, by what they are of."""
    evaluator: str = ""
    """Whose readings to take."""
    drug: Mapping[str, str] = {}
    """Drug of the doses: by compartment, or of all (``""``)."""
    dv: str = ""
    """Which observations are sizes, as ``DVID=2``."""
    size_kind: SizeKind | None = None
    exposure: Path | None = None
    """A domain EX, where it is not beside the sizes."""


class Source(NamedTuple):
    """A table of sizes in the long layout's words, whatever layout it came in."""

    table: Table
    size_kind: SizeKind = "sld"
    same_day: Literal["refuse", "larger"] = "refuse"
    """What two sizes of one patient and day come to."""
    blank_day: Literal["refuse", "drop"] = "refuse"
    """What a size without a day comes to."""
    given: Mapping[str, str] = {}
    """Drug that each arm is known to have been given, where the source says so."""
    by_lesion: bool = False
    """Whether every lesion is a course of its own."""
    doses: OwnDoses | None = None
    """Doses that came with the sizes."""
    assessments: Mapping[Key, tuple[Assessment, ...]] = {}
    """What was judged at visits, beside the sizes."""
    by_visit: bool = False
    """Whether patients keep what was seen at every visit, also where that is no size."""
    bare: Mapping[Key, tuple[float, ...]] = {}
    """Days of visits without a size that the table of sizes does not hold."""
