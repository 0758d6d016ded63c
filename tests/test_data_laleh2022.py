"""The published table of Ghaffari Laleh et al. 2022, in its own layout."""

import re
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from pdmodel.data import check_tables, read_cohort
from pdmodel.data.laleh2022 import COLUMNS
from pdmodel.data.long import DROPPED
from pdmodel.errors import DataError


def workbook(folder: Path, **sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in [list(COLUMNS), *rows]:
            sheet.append(row)
    book.save(folder / "laleh.xlsx")
    return folder / "laleh.xlsx"


def restored(path: Path, numbers: dict[str, str]) -> Path:
    """Put numbers into a workbook as text of its XML; openpyxl would write 16 digits."""

    def stored(found: re.Match[bytes]) -> bytes:
        return numbers.get(found[0].decode(), found[0].decode()).encode()

    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, part in parts.items():
            new.writestr(name, re.sub(rb"(?<=<v>)\d+(?=</v>)", stored, part))
    return path


@pytest.fixture(scope="module")
def cells() -> dict[Path, list[tuple]]:
    return {}


@pytest.fixture
def raw(real_data, cells) -> list[tuple]:
    """Give all rows of the real file as openpyxl shows them, with their sheet."""
    if real_data not in cells:
        book = openpyxl.load_workbook(real_data, read_only=True)
        cells[real_data] = [
            (sheet.title, *row) for sheet in book for row in sheet.iter_rows(2, values_only=True)
        ]
        book.close()
    return cells[real_data]


def test_every_row_of_the_real_file_is_accounted_for(real_data, raw):
    log = read_cohort(real_data, format="laleh2022").log
    dropped = {note.code: note.rows for note in log.notes if note.code in DROPPED}
    assert log.rows_read == len(raw) == 6421
    assert log.rows_read == log.rows_kept + sum(dropped.values())
    assert dropped == {
        "not-evaluable": sum(row[3] == "NOT EVALUABLE" for row in raw),
        "blank-size": sum(row[3] is None for row in raw),
        "blank-day": sum(row[2] is None for row in raw),
        "duplicate-row": sum(count - 1 for count in Counter(raw).values()),
    }


def test_the_real_cohort_is_what_the_file_holds(real_data, raw):
    cohort = read_cohort(real_data, format="laleh2022")
    assert len(cohort) == len({row[:2] for row in raw}) == 1102
    assert cohort.size_kind == "lesion"
    assert {p.study for p in cohort} == {"Study1", "Study2", "Study3", "Study4", "Study5"}
    assert all((np.diff(p.day) > 0).all() for p in cohort)
    assert min(p.size_mm.min() for p in cohort) == 5.0
    small = {
        row[:3]
        for row in raw
        if row[2] is not None
        and (row[3] == "TOO SMALL TO MEASURE" or (isinstance(row[3], int | float) and row[3] <= 5))
    }
    assert sum(p.censored.sum() for p in cohort) == len(small)
    assert sum(p.day[0] <= 0 for p in cohort) == 1093
    assert {p.id for p in cohort} == {str(int(row[1])) for row in raw}
    assert not any(p.covariates for p in cohort)


def test_one_arm_is_the_validation_cohort(real_data):
    start = time.perf_counter()
    cohort = read_cohort(
        real_data,
        format="laleh2022",
        arms=("Study_4_Arm_2",),
        regimen="atezolizumab 1200 mg q3w",
    )
    assert time.perf_counter() - start < 3
    assert len(cohort) == 281
    assert cohort.arms == ("Study_4_Arm_2",)
    assert cohort.drugs == ("atezolizumab",)
    log = cohort.log
    assert log.rows_read == log.rows_kept + sum(n.rows for n in log.notes if n.code in DROPPED)


def test_the_real_file_has_warnings_but_no_error(real_data):
    found = check_tables(real_data, format="laleh2022")
    assert {note.severity for note in found} == {"warning", "info"}
    rows = {note.code: note for note in found}
    assert "9 patients with the first scan after day 0" in rows["no-baseline"].message
    assert "75 patients with scans out of order" in rows["unsorted"].message
    assert "6 ids in more than one study" in rows["id-in-two-studies"].message
    assert "sheet Study5, line 205" in rows["blank-day"].message


def test_giving_atezolizumab_to_a_docetaxel_arm_is_a_warning(real_data):
    found = check_tables(real_data, format="laleh2022", regimen="atezolizumab 1200 mg q3w")
    assert [n.value for n in found if n.code == "other-drug"] == ["Study_2_Arm_1", "Study_4_Arm_1"]
    (message,) = {n.message for n in found if n.value == "Study_4_Arm_1"}
    assert message.startswith("Arm 'Study_4_Arm_1' was given docetaxel, not 'atezolizumab'")


def test_giving_no_drug_to_an_arm_that_had_one_is_a_warning(real_data):
    only = {"format": "laleh2022", "arms": ("Study_4_Arm_1",)}
    (note,) = (n for n in check_tables(real_data, regimen="none", **only) if n.code == "other-drug")
    assert note.message == "Arm 'Study_4_Arm_1' was given docetaxel, and counts as untreated."


def test_an_unknown_arm_lists_those_there_are(real_data):
    with pytest.raises(DataError, match=r"no arm 'Study_4_Arm_3'; .*'Study_1_Arm_1'.* Did"):
        read_cohort(real_data, format="laleh2022", arms=("Study_4_Arm_3",))


def test_ids_one_float_apart_stay_apart(tmp_path):
    rows = [[who, day, 20 + day, "A"] for who in (111, 222) for day in (0, 40)]
    stored = {"111": "3.657015667902161E+18", "222": "3.6570156679021614E+18"}  # as Excel writes
    path = restored(workbook(tmp_path, Study1=rows), stored)
    keys = read_cohort(path, format="laleh2022").keys
    assert keys == ("Study1/3657015667902160896", "Study1/3657015667902161408")


def test_of_two_sizes_on_one_day_the_larger_is_kept(tmp_path):
    rows = [[7, 0, 20, "A"], [7, 40, 18, "A"], [7, 40, 21.5, "A"], [7, 80, 0, "A"], [7, 80, 9, "A"]]
    for table in (rows, rows[::-1]):
        cohort = read_cohort(workbook(tmp_path, Study1=table), format="laleh2022")
        assert cohort["7"].size_mm.tolist() == [20, 21.5, 9]
        assert cohort["7"].censored.tolist() == [False, False, False]
        (note,) = (note for note in cohort.log.notes if note.code == "same-day")
        assert (note.severity, note.rows) == ("warning", 2)
    assert "2 rows with a larger size" in note.message
    assert "on the same day; that is kept (line 3; line 5)" in note.message


def test_a_workbook_of_another_layout_is_refused(tmp_path):
    path = workbook(tmp_path, Sheet1=[[7, 0, 20, "A"]], Sheet2=[[8, 0, 20, "A"]])
    with pytest.raises(DataError, match=r"no sheet is named Study1, .*; there are 'Sheet1'"):
        read_cohort(path, format="laleh2022")
    with pytest.raises(
        DataError, match=r"column 'patient_id' and 'day' .*'Patient_Anonmyized'.*[?]$"
    ):
        read_cohort(path, format="long")
    published = workbook(tmp_path, Study1=[[7, 0, 20, "A"]])
    with pytest.raises(DataError, match=r"'Patient_A.* This is the layout 'laleh2022'; choose it"):
        read_cohort(published)
    lesions = workbook(tmp_path, Study1=[[7, 0, 20, "A"]])
    with pytest.raises(DataError, match=r"the sizes are of single lesions, not sums"):
        read_cohort(lesions, format="laleh2022", size_kind="sld")
