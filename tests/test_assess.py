"""From tables to tables: what `pdmodel response` reads, gives back, prints and refuses."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pdmodel import cli
from pdmodel.assess import counts, patient_table, read_cases, scan_table
from pdmodel.assess.tables import SCAN_COLUMNS
from pdmodel.errors import DataError
from pdmodel.response import CLASSES, RULES, classify_courses, strict

RULE = RULES["sitc2020_confirmed"]
HEADER = "patient_id,arm,day,size_mm"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a table into an empty folder, which is then the working folder."""
    monkeypatch.chdir(tmp_path)

    def written(text, name="sizes.csv"):
        (tmp_path / name).write_text(text.strip() + "\n")
        return name

    return written


def overall(path, **options):
    table = scan_table(read_cases(path, **options).cases, RULE)
    return table[table["visit"] == "after"]["overall"].tolist()


def one(path, rule=RULE, **options):
    table = patient_table(read_cases(path, **options).cases, rule)
    assert len(table) == 1
    return table.iloc[0]


SIZES = f"""
{HEADER}
p1,a,-3,33.3
p1,a,42,23.31
p1,a,84,0
p1,a,126,TOO SMALL TO MEASURE
p2,b,0,50
p2,b,42,60
p2,b,84,66
"""


def test_one_row_a_scan(write):
    table = scan_table(read_cases(write(SIZES)).cases, RULE)
    assert list(table.columns) == list(SCAN_COLUMNS)
    first = table[table["patient_id"] == "p1"]
    assert first["visit"].tolist() == ["baseline", "after", "after", "after"]
    assert first["size_mm"].tolist() == [33.3, 23.31, 0, 5]
    assert first["change_percent"].tolist()[1:3] == [-30, -100]
    assert first["nadir_mm"].tolist()[1:] == [33.3, 23.31, 0]
    assert first["change_from_nadir_mm"].tolist()[3] == 5
    assert first["change_from_nadir_mm"].tolist()[1] == -9.99  # and not -9.989999999999998
    assert first["overall"].tolist()[1:] == ["PR", "CR", "PD"]  # back after CR, whatever its size
    assert first["immune"].tolist()[1:] == ["iPR", "iCR", "iUPD"]
    assert table[table["patient_id"] == "p2"]["immune"].tolist()[1:] == ["iUPD", "iCPD"]


def test_one_row_a_patient(write):
    table = patient_table(read_cases(write(SIZES)).cases, RULE).set_index("patient_id")
    first, second = table.loc["p1"], table.loc["p2"]
    assert (first["best_response"], first["best_confirmed"]) == ("CR", "PR")
    assert (second["best_response"], second["immune_best"]) == ("PD", "iCPD")
    assert first[["pd_day", "pfs_days", "pfs_event"]].tolist() == [126, 126, "yes"]
    assert first[["response_day", "dor_days", "dor_event"]].tolist() == [42, 84, "yes"]
    assert first["reason"] == "progression on day 126 is not confirmed"
    assert first["immune_pd_open"] == "yes"
    assert second[["class", "label", "robustness"]].tolist() == ["primary", "primary", 1]
    assert second["hyper_ferrara2018"] == (
        "not determinable: no scan 14 days or more before the baseline"
    )
    assert second["hyper_matos2020"] == "no"
    named = [name for name in table.columns if name.startswith("class_")]
    assert named == [f"class_{name}" for name in RULES]


def test_a_size_that_is_not_evaluable_is_a_visit(write):
    path = write(f"{HEADER}\np,a,0,50\np,a,42,40\np,a,84,NE\np,a,126,\np,a,168,60")
    assert overall(path) == ["SD", "NE", "NE", "PD"]
    row = one(path)
    assert row["pfs_days"] == 42
    assert row["pfs_reason"] == "progression on day 168 after 2 missed assessments"


def test_a_measured_size_below_the_limit_is_taken_as_it_stands(write):
    path = write(
        f"{HEADER},status\np,a,0,6,\np,a,42,3.1,\np,a,84,0,TOO SMALL TO MEASURE\np,a,90,4,"
    )
    table = scan_table(read_cases(path).cases, RULE)
    assert table["size_mm"].tolist() == [6, 3.1, 5, 4]


FINDINGS = f"""
{HEADER},nontarget,new_lesion,nontarget_grown,new_count,new_mm
p,a,0,50,,,,,
p,a,42,30,non-cr/non-pd,no,,,
p,a,84,0,CR,,,,
p,a,126,0,,YES,,1,10
p,a,168,0,NE,,no,,15
p,a,210,0,CR,n,,0,0
"""


