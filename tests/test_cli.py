"""The command line: what it answers, where, with which exit code, and what it leaves behind."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

import pdmodel as pdm
from pdmodel import cli, shell, showing
from pdmodel.data import FORMATS, SIZE_KINDS
from pdmodel.data.demo import demo_cohort
from pdmodel.errors import FitError
from pdmodel.library import names
from pdmodel.nuts import Progress
from pdmodel.plot import KINDS
from pdmodel.response import RULES
from pdmodel.run import COHORT, MANIFEST, POSTERIOR

DONE, UNFIT, USAGE, INTERRUPTED = 0, 1, 2, 130
HEADER = "patient_id,arm,day,size_mm\n"
SIZES = HEADER + "P01,mono,-3,60\nP01,mono,42,30\nP02,combo,0,55\nP02,combo,40,80\n"
DOSES = "patient_id,drug,day,amount_mg,duration_day\n"
ATEZOLIZUMAB = ("--regimen", "atezolizumab 1200 mg q3w")
PAGE = "<!doctype html>"


def pdmodel(*words, debug=False):
    """Run the command line; a traceback is always wrong."""
    options = ["--debug"] if debug else []
    runner = CliRunner(env={"COLUMNS": "80"})
    result = runner.invoke(cli.app, [*options, *map(str, words)], prog_name="pdmodel")
    assert "Traceback" not in result.output
    return result


def refused(code, *words):
    """What is said on stderr of a command that must not work."""
    result = pdmodel(*words)
    assert result.exit_code == code, result.output
    return result.stderr.strip()


def mistakes(text):
    """Pairs of what is typed and what is answered, from blocks of lines."""
    drugs = list(names("drug"))
    several = ", ".join(map(repr, drugs[:12])) + f" and {len(drugs) - 12} more"
    text = text.strip().replace("MECHANISMS", str(list(names("mechanism"))))
    text = text.replace("SOME_DRUGS", several).replace("ALL_DRUGS", str(drugs))
    blocks = (block.split("\n") for block in text.split("\n\n"))
    return [pytest.param(typed, " ".join(said), id=typed) for typed, *said in blocks]


def contents(folder):
    """Every file and folder below, with what is in it."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
    }


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder, so that messages and paths are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sizes(here):
    (here / "sizes.csv").write_text(SIZES)
    return "sizes.csv"


@pytest.fixture(scope="module")
def saved(fit_by_hand, tmp_path_factory):
    """Runs of three patients, one to be trusted and one not."""
    cohort = demo_cohort()
    cohort, folder = cohort.subset(cohort.keys[:3]), tmp_path_factory.mktemp("saved")
    for name, divergences in (("good", 0), ("bad", 3)):
        pdm.save(fit_by_hand(cohort, divergences), folder / name)
    return folder


def copied(saved, here, name):
    folder = here / "run"
    folder.mkdir()
    for path in (saved / name).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return "run"


@pytest.fixture
def run(saved, here):
    return copied(saved, here, "good")


@pytest.fixture
def bad(saved, here):
    return copied(saved, here, "bad")


@pytest.fixture
def fitting(monkeypatch, fit_by_hand):
    """Put a fit made by hand in place of sampling; gives what was asked for."""
    asked = {}

    def fit(model, cohort, *, report, **options):
        asked.update(options, model=model, cohort=cohort)
        for done in (50, 100):
            report(Progress("sampling", done, 100, 0))
        return fit_by_hand(cohort)

    monkeypatch.setattr(pdm, "fit", fit)
    return asked


# ------------------------------------------------------------------------------------ the shell

