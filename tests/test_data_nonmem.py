"""NONMEM data sets: observations and doses in one table."""

import re
from pathlib import Path

import numpy as np
import pytest

from pdmodel.data import Cohort, check_tables, read_cohort
from pdmodel.errors import DataError

HEADER = "ID,TIME,AMT,RATE,EVID,MDV,II,ADDL,SS,CMT,DV,BLQ,LLOQ,ARM,WEIGHT"
ROWS = """\
1,-7,.,.,0,0,.,.,.,2,52,0,5,A,70
1,0,1200,28800,1,1,21,3,.,1,.,.,.,A,70
1,42,.,.,0,0,.,.,.,2,47,0,5,A,70
1,84,.,.,0,0,.,.,.,2,6,1,6,A,70
2,0,240,.,4,1,.,.,.,1,.,.,.,B,.
2,0,.,.,0,0,.,.,.,2,33,0,5,B,.
2,45,.,.,0,0,.,.,.,2,.,0,5,B,.
2,90,.,.,0,0,.,.,.,2,0,0,5,B,."""


def write(folder: Path, rows: str = ROWS, header: str = HEADER, name: str = "data.csv") -> Path:
    (folder / name).write_text(f"{header}\n{rows}\n")
    return folder / name


def read(path: Path, **options) -> Cohort:
    return read_cohort(path, format="nonmem", **{"drug": "atezolizumab", **options})


def test_observations_and_doses_are_told_apart(tmp_path):
    cohort = read(write(tmp_path))
    one, two = cohort
    assert (one.id, one.arm, one.covariates) == ("1", "A", {"weight": 70.0})
    assert one.day.tolist() == [-7, 42, 84]
    assert one.size_mm.tolist() == [52, 47, 6]
    assert one.censored.tolist() == [False, False, True]
    given = one.regimens["atezolizumab"]
    assert given.start.tolist() == [0, 21, 42, 63]
    np.testing.assert_allclose(given.duration, 1 / 24)
    assert two.day.tolist() == [0, 90]  # a point is missing, a zero is a lesion that is gone
    assert two.censored.tolist() == [False, True]
    assert two.covariates == {}
    assert two.regimens["atezolizumab"].resets.tolist() == [0]


def test_every_record_is_counted(tmp_path):
    log = read(write(tmp_path)).log
    (note,) = (note for note in log.notes if note.code == "records")
    assert note.message.endswith("8 records: 6 observations, 2 of doses, 0 other events, 0 without "
                                 "a value (MDV 1).")  # fmt: skip
    assert (log.rows_read, log.rows_kept) == (6, 5)
    assert [n.rows for n in log.notes if n.code == "blank-size"] == [1]


@pytest.mark.parametrize(
    "name",
    ["spaces", "tabs", "table", "comment", "lower", "cens", "no evid"],
)
def test_other_spellings_of_the_same_table(tmp_path, name):
    header, rows = HEADER, ROWS
    if name == "spaces":
        header, rows = header.replace(",", "  "), rows.replace(",", " ")
    elif name == "tabs":
        header, rows = header.replace(",", "\t"), rows.replace(",", "\t")
    elif name == "table":
        header = "TABLE NO.  1\n " + header.replace(",", " ")
        rows = rows.replace(",", "   ")
    elif name == "comment":
        header, rows = "C," + header, "\n".join(f".,{row}" for row in rows.splitlines())
        rows += "\nC,1,126,.,.,0,0,.,.,.,2,4700,0,5,A,70"
    elif name == "lower":
        header = header.lower()
    elif name == "cens":
        header = header.replace("BLQ", "CENS")
    elif name == "no evid":
        header = header.replace("EVID", "OCC")
        rows = rows.replace("2,0,240,.,4", "2,0,240,.,1")
    same, plain = read(write(tmp_path, rows, header)), read(write(tmp_path, name="plain.csv"))
    assert [(p.id, p.day.tolist(), p.size_mm.tolist(), p.censored.tolist()) for p in same] == [
        (p.id, p.day.tolist(), p.size_mm.tolist(), p.censored.tolist()) for p in plain
    ]
    assert [p.regimens["atezolizumab"].start.tolist() for p in same] == [[0, 21, 42, 63], [0]]


