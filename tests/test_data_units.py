"""Units: said by a column's name or declared, converted in one place, and told."""

from pathlib import Path

import numpy as np
import pytest

from pdmodel.data import Cohort, check_tables, read_cohort
from pdmodel.errors import DataError

MM = "patient_id,day,size_mm\nP01,-7,52\nP01,42,47\nP01,84,4\nP02,0,33\nP02,49,41\n"
CM = "patient_id,week,size_cm\nP01,-1,5.2\nP01,6,4.7\nP01,12,0.4\nP02,0,3.3\nP02,7,4.1\n"


def write(folder: Path, text: str, name: str = "sizes.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def courses(cohort: Cohort) -> list[tuple]:
    return [(p.id, p.day.tolist(), np.round(p.size_mm, 12).tolist(), p.censored.tolist())
            for p in cohort]  # fmt: skip


def test_a_unit_in_the_name_of_a_column_is_converted_and_told(tmp_path):
    plain = read_cohort(write(tmp_path, MM))
    cohort = read_cohort(write(tmp_path, CM, "cm.csv"))
    assert courses(cohort) == courses(plain)
    told = [note.message for note in cohort.log.notes if note.code == "converted"]
    assert told == [
        f"{tmp_path / 'cm.csv'}, column size_cm: cm, converted to mm (times 10).",
        f"{tmp_path / 'cm.csv'}, column week: week, converted to day (times 7).",
    ]


def test_a_unit_may_be_declared(tmp_path):
    text = CM.replace("week", "day").replace("size_cm", "size_mm")
    cohort = read_cohort(write(tmp_path, text), units={"size": "CM", "time": "weeks"})
    assert courses(cohort) == courses(read_cohort(write(tmp_path, MM, "mm.csv")))
    codes = {note.code for note in check_tables(tmp_path / "sizes.csv")}
    assert {"small-sizes", "short-gaps"} <= codes  # suspected where nothing was declared


def test_problems_are_told_in_the_names_and_numbers_of_the_file(tmp_path):
    path = write(tmp_path, CM + "P03,0,-5\nP03,6,120\nP03,x,4\n")
    found = [(n.line, n.column, n.value) for n in check_tables(path) if n.severity == "error"]
    assert found == [(9, "week", "x"), (7, "size_cm", "-5"), (8, "size_cm", "120")]
    with pytest.raises(DataError, match=r"sizes.csv, line 9, column week: 'x' is not a number"):
        read_cohort(path)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"size": "furlong"}, r"There is no unit 'furlong' of size; known are 'mm', 'cm', 'dm'"),
        ({"length": "cm"}, r"There is no unit of 'length' to declare; there is one of 'size'"),
        ({"size": "mm"}, r"column 'size_cm' says cm, but mm was declared; correct one"),
    ],
)
def test_units_that_cannot_be_are_refused(tmp_path, units, message):
    with pytest.raises(DataError, match=message):
        read_cohort(write(tmp_path, CM), units=units)


def test_two_columns_for_one_quantity_are_refused(tmp_path):
    text = "patient_id,week,month,size_mm\nP01,6,1,50\n"
    with pytest.raises(DataError, match=r"columns 'week', 'month' hold the same; keep one of them"):
        read_cohort(write(tmp_path, text))
    visits = "patient_id,day,week,size_mm\nP01,0,0,50\nP01,42,6,40\n"  # a name of the visit
    assert read_cohort(write(tmp_path, visits))["P01"].day.tolist() == [0, 42]


def test_units_that_a_layout_has_no_use_for_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"Format 'sdtm' has no use for units .* leave it out"):
        read_cohort(write(tmp_path, CM), format="sdtm", units={"size": "cm"})
    with pytest.raises(DataError, match=r"Format 'long' has no use for evaluator 'X'"):
        read_cohort(write(tmp_path, CM), evaluator="X")
    with pytest.raises(DataError, match=r"Format 'long' has no use for drug 'x'"):
        read_cohort(write(tmp_path, CM), drug="x")