def test_other_lesions_and_new_ones(write):
    table = scan_table(read_cases(write(FINDINGS)).cases, RULE)
    assert table["nontarget"].tolist()[1:] == ["NON-CR/NON-PD", "CR", "NE", "NE", "CR"]
    assert table["new_lesion"].tolist() == [
        "no",
        "no",
        "no",
        "yes",
        "yes",
        "no",
    ]  # blank: as before
    assert table["overall"].tolist()[1:] == ["PR", "CR", "PD", "PD", "CR"]
    assert table["immune"].tolist()[1:] == ["iPR", "iCR", "iUPD", "iCPD", "iCPD"]


def test_columns_that_are_used_are_not_called_unused(write):
    log = "\n".join(read_cases(write(FINDINGS)).log.lines())
    assert "rows read" in log
    assert not [name for name in ("nontarget", "new_lesion", "new_mm") if name in log]


def test_patients_without_measurable_disease_need_a_size_column_all_the_same(write):
    path = write(f"{HEADER},nontarget\np,a,0,50,\np,a,42,,PD\nq,a,0,50,\nq,a,42,45,")
    assert overall(path) == ["PD", "SD"]


def test_days_that_end_a_course(write):
    path = write(
        f"{HEADER},death_day,new_therapy_day\np,a,0,50,,\np,a,42,45,100,\np,a,84,45,100,90"
    )
    row = one(path)
    assert row[["pfs_days", "pfs_event"]].tolist() == [84, "no"]
    assert row["pfs_reason"] == "another therapy from day 90"
    path = write(f"{HEADER},death_day\np,a,0,50,100\np,a,42,45,100\np,a,84,45,")
    row = one(path)
    assert row[["pfs_days", "pfs_event", "ttp_days", "ttp_event"]].tolist() == [
        100,
        "yes",
        84,
        "no",
    ]


def test_exposure_comes_from_doses_or_from_the_day_of_the_last(write):
    rows = "p,a,0,50\np,a,42,60\np,a,84,66"
    path = write(f"{HEADER}\n{rows}")
    doses = "patient_id,drug,day,amount_mg,duration_day\n"
    twice = write(doses + "p,nivolumab,0,240,0.02\np,nivolumab,14,240,0.02", "doses.csv")
    row = one(path, doses=twice)
    assert row["class"] == "not_determinable"
    assert "after an exposure of 28 days, less than the 42 needed" in row["reason"]
    thrice = write(
        doses + "p,nivolumab,0,240,0.02\np,nivolumab,14,240,0.02\np,nivolumab,28,240,0.02", "d.csv"
    )
    assert one(path, doses=thrice)["class"] == "primary"
    text = rows.replace("50", "50,20").replace("60", "60,20").replace("66", "66,20")
    path = write(f"{HEADER},last_dose_day\n{text}")
    assert "after an exposure of 41 days" in one(path)["reason"]


LESIONS = """
patient_id,arm,day,lesion_id,node,size_mm,nontarget,new_lesion,age,death_day
p,a,-3,T1,,33.3,,,61,400
p,a,-3,T2,yes,15,,,61,
p,a,42,T1,,0,NON-CR/NON-PD,no,61,
p,a,42,T2,,9,,,61,
p,a,84,T1,,0,CR,no,61,
p,a,84,T2,yes,9.5,,,61,
p,a,126,T1,,0,CR,,61,
p,a,168,T1,,TOO SMALL TO MEASURE,,,61,
p,a,168,T2,,9.5,,,61,
q,b,-3,T1,,30,,,50,
q,b,42,T1,,36,,,50,
q,b,84,T1,,36,,,50,
q,b,84,N1,,12,,yes,50,
q,b,126,T1,,36,,,50,
q,b,126,N1,,17,,,50,
"""


def test_lesions_are_summed_and_nodes_are_known(write):
    cases = read_cases(write(LESIONS), regimen="nivolumab 240 mg q2w").cases
    table = scan_table(cases, RULE)
    first = table[table["patient_id"] == "p"]
    assert first["size_mm"].tolist() == [48.3, 9, 9.5, 0, 14.5]
    assert first["target"].tolist()[1:] == ["CR", "CR", "NE", "PD"]
    assert first["overall"].tolist()[1:] == ["PR", "CR", "NE", "PD"]
    second = table[table["patient_id"] == "q"]
    assert second["new_lesion"].tolist() == ["no", "no", "yes", "yes"]
    assert second["immune"].tolist()[1:] == ["iUPD", "iCPD", "iCPD"]
    assert cases[0].patient.covariates == {"age": 61}
    assert set(cases[0].patient.regimens) == {"nivolumab"}
    assert cases[0].death_day == 400


