"""Tables on disk: whole, harmless in a spreadsheet, and with ids that can be hidden."""

import numpy as np
import pandas as pd
import pytest

from pdmodel.errors import RunError
from pdmodel.tables import write_table

CELLS = {
    "=1+1": "'=1+1",
    "@cmd": "'@cmd",
    "+a": "'+a",
    "-b": "'-b",
    "-2+3": "'-2+3",
    "--5": "'--5",
    "\t=1": "'\t=1",
    "-594245265511412736": "-594245265511412736",
    "-5.5": "-5.5",
    "+5": "+5",
    "p=1": "p=1",
    'ä,\n"': 'ä,\n"',
    "": "",
}
TABLE = pd.DataFrame({"patient_id": list(CELLS), "study": "=S", "change": -0.5})


def test_a_spreadsheet_runs_nothing_and_numbers_stay(tmp_path):
    path = write_table(TABLE, tmp_path / "table.csv")
    back = pd.read_csv(path, dtype={"patient_id": str}, keep_default_na=False)
    assert list(back["patient_id"]) == list(CELLS.values())
    assert set(back["study"]) == {"'=S"}
    assert set(back["change"]) == {-0.5}
    assert list(TABLE["patient_id"]) == list(CELLS)


def test_other_kinds_of_text_are_made_harmless_too(tmp_path):
    table = pd.DataFrame(
        {
            "a": pd.Categorical(["=x"]),
            "b": pd.array(["=x"], "string"),
            "c": np.array(["=x"], object),
        }
    )
    path = write_table(table, tmp_path / "table.csv")
    assert path.read_text() == "a,b,c\n'=x,'=x,'=x\n"


def test_a_file_is_replaced_whole(tmp_path):
    path = write_table(TABLE, tmp_path / "table.csv")
    write_table(TABLE.iloc[:1], path)
    assert len(pd.read_csv(path)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_hidden_ids_are_numbers_by_patient(tmp_path):
    table = pd.DataFrame({"patient_id": ["secret", "secret", "other", "secret"],
                          "study": ["A", "B", "A", "A"], "day": [0, 0, 0, 42]})  # fmt: skip
    path = write_table(table, tmp_path / "table.csv", hide_ids=True)
    assert path.read_text() == "patient_id,study,day\n1,A,0\n2,B,0\n3,A,0\n1,A,42\n"


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(RunError, match=r"table.csv could not be written: No such file"):
        write_table(TABLE, tmp_path / "nowhere" / "table.csv")
