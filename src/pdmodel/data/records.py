"""Doses in NONMEM's records: each patient's events, made into one regimen of each drug."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from pdmodel.data.cells import days
from pdmodel.data.cohort import Note
from pdmodel.data.doses import DOSES, LIKENESS, by_weight, odd_doses
from pdmodel.data.identity import KEY
from pdmodel.data.source import Choices, Doses, Key, OwnDoses, Weights
from pdmodel.data.table import (
    FILE,
    LINE,
    Table,
    capped,
    in_own_names,
    listed,
    meant,
    place,
    quoted,
    row_notes,
)
from pdmodel.dosing import Regimen
from pdmodel.errors import DoseError
from pdmodel.events import DOSE, OTHER, RESET, RESET_AND_DOSE, regimen_from_events

NUMBERS = ("EVID", "amount_mg", "RATE", "duration_day", "II", "ADDL", "SS")
"""Numbers of a record, AMT and DUR under the package's names; in mg and days."""

EVENTS = {"time": "day", "amount": "amount_mg", "rate": "RATE", "duration": "duration_day",
          "evid": "EVID", "addl": "ADDL", "interval": "II", "steady_state": "SS"}  # fmt: skip
"""Arguments of `regimen_from_events`, by their columns."""


def doses_from(table: Table, events: pd.DataFrame, choices: Choices) -> OwnDoses | None:
    """Make what turns dose records into regimens; None where there is no dose.

    Parameters
    ----------
    table : Table
        All records, under the package's names.
    events : DataFrame
        Their numbers (`NUMBERS`).
    choices : Choices
        With the drug, of all doses or by compartment.
    """
    if not np.isin(events["EVID"], (DOSE, RESET_AND_DOSE)).any():
        return None
    study = table.frame["study"].str.strip() if "study" in table.frame else ""
    frame = table.frame.assign(**{str(name): events[name] for name in events}, study=study)
    records = table._replace(frame=frame[~np.isin(events["EVID"], (0, OTHER))])

    def doses(_: frozenset[Key], drugs: Iterable[str] | None, weights: Weights) -> Doses:
        day, notes = days(records)
        frame = records.frame.assign(day=day)
        said = (records.frame["day"].str.strip() == "").to_numpy()
        notes += row_notes(
            "blank-day", frame[said].assign(day=""), "day",
            lambda _: "the time is missing; every dose and reset needs one.",
        )  # fmt: skip
        drug, more = _drugs(records, choices, drugs)
        notes += more
        weighed, more = by_weight(records._replace(scales={}), weights)
        notes += more
        factor = weighed.scales.get("amount_mg", 1.0)
        frame = frame.assign(
            drug=drug, amount_mg=frame["amount_mg"].astype(float) * factor,
            RATE=frame["RATE"].astype(float) * factor,
        )  # fmt: skip
        regimens = {}
        if not any(note.severity == "error" for note in notes):
            regimens, more = _regimens(frame)
            notes += more
        if not any(note.severity == "error" for note in notes):
            notes += odd_doses(DOSES.validate(_listed(frame)), table.file)
        return Doses(regimens, in_own_names(notes, table))

    return doses


def _drugs(
    records: Table, choices: Choices, known: Iterable[str] | None
) -> tuple[pd.Series, list[Note]]:
    """Name the drug of every dose: its column DRUG, or what was chosen for its compartment."""
    frame = records.frame
    is_dose = np.isin(frame["EVID"].to_numpy(dtype=float), (DOSE, RESET_AND_DOSE))
    named = frame["DRUG"].str.strip().str.lower() if "DRUG" in frame else ""
    drug = pd.Series(named, frame.index, dtype=str)
    at = frame["CMT"].str.strip() if "CMT" in frame else pd.Series("", frame.index)
    chosen = {place.strip(): name.strip().lower() for place, name in choices.drug.items()}
    every = chosen.get("", "")
    by_place = pd.Series([chosen.get(place, every) for place in at], frame.index, dtype=str)
    drug = drug.where(drug != "", by_place).where(is_dose, "")
    where = "CMT" if "CMT" in frame else "amount_mg"
    notes = row_notes(
        "no-drug",
        frame[is_dose & (drug == "").to_numpy()].astype({where: str}),
        where,
        lambda cell: (
            "it is not said of which drug this dose is; choose the drug (--drug NAME, or --drug "
            f"{cell if where == 'CMT' else 'CMT'}=NAME), add a column DRUG, or give a regimen in "
            "place of these doses."
        ),
    )
    if unused := sorted(set(chosen) - {""} - set(at)):
        message = (
            f"{place(records.file, column='CMT')}: no dose is in {listed(unused)}; there are "
            f"{listed(sorted(set(at[is_dose])), 9)}. Correct the drug chosen for it."
        )
        notes.append(Note("error", "no-compartment", message, 0, records.file, None, "CMT"))
    if known is not None:
        there = sorted(known)
        for name in sorted(set(drug) - {"", *there}):
            message = (
                f"{place(records.file)}: there is no drug {quoted(name)}; known are "
                f"{listed(there, 12)}.{meant(name, there, LIKENESS)}"
            )
            notes.append(Note("error", "unknown-drug", message, 0, records.file, value=name))
    return drug, notes


def _regimens(frame: pd.DataFrame) -> tuple[dict[Key, dict[str, Regimen]], list[Note]]:
    """Make a regimen of each drug and patient; a reset is one of every drug of the patient."""
    regimens: dict[Key, dict[str, Regimen]] = {}
    notes: list[Note] = []
    ordered = frame.sort_values([*KEY, "day"], kind="stable")
    for key, rows in ordered.groupby(KEY, sort=False):
        study, patient = map(str, key)
        resets = rows["EVID"].isin((RESET, RESET_AND_DOSE))
        for drug in sorted(set(rows["drug"]) - {""}):
            mine = rows["drug"] == drug
            some = rows[mine | resets].assign(EVID=rows["EVID"].where(mine, RESET))
            some.loc[~mine[some.index], ["amount_mg", "RATE", "duration_day", "ADDL", "SS"]] = 0.0
            try:
                made = regimen_from_events(**_arguments(some))
            except DoseError as error:
                notes.append(_where(some, error))
                continue
            regimens.setdefault((study, patient), {})[drug] = made
    return regimens, capped(notes)


def _arguments(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return {name: rows[column].to_numpy(dtype=float) for name, column in EVENTS.items()}


def _where(rows: pd.DataFrame, error: DoseError) -> Note:
    """Say in which line the record stands that cannot be."""
    found = rows.iloc[0]
    for k in range(len(rows)):
        try:
            regimen_from_events(**_arguments(rows.iloc[k : k + 1]))
        except DoseError:
            found = rows.iloc[k]
            break
    file, line, patient = str(found[FILE]), int(found[LINE]), str(found["patient_id"])
    message = f"{place(file, line)}: patient {quoted(patient)}: {error}"
    return Note("error", "bad-record", message, 1, file, line, "amount_mg", patient)


def _listed(frame: pd.DataFrame) -> pd.DataFrame:
    """List the doses as a table of doses has them, without those that stand for others."""
    rows = frame[frame["drug"] != ""]
    rate = rows["RATE"].to_numpy(dtype=float)
    lasts = np.where(
        rate > 0, rows["amount_mg"] / np.where(rate > 0, rate, 1.0), rows["duration_day"]
    )
    return pd.DataFrame({
        **{name: rows[name].astype(str) for name in (*KEY, "drug")},
        "day": rows["day"].astype(float), "amount_mg": rows["amount_mg"].astype(float),
        "duration_day": lasts.astype(float),
    })  # fmt: skip
