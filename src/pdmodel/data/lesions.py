"""Lesions to their sum: one sum of diameters for each visit at which every target was seen."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pdmodel.data.cells import LIMIT_MM, TOO_SMALL, days, sizes
from pdmodel.data.cohort import Note
from pdmodel.data.identity import KEY
from pdmodel.data.table import (
    FILE,
    LINE,
    Table,
    capped,
    listed,
    many,
    place,
    quoted,
    row_notes,
    rows_note,
)

VISIT = "visit"
READER = "reader"
"""Columns by which lesions are brought together; the second is optional."""

NODE = "node of table"
"""Column that says which rows are of lymph nodes (bool), optional."""

SEEN = (" seen_mm", " partial", " nodes_mm", " largest_node_mm")
"""Columns of the result that say, of every visit, what `cohort.Targets` holds."""


def summed(table: Table) -> Table:
    """Sum the target lesions of each visit.

    A lesion that is gone adds 0, one that is too small to measure its limit, 5 mm by RECIST 1.1.
    Where all of a visit are one or the other, the sum is only known to be at or below the sum of
    these limits. A visit at which a target was not evaluable, or has no row, has no sum. Targets
    are the lesions that were seen by day 0, or on the first visit.

    Parameters
    ----------
    table : Table
        One row a lesion and visit: study, patient_id, lesion_id, day, size_mm, and what
        `cells.sizes` reads; ``visit`` says what belongs together, the day where it is not there.

    Returns
    -------
    Table
        One row a visit, at the place of its first row, with notes on what was done.
    """
    frame = table.frame
    read = sizes(table)
    day, notes = days(table)
    notes += read.notes
    scaled = {"day": 1.0, "size_mm": 1.0, "limit_mm": 1.0}
    worth = np.where(read.small & np.isnan(read.measured), read.limit, read.measured)
    worth[read.not_evaluable] = np.nan
    gone = read.small | (read.measured == 0)
    frame = frame.assign(
        **{READER: frame.get(READER, "")}, lesion=frame["lesion_id"].str.strip(),
        at=frame[VISIT if VISIT in frame else "day"].str.strip(),
        nth=day, worth=worth, gone=gone, bound=np.where(read.small, worth, 0.0),
        of_node=np.where(frame[NODE], worth, 0.0) if NODE in frame else 0.0,
    )  # fmt: skip
    blank = frame["lesion"] == ""
    notes += row_notes("blank-lesion", frame[blank], "lesion_id", _why_blank)
    frame, more = _once(table, frame[~blank])
    notes += more
    frame, more = _targets(table, frame)
    notes += [*more, *_small(table, frame)]
    visits, more = _by_visit(table, frame)
    told = (
        f"{table.file}: {many(len(table.frame), 'row')} of lesions, {many(len(visits), 'visit')}."
    )
    notes += [Note("info", "lesions-summed", told, 0, table.file), *more]
    return table._replace(
        frame=visits, notes=(*table.notes, *notes), scales={**table.scales, **scaled}
    )


def _why_blank(_: str) -> str:
    return "the lesion has no name; every row of a table of lesions needs one."


def _once(table: Table, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Note]]:
    """Keep one of equal rows of a lesion and visit; refuse different ones."""
    one = [*KEY, READER, "at", "lesion"]
    again = frame.duplicated([*one, "worth", "gone"])
    what = "the same as another row of the lesion and visit, left out"
    notes = rows_note("warning", "duplicate-row", table, frame[again], "lesion_id", what)
    frame = frame[~again]
    torn = frame[frame.duplicated(one, keep=False)]
    for _, rows in torn.groupby(one, sort=False):
        first = rows.iloc[0]
        message = (
            f"{place(first[FILE], int(first[LINE]), 'size_mm')}: lesion {quoted(first['lesion'])} "
            f"of patient {quoted(first['patient_id'])} has "
            f"{listed(f'{mm:g} mm' for mm in rows['worth'])} at one visit (lines "
            f"{' and '.join(map(str, rows[LINE]))}); keep one."
        )
        found = (first[FILE], int(first[LINE]), "size_mm", first["patient_id"])
        notes.append(Note("error", "lesion-twice", message, len(rows), *found))
    return frame.drop_duplicates(one), capped(notes)


def _targets(table: Table, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Note]]:
    """Leave out lesions that were first seen after the baseline."""
    who = [*KEY, READER]
    begun = frame.groupby([*who, "at"])["nth"].transform("min")
    seen = begun.groupby([frame[name] for name in (*who, "lesion")]).transform("min")
    start = np.maximum(frame.groupby(who)["nth"].transform("min"), 0.0)
    late = (seen > start).to_numpy()
    what = "of lesions first seen after the baseline, which are no targets, left out"
    notes = rows_note("warning", "late-lesion", table, frame[late], "lesion_id", what)
    return frame[~late], notes


def _small(table: Table, frame: pd.DataFrame) -> list[Note]:
    small = frame[frame["bound"] > 0]
    if small.empty:
        return []
    worth = sorted(set(small["bound"]))
    message = (
        f"{place(table.file, column='size_mm')}: {many(len(small), 'lesion')} too small to "
        f"measure, {listed(f'{mm:g} mm' for mm in worth)} in the sum (RECIST 1.1)."
    )
    return [Note("info", "small-lesion", message, len(small), table.file, None, "size_mm")]


def _by_visit(table: Table, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Note]]:
    who = [*KEY, READER]
    targets = frame.groupby(who)["lesion"].nunique().rename("targets")
    ordered = [*who, "nth", "at", "lesion"]  # so that sums do not depend on the order of rows
    frame = frame.assign(known=frame["worth"].notna()).sort_values(ordered, kind="stable")
    visits = frame.groupby([*who, "at"], sort=False)
    found = visits.agg(
        total=("worth", "sum"), seen=("known", "sum"), all_gone=("gone", "all"),
        begun=("nth", "min"), at_most=("bound", "sum"), top=(LINE, "min"),
        nodes=("of_node", "sum"), largest_node=("of_node", "max"),
    )  # fmt: skip
    kept = visits.first().join(found).reset_index().join(targets, on=who)
    whole = (kept["seen"] == kept["targets"]).to_numpy()
    none = whole & kept["all_gone"].to_numpy(dtype=bool)
    bound = np.maximum(kept["at_most"].to_numpy(), LIMIT_MM)
    total = np.where(whole, kept["total"].map(_text), "NE")
    kept = kept.assign(
        size_mm=np.where(none, TOO_SMALL[0], total),
        limit_mm=[_text(mm) if gone else "" for mm, gone in zip(bound, none, strict=True)],
        day=kept["begun"].map(_text),
    )
    kept[LINE] = kept["top"].astype(int)
    seen = kept["total"].round(9).where(kept["seen"] > 0)
    partial, nodes = ~whole & (kept["seen"] > 0).to_numpy(), kept["nodes"].round(9)
    told = (seen, partial, nodes, kept["largest_node"].fillna(0.0))
    kept = kept.assign(**dict(zip(SEEN, told, strict=True)))
    torn = kept[~whole]
    what = "without a sum, since a target lesion was not evaluable or has no row"
    notes = rows_note("warning", "incomplete-visit", table, torn, "size_mm", what)
    notes = [note._replace(message=note.message.replace(" row", " visit", 1)) for note in notes]
    columns = [name for name in table.frame.columns if name in kept and name not in _OF_LESIONS]
    extra = [] if "limit_mm" in columns else ["limit_mm"]
    return kept[[*columns, *extra, *SEEN]].reset_index(drop=True), notes


_OF_LESIONS: Sequence[str] = ("lesion_id", "status", VISIT, NODE)


def with_bare_visits(visits: Table, lesions: Table, rows: pd.DataFrame) -> Table:
    """Add the visits at which lesions were read, but none of the targets: they have no sum.

    Parameters
    ----------
    visits : Table
        What `summed` gave.
    lesions : Table
        What it was given.
    rows : DataFrame
        All rows of the table, of whatever lesion and test, with ``at`` for the visit and a day.
    """
    who = [*KEY, READER]
    known = set(lesions.frame[[*who, VISIT]].itertuples(index=False, name=None))
    people = set(lesions.frame[who].itertuples(index=False, name=None))
    keys = list(rows[[*who, "at"]].itertuples(index=False, name=None))
    bare = [key[:-1] in people and key not in known for key in keys]
    new = rows[np.array(bare, bool) & (rows["day"] != "").to_numpy()]
    if new.empty:
        return visits
    first = new.loc[pd.to_numeric(new["day"]).groupby([new[n] for n in (*who, "at")]).idxmin()]
    first = first[[*who, "day", FILE, LINE]].sort_values(LINE, kind="stable")
    added = first.assign(size_mm="NE", limit_mm="", **dict(zip(SEEN, (np.nan, False, 0.0, 0.0),
                                                               strict=True)))  # fmt: skip
    message = (
        f"{place(visits.file)}: {many(len(added), 'visit')} with rows of other lesions and none of "
        "a target, without a sum."
    )
    note = Note("info", "no-target-row", message, len(added), visits.file)
    frame = pd.concat([visits.frame, added], ignore_index=True)
    return visits._replace(frame=frame, notes=(*visits.notes, note))


def _text(number: float) -> str:
    return "" if np.isnan(number) else format(number, ".15g")
