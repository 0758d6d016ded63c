"""Bad and odd inputs, each by the number it has in the project's list of eighty.

Every one is typed at the command line. Numbers 62 to 67 are of models, and stand in the tests of
models and of the solver.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import pdmodel as pdm
from pdmodel import cli
from pdmodel.data import check_tables, read_cohort
from pdmodel.data.demo import demo_cohort
from pdmodel.errors import DataError

OK, UNFIT, USAGE = 0, 1, 2
HEADER = "patient_id,day,size_mm,arm\n"
P1 = "P01,-3,50,a\nP01,42,40,a\nP01,84,30,a\n"
DOSES = "patient_id,drug,day,amount_mg,duration_day\n"
GIVEN = "P01,atezolizumab,0,1200,0.0417\n"


def typed(*words: object):
    """What the command line answers; a traceback is always wrong."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, list(map(str, words)))
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "should not have happened" not in result.output
    return result


def judged(result) -> str:
    """Error, warning or OK, as `check` told."""
    if result.exit_code:
        return "E"
    return "W" if "warning:" in result.stdout else "O"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(content: str | bytes, name: str = "s.csv") -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def many(rows: int) -> str:
    return "".join(f"P{k // 10},{42 * (k % 10)},{50 + k % 7},a\n" for k in range(rows))


