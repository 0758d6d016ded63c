"""Clinical layouts, SDTM and ADaM: on tables made here, and on shared transport files."""

from pathlib import Path

import pandas as pd
import pytest

from pdmodel.data import Assessment, Cohort, Patient, check_tables, read_cohort
from pdmodel.errors import DataError

ZERO = "2024-03-01"

TR = """\
STUDYID,USUBJID,TRGRPID,TRLNKID,TRTESTCD,TRSTRESC,TRSTRESN,TRSTRESU,TRSTAT,TREVAL,VISITNUM,TRDTC,TRDY
S,01,TARGET,T01,LDIAM,30,30,mm,,INVESTIGATOR,1,2024-02-25,-5
S,01,TARGET,T02,LDIAM,22,22,mm,,INVESTIGATOR,1,2024-02-25,-5
S,01,TARGET,T02,LPERP,16,16,mm,,INVESTIGATOR,1,2024-02-25,-5
S,01,NON-TARGET,NT01,TUMSTATE,PRESENT,,,,INVESTIGATOR,1,2024-02-25,-5
S,01,TARGET,T01,LDIAM,2.5,2.5,cm,,INVESTIGATOR,2,2024-04-12,43
S,01,TARGET,T02,LDIAM,15,15,mm,,INVESTIGATOR,2,2024-04-12,43
S,01,TARGET,T02,LPERP,8,8,mm,,INVESTIGATOR,2,2024-04-12,43
S,01,TARGET,T01,LDIAM,TOO SMALL TO MEASURE,,,,INVESTIGATOR,3,2024-05-24,85
S,01,TARGET,T02,LPERP,7,7,mm,,INVESTIGATOR,3,2024-05-24,85
S,01,TARGET,T01,LDIAM,,,,NOT DONE,INVESTIGATOR,4,2024-07-05,127
S,01,TARGET,T02,LPERP,9,9,mm,,INVESTIGATOR,4,2024-07-05,127
S,02,TARGET,T01,LDIAM,40,40,mm,,INVESTIGATOR,1,2024-03-01,1
S,02,TARGET,T01,LDIAM,,,,,INVESTIGATOR,2,2024-04-12,43
S,02,TARGET,T01,TUMSTATE,ABSENT,,,,INVESTIGATOR,2,2024-04-12,43
"""
TU = "USUBJID,TULNKID,TULOC\n01,T01,LIVER\n01,T02,LYMPH NODE\n02,T01,LUNG\n"
DM = (
    "STUDYID,USUBJID,RFSTDTC,RFXSTDTC,ACTARM,AGE,SEX,RACE\n"
    "S,01,2024-02-28,2024-03-01,Mono,61,F,ASIAN\nS,02,2024-03-01,2024-03-01,Combo,70,M,WHITE\n"
)
EX = """\
STUDYID,USUBJID,EXTRT,EXDOSE,EXDOSU,EXSTDTC,EXENDTC,EXDOSFRQ,EXOCCUR
S,01,TECENTRIQ,1200,mg,2024-03-01T10:00,2024-03-01T11:00,ONCE,Y
S,01,Tecentriq,1.2,g,2024-03-22,2024-03-22,,Y
S,01,Tecentriq,1200,mg,2024-04-12,2024-04-12,,N
S,02,ATEZOLIZUMAB,1200,mg,2024-03-01,2024-04-30,Q3W,
S,02,PACLITAXEL,175,mg/m2,2024-03-01,2024-03-01,ONCE,
"""
RS = """\
STUDYID,USUBJID,RSTESTCD,RSSTRESC,RSEVAL,VISITNUM,RSDTC
S,01,OVRLRESP,PR,INVESTIGATOR,2,2024-04-12
S,01,NTRGRESP,NON-CR/NON-PD,INVESTIGATOR,2,2024-04-12
S,01,OVRLRESP,PD,INDEPENDENT ASSESSOR,2,2024-04-12
"""
KNOWN = ("atezolizumab", "nivolumab")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"tr": TR, "tu": TU, "dm": DM, "ex": EX, "rs": RS}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def read(path: Path, **options) -> Cohort:
    return read_cohort(path, format="sdtm", **{"known_drugs": KNOWN, **options})


