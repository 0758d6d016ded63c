"""Decisions: which add-on and which schedule, and what such a choice rests on."""

import numpy as np
import pytest
from typer.testing import CliRunner

from pdmodel import Model, Patient, drug, mechanism, predict, residual, save
from pdmodel.cli import app
from pdmodel.data import Cohort
from pdmodel.dosing import parse_schedule
from pdmodel.errors import DataError, ModelError, OptionError
from pdmodel.fit import Fit
from pdmodel.response import RULES, progression_day
from pdmodel.simulate.decide import decide, search
from pdmodel.simulate.rescue import NOTHING, rescue, told

ADD_ON = "ipilimumab 240 mg q3w x4"


@pytest.fixture(scope="module")
def fitted(fit_by_hand) -> Fit:
    schedule = (parse_schedule("atezolizumab 1200 mg q3w"),)
    day = np.array([0.0, 42.0, 84.0, 126.0])

    def patient(name, sizes):
        given = {"atezolizumab": schedule[0].regimen(126.0)}
        size = np.array(sizes, float)
        return Patient(name, "", "", day, size, np.zeros(4, bool), given, schedules=schedule)

    cohort = Cohort((patient("grows", [50, 62, 75, 90]), patient("stays", [50, 48, 45, 42])))
    return fit_by_hand(cohort, draws=20)


@pytest.fixture(scope="module")
def table(fitted):
    return rescue(fitted, [ADD_ON], after=(0.0, 84.0), draws=12, seed=1, patients=["grows"])


# ---------------------------------------------------------------- decisions


def test_a_decision_is_that_of_its_definition():
    rng = np.random.default_rng(1)
    utility = rng.normal([0.0, 0.5, 0.4], 1.0, (500, 3))
    found = decide(utility)
    for k in range(3):
        assert found.utility[k] == pytest.approx(np.mean(utility[:, k]))
        gain = utility[:, k] - utility[:, 0]
        assert found.gain[k] == pytest.approx(np.mean(gain))
        assert found.gain_low[k] == pytest.approx(np.quantile(gain, 0.05))
        best = [max(row) - row[k] for row in utility]
        assert found.regret[k] == pytest.approx(np.mean(best))
        assert found.p_best[k] == np.mean([row.argmax() == k for row in utility])
    assert found.p_best.sum() == pytest.approx(1)
    assert found.regret.argmin() == found.utility.argmax()


def test_equal_options_share_being_best_and_unsolved_draws_count_for_none():
    found = decide(np.array([[1.0, 1.0, 0.0], [2.0, 1.0, 2.0], [np.nan, 9.0, 9.0]]))
    assert found.p_best.tolist() == [0.5, 0.25, 0.25]
    assert found.utility.tolist() == [1.5, 1.0, 1.0]
    assert np.isnan(decide(np.full((2, 2), np.nan)).gain).all()


# ---------------------------------------------------------------- rescue


def test_nothing_is_what_would_happen_anyway(fitted, table):
    """Days without progression by the forecast of the same draws, read scan by scan."""
    nothing = table[table["add_on"] == NOTHING].iloc[0]
    day = 126.0 + np.append(np.arange(0.0, 365.0, 42.0), 365.0)
    whole = predict(fitted, day, patients=["grows"], draws=12, seed=1)
    days = progression_day(day - 126.0, whole["median"].to_numpy(), RULES["sitc2020"])
    assert nothing["expected_days"] == pytest.approx(min(days, 365.0), abs=45.0)
    assert nothing["gain_days"] == 0
    assert np.isnan(nothing["from_day"])


def test_an_add_on_gains_and_an_early_one_more(table):
    table = table.set_index(["add_on", "from_day"])
    now, later = table.loc[(ADD_ON, 126.0)], table.loc[(ADD_ON, 210.0)]
    assert now["gain_days"] >= later["gain_days"] >= 0
    assert now["gain_days"] > 0
    assert table["p_best"].sum() == pytest.approx(1)
    assert (table["regret_days"] >= 0).all()
    assert table["best"].sum() == 1
    assert table["expected_days"].is_monotonic_decreasing


