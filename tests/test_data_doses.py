"""Doses: from a table, or from a regimen in words."""

import re
from pathlib import Path

import pytest

from pdmodel.data import Cohort, check_tables, read_cohort
from pdmodel.dosing import Schedule
from pdmodel.errors import DataError

SIZES = "patient_id,day,size_mm,arm\nP01,-3,50,a\nP01,84,30,a\nP02,0,60,b\nP02,50,66,b\n"
HEADER = "patient_id,drug,day,amount_mg,duration_day\n"
GOOD = "P01,atezolizumab,0,1200,0.0417\nP01,atezolizumab,21,1200,0.0417\nP02,x,0,100,0\n"


def write(folder: Path, text: str, name: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def cohort(folder: Path, rows: str, header: str = HEADER, sizes: str = SIZES, **kw) -> Cohort:
    doses = write(folder, header + rows, "doses.csv")
    return read_cohort(write(folder, sizes, "sizes.csv"), doses=doses, **kw)


def test_doses_become_regimens_by_drug(tmp_path):
    read = cohort(tmp_path, GOOD + "P01, Ipilimumab,21,80,0.02\n")
    assert read.drugs == ("atezolizumab", "ipilimumab", "x")
    given = read["P01"].regimens["atezolizumab"]
    assert given.start.tolist() == [0, 21]
    assert given.amount.tolist() == [1200, 1200]
    assert given.duration.tolist() == [0.0417, 0.0417]
    assert read["P01"].schedules == ()
    assert read.log.notes == ()


ERRORS = {
    "negative dose": ("P01,x,0,-200,0.02", r"doses.csv, line 5, column amount_mg: '-200' is neg"),
    "infinite dose": ("P01,x,0,inf,0.02", r"line 5, column amount_mg: 'inf' is not finite"),
    "blank dose": ("P01,x,0,,0.02", r"line 5, column amount_mg: it is blank; write the dose in mg"),
    "dose with unit": ("P01,x,0,3 mg,0.02", r"column amount_mg: '3 mg' has a unit"),
    "dose with thousands": ('P01,x,0,"1,200",0.02', r"'1,200' has a thousands separator"),
    "negative duration": ("P01,x,0,200,-1", r"column duration_day: '-1' is negative; .* a bolus"),
    "infinite duration": ("P01,x,0,200,inf", r"line 5, column duration_day: 'inf' is not finite"),
    "blank duration": ("P01,x,0,200,", r"line 5, column duration_day: it is blank; .* 0.0417"),
    "blank day": ("P01,x,,200,0.02", r"line 5, column day: it is blank"),
    "date": ("P01,x,2024-01-01,200,0.02", r"column day: '2024-01-01' is a date"),
    "blank drug": ("P01,,0,200,0.02", r"line 5, column drug: no drug is named"),
    "blank id": (",x,0,200,0.02", r"line 5, column patient_id: the id is blank"),
    "unknown drug": ("P01,atezolizumap,0,200,0.02", r"known are .*Did you mean 'atezolizumab'"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "message"), ERRORS.values(), ids=ERRORS)
def test_an_impossible_dose_is_an_error_with_its_place(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        cohort(tmp_path, GOOD + row, known_drugs=("x", "atezolizumab"))


WARNINGS = {
    "unknown patient": ("P99,x,0,200,0.02", "dose-unknown-patient",
                        r"1 row of patients without sizes \('P99'\), not used; .*line 5"),
    "dose row twice": ("P02,x,0,100,0", "duplicate-dose", r"1 row repeating a dose; .* add up"),
    "mg/kg": ("P01,ipilimumab,0,3,0.02", "small-amount", r"dose of ipilimumab is 3 mg; is it in g"),
    "minutes": ("P01,x,0,200,60\nP01,x,21,200,60\nP01,x,42,200,60\nP01,x,63,200,60",
                "long-infusion", r"the median infusion takes 60 days; are these minutes\?"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "code", "message"), WARNINGS.values(), ids=WARNINGS)
def test_a_doubtful_dose_is_a_warning(tmp_path, row, code, message):
    found = {note.code: note for note in cohort(tmp_path, GOOD + row).log.notes}
    assert found[code].severity == "warning"
    assert re.search(message, found[code].message)


def test_repeated_and_overlapping_doses_add_up(tmp_path):
    read = cohort(tmp_path, GOOD + "P02,x,0,100,0\nP02,x,30,50,10\nP02,x,35,50,10\n")
    assert read["P02"].regimens["x"].total_mg == 300


def test_a_zero_dose_a_bolus_and_a_late_dose_are_fine(tmp_path):
    read = cohort(tmp_path, GOOD + "P02,x,21,0,0.02\nP02,x,900,100,0\n")
    assert read.log.notes == ()
    assert read["P02"].regimens["x"].start.tolist() == [0, 21, 900]


def test_a_patient_without_a_dose_is_a_warning(tmp_path):
    (note,) = cohort(tmp_path, "P01,x,0,100,0\n").log.notes
    assert (note.severity, note.code, note.patient) == ("warning", "no-dose", "P02")
    codes = {note.code for note in cohort(tmp_path, "P99,x,0,100,0\n").log.notes}
    assert codes == {"dose-unknown-patient", "no-dose"}


def test_a_first_dose_on_another_day_than_0_is_a_warning(tmp_path):
    notes = cohort(tmp_path, "P01,x,90,100,0\nP01,y,120,50,0\nP02,x,0,100,0\n").log.notes
    assert {note.code: note.patient for note in notes} == {
        "first-dose-day": "P01",
        "before-first-dose": "P01",
    }


def test_missing_columns_of_the_doses_are_named(tmp_path):
    with pytest.raises(DataError, match=r"doses.csv: column 'amount_mg' missing; .* Rename"):
        cohort(tmp_path, GOOD, HEADER.replace("amount_mg", "amount"))
    with pytest.raises(DataError, match=r"nodoses.csv: there is no such file"):
        read_cohort(write(tmp_path, SIZES, "sizes.csv"), doses=tmp_path / "nodoses.csv")


def test_doses_of_arms_left_out_are_no_unknown_patients(tmp_path):
    read = cohort(tmp_path, GOOD, arms=("a",))
    assert [note.code for note in read.log.notes] == ["other-arms"]


TWO = "study,patient_id,day,size_mm\nA,1,0,50\nA,1,42,40\nB,1,0,60\nB,1,42,66\nB,2,0,9\nB,2,42,66\n"


def test_doses_find_their_patient_by_study_and_id(tmp_path):
    header = "study," + HEADER
    rows = "A,1,x,0,100,0\nB,1,x,0,200,0\nB,2,x,0,300,0\n"
    read = cohort(tmp_path, rows, header, TWO)
    assert [p.regimens["x"].total_mg for p in read] == [100, 200, 300]
    with pytest.raises(DataError, match=r"line 2, .*_id: '1' is in studies 'A', 'B'"):
        cohort(tmp_path, "1,x,0,100,0\n", sizes=TWO)
    assert cohort(tmp_path, "2,x,0,300,0\n", sizes=TWO)["B/2"].regimens["x"].total_mg == 300
    plain = cohort(tmp_path, "S,P01,x,0,100,0\n", header)
    assert plain["P01"].regimens["x"].total_mg == 100


def test_problems_of_both_tables_are_listed_together(tmp_path):
    sizes = write(tmp_path, SIZES + "P03,0,x,a\n", "sizes.csv")
    found = check_tables(sizes, write(tmp_path, HEADER + "P01,x,0,-1,0\n", "doses.csv"))
    assert [(Path(n.file).name, n.column) for n in found if n.severity == "error"] == [
        ("sizes.csv", "size_mm"),
        ("doses.csv", "amount_mg"),
    ]
    assert "no-dose" not in {note.code for note in found}  # the doses were not understood


def test_a_regimen_in_words_goes_on_until_the_last_scan(tmp_path):
    read = read_cohort(write(tmp_path, SIZES, "s.csv"), regimen="atezolizumab 1200 mg q3w")
    assert [p.regimens["atezolizumab"].start.tolist() for p in read] == [
        [0, 21, 42, 63, 84],
        [0, 21, 42],
    ]
    assert read["P02"].schedules == (Schedule("atezolizumab", 1200, 21),)
    (note,) = read.log.notes
    assert (note.severity, note.code) == ("info", "stop-unknown")
    assert "do not say when treatment stopped" in note.message


def test_regimens_may_differ_by_arm_and_be_joined(tmp_path):
    sizes = write(tmp_path, SIZES, "s.csv")
    words = {"a": "nivolumab 240 mg q2w + ipilimumab 80 mg q6w x1"}
    read = read_cohort(sizes, regimen=words)
    assert read["P01"].regimens["ipilimumab"].start.tolist() == [0]
    assert len(read["P01"].schedules) == 2
    assert read["P02"].schedules == ()
    assert [note.code for note in read.log.notes] == ["no-dose", "stop-unknown"]
    chosen = read_cohort(sizes, regimen=words | {"b": "nivolumab 240 mg q2w"}, arms=("a",))
    assert chosen.drugs == ("ipilimumab", "nivolumab")


def test_a_regimen_needs_no_arms(tmp_path):
    bare = "patient_id,day,size_mm\nP01,0,60\nP01,42,50\n"
    read = read_cohort(write(tmp_path, bare, "s.csv"), regimen="atezolizumab 1200 mg q3w")
    assert read["P01"].regimens["atezolizumab"].start.tolist() == [0, 21, 42]
    some = "patient_id,day,size_mm,arm\nP01,0,60,a\nP01,42,50,a\nP02,0,60,\nP02,42,50,\n"
    read = read_cohort(write(tmp_path, some, "s.csv"), regimen="atezolizumab 1200 mg q3w")
    assert [list(p.regimens) for p in read] == [["atezolizumab"]] * 2
    assert [note.code for note in read.log.notes] == ["stop-unknown"]


def test_none_is_no_drug_and_no_reason_for_a_warning(tmp_path):
    sizes = write(tmp_path, SIZES, "s.csv")
    read = read_cohort(sizes, regimen="none")
    assert (read.drugs, read.log.notes) == ((), ())
    read = read_cohort(sizes, regimen={"a": "nivolumab 240 mg q2w", "b": "None"})
    assert [bool(p.regimens) for p in read] == [True, False]
    assert [note.code for note in read.log.notes] == ["stop-unknown"]


def test_a_name_alone_takes_the_labelled_regimen(tmp_path):
    labelled = {"atezolizumab": ("1200 mg q3w", "840 mg q2w")}
    sizes = write(tmp_path, SIZES, "s.csv")
    read = read_cohort(sizes, regimen="atezolizumab", labelled=labelled)
    assert read["P01"].schedules[0].amount_mg == 1200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regimen": "atezolizumab q3w"}, r"'atezolizumab q3w' has no dose"),
        ({"regimen": {"c": "x 1 mg q3w"}}, r"There is no arm 'c'; the table has 'a', 'b'"),
        ({"regimen": "atezolizumap 1 mg q3w", "known_drugs": ("atezolizumab",)},
         r"There is no drug 'atezolizumap'; known are 'atezolizumab'. Did you mean"),
        ({"regimen": "pembrolizumab", "known_drugs": ("atezolizumab",)},
         r"There is no drug 'pembrolizumab'; known are 'atezolizumab'\.$"),
        ({"regimen": "atezolizumab 1 mg q3w + x", "known_drugs": ("atezolizumab",)},
         r"There is no drug 'x'"),
        ({"regimen": {"c": "none"}}, r"There is no arm 'c'; the table has 'a', 'b'"),
    ],
)  # fmt: skip
def test_regimens_that_cannot_be_are_refused(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        read_cohort(write(tmp_path, SIZES, "s.csv"), **options)
