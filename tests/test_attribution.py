"""Why patients resist: counts by hand, and causes that were planted in the parameters."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import pdmodel as pdm
from pdmodel import attribution
from pdmodel.attribution import AWAY, DOSES, EXPOSURE, INSEPARABLE, NONE, attribute
from pdmodel.cli import app
from pdmodel.dosing import parse_schedules, planned
from pdmodel.errors import OptionError
from pdmodel.response import CLASSES, ResistanceClass

DAYS = np.arange(0.0, 400.0, 42.0)
SCHEDULE = parse_schedules("atezolizumab 1200 mg q3w")
LIKE = {"responder": (1.0, 1.0), "fast": (16.0, 1.0), "cold": (1.0, 0.05)}
"""Growth and kill of patients, relative to the responder's."""
RESPONDS = {"growth": 0.001, "kill": 0.4}


def cohort():
    def one(name):
        given = planned(SCHEDULE, DAYS[-1])
        size, seen = np.full(len(DAYS), 40.0), np.zeros(len(DAYS), bool)
        return pdm.Patient(name, "S", "a", DAYS, size, seen, given, {}, schedules=SCHEDULE)

    return pdm.Cohort(tuple(map(one, LIKE)), simulated=True)


@pytest.fixture(scope="module")
def fit(fit_by_hand):
    """A fit whose patients have planted growth and kill, each with some spread."""
    found = fit_by_hand(cohort())
    posterior = found.posterior.copy(deep=True)
    names = [key.split("/")[1] for key in found.cohort.keys]
    for column, q in enumerate(("growth", "kill")):
        value = RESPONDS[q] * np.array([LIKE[name][column] for name in names])
        noise = np.random.default_rng(column).normal(size=posterior[q].shape)
        posterior[q] = (posterior[q].dims, value * np.exp(0.02 * noise))
    tree = found.tree.copy()
    tree["posterior"] = xr.DataTree(posterior)
    return replace(found, tree=tree)


def test_planted_causes_are_found(fit):
    table = attribute(fit, draws=120).set_index("patient_id")
    assert table.loc["responder", "p_resistant"] < 0.05
    assert table.loc["responder", "attribution"] == ""
    assert table.loc["fast", "attribution"] == "fast growth"
    assert table.loc["cold", "attribution"] == "insufficient priming"
    shares = table.loc[["fast", "cold"]].drop(
        columns=["study", "arm", "p_resistant", "attribution"]
    )
    np.testing.assert_allclose(shares.astype(float).sum(axis=1), 1.0)
    assert list(shares.columns)[-2:] == [EXPOSURE, NONE]


def test_a_fit_without_responders_is_refused(fit):
    before = np.full((3, 60), CLASSES.index(ResistanceClass.PRIMARY))
    with pytest.raises(OptionError, match=r"0 of 180 courses are durable .*give a later --horizon"):
        attribution._changes(fit, fit.values(60), before)


def classes(*names):
    return [CLASSES.index(ResistanceClass(name)) for name in names]


def test_shares_are_those_by_hand():
    """Four draws of two patients, two changes; a draw undone by both counts half for each."""
    people = cohort().patients[:2]
    before = np.array([
        classes("primary", "acquired", "acquired", "durable"), classes(*["primary"] * 4),
    ])  # fmt: skip
    after = np.array(
        [
            [classes("durable", "durable", "acquired", "primary"), classes(*["durable"] * 4)],
            [classes("primary", "durable", "early_loss", "durable"), classes(*["primary"] * 4)],
        ]
    )
    table = attribution._table(people, ["a", "b"], before, after, 0.6)
    assert table["p_resistant"].tolist() == [0.75, 1.0]
    np.testing.assert_allclose(table[["a", "b", NONE]].iloc[0], [0.5, 1 / 6, 1 / 3])
    np.testing.assert_allclose(table[["a", "b", NONE]].iloc[1], [1.0, 0.0, 0.0])
    assert table["attribution"].tolist() == ["undecided", "a"]


def test_what_is_so_for_everybody_says_nothing():
    before = np.array([classes(*["primary"] * 4)] * 2)
    after = np.array([[classes("durable", "durable", "primary", "primary")] * 2])
    table = attribution._table(cohort().patients[:2], ["a"], before, after, 0.6)
    assert table["attribution"].tolist() == [INSEPARABLE] * 2


def test_changes_take_wear_away_and_make_doses_large(fit):
    before = np.full((3, 60), CLASSES.index(ResistanceClass.DURABLE))
    found = {c.cause: c for c in attribution._changes(fit, fit.values(60), before)}
    assert set(found) == {"fast growth", "insufficient priming", "exhaustion", EXPOSURE}
    waning = next(q for q in fit.model.shared if q.name == "waning")
    assert found["exhaustion"].value == pytest.approx(AWAY * waning.typical)
    regimen = next(iter(fit.cohort.patients[0].regimens.values()))
    larger = attribution._larger(regimen, found[EXPOSURE].doses)
    np.testing.assert_allclose(larger.amount, DOSES * regimen.amount)
    assert found["fast growth"].value == pytest.approx(np.median(fit.values(60)["growth"]))


@pytest.mark.parametrize("wrong", [{"certainty": 0.4}, {"draws": 0}, {"rule": "none"}])
def test_options_that_cannot_be_used_are_refused(fit, wrong):
    with pytest.raises(OptionError):
        attribute(fit, **wrong)


def test_the_command_counts_and_writes(fit, tmp_path, monkeypatch):
    monkeypatch.setattr("pdmodel.startup.fitted", lambda run: fit)
    out = tmp_path / "why.csv"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    said = CliRunner().invoke(
        app, ["attribute", str(tmp_path / "run"), "-o", str(out), "--draws", "120"]
    )
    assert said.exit_code == 0, said.output
    assert "1 fast growth" in said.output
    assert "1 does not resist" in said.output
    assert pd.read_csv(out)["patient_id"].tolist() == ["cold", "fast", "responder"]