def test_what_rests_on_the_prior_is_called_prior_driven(table):
    told_of = table.set_index("add_on")
    assert (told_of.loc[ADD_ON, "basis"] == "prior-driven").all()
    assert told_of.loc[ADD_ON, "rests_on"].str.startswith("priming_gain 0.00; ").all()
    assert "priming_gain" not in told_of.loc[NOTHING, "rests_on"]
    assert "growth 0." in told_of.loc[NOTHING, "rests_on"]


def test_those_who_resist_are_looked_at(fitted):
    found = rescue(fitted, [ADD_ON], after=(0.0,), draws=8, seed=1)
    assert set(found["patient_id"]) <= {"grows", "stays"}
    assert set(found["resistance"]) <= {"primary", "acquired"}
    alone = rescue(fitted, [ADD_ON], after=(0.0,), draws=8, seed=1, patients=["stays"])
    assert set(alone["patient_id"]) == {"stays"}
    assert told(alone)[0].lstrip().startswith("1 best with")
    assert "Nobody" in told(alone.iloc[:0])[0]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"after": (-1.0,)}, OptionError, "days from 0 on, below 365"),
        ({"after": (400.0,)}, OptionError, "below 365"),
        ({"draws": 0}, OptionError, "draws is 0"),
        ({"add_ons": ["ipilimumab until progression"]}, OptionError, "whatever scans show"),
        ({"add_ons": ["none"]}, OptionError, "must be drugs"),
        ({"add_ons": []}, OptionError, "no arm"),
        ({"add_ons": ["ipilimumap"]}, ModelError, "mean 'ipilimumab'"),
        ({"patients": ["x"]}, DataError, "x"),
    ],
)
def test_what_cannot_be_asked_is_refused(fitted, options, error, words):
    with pytest.raises(error, match=words):
        rescue(fitted, **{"add_ons": [ADD_ON], "seed": 1, "draws": 4} | options)


def test_the_command_writes_a_table(fitted, tmp_path):
    run = save(fitted, tmp_path / "run")
    words = ["rescue", str(run), "--add-on", ADD_ON, "--after", "0", "--patient", "grows"]
    asked = CliRunner().invoke(app, [*words, "--draws", "4", "-o", str(tmp_path / "r.csv")])
    assert asked.exit_code == 0, asked.output
    assert "prior-driven; expected gain" in asked.stdout
    assert (tmp_path / "r.csv").read_text("utf-8").startswith("patient_id,study,resistance")


# ---------------------------------------------------------------- schedules


def test_schedules_are_ranked_by_expected_utility():
    bare = Model(mechanism("exhaustion"), (drug("atezolizumab"),), residual("lognormal"))
    arms = {"none": "none", "mono": "atezolizumab", "both": f"atezolizumab + {ADD_ON}"}
    how = {"n": 64, "seed": 1, "draws": 8, "visits": [0.0, 42, 84, 126, 189, 252, 378]}
    how |= {"pharmacokinetics": "typical"}
    free = search(bare, arms, **how)
    assert free["schedule"].tolist() == ["both", "mono", "none"]
    assert free["p_best"].is_monotonic_decreasing
    assert free["p_best"].sum() == pytest.approx(1)
    assert (free["mc_error"].iloc[:2] > 0).all()
    dear = search(bare, arms, **how, cost={"both": 500.0})
    assert dear["schedule"].tolist() == ["mono", "none", "both"]
    gain = free.set_index("schedule")["utility"] - dear.set_index("schedule")["utility"]
    assert gain["both"] == pytest.approx(500)
    assert gain["mono"] == 0
    with pytest.raises(OptionError, match=r"cost of \['x'\]"):
        search(bare, arms, **how, cost={"x": 1.0})
