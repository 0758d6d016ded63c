"""Whose readings count: the investigator's, or an independent reader's, of those in a table."""

import numpy as np
import pandas as pd

from pdmodel.data.cells import words
from pdmodel.data.cohort import Note
from pdmodel.data.lesions import READER
from pdmodel.data.table import Table, listed, many, meant, place, quoted, unusable

INVESTIGATOR, ACCEPTED = "INVESTIGATOR", "ACCEPTED"


def of_evaluator(table: Table, code: str, wanted: str) -> tuple[Table, list[Note]]:
    """Keep the rows of one evaluator, and name the reader of each.

    Parameters
    ----------
    table : Table
        With the columns --EVAL, --EVALID and --ACPTFL.
    code : str
        Two letters that the names of these columns begin with.
    wanted : str
        Evaluator or reader, in any letters, or ``accepted`` for rows with the flag. If empty, the
        investigator (also where none is named), or else the only one that there is.

    Returns
    -------
    Table, list of Note
        With the column ``reader``, and an info on whose rows were passed over.

    Raises
    ------
    UnusableError
        If it cannot be told whose readings to take; the evaluators are listed.
    """
    frame = table.frame
    evaluator = words(frame[f"{code}EVAL"]).replace("", INVESTIGATOR)
    reader = words(frame[f"{code}EVALID"])
    flagged = frame[f"{code}ACPTFL"].str.strip().str.upper() == "Y"
    there = sorted(set(evaluator) | (set(reader) - {""}))
    options = [*there, *([ACCEPTED.lower()] if flagged.any() else [])]
    asked = " ".join(wanted.upper().split()) or _usual(table, code, evaluator, options)
    if asked == ACCEPTED and flagged.any():
        chosen = flagged
    elif asked in there:
        chosen = (evaluator == asked) | (reader == asked)
    else:
        message = f"there is no evaluator {quoted(wanted)}; there are {listed(options, 9)}."
        raise unusable("evaluator", message + meant(asked, options), table.file)
    readers = sorted(set(reader[chosen]) - {""})
    if len(readers) > 1 and asked != ACCEPTED:
        chosen &= flagged | (reader == "")
    if len(readers) > 1 and not chosen.any():
        message = (
            f"{asked} are {listed(readers, 9)}, and none is flagged as accepted; choose one of "
            "them (--evaluator)."
        )
        raise unusable("evaluator", message, table.file)
    name = pd.Series(np.where(reader == "", evaluator, evaluator + "/" + reader), frame.index)
    kept = table._replace(frame=frame.assign(**{READER: name})[chosen])
    return kept, [*_passed_over(table, code, asked, chosen), *_changes(kept, code)]


def _usual(table: Table, code: str, evaluator: pd.Series, options: list[str]) -> str:
    if (evaluator == INVESTIGATOR).any():
        return INVESTIGATOR
    if len(set(evaluator)) == 1:
        return str(evaluator.iloc[0])
    message = (
        f"{place(table.file, column=code + 'EVAL')}: several evaluators and no investigator; "
        f"choose one of {listed(options, 9)} (--evaluator)."
    )
    raise unusable("evaluator", message)


def _passed_over(table: Table, code: str, asked: str, chosen: pd.Series) -> list[Note]:
    rest = int((~chosen).sum())
    if not rest:
        return []
    message = (
        f"{place(table.file, column=code + 'EVAL')}: {many(int(chosen.sum()), 'row')} of "
        f"{asked.lower()}; {rest} of others passed over."
    )
    return [Note("info", "evaluator", message, rest, table.file, None, f"{code}EVAL")]


def _changes(table: Table, code: str) -> list[Note]:
    """Warn where a patient's readings are of several readers, who chose lesions of their own."""
    readers = table.frame.groupby(["study", "patient_id"])[READER].nunique()
    torn = readers[readers > 1]
    if torn.empty:
        return []
    who = [key[1] for key in torn.index]
    message = (
        f"{place(table.file, column=code + 'EVALID')}: {many(len(who), 'patient')} read by "
        f"several readers ({listed(who)}), whose lesions may differ; choose one reader."
    )
    return [Note("warning", "several-readers", message, 0, table.file, None, f"{code}EVALID",
                 str(who[0]))]  # fmt: skip