COMMANDS = {
    "": ("check", "check-model", "response", "fit", "diagnose", "classify", "predict", "simulate",
         "plot", "report", "demo", "compare"),
    "demo": ("--output", "--seed"),
    "check": ("SIZES", "--doses", "--regimen", "--format <long|laleh2022|nonmem|sdtm|adam>",
              "--arm", "--unit", "--evaluator", "--drug", "--dv", "--json"),
    "check-model": ("FILE",),
    "fit": ("SIZES", "--doses", "--regimen", "--model", "--residual", "--pooling <partial|none>",
            "--seed", "--chains", "--warmup", "--draws", "--overwrite", "--resume",
            "-o, --output", "--correlated", "--covariate", "quick"),
    "response": ("SIZES", "--doses", "--rule", "--compare", "--patients", "--robustness", "--arm"),
    "diagnose": ("RUN", "--json"),
    "classify": ("RUN", "--rule", "--horizon", "--certainty", "--draws", "--hide-ids", "undecided"),
    "predict": ("RUN", "--days", "--until", "--patient", "--regimen", "--hide-ids", "--seed",
                "--sizes", "--doses", "--format <long|laleh2022|nonmem|sdtm|adam>"),
    "simulate": ("[RUN]", "--arm", "--model", "-n", "--until", "--seed"),
    "plot": ("RUN", "KIND", "waterfall", "--patient"),
    "report": ("RUN", "-o, --output", "--question", "--context", "--overwrite"),
    "compare": ("SIZES | RUN RUN", "--model", "--design", "last3", "--fold", "--seed",
                "--overwrite", "-o, --output"),
    "estimate": ("RUN", "--seed", "--hide-ids", "Pareto k"),
    "app": ("RUN", "--port", "--open", "--hide-ids", "this computer alone"),
    "data": ("fetch", "path"),
    "data fetch": ("NAME", "laleh2022"),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_every_command_explains_itself(command, asked):
    result = pdmodel(*command.split(), asked)
    assert (result.exit_code, result.stderr) == (DONE, "")
    assert f"Usage: pdmodel {command}".strip() in result.stdout
    for word in COMMANDS[command]:
        assert word in result.stdout
    if command in ("", "data"):
        assert "..." not in result.stdout.partition("\n")[2]  # a summary that did not fit


def test_no_command_is_answered_with_the_help():
    result = pdmodel()
    assert result.exit_code == USAGE
    assert "Begin with 'pdmodel demo'" in result.stderr


def test_the_version_is_that_of_the_package():
    result = pdmodel("--version")
    assert (result.exit_code, result.stdout) == (DONE, f"pdmodel {pdm.__version__}\n")


def test_choices_are_those_that_there_are():
    def choices(option):
        return {name for one in get_args(get_args(option)[0]) for name in get_args(one) or [one]}

    assert choices(shell.Layout) == set(FORMATS)
    assert choices(shell.SizeKind) - {type(None)} == set(SIZE_KINDS)
    assert choices(shell.Rule) == set(RULES)
    assert choices(showing.Kind) == set(KINDS)


USAGE_MISTAKES = mistakes("""
chekc s.csv
No such command 'chekc'. Did you mean 'check'?

check s.csv --arms a
No such option: --arms (Possible options: --arm)

check
Missing argument 'SIZES'.

fit s.csv
Missing option '-o' / '--output'.

diagnose a b
Got unexpected extra argument(s) (b)

fit s.csv -o f --chains x
Invalid value for '--chains': Input should be a valid integer

fit s.csv -o f --chains 0
Invalid value for '--chains': Input should be greater than or equal to 1

simulate --model exhaustion --arm none -o t --seed 99999999999999999999
Invalid value for '--seed': Input should be less than or equal to 4294967

fit s.csv -o f --pooling full
Invalid value for '--pooling': 'full' is not one of 'partial', 'none'.

check s.csv --format excel
Invalid value for '--format': 'excel' is not one of 'long', 'laleh2022', 'nonmem', 'sdtm', 'adam'.

check s.csv --size-kind volume
'--size-kind': 'volume' is not one of 'sld', 'lesion'.

classify run -o l.csv --rule recist
'--rule': 'recist' is not one of 'si

plot run wterfall
'KIND': 'wterfall' is not one of 'patient', 'history', 'spider',

classify run -o l.csv --certainty 1.5
'--certainty': Input should be less

classify run -o l.csv --horizon nan
Invalid value for '--horizon': Input s

predict run -o p.csv
'--days': give either --days or --until.

predict run -o p.csv --days 1 --until 2
give either --days or --until.

predict run -o p.csv --days 1,x
write days, as 42,84,126, none beyond

predict run -o p.csv --days inf
write days, as 42,84,126, none beyond 36

predict run -o p.csv --until nan
Invalid value for '--until': Input should

predict run -o p.csv --until inf
Invalid value for '--until': Input should

predict run -o p.csv --until -1
Invalid value for '--until': Input sh

fit s.csv -o f --covariate tmb
'--covariate': write PARAMETER:COLUMN, as kill:tmb, each

fit s.csv -o f --covariate kill:tmb --covariate kill:tmb
'--covariate': write PARAMETER:COLUMN, as kill:tmb, each

predict run -o p.csv --days 1 --doses d.csv
'--doses': it is about tables of new patients; name theirs

predict run -o p.csv --days 1 --regimen none --regimen atezolizumab
'--regimen': give one for all.

simulate -o t --arm none
'RUN': give either RUN or --model NAME

simulate run --model exhaustion -o t --arm none
give either RUN or --mo

simulate run -o t
Missing option '--arm'.

simulate run -o t --arm none -n 0
Invalid value for '-n': Input should be grea

simulate run -o t --arm none --until 7
Invalid value for '--until': Input sh

check s.csv --regimen none --regimen atezolizumab
'--regimen': give one for all, or one ARM=... for each arm.

check s.csv --regimen a=none --regimen a=atezolizumab
'--regimen': give one for all, or one ARM=... for each arm.
""")


@pytest.mark.parametrize(("line", "said"), USAGE_MISTAKES)
def test_wrong_usage_is_told_with_the_way_to_help(line, said, here):
    result = pdmodel(*line.split())
    assert (result.exit_code, result.stdout) == (USAGE, "")
    first, hint, *_, last = result.stderr.splitlines()
    assert first.startswith("Usage: pdmodel")
    assert hint.startswith("Try 'pdmodel")
    assert hint.endswith(" -h' for help.")
    assert last.startswith("Error: ")
    assert said in last
    assert contents(here) == {}


def raising(problem):
    def fails(*_, **__):
        raise problem

    return fails


ODD = (
    "Error: this should not have happened (ValueError: odd). Run 'pdmodel --debug ...' to see "
    "where, and report it."
)
UNFORESEEN = {
    "unforeseen": (ValueError("odd\nthings"), ODD),
    "of the system": (
        PermissionError(13, "Permission denied", "x"),
        "Error: x: Permission denied.",
    ),
    "foreseen": (FitError("No start has a density."), "Error: No start has a density."),
}


@pytest.mark.parametrize(("problem", "said"), UNFORESEEN.values(), ids=UNFORESEEN)
def test_a_problem_is_a_line_on_stderr_and_shows_its_place_when_asked(monkeypatch, problem, said):
    monkeypatch.setattr("pdmodel.data.check_tables", raising(problem))
    assert refused(UNFIT, "check", "s.csv") == said
    assert pdmodel("check", "s.csv", debug=True).exception is problem


def test_an_interruption_has_its_own_exit_code(monkeypatch):
    monkeypatch.setattr("pdmodel.data.check_tables", raising(KeyboardInterrupt()))
    said = refused(INTERRUPTED, "check", "s.csv")
    assert said == "Interrupted; what was not finished was not written."


def process(*words):
    return subprocess.run(  # noqa: S603
        [*map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_and_refusals_do_not_wait_for_what_they_do_not_need(here):
    lines = (["-h"], ["fit", "-h"], ["--version"], ["chekc"], ["report", "run", "-o", "r.txt"])
    code = (
        "import sys\nfrom pdmodel.cli import app\n"
        f"for line in {lines}:\n"
        "    try:\n        app(line)\n    except SystemExit:\n        pass\n"
        "print(sorted({'jax', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = process(sys.executable, "-c", code)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "r.txt must end in .html" in done.stderr


def test_the_program_answers_under_its_name(here):
    done = process(Path(sys.executable).parent / "pdmodel", "check", "nofile.csv")
    assert done.returncode == UNFIT
    assert done.stdout == "error: nofile.csv: there is no such file; check the path.\n"
    assert done.stderr.count("\n") == 1


# ---------------------------------------------------------------------------------------- check


def test_good_tables_are_called_so(sizes):
    result = pdmodel("check", sizes, *ATEZOLIZUMAB)
    assert (result.exit_code, result.stderr) == (DONE, "")
    *notes, last = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in notes] == ["info"]
    assert last == "sizes.csv can be used."


def test_problems_are_listed_with_their_place_and_an_error_ends_in_1(sizes):
    Path(sizes).write_text(SIZES + "P03,mono,0,50\nP03,mono,2024-01-01,50\nP03,mono,84,4 cm\n")
    result = pdmodel("check", sizes)
    assert result.exit_code == UNFIT
    date, unit, *_ = result.stdout.splitlines()
    assert date == (
        "error: sizes.csv, line 7, column day: '2024-01-01' is a date or a time; count days from "
        "the first dose (day 0). [patient P03]"
    )
    assert unit == (
        "error: sizes.csv, line 8, column size_mm: '4 cm' has a unit; write the number alone, in "
        "the unit of the column name. [patient P03]"
    )
    assert result.stderr == (
        "Error: the tables cannot be used as they are; mend the errors listed.\n"
    )


def test_a_note_on_many_rows_names_no_patient_as_if_it_were_all(sizes):
    Path(sizes).write_text(SIZES + "P03,mono,0,50\nP03,mono,42,\nP04,mono,0,50\nP04,mono,42,\n")
    line, *_ = pdmodel("check", sizes).stdout.splitlines()
    assert line == (
        "warning: sizes.csv, column size_mm: 2 rows without a size, left out (line 7; line 9)."
    )


def test_problems_as_json_are_those_of_the_library(sizes):
    Path(sizes).write_text(SIZES + "P03,mono,0,-5\n")
    result = pdmodel("check", sizes, "--json")
    assert result.exit_code == UNFIT
    notes = json.loads(result.stdout)
    assert notes == [note._asdict() for note in pdm.check_tables(sizes)]
    assert (notes[0]["severity"], notes[0]["line"], notes[0]["value"]) == ("error", 6, "-5")
    good = pdmodel("check", sizes, "--arm", "combo", "--json")
    assert good.exit_code == DONE
    assert [note["code"] for note in json.loads(good.stdout)] == ["other-arms"]


def test_the_published_table_is_checked(real_data, here):
    result = pdmodel("check", real_data, "--format", "laleh2022", "--arm", "Study_1_Arm_1")
    assert result.exit_code == DONE
    assert result.stdout.endswith("can be used.\n")
    result = pdmodel("check", real_data)
    assert result.exit_code == UNFIT
    assert "This is the layout 'laleh2022'; choose it as the format (--format)." in result.stdout


DATA_MISTAKES = mistakes("""
nofile.csv
nofile.csv: there is no such file; check the path.

.
.: this is a folder; give a file inside it.

sld.csv
sld.csv: column 'size_mm' missing; the columns are 'patient_id', 'arm', 'day', 'SLD_mm'. Rename
'SLD_mm' to 'size_mm'?

text.csv
text.csv, line 2, column size_mm: '60mm' has a unit; write the number alone, in the unit of the
column name.

sizes.csv --arm Mono
There is no arm 'Mono'; the table has 'combo', 'mono'. Did you mean 'mono'?

sizes.csv --regimen c=atezolizumab
There is no arm 'c'; the table has 'combo', 'mono'.

sizes.csv --regimen every-3-weeks
There is no drug 'every-3-weeks'; known are SOME_DRUGS.

sizes.csv --regimen carboplatin
There is no drug 'carboplatin'; known are SOME_DRUGS.

sizes.csv --regimen atezolizumb
There is no drug 'atezolizumb'; known are SOME_DRUGS. Did you mean 'atezolizumab'?

sizes.csv --regimen atezolizumab,q3w
'atezolizumab,q3w' has no dose ('1200 mg'); write for example 'atezolizumab 1200 mg q3w', or
'ipilimumab 240 mg q3w x4 30 min from day 21'.

sizes.csv --doses d.csv --regimen none
Give a table of doses or a regimen, not both.

sizes.csv --doses nodoses.csv
nodoses.csv: there is no such file; check the path.

sizes.csv --doses d.csv
d.csv, line 2, column drug: 'carboplatin' is not a known drug; known are SOME_DRUGS.
""")


@pytest.fixture
def mistaken(sizes, here):
    (here / "sld.csv").write_text(SIZES.replace("size_mm", "SLD_mm"))
    (here / "text.csv").write_text(SIZES.replace(",60\n", ",60mm\n"))
    (here / "d.csv").write_text(DOSES + "P01,carboplatin,0,200,0.02\n")
    return here


@pytest.mark.parametrize(("line", "said"), DATA_MISTAKES)
def test_mistakes_in_the_tables_are_told_by_check_and_by_fit(mistaken, line, said):
    before = contents(mistaken)
    checked = pdmodel("check", *line.split())
    assert checked.exit_code == UNFIT
    assert checked.stdout.splitlines()[0].partition(" [patient")[0] == f"error: {said}"
    assert refused(UNFIT, "fit", "-o", "run", *line.split()) == f"Error: {said}"
    assert contents(mistaken) == before


# ------------------------------------------------------------------------------------------ fit


def test_a_fit_is_written_and_judged(sizes, fitting):
    result = pdmodel("fit", sizes, *ATEZOLIZUMAB, "-o", "out/run", "--seed", "7", "--draws", "4",
                     "--warmup", "20", "--chains", "1", "--pooling", "none")  # fmt: skip
    assert result.exit_code == DONE
    asked = {name: fitting[name] for name in ("seed", "draws", "warmup", "chains", "pooling")}
    assert asked == {"seed": 7, "draws": 4, "warmup": 20, "chains": 1, "pooling": "none"}
    assert [drug.name for drug in fitting["model"].drugs] == ["atezolizumab"]
    assert sorted(path.name for path in Path("out/run").iterdir()) == sorted(
        [COHORT, MANIFEST, POSTERIOR]
    )
    assert pdm.load("out/run").cohort.keys == ("P01", "P02")
    lines = result.stdout.splitlines()
    assert lines[0] == "sizes.csv: 4 rows read, 4 kept"
    assert any("under atezolizumab to 2 patients with 4 scans" in line for line in lines)
    assert "Written to out/run after 1 s." in lines
    assert "The fit can be trusted: it passed every check." in lines
    assert "100 %" in result.stderr  # progress, apart from the results


def test_correlations_and_covariates_are_asked_for(sizes, fitting):
    words = ("--correlated", "--covariate", "kill:tmb", "--covariate", "kill: age")
    result = pdmodel("fit", sizes, *ATEZOLIZUMAB, "-o", "run", "--method", "quick", *words)
    assert result.exit_code == DONE
    assert fitting["correlated"] is True
    assert fitting["covariates"] == {"kill": ["tmb", "age"]}
    assert fitting["method"] == "quick"
    assert pdmodel("fit", sizes, *ATEZOLIZUMAB, "-o", "other").exit_code == DONE
    assert (fitting["correlated"], fitting["covariates"]) == (False, {})


def test_arms_may_be_given_different_drugs_or_none(sizes, fitting):
    options = ("--regimen", "mono=atezolizumab 1200 mg q3w", "--regimen", "combo = none")
    assert pdmodel("fit", sizes, "-o", "run", *options).exit_code == DONE
    assert [bool(p.regimens) for p in fitting["cohort"]] == [True, False]
    assert not [note for note in fitting["cohort"].log.notes if note.severity == "warning"]


def test_nobody_treated_must_be_said(sizes, here, fitting):
    before = contents(here)
    assert refused(UNFIT, "fit", sizes, "-o", "run") == (
        "Error: Nobody in sizes.csv was given a drug: add --doses TABLE, or --regimen "
        "'atezolizumab 1200 mg q3w', or --regimen none if nobody was treated."
    )
    assert contents(here) == before
    assert pdmodel("fit", sizes, "-o", "run", "--regimen", "none").exit_code == DONE
    assert fitting["model"].drugs == ()


FIT_MISTAKES = mistakes("""
--model exhaustoin
There is no mechanism 'exhaustoin'; known are MECHANISMS. Did you mean 'exhaustion'?

--residual normal
There is no residual 'normal'; known are ['last_value', 'last_value_flat',
'lognormal', 'student_t', 'walk', 'walk_slope'].

--model stein_fojo
Drug 'atezolizumab' acts through ['pd1_block'], which mechanism 'stein_fojo' ignores; it answers
to []. It is a curve without drugs: leave them out, and read sizes with --regimen none.

--arm mono
One patient cannot tell how patients differ; fit it alone with pooling='none' (on the command
line: --pooling none).
""")


@pytest.mark.parametrize(("options", "said"), FIT_MISTAKES)
def test_what_cannot_be_fitted_is_told_and_leaves_nothing(sizes, here, options, said):
    before = contents(here)
    words = ("fit", sizes, *ATEZOLIZUMAB, "-o", "run", *options.split())
    assert refused(UNFIT, *words).splitlines()[-1] == f"Error: {said}"
    assert contents(here) == before


def test_a_run_in_the_way_is_kept_unless_it_is_to_be_overwritten(sizes, run, here, fitting):
    before = contents(here)
    words = ("fit", sizes, *ATEZOLIZUMAB, "-o", run)
    assert refused(UNFIT, *words) == (
        "Error: The folder run is not empty; choose another with -o, or add --overwrite."
    )
    assert refused(UNFIT, *words[:-1], "sizes.csv") == (
        "Error: sizes.csv is a file; choose another output folder with -o."
    )
    assert fitting == {}
    assert contents(here) == before
    assert pdmodel(*words, "--overwrite").exit_code == DONE
    assert pdm.load(run).cohort.keys == ("P01", "P02")


def test_a_folder_of_something_else_is_not_overwritten(sizes, here, fitting):
    (here / "thesis").mkdir()
    (here / "thesis" / "thesis.docx").write_text("years of work")
    words = ("fit", sizes, *ATEZOLIZUMAB, "-o", "thesis", "--overwrite")
    assert refused(UNFIT, *words) == (
        "Error: The folder thesis holds 'thesis.docx' and no run; it is not overwritten. Choose "
        "another with -o."
    )
    assert (here / "thesis" / "thesis.docx").read_text() == "years of work"


@pytest.mark.parametrize("problem", [FitError("No start has a density."), MemoryError()])
def test_a_fit_that_fails_leaves_what_was_there(sizes, run, here, monkeypatch, problem):
    monkeypatch.setattr(pdm, "fit", raising(problem))
    before = contents(here)
    for output in ("new", run):
        refused(UNFIT, "fit", sizes, *ATEZOLIZUMAB, "-o", output, "--overwrite")
    assert contents(here) == before


def test_ctrl_c_stops_a_fit_and_leaves_what_was_there(sizes, run, here, monkeypatch):
    def fit(*_, report, **__):
        report(Progress("warm-up", 1, 100, 0))
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pdm, "fit", fit)
    before, handler = contents(here), signal.getsignal(signal.SIGINT)
    for output in ("new", run):
        said = refused(INTERRUPTED, "fit", sizes, *ATEZOLIZUMAB, "-o", output, "--overwrite")
        assert said.endswith("Interrupted; what was not finished was not written.")
    assert contents(here) == before
    assert signal.getsignal(signal.SIGINT) is handler


SLOW = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import pdmodel as pdm
from pdmodel.cli import main
from pdmodel.nuts import Progress

def fit(*_, report, **__):
    threading.Thread(target=time.sleep, args=(60,)).start()  # is not waited for

    def chain(k):
        for done in range(1200):
            report(Progress("sampling", done, 1200, 0))
            time.sleep(0.05)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(chain, range(2)))

pdm.fit = fit
sys.argv = ["pdmodel", "fit", "sizes.csv", "--regimen", "none", "-o", "run"]
main()
"""


def test_ctrl_c_reaches_chains_in_threads(sizes, here):
    """As on a terminal: the signal comes from outside, and the chains are in threads."""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", SLOW], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as program:
        try:
            for line in program.stderr:
                if "sampling" in line:
                    break
            program.send_signal(signal.SIGINT)
            _, said = program.communicate(timeout=30)
        finally:
            program.kill()
    assert program.returncode == INTERRUPTED
    assert said.splitlines()[-2:] == [
        "Stopping at the end of this step; Ctrl-C again stops at once.",
        "Interrupted; what was not finished was not written.",
    ]
    assert not (here / "run").exists()


# ------------------------------------------------------------------------------- runs and damage

OF_A_RUN = {
    "diagnose": ("diagnose", "run"),
    "classify": ("classify", "run", "-o", "out.csv"),
    "predict": ("predict", "run", "--days", "42", "-o", "out.csv"),
    "simulate": ("simulate", "run", "--arm", "atezolizumab", "-o", "out"),
    "plot": ("plot", "run", "spider"),
    "report": ("report", "run", "-o", "out.html"),
}


def no_folder(run):
    for path in run.iterdir():
        path.unlink()
    run.rmdir()


def no_manifest(run):
    (run / MANIFEST).unlink()


def no_draws(run):
    (run / POSTERIOR).unlink()


def other_draws(run):
    content = (run / POSTERIOR).read_bytes()
    (run / POSTERIOR).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def no_json(run):
    (run / MANIFEST).write_text("{")


def later(run):
    manifest = json.loads((run / MANIFEST).read_text())
    manifest |= {"schema": 99, "versions": {"pdmodel": "9.9"}}
    (run / MANIFEST).write_text(json.dumps(manifest))


def inside(run):
    run.rename("inner")
    run.mkdir()
    Path("inner").rename(run / "inner")


DAMAGES = {
    no_folder: "There is no run folder run; make one with 'pdmodel fit ... -o RUN'.",
    no_manifest: "run has no manifest.json: it is no run folder, or the fit did not finish.",
    no_draws: "run/posterior.nc is missing; run 'pdmodel fit' again.",
    other_draws: "run/posterior.nc is damaged or was changed: its checksum differs from the "
                 "manifest's. Run 'pdmodel fit' again with --overwrite.",
    no_json: "run/manifest.json is damaged and cannot be read; fit again.",
    later: "run was written by a later version of pdmodel (9.9); update pdmodel.",
    inside: "run has no manifest.json: it is no run folder, or the fit did not finish. Did you "
            "mean run/inner?",
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("command", OF_A_RUN)
def test_a_run_that_cannot_be_read_is_told_and_nothing_written(run, here, command, damage):
    damage(here / run)
    before = contents(here)
    assert refused(UNFIT, *OF_A_RUN[command]) == f"Error: {DAMAGES[damage]}"
    assert contents(here) == before


def test_a_file_is_no_run(sizes):
    said = refused(UNFIT, "diagnose", sizes)
    assert said == "Error: sizes.csv is a file; give the folder that 'pdmodel fit' wrote."


WARNED = (
    "this fit must not be trusted: 3 of 1200 draws diverged (part of the posterior was not "
    "explored; fit again with a higher target_accept)."
)


@pytest.mark.parametrize("command", ["classify", "predict", "simulate"])
def test_results_of_a_fit_not_to_be_trusted_come_with_a_warning(bad, command):
    few = ("-n", "8", "--until", "84") if command == "simulate" else ("--draws", "4")
    result = pdmodel(*OF_A_RUN[command], *few)
    assert (result.exit_code, result.stderr) == (DONE, f"Warning: {WARNED}\n")


def test_a_fit_to_be_trusted_is_called_so(run):
    result = pdmodel("diagnose", run)
    assert (result.exit_code, result.stderr) == (DONE, "")
    assert result.stdout.startswith("The fit can be trusted")


def test_a_fit_not_to_be_trusted_ends_in_1_and_says_why(bad):
    result = pdmodel("diagnose", bad)
    assert (result.exit_code, result.stderr) == (UNFIT, f"Error: {WARNED}\n")
    assert result.stdout.startswith("The fit must not be trusted")
    result = pdmodel("diagnose", bad, "--json")
    assert (result.exit_code, result.stderr) == (UNFIT, f"Error: {WARNED}\n")
    found = json.loads(result.stdout)
    assert (found["trusted"], found["sampler"]["divergences"]) == (False, 3)


# ------------------------------------------------------------------------------- where to write


@pytest.fixture
def pages(monkeypatch):
    """Put a short page in place of the report."""
    monkeypatch.setattr(
        "pdmodel.report.write_report", lambda fit, path, **_: Path(path).write_text(PAGE)
    )


FILES = {
    "classify": ("classify run --draws 4 -o", "labels", ".csv"),
    "predict": ("predict run --draws 4 --days 42 -o", "sizes", ".csv"),
    "plot": ("plot run spider -o", "spider", ".png or .svg or .pdf"),
    "report": ("report run -o", "report", ".html"),
}


@pytest.mark.parametrize(("line", "stem", "endings"), FILES.values(), ids=FILES)
def test_a_file_is_written_where_it_may_be(run, here, pages, line, stem, endings):
    words, name = line.split(), f"{stem}{endings.split()[0]}"
    before = contents(here)
    assert refused(UNFIT, *words, f"{stem}.doc") == f"Error: {stem}.doc must end in {endings}."
    assert refused(UNFIT, *words, run) == (
        "Error: run is a folder; give the name of a file with -o."
    )
    assert refused(UNFIT, *words, f"no/{name}") == (
        "Error: There is no folder no; make it first, or choose another."
    )
    assert contents(here) == before
    result = pdmodel(*words, name)
    assert (result.exit_code, result.stderr) == (DONE, "")
    assert result.stdout.splitlines()[-1].endswith(f"{name}.")
    first = (here / name).read_bytes()
    assert contents(here).keys() - before.keys() == {Path(name)}
    (here / name).write_text("mine")
    assert refused(UNFIT, *words, name) == (
        f"Error: {name} is there already; choose another with -o, or add --overwrite."
    )
    assert (here / name).read_text() == "mine"
    assert pdmodel(*words, name, "--overwrite").exit_code == DONE
    assert (here / name).read_bytes()[:20] == first[:20]


def test_words_for_the_report_are_handed_on(run, here, monkeypatch):
    said = {}

    def written(fit, path, **words):
        said.update(words)

    monkeypatch.setattr("pdmodel.report.write_report", written)
    line = ("report", "run", "-o", "r.html", "--question", "Who resists?")
    assert pdmodel(*line).exit_code == DONE
    assert said == {"question": "Who resists?", "context": None, "hide_ids": False}


def test_blank_words_for_the_report_are_refused(run, here):
    told = refused(UNFIT, "report", "run", "-o", "r.html", "--context", " ")
    assert told == "Error: context is blank; say it in a sentence, or leave it out."
    assert not (here / "r.html").exists()


# --------------------------------------------------------------------------- classify and predict


def test_labels_are_those_of_the_library_and_counted(run):
    result = pdmodel("classify", run, "-o", "labels.csv", "--draws", "20", "--horizon", "730")
    written = pd.read_csv("labels.csv", dtype={"patient_id": str})
    labels = pdm.classify(pdm.load(run), draws=20, horizon=730)
    assert written["patient_id"].tolist() == labels["patient_id"].tolist() == ["P01", "P02", "P03"]
    assert written["label"].tolist() == labels["label"].tolist()
    *counts, last = result.stdout.splitlines()
    assert sum(int(line.split()[0]) for line in counts) == 3
    assert {line.split()[1] for line in counts} == set(labels["label"])
    assert last == "Written to labels.csv."


def test_sizes_are_predicted_on_the_days_and_for_whom_they_are_asked(run):
    words = ("predict", run, "--draws", "20", "--seed", "3", "-o")
    days, whom = ("--days", "16,0,14,7"), ("--patient", "P03", "--patient", "P02")
    result = pdmodel(*words, "days.csv", *days, *whom)
    assert (result.exit_code, result.stdout) == (DONE, "8 predictions written to days.csv.\n")
    written = pd.read_csv("days.csv")
    expected = pdm.predict(pdm.load(run), [0, 7, 14, 16], patients=["P02", "P03"], draws=20, seed=3)
    assert written["patient_id"].tolist() == 4 * ["P02"] + 4 * ["P03"]
    assert written["day"].tolist() == 2 * [0, 7, 14, 16]
    np.testing.assert_allclose(written["median"], expected["median"], rtol=1e-12)
    pdmodel(*words, "until.csv", "--until", "16", *whom)
    assert Path("until.csv").read_text() == Path("days.csv").read_text()


def test_new_patients_are_predicted_under_the_population_of_the_fit(
    run, sizes, monkeypatch, fit_by_hand
):
    asked = {}

    def joined(fit, cohort, **how):
        asked.update(how, cohort=cohort)
        return fit_by_hand(cohort)

    monkeypatch.setattr("pdmodel.newcomers.joined", joined)
    words = ("predict", run, "--sizes", sizes, "--days", "84", "-o", "p.csv", "--draws", "20")
    result = pdmodel(*words, *ATEZOLIZUMAB, "--seed", "5")
    assert result.exit_code == DONE, result.output
    *_, told, last = result.stdout.splitlines()
    assert result.stdout.startswith("sizes.csv: 4 rows read, 4 kept")
    assert told == ("2 new patients with 4 scans, under the population that the fit learnt from "
                    "3 patients.")  # fmt: skip
    assert last == "2 predictions written to p.csv."
    assert pd.read_csv("p.csv")["patient_id"].tolist() == ["P01", "P02"]
    assert (asked["draws"], asked["seed"]) == (20, 5)
    assert all(len(patient.regimens["atezolizumab"]) for patient in asked["cohort"])


NEWCOMER_MISTAKES = mistakes("""
--sizes sizes.csv
Nobody in sizes.csv was given a drug: add --doses TABLE, or --regimen 'atezolizumab 1200 mg q3w',
or --regimen none if nobody was treated.

--sizes sizes.csv --regimen nivolumab
New patients were given nivolumab, which the fit does not know; it knows atezolizumab.

--sizes sizes.csv --regimen none --size-kind lesion
A size in the fit is the sum of longest diameters of the target lesions, of the new patients the
longest diameter of one target lesion; say what theirs are (--size-kind), or fit such patients.
""")


@pytest.mark.parametrize(("options", "said"), NEWCOMER_MISTAKES)
def test_who_cannot_join_a_fit_is_told_and_nothing_written(run, sizes, here, options, said):
    before = contents(here)
    words = ("predict", run, "--days", "42", "--draws", "4", "-o", "p.csv", *options.split())
    assert refused(UNFIT, *words) == f"Error: {said}"
    assert contents(here) == before


def test_a_landmark_is_forecast_and_scored(run, sizes, monkeypatch, fit_by_hand):
    asked = {}

    def joined(fit, cohort, **how):
        asked.update(how, cohort=cohort)
        return fit_by_hand(cohort)

    monkeypatch.setattr("pdmodel.newcomers.joined", joined)
    words = ("predict", run, "--landmark", "20", "--draws", "10", "--seed", "5")
    result = pdmodel(*words, "-o", "l.csv", "--hide-ids")
    assert result.exit_code == DONE, result.output
    assert result.stdout.startswith("Landmark day 20: 3 patients with a scan by then, of whom 0")
    assert "was learnt from all scans of these 3 patients" in result.stdout
    assert result.stdout.endswith("Written to l.csv and l_figures.csv.\n")
    assert (asked["draws"], asked["seed"]) == (10, 5)
    assert all(patient.last_day <= 20 for patient in asked["cohort"])
    table = pd.read_csv("l.csv")
    assert table["patient_id"].tolist() == [1, 2, 3]
    assert table["p_next"].between(0, 1).all()
    found = pd.read_csv("l_figures.csv")
    assert found["forecast"].unique().tolist() == ["model", "arm", "first change", "last value"]
    Path("l.csv").unlink()
    assert refused(UNFIT, *words, "-o", "l.csv").startswith("Error: l_figures.csv is there already")
    new = pdmodel(*words, "-o", "n.csv", "--sizes", sizes, *ATEZOLIZUMAB)
    assert new.exit_code == DONE, new.output
    assert "learnt from 3 patients, none of whom is forecast here." in new.stdout
    assert pd.read_csv("n.csv")["patient_id"].tolist() == ["P01", "P02"]


@pytest.mark.parametrize("option", ["--days", "--until", "--patient", "--regimen"])
def test_what_does_not_go_with_a_landmark_is_told(run, here, option):
    said = refused(USAGE, "predict", run, "--landmark", "20", option, "84", "-o", "l.csv")
    assert f"'{option}'" in said
    assert "it does not go with --landmark" in said
    assert not Path("l.csv").exists()


def test_folds_go_with_a_landmark_of_the_fits_own_patients_only(run, sizes, here):
    said = refused(USAGE, "predict", run, "--days", "20", "--fold", "5", "-o", "l.csv")
    assert "it is of forecasts with --landmark" in said
    words = ("predict", run, "--landmark", "20", "--fold", "5", "--sizes", sizes, *ATEZOLIZUMAB)
    assert "new ones (--sizes) were in no fit" in refused(USAGE, *words, "-o", "l.csv")
    assert not Path("l.csv").exists()


@pytest.mark.parametrize("command", ["classify", "predict"])
def test_ids_may_be_hidden(run, command):
    pdmodel(*OF_A_RUN[command], "--draws", "4", "--hide-ids")
    assert pd.read_csv("out.csv")["patient_id"].tolist() == [1, 2, 3]
    assert "P0" not in Path("out.csv").read_text()


PREDICTION_MISTAKES = mistakes("""
--patient P99
There is no patient 'P99' among the 3 (P01, P02, P03); write the id as it is in the table.

--patient p02
There is no patient 'p02' among the 3 (P01, P02, P03); did you mean 'P02'?

--regimen ipilimumab
Drug 'ipilimumab' is not in the model, which has ['atezolizumab'].

--regimen q3w
'q3w' names no drug first; write for example 'atezolizumab 1200 mg q3w', or 'ipilimumab 240 mg q3w
x4 30 min from day 21'.
""")


@pytest.mark.parametrize(("options", "said"), PREDICTION_MISTAKES)
def test_what_cannot_be_predicted_is_told_and_nothing_written(run, here, options, said):
    before = contents(here)
    words = ("predict", run, "--days", "42", "--draws", "4", "-o", "p.csv", *options.split())
    assert refused(UNFIT, *words) == f"Error: {said}"
    assert contents(here) == before


# --------------------------------------------------------------------------------------- simulate


@pytest.mark.parametrize("source", [("run",), ("--model", "exhaustion")])
def test_a_trial_is_simulated_from_a_run_or_a_prior(run, here, source):
    arms = ("--arm", "atezolizumab", "--arm", "none")
    words = ("simulate", *source, *arms, "-n", "8", "--until", "84", "-o", "trial")
    result = pdmodel(*words)
    assert result.exit_code == DONE
    assert result.stdout.splitlines()[-1] == "Written to trial."
    told = json.loads((here / "trial" / "trial.json").read_text())
    assert told["arms"] == {"atezolizumab": "atezolizumab", "none": "none"}
    assert told["visit_days"] == [0, 42, 84]
    assert ("prior-driven" in result.stdout) == (source[0] == "--model")
    for line in told["assumptions"]:
        assert line in result.stdout
    before = contents(here)
    assert refused(UNFIT, *words) == (
        "Error: trial is there already; choose another with -o, or add --overwrite."
    )
    assert contents(here) == before
    assert pdmodel(*words, "--seed", "2", "--overwrite").exit_code == DONE
    assert json.loads((here / "trial" / "trial.json").read_text())["seed"] == 2


SIMULATION_MISTAKES = mistakes("""
--model exhaustin --arm none -o t
There is no mechanism 'exhaustin'; known are MECHANISMS. Did you mean 'exhaustion'?

run --arm atezolizumb -o t
Arm 'atezolizumb': There is no drug 'atezolizumb'; known are ALL_DRUGS. Did you
mean 'atezolizumab'?

run --arm none --arm none -o t
Arm 'none' stands twice; give each its own name.

--model stein_fojo --arm ipilimumab -o t
Drug 'ipilimumab' acts through ['ctla4_block'], which mechanism 'stein_fojo' ignores; it answers
to []. It is a curve without drugs: leave them out, and read sizes with --regimen none.

run --arm none -o run --overwrite
The folder run holds other things; choose another with -o.

run --arm none -o sizes.csv --overwrite
sizes.csv is a file; choose another output folder with -o.
""")


@pytest.mark.parametrize(("line", "said"), SIMULATION_MISTAKES)
def test_what_cannot_be_simulated_is_told_and_nothing_written(sizes, run, here, line, said):
    before = contents(here)
    assert refused(UNFIT, "simulate", *line.split()) == f"Error: {said}"
    assert contents(here) == before


# ------------------------------------------------------------------------------------------- plot


def test_a_plot_without_a_file_goes_into_the_run_and_replaces_the_last(run, here):
    path = here / run / "plots" / "spider.png"
    for _ in range(2):
        result = pdmodel("plot", run, "spider")
        assert result.stdout == "Drawn into run/plots/spider.png.\n"
        assert path.read_bytes().startswith(b"\x89PNG")
        path.write_text("old")
    assert pdm.load(run).cohort.keys == ("P01", "P02", "P03")


def test_ids_are_hidden_in_plots_that_name_somebody(run, monkeypatch):
    asked = []

    def drawn(fit, *, hide_ids=False):
        asked.append(hide_ids)
        return Figure()

    monkeypatch.setattr("pdmodel.plot.KINDS", {"waterfall": drawn, "ppc": lambda fit: Figure()})
    assert pdmodel("plot", run, "waterfall", "--hide-ids").exit_code == DONE
    assert pdmodel("plot", run, "waterfall", "--overwrite").exit_code == DONE
    assert asked == [True, False]
    assert pdmodel("plot", run, "ppc", "--hide-ids").exit_code == DONE


@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_a_plot_is_drawn_in_the_format_that_the_name_says(run, here, ending, begins):
    assert pdmodel("plot", run, "prior", "-o", f"x.{ending}").exit_code == DONE
    assert (here / f"x.{ending}").read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("spider", "--patient", "P01"),
         "The plot 'spider' is of all patients; leave --patient out."),
        (("spider", "--table", "x.csv"), "The plot 'spider' takes no --table; leave it out."),
        (("pit", "--table", "x.csv"),
         "The plot 'pit' takes a table in Python only; leave --table out."),
        (("patient", "--arm", "none"), "The plot 'patient' takes no --arm; leave it out."),
        (("spider", "--page", "2"), "The plot 'spider' takes no --page; leave it out."),
        (("sbc", "--table", "x.json"), "x.json cannot be read: No such file or directory."),
        (("rescue",),
         ("The plot 'rescue' is of a table: write one with 'pdmodel rescue RUN --add-on DRUG -o "
         "rescue.csv', and give it with --table rescue.csv.")),
        (("patient", "--patient", "P99"),
         ("There is no patient 'P99' among the 3 (P01, P02, P03); write the id as it is in the "
         "table.")),
    ],
)  # fmt: skip
def test_whom_a_plot_cannot_show_is_told_and_nothing_written(run, here, words, said):
    before = contents(here)
    assert refused(UNFIT, "plot", run, *words) == f"Error: {said}"
    assert contents(here) == before


def test_a_table_of_another_run_is_not_drawn(run, here, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "pdmodel.plot.KINDS",
        {"attribution": lambda fit, *, table: drawn.append(list(table["patient_id"])) or Figure()},
    )
    head = "patient_id,study,arm,p_resistant,no single cause,attribution\n"

    def given(*names):
        (here / "a.csv").write_text(head + "".join(f"{name},,,0.9,1,x\n" for name in names))
        return "plot", run, "attribution", "--table", "a.csv", "--overwrite"

    assert refused(UNFIT, *given("P01", "Q7", "Q8")) == (
        "Error: a.csv: 2 of 3 patients are not in run, first 'Q7'; give a table that was made "
        "from this run."
    )
    assert "2 of 2" in refused(UNFIT, *given("1", "4"))  # hidden ids of more patients
    assert pdmodel(*given("P02", "P01")).exit_code == DONE
    assert pdmodel(*given("1", "3")).exit_code == DONE
    assert drawn == [["P02", "P01"], ["1", "3"]]


# ----------------------------------------------------------------------------------------- report


def test_a_report_is_printed_beside_the_page_and_ids_are_hidden_on_request(run, here, monkeypatch):
    asked = []

    def written(fit, path, *, hide_ids, **_):
        asked.append(hide_ids)
        path.write_text(PAGE)

    def printed(page, path, program):
        asked.append((page.read_text(), program))
        path.write_text("%PDF")

    monkeypatch.setattr("pdmodel.report.write_report", written)
    monkeypatch.setattr("pdmodel.report.printed.print_page", printed)
    monkeypatch.setattr("pdmodel.report.printed.chromium", lambda: Path("chromium"))
    result = pdmodel("report", run, "-o", "r.html", "--pdf", "--hide-ids")
    assert result.stdout == "Written to r.html.\nPrinted to r.pdf.\n"
    assert asked == [True, (PAGE, Path("chromium"))]
    (here / "r.html").unlink()
    said = refused(UNFIT, "report", run, "-o", "r.html", "--pdf")
    assert said.startswith("Error: r.pdf is there already; choose another with -o")
    assert pdmodel("report", run, "-o", "r.html").stdout == "Written to r.html.\n"
    assert asked[2:] == [False]


def test_without_a_browser_no_report_is_begun_that_was_to_be_printed(run, here, monkeypatch):
    monkeypatch.setenv("PDMODEL_CHROMIUM", "nothing")
    before = contents(here)
    said = refused(UNFIT, "report", run, "-o", "r.html", "--pdf")
    assert said == (
        "Error: PDMODEL_CHROMIUM is 'nothing', which is no program; correct it, or unset it."
    )
    assert contents(here) == before


# ------------------------------------------------------------------------------------------- data


def test_where_the_published_sizes_are_is_told(real_data, monkeypatch):
    monkeypatch.setenv("PDMODEL_DATA", str(real_data.parent))
    result = pdmodel("data", "path")
    assert (result.exit_code, result.stderr) == (DONE, "")
    assert Path(result.stdout.strip()) == real_data


def test_published_sizes_that_are_nowhere_are_told_with_the_way_to_them(here, monkeypatch):
    monkeypatch.setenv("PDMODEL_DATA", str(here / "none"))
    monkeypatch.setattr("pdmodel.data.fetch.cache_folder", lambda: here / "cache")
    said = refused(UNFIT, "data", "path")
    assert said.startswith("Error: The public data (doi:10.1371/journal.pcbi.1009822) are not in ")
    assert "`pdmodel data fetch`, or set PDMODEL_DATA to a folder with" in said


def test_published_sizes_are_fetched_or_the_way_by_hand_is_told(here, monkeypatch):
    monkeypatch.setattr("pdmodel.data.fetch.cache_folder", lambda: here)
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: here / "laleh2022_s1.xlsx")
    assert pdmodel("data", "fetch").stdout == f"{here / 'laleh2022_s1.xlsx'}\n"
    monkeypatch.setattr("pooch.retrieve", raising(OSError("no route to host")))
    said = refused(UNFIT, "data", "fetch").splitlines()
    assert said[0].endswith("could not be fetched: no route to host")
    assert said[1].startswith("Download them in a browser from https://journals.plos.org/")
    assert contents(here) == {}
    said = refused(USAGE, "data", "fetch", "tcga")
    assert said.endswith("'NAME': 'tcga' is not one of 'laleh2022'.")