def test_reading_lesions_says_what_was_summed(write):
    log = "\n".join(read_cases(write(LESIONS)).log.lines())
    assert "sizes.csv: 15 rows read" in log
    assert "lesions of 2 patients summed at 9 visits; at 1 of them a target is missing" in log


def test_one_lesion_is_no_sum(write):
    text = "patient_id,day,size_mm,lesion_id\np,0,50,T1\np,42,60,T1"
    assert read_cases(write(text)).cases[0].visits.sums[1] == 60


MISTAKES = {
    "a word of other lesions": (
        f"{HEADER},nontarget\np,a,0,50,\np,a,42,60,worse",
        (
            "line 3, column nontarget: 'worse' is no response of other lesions; write CR, "
            "NON-CR/NON-PD, PD, NE or leave it blank."
        ),
    ),
    "neither yes nor no": (
        f"{HEADER},new_lesion\np,a,0,50,\np,a,42,60,liver",
        "line 3, column new_lesion: 'liver' is neither yes nor no; write one of them.",
    ),
    "a count below 0": (
        f"{HEADER},new_count\np,a,0,50,\np,a,42,60,-1",
        ("line 3, column new_count: '-1' is no number >= 0; write one, or leave it blank."),
    ),
    "a day that is a date": (
        f"{HEADER},death_day\np,a,0,50,2024-01-01\np,a,42,60,",
        ("line 2, column death_day: '2024-01-01' is no number; write one, or leave it blank."),
    ),
    "two days of death": (
        f"{HEADER},death_day\np,a,0,50,100\np,a,42,60,101",
        "line 3, column death_day: 101 differs from 100 in an earlier row; keep one.",
    ),
    "two words of one visit": (
        (
            "patient_id,day,lesion_id,size_mm,nontarget\n"
            "p,0,A,20,\np,0,B,20,\np,42,A,20,CR\np,42,B,20,PD"
        ),
        (
            "line 5, column nontarget: 'PD' differs from line 4, of the same patient and "
            "day; write the same, or leave one blank."
        ),
    ),
    "a lesion without a name": (
        "patient_id,day,lesion_id,size_mm\np,0,A,20\np,0,B,20\np,42,,20",
        (
            "line 4, column lesion_id: the lesion has no name; every row of a table of "
            "lesions needs one."
        ),
    ),
    "a lesion that came later": (
        "patient_id,day,lesion_id,size_mm\np,0,A,20\np,42,A,20\np,42,B,20",
        (
            "line 4, column lesion_id: lesion 'B' of patient 'p' has no size by the "
            "baseline, when targets are chosen; write yes in new_lesion if it is new, or drop its "
            "rows."
        ),
    ),
    "a node and none": (
        "patient_id,day,lesion_id,size_mm,node\np,0,A,20,yes\np,0,B,20,\np,42,A,20,no",
        (
            "line 4, column node: lesion 'A' is a node in one row and none in another. "
            "Write the same in all."
        ),
    ),
    "a size of a lesion that is none": (
        "patient_id,day,lesion_id,size_mm\np,0,A,20\np,0,B,-2\np,42,A,20",
        ("line 3, column size_mm: '-2' is negative. Sizes are >= 0 mm; write NE if not assessed."),
    ),
    "two sizes of a lesion on a day": (
        "patient_id,day,lesion_id,size_mm\np,0,A,20\np,0,A,21\np,0,B,20",
        (
            "line 3, column size_mm: patient 'p:A' has '20 mm', '21 mm' on day 0 (lines 2 "
            "and 3); keep one size a day."
        ),
    ),
    "a size": (
        f"{HEADER}\np,a,0,50\np,a,42,-3",
        ("line 3, column size_mm: '-3' is negative. Sizes are >= 0 mm; write NE if not assessed."),
    ),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place_and_the_way_out(write, text, message):
    with pytest.raises(DataError) as told:
        read_cases(write(text))
    assert str(told.value) == f"sizes.csv, {message}"


def test_doses_of_a_table_of_lesions_are_checked_under_its_own_name(write):
    with pytest.raises(DataError, match=r"There is no arm 'z'; the table has 'a', 'b'"):
        read_cases(write(LESIONS), regimen={"z": "nivolumab 240 mg q2w"})


def test_a_path_that_is_not_there_is_told_as_by_the_other_commands(write):
    write(SIZES)
    with pytest.raises(DataError, match=r"no.csv: there is no such file"):
        read_cases("no.csv")
    with pytest.raises(DataError, match=r"There is no format 'wide'"):
        read_cases("sizes.csv", format="wide")


def test_counts_by_arm(write):
    table = patient_table(read_cases(write(SIZES)).cases, RULE)
    found = counts(table, "best_confirmed", ["PR", "SD", "PD"])
    assert found.to_dict("index") == {
        "a": {"patients": 1, "PR": 1, "SD": 0, "PD": 0},
        "b": {"patients": 1, "PR": 0, "SD": 0, "PD": 1},
        "all": {"patients": 2, "PR": 1, "SD": 0, "PD": 1},
    }


@settings(max_examples=20)
@given(st.permutations(range(7)))
def test_the_order_of_rows_changes_nothing(tmp_path_factory, order):
    head, *rows = SIZES.strip().split("\n")
    path = tmp_path_factory.mktemp("rows") / "sizes.csv"
    path.write_text("\n".join([head, *(rows[k] for k in order)]))
    cases = read_cases(path).cases
    expected = ["PR", "CR", "PD", "PD", "PD"]
    assert scan_table(cases, RULE).dropna(subset="overall")["overall"].tolist() == expected


def test_of_the_published_sizes_both_ways_to_a_class_agree(real_data):
    cases = read_cases(real_data, format="laleh2022").cases
    table = patient_table(cases, RULE)
    assert len(table) == 1102
    for name, rule in RULES.items():
        for case, label in list(zip(cases, table[f"class_{name}"], strict=True))[::5]:
            whole = ~np.isnan(case.visits.size_mm)
            day, size = case.visits.day[whole], case.visits.size_mm[whole]
            assert CLASSES[classify_courses(day, size, strict(rule))] == label


# ------------------------------------------------------------------------------ the command


def pdmodel(*words):
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli.app, list(map(str, words)))
    assert "Traceback" not in result.output
    return result


