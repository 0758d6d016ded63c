"""Who the patients of clinical tables are: arm, first treatment, and covariates (DM, ADSL, VS)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pdmodel.data.cells import words
from pdmodel.data.cohort import Note
from pdmodel.data.dates import spans
from pdmodel.data.domains import beside, read_domain, taken, with_columns
from pdmodel.data.identity import KEY
from pdmodel.data.source import Key
from pdmodel.data.table import Table, many, place, require_columns, rows_note

ARMS = ("ACTARM", "TRT01A", "ARM", "TRT01P")
"""Columns with the arm, the first that says something; the actual before the planned."""

STARTS = ("RFXSTDTC", "TRTSDT", "RFSTDTC")
"""Columns with the first treatment, or else the study's reference day."""

KEPT = {"AGE": "age", "SEX": "sex", "RACE": "race", "ETHNIC": "ethnic", "COUNTRY": "country"}
FEMALE = {"F": "1", "M": "0"}
RACES = {"asian": ("ASIAN",), "black": ("BLACK OR AFRICAN AMERICAN", "BLACK")}
UNSAID = ("", ".", "UNKNOWN", "NOT REPORTED", "OTHER", "MULTIPLE")
PEOPLE = {"tr": "dm", "adtr": "adsl"}
"""Tables of patients, by the table of sizes that they go with."""


def _people(main: Path, code: str) -> tuple[Table, Path] | None:
    path = beside(main, code, PEOPLE[code]) or beside(main, code, "dm")
    if path is None:
        return None
    table = read_domain(path)
    require_columns(table, ("USUBJID",))
    table = with_columns(table, "STUDYID", *STARTS, *ARMS, *KEPT)
    frame = table.frame
    frame = frame.assign(study=frame["STUDYID"].str.strip(), patient_id=frame["USUBJID"])
    return table._replace(frame=frame), path


def first_days(
    main: Path, code: str, by_dose: Mapping[Key, float]
) -> tuple[dict[Key, float], list[Note]]:
    """Find the day of each patient's first treatment, as `dates.span` counts.

    The date of first treatment in the table of patients comes first, then that of the first dose
    in `by_dose`, then the study's reference day.
    """
    zero: dict[Key, float] = dict(by_dose)
    found = _people(main, code)
    if found is None:
        return zero, []
    table, path = found
    notes = [taken(path.stem.split("_")[0].upper(), path, "arms, first treatment and covariates")]
    by_column = {}
    for column in STARTS:
        first, last, more = spans(table, column)
        notes += [note._replace(severity="warning") for note in more]
        by_column[column] = np.where(first == last, first, np.nan)
    keys = list(map(tuple, table.frame[KEY].to_numpy()))
    treated = np.where(np.isnan(by_column[STARTS[0]]), by_column[STARTS[1]], by_column[STARTS[0]])
    for key, day, reference in zip(keys, treated, by_column[STARTS[2]], strict=True):
        if not np.isnan(day):
            zero[key] = float(day)
        elif key not in zero and not np.isnan(reference):
            zero[key] = float(reference)
    late = np.array([
        not np.isnan(day) and key in by_dose and by_dose[key] != day
        for key, day in zip(keys, treated, strict=True)
    ], dtype=bool)  # fmt: skip
    what = "whose first treatment is on another day than the first dose in EX; the former is day 0"
    notes += rows_note("warning", "first-dose-date", table, table.frame[late], "RFXSTDTC", what)
    return zero, notes


def with_people(sizes: Table, main: Path, code: str) -> Table:
    """Add arm and covariates to a table of sizes."""
    frame, notes = sizes.frame, []
    found = _people(main, code)
    if found is not None:
        people = found[0].frame.drop_duplicates(KEY).set_index(KEY)
        people = _described(people)
        keys = pd.MultiIndex.from_frame(frame[KEY])
        columns = people.reindex(keys).fillna("")
        frame = frame.assign(**{str(name): columns[name].to_numpy() for name in people})
        lack = ~keys.isin(people.index)
        who = sizes._replace(frame=frame)
        what = "of patients that the table of patients lacks, without arm and covariates"
        notes += rows_note("warning", "no-person", who, frame[lack], "patient_id", what)
    weights, more = _weights(main, code)
    if weights:
        of = [weights.get(key, "") for key in map(tuple, frame[KEY].to_numpy())]
        frame = frame.assign(weight=of)
    return sizes._replace(frame=frame, notes=(*sizes.notes, *notes, *more))


def _described(people: pd.DataFrame) -> pd.DataFrame:
    """Bring the columns that are used into the words of the package."""
    arm = pd.Series("", people.index)
    for column in ARMS:
        arm = arm.where(arm != "", people[column].str.strip())
    race = words(people["RACE"])
    new = {"arm": arm, **{name: people[own].str.strip() for own, name in KEPT.items()}}
    new["female"] = words(people["SEX"]).map(FEMALE).fillna("")
    for name, spelled in RACES.items():
        known = race.isin(spelled).map({True: "1", False: "0"})
        new[name] = known.where(~race.isin(UNSAID), "")
    return pd.DataFrame(new)


def _weights(main: Path, code: str) -> tuple[dict[Key, str], list[Note]]:
    """Take body weights in kg from VS: at baseline where flagged, else the first."""
    path = beside(main, code, "vs")
    if path is None:
        return {}, []
    table = read_domain(path)
    require_columns(table, ("USUBJID", "VSTESTCD", "VSSTRESN"))
    table = with_columns(table, "STUDYID", "VSSTRESU", "VSBLFL", "VSLOBXFL", "VSDTC")
    frame = table.frame
    frame = frame[(words(frame["VSTESTCD"]) == "WEIGHT") & (words(frame["VSSTRESU"]) == "KG")]
    frame = frame[frame["VSSTRESN"].str.strip() != ""]
    flagged = (frame["VSBLFL"] == "Y") | (frame["VSLOBXFL"] == "Y")
    frame = frame.assign(
        study=frame["STUDYID"].str.strip(), patient_id=frame["USUBJID"], later=~flagged
    ).sort_values(["later", "VSDTC"], kind="stable")
    first = frame.drop_duplicates(KEY)
    found = dict(zip(map(tuple, first[KEY].to_numpy()), first["VSSTRESN"], strict=True))
    message = f"{place(str(path), column='VSSTRESN')}: weights of {many(len(found), 'patient')}."
    return found, [Note("info", "companion", message, file=str(path))]
