"""Fits that do not finish: what is left of them, how they go on, and when they must not."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import pdmodel as pdm
from pdmodel import cli, fitting
from pdmodel.data.demo import demo_cohort
from pdmodel.errors import FitError, RunError
from pdmodel.fit import Fit
from pdmodel.run import CHUNKS, COHORT, MANIFEST, POSTERIOR, UNFINISHED, claim, load
from pdmodel.unfinished import asked_for, finished, kept_so_far, unfinished

MODEL = pdm.Model(
    pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), pdm.residual("student_t")
)
OPTIONS = {"seed": 1, "chains": 2, "warmup": 30, "draws": 20}


@pytest.fixture(scope="module")
def cohort():
    whole = demo_cohort()
    return whole.subset(whole.keys[:3])


def left_by(folder, cohort, problem=RuntimeError, options=OPTIONS):
    """Leave a fit that ended by a problem after its first stage."""
    with pytest.raises(problem), unfinished(folder, MODEL, cohort, options) as keep:  # noqa: PT012
        keep.kept("first look", lambda: np.arange(3.0))
        raise problem("so")
    return folder


# ------------------------------------------------------------------------------ what is left


def test_what_was_kept_is_there_until_the_fit_is_written(tmp_path, cohort):
    left_by(tmp_path, cohort)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHUNKS, UNFINISHED]
    assert kept_so_far(tmp_path) == (
        f"first-look, 0 of 100 iterations of 2 chains are kept in {tmp_path / CHUNKS}"
    )
    with unfinished(tmp_path, MODEL, cohort, OPTIONS, resume=True) as keep:
        np.testing.assert_array_equal(keep.kept("first look", lambda: 1 / 0), np.arange(3.0))
        assert keep.notes()["resumed"] == 1
    assert list(tmp_path.iterdir()) == []
    assert kept_so_far(tmp_path) == ""


def test_nothing_is_left_where_nothing_was_kept(tmp_path, cohort):
    with pytest.raises(ValueError, match="so"), unfinished(tmp_path, MODEL, cohort, OPTIONS):  # noqa: PT012
        assert (tmp_path / UNFINISHED).exists()
        raise ValueError("so")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_fit_that_would_fail_again(tmp_path, cohort):
    assert list(left_by(tmp_path, cohort, FitError).iterdir()) == []


def test_a_fit_that_begins_anew_uses_nothing_of_the_last(tmp_path, cohort):
    left_by(tmp_path, cohort)
    with unfinished(tmp_path, MODEL, cohort, OPTIONS) as keep:
        assert keep.empty
        assert keep.notes()["resumed"] == 0


def test_drafts_that_a_killed_program_left_are_cleared(tmp_path, cohort):
    left_by(tmp_path, cohort)
    for folder in (tmp_path, tmp_path / CHUNKS):
        (folder / ".draft-x").mkdir()
        (folder / ".draft-x" / "half").write_text("")
    with unfinished(tmp_path, MODEL, cohort, OPTIONS, resume=True):
        assert not list(tmp_path.rglob(".draft-*"))


# ----------------------------------------------------------------------- only the same goes on


def smaller(cohort):
    first = cohort.patients[0]
    sizes = first.size_mm.copy()
    sizes[0] += 1.0
    return replace(cohort, patients=(replace(first, size_mm=sizes), *cohort.patients[1:]))


def other_prior(model):
    first, *rest = model.mechanism.parameters
    parameters = (replace(first, typical=first.typical * 1.01), *rest)
    return replace(model, mechanism=replace(model.mechanism, parameters=parameters))


def test_a_fit_does_not_go_on_as_another(tmp_path, cohort):
    left_by(tmp_path, cohort)
    before = (tmp_path / UNFINISHED).read_bytes()
    other = replace(MODEL, residual=pdm.residual("lognormal"))
    seen = r"data was 3 patients with (\d+) scans, checksum \w+ and is now "
    cases = [
        (MODEL, cohort, OPTIONS | {"seed": 2}, "seed was 1 and is now 2"),
        (MODEL, cohort, OPTIONS | {"draws": 40}, "draws was 20 and is now 40"),
        (MODEL, cohort, OPTIONS | {"max_depth": 5}, "max_depth was not said and is now 5"),
        (MODEL, cohort.subset(cohort.keys[:2]), OPTIONS, seen + "2 patients"),
        (MODEL, smaller(cohort), OPTIONS, seen + r"3 patients with \1 scans"),
        (other, cohort, OPTIONS, "residual was student_t and is now lognormal"),
        (other_prior(MODEL), cohort, OPTIONS, r"as another: priors was \w+ and is now \w+\. Ask"),
        (replace(MODEL, drugs=()), cohort, OPTIONS, r"drugs was atezolizumab \(Stroh.* now none"),
    ]
    for model, patients, options, said in cases:
        with (
            pytest.raises(RunError, match=said),
            unfinished(tmp_path, model, patients, options, resume=True),
        ):
            pass
        assert (tmp_path / UNFINISHED).read_bytes() == before
        assert (tmp_path / CHUNKS / "stage-first-look.npz").exists()


@pytest.mark.parametrize("name", ["pdmodel", "jax", "numpyro", "Python", "precision", "device"])
def test_a_fit_does_not_go_on_under_other_versions(tmp_path, cohort, name):
    left_by(tmp_path, cohort)
    known = json.loads((tmp_path / UNFINISHED).read_text())
    now = known["asked"][name]
    known["asked"][name] = "0.0.1"
    (tmp_path / UNFINISHED).write_text(json.dumps(known))
    with (
        pytest.raises(RunError, match=rf"another: {name} was 0\.0\.1 and is now {re.escape(now)}"),
        unfinished(tmp_path, MODEL, cohort, OPTIONS, resume=True),
    ):
        pass


def test_the_same_cohort_read_from_elsewhere_is_the_same(cohort):
    moved = replace(cohort, log=replace(cohort.log, source="elsewhere.csv"))
    assert asked_for(MODEL, moved, OPTIONS) == asked_for(MODEL, cohort, OPTIONS)


def test_equations_that_were_edited_are_others(tmp_path, cohort):
    file = tmp_path / "mine.py"
    texts = ["def rate(t, s, p, a):\n    return s\n", "def rate(t, s, p, a):\n    return 2 * s\n"]
    found = []
    for text in texts:
        file.write_text(text)
        space = {}
        exec(compile(text, str(file), "exec"), space)  # noqa: S102
        mine = replace(MODEL, mechanism=replace(MODEL.mechanism, rate=space["rate"]))
        found.append(asked_for(mine, cohort, OPTIONS)["equations"])
    assert found[0] != found[1]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"asked": 1, "resumed": 0}', b"\x80\x04K\x01."])
def test_a_damaged_note_is_told(tmp_path, cohort, content):
    left_by(tmp_path, cohort)
    (tmp_path / UNFINISHED).write_bytes(content)
    with (
        pytest.raises(RunError, match=rf"{UNFINISHED} is damaged and cannot be read; begin anew"),
        unfinished(tmp_path, MODEL, cohort, OPTIONS, resume=True),
    ):
        pass


# ---------------------------------------------------------------------- folders and finished fits


def test_a_folder_with_an_unfinished_fit_is_not_taken_for_a_run_nor_written_over(tmp_path, cohort):
    left_by(tmp_path, cohort)
    with pytest.raises(RunError, match=r"is not finished\. Go on with the same 'pdmodel fit"):
        load(tmp_path)
    with pytest.raises(RunError, match=r"not finished; go on with --resume, or begin anew"):
        claim(tmp_path)
    assert claim(tmp_path, resume=True) == claim(tmp_path, overwrite=True) == tmp_path
    (tmp_path / UNFINISHED).unlink()
    with pytest.raises(RunError, match="is not empty"):
        claim(tmp_path, resume=True)  # chunks that belong to nothing


@pytest.fixture
def run(tmp_path, cohort, fit_by_hand):
    """A finished run that knows what was asked for."""
    fit: Fit = fit_by_hand(cohort)
    asked = {"asked": asked_for(fit.model, cohort, OPTIONS)}
    return fit.model, pdm.save(replace(fit, manifest=fit.manifest | asked), tmp_path / "run")


def test_a_finished_fit_is_known_and_another_is_not_taken_for_it(run, cohort):
    model, folder = run
    before = (folder / MANIFEST).read_bytes()
    assert finished(folder, model, cohort, OPTIONS)
    with pytest.raises(RunError, match="seed was 1 and is now 5"):
        finished(folder, model, cohort, OPTIONS | {"seed": 5})
    assert (folder / MANIFEST).read_bytes() == before
    assert not finished(folder.parent, model, cohort, OPTIONS)


def test_a_finished_fit_that_is_damaged_is_not_called_finished(run, cohort):
    model, folder = run
    (folder / POSTERIOR).write_bytes((folder / POSTERIOR).read_bytes()[:-1])
    with pytest.raises(RunError, match=rf"{POSTERIOR} is damaged or was changed"):
        finished(folder, model, cohort, OPTIONS)


def test_a_folder_in_which_nothing_but_a_draft_was_begun_may_be_used(tmp_path):
    (tmp_path / "run" / ".draft-x").mkdir(parents=True)
    for how in ({}, {"resume": True}, {"overwrite": True}):
        assert claim(tmp_path / "run", **how) == tmp_path / "run"


def test_a_fit_that_was_killed_between_its_last_file_and_tidying_up_is_finished(run, cohort):
    model, folder = run
    asked = json.loads((folder / MANIFEST).read_text())["asked"]
    (folder / UNFINISHED).write_text(json.dumps({"asked": asked, "resumed": 0}))
    (folder / CHUNKS).mkdir()
    assert finished(folder, model, cohort, OPTIONS)
    assert sorted(path.name for path in folder.iterdir()) == [COHORT, MANIFEST, POSTERIOR]


def test_an_unfinished_fit_beside_a_run_that_it_is_to_replace_goes_on(run, cohort):
    _, folder = run
    left_by(folder, cohort, options=OPTIONS | {"seed": 9})
    assert load(folder).manifest["asked"]["seed"] == 1  # whole until it is replaced
    assert not finished(folder, MODEL, cohort, OPTIONS | {"seed": 9})
    with unfinished(folder, MODEL, cohort, OPTIONS | {"seed": 9}, resume=True) as keep:
        assert not keep.empty


# -------------------------------------------------------------------------- the command line

ROWS = [f"P{k},{day},{40 + k + day / 9:.0f}" for k in range(3) for day in (0, 42, 84)]
WORDS = ("fit", "sizes.csv", "--regimen", "atezolizumab 1200 mg q3w", "-o", "run")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sizes.csv").write_text("\n".join(["patient_id,day,size_mm", *ROWS]))
    return tmp_path


def pdmodel(*words):
    return CliRunner().invoke(cli.app, words)


@pytest.fixture
def fails(monkeypatch, fit_by_hand):
    """A fit that fails after its first stage as long as it is told to."""
    how = {"problem": OSError(28, "No space left on device"), "stages": 0}

    def fit(model, cohort, *, report, checkpoints, **options):
        def stage():
            how["stages"] += 1
            return np.arange(4)

        checkpoints.kept("first look", stage)
        if how["problem"]:
            raise how["problem"]
        made = fit_by_hand(cohort)
        return replace(made, manifest=made.manifest | checkpoints.notes())

    monkeypatch.setattr(pdm, "fit", fit)
    return how


def test_resume_where_there_is_nothing_begins_and_says_so(here, fails):
    fails["problem"] = None
    end = pdmodel(*WORDS, "--resume")
    assert end.exit_code == 0
    assert "Nothing to go on from in run; beginning." in end.stdout


def test_resume_of_a_finished_fit_says_so_and_does_nothing(here, fails):
    fails["problem"] = None
    assert pdmodel(*WORDS).exit_code == 0
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    end = pdmodel(*WORDS, "--resume")
    assert end.exit_code == 0
    assert end.stdout.splitlines()[-1] == "The fit in run is finished; nothing is to be done."
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before
    assert fails["stages"] == 1
    end = pdmodel(*WORDS, "--resume", "--draws", "700")
    assert end.exit_code == 1
    assert "draws was 500 and is now 700" in end.stderr


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), MemoryError(), RunError("Disk full.")])
def test_what_is_kept_is_said_with_the_command_that_goes_on(here, fails, monkeypatch, problem):
    fails["problem"] = problem
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pdmodel", *WORDS])
    end = pdmodel(*WORDS)
    assert end.exit_code == (130 if isinstance(problem, KeyboardInterrupt) else 1)
    command = "pdmodel fit sizes.csv --regimen 'atezolizumab 1200 mg q3w' -o run --resume"
    assert end.stderr.splitlines()[-3:-1] == [
        "first-look, 0 of 3200 iterations of 4 chains are kept in run/chunks. Go on with:",
        f"  {command}",
    ]
    fails["problem"] = None
    end = pdmodel(*WORDS, "--resume")
    assert end.exit_code == 0
    assert "Going on: first-look, 0 of 3200 iterations of 4 chains are kept in run" in end.stdout
    assert "s since it went on." in end.stdout
    assert fails["stages"] == 1
    manifest = load("run").manifest
    assert (manifest["resumed"], manifest["damaged"]) == (1, [])


def test_a_damaged_stage_is_told_by_the_command_and_kept_in_the_manifest(here, fails):
    pdmodel(*WORDS)
    Path("run/chunks/stage-first-look.npz").write_bytes(b"x")
    fails["problem"] = None
    end = pdmodel(*WORDS, "--resume")
    assert "Warning: run/chunks/stage-first-look.npz is damaged" in end.stderr
    assert "stage-first-look.npz is damaged" in load("run").manifest["damaged"][0]


def test_other_commands_say_that_a_fit_is_not_finished(here, fails):
    pdmodel(*WORDS)
    for words in (("diagnose", "run"), ("classify", "run", "-o", "out.csv")):
        end = pdmodel(*words)
        assert end.exit_code == 1
        assert "The fit in run is not finished. Go on with the same 'pdmodel fit" in end.stderr


def test_switches_that_exclude_each_other_are_wrong_usage(here):
    end = pdmodel(*WORDS, "--resume", "--overwrite")
    assert end.exit_code == 2
    assert "give one of them" in end.stderr


def test_the_command_that_goes_on_is_the_one_that_was_typed():
    typed = ["x/pdmodel", "fit", "a b.csv", "--overwrite", "-o", "run"]
    assert fitting.again(typed) == "pdmodel fit 'a b.csv' -o run --resume"


# ------------------------------------------------------------------- killed, for all that it is

SMALL = """
import os, resource, signal, sys, time
from types import SimpleNamespace
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
import pdmodel as pdm
import pdmodel.diagnose
from pdmodel import archive, checkpoint, cli, files
from pdmodel.keys import key_of
from pdmodel.nuts import Settings, sample

