"""Tables of lesions: kept apart, or summed by visit."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdmodel.data import Cohort, check_tables, read_cohort
from pdmodel.errors import DataError

HEADER = "patient_id,lesion_id,day,size_mm,arm\n"
ROWS = ["P01,T1,-7,30,A", "P01,T2,-7,20.5,A", "P01,T1,42,25,A", "P01,T2,42,TOO SMALL,A",
        "P01,T1,84,0,A", "P01,T2,84,too small,A", "P02,T1,0,15,B", "P02,T1,42,16,B"]  # fmt: skip


def cohort(folder: Path, rows: list[str], header: str = HEADER, **options) -> Cohort:
    path = folder / "sizes.csv"
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return read_cohort(path, **{"size_kind": "sld", **options})


def test_lesions_are_summed_by_visit(tmp_path):
    read = cohort(tmp_path, ROWS)
    assert (read.size_kind, read.keys) == ("sld", ("P01", "P02"))
    assert read["P01"].day.tolist() == [-7, 42, 84]
    assert read["P01"].size_mm.tolist() == [50.5, 30, 5]  # RECIST: 5 mm for what is too small
    assert read["P01"].censored.tolist() == [False, False, True]
    assert read["P02"].size_mm.tolist() == [15, 16]
    small = next(note for note in read.log.notes if note.code == "small-lesion")
    assert "2 lesions too small to measure, '5 mm' in the sum (RECIST 1.1)" in small.message


def test_lesions_may_stay_courses_of_their_own(tmp_path):
    read = cohort(tmp_path, ROWS, size_kind="lesion", regimen="atezolizumab 1200 mg q3w")
    assert (read.size_kind, read.keys) == ("lesion", ("P01:T1", "P01:T2", "P02:T1"))
    assert [(p.person, p.lesion, p.arm) for p in read] == [
        ("P01", "T1", "A"), ("P01", "T2", "A"), ("P02", "T1", "B"),
    ]  # fmt: skip
    assert read["P01:T2"].censored.tolist() == [False, True, True]
    assert all(p.regimens["atezolizumab"].start[0] == 0 for p in read)
    (note,) = (note for note in read.log.notes if note.code == "lesions-apart")
    assert "3 lesions of 2 patients, each a course of its own" in note.message


def test_it_must_be_said_what_several_lesions_are(tmp_path):
    with pytest.raises(DataError, match=r"line 3, column lesion_id: 'T2' .*\(--size-kind sld\)"):
        cohort(tmp_path, ROWS, size_kind=None)


@pytest.mark.parametrize(
    "row", ["P01,T2,42,NE,A", "P01,T2,42,,A", None], ids=["not evaluable", "blank", "no row"]
)
def test_a_visit_that_lacks_a_target_has_no_sum(tmp_path, row):
    rows = [one for one in ROWS if one != "P01,T2,42,TOO SMALL,A"] + ([row] if row else [])
    read = cohort(tmp_path, rows)
    assert read["P01"].day.tolist() == [-7, 84]
    (note,) = (note for note in read.log.notes if note.code == "incomplete-visit")
    assert (note.severity, note.rows, note.patient) == ("warning", 1, "P01")
    assert "1 visit without a sum" in note.message
    assert read.log.rows_read == read.log.rows_kept + 1


def test_a_lesion_first_seen_after_the_baseline_is_no_target(tmp_path):
    read = cohort(tmp_path, [*ROWS, "P01,T9,42,11,A"])
    assert read["P01"].size_mm.tolist() == [50.5, 30, 5]
    (note,) = (note for note in read.log.notes if note.code == "late-lesion")
    assert "1 row of lesions first seen after the baseline" in note.message


def test_two_sizes_of_a_lesion_at_one_visit_are_refused_unless_they_are_equal(tmp_path):
    read = cohort(tmp_path, [*ROWS, "P01,T1,42,25.0,A"])
    assert [n.rows for n in read.log.notes if n.code == "duplicate-row"] == [1]
    with pytest.raises(DataError, match=r"lesion 'T1' of patient 'P01' has '25 mm', '26 mm' at .*"
                       r"\(lines 4 and 10\)"):  # fmt: skip
        cohort(tmp_path, [*ROWS, "P01,T1,42,26,A"])


def test_a_visit_over_several_days_is_one_where_it_is_named(tmp_path):
    header = "patient_id,lesion_id,visit,day,size_mm\n"
    rows = ["P01,T1,screening,-9,30", "P01,T2,screening,-7,20", "P01,T1,w6,42,20",
            "P01,T2,w6,45,20"]  # fmt: skip
    read = cohort(tmp_path, rows, header)
    assert read["P01"].day.tolist() == [-9, 42]
    assert read["P01"].size_mm.tolist() == [50, 40]


def test_a_lesion_needs_a_name(tmp_path):
    for kind in ("sld", "lesion"):
        with pytest.raises(DataError, match=r"line 10, column lesion_id: the lesion has no name"):
            cohort(tmp_path, [*ROWS, "P01,,42,25,A"], size_kind=kind)


def test_problems_in_the_cells_of_lesions_have_their_place(tmp_path):
    path = tmp_path / "sizes.csv"
    path.write_text(HEADER + "P01,T1,0,x,A\nP01,T2,soon,-3,A\nP01,T1,42,5,A\n")
    found = {
        (n.line, n.column) for n in check_tables(path, size_kind="sld") if n.severity == "error"
    }
    assert found == {(2, "size_mm"), (3, "size_mm"), (3, "day")}


@settings(max_examples=25)
@given(st.permutations([*ROWS, "P01,T3,-7,11.1,A", "P01,T3,42,12.3,A", "P01,T3,84,NE,A"]))
def test_the_order_of_lesions_does_not_change_a_sum(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("order")
    patient = cohort(folder, rows)["P01"]
    assert patient.size_mm.tolist() == [30 + 20.5 + 11.1, 25 + 5 + 12.3]
