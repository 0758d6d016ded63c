"""Run folders: what is written is what is read, damage is told, and nothing foreign is touched."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from pdmodel.cli import app
from pdmodel.data import Assessment, Cohort, CovariateNote, Note, Patient, ReadingLog
from pdmodel.dosing import Regimen, parse_schedules, planned
from pdmodel.errors import ModelError, RunError
from pdmodel.fit import Fit
from pdmodel.library import drug, mechanism
from pdmodel.model import Model
from pdmodel.residuals import residual
from pdmodel.run import COHORT, MANIFEST, POSTERIOR, SCHEMA, checksum, claim, load, save, whole
from pdmodel.writing import writing

MODEL = Model(
    mechanism("exhaustion"), (drug("atezolizumab"), drug("ipilimumab")), residual("student_t")
)
SCHEDULES = parse_schedules("atezolizumab 1200 mg q3w + ipilimumab 240 mg q3w x4 30 min")
FILES = (COHORT, MANIFEST, POSTERIOR)


def patients() -> tuple[Patient, ...]:
    third = 1.0 / 3.0
    odd = Regimen(np.array([0.0, 21 + third]), np.array([1200.0, 0.1]), np.array([1 / 24, 0.0]))
    return (
        Patient("007", "", "", np.array([-3.0, 0.1 + 0.2]), np.array([50.0, 5.0]),
                np.array([False, True]), {"atezolizumab": odd}, {"sex": "F", "age": 61.5}),
        Patient('Ünal, "J"', "Étude 1", "arm/β", np.array([0.0]), np.array([np.pi]),
                np.array([False]), {}, {"note": "007"}),
        Patient("1E5", "S2", "b", np.array([0.0, 42, 84]), np.array([33.3, 1e-3, 999.0]),
                np.zeros(3, bool), planned(SCHEDULES, 84.0), {}, SCHEDULES, "T01",
                (Assessment(42.0, overall="PR"), Assessment(84.0, "PD", new_lesion="UNEQUIVOCAL"))),
        Patient("n" * 300, "S2", "b", np.array([1e-300, 36525.0]), np.array([1.0, 2.0]),
                np.zeros(2, bool), {"ipilimumab": Regimen.none()}),
    )  # fmt: skip


def a_fit() -> Fit:
    """A fit with every kind of array that a tree holds, without sampling."""
    log = ReadingLog("sizes.csv", 12, 8, (
        Note("warning", "same-day", "sizes.csv, line 3: ...", 2, "sizes.csv", 3, "size_mm", "007"),
    ), (CovariateNote("age", "number", 1, 3, "61.5 to 61.5"),))  # fmt: skip
    cohort = Cohort(patients(), "lesion", log, simulated=True)
    rng = np.random.default_rng(0)
    odd = rng.normal(size=(2, 5, 4)) * np.array([1e-300, 1.0, 1e300, np.pi])
    odd[0, 0, 0], odd[0, 0, 1] = np.nan, -0.0
    own, shared = ("chain", "draw", "patient"), ("chain", "draw")
    posterior = xr.Dataset(
        {q.name: (own, odd) if q.individual else (shared, odd[:, :, 1]) for q in MODEL.free},
        {"patient": list(cohort.keys), "chain": [0, 1], "draw": np.arange(5)},
    )
    posterior["growth"].attrs = {"unit": "1/day", "about": "Wachstum, größer"}
    stats = xr.Dataset(
        {"diverging": (shared, odd[:, :, 1] > 0), "n_steps": (shared, np.arange(10).reshape(2, 5))}
    )
    observed = xr.Dataset(
        {"size_mm": ("obs", np.concatenate([p.size_mm for p in cohort])),
         "censored": ("obs", np.concatenate([p.censored for p in cohort]))},
        {"obs_patient": ("obs", np.repeat(cohort.keys, [len(p.day) for p in cohort]))},
    )  # fmt: skip
    tree = xr.DataTree.from_dict(
        {"posterior": posterior, "sample_stats": stats, "observed_data": observed}
    )
    options = {"pooling": "partial", "seed": 3, "target_accept": 0.85}
    return Fit(MODEL, cohort, tree, {"options": options, "seconds": {"fit": 0.1 + 0.2}})


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Fit, Path]:
    fit = a_fit()
    return fit, save(fit, tmp_path_factory.mktemp("runs") / "a" / "run")


@pytest.fixture
def run(written, tmp_path) -> Path:
    """Give a copy to damage."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes((written[1] / name).read_bytes())
    return folder


