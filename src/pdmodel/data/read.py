"""From files to a cohort: every table is read, checked and turned into patients here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from pdmodel.data import adam, laleh2022, long, nonmem, sdtm
from pdmodel.data.check import oddities, undosed
from pdmodel.data.cohort import SIZE_KINDS, Cohort, Note, Patient, ReadingLog, SizeKind
from pdmodel.data.exposure import is_exposure
from pdmodel.data.given import Given, Labelled, Name, Request, given_doses
from pdmodel.data.identity import KEY
from pdmodel.data.long import PERSON, Scans
from pdmodel.data.quantities import checked_units
from pdmodel.data.source import Choices, Key, Source
from pdmodel.data.table import (
    Severity,
    UnusableError,
    in_own_names,
    listed,
    meant,
    quoted,
    unusable,
)
from pdmodel.errors import DataError

FORMATS: Mapping[str, Callable[[Path, Choices], Source]] = {
    "long": long.read,
    "laleh2022": laleh2022.read,
    "nonmem": nonmem.read,
    "sdtm": sdtm.read,
    "adam": adam.read,
}
"""Layouts of tables of sizes, by name."""

USES = {
    "units": ("long", "nonmem"),
    "evaluator": ("sdtm", "adam"),
    "drug": ("nonmem",),
    "dv": ("nonmem",),
}
"""Choices, and the layouts that know them; units also serve a table of doses."""

PROBLEMS_TOLD = 3
"""Problems that an error names; `check_tables` lists all."""


class Reading(NamedTuple):
    """What came of it."""

    patients: tuple[Patient, ...]
    size_kind: SizeKind
    log: ReadingLog


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
    units: Mapping[str, str] | None = None,
    evaluator: str | None = None,
    drug: str | Mapping[str, str] | None = None,
    dv: str | None = None,
) -> Cohort:
    """Read tumor sizes, and doses or a regimen, into a cohort.

    Parameters
    ----------
    sizes : path
        Table of sizes: CSV, TSV, Excel, Parquet or SAS transport, one row a measurement. In the
        layouts ``sdtm`` and ``adam`` also the folder that holds the tables.
    doses : path, optional
        Table of doses, with the columns patient_id, drug, day, amount_mg and duration_day, or
        in the layouts ``sdtm`` and ``adam`` a domain EX.
    regimen : str or mapping of str to str, optional
        In its place a regimen in words for everybody (``"atezolizumab 1200 mg q3w"``) or by arm;
        ``"none"`` is no drug. Doses are listed until the last scan of each patient.
    format : {"long", "laleh2022", "nonmem", "sdtm", "adam"}
        Layout of the table of sizes.
    arms : sequence of str
        Arms to keep; all if empty.
    size_kind : {"sld", "lesion"}, optional
        What the sizes measure; by default what the layout says. Of a table with lesions, ``"sld"``
        sums those of each visit, ``"lesion"`` makes each a course of its own.
    labelled : mapping of str to tuple of str, optional
        Labelled regimens of each drug in words, for a `regimen` that is only a name.
    known_drugs : iterable of str, optional
        Drugs that there are; any other is refused. None takes all.
    units : mapping of str to str, optional
        Units of columns whose names do not say them: ``size`` (mm, cm), ``time`` (day, week,
        month, hour), ``duration`` (also min) and ``amount`` (mg, g, mg/kg).
    evaluator : str, optional
        Whose readings to take from ``sdtm`` or ``adam``: ``"INVESTIGATOR"`` where there are any,
        or another that the table names, or ``"accepted"`` for those that are flagged so.
    drug : str or mapping of str to str, optional
        Drug of the doses in ``nonmem``: one name, or one for each compartment (CMT).
    dv : str, optional
        Which observations of ``nonmem`` are sizes, such as ``"DVID=2"``.

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
    request = Request(
        sizes, doses, regimen, format, arms, size_kind, labelled, known_drugs, units, evaluator,
        drug, dv,
    )  # fmt: skip
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
    units: Mapping[str, str] | None = None,
    evaluator: str | None = None,
    drug: str | Mapping[str, str] | None = None,
    dv: str | None = None,
) -> tuple[Note, ...]:
    """List every problem of the tables at once; the arguments are those of `read_cohort`.

    Returns
    -------
    tuple of Note
        Errors first, then warnings, then what was done to rows. `read_cohort` takes the tables
        if none is an error.
    """
    request = Request(
        sizes, doses, regimen, format, arms, size_kind, labelled, known_drugs, units, evaluator,
        drug, dv,
    )  # fmt: skip
    log = _gather(request).log
    about = (Note("info", "covariate", f"covariate {one}.", 0, log.source, column=one.name)
             for one in log.covariates)  # fmt: skip
    return (*log.notes, *about)


