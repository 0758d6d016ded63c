"""What was judged at visits beside the sizes: the domain RS, or ADRS."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pdmodel.data.cells import words
from pdmodel.data.cohort import Assessment, Note
from pdmodel.data.dates import visit_days
from pdmodel.data.domains import beside, read_domain, taken, with_columns
from pdmodel.data.evaluators import of_evaluator
from pdmodel.data.identity import KEY
from pdmodel.data.source import Key
from pdmodel.data.table import Table, UnusableError, require_columns, rows_note

FIELDS = {
    "OVRLRESP": "overall", "OVR": "overall", "TRGRESP": "target", "TGRESP": "target",
    "NTRGRESP": "nontarget", "NTGRESP": "nontarget", "NEWLPROG": "new_lesion",
    "NEWLIND": "new_lesion",
}  # fmt: skip
"""What each test of RS, or parameter of ADRS, judges."""

RESPONSES = ("CR", "PR", "SD", "PD", "NE", "NON-CR/NON-PD", "NED", "ND", "NA", "ICR", "IPR", "ISD",
             "IUPD", "ICPD", "")  # fmt: skip
PREFIX = "RS"

WORST = ("UNEQUIVOCAL", "Y", "YES", "PRESENT", "PD", "NE", "SD", "NON-CR/NON-PD", "PR", "CR")
"""Which of several words of one visit counts: the first of these, then any other."""

type Judged = Mapping[Key, tuple[Assessment, ...]]


def assessments_of(
    main: Path, main_code: str, code: str, evaluator: str, zero: Mapping[Key, float]
) -> tuple[Judged, list[Note]]:
    """Read the judgements beside a table of sizes, if there are any; problems are warnings."""
    path = beside(main, main_code, code)
    if path is None:
        return {}, []
    try:
        table = _prepared(path)
        if evaluator or table.frame["RSEVAL"].str.strip().any():
            table, notes = of_evaluator(table, PREFIX, evaluator)
        else:
            table, notes = table._replace(frame=table.frame.assign(reader="")), []
    except UnusableError as error:
        return {}, [error.note._replace(severity="warning")]
    day, more = visit_days(table, "RSDTC", "RSDY", zero)
    notes += [note._replace(severity="warning") if note.severity == "error" else note
              for note in more]  # fmt: skip
    frame = table.frame.assign(nth=day)
    strange = frame[~frame["said"].isin(RESPONSES) & (frame["field"] != "new_lesion")]
    what = "with a response that is not known, kept as it is"
    notes += rows_note("warning", "unknown-response", table, strange, "RSSTRESC", what)
    what = "of visits without a day, left out"
    notes += rows_note("warning", "no-day", table, frame[frame["nth"].isna()], "RSDTC", what)
    frame = frame[~np.isnan(frame["nth"].to_numpy())]
    again = frame.drop_duplicates([*KEY, "nth", "field", "said"])
    again = again[again.duplicated([*KEY, "nth", "field"])]
    what = "with another word than an earlier row of the visit; the worse one is taken"
    notes += rows_note("warning", "several-responses", table, again, "RSSTRESC", what)
    notes.append(taken(code.upper(), path, "responses, kept beside the sizes; no model uses them"))
    return _by_patient(frame), notes


def _prepared(path: Path) -> Table:
    """Bring RS or ADRS into the columns of RS, with the rows that are kept."""
    table = read_domain(path)
    if "PARAMCD" in table.frame:
        frame = table.frame
        table = with_columns(table, "AVALC", "ADT", "ADY", "AVISIT", "RSEVAL", "PARCAT2")
        frame = table.frame
        frame = frame.assign(
            RSTESTCD=frame["PARAMCD"], RSSTRESC=frame["AVALC"], RSDTC=frame["ADT"],
            RSDY=frame["ADY"], VISIT=frame["AVISIT"],
            RSEVAL=frame["RSEVAL"].where(frame["RSEVAL"] != "", frame["PARCAT2"]),
        )  # fmt: skip
        table = table._replace(frame=frame)
    require_columns(table, ("USUBJID", "RSTESTCD", "RSSTRESC"))
    table = with_columns(table, "STUDYID", "RSEVAL", "RSEVALID", "RSACPTFL", "RSDTC", "RSDY",
                         "VISITNUM", "VISIT")  # fmt: skip
    frame = table.frame
    at = frame["VISITNUM"].str.strip()
    frame = frame.assign(
        study=frame["STUDYID"].str.strip(), patient_id=frame["USUBJID"],
        field=words(frame["RSTESTCD"]).map(FIELDS), said=words(frame["RSSTRESC"]),
        at=at.where(at != "", words(frame["VISIT"])),
    )  # fmt: skip
    return table._replace(frame=frame[frame["field"].notna()])


def _by_patient(frame: pd.DataFrame) -> Judged:
    judged: dict[Key, dict[float, dict[str, str]]] = {}
    rank = {word: nth for nth, word in enumerate(WORST)}
    frame = frame.assign(rank=frame["said"].map(rank).fillna(len(WORST)))
    order = [*KEY, "nth", "field", "rank", "said"]
    rows = frame.sort_values(order)[[*KEY, "nth", "field", "said"]]
    for study, patient, day, field, said in rows.itertuples(index=False, name=None):
        judged.setdefault((study, patient), {}).setdefault(day, {}).setdefault(field, said)
    return {
        key: tuple(Assessment(day=day, **said) for day, said in sorted(visits.items()))
        for key, visits in judged.items()
    }