how, at = sys.argv[1].split(":")
checkpoint.EVERY, count, write = 0.0, [0], archive.whole

def happens(path, content):
    count[0] += 1
    if count[0] != int(at):
        if how == "ctrl-c" and count[0] > int(at):
            time.sleep(1.0)  # chains wait for the main thread to see it, however busy the machine
        return write(path, content)
    if how == "kill":  # in the middle of a file
        with files.draft_of(path) as draft:
            draft.write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
    if how == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    write(path, content)
    if how == "ctrl-c":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.0)

archive.whole = happens

def fit(model, cohort, *, report, checkpoints, **options):
    scale = checkpoints.kept("first look", lambda: jnp.array([1.0, 3.0]))
    def potential_of(scale):
        return lambda z: 0.5 * jnp.sum((z["x"] / scale) ** 2) + jnp.cosh(z["y"] - z["x"][0])
    starts = [{"x": jnp.array([0.3, k]), "y": jnp.array(0.1)} for k in range(2)]
    # many files, so that some are left to write
    settings = Settings(warmup=30, draws=30, chains=2, chunk=2)
    keys = [key_of(5, k) for k in range(2)]
    drawn = sample(potential_of, scale, starts, keys, settings, report, checkpoints=checkpoints)
    return SimpleNamespace(drawn=drawn, manifest={"seconds": {"fit": 0.0}})