def test_times_in_hours_are_declared_or_suspected(tmp_path):
    rows = [row.split(",") for row in ROWS.replace("28800", "1200").splitlines()]
    rows = [[c[0], str(24 * float(c[1])), *c[2:]] for c in rows]
    hours = "\n".join(map(",".join, rows)).replace(",21,3,", ",504,3,")
    path = write(tmp_path, hours)
    cohort = read(path, units={"time": "hour"})
    assert [p.day.tolist() for p in cohort] == [[-7, 42, 84], [0, 90]]
    given = cohort["1"].regimens["atezolizumab"]
    np.testing.assert_allclose(given.start, [0, 21, 42, 63])
    np.testing.assert_allclose(given.duration, 1 / 24)
    assert "long-gaps" not in {note.code for note in cohort.log.notes}
    (note,) = (n for n in check_tables(path, format="nonmem", drug="x") if n.code == "long-gaps")
    assert "are these hours? Declare the unit (--unit time=hour)" in note.message


def test_the_drug_must_be_said_once_for_all_or_by_compartment(tmp_path):
    path = write(tmp_path)
    with pytest.raises(DataError, match=r"data.csv, line 3, column CMT: it is not said of which "
                       r"drug .* --drug 1=NAME"):  # fmt: skip
        read(path, drug=None)
    assert read(path, drug={"1": "Nivolumab"}).drugs == ("nivolumab",)
    assert read(path, drug=None, regimen="none").drugs == ()  # in place of the doses
    with pytest.raises(DataError, match=r"column CMT: no dose is in '7'; there are '1'"):
        read(path, drug={"": "x", "7": "y"})
    with pytest.raises(DataError, match=r"there is no drug 'nivolumap'; .* Did you mean 'nivolu"):
        read(path, drug="nivolumap", known_drugs=("nivolumab",))
    named = write(tmp_path, ROWS.replace("\n", ",nivolumab\n") + ",.", HEADER + ",DRUG")
    assert read(named, drug=None, known_drugs=("nivolumab",)).drugs == ("nivolumab",)


def test_a_reset_is_one_of_every_drug(tmp_path):
    rows = ROWS + "\n1,63,.,.,3,1,.,.,.,1,.,.,.,A,70\n1,21,80,.,1,1,.,.,.,3,.,.,.,A,70"
    patient = read(write(tmp_path, rows), drug={"1": "nivolumab", "3": "ipilimumab"})["1"]
    assert patient.regimens["nivolumab"].resets.tolist() == [63]
    assert patient.regimens["ipilimumab"].resets.tolist() == [63]
    assert patient.regimens["ipilimumab"].start.tolist() == [21]


def test_a_steady_state_is_kept(tmp_path):
    rows = ROWS.replace("1,0,1200,28800,1,1,21,3,.", "1,0,1200,28800,1,1,21,.,1")
    given = read(write(tmp_path, rows))["1"].regimens["atezolizumab"]
    assert (given.interval.tolist(), given.resets.tolist()) == ([21], [0])


def test_observations_of_another_kind_must_be_told_apart(tmp_path):
    rows = ROWS + "\n1,42,.,.,0,0,.,.,.,1,80,0,5,A,70"
    path = write(tmp_path, rows)
    with pytest.raises(DataError, match=r"several kinds \(CMT '1', '2'\); say which are sizes, as"):
        read(path)
    assert read(path, dv="CMT=2")["1"].size_mm.tolist() == [52, 47, 6]
    with pytest.raises(DataError, match=r"dv 'CM=2' is not COLUMN=VALUE; .* Did you mean 'CMT'"):
        read(path, dv="CM=2")
    with pytest.raises(DataError, match=r"no observation has CMT '3'; there are '1', '2'"):
        read(path, dv="CMT=3")


