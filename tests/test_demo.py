"""The demo: what it writes and tells, with stand-ins for the fit, the plots and the report."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import pdmodel as pdm
from pdmodel import cli, plot
from pdmodel.demo import ARMS, RUN, WRITTEN, Effort, run
from pdmodel.errors import RunError
from pdmodel.nuts import Progress

SMALL = Effort(patients=3, chains=1, warmup=20, draws=40, virtual=8)


@pytest.fixture
def asked(monkeypatch, fit_by_hand):
    """Put a fit made by hand, one plot and a short page in place of what takes long."""
    options = {}

    def fit(model, cohort, *, report, **more):
        options.update(more, model=model, cohort=cohort)
        report(Progress("sampling", 1, 1, 0))
        report(Progress("sampling", 40, 40, 0))
        return fit_by_hand(cohort)

    def page(fit, path, *, trial, labels):
        options.update(trial=trial, labels=labels)
        path.write_text("<!doctype html>")

    monkeypatch.setattr("pdmodel.demo.fit", fit)
    monkeypatch.setattr("pdmodel.demo.write_report", page)
    monkeypatch.setattr(plot, "KINDS", {"spider": plot.plot_spider})
    return options


@pytest.fixture
def stopped(monkeypatch):
    """Stop where the fit would begin."""

    def fit(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pdmodel.demo.fit", fit)


def names(folder):
    return {path.name for path in Path(folder).iterdir()}


def test_the_whole_way_is_gone_told_and_written(tmp_path, asked):
    told, folder = [], tmp_path / "new" / "demo"
    assert run(folder, seed=3, effort=SMALL, report=told.append) == folder
    effort = {name: asked[name] for name in ("seed", "chains", "warmup", "draws")}
    assert effort == {"seed": 3, "chains": 1, "warmup": 20, "draws": 40}
    assert names(folder) == set(WRITTEN)
    assert names(folder / "plots") == {"spider.png"}
    assert pdm.load(folder / RUN).cohort.keys == ("P01", "P02", "P03")
    for table, rows in (("labels.csv", 3), ("labels_day730.csv", 3), ("predictions.csv", 3 * 19)):
        assert len(pd.read_csv(folder / table)) == rows
    trial = json.loads((folder / "trial" / "trial.json").read_text())
    assert (tuple(trial["arms"]), trial["n"], trial["seed"]) == (ARMS, 8, 3)
    assert len(asked["labels"]) == 3
    assert list(asked["trial"].arms) == list(ARMS)
    assert asked["cohort"].simulated


def test_a_plot_that_the_fit_does_not_allow_is_left_out_and_told(tmp_path, asked, monkeypatch):
    kinds = {"khat": plot.plot_khat, "spider": plot.plot_spider}
    monkeypatch.setattr(plot, "KINDS", kinds)
    told = []
    folder = run(tmp_path, effort=SMALL, report=told.append)
    assert names(folder / "plots") == {"spider.png"}
    (line,) = [line for line in told if "left out" in line and "khat" in line]
    assert "has no likelihood with patients integrated out" in line


def test_it_is_told_what_was_done_how_long_it_took_and_that_all_is_made_up(tmp_path, asked):
    told = []
    run(tmp_path, effort=SMALL, report=told.append)
    warning = "This cohort was simulated: no result says anything about a real patient."
    assert (told[0], told[-1]) == (warning, warning)
    steps = [line for line in told if line.endswith(" ...") and not line.startswith(" ")]
    assert [step.split()[0] for step in steps] == [
        "Checking", "Fitting", "Asking", "Labelling", "Predicting", "Simulating", "Drawing",
        "Writing",
    ]  # fmt: skip
    times = [line for line in told if line.endswith(" s") and line.startswith("  ")]
    assert len(times) == len(steps)
    noted = [line for line in told if line.startswith("  warning: sizes.csv, column day: 1 row")]
    assert len(noted) == 1
    assert "  The fit can be trusted: it passed every check." in told
    assert "    100 %, 0 s so far, about 0 s left, 0 divergences" in told
    listed = told[told.index(f"In {tmp_path}:") + 1 : -1]
    assert [line.split()[0] for line in listed] == list(WRITTEN)


def test_a_second_demo_takes_the_place_of_the_first(tmp_path, asked):
    for seed in (1, 2):
        run(tmp_path, seed=seed, effort=SMALL, report=lambda _: None)
        assert names(tmp_path) == set(WRITTEN)
        assert json.loads((tmp_path / "trial" / "trial.json").read_text())["seed"] == seed


def test_a_folder_with_other_things_in_it_is_refused_and_left_as_it_is(tmp_path, asked):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(RunError, match=r"holds 'thesis.docx', which no demo wrote; choose another"):
        run(tmp_path, effort=SMALL)
    assert names(tmp_path) == {"thesis.docx"}
    assert asked == {}


def test_a_file_and_a_folder_that_cannot_be_made_are_refused(tmp_path, asked):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"file is a file; choose another folder with -o"):
        run(tmp_path / "file", effort=SMALL)
    with pytest.raises(RunError, match=r"Cannot write to .*demo/run: Not a directory; choose anot"):
        run(tmp_path / "file" / "demo", effort=SMALL)
    assert asked == {}


def test_a_demo_that_is_stopped_leaves_the_last_one(tmp_path, asked, request):
    run(tmp_path, effort=SMALL, report=lambda _: None)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    request.getfixturevalue("stopped")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, effort=SMALL, report=lambda _: None)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_command_hands_on_folder_and_seed_and_says_what_went_wrong(tmp_path, monkeypatch):
    def asked_for(folder, *, seed, report, watch):
        report(f"{folder} {seed}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pdmodel.demo.run", asked_for)
    command = CliRunner().invoke
    assert command(cli.app, ["demo"]).stdout == "demo 1\n"
    assert command(cli.app, ["demo", "-o", "x", "--seed", "5"]).stdout == "x 5\n"
    monkeypatch.undo()
    (tmp_path / "thesis.docx").write_text("years of work")
    result = command(cli.app, ["demo", "-o", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: The folder {tmp_path} holds 'thesis.docx', which no demo wrote; choose another "
        "with -o.\n"
    )


def test_ctrl_c_ends_the_command_in_130(tmp_path, stopped):
    result = CliRunner().invoke(cli.app, ["demo", "-o", str(tmp_path / "demo")])
    assert result.exit_code == 130
    assert result.stderr.endswith("Interrupted; what was not finished was not written.\n")
    assert names(tmp_path / "demo") <= set(WRITTEN)