def save(fit, run):
    np.savez(run / "draws.npz", **fit.drawn.positions, **fit.drawn.statistics)

pdm.fit, pdm.save = fit, save
sys.modules["pdmodel.diagnose"].diagnose = lambda fit: SimpleNamespace(lines=lambda: ["done"])
sys.argv = ["pdmodel", *sys.argv[2:]]
cli.main()
"""


def test_a_fit_that_is_killed_interrupted_and_out_of_room_ends_as_if_nothing_were(here, request):
    cache = str(request.config.cache.mkdir("jax"))
    surroundings = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }  # fmt: skip
    base = ("fit", "sizes.csv", "--regimen", "none", "--warmup", "30", "--draws", "30",
            "--chains", "2", "-o")  # fmt: skip

    def run(how, folder, *more):
        return subprocess.run(  # noqa: S603
            [sys.executable, "-c", SMALL, how, *base, folder, *more],
            capture_output=True, text=True, env=surroundings, check=False, timeout=300,
        )  # fmt: skip

    assert run("never:0", "whole").returncode == 0
    assert run("kill:3", "run").returncode == -signal.SIGKILL  # the first file of a chain
    # the other chain's first file is whole by then, or not
    assert re.match(r"first-look, [024] of 120 iterations", kept_so_far("run"))
    end = run("ctrl-c:2", "run", "--resume")
    assert end.returncode == 130
    kept = re.search(r"first-look, (\d+) of 120 iterations of 2 chains are kept in r", end.stderr)
    assert int(kept[1]) >= 2
    assert "--chains 2 -o run --resume\n" in end.stderr
    end = run("full:3", "run", "--resume")
    assert end.returncode == 1
    assert re.search(r"Error: run/chunks/chain-\d-\d+\.npz \(0\.0 MB\) could not be written: File "
                     r"too large\. Make room there\.\n$", end.stderr)  # fmt: skip
    assert run("kill:4", "run", "--resume").returncode == -signal.SIGKILL
    assert list(Path("run").rglob(".draft-*"))  # half a file, which is not taken for one
    end = run("never:0", "run", "--resume")
    assert end.returncode == 0
    assert "damaged" not in end.stderr
    assert [path.name for path in Path("run").iterdir()] == ["draws.npz"]
    with np.load("whole/draws.npz") as one, np.load("run/draws.npz") as two:
        assert set(one) == set(two) >= {"x", "y", "energy"}
        assert all(one[name].tobytes() == two[name].tobytes() for name in one)
