"""Who a row belongs to: patient, study and arm."""

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from pdmodel.data.cohort import Note
from pdmodel.data.table import (
    FILE,
    LINE,
    Table,
    capped,
    listed,
    many,
    meant,
    place,
    quoted,
    row_notes,
)

KEY = ["study", "patient_id"]
"""A patient is study and id, exactly as they are written."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


def check_ids(table: Table) -> list[Note]:
    """Refuse ids that are blank or hold line breaks; warn of ids that are nearly the same."""
    frame = table.frame
    ids = frame["patient_id"]
    blank = row_notes(
        "blank-id",
        frame[ids.str.strip() == ""],
        "patient_id",
        lambda _: "the id is blank; every row needs the id of its patient.",
    )
    broken = row_notes(
        "broken-id",
        frame[ids.isin([one for one in ids.unique() if _CONTROL.search(one)])],
        "patient_id",
        lambda cell: f"{quoted(cell)} holds a line break or another control character; remove it.",
    )
    return [*blank, *broken, *_twins(frame)]


def shared_ids(table: Table) -> list[Note]:
    """Say that an id of two studies is two patients."""
    patients = table.frame.drop_duplicates(KEY)
    shared = patients[patients["patient_id"].duplicated()]["patient_id"].unique()
    if not len(shared):
        return []
    message = (
        f"{place(table.file, column='study')}: {many(len(shared), 'id')} in more than one study, "
        "taken for different patients."
    )
    return [Note("info", "id-in-two-studies", message, 0, table.file, column="study")]


def one_arm_each(frame: pd.DataFrame) -> tuple[pd.Series, list[Note]]:
    """Give every row the arm of its patient, filling blanks; two arms in one are an error."""
    named = frame[frame["arm"] != ""]
    firsts = named.groupby(KEY, sort=False)[["arm", LINE]].first()
    keys = pd.MultiIndex.from_frame(frame[KEY])
    arm = firsts["arm"].reindex(keys).fillna("").to_numpy()
    other = frame[(frame["arm"] != "").to_numpy() & (frame["arm"].to_numpy() != arm)]
    lines = dict(zip(firsts.index, firsts.itertuples(index=False, name=None), strict=True))
    notes = []
    for row in other.drop_duplicates(KEY).to_dict("records"):
        before, line = lines[row["study"], row["patient_id"]]
        message = (
            f"{place(row[FILE], row[LINE], 'arm')}: patient {quoted(row['patient_id'])} is in arm "
            f"{quoted(row['arm'])} here and in {quoted(before)} on line {line}; a patient has one."
        )
        found = (row[FILE], row[LINE], "arm", row["patient_id"], row["arm"])
        notes.append(Note("error", "arm-changes", message, 1, *found))
    return pd.Series(arm, index=frame.index, dtype=str), capped(notes)


def of_arms(table: Table, arms: Sequence[str]) -> tuple[Table, list[Note]]:
    """Keep the rows of the arms asked for, all of them if none is named."""
    if not arms:
        return table, []
    frame = table.frame
    if unknown := check_arms(arms, frame["arm"].unique(), table.file):
        return table, unknown
    kept = frame[frame["arm"].isin(arms)]
    left_out = len(frame) - len(kept)
    message = (
        f"{place(table.file, column='arm')}: {many(left_out, 'row')} of other arms than "
        f"{listed(arms)}, left out."
    )
    note = Note("info", "other-arms", message, left_out, table.file, column="arm")
    return table._replace(frame=kept), [note]


def check_arms(arms: Iterable[str], known: Iterable[str], file: str) -> list[Note]:
    """Find names of arms that the table does not have."""
    named = sorted({arm for arm in known if arm})
    there = f"the table has {listed(named, most=20)}." if named else "the table names no arm."
    notes = []
    for arm in arms:
        if arm not in named:
            message = f"There is no arm {quoted(arm)}; {there}{meant(arm, named)}"
            notes.append(Note("error", "unknown-arm", message, 0, file, None, "arm", "", arm))
    return notes


def _twins(frame: pd.DataFrame) -> list[Note]:
    """Warn of ids that differ by capitals or spaces only."""
    patients = frame.drop_duplicates(KEY)
    plain = patients["patient_id"].str.replace(r"\s", "", regex=True).str.casefold()
    twin = (plain != "") & pd.DataFrame({"s": patients["study"], "p": plain}).duplicated(keep=False)
    patients, plain = patients[twin], plain[twin]
    notes = []
    for _, group in patients.groupby([patients["study"], plain], sort=False):
        row = group.iloc[1]
        lines = " and ".join(map(str, group[LINE]))
        message = (
            f"{place(row[FILE], row[LINE], 'patient_id')}: {listed(group['patient_id'])} (first "
            f"on lines {lines}) differ by capitals or spaces only and count as different "
            "patients; if they are one, write the id the same way."
        )
        found = (row[FILE], int(row[LINE]), "patient_id", row["patient_id"], row["patient_id"])
        notes.append(Note("warning", "similar-ids", message, len(group), *found))
    return capped(notes)
