"""Predictions of fits whose draws are made by hand, so that every course is known."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from pdmodel import Cohort, Fit, Model, Patient, drug, mechanism, parse_schedules, residual
from pdmodel.dosing import planned
from pdmodel.errors import DataError, DoseError, ModelError, OptionError
from pdmodel.latent import padded
from pdmodel.predict import COLUMNS, latent_courses, predict, replicated

MODEL = Model(mechanism("exhaustion"), (drug("atezolizumab"),), residual("lognormal"))
READER = MODEL.constants["reader"]
SCATTER = 0.05
CHAINS, DRAWS = 2, 1000
Q3W = parse_schedules("atezolizumab 1200 mg q3w")
TABLE = planned(Q3W, 42.0)
FOUR = (CHAINS, DRAWS, 4)


def a_patient(name, day, **more):
    day = np.array(day, float)
    return Patient(name, "S", "a", day, np.full(len(day), 40.0), np.zeros(len(day), bool), **more)


COHORT = Cohort(
    (
        a_patient("early", [-20, 40], schedules=Q3W, regimens=TABLE),
        a_patient("table", [0, 42, 84], regimens=TABLE),
        a_patient("once", [5, 50], schedules=parse_schedules("atezolizumab 1200 mg q3w x1")),
        a_patient("=2+2", [0, 42]),
    )
)  # fmt: skip
ORDER = [patient.id for patient in COHORT]
BASELINE = {"early": 50.0, "table": 30.0, "once": 8.0, "=2+2": 100.0}
GROWTH = {"early": 0.004, "table": -0.002, "once": 0.0, "=2+2": 0.001}
"""Without immune kill a size is ``baseline exp(growth (day - start))`` whatever is given."""


def known(name, day):
    start = COHORT[name].start_day
    return BASELINE[name] * np.exp(GROWTH[name] * (np.asarray(day, float) - start))


def a_fit(cohort=COHORT, kill=0.0, growth=None):
    """A fit in which every draw of a patient is the same, but for what is given."""
    ids = [patient.id for patient in cohort]
    shape = (CHAINS, DRAWS, len(ids))
    values = {
        "baseline": np.broadcast_to([BASELINE[name] for name in ids], shape),
        "growth": np.broadcast_to([GROWTH[name] for name in ids], shape),
        "kill": np.full(shape, kill),
        "waning": np.full(shape[:2], 0.003),
        "scatter": np.full(shape[:2], SCATTER),
    }
    if growth is not None:
        values["growth"] = growth
    dims = ("chain", "draw", "patient")
    day = np.concatenate([patient.day for patient in cohort])
    seen = xr.Dataset(
        {"size_mm": ("obs", np.full(len(day), 40.0))},
        {"obs_day": ("obs", day), "obs": np.arange(len(day)),
         "obs_patient": ("obs", np.repeat(cohort.keys, [len(p.day) for p in cohort]))},
    )  # fmt: skip
    posterior = xr.Dataset({k: (dims[: v.ndim], v) for k, v in values.items()})
    tree = xr.DataTree.from_dict({"posterior": posterior, "observed_data": seen})
    return Fit(MODEL, cohort, tree, {"options": {"pooling": "partial", "accuracy": "draft"}})


FIT = a_fit()
DAYS = [-20.0, 0.0, 42.0, 365.0]


def test_quantiles_are_those_of_the_known_course_with_the_known_scatter():
    table = predict(FIT, DAYS, draws=2000, seed=1)
    assert tuple(table.columns) == COLUMNS
    assert table.attrs["failed_solves"] == "0 of 8000"
    for name in ORDER:
        rows = table[table["patient_id"] == name]
        size = known(name, rows["day"])
        spread = np.sqrt(SCATTER**2 + (READER / np.maximum(size, 5.0)) ** 2)
        for column, z in (("q05", -1.645), ("q25", -0.6745), ("median", 0), ("q75", 0.6745)):
            np.testing.assert_allclose(
                np.log(rows[column]), np.log(size) + z * spread, atol=0.12 * spread.max()
            )
        np.testing.assert_allclose(rows["mean"], size * np.exp(spread**2 / 2), rtol=0.02)
        assert (rows["q25"] < rows["median"]).all()


def test_sizes_below_the_limit_are_predicted_as_they_are():
    tiny = a_fit(growth=np.full(FOUR, -0.02))
    last = predict(tiny, [365.0], patients=["once"], seed=1)
    assert last["q95"].item() < 0.1


def test_days_before_a_course_begins_have_no_row_and_days_are_sorted():
    table = predict(FIT, [42, -20, 0, 42], seed=1)
    days = {name: list(rows["day"]) for name, rows in table.groupby("patient_id")}
    assert days == {name: ([-20, 0, 42] if name == "early" else [0, 42]) for name in ORDER}
    assert list(table["patient_id"].unique()) == ORDER


def test_a_patient_gets_the_same_numbers_whoever_else_is_asked_for():
    whole = predict(FIT, DAYS, draws=100, seed=1).set_index(["patient_id", "day"])
    alone = predict(FIT, DAYS, draws=100, seed=1, patients=["once"]).set_index(
        ["patient_id", "day"]
    )
    by_key = predict(FIT, DAYS, draws=100, seed=1, patients="S/once")
    columns = list(COLUMNS[3:])
    np.testing.assert_allclose(whole.loc["once", columns], alone[columns], rtol=1e-9)
    np.testing.assert_array_equal(alone[columns], by_key[columns])
    smaller = a_fit(Cohort(COHORT.patients[:2]))
    other = predict(smaller, DAYS, draws=100, seed=1).set_index(["patient_id", "day"])
    np.testing.assert_allclose(whole.loc[other.index, columns], other[columns], rtol=1e-9)


def test_the_seed_decides():
    first, again, other = (predict(FIT, DAYS, draws=50, seed=s) for s in (1, 1, 2))
    assert first.equals(again)
    assert not np.allclose(first["mean"], other["mean"])


def test_draws_that_cannot_be_solved_are_left_out_and_counted():
    growth = np.broadcast_to([GROWTH[name] for name in ORDER], FOUR).copy()
    growth[0, :100, ORDER.index("once")] = np.nan
    growth[:, :, ORDER.index("table")] = np.nan
    fit = a_fit(growth=growth)
    table = predict(fit, [42.0], draws=2000, seed=1).set_index("patient_id")
    assert table.attrs["failed_solves"] == "2100 of 8000"
    assert table.loc["once", "median"] == pytest.approx(8.0, rel=0.02)
    assert np.isnan(table.loc["table", "mean"])
    courses = latent_courses(fit, [42.0], draws=2000)
    assert int((~courses["ok"]).sum()) == 2100
    assert courses["size_mm"].sel(patient="S/once").isnull().sum() == 100
    assert replicated(fit, draws=2000, seed=1)["size_mm"].isnull().sum() == 2000 * 3 + 100 * 2


def test_latent_courses_are_the_known_ones_and_say_what_they_are():
    courses = latent_courses(FIT, DAYS, draws=3)
    assert courses["size_mm"].dims == ("draw", "patient", "day")
    for name in ORDER:
        mine = courses["size_mm"].sel(patient=f"S/{name}")
        begun = courses["day"].to_numpy() >= COHORT[name].start_day
        np.testing.assert_allclose(mine[:, begun], np.tile(known(name, DAYS)[begun], (3, 1)), 1e-9)
        assert mine[:, ~begun].isnull().all()
    assert courses["size_mm"].attrs["unit"] == "mm"
    assert courses["effector"].attrs["about"].startswith("effector T cells")
    assert courses["pd1_block"].dims == ("patient", "day")
    assert not courses["ctla4_block"].any()


def block(fit, days, **options):
    courses = latent_courses(fit, days, draws=1, **options)
    return courses["pd1_block"].to_pandas().rename(index=lambda key: key.removeprefix("S/"))


def test_doses_go_on_by_schedule_but_not_from_a_table():
    blocked = block(FIT, [41.0, 600.0])
    assert (blocked.loc[["early", "table"], 41.0] > 0.9).all()
    assert blocked.loc["early", 600.0] > 0.9
    assert blocked.loc["table", 600.0] < 0.05
    assert blocked.loc["once", 600.0] < 0.001
    assert (blocked.loc["=2+2"] == 0).all()


def test_a_regimen_replaces_what_is_given_from_day_0_on():
    before = planned(parse_schedules("atezolizumab 1200 mg q3w x1 from day -14"), 0.0)
    cohort = Cohort((replace(COHORT["early"], regimens=before, schedules=()), COHORT["once"]))
    fit = a_fit(cohort)
    asked = {"days": [-1.0, 10.0, 600.0], "patients": ["early", "once"]}
    late = block(fit, regimen="atezolizumab 1200 mg q3w from day 500", **asked)
    assert late.loc["early", -1.0] > 0.5
    assert late.loc["early", -1.0] == block(fit, **asked).loc["early", -1.0]
    assert late.loc["once", 10.0] == 0
    assert (late[600.0] > 0.9).all()
    helped = a_fit(kill=0.6)
    usual = predict(helped, [365.0], patients=["early"], draws=20, seed=1)
    stopped = predict(
        helped, [365.0], patients=["early"], draws=20, seed=1,
        regimen="atezolizumab 1200 mg q3w x1",
    )  # fmt: skip
    assert (stopped["median"] > 1.1 * usual["median"]).all()


def test_what_is_known_of_a_patient_decides_how_long_blockade_lasts():
    """Who is thought to clear the drug faster is predicted a larger tumor; nobody else is."""
    known_of = [replace(COHORT["once"], covariates={"weight": 200.0, "albumin": 20.0, "site": "x"})]
    changed = Cohort((*known_of, *(one for one in COHORT if one.id != "once")))
    usual, own = (
        latent_courses(a_fit(cohort, 0.6, np.full(FOUR, 0.004)), [120.0], draws=2)["size_mm"]
        for cohort in (COHORT, changed)
    )
    for name in ORDER:
        mine, theirs = (one.sel(patient=f"S/{name}") for one in (own, usual))
        if name == "once":
            assert (mine > 1.001 * theirs).all()
        else:
            np.testing.assert_allclose(mine, theirs, rtol=1e-9)


def test_replicated_scans_stand_beside_the_observed_ones():
    again = replicated(FIT, draws=500, seed=1)
    seen = FIT.tree["observed_data"].to_dataset()
    assert again["size_mm"].dims == ("draw", "obs")
    xr.testing.assert_equal(again.coords.to_dataset().drop_vars("draw"), seen.coords.to_dataset())
    expected = np.concatenate([known(patient.id, patient.day) for patient in COHORT])
    np.testing.assert_allclose(again["size_mm"].median("draw"), expected, rtol=0.05)
    xr.testing.assert_equal(again, replicated(FIT, draws=500, seed=1))
    noise = np.log(again["size_mm"]) - np.log(expected)
    correlation = np.corrcoef(noise, rowvar=False) - np.eye(len(expected))
    assert np.abs(correlation).max() < 0.2


def test_padding_repeats_the_last_day():
    assert padded([np.array([0.0, 1.0]), np.array([5.0])]).tolist() == [[0, 1], [5, 5]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patients": ["p9"]}, DataError, r"no patient 'p9' among the 4 .*; write the id as"),
        ({"patients": ["Early "]}, DataError, r"no patient 'Early ' .*; did you mean 'S/early'\?"),
        ({"patients": []}, OptionError, r"No patient was asked for"),
        ({"days": []}, OptionError, r"days are \[\]; give one or more finite numbers"),
        ({"days": [1, np.nan]}, OptionError, r"days are"),
        ({"draws": 0}, OptionError, r"draws is 0; it must be >= 1"),
        ({"regimen": "ipilimumab 240 mg q3w"}, ModelError, r"'ipilimumab' is not in the model"),
        ({"regimen": "atezo"}, DoseError, r"has neither dose nor interval"),
    ],
)
def test_what_cannot_be_predicted_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        predict(FIT, **({"days": [0, 42], "seed": 1} | options))