ERRORS = {
    "no such event": ("1,90,.,.,7,1,.,.,.,1,.,.,.,A,70", r"line 10, column EVID: '7' is not known"),
    "rate without amount": ("1,90,0,100,1,1,.,.,.,1,.,.,.,A,70",
                            r"line 10: patient '1': Event record .* A rate needs an amount"),
    "modelled rate": ("1,90,100,-2,1,1,.,.,.,1,.,.,.,A,70", r"line 10: .* must be >= 0"),
    "ADDL without II": ("1,90,100,.,1,1,.,2,.,1,.,.,.,A,70", r"line 10: .*needs an interval"),
    "negative amount": ("1,90,-100,.,1,1,.,.,.,1,.,.,.,A,70", r"line 10: .* has amount -100"),
    "amount in words": ("1,90,some,.,1,1,.,.,.,1,.,.,.,A,70",
                        r"line 10, column AMT: 'some' is not a number"),
    "dose without time": ("1,.,100,.,1,1,.,.,.,1,.,.,.,A,70",
                          r"line 10, column TIME: the time is missing"),
    "size without time": ("1,.,.,.,0,0,.,.,.,2,50,0,5,A,70", r"column TIME: the day is blank"),
    "clock": ("1,10:30,.,.,0,0,.,.,.,2,50,0,5,A,70", r"column TIME: '10:30' is not a number"),
    "two arms": ("1,90,.,.,0,0,.,.,.,2,50,0,5,B,70", r"column ARM: patient '1' is in arm 'B'"),
    "no id": (".,90,.,.,0,0,.,.,.,2,50,0,5,A,70", None),
}  # fmt: skip


@pytest.mark.parametrize(("row", "message"), ERRORS.values(), ids=ERRORS)
def test_a_record_that_cannot_be_is_an_error_with_its_place(tmp_path, row, message):
    path = write(tmp_path, f"{ROWS}\n{row}")
    found = check_tables(path, format="nonmem", drug="atezolizumab")
    if message:
        assert any(n.severity == "error" and re.search(message, n.message) for n in found), found


def test_columns_that_are_missing_are_named(tmp_path):
    with pytest.raises(DataError, match=r"column 'ID' and 'DV' missing; the columns are 'PID'"):
        read(write(tmp_path, "1,2,3", "PID,TIME,CONC"))


def test_right_censoring_is_refused(tmp_path):
    rows = ROWS.replace("2,6,1,6", "2,6,-1,6")
    with pytest.raises(DataError, match=r"line 5, column CENS: a size above a limit"):
        read(write(tmp_path, rows, HEADER.replace("BLQ", "CENS")))


def test_a_limit_that_is_not_said_is_told(tmp_path):
    rows = ROWS.replace("2,6,1,6", "2,.,1,.")
    cohort = read(write(tmp_path, rows))
    assert cohort["1"].size_mm.tolist() == [52, 47, 5]
    (note,) = (note for note in cohort.log.notes if note.code == "no-limit")
    assert "1 row below a limit that is not said, taken for 5 mm (line 5)" in note.message


def test_records_of_an_id_that_are_apart_are_told(tmp_path):
    moved = ROWS.splitlines()
    path = write(tmp_path, "\n".join([*moved[4:], *moved[:2], moved[4], *moved[2:4]]))
    (note,) = (n for n in check_tables(path, format="nonmem", drug="x") if n.code == "id-apart")
    assert "NONMEM takes them for several patients, here each is one" in note.message


def test_doses_per_kg_take_the_weight(tmp_path):
    rows = ROWS.replace("1200,28800", "3,72").replace("B,.", "B,80")
    given = read(write(tmp_path, rows), units={"amount": "mg/kg"})["1"].regimens["atezolizumab"]
    assert given.amount.tolist() == [210] * 4
    np.testing.assert_allclose(given.duration, 1 / 24)