def codes(cohort: Cohort) -> dict[str, int]:
    return {note.code: note.rows for note in cohort.log.notes}


def course(patient: Patient) -> tuple:
    return (patient.day.tolist(), patient.size_mm.tolist(), patient.censored.tolist())


def rewritten(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    path = folder / name
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return folder


def test_lesions_are_summed_with_nodes_by_their_short_axis(folder):
    cohort = read(folder)
    assert cohort.keys == ("S/01", "S/02")
    one, two = cohort
    assert one.day.tolist() == [-5, 42, 84]  # the fourth visit lacks a target
    assert one.size_mm.tolist() == [30 + 16, 25 + 8, 5 + 7]
    assert not one.censored.any()
    assert two.day.tolist() == [0, 42]
    assert (two.size_mm.tolist(), two.censored.tolist()) == ([40, 5], [False, True])
    found = codes(cohort)
    assert found["incomplete-visit"] == 1
    assert found["converted"] == 1  # 2.5 cm, and in the doses 1.2 g
    assert found["small-lesion"] == 1


def test_the_file_and_its_folder_are_the_same(folder):
    one, other = read(folder), read(folder / "tr.csv")
    assert [p.size_mm.tolist() for p in one] == [p.size_mm.tolist() for p in other]
    (folder / "tr_2.csv").write_text(TR)
    with pytest.raises(DataError, match=r"there are 'tr.csv', 'tr_2.csv'; name the file to read"):
        read(folder)
    with pytest.raises(DataError, match=r"there is no adtr .* in this folder"):
        read_cohort(folder, format="adam")


def test_people_come_with_arm_and_covariates(folder):
    one, two = read(folder)
    assert (one.arm, two.arm) == ("Mono", "Combo")
    assert one.covariates == {"age": 61.0, "sex": "F", "race": "ASIAN", "female": 1.0, "asian": 1.0,
                              "black": 0.0}  # fmt: skip
    assert two.covariates["female"] == 0.0
    assert read(folder, arms=("Mono",)).keys == ("S/01",)


def test_weights_come_from_vital_signs(folder):
    (folder / "vs.csv").write_text(
        "STUDYID,USUBJID,VSTESTCD,VSSTRESN,VSSTRESU,VSBLFL,VSDTC\n"
        "S,01,WEIGHT,80,kg,,2024-02-01\nS,01,WEIGHT,78,kg,Y,2024-02-28\n"
        "S,02,WEIGHT,66,kg,,2024-02-01\nS,02,PULSE,66,beats/min,,2024-02-01\n"
    )
    rewritten(folder, "ex.csv", ("1.2,g,", "15,mg/kg,"))
    one, two = read(folder)
    assert (one.covariates["weight"], two.covariates["weight"]) == (78, 66)
    assert one.regimens["atezolizumab"].amount.tolist() == [1200, 15 * 78]


def test_doses_come_from_exposure(folder):
    cohort = read(folder)
    one, two = (p.regimens["atezolizumab"] for p in cohort)
    assert (one.start.tolist(), one.amount.tolist()) == ([0, 21], [1200, 1200])
    assert one.duration.tolist() == pytest.approx([1 / 24, 1 / 24])
    assert two.start.tolist() == [0, 21, 42]  # written out: q3w from 1 March to 30 April
    found = codes(cohort)
    assert (found["not-given"], found["unknown-drug"], found["doses-expanded"]) == (1, 1, 1)
    said = {n.code: n.message for n in cohort.log.notes}
    assert "'tecentriq = atezolizumab'" in said["brand"]
    assert "'paclitaxel', for which there is no drug here, not used" in said["unknown-drug"]
    assert cohort.drugs == ("atezolizumab",)


def test_doses_may_be_given_otherwise(folder):
    assert read(folder, regimen="none").drugs == ()
    assert read(folder, regimen="nivolumab 240 mg q2w").drugs == ("nivolumab",)
    other = folder / "exposure.csv"
    other.write_text(EX.replace("Tecentriq", "OPDIVO").replace("TECENTRIQ", "OPDIVO"))
    assert read(folder, doses=other)["S/01"].regimens.keys() == {"nivolumab"}
    table = folder / "doses.csv"
    table.write_text("patient_id,drug,day,amount_mg,duration_day\n01,nivolumab,0,240,0\n")
    assert read(folder, doses=table)["S/01"].regimens["nivolumab"].total_mg == 240


EXPOSURE = {
    "unit": (("1.2,g,", "1.2,mL,"), r"ex.csv, line 3, column EXDOSU: 'mL' is not a unit of a dose"),
    "amount": (("1.2,g,", "lots,g,"), r"line 3, column EXDOSE: 'lots' is not a number"),
    "blank": (("1.2,g,", ",g,"), r"line 3, column EXDOSE: it is blank; write the dose in mg"),
    "negative": (("1.2,g,", "-1,g,"), r"line 3, column EXDOSE: '-1' is negative"),
    "month": (("2024-03-22,2024-03-22", "2024-03,2024-03"),
              r"line 3, column EXSTDTC: '2024-03' does not say on which day the dose began"),
    "no date": (("2024-03-22,2024-03-22", "soon,2024-03-22"), r"EXSTDTC: 'soon' is not a date"),
    "frequency": (("Q3W", "PRN"), r"line 5, column EXDOSFRQ: 'PRN' is not known as a frequency"),
    "weight": (("1.2,g,", "15,mg/kg,"), r"line 3, column EXDOSE: '15' is for each kg"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), EXPOSURE.values(), ids=EXPOSURE)
def test_exposure_that_cannot_be_used_is_an_error_with_its_place(folder, change, message):
    with pytest.raises(DataError, match=message):
        read(rewritten(folder, "ex.csv", change))


def test_responses_are_kept_beside_the_sizes(folder):
    assert read(folder)["S/01"].assessments == (
        Assessment(42, overall="PR", nontarget="NON-CR/NON-PD"),
    )
    assert read(folder)["S/01"].known_by(40).assessments == ()
    assert read(folder)["S/02"].assessments == ()
    (note,) = (n for n in read(rewritten(folder, "rs.csv", (",PR,", ",BETTER,"))).log.notes
               if n.code == "unknown-response")  # fmt: skip
    assert "1 row with a response that is not known, kept as it is (line 2)" in note.message


def test_evaluators_are_chosen_and_counted(folder):
    independent = TR.replace("INVESTIGATOR", "INDEPENDENT ASSESSOR").replace(",30,30,", ",31,31,")
    (folder / "tr.csv").write_text(TR + independent.partition("\n")[2])
    assert read(folder)["S/01"].size_mm[0] == 46
    passed = [n.rows for n in read(folder).log.notes if n.code == "evaluator"]
    assert passed == [14, 1]  # of the tumors, and of the responses
    assert read(folder, evaluator="independent assessor")["S/01"].size_mm[0] == 47
    with pytest.raises(DataError, match=r"no evaluator 'reader 3'; there are 'INDEPENDENT ASSESS"):
        read(folder, evaluator="reader 3")


def test_the_independent_readers_need_a_choice_or_a_flag(folder):
    header, _, rows = TR.partition("\n")
    lines = [row.replace("INVESTIGATOR", "INDEPENDENT ASSESSOR") for row in rows.splitlines()]
    both = [f"{row},{reader},{flag}" for reader, flag in (("R1", ""), ("R2", "Y")) for row in lines]
    path = folder / "tr.csv"
    path.write_text("\n".join([header + ",TREVALID,TRACPTFL", *both]))
    assert read(folder)["S/01"].size_mm.tolist() == [46, 33, 12]
    assert read(folder, evaluator="accepted")["S/01"].size_mm.tolist() == [46, 33, 12]
    assert read(folder, evaluator="r1")["S/01"].size_mm.tolist() == [46, 33, 12]
    path.write_text(path.read_text().replace(",Y\n", ",\n").removesuffix("Y"))
    with pytest.raises(DataError, match=r"INDEPENDENT ASSESSOR are 'R1', 'R2', and none is flag"):
        read(folder)


def test_a_date_cut_short_is_placed_and_told(folder):
    rewritten(folder, "tr.csv", ("2024-04-12,43", "2024-04,43"))
    assert read(folder)["S/01"].day.tolist() == [-5, 42, 84]  # by the study day
    assert "study-day" in codes(read(folder))
    rewritten(folder, "tr.csv", ("2024-04,43", "2024-04,"))
    cohort = read(folder)
    assert cohort["S/01"].day.tolist() == [-5, 46, 84]  # the middle of April, 1 March is day 0
    note = next(n for n in cohort.log.notes if n.code == "month-only")
    assert (note.severity, note.rows) == ("warning", 5)
    rewritten(folder, "tr.csv", ("2024-04,", "2024,"))
    cohort = read(folder)
    assert cohort["S/01"].day.tolist() == [-5, 84]
    assert codes(cohort)["blank-day"] == 2


def test_a_baseline_of_which_the_month_is_known_is_not_put_behind_the_first_dose(folder):
    rewritten(folder, "tr.csv", ("2024-02-25,-5", "2024-03,"))
    assert read(folder)["S/01"].day[0] == 0


def test_study_days_that_contradict_dates_are_told(folder):
    rewritten(folder, "tr.csv", ("2024-05-24,85", "2024-05-24,80"))
    cohort = read(folder)
    assert cohort["S/01"].day.tolist() == [-5, 42, 84]
    assert codes(cohort)["day-against-date"] == 2


def test_days_count_from_the_first_dose_where_nobody_says_when_treatment_began(folder):
    (folder / "dm.csv").unlink()
    assert read(folder)["S/01"].day.tolist() == [-5, 42, 84]
    assert read(folder)["S/01"].arm == ""
    (folder / "ex.csv").unlink()
    assert read(folder)["S/01"].day.tolist() == [-5, 42, 84]  # by the study days
    rewritten(folder, "tr.csv", (",TRDY", ",XX"))
    with pytest.raises(DataError, match=r"no usable size is left"):
        read(folder)
    found = {n.code: n for n in check_tables(folder, format="sdtm")}
    assert "whose first dose has no date (DM, EX), without a day" in found["no-day-zero"].message


TUMORS = {
    "state": (("TOO SMALL TO MEASURE", "SHRUNK"),
              r"tr.csv, line 9, column TRSTRESC: 'SHRUNK' is neither a size nor a known state"),
    "unit": ((",2.5,cm", ",2.5,inch"), r"line 6, column TRSTRESU: 'inch' is no unit of length"),
    "date": (("2024-05-24", "24.05.2024"), r"line 9, column TRDTC: '24.05.2024' is not a date"),
    "negative": ((",40,40,", ",-40,-40,"), r"line 13, column TRSTRESC: '-40' is negative"),
    "absurd": ((",2.5,2.5,cm", ",250,250,cm"), r"line 6, column TRSTRESC: '250' is above 1000 mm"),
    "no column": (("TRTESTCD", "TEST"), r"column 'TRTESTCD' missing"),
    "no target": ((",TARGET,", ",LESION,"), r"no diameter of a target lesion"),
    "two sizes": (("S,01,TARGET,T01,LDIAM,,,,NOT DONE,INVESTIGATOR,4,2024-07-05,127",
                   "S,01,TARGET,T01,LDIAM,9,9,mm,,INVESTIGATOR,3,2024-05-24,85"),
                  r"lesion 'T01' of patient '01' has '5 mm', '9 mm' at one visit"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), TUMORS.values(), ids=TUMORS)
def test_tumors_that_cannot_be_used_are_an_error_with_their_place(folder, change, message):
    with pytest.raises(DataError, match=message):
        read(rewritten(folder, "tr.csv", change))


def test_states_of_lesions_are_understood(folder):
    for word, size in {"ABSENT": 7, "NOT EVALUABLE": None, "COALESCED": None, "<5 mm": 12}.items():
        (folder / "tr.csv").write_text(TR.replace("TOO SMALL TO MEASURE", word))
        assert read(folder)["S/01"].size_mm.tolist()[2:] == ([] if size is None else [size])


def test_without_places_longest_diameters_are_taken_and_told(folder):
    (folder / "tu.csv").unlink()
    cohort = read(folder)
    assert cohort["S/01"].size_mm.tolist()[:2] == [30 + 22, 25 + 15]
    assert "lymph nodes are not known" in next(
        n.message for n in cohort.log.notes if n.code == "no-tu"
    )


def test_a_node_without_a_short_axis_is_not_evaluable(folder):
    rewritten(
        folder, "tr.csv", ("S,01,TARGET,T02,LPERP,8,8,mm,,INVESTIGATOR,2,2024-04-12,43\n", "")
    )
    cohort = read(folder)
    assert cohort["S/01"].day.tolist() == [-5, 84]
    assert codes(cohort)["no-short-axis"] == 1


def test_lesions_may_stay_apart(folder):
    cohort = read(folder, size_kind="lesion")
    assert cohort.keys == ("S/01:T01", "S/01:T02", "S/02:T01")
    assert cohort["S/01:T01"].size_mm.tolist() == [30, 25, 5]
    assert cohort["S/01:T02"].size_mm.tolist() == [16, 8, 7, 9]
    assert cohort["S/01:T02"].regimens["atezolizumab"].total_mg == 2400
    assert cohort["S/01:T02"].covariates["age"] == 61


def test_sums_in_the_table_are_compared(folder):
    sums = "S,01,TARGET,,SUMDIAM,{0},{0},mm,,INVESTIGATOR,{1},{2},{3}\n"
    extra = (sums.format(46, 1, "2024-02-25", -5) + sums.format(40, 2, "2024-04-12", 43)
             + sums.format(9, 4, "2024-07-05", 127))  # fmt: skip
    (folder / "tr.csv").write_text(TR + extra)
    found = {n.code: n for n in read(folder).log.notes}
    assert found["sum-against-lesions"].rows == 1
    assert (found["sum-of-some"].severity, found["sum-of-some"].rows) == ("info", 1)


def test_the_order_of_rows_does_not_matter(folder):
    plain = read(folder)
    for name in ("tr", "tu", "dm", "ex", "rs"):
        header, *rows = (folder / f"{name}.csv").read_text().splitlines()
        (folder / f"{name}.csv").write_text("\n".join([header, *rows[::-1]]))
    for one, other in zip(plain, read(folder), strict=True):
        assert (one.day.tolist(), one.size_mm.tolist()) == (
            other.day.tolist(),
            other.size_mm.tolist(),
        )
        assert one.regimens == other.regimens
        assert (one.covariates, one.assessments) == (other.covariates, other.assessments)


# ---------------------------------------------------------------------------------------- ADaM

ADTR = """\
STUDYID,USUBJID,TRT01A,AGE,SEX,PARAMCD,PARCAT2,AVAL,AVALC,ADY,ADT,TRTSDT,ANL01FL
S,01,Mono,61,F,LDIAM1,Investigator,30,,-5,2024-02-25,2024-03-01,Y
S,01,Mono,61,F,LDIAM2,Investigator,16,,-5,2024-02-25,2024-03-01,Y
S,01,Mono,61,F,SDIAM,Investigator,46,,-5,2024-02-25,2024-03-01,Y
S,01,Mono,61,F,SDIAM,Investigator,33,,43,2024-04-12,2024-03-01,Y
S,01,Mono,61,F,SDIAM,Investigator,20,,85,2024-05-24,2024-03-01,
S,01,Mono,61,F,SDIAM,Independent,50,,-5,2024-02-25,2024-03-01,Y
S,02,Combo,70,M,SDIAM,Investigator,40,,1,2024-03-01,2024-03-01,Y
S,02,Combo,70,M,SDIAM,Investigator,.,TOO SMALL TO MEASURE,43,2024-04-12,2024-03-01,Y
"""


def adam(folder: Path, text: str = ADTR, **options) -> Cohort:
    (folder / "adtr.csv").write_text(text)
    return read_cohort(folder / "adtr.csv", format="adam", **options)


def test_sums_for_the_analysis_are_read(tmp_path):
    cohort = adam(tmp_path)
    one, two = cohort
    assert (one.key, one.arm, one.covariates) == ("S/01", "Mono", {"age": 61.0, "sex": "F"})
    assert (one.day.tolist(), one.size_mm.tolist()) == ([-5, 42], [46, 33])
    assert (two.day.tolist(), two.censored.tolist()) == ([0, 42], [False, True])
    assert {n.code: n.rows for n in cohort.log.notes} == {
        "not-for-analysis": 1, "evaluator": 1, "passed-over": 2, "censored": 1,
    }  # fmt: skip
    assert adam(tmp_path, evaluator="independent")["S/01"].size_mm.tolist() == [50]


def test_lesions_of_the_analysis_may_stay_apart(tmp_path):
    assert adam(tmp_path, size_kind="lesion").keys == ("S/01:LDIAM1", "S/01:LDIAM2")


def test_days_are_counted_from_dates_where_they_are_not_said(tmp_path):
    text = ADTR.replace(",ADY,", ",XDY,")
    assert adam(tmp_path, text)["S/01"].day.tolist() == [-5, 42]


def test_patients_come_from_adsl_and_responses_from_adrs(tmp_path):
    (tmp_path / "adsl.csv").write_text(
        "STUDYID,USUBJID,TRT01A,TRTSDT,AGE,SEX\nS,01,Other,2024-03-01,62,F\n"
        "S,02,Other,2024-03-01,70,M\n"
    )
    (tmp_path / "adrs.csv").write_text(
        "STUDYID,USUBJID,PARAMCD,AVALC,ADT,ADY,PARCAT2\nS,01,OVR,PR,2024-04-12,43,Investigator\n"
        "S,01,BOR,PR,,,Investigator\n"
    )
    one, _ = adam(tmp_path)
    assert (one.arm, one.covariates["age"]) == ("Other", 62)
    assert one.assessments == (Assessment(42, overall="PR"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("SDIAM", "OTHER"), r"no PARAMCD is SDIAM or SUMDIAM or SLD; there are 'LDIAM1', 'LDIA"),
        ((",33,", ",x,"), r"adtr.csv, line 5, column AVAL: 'x' is not a size"),
        ((",43,2024-04-12", ",0,2024-04-12"), r"line 5, column ADY: '0' is no study day"),
        (("AVAL,", "VAL,"), r"column 'AVAL' missing"),
        (("S,01,Mono,61,F,SDIAM,Investigator,33", "S,01,Mono,61,F,SLD,Investigator,33"),
         r"'SDIAM', 'SLD' are all sums of diameters"),
    ],
)  # fmt: skip
def test_an_analysis_that_cannot_be_used_is_an_error(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        adam(tmp_path, ADTR.replace(*change))


# ------------------------------------------------------------------------------ transport files


KEY = ["USUBJID", "TREVAL", "TREVALID", "VISITNUM"]


@pytest.mark.parametrize("reader", ["INVESTIGATOR", "RADIOLOGIST 1", "RADIOLOGIST 2"])
def test_sums_equal_those_of_the_shared_file(transport, reader):
    import pyreadstat

    cohort = read(transport / "tr_onco.xpt", evaluator=reader)
    raw, _ = pyreadstat.read_xport(str(transport / "tr_onco.xpt"))
    who = raw["TREVALID"].where(raw["TREVALID"] != "", raw["TREVAL"])
    raw = raw[who == reader]
    sums = raw[raw["TRTESTCD"] == "SUMDIAM"].set_index(KEY)["TRSTRESN"]
    known = raw[raw["TRTESTCD"] == "DIAMETER"].groupby(KEY)["TRSTRESN"].agg(["count", "size"])
    whole = known["count"] == known["size"]
    theirs = sums[whole.reindex(sums.index)]
    assert cohort.scans == len(theirs) == len(sums) - int((~whole).sum())
    for patient in cohort:
        mine = sorted(0.0 if mm <= 5 else mm for mm in patient.size_mm)
        other = theirs.xs(patient.id, level="USUBJID")
        assert mine == sorted(0.0 if mm <= 5 else mm for mm in other)


def test_shared_files_can_be_used(transport):
    for name, layout in (("tr_onco", "sdtm"), ("tr_onco_recist", "sdtm"), ("adtr_onco", "adam")):
        found = check_tables(transport / f"{name}.xpt", format=layout, known_drugs=KNOWN)
        assert "error" not in {note.severity for note in found}
    assert len(read(transport / "tr_onco.xpt")) == 60


def test_the_analysis_file_has_the_sums_of_the_tumor_file(transport):
    tumors = read(transport / "tr_onco_recist.xpt")
    analysis = read_cohort(transport / "adtr_onco.xpt", format="adam", known_drugs=KNOWN)
    assert tumors.keys == analysis.keys
    for one, other in zip(tumors, analysis, strict=True):
        assert one.size_mm.tolist() == other.size_mm.tolist()
        assert one.arm == other.arm


def test_transport_files_need_pyreadstat(tmp_path, monkeypatch):
    import sys

    path = tmp_path / "tr.xpt"
    path.write_bytes(b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!000000000000000000")
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    with pytest.raises(DataError, match=r"need pyreadstat: pip install 'pdmodel\[formats\]', or"):
        read(path)


def test_damaged_transport_files_are_refused(tmp_path):
    path = tmp_path / "tr.xpt"
    path.write_bytes(b"USUBJID,TRTESTCD\n1,LDIAM\n")
    with pytest.raises(DataError, match=r"this is not a SAS transport file \(.xpt\)"):
        read(path)
    pytest.importorskip("pyreadstat")
    path.write_bytes(b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!0000000000000000")
    with pytest.raises(DataError, match=r"tr.xpt: .*(damaged|header but no rows|empty)"):
        read(path)


def test_a_transport_file_reads_like_the_plain_table(folder):
    pyreadstat = pytest.importorskip("pyreadstat")
    plain = read(folder)
    for name in ("tr", "tu", "dm", "ex", "rs"):
        frame = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        (folder / f"{name}.csv").unlink()
        pyreadstat.write_xport(frame, str(folder / f"{name}.xpt"), file_format_version=5)
    for one, other in zip(plain, read(folder), strict=True):
        assert (one.day.tolist(), one.size_mm.tolist()) == (
            other.day.tolist(),
            other.size_mm.tolist(),
        )
        assert (one.regimens, one.covariates) == (other.regimens, other.covariates)


def test_parquet_reads_like_the_plain_table(folder):
    pytest.importorskip("pyarrow")
    plain = read(folder)
    for name in ("tr", "ex"):
        frame = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        (folder / f"{name}.csv").unlink()
        frame.to_parquet(folder / f"{name}.parquet")
    for one, other in zip(plain, read(folder), strict=True):
        assert (one.day.tolist(), one.size_mm.tolist()) == (
            other.day.tolist(),
            other.size_mm.tolist(),
        )
        assert one.regimens == other.regimens
