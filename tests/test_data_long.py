"""The long layout: every input that hospitals send, and what is said about it."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdmodel.data import Cohort, Note, check_tables, read_cohort
from pdmodel.errors import DataError

HEADER = "patient_id,day,size_mm,arm\n"
P1 = "P01,-3,50,a\nP01,42,40,a\nP01,84,30,a\n"


def write(folder: Path, text: str, name: str = "sizes.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def cohort(folder: Path, rows: str, header: str = HEADER, **options) -> Cohort:
    return read_cohort(write(folder, header + rows), **options)


def notes(folder: Path, rows: str, header: str = HEADER, **options) -> dict[str, Note]:
    found = check_tables(write(folder, header + rows), **options)
    return {note.code: note for note in found}


def test_a_clean_table_is_read_without_a_note(tmp_path):
    read = cohort(tmp_path, P1 + "P02,-1,60,b\nP02,45,66.5,b\n")
    assert read.keys == ("P01", "P02")
    assert read["P02"].size_mm.tolist() == [60.0, 66.5]
    assert read["P02"].arm == "b"
    assert read.log.notes == ()
    assert (read.log.rows_read, read.log.rows_kept) == (5, 5)
    assert read.size_kind == "sld"


ERRORS = {
    "text in size": ("P01,42,SHRUNK,a",
                     r"line 5, .*size_mm: 'SHRUNK' is not a size. .*TOO SMALL TO MEASURE .*NE"),
    "negative": ("P01,126,-5,a", r"line 5, column size_mm: '-5' is negative. .* write NE"),
    "absurd": ("P01,126,1e308,a", r"line 5, column size_mm: '1e308' is above 1000 mm"),
    "overflow": ("P01,126,1e999,a", r"line 5, column size_mm: '1e999' is not finite"),
    "infinite size": ("P01,126,inf,a", r"line 5, column size_mm: 'inf' is not finite"),
    "unit": ("P01,126,40 mm,a", r"'40 mm' has a unit; write the number alone"),
    "thousands": ('P01,126,"1,234",a', r"'1,234' has a thousands separator, or a decimal comma"),
    "decimal comma": ('P01,126,"60,5",a', r"'60,5' has a decimal comma; write a decimal point"),
    "infinite day": ("P01,inf,50,a", r"line 5, column day: 'inf' is not finite"),
    "NaN day": ("P01,NaN,50,a", r"line 5, column day: 'NaN' is not finite"),
    "blank day": ("P01,,50,a", r"line 5, column day: the day is blank"),
    "day in words": ("P01,baseline,50,a", r"column day: 'baseline' is not a number"),
    "date": ("P01,2024-01-01,60,a", r"column day: '2024-01-01' is a date or a time; count days"),
    "German date": ("P01,01.02.2024,60,a", r"'01.02.2024' is a date or a time; count days"),
    "Excel's date": ("P01,45292,60,a", r"'45292' is more than 100 years .* Is it a date"),
    "two sizes a day": ("P01,84,71,a", r"'P01' has '30 mm', '71 mm' on day 84 \(lines 4 and 5\)"),
    "two arms": ("P01,126,30,b",
                 r"line 5, column arm: .*'P01' is in arm 'b' here and in 'a' on line 2"),
    "blank id": (" ,126,30,a", r"line 5, column patient_id: the id is blank"),
    "line break in id": ('"P\n1",0,60,a', r"column patient_id: 'P\\n1' holds a line break"),
    "extra cells": ("P01,126,50,a,x,y", r"line 5: 6 cells under 4 columns \('x', 'y' too many\)"),
    "quotes": ('P01,126,50,"a', r"line 5: the quotes do not match"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "message"), ERRORS.values(), ids=ERRORS)
def test_a_row_that_cannot_be_used_is_an_error_with_its_place(tmp_path, row, message):
    with pytest.raises(DataError, match=message) as error:
        cohort(tmp_path, P1 + row + "\n")
    assert str(error.value).startswith(str(tmp_path / "sizes.csv"))
    found = check_tables(write(tmp_path, HEADER + P1 + row + "\n"))
    assert "error" in {note.severity for note in found}


def test_the_lines_are_those_of_an_editor(tmp_path):
    text = '\ufeff\r\npatient_id,day,size_mm,arm\r\n\r\nP01,0,"5\n0",a\r\nP01,42,x,a\r\n'
    found = check_tables(write(tmp_path, text))
    assert [(note.line, note.value) for note in found if note.column == "size_mm"] == [
        (4, "5\n0"),
        (6, "x"),
    ]


def test_an_error_tells_three_problems_and_how_many_more_there_are(tmp_path):
    rows = "".join(f"P01,{day},bad{day},a\n" for day in range(100))
    with pytest.raises(DataError) as error:
        cohort(tmp_path, rows)
    lines = str(error.value).splitlines()
    assert len(lines) == 4
    assert "line 2, column size_mm: 'bad0'" in lines[0]
    assert lines[3] == "... and 97 more; `pdmodel check` lists every problem."


def test_check_lists_problems_of_all_kinds_at_once_errors_first(tmp_path):
    rows = "P01,0,-5,a\nP01,42,x,b\n,0,60,a\nP02,2024-01-01,60,a\nP03,5,60,a\nP03,5,60,a\n"
    found = check_tables(write(tmp_path, HEADER + rows))
    severities = [note.severity for note in found]
    assert severities == sorted(severities, key=("error", "warning", "info").index)
    assert {note.code for note in found} >= {
        "negative-size", "not-a-number", "blank-id", "arm-changes", "duplicate-row",
    }  # fmt: skip


WARNINGS = {
    "missing size": ("P01,126,,a", "blank-size",
                     r"column size_mm: 1 row without a size, left out .line 5"),
    "a point": ("P01,126,.,a", "blank-size", r"1 row without a size"),
    "NA": ("P01,126,NA,a", "blank-size", r"1 row without a size"),
    "exact duplicate": ("P01,84,30.0,a", "duplicate-row", r"1 row the same as another row"),
    "one scan": ("P02,0,50,a", "one-scan", r"1 patient with one scan only"),
    "no baseline": ("P02,42,50,a\nP02,84,50,a", "no-baseline", r"first scan after day 0.*'P02'"),
    "before treatment": ("P02,-30,50,a\nP02,-1,50,a", "before-first-dose", r"all scans before"),
    "capitals": ("p01,0,60,a", "similar-ids", r"'P01', 'p01' \(first on lines 2 and 5\) differ by"),
    "spaces": ('"P01 ",0,60,a', "similar-ids", r"'P01', 'P01 ' .* differ by"),
    "nothing evaluable": ("P02,0,NE,a", "no-usable-scan", r"1 patient without a usable .*'P02'"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "code", "message"), WARNINGS.values(), ids=WARNINGS)
def test_a_doubtful_row_is_a_warning(tmp_path, row, code, message):
    note = notes(tmp_path, P1 + row + "\n")[code]
    assert note.severity == "warning"
    assert re.search(message, note.message)
    assert cohort(tmp_path, P1 + row + "\n")["P01"].size_mm.tolist() == [50, 40, 30]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ("P01,0,6.1,a\nP01,42,5.5,a\nP01,84,8,a\n", "small-sizes"),
        ("P01,0,60,a\nP01,6,50,a\nP01,12,40,a\n", "short-gaps"),
    ],
    ids=["cm", "weeks"],
)
def test_sizes_in_cm_and_days_in_weeks_are_suspected(tmp_path, rows, code):
    note = notes(tmp_path, rows)[code]
    assert (note.severity, note.message.count("?")) == ("warning", 1)


@pytest.mark.parametrize("cell", ["0", "0.0", "4.9", "5", "TOO SMALL TO MEASURE", "too  small"])
def test_small_sizes_are_censored_at_the_limit(tmp_path, cell):
    patient = cohort(tmp_path, f"{P1}P01,126,{cell},a\n")["P01"]
    assert patient.size_mm.tolist() == [50, 40, 30, 5]
    assert patient.censored.tolist() == [False, False, False, True]
    assert notes(tmp_path, f"{P1}P01,126,{cell},a\n")["censored"].rows == 1


def test_a_column_may_give_the_limit(tmp_path):
    header = "patient_id,day,size_mm,limit_mm\n"
    patient = cohort(tmp_path, "P01,0,50,10\nP01,42,8,10\nP01,84,8,\nP01,126,3,\n", header)["P01"]
    assert patient.size_mm.tolist() == [50, 10, 8, 5]
    assert patient.censored.tolist() == [False, True, False, True]
    with pytest.raises(DataError, match=r"column limit_mm: '0' is no limit of measurement"):
        cohort(tmp_path, "P01,0,50,0\n", header)


@pytest.mark.parametrize("cell", ["NOT EVALUABLE", "ne", "Not  Evaluable"])
def test_not_evaluable_rows_are_left_out_and_counted(tmp_path, cell):
    read = cohort(tmp_path, f"{P1}P01,126,{cell},a\n")
    assert len(read["P01"].day) == 3
    assert (read.log.rows_read, read.log.rows_kept) == (4, 3)
    note = read.log.notes[0]
    assert (note.severity, note.code, note.rows) == ("info", "not-evaluable", 1)


def test_a_status_column_says_the_same(tmp_path):
    header = "patient_id,day,size_mm,status\n"
    rows = "P01,0,50,\nP01,42,,TOO SMALL TO MEASURE\nP01,84,3,too small\nP01,126,40,NE\n"
    patient = cohort(tmp_path, rows + "P01,168,45,measured\n", header)["P01"]
    assert patient.day.tolist() == [0, 42, 84, 168]
    assert patient.censored.tolist() == [False, True, True, False]
    with pytest.raises(DataError, match=r"column status: 'gone' is not a known status; write MEAS"):
        cohort(tmp_path, "P01,0,50,gone\n", header)
    with pytest.raises(DataError, match=r"'12' is above the limit of measurement, but the status"):
        cohort(tmp_path, "P01,0,12,TOO SMALL\n", header)


def test_ids_are_text(tmp_path):
    ids = ["001", "1", "-594245265511412736", "-594245265511412737", "<script>", "../../x", "NA"]
    rows = "".join(f"{name},0,60,a\n{name},42,50,a\n" for name in [*ids, "=HYPERLINK(1)"])
    assert set(cohort(tmp_path, rows).keys) == {*ids, "=HYPERLINK(1)"}


def test_interleaved_and_unsorted_rows_are_put_in_order(tmp_path):
    read = cohort(tmp_path, "P02,42,1e1,a\nP01,84,30,a\nP02,0,20,a\nP01,-3,50,a\nP01,42,40,a\n")
    assert [patient.day.tolist() for patient in read] == [[-3, 42, 84], [0, 42]]
    assert read["P01"].size_mm.tolist() == [50, 40, 30]
    assert "2 patients with scans out of order" in read.log.notes[-1].message


ROWS = [
    *(f"{who},{day},{size},{arm}" for who, arm in (("A", "x"), ("B", "y"), ("C", "x"))
      for day, size in ((-3, 50), (42, 41.5), (84, 0), (126, "NE"), (84, "too small"))),
    "D,0,12,y", "D,0,12,y",
]  # fmt: skip


@settings(max_examples=25)
@given(st.permutations(ROWS))
def test_the_order_of_the_rows_does_not_matter(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("order")
    one, other = (cohort(folder, "\n".join(table)) for table in (ROWS, rows))
    assert one.keys == other.keys
    for left, right in zip(one, other, strict=True):
        assert left.arm == right.arm
        for name in ("day", "size_mm", "censored"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    assert one.log.rows_kept == other.log.rows_kept == 10


@pytest.mark.parametrize(
    "rows",
    ["P01,0,50,a\nP01,84,50,a\nP01,3650,50,a\n", "P01,-20,50,a\nP01,-3,48,a\nP01,7300,50,a\n"],
    ids=["all equal, years apart", "two baselines"],
)
def test_rare_courses_are_fine(tmp_path, rows):
    assert cohort(tmp_path, rows).log.notes == ()


def test_constant_columns_become_covariates(tmp_path):
    header = "patient_id,day,size_mm,sex,weight_kg,site,visit,empty\n"
    rows = "P01,0,50,f,70,001,1,\nP01,42,40,,70.0,001,2,\nP02,0,60,m,81.5,1,1,\nP02,42,60,m,,1,2,\n"
    rows = rows.replace("70.0", "70")
    read = cohort(tmp_path, rows, header)
    assert dict(read["P01"].covariates) == {"sex": "f", "weight_kg": 70.0, "site": "001"}
    assert dict(read["P02"].covariates) == {"sex": "m", "weight_kg": 81.5, "site": "1"}
    (note,) = read.log.notes
    assert (note.code, note.column, note.rows) == ("varying-column", "visit", 2)


def test_columns_that_nothing_uses_yet_are_said(tmp_path):
    header = "patient_id,day,size_mm,new_lesion\n"
    note = notes(tmp_path, "P01,0,50,0\nP01,42,50,1\n", header)["unused-column"]
    assert "column new_lesion: not used yet" in note.message


def test_studies_keep_equal_ids_apart(tmp_path):
    header = "study,patient_id,day,size_mm\n"
    read = cohort(tmp_path, "A,1,0,50\nA,1,42,40\nB,1,0,60\nB,1,42,66\n", header)
    assert read.keys == ("A/1", "B/1")
    assert "1 id in more than one study" in read.log.notes[0].message


def test_one_lesion_a_patient_is_read_and_several_are_refused(tmp_path):
    header = "patient_id,day,size_mm,lesion_id\n"
    read = cohort(tmp_path, "P01,0,50,T1\nP01,42,40,T1\nP02,0,30,T2\nP02,42,30,T2\n", header)
    assert read.size_kind == "lesion"
    with pytest.raises(DataError, match=r"line 3, column lesion_id: 'T2' is another lesion than"):
        cohort(tmp_path, "P01,0,50,T1\nP01,0,40,T2\n", header)


def test_arms_are_chosen_by_name(tmp_path):
    rows = P1 + "P02,0,60,b\nP02,42,x,b\n"
    read = cohort(tmp_path, rows, arms=("a",))  # the error in arm b is not read
    assert read.arms == ("a",)
    assert [(note.code, note.rows) for note in read.log.notes] == [("other-arms", 2)]
    with pytest.raises(DataError, match=r"There is no arm 'aa'; the table has 'a', 'b'. Did you m"):
        cohort(tmp_path, rows, arms=("aa",))
    with pytest.raises(DataError, match=r"There is no arm 'a'; the table names no arm"):
        cohort(tmp_path, "P01,0,50\n", "patient_id,day,size_mm\n", arms=("a",))


def test_a_blank_arm_is_that_of_the_patient(tmp_path):
    assert cohort(tmp_path, "P01,0,50,\nP01,42,40,a\nP01,84,40,\n")["P01"].arm == "a"


def test_nothing_left_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"sizes.csv: no usable size is left"):
        cohort(tmp_path, "P01,0,NE,a\nP01,42,,a\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "longg"}, r"There is no format 'longg'; there are 'long', .* Did you mean 'lo"),
        ({"size_kind": "volume"}, r"There is no size_kind 'volume'; there are 'sld', 'lesion'"),
        ({"doses": "d.csv", "regimen": "x"}, r"Give a table of doses or a regimen, not both"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        cohort(tmp_path, P1, **options)


def test_many_bad_rows_are_counted_not_listed(tmp_path):
    rows = "".join(f"P{k},0,x,a\n" for k in range(1000))
    found = check_tables(write(tmp_path, HEADER + rows))
    assert len(found) < 30
    assert sum(note.rows for note in found if note.code == "not-a-number") == 1000