SIZES = "patient_id,day,size_mm,weight\nP01,-3,50,70\nP01,84,30,70\nP02,0,60,80\nP02,50,66,80\n"


@pytest.mark.parametrize(
    ("header", "rows", "units"),
    [
        ("amount_g,duration_min", "1.2,60", {}),
        ("amount_mg,duration_h", "1200,1", {}),
        ("amount_mg,duration_day", "1.2,60", {"amount": "g", "duration": "min"}),
    ],
)
def test_doses_in_other_units_are_converted(tmp_path, header, rows, units):
    text = f"patient_id,drug,day,{header}\nP01,x,0,{rows}\nP02,x,0,{rows}\n"
    read = read_cohort(write(tmp_path, SIZES), doses=write(tmp_path, text, "d.csv"), units=units)
    for patient in read:
        given = patient.regimens["x"]
        np.testing.assert_allclose([*given.amount, *given.duration], [1200, 1 / 24], rtol=1e-12)
    assert {note.code for note in read.log.notes} == {"converted"}


PER_KG = "patient_id,drug,day,amount_mg_per_kg,duration_h\nP01,x,0,3,1\nP02,x,0,1,1\n"


def test_doses_per_kg_take_the_weight_of_the_sizes_or_of_the_doses(tmp_path):
    read = read_cohort(write(tmp_path, SIZES), doses=write(tmp_path, PER_KG, "d.csv"))
    assert [p.regimens["x"].total_mg for p in read] == [210, 80]
    own = PER_KG.replace("duration_h", "duration_h,weight").replace(",1\n", ",1,100\n")
    read = read_cohort(write(tmp_path, SIZES), doses=write(tmp_path, own, "d.csv"))
    assert [p.regimens["x"].total_mg for p in read] == [300, 100]


def test_doses_per_kg_without_a_weight_are_refused(tmp_path):
    bare = write(tmp_path, SIZES.replace("weight", "site"))
    doses = write(tmp_path, PER_KG, "d.csv")
    message = r"d.csv, line 2, column amount_mg_per_kg: '3' is for each kg, and the patient has no"
    with pytest.raises(DataError, match=message):
        read_cohort(bare, doses=doses)
    absurd = write(tmp_path, SIZES.replace(",70\n", ",7000\n"))
    with pytest.raises(DataError, match=r"no weight of 20 to 300 kg"):
        read_cohort(absurd, doses=doses)


def test_covariates_are_told_with_their_types_and_gaps(tmp_path):
    text = (
        "patient_id,day,size_mm,weight,site,egfr\nP01,0,50,70,A,60\nP01,42,40,70,A,60\n"
        "P02,0,60,,B,UNK\nP02,42,60,.,B,UNK\nP03,0,60,7000,B,90\nP03,42,60,7000,B,90\n"
    )
    log = read_cohort(write(tmp_path, text)).log
    assert [str(one) for one in log.covariates] == [
        "weight (number: 70 to 7000; missing in 1 of 3)",
        "site (text: 'A', 'B'; missing in 0 of 3)",
        "egfr (text: '60', '90', 'UNK'; missing in 0 of 3)",
    ]
    assert [(n.severity, n.code, n.line, n.value) for n in log.notes] == [
        ("warning", "odd-covariate", 6, "7000"),
        ("warning", "mixed-covariate", 4, "UNK"),
        ("info", "missing-covariate", None, ""),
    ]
    assert "column weight: '7000' is no body weight, which is 20 to 300 kg" in log.notes[0].message
    assert "column egfr: 'UNK' is a word among numbers" in log.notes[1].message
    assert "column weight: 1 patient of 3 without a value ('P02')" in log.notes[2].message
    assert "covariate: site (text" in "\n".join(log.lines())
    assert [n.column for n in check_tables(tmp_path / "sizes.csv") if n.code == "covariate"] == [
        "weight", "site", "egfr",
    ]  # fmt: skip