def _gather(request: Request) -> Reading:
    """Read everything; problems are notes."""
    file = str(request.sizes)
    try:
        units = checked_units(request.units)
        request, source = _source(request, units)
    except UnusableError as error:
        return Reading((), "sld", ReadingLog(file, 0, 0, (error.note,)))
    scans = long.scans(source, request.arms)
    notes = list(scans.notes)
    given: dict[Key, Given] = {}
    try:
        given, more = given_doses(request, source, scans, units)
        notes += more
    except UnusableError as error:
        notes.append(error.note)
    patients = _patients(scans, given, source)
    notes += oddities(scans, patients, file)
    failed = any(note.severity == "error" for note in notes)
    ways = (request.doses, request.regimen, source.doses)
    if not failed and any(way is not None for way in ways):
        nothing = {key for key, doses in given.items() if doses == Given()}
        notes += undosed([p for p in patients if (p.study, p.person) not in nothing], file)
    if not patients and not failed:
        notes = [unusable("no-patient", "no usable size is left.", file).note, *notes]
    order = get_args(Severity.__value__)
    notes = in_own_names(notes, source.table)
    told = tuple(sorted(notes, key=lambda note: order.index(note.severity)))
    log = ReadingLog(file, scans.rows_read, len(scans.frame), told, scans.about)
    return Reading(patients, request.size_kind or source.size_kind, log)


def _source(request: Request, units: Mapping[str, str]) -> tuple[Request, Source]:
    """Read the table of sizes; of doses in its own layout, the source takes care."""
    if request.format not in FORMATS:
        message = f"There is no format {quoted(request.format)}; there are {listed(FORMATS, 5)}."
        raise unusable("format", message + meant(request.format, FORMATS))
    if request.size_kind not in (None, *SIZE_KINDS):
        message = f"There is no size_kind {quoted(request.size_kind)}; there are "
        raise unusable("size-kind", message + f"{listed(SIZE_KINDS)}.")
    if request.doses is not None and request.regimen is not None:
        raise unusable("doses-and-regimen", "Give a table of doses or a regimen, not both.")
    _used(request)
    drug = request.drug or {}
    choices = Choices(
        units, request.evaluator or "", {"": drug} if isinstance(drug, str) else drug,
        request.dv or "", request.size_kind,
    )  # fmt: skip
    own = request.doses is not None and request.format in USES["evaluator"]
    if own and is_exposure(Path(str(request.doses))):
        choices = choices._replace(exposure=Path(str(request.doses)))
        request = request._replace(doses=None)
    source = _in_layout(request.format, Path(request.sizes), choices)
    if source.size_kind == "lesion" and request.size_kind == "sld":
        message = "the sizes are of single lesions, not sums; leave size_kind out."
        raise unusable("size-kind", message, str(request.sizes))
    return request, source


def _used(request: Request) -> None:
    """Refuse a choice that the layout does not know."""
    for name, formats in USES.items():
        asked = getattr(request, name)
        spare = name == "units" and request.doses is not None
        if asked and request.format not in formats and not spare:
            message = (
                f"Format {quoted(request.format)} has no use for {name} {quoted(asked)}, which is "
                f"for {listed(formats)}; leave it out."
            )
            raise unusable("unused-choice", message)


def _in_layout(layout: str, path: Path, choices: Choices) -> Source:
    """Read a table of sizes; where that cannot be, say if another layout would do."""
    try:
        return FORMATS[layout](path, choices)
    except UnusableError as error:
        others = [name for name in FORMATS if name != layout and _readable(name, path)]
        if not others:
            raise
        note = error.note
        hint = f" This is the layout {others[0]!r}; choose it as the format (--format)."
        raise UnusableError(note._replace(message=note.message + hint)) from None


def _readable(layout: str, path: Path) -> bool:
    try:
        FORMATS[layout](path, Choices())
    except UnusableError:
        return False
    return True


def _patients(scans: Scans, given: Mapping[Key, Given], source: Source) -> tuple[Patient, ...]:
    """Cut the ordered sizes into patients."""
    frame = scans.frame
    if frame.empty:
        return ()
    starts = np.flatnonzero((frame[KEY] != frame[KEY].shift()).any(axis=1))
    firsts = frame.iloc[starts][[*KEY, PERSON, "arm", "lesion_id"]].to_numpy()
    columns = [frame[name].to_numpy() for name in ("day", "size_mm", "censored")]
    parts = [np.split(column, starts[1:]) for column in columns]
    patients = []
    for first, day, size, censored in zip(firsts, *parts, strict=True):
        study, name, person, arm, lesion = map(str, first)
        doses = given.get((study, person), Given())
        patients.append(
            Patient(
                id=name,
                study=study,
                arm=arm,
                day=day,
                size_mm=size,
                censored=censored,
                regimens=doses.regimens,
                covariates=scans.covariates.get((study, person), {}),
                schedules=doses.schedules,
                lesion=lesion,
                assessments=source.assessments.get((study, person), ()),
                targets=scans.targets.get((study, name), ()),
            )
        )
    return tuple(patients)
