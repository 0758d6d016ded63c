"""What each patient was given: by a table of doses, by the source itself, or in words."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from pdmodel.data.cohort import Note, SizeKind
from pdmodel.data.doses import LIKENESS, WEIGHT, read_doses
from pdmodel.data.identity import check_arms
from pdmodel.data.long import PERSON, Scans
from pdmodel.data.source import Key, Source, Weights
from pdmodel.data.table import listed, meant, quoted, unusable
from pdmodel.dosing import Regimen, Schedule, parse_schedules, planned
from pdmodel.errors import DoseError

NO_DRUG = "none"
"""Regimen in words of those who were given nothing."""

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
    units: Mapping[str, str] | None = None
    evaluator: str | None = None
    drug: str | Mapping[str, str] | None = None
    dv: str | None = None


class Given(NamedTuple):
    """Doses of one patient."""

    regimens: Mapping[str, Regimen] = {}
    schedules: tuple[Schedule, ...] = ()


def given_doses(
    request: Request, source: Source, scans: Scans, units: Mapping[str, str]
) -> tuple[dict[Key, Given], list[Note]]:
    """Find out what each patient was given, by study and id.

    Raises
    ------
    UnusableError
        If the table of doses as a whole, or a regimen, cannot be used.
    """
    if request.doses is not None:
        doses = read_doses(
            Path(request.doses), scans.patients, request.known_drugs, units=units,
            weights=_weights(scans),
        )  # fmt: skip
    elif request.regimen is not None:
        return _in_words(request, source, scans)
    elif source.doses is not None:
        doses = source.doses(scans.patients, request.known_drugs, _weights(scans))
    else:
        return {}, []
    return {key: Given(regimens) for key, regimens in doses.regimens.items()}, list(doses.notes)


def _weights(scans: Scans) -> Weights:
    """Body weights in kg, where the table of sizes has them."""
    known = ((key, traits.get(WEIGHT)) for key, traits in scans.covariates.items())
    return {key: weight for key, weight in known if isinstance(weight, float)}


def _in_words(
    request: Request, source: Source, scans: Scans
) -> tuple[dict[Key, Given], list[Note]]:
    by_arm, notes = _schedules(request, scans, source.table.file)
    notes += _against_publication(source, by_arm)
    last = scans.frame.groupby(["study", PERSON, "arm"], as_index=False)["day"].max()
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