def test_the_command_writes_both_tables_and_prints_counts(write, tmp_path):
    words = ["response", write(SIZES), "-o", "response.csv", "--patients", "patients.csv"]
    result = pdmodel(*words, "--robustness", "--compare", "sitc2020", "--compare", "jitc2021")
    assert result.exit_code == 0, result.output
    scans = pd.read_csv(tmp_path / "response.csv", keep_default_na=False)
    assert list(scans.columns) == list(SCAN_COLUMNS)
    patients = pd.read_csv(tmp_path / "patients.csv")
    assert {"class_sitc2020", "class_jitc2021"} <= set(patients.columns)
    assert "class_schoenfeld2021" not in patients.columns
    for said in (
        "7 rows read",
        "Best confirmed response",
        "under sitc2020_confirmed",
        "share of 2 rules",
        "not determinable",
        "Written to response.csv and patients.csv.",
    ):
        assert said in result.output
    again = pdmodel(*words)
    assert again.exit_code == 1
    assert "response.csv is there already" in again.stderr
    assert pdmodel(*words, "--overwrite").exit_code == 0


def test_the_command_hides_ids(write, tmp_path):
    result = pdmodel("response", write(SIZES), "-o", "r.csv", "--patients", "p.csv", "--hide-ids")
    assert result.exit_code == 0, result.output
    for name in ("r.csv", "p.csv"):
        assert set(pd.read_csv(tmp_path / name)["patient_id"]) == {1, 2}


def test_arms_with_brackets_are_printed_as_they_are(write):
    path = write(f"{HEADER}\np,[red]a,0,50\np,[red]a,42,60")
    assert "[red]a" in pdmodel("response", path, "-o", "r.csv").output


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["sizes.csv"], 2, "Missing option '-o' / '--output'"),
        (["sizes.csv", "-o", "r.txt"], 1, "Error: r.txt must end in .csv."),
        (["sizes.csv", "-o", "r.csv", "--rule", "who"], 2, "'who' is not one of 'sitc2020'"),
        (
            ["sizes.csv", "-o", "r.csv", "--compare", "who"],
            1,
            "Error: There is no rule 'who'; known",
        ),
        (["sizes.csv", "-o", "r.csv", "--patients", "r.csv"], 1, "Error: r.csv cannot be both"),
        (["no.csv", "-o", "r.csv"], 1, "Error: no.csv: there is no such file; check the path."),
    ],
)
def test_a_wrong_command_is_answered_in_a_line(write, tmp_path, words, code, message):
    write(SIZES)
    result = pdmodel("response", *words)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert [path.name for path in tmp_path.iterdir()] == ["sizes.csv"]