# ------------------------------------------------------------------------------- there and back


def test_a_folder_holds_three_files_and_no_draft(written):
    assert sorted(path.name for path in written[1].iterdir()) == sorted(FILES)


def test_patients_come_back_to_the_bit(written):
    fit, folder = written
    back = load(folder).cohort
    assert (back.size_kind, back.simulated, back.log) == ("lesion", True, fit.cohort.log)
    assert back.keys == fit.cohort.keys
    for got, put in zip(back, fit.cohort, strict=True):
        assert (got.id, got.study, got.arm) == (put.id, put.study, put.arm)
        for name in ("day", "size_mm", "censored"):
            mine, theirs = getattr(got, name), getattr(put, name)
            assert mine.dtype == theirs.dtype
            assert mine.tobytes() == theirs.tobytes()
        assert got.regimens == put.regimens
        assert got.schedules == put.schedules
        assert got.covariates == put.covariates
        assert (got.lesion, got.assessments) == (put.lesion, put.assessments)
        assert got.treated_until(200.0) == put.treated_until(200.0)


def test_draws_come_back_to_the_bit(written):
    fit, folder = written
    back = load(folder).tree
    assert set(back.children) == set(fit.tree.children)
    for group, node in fit.tree.children.items():
        for name, put in node.to_dataset().variables.items():
            got = back[group].to_dataset().variables[name]
            assert got.dims == put.dims
            assert got.attrs == put.attrs
            if put.dtype.kind in "fib":
                assert got.dtype == put.dtype
                assert got.to_numpy().tobytes() == put.to_numpy().tobytes()
            else:
                assert got.to_numpy().tolist() == put.to_numpy().tolist()


def test_model_and_manifest_come_back(written):
    fit, folder = written
    back = load(folder)
    assert back.model == fit.model
    assert back.manifest.items() >= fit.manifest.items()
    assert back.manifest["schema"] == SCHEMA
    assert back.manifest["precision"] == "float64"
    assert back.manifest["versions"].keys() >= {"pdmodel", "jax", "numpyro"}
    assert back.manifest["sha256"] == {n: checksum(folder / n) for n in (COHORT, POSTERIOR)}


def test_the_population_models_in_use_come_back(tmp_path):
    """A drug whose pharmacokinetics are of another study is another drug, and stays so."""
    other = drug("nivolumab").using("Bajaj 2017")
    model = Model(mechanism("exhaustion"), (other, drug("ipilimumab")), residual("student_t"))
    back = load(save(replace(a_fit(), model=model), tmp_path / "run"))
    assert back.model == model != replace(model, drugs=(drug("nivolumab"), drug("ipilimumab")))
    assert back.manifest["model"]["drugs"] == {
        "nivolumab": "Bajaj 2017",
        "ipilimumab": "Sanghavi 2020",
    }
    day = np.array([3.0, 20.0])
    given = {"nivolumab": Regimen([0.0], [240.0], [1 / 24])}
    mine, theirs = (one.strengths(given, day)["pd1_block"] for one in (model, back.model))
    np.testing.assert_array_equal(mine, theirs)


def test_a_population_model_that_there_is_not_is_told(run):
    manifest = json.loads((run / MANIFEST).read_text())
    manifest["model"]["drugs"] = {"atezolizumab": "Nobody 1999"}
    (run / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"no population model 'Nobody 1999'; known are \['Stroh"):
        load(run)


def test_steady_states_and_resets_come_back_to_the_bit(tmp_path):
    third = 1.0 / 3.0
    given = {
        "atezolizumab": Regimen([0.0, 21.0], [1200.0, third], [1 / 24, 0.0], [21.0, 0.0], [40.0]),
        "ipilimumab": Regimen([], [], [], resets=[third, 70.0]),
    }
    one = replace(patients()[0], regimens=given)
    back = load(save(replace(a_fit(), cohort=Cohort((one, *patients()[1:]))), tmp_path / "run"))
    got = next(p for p in back.cohort if p.id == one.id).regimens
    assert got == given
    for name, regimen in given.items():
        assert got[name].signature == regimen.signature
        assert got[name].interval.dtype == got[name].resets.dtype == np.float64


