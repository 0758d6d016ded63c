"""The published layout of Ghaffari Laleh et al. 2022 (doi:10.1371/journal.pcbi.1009822)."""

from pathlib import Path

import pandas as pd

from pdmodel.data.source import Choices, Source
from pdmodel.data.table import Table, listed, require_columns, unusable
from pdmodel.data.workbook import read_sheets

COLUMNS = {
    "Patient_Anonmyized": "patient_id",  # spelt so in the file
    "Treatment_Day": "day",
    "TargetLesionLongDiam_mm": "size_mm",
    "Study_Arm": "arm",
}

DOCETAXEL_ARMS = ("Study_2_Arm_1", "Study_4_Arm_1")
"""Arms that were given docetaxel; all others had atezolizumab 1200 mg every 3 weeks."""


def read(path: Path, _: Choices = Choices()) -> Source:  # noqa: B008 - it is frozen
    """Read the sheets ``Study1`` to ``Study5``; each is a study.

    The ids stand in the file as floating-point numbers of 16 or 17 digits; they are written out
    as the exact integers that these are, as pandas shows them, so no two become one. Of two sizes
    on one day the larger is kept: RECIST measures the longest diameter, so of two readings of one
    lesion the larger is nearer to it. A row without a day is left out.
    """
    tables, others = [], []
    for name, table in read_sheets(path):
        if not name.startswith("Study"):
            others.append(name)
            continue
        require_columns(table, COLUMNS)
        tables.append(table._replace(frame=table.frame.rename(columns=COLUMNS).assign(study=name)))
    if not tables:
        message = f"no sheet is named Study1, Study2, ...; there are {listed(others, most=8)}."
        raise unusable("no-sheet", message, str(path))
    notes = [n for table in tables for n in table.notes if n.code != "rounded-number"]  # see above
    whole = Table(pd.concat([t.frame for t in tables], ignore_index=True), str(path), tuple(notes))
    given = {arm: _drug(arm) for arm in whole.frame["arm"].str.strip().unique()}
    return Source(whole, size_kind="lesion", same_day="larger", blank_day="drop", given=given)


def _drug(arm: str) -> str:
    return "docetaxel" if arm in DOCETAXEL_ARMS else "atezolizumab"
