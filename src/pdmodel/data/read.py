"""From files to a cohort: every table is read, checked and turned into patients here."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from os import PathLike
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from pdmodel.data import laleh2022, long
from pdmodel.data.check import oddities, undosed
from pdmodel.data.cohort import SIZE_KINDS, Cohort, Note, Patient, ReadingLog, SizeKind
from pdmodel.data.doses import LIKENESS, read_doses
from pdmodel.data.identity import KEY, check_arms
from pdmodel.data.long import Scans, Source
from pdmodel.data.table import Severity, UnusableError, listed, meant, quoted, unusable
from pdmodel.dosing import Regimen, Schedule, parse_schedules, planned
from pdmodel.errors import DataError, DoseError

FORMATS: Mapping[str, Callable[[Path], Source]] = {"long": long.read, "laleh2022": laleh2022.read}
"""Layouts of tables of sizes, by name."""

NO_DRUG = "none"
"""Regimen in words of those who were given nothing."""

PROBLEMS_TOLD = 3
"""Problems that an error names; `check_tables` lists all."""

type Name = str | PathLike[str]
type Labelled = Mapping[str, tuple[str, ...]]


class Request(NamedTuple):
    """What is to be read, and how; the arguments of `read_cohort`."""

    sizes: Name
    doses: Name | None
    regimen: str | Mapping[str, str] | None
    format: str
    arms: Sequence[str]
    size_kind: SizeKind | None
    labelled: Labelled | None
    known_drugs: Iterable[str] | None


class Reading(NamedTuple):
    """What came of it."""

    patients: tuple[Patient, ...]
    size_kind: SizeKind
    log: ReadingLog


class Given(NamedTuple):
    """Doses of one patient."""

    regimens: Mapping[str, Regimen] = {}
    schedules: tuple[Schedule, ...] = ()


def read_cohort(
    sizes: Name,
    *,
    doses: Name | None = None,
    regimen: str | Mapping[str, str] | None = None,
    format: str = "long",  # noqa: A002
    arms: Sequence[str] = (),
    size_kind: SizeKind | None = None,
    labelled: Labelled | None = None,
    known_drugs: Iterable[str] | None = None,
) -> Cohort:
    """Read tumor sizes, and doses or a regimen, into a cohort.

    Parameters
    ----------
    sizes : path
        Table of sizes: CSV, TSV, Excel or Parquet, one row a measurement.
    doses : path, optional
        Table of doses, with the columns patient_id, drug, day, amount_mg and duration_day.
    regimen : str or mapping of str to str, optional
        In its place a regimen in words for everybody (``"atezolizumab 1200 mg q3w"``) or by arm;
        ``"none"`` is no drug. Doses are listed until the last scan of each patient.
    format : {"long", "laleh2022"}
        Layout of the table of sizes.
    arms : sequence of str
        Arms to keep; all if empty.
    size_kind : {"sld", "lesion"}, optional
        What the sizes measure; by default what the layout says.
    labelled : mapping of str to tuple of str, optional
        Labelled regimens of each drug in words, for a `regimen` that is only a name.
    known_drugs : iterable of str, optional
        Drugs that there are; any other is refused. None takes all.

    Returns
    -------
    Cohort
        Patients in the order of their keys; `Cohort.log` says what became of every row.

    Raises
    ------
    DataError
        If anything cannot be used: the first problems with file, line, column and value, and what
        to do about them. `check_tables` lists every one.
    """
    request = Request(sizes, doses, regimen, format, arms, size_kind, labelled, known_drugs)
    reading = _gather(request)
    errors = [note for note in reading.log.notes if note.severity == "error"]
    if errors:
        more = sum(max(note.rows, 1) for note in errors[PROBLEMS_TOLD:])
        rest = [f"... and {more} more; `pdmodel check` lists every problem."] if more else []
        raise DataError("\n".join([*(note.message for note in errors[:PROBLEMS_TOLD]), *rest]))
    return Cohort(reading.patients, reading.size_kind, reading.log)


def check_tables(
    sizes: Name,
    doses: Name | None = None,
    *,
    regimen: str | Mapping[str, str] | None = None,
    format: str = "long",  # noqa: A002
    arms: Sequence[str] = (),
    size_kind: SizeKind | None = None,
    labelled: Labelled | None = None,
    known_drugs: Iterable[str] | None = None,
) -> tuple[Note, ...]:
    """List every problem of the tables at once; the arguments are those of `read_cohort`.

    Returns
    -------
    tuple of Note
        Errors first, then warnings, then what was done to rows. `read_cohort` takes the tables
        if none is an error.
    """
    request = Request(sizes, doses, regimen, format, arms, size_kind, labelled, known_drugs)
    return _gather(request).log.notes


def _gather(request: Request) -> Reading:
    """Read everything; problems are notes."""
    file = str(request.sizes)
    try:
        source = _source(request)
    except UnusableError as error:
        return Reading((), "sld", ReadingLog(file, 0, 0, (error.note,)))
    scans = long.scans(source, request.arms)
    notes = list(scans.notes)
    given: dict[tuple[str, str], Given] = {}
    try:
        given, more = _given(request, source, scans)
        notes += more
    except UnusableError as error:
        notes.append(error.note)
    patients = _patients(scans, given)
    notes += oddities(scans, patients, file)
    failed = any(note.severity == "error" for note in notes)
    if not failed and (request.doses is not None or request.regimen is not None):
        nothing = {key for key, doses in given.items() if doses == Given()}
        notes += undosed([p for p in patients if (p.study, p.id) not in nothing], file)
    notes = sorted(notes, key=lambda note: get_args(Severity.__value__).index(note.severity))
    if not patients and not failed:
        notes = [unusable("no-patient", "no usable size is left.", file).note, *notes]
    log = ReadingLog(file, scans.rows_read, len(scans.frame), tuple(notes))
    return Reading(patients, request.size_kind or source.size_kind, log)


def _source(request: Request) -> Source:
    if request.format not in FORMATS:
        message = f"There is no format {quoted(request.format)}; there are {listed(FORMATS)}."
        raise unusable("format", message + meant(request.format, FORMATS))
    if request.size_kind not in (None, *SIZE_KINDS):
        message = f"There is no size_kind {quoted(request.size_kind)}; there are "
        raise unusable("size-kind", message + f"{listed(SIZE_KINDS)}.")
    if request.doses is not None and request.regimen is not None:
        raise unusable("doses-and-regimen", "Give a table of doses or a regimen, not both.")
    source = _in_layout(request.format, Path(request.sizes))
    if source.size_kind == "lesion" and request.size_kind == "sld":
        message = "the sizes are of single lesions, not sums; leave size_kind out."
        raise unusable("size-kind", message, str(request.sizes))
    return source


def _in_layout(layout: str, path: Path) -> Source:
    """Read a table of sizes; where that cannot be, say if another layout would do."""
    try:
        return FORMATS[layout](path)
    except UnusableError as error:
        others = [name for name in FORMATS if name != layout and _readable(name, path)]
        if not others:
            raise
        note = error.note
        hint = f" This is the layout {others[0]!r}; choose it as the format (--format)."
        raise UnusableError(note._replace(message=note.message + hint)) from None


def _readable(layout: str, path: Path) -> bool:
    try:
        FORMATS[layout](path)
    except UnusableError:
        return False
    return True


def _given(
    request: Request, source: Source, scans: Scans
) -> tuple[dict[tuple[str, str], Given], list[Note]]:
    """Find out what each patient was given."""
    if request.doses is not None:
        doses = read_doses(Path(request.doses), scans.patients, request.known_drugs)
        return {key: Given(regimens) for key, regimens in doses.regimens.items()}, list(doses.notes)
    if request.regimen is None:
        return {}, []
    by_arm, notes = _schedules(request, scans, source.table.file)
    notes += _against_publication(source, by_arm)
    last = scans.frame.groupby([*KEY, "arm"], as_index=False)["day"].max()
    given_until = cache(lambda arm, day: Given(planned(by_arm[arm], day), by_arm[arm]))
    given = {
        (study, patient): given_until(arm, day)
        for study, patient, arm, day in last.itertuples(index=False, name=None)
        if arm in by_arm
    }
    words = "; ".join(sorted({str(one) for schedules in by_arm.values() for one in schedules}))
    if not words:
        return given, notes
    message = (
        "The tables do not say when treatment stopped; dosing is taken to go on until the last "
        f"scan of each patient ({words})."
    )
    return given, [*notes, Note("info", "stop-unknown", message)]


def _schedules(
    request: Request, scans: Scans, file: str
) -> tuple[dict[str, tuple[Schedule, ...]], list[Note]]:
    """Understand the regimens in words, by arm."""
    arms = sorted(scans.frame["arm"].unique())
    regimen = request.regimen
    if isinstance(regimen, str):
        return dict.fromkeys(arms, _understood(regimen, request)), []
    texts = dict(regimen or {})
    parsed = {text: _understood(text, request) for text in dict.fromkeys(texts.values())}
    by_arm = {arm: parsed[text] for arm, text in texts.items() if arm in arms}
    return by_arm, check_arms(texts, scans.arms, file)


def _understood(text: str, request: Request) -> tuple[Schedule, ...]:
    """Understand one regimen in words; a drug that there is not is told before its dose."""
    if text.strip().lower() == NO_DRUG:
        return ()
    if request.known_drugs is not None:
        known = sorted(request.known_drugs)
        first = (re.match(r"\s*([a-z][\w-]*)", part.lower()) for part in text.split("+"))
        if strange := [word[1] for word in first if word and word[1] not in known]:
            message = f"There is no drug {quoted(strange[0])}; known are {listed(known, 12)}."
            raise unusable("unknown-drug", message + meant(strange[0], known, LIKENESS))
    try:
        return parse_schedules(text, labelled=request.labelled)
    except DoseError as error:
        raise unusable("regimen", str(error)) from None


def _against_publication(source: Source, by_arm: Mapping[str, tuple[Schedule, ...]]) -> list[Note]:
    """Warn where an arm is given another drug than its source says, or none."""
    notes = []
    for arm, schedules in by_arm.items():
        drugs = [schedule.drug for schedule in schedules]
        if (known := source.given.get(arm)) and known not in drugs:
            wrong = f"not {listed(drugs)}; leave it out" if drugs else "and counts as untreated"
            message = f"Arm {quoted(arm)} was given {known}, {wrong}."
            file = source.table.file
            notes.append(Note("warning", "other-drug", message, 0, file, None, "arm", "", arm))
    return notes


def _patients(scans: Scans, given: Mapping[tuple[str, str], Given]) -> tuple[Patient, ...]:
    """Cut the ordered sizes into patients."""
    frame = scans.frame
    if frame.empty:
        return ()
    keys = list(map(tuple, frame[KEY].to_numpy()))
    starts = [k for k, key in enumerate(keys) if k == 0 or key != keys[k - 1]]
    columns = [frame[name].to_numpy() for name in ("day", "size_mm", "censored")]
    parts = [np.split(column, starts[1:]) for column in columns]
    arms = frame["arm"].to_numpy()
    return tuple(
        Patient(
            id=keys[start][1],
            study=keys[start][0],
            arm=str(arms[start]),
            day=day,
            size_mm=size,
            censored=censored,
            regimens=given.get(keys[start], Given()).regimens,
            covariates=scans.covariates.get(keys[start], {}),
            schedules=given.get(keys[start], Given()).schedules,
        )
        for start, day, size, censored in zip(starts, *parts, strict=True)
    )