SIZES = {
    "1 column missing": ("patient_id,day,arm\nP01,0,a\n", "E", "'size_mm' missing; the columns"),
    "2 header only": (HEADER, "E", "no rows below it"),
    "3 empty file": ("", "E", "the file is empty"),
    "5 text in size": (P1 + "P01,126,SHRUNK,a", "E", "line 5, column size_mm: 'SHRUNK' is not a"),
    "5 known words": (P1 + "P01,126,TOO SMALL TO MEASURE,a", "O", "1 size 0, too small"),
    "5 not evaluable": (P1 + "P01,126,NOT EVALUABLE,a", "O", "1 row NOT EVALUABLE, left out"),
    "6 negative size": (P1 + "P01,126,-5,a", "E", "line 5, column size_mm: '-5' is negative"),
    "7 zero size": (P1 + "P01,126,0,a", "O", "left-censored there"),
    "8 missing size": (P1 + "P01,126,,a", "W", "1 row without a size, left out (line 5)"),
    "9 exact duplicate": (P1 + "P01,84,30,a", "W", "1 row the same as another row"),
    "10 conflicting duplicate": (P1 + "P01,84,71,a", "E", "lines 4 and 5"),
    "11 unsorted": ("P01,84,30,a\nP01,0,50,a\nP01,42,40,a\n", "O", "scans out of order"),
    "12 interleaved": ("P01,0,50,a\nP02,0,60,a\nP01,42,40,a\nP02,42,60,a\n", "O", None),
    "13 long ids": (("-594245265511412736,0,50,a\n-594245265511412736,42,50,a\n"
                    "-594245265511412737,0,50,a\n-594245265511412737,42,50,a\n"), "O", None),
    "14 leading zeros": ("001,0,50,a\n001,42,50,a\n1,0,60,a\n1,42,60,a\n", "O", None),
    "15 ids that run": (("<script>,0,50,a\n<script>,42,50,a\n../../x,0,50,a\n../../x,42,50,a\n"
                        "=HYPERLINK(1),0,50,a\n=HYPERLINK(1),42,50,a\n"), "O", None),
    "16 cm": ("P01,0,6,a\nP01,42,5.5,a\nP01,84,8,a\n", "W", "are the sizes in cm?"),
    "17 weeks": ("P01,0,60,a\nP01,6,50,a\nP01,12,40,a\n", "W", "are the days weeks or months?"),
    "18 semicolons": ("patient_id;day;size_mm\nP01;0;60,5\nP01;42;50,5\n", "O", "2 decimal commas"),
    "19 BOM and CRLF": ("\ufeff" + (HEADER + P1).replace("\n", "\r\n"), "O", None),
    "20 latin-1": ((HEADER + P1.replace("P01", "Müller")).encode("latin-1"), "E", "CSV UTF-8"),
    "21 dates": (P1 + "P01,2024-01-01,60,a", "E", "'2024-01-01' is a date or a time"),
    "22 infinite time": (P1 + "P01,inf,50,a", "E", "column day: 'inf' is not finite"),
    "22 NaN time": (P1 + "P01,NaN,50,a", "E", "column day: 'NaN' is not finite"),
    "23 one observation": ("P01,0,60,a\n", "W", "one scan only"),
    "24 arm changes": (P1 + "P01,126,30,b", "E", "is in arm 'b' here and in 'a' on line 2"),
    "25 no baseline": ("P01,42,60,a\nP01,84,60,a\n", "W", "the first scan after day 0"),
    "26 extra cells": (P1 + "P01,126,50,a,x,y", "E", "line 5: 6 cells under 4 columns"),
    "27 absurd value": (P1 + "P01,126,1e308,a", "E", "line 5, column size_mm: '1e308' is above"),
    "28 xlsx named csv": (b"PK\x03\x04" + b"\0" * 50, "E", "name a workbook .xlsx"),
    "29 blank id": (P1 + ",0,60,a", "E", "line 5, column patient_id: the id is blank"),
    "30 case and space": (P1 + "p01,0,60,a\np01,42,60,a\nP01 ,0,60,a\nP01 ,42,60,a\n", "W",
                          "differ by capitals or spaces only"),
    "31 blank lines, trailing comma": (P1.replace("\n", ",\n\n"), "O", None),
    "32 line break in an id": (P1 + '"P\n1",0,60,a', "E", "holds a line break"),
    "33 duplicate columns": ("patient_id,day,size_mm,size_mm\nP01,0,5,5\n", "E", "occurs 2 times"),
    "34 order and extra columns": ("site,size_mm,patient_id,day\nX,50,P01,0\nX,40,P01,42\n", "O",
                                   "covariate site"),
    "34 case of a column": ("patient_id,Day,size_mm\nP01,0,50\n", "E", "Rename 'Day' to 'day'?"),
    "35 all before treatment": ("P01,-30,50,a\nP01,-1,50,a\n", "W", "all scans before the first"),
    "36 two baselines": ("P01,-20,50,a\nP01,-3,50,a\nP01,42,40,a\n", "O", None),
    "37 all equal": ("P01,0,50,a\nP01,42,50,a\nP01,84,50,a\n", "O", None),
    "38 a gap of years": ("P01,0,50,a\nP01,84,40,a\nP01,3650,30,a\n", "O", None),
    "39 many rows of one patient": ("".join(f"P01,{k},{50 + k % 5},a\n" for k in range(10_000)),
                                    "W", "time between two scans is 1 day"),
    "39 many patients": (many(20_000), "O", None),
    "40 thousands": (P1 + 'P01,126,"1,234",a', "E", "'1,234' has a thousands separator"),
    "41 id in two studies": (("patient_id,day,size_mm,study\n1,0,50,A\n1,42,40,A\n1,0,60,B\n"
                             "1,42,66,B\n"), "O", "taken for different patients"),
    "59 words that YAML reads as numbers": (
        "patient_id,day,size_mm,arm\n0123,0,50,no\n0123,42,40,no\n", "O", None),
    "60 a table of 1e5 columns": (",".join(map(str, range(100_000))) + "\n1\n", "E",
                                "there are 100000 columns"),
    "56 a YAML tag": ("a: !!python/object/apply:os.system ['touch BOMB']\n", "E", "no rows below"),
    "61 a YAML file": ("a: 1\n\tb: 2\n", "E", "'patient_id' and 'day' and 'size_mm' missing"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected", "said"), SIZES.values(), ids=SIZES)
def test_sizes(content, expected, said):
    if isinstance(content, str) and content and content[0] in "P<-0,1" and content[:3] != "pat":
        content = HEADER + content if not content.startswith("0,1") else content
    result = typed("check", put(content))
    assert judged(result) == expected, result.output
    assert said is None or said in result.stdout
    assert [p.name for p in Path().iterdir()] == ["s.csv"]
    if expected != "E":
        read_cohort("s.csv")
    else:
        with pytest.raises(DataError):
            read_cohort("s.csv")


IDS = {
    "13 long ids": (("-594245265511412736", "-594245265511412737"), 2),
    "14 leading zeros": (("001", "1"), 2),
    "15 ids that run": (("<script>", "../../x", "=HYPERLINK(1)"), 3),
    "59 words that YAML reads as numbers": (("0123",), 1),
}


@pytest.mark.parametrize("name", IDS)
def test_ids_stay_what_they_are(name):
    content = SIZES[name][0]
    cohort = read_cohort(put(content if content.startswith("patient") else HEADER + content))
    ids, count = IDS[name]
    assert set(cohort.keys) == set(ids)
    assert len(cohort) == count


def test_4_absent_folder_or_forbidden(here, monkeypatch):
    assert "nofile.csv: there is no such file" in typed("check", "nofile.csv").stdout
    assert "this is a folder" in typed("check", ".").stdout

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    put(HEADER + P1)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    result = typed("check", "s.csv")
    assert (judged(result), "reading is not permitted" in result.stdout) == ("E", True)


def test_42_one_patient_in_a_population():
    put(HEADER + P1)
    result = typed("fit", "s.csv", "--regimen", "none", "-o", "run", "--draws", "4")
    assert result.exit_code == UNFIT
    assert "patient" in result.stderr
    assert not Path("run").exists()


def test_43_an_arm_that_there_is_not():
    put(HEADER + P1)
    for words in (["--arm", "aa"], ["--regimen", "pembro2=atezolizumab 1200 mg q3w"]):
        result = typed("check", "s.csv", *words)
        assert judged(result) == "E"
        assert "the table has 'a'." in result.stdout


RECORDS = {
    "44 unknown patient": (GIVEN + "P99,atezolizumab,0,1200,0.04", "W", "('P99'), not used"),
    "45 no dose": ("P01,atezolizumab,0,1200,0.04", "W", "1 patient with no dose"),
    "46 negative dose": (GIVEN + "P02,atezolizumab,0,-200,0.04", "E", "'-200' is negative"),
    "47 zero duration": (GIVEN + "P02,atezolizumab,0,200,0", "O", None),
    "48 overlapping": (GIVEN + "P02,atezolizumab,0,200,10\nP02,atezolizumab,5,200,10\n"
                       "P02,atezolizumab,21,200,0.04\nP02,atezolizumab,42,200,0.04", "O", None),
    "49 at a scan": (GIVEN + "P02,atezolizumab,0,200,0.04\nP02,atezolizumab,42,200,0.04", "O",
                     None),
    "50 a gap of 20 years": (GIVEN + "P02,atezolizumab,0,200,0\nP02,atezolizumab,7300,200,0", "O",
                             None),
    "51 zero dose": (GIVEN + "P02,atezolizumab,0,0,0.02", "O", None),
    "52 infinite amount": (GIVEN + "P02,atezolizumab,0,inf,0.02", "E", "'inf' is not finite"),
    "52 blank amount": (GIVEN + "P02,atezolizumab,0,,0.02", "E", "write the dose in mg"),
    "52 negative duration": (GIVEN + "P02,atezolizumab,0,200,-1", "E", "'-1' is negative"),
    "52 blank duration": (GIVEN + "P02,atezolizumab,0,200,", "E", "line 3, column duration_day"),
    "53 dose twice": (GIVEN + 2 * "P02,atezolizumab,0,200,0\n", "W", "repeating a dose"),
    "54 after the last scan": (GIVEN + "P02,atezolizumab,0,200,0\nP02,atezolizumab,900,200,0", "O",
                               None),
    "55 grams": ("P01,atezolizumab,0,1.2,0.04\nP02,atezolizumab,0,1.2,0.04", "W", "is it in g"),
    "55 mg/kg, no weight": (("patient_id,drug,day,amount_mg_per_kg,duration_day\n"
                            "P01,atezolizumab,0,15,0.04\n"), "E", "has no weight of 20 to 300 kg"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "expected", "said"), RECORDS.values(), ids=RECORDS)
def test_doses(rows, expected, said):
    put(HEADER + P1 + "P02,0,60,b\nP02,42,66,b\n")
    put(rows if rows.startswith("patient") else DOSES + rows, "d.csv")
    result = typed("check", "s.csv", "--doses", "d.csv")
    assert judged(result) == expected, result.output
    assert said is None or said in result.stdout


OPTIONS = {
    "57 misspelt option": (["fit", "s.csv", "-o", "r", "--chians", "4"], "chains"),
    "58 no chains": (
        ["fit", "s.csv", "-o", "r", "--chains", "0"],
        "be greater than or equal to 1",
    ),
    "58 negative draws": (
        ["fit", "s.csv", "-o", "r", "--draws", "-5"],
        "be greater than or equal to 4",
    ),
    "68 no such option": (["check", "s.csv", "--nothing"], "No such option"),
    "68 no file": (["check"], "Missing argument"),
    "68 no number": (
        ["fit", "s.csv", "-o", "r", "--chains", "x"],
        "be a valid integer",
    ),
    "a unit without a value": (["check", "s.csv", "--unit", "size"], "write size=cm"),
    "a drug twice": (["check", "s.csv", "--drug", "a", "--drug", "b"], "write 2=nivolumab"),
}


@pytest.mark.parametrize(("words", "said"), OPTIONS.values(), ids=OPTIONS)
def test_options(words, said):
    put(HEADER + P1)
    result = typed(*words)
    assert result.exit_code == USAGE
    assert said in result.stderr
    assert "Usage: " in result.stderr
    assert not Path("r").exists()


@pytest.fixture(scope="module")
def fitted(fit_by_hand, tmp_path_factory):
    cohort = demo_cohort()
    cohort, folder = cohort.subset(cohort.keys[:3]), tmp_path_factory.mktemp("fitted")
    return {n: pdm.save(fit_by_hand(cohort, n), folder / f"run{n}") for n in (0, 3)}


@pytest.fixture
def run(fitted, here):
    (here / "run").mkdir()
    for path in fitted[0].iterdir():
        (here / "run" / path.name).write_bytes(path.read_bytes())
    return here / "run"


def pickled(run: Path) -> None:
    (run / "posterior.nc").write_bytes(b"cos\nsystem\n(S'touch BOMB'\ntR.")


def truncated(run: Path) -> None:
    (run / "posterior.nc").write_bytes((run / "posterior.nc").read_bytes()[:100] + b"\0" * 50)


def emptied(run: Path) -> None:
    (run / "posterior.nc").write_bytes(b"")


def later(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text()) | {"schema": 99}
    (run / "manifest.json").write_text(json.dumps(manifest))


SAVED = {
    "73 truncated": (truncated, "posterior.nc is damaged or was changed"),
    "74 no bytes": (emptied, "posterior.nc is damaged or was changed"),
    "75 a pickle": (pickled, "posterior.nc is damaged or was changed"),
    "76 of a later version": (later, "later version of pdmodel"),
}


@pytest.mark.parametrize(("damage", "said"), SAVED.values(), ids=SAVED)
def test_saved_results(run, damage, said):
    damage(run)
    for words in (["diagnose", "run"], ["classify", "run", "-o", "l.csv"]):
        result = typed(*words)
        assert (result.exit_code, said in result.stderr) == (UNFIT, True), result.output
    assert not Path("l.csv").exists()
    assert not Path("BOMB").exists()


def test_69_results_that_are_there_are_kept(run):
    put(HEADER + P1)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    result = typed("fit", "s.csv", "--regimen", "none", "-o", "run")
    assert (result.exit_code, "--overwrite" in result.stderr) == (UNFIT, True)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_70_an_output_that_cannot_be_written(run, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pdmodel.run.os.fsync", full)
    result = typed("classify", "run", "-o", "l.csv")
    assert (result.exit_code, "No space left on device" in result.stderr) == (UNFIT, True)
    assert not Path("l.csv").exists()


def test_77_a_fit_not_to_be_trusted_warns(fitted):
    result = typed("classify", fitted[3], "-o", "l.csv")
    assert result.exit_code == OK
    assert "diverge" in result.stderr
    told = json.loads(typed("diagnose", fitted[3], "--json").stdout)
    assert any("diverge" in reason for reason in told["reasons"])


def test_78_whom_and_what_a_model_does_not_know(run):
    for words, said in (
        (["--patient", "P99"], "no patient 'P99'"),
        (["--regimen", "placebo 1 mg q3w"], "Drug 'placebo' is not in the model, which has ["),
    ):
        result = typed("predict", "run", "-o", "p.csv", "--days", "42", *words)
        assert (result.exit_code, said in result.stderr) == (UNFIT, True), result.output
    assert typed("predict", "run", "-o", "p.csv", "--days", "1e9").exit_code == USAGE


@pytest.mark.parametrize("how", ["79 another language", "80 no home, no network"])
def test_surroundings(here, how):
    folder = here / "out put" / "é"
    folder.mkdir(parents=True)
    (folder / "tumor sizes.csv").write_bytes((HEADER + P1.replace("P01", "Müller")).encode())
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
    env |= {"LANG": "C", "LC_ALL": "C", "http_proxy": "http://127.0.0.1:9"}
    if how.startswith("80"):
        env |= {
            "HOME": "/proc/nowhere",
            "XDG_CACHE_HOME": "/proc/nowhere",
            "CUDA_VISIBLE_DEVICES": "",
        }
    done = subprocess.run(  # noqa: S603 - the interpreter that runs the tests
        [sys.executable, "-c", "from pdmodel.cli import main; main()", "check",
         str(folder / "tumor sizes.csv")], env=env, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (OK, b"")
    assert done.stdout.endswith(b"can be used.\n")


# ------------------------------------------------------------------------------------- fuzzed

LAYOUTS = ("long", "laleh2022", "nonmem", "sdtm", "adam")


@settings(max_examples=60)
@given(content=st.binary(max_size=300), name=st.sampled_from(["s.csv", "s.xlsx", "s.xpt", "s.tsv",
                                                              "s.parquet", "s"]),
       layout=st.sampled_from(LAYOUTS))  # fmt: skip
def test_any_bytes_are_answered(tmp_path_factory, content, name, layout):
    path = tmp_path_factory.mktemp("fuzz") / name
    path.write_bytes(content)
    assert "error" in {note.severity for note in check_tables(path, format=layout)}


COLUMNS = {
    "long": ["patient_id", "day", "size_mm", "arm", "study", "status", "limit_mm", "lesion_id",
             "weight", "week", "size_cm"],
    "nonmem": ["ID", "TIME", "DV", "AMT", "EVID", "MDV", "RATE", "II", "ADDL", "SS", "CMT", "BLQ",
               "CENS", "LLOQ", "LIMIT", "C", "DVID", "DRUG", "LESION", "ARM", "WEIGHT"],
    "sdtm": ["USUBJID", "TRTESTCD", "TRGRPID", "TRLNKID", "TRSTRESC", "TRSTRESN", "TRSTRESU",
             "TRDTC", "TRDY", "VISITNUM", "TREVAL", "TREVALID", "TRACPTFL", "TRSTAT", "STUDYID"],
    "adam": ["USUBJID", "PARAMCD", "AVAL", "AVALC", "ADY", "ADT", "TRTSDT", "ANL01FL", "PARCAT2",
             "TRT01A", "STUDYID", "DTYPE"],
}  # fmt: skip
CELLS = st.one_of(
    st.sampled_from(["", ".", "0", "1", "2", "-1", "42", "50", "4.5", "1e308", "-1e308", "1e-308",
                     "NaN", "inf", "NE", "TOO SMALL", "ABSENT", "2024-01-01", "2024-01", "2024",
                     "LDIAM", "TARGET", "SDIAM", "Y", "mm", "cm", "atezolizumab", "INVESTIGATOR",
                     "99999999999999999999", "P01", "p01 ", "\u2028", "é", "=1+1", "\t"]),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
)  # fmt: skip


@st.composite
def tables(draw) -> tuple[str, list[str], list[list[str]]]:
    layout = draw(st.sampled_from(sorted(COLUMNS)))
    names = draw(st.lists(st.sampled_from(COLUMNS[layout]), min_size=3, unique=True))
    needed = COLUMNS[layout][: 3 if layout != "sdtm" else 8]
    names = [*needed, *(name for name in names if name not in needed)]
    rows = draw(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), max_size=8))
    return layout, names, rows


def as_csv(names: list[str], rows: list[list[str]]) -> str:
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in [names, *rows]]
    return "\n".join(map(",".join, quoted)) + "\n"


@settings(max_examples=150)
@given(table=tables(), kind=st.sampled_from([None, "sld", "lesion"]))
def test_any_cells_are_answered(tmp_path_factory, table, kind):
    layout, names, rows = table
    path = tmp_path_factory.mktemp("fuzz") / "tr.csv"
    path.write_bytes(as_csv(names, rows).encode())
    notes = check_tables(path, format=layout, size_kind=kind)
    if "error" in {note.severity for note in notes}:
        with pytest.raises(DataError):
            read_cohort(path, format=layout, size_kind=kind)
        return
    for patient in read_cohort(path, format=layout, size_kind=kind):
        assert np.isfinite(patient.day).all()
        assert (np.diff(patient.day) > 0).all()
        assert ((patient.size_mm >= 0) & (patient.size_mm <= 1000)).all()


GOOD = {
    "long": [["P01", "-7", "50", "A"], ["P01", "42", "NE", "A"], ["P01", "84", "0", "A"],
             ["P 2", "0", "33.3", "B"], ["P 2", "45", "TOO SMALL", "B"], ["007", "0", "9", "B"],
             ["7", "0", "12", ""], ["7", "0", "12", ""], ["7", "50", "", ""]],
    "nonmem": [["1", "0", ".", "1200"], ["1", "1", "50", "."], ["1", "42", "40.5", "."],
               ["2", "0", "30", "."], ["2", "7", ".", "240"], ["2", "40", "0", "."]],
}  # fmt: skip
NAMED = {"long": COLUMNS["long"][:4], "nonmem": COLUMNS["nonmem"][:4]}


@settings(max_examples=40)
@given(data=st.data(), layout=st.sampled_from(sorted(GOOD)))
def test_order_and_spelling_of_a_table_change_nothing(tmp_path_factory, data, layout):
    folder = tmp_path_factory.mktemp("order")
    names, rows = NAMED[layout], GOOD[layout]
    how = {"format": layout} | ({"drug": "atezolizumab"} if layout == "nonmem" else {})
    plain = folder / "plain.csv"
    plain.write_text(as_csv(names, rows))
    order = data.draw(st.permutations(range(len(names))))
    mixed = [[row[k] for k in order] for row in data.draw(st.permutations(rows))]
    text = as_csv([names[k] for k in order], mixed)
    if data.draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    if data.draw(st.booleans()):
        text = text.replace(",", "\t")
    other = folder / "other.csv"
    other.write_bytes((("\ufeff" if data.draw(st.booleans()) else "") + text).encode())
    one, two = read_cohort(plain, **how), read_cohort(other, **how)
    assert one.keys == two.keys
    for p, q in zip(one, two, strict=True):
        assert (p.day.tobytes(), p.size_mm.tobytes()) == (q.day.tobytes(), q.size_mm.tobytes())
        assert p.censored.tobytes() == q.censored.tobytes()
        assert (p.arm, p.regimens, p.covariates) == (q.arm, q.regimens, q.covariates)
    counts = [(log.rows_read, log.rows_kept) for log in (one.log, two.log)]
    assert counts[0] == counts[1]


def test_a_workbook_reads_like_text(here):
    book = openpyxl.Workbook()
    for row in (["patient_id", "day", "size_mm"], ["P01", 0, 50.5], ["P01", 42, "NE"]):
        book.active.append(row)
    book.save("s.xlsx")
    assert judged(typed("check", "s.xlsx")) == "W"  # one scan is left