def test_doses_from_before_there_were_steady_states_are_read(run):
    """A cohort without intervals and resets is one without steady states and resets."""
    cohort = json.loads((run / COHORT).read_text())
    for p in cohort["patients"]:
        for regimen in p["regimens"].values():
            del regimen["interval"], regimen["resets"]
    (run / COHORT).write_text(json.dumps(cohort))
    manifest = json.loads((run / MANIFEST).read_text())
    manifest["sha256"][COHORT] = checksum(run / COHORT)
    (run / MANIFEST).write_text(json.dumps(manifest))
    assert [p.regimens for p in load(run).cohort] == [p.regimens for p in Cohort(patients())]


def test_what_was_loaded_is_written_again_the_same(written, tmp_path):
    again = save(load(written[1]), tmp_path / "again")
    assert (again / COHORT).read_bytes() == (written[1] / COHORT).read_bytes()
    xr.testing.assert_identical(load(again).tree, load(written[1]).tree)


def test_a_run_is_written_over_the_last(run):
    fit = load(run)
    save(replace(fit, manifest=fit.manifest | {"options": {"seed": 4}}), run)
    assert load(run).manifest["options"] == {"seed": 4}
    assert sorted(path.name for path in run.iterdir()) == sorted(FILES)


# ------------------------------------------------------------------------------------- damage


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGE = {"one bit": flipped, "cut": lambda c: c[: len(c) // 2], "empty": lambda c: b"",
          "longer": lambda c: c + b" "}  # fmt: skip


@pytest.mark.parametrize("name", [COHORT, POSTERIOR])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_told(run, name, damage):
    (run / name).write_bytes(DAMAGE[damage]((run / name).read_bytes()))
    with pytest.raises(RunError, match=rf"{name} is damaged or was changed: .* with --overwrite"):
        load(run)


@pytest.mark.parametrize("name", [COHORT, POSTERIOR])
def test_a_missing_file_is_told(run, name):
    (run / name).unlink()
    with pytest.raises(RunError, match=rf"{name} is missing; run 'pdmodel fit' again"):
        load(run)


BROKEN = {"empty": b"", "cut": b'{"schema": 1, "sha', "no JSON": b"\x80\x04K\x01.", "a list": b"[]",
          "no schema": b"{}", "schema in words": b'{"schema": "one"}', "null": b"null",
          "schema alone": b'{"schema": 1}',
          "no checksums": b'{"schema": 1, "sha256": 5, "model": {}}',
          "checksums of nothing": b'{"schema": 1, "sha256": {}, "model": {}}'}  # fmt: skip


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_manifest_is_told(run, content):
    (run / MANIFEST).write_bytes(content)
    with pytest.raises(RunError, match=rf"{MANIFEST} is damaged and cannot be read; fit again"):
        load(run)


def test_a_run_of_a_later_version_is_told(run):
    manifest = json.loads((run / MANIFEST).read_text())
    later = manifest | {"schema": SCHEMA + 1, "versions": {"pdmodel": "9.9"}}
    (run / MANIFEST).write_text(json.dumps(later))
    with pytest.raises(RunError, match=r"was written by a later version of pdmodel \(9.9\); upda"):
        load(run)


def test_the_folder_around_a_run_is_told_from_it(run):
    with pytest.raises(RunError, match=rf"did not finish\. Did you mean {run}\?"):
        load(run.parent)


def test_no_folder_and_no_run_are_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"file is a file; give the folder that 'pdmodel fit' wro"):
        load(tmp_path / "file")
    with pytest.raises(RunError, match=r"There is no run folder .*nowhere; make one with 'pdmod"):
        load(tmp_path / "nowhere")
    with pytest.raises(RunError, match=rf"has no {MANIFEST}: it is no run folder, or the fit did"):
        load(tmp_path)


