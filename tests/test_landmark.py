"""Forecasts from a landmark: courses made by hand, outcomes and figures computed by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pdmodel import Cohort, Patient
from pdmodel.compare.learning import Learnt
from pdmodel.dosing import parse_schedule
from pdmodel.errors import OptionError
from pdmodel.landmark import (
    COLUMNS,
    figures,
    forecasts,
    forecasts_by_folds,
    happened,
    lines,
    reliability_of,
)
from pdmodel.latent import Latent

DAY = 60.0
AHEAD = np.arange(84.0, 421, 42)  # from the scan on day 42, up to day 425


def a_patient(name, size, start=0.0, **more):
    size = np.array(size, float)
    day = start + 42.0 * np.arange(len(size))
    return Patient(name, "S", "a", day, size, size < 5, **more)


PATIENTS = (
    a_patient("A", [50, 60]),  # progression before the landmark
    a_patient("B", [50, 45, 40, 60, 60]),  # on day 126
    a_patient("C", [50, 45, 40]),  # not followed beyond day 84
    a_patient("D", [50, *[45] * 11]),  # never, up to day 462
    a_patient("E", [50, 45], start=70.0),  # no scan yet
)
COHORT = Cohort(PATIENTS)


def courses(fit, group, days, given, draws, seed, purpose):
    """Four draws of each patient: progression on day 84, 210, 420 and never; of D one failed."""
    for one in given:
        assert set(one) <= {drug.name for drug in fit.model.drugs}  # of others nothing is known
    size = np.full((4, len(group), days.shape[1]), 45.0)
    for k, day in enumerate((84, 210, 420)):
        size[k][days == day] = 100.0
    ok = np.full((4, len(group)), True)
    ok[3] = [patient.id != "D" for patient in group]
    return Latent(np.log(size), size, {}, ok)


@pytest.fixture
def told(monkeypatch, fit_by_hand):
    """Give the table, and the cohort that joined."""
    asked = {}

    def joined(fit, cohort, **how):
        asked.update(how, cohort=cohort)
        return replace(fit, cohort=cohort)

    monkeypatch.setattr("pdmodel.newcomers.joined", joined)
    monkeypatch.setattr("pdmodel.landmark.ahead.latent", courses)
    return forecasts(fit_by_hand(COHORT, draws=4), DAY, seed=3), asked


def test_outcomes_are_yes_no_or_unknown():
    table = happened(COHORT, DAY).set_index("patient_id")
    assert table.index.tolist() == list("ABCD")
    assert table["progressed"].tolist() == ["yes", "no", "no", "no"]
    assert table["first_change"].tolist() == ["grown", *["not grown"] * 3]
    assert table["held_class"].tolist() == ["primary", *["durable"] * 3]
    assert table["observed_next"].tolist() == ["yes", "no", "no", "no"]
    for name in ("6_months", "12_months"):
        assert table[f"observed_{name}"].tolist() == ["yes", "yes", "unknown", "no"]
    assert table["observed_class"].tolist() == ["primary", "primary", "unknown", "durable"]
    early = happened(COHORT, 10.0).set_index("patient_id")
    assert early["first_change"].tolist() == ["none"] * 4
    assert early["observed_next"].tolist() == ["yes", "no", "no", "no"]
    assert happened(COHORT, 130).set_index("patient_id").loc["C", "observed_next"] == "unknown"


def test_what_comes_after_a_year_is_no_progression_within_it():
    late = a_patient("L", [50, *[45] * 10, 60])  # on day 462, 402 days after the landmark
    row = happened(Cohort((late,)), DAY).iloc[0]
    assert (row["observed_12_months"], row["observed_class"]) == ("no", "durable")


def test_probabilities_are_shares_of_the_draws_that_could_be_solved(told):
    table = told[0]
    assert tuple(table.columns) == COLUMNS
    rows = table.set_index("patient_id")
    assert (table["next_visit_day"] == 84).all()
    chances = ["p_next", "p_6_months", "p_12_months"]
    assert rows.loc["B", chances].tolist() == [0.25, 0.5, 0.75]
    assert rows.loc["A", chances].tolist() == [1, 1, 1]
    np.testing.assert_allclose(rows.loc["D", chances].astype(float), [1 / 3, 2 / 3, 1])
    classes = ["p_primary", "p_acquired", "p_early_loss", "p_durable", "p_not_determinable"]
    assert rows.loc["B", classes].tolist() == [0.25, 0.5, 0, 0.25, 0]
    assert rows.loc["A", classes].tolist() == [1, 0, 0, 0, 0]
    assert table.attrs == {"failed_solves": "1 of 16", "no_scan": 1, "new": False}


def test_only_what_was_known_by_the_landmark_is_handed_on(told):
    cohort = told[1]["cohort"]
    assert [patient.id for patient in cohort] == list("ABCD")
    assert all(patient.day.tolist() == [0, 42] for patient in cohort)
    assert (told[1]["draws"], told[1]["seed"]) == (200, 3)


def test_new_patients_are_forecast_from_what_was_known_too(told, fit_by_hand):
    table = forecasts(fit_by_hand(COHORT, draws=4), DAY, Cohort(PATIENTS[1:3]), seed=3)
    assert table["patient_id"].tolist() == ["B", "C"]
    assert table.attrs["new"]
    assert [patient.id for patient in told[1]["cohort"]] == ["B", "C"]


def test_by_folds_nobody_is_forecast_under_a_population_that_knows_them(monkeypatch, fit_by_hand):
    doses = {
        "regimens": {"atezolizumab": parse_schedule("atezolizumab 1200 mg q3w").regimen(100.0)}
    }
    people = tuple(a_patient(f"p{k}", [50, 45 + k, 40, 60, 60], **doses) for k in range(9))
    fit, learns, given, models = fit_by_hand(Cohort(people), draws=4), [], [], []

    def learnt(laid, shown, *, seed, method, report):
        learns.append(shown)
        models.append(f"{laid.of.model.mechanism.name}:{laid.of.model.residual.name}")
        return Learnt(np.full((8, len(laid.of)), float(len(learns))), 0.1 * len(learns), 8.0, 0.2)

    def values_given(laid, seen, populations, *, draws, seed):
        given.append((seen.tolist(), populations[0, :, 0]))
        return {q.name: np.ones((4, len(people))) for q in laid.of.model.free}

    monkeypatch.setattr("pdmodel.landmark.folded.learnt", learnt)
    monkeypatch.setattr("pdmodel.landmark.folded.values_given", values_given)
    monkeypatch.setattr("pdmodel.landmark.ahead.latent", courses)
    table = forecasts_by_folds(fit, DAY, folds=3, seed=1)
    mine, walks = learns[:3], learns[3:]  # of the model, and of the random walk with slope
    assert models == 3 * [f"exhaustion:{fit.model.residual.name}"] + 3 * ["flat:last_value"]
    np.testing.assert_array_equal(mine, walks)
    assert np.array(mine).sum(axis=0).tolist() == [2] * 9
    assert [seen for seen, _ in given] == [[2] * 9] * 2
    for k, shown in enumerate(mine):
        assert (table["fold"][~shown] == k + 1).all()
        for first, (_, whose) in zip((1.0, 4.0), given, strict=True):
            assert (whose[~shown] == k + first).all()
    forecast = [name for name in COLUMNS if name.startswith("p_")]
    expected = [*COLUMNS, "fold", *(f"random_walk_{name}" for name in forecast)]
    assert table.columns.tolist() == expected
    assert table["p_next"].tolist() == table["random_walk_p_next"].tolist() == [0.25] * 9
    found = figures(table, happened(fit.cohort, DAY), seed=1)
    one = found[(found["outcome"] == "6_months") & (found["group"] == "all")]
    arm, walk, model = (one.set_index("forecast").loc[x] for x in ("arm", "random walk", "model"))
    assert walk["brier"] == model["brier"]  # of the same draws here
    fold = table["fold"].to_numpy()
    others = np.array([np.sum(fold != k) for k in fold])  # all of them progressed
    assert arm["brier"] == pytest.approx(np.mean((1.0 - (others + 0.5) / (others + 1.0)) ** 2))
    said = lines(table, found, 9)
    assert "learnt 3 times from 9 patients but for one fold" in said[1]
    assert "Pareto k up to 0.30, likelihood off by up to 0.2 nats" in said[1]
    table.attrs["folds"]["pareto_k"] = 0.8
    assert lines(table, found, 9)[2].startswith("Beware: not every fold can be trusted")


def test_figures_are_those_computed_by_hand(told):
    table = told[0]
    found = figures(table, happened(COHORT, DAY), seed=1)
    found = found.set_index(["outcome", "group", "forecast"]).sort_index()
    row = found.loc["12_months", "all", "model"]
    assert row[["patients", "unknown", "failed", "happened"]].tolist() == [3, 1, 0, 2]
    assert row["brier"] == pytest.approx((0 + 0.25**2 + 1) / 3)
    assert row["auc"] == 0.25  # A ties with D, B is below it
    simple = {"arm": [0.625] * 3, "first change": [0.75, 0.5, 0.5], "last value": [1, 0, 0]}
    for name, (a, b, d) in simple.items():
        brier = np.mean([(1 - a) ** 2, (1 - b) ** 2, d**2])
        assert found.loc["12_months", "all", name]["brier"] == pytest.approx(brier)
    rest = found.loc["12_months", "not progressed"]
    assert rest.loc["arm", ["patients", "unknown", "happened"]].tolist() == [2, 1, 1]
    assert rest.loc["arm", "brier"] == pytest.approx(0.25)
    assert rest.loc["last value", "log_score"] == pytest.approx(np.log(1e-3) / 2)
    durable = found.loc["durable", "all"]
    assert durable.loc["last value", "brier"] == pytest.approx(1 / 3)  # B was to be durable
    assert found["brier_low"].le(found["brier"] + 1e-12).all()


def test_frequencies_of_new_patients_are_those_of_the_patients_learnt_from(told):
    reference = happened(Cohort(tuple(replace(p, arm="b") for p in PATIENTS[1:])), DAY)
    found = (
        figures(told[0], reference, seed=1).set_index(["outcome", "group", "forecast"]).sort_index()
    )
    everybody = 1.5 / 3  # B yes, D no; nobody in arm a
    assert found.loc["12_months", "all", "arm"]["brier"] == pytest.approx((1 - everybody) ** 2)


def test_patients_without_a_forecast_or_an_outcome_are_counted(told):
    table = told[0].copy()
    table.loc[table["patient_id"] == "B", "p_12_months"] = np.nan
    table["observed_6_months"] = "unknown"
    found = figures(table, happened(COHORT, DAY), seed=1)
    row = found.query("outcome == '12_months' and group == 'all' and forecast == 'model'").iloc[0]
    assert row[["patients", "unknown", "failed"]].tolist() == [2, 1, 1]
    none = found.query("outcome == '6_months'")
    assert (none["patients"] == 0).all()
    assert none["brier"].isna().all()
    table.attrs = told[0].attrs
    assert "  model         no outcome is known" in lines(table, found, 5)
    assert reliability_of(table, "6_months").empty


def test_words_say_whose_population_it_is_and_what_is_unknown(told):
    table = told[0]
    found = figures(table, happened(COHORT, DAY), seed=1)
    said = lines(table, found, 5)
    assert said[0] == ("Landmark day 60: 4 patients with a scan by then, of whom 1 had progressed; "
                       "1 without one left out; 1 of 16 draws not solved.")  # fmt: skip
    assert said[1].startswith("The population was learnt from all scans of these 5 patients")
    assert "--fold 5" in said[1]
    assert "Progression within 12 months, all patients: 2 of 3; unknown of 1." in said
    assert any(line.startswith("  arm           Brier 0.224 [") for line in said)
    assert any(line.startswith("  forecast 100 %: observed  50 % [") for line in said)
    table.attrs["new"] = True
    assert "none of whom is forecast here" in lines(table, found, 5)[1]


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (-1.0, "The landmark is day -1.0; give day 0 or a later one"),
        (np.nan, "The landmark is day nan"),
        (60.0, "Nobody has a scan up to day 60; the first is on day 70. Give a later landmark"),
    ],
)
def test_a_landmark_that_cannot_be_used_is_refused(day, said):
    with pytest.raises(OptionError, match=said):
        happened(Cohort(PATIENTS[-1:]), day)


def test_a_table_can_be_written_without_ids(told, tmp_path):
    from pdmodel.tables import write_table

    path = write_table(told[0], tmp_path / "t.csv", hide_ids=True)
    back = pd.read_csv(path)
    assert back["patient_id"].tolist() == [1, 2, 3, 4]
    assert "S/A" not in path.read_text()