@pytest.mark.parametrize("name", [COHORT, POSTERIOR])
def test_a_pickle_under_the_name_of_a_file_is_not_opened(run, name):
    """Even where somebody wrote its checksum into the manifest."""
    bomb = b"cbuiltins\neval\n(V__import__('pathlib').Path('BOMB').write_text('')\ntR."
    (run / name).write_bytes(bomb)
    manifest = json.loads((run / MANIFEST).read_text())
    manifest["sha256"][name] = checksum(run / name)
    (run / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=rf"{name} .*cannot be read"):
        load(run)
    assert not Path("BOMB").exists()


def test_a_fit_that_did_not_finish_is_no_run(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pdmodel.run.os.fsync", full)
    with pytest.raises(RunError, match=r"could not be written to .*run: No space left on device"):
        save(a_fit(), tmp_path / "run")
    with pytest.raises(RunError, match=rf"has no {MANIFEST}"):
        load(tmp_path / "run")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    whole(path, b"first")
    monkeypatch.setattr("pdmodel.run.os.fsync", lambda *_: (_ for _ in ()).throw(OSError(5, "x")))
    with pytest.raises(OSError, match="x"):
        whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert [one.name for one in tmp_path.iterdir()] == ["table.csv"]


# --------------------------------------------------------------------------------- claiming


def test_a_new_or_empty_folder_may_be_written_to(tmp_path):
    assert claim(tmp_path / "a" / "b").is_dir()
    assert claim(tmp_path / "a" / "b").is_dir()


def test_a_folder_in_use_is_refused_and_left_as_it_is(run):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(RunError, match=r"is not empty; choose another with -o, or add --overwrit"):
        claim(run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_run_to_be_overwritten_stays_until_another_is_complete(run, monkeypatch):
    (run / "labels.csv").write_text("x")
    before = load(run)
    claim(run, overwrite=True)
    assert load(run).manifest == before.manifest
    with monkeypatch.context() as patch:
        patch.setattr("pdmodel.run.whole", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(RunError, match=r"could not be written to .*run: full"):
            save(a_fit(), run)
    with pytest.raises(RunError, match=r"the fit did not finish"):
        load(run)
    claim(run, overwrite=True)
    assert load(save(before, run)).cohort.keys == before.cohort.keys


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(RunError, match=r"run is a file; choose another output folder with -o"):
            claim(tmp_path / "run", overwrite=overwrite)


def test_a_folder_of_something_else_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.docx").write_text("x")
    with pytest.raises(
        RunError, match=r"holds 'thesis.docx' and no run; it is not overwritten\. Ch"
    ):
        claim(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.docx").read_text() == "x"


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"file/run: Not a directory; choose another with -o"):
        claim(tmp_path / "file" / "run")


# --------------------------------------------------------------------------------- one at a time


def test_a_second_program_is_told_who_writes_into_a_folder(tmp_path):
    with writing(tmp_path / "run"):
        who = rf"is being written by process {os.getpid()} on \S+; wait until it has ended"
        with pytest.raises(RunError, match=who), writing(tmp_path / "run"):
            pass
        with writing(tmp_path / "other"):
            pass
    with writing(tmp_path / "run"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_that_a_killed_program_left_holds_nobody_up(tmp_path):
    script = (
        "import os, sys; from pdmodel.writing import writing\n"
        "with writing(sys.argv[1]): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "run")], check=False)  # noqa: S603
    assert (tmp_path / ".run.lock").exists()
    with writing(tmp_path / "run"):
        pass


def test_the_command_does_not_fit_into_a_folder_that_another_writes(tmp_path):
    sizes = tmp_path / "s.csv"
    rows = [f"P{k},{day},{40 + day / 9:.0f}" for k in range(3) for day in (0, 42, 84)]
    sizes.write_text("\n".join(["patient_id,day,size_mm", *rows]))
    words = ["fit", str(sizes), "-o", str(tmp_path / "run"), "--regimen", "atezolizumab"]
    with writing(tmp_path / "run"):
        end = CliRunner().invoke(app, words)
    assert end.exit_code == 1
    assert "is being written by process" in " ".join(end.stderr.split())
    assert not (tmp_path / "run").exists()
