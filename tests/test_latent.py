"""Courses that go on from where the scans left a patient, under parameters known by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from pdmodel import Cohort, Fit, Model, Patient, mechanism, residual
from pdmodel.latent import latent
from pdmodel.predict import latent_courses, predict, replicated
from pdmodel.resistance import classify

MODEL = Model(mechanism("exhaustion"), (), residual("walk"))
CHAINS, DRAWS = 2, 500
DAY = np.array([0.0, 42.0, 84.0, 126.0])
SIZES = {"steady": [40, 40, 41, 40], "relapsing": [40, 20, 20, 60], "gone": [12, 8, 5, 5]}


def a_patient(name):
    size = np.array(SIZES[name], float)
    return Patient(name, "S", "a", DAY, size, size <= 5.0)


def a_fit(names=tuple(SIZES)):
    """Every draw the same; without kill and growth the mechanism stands still at the first size."""
    cohort = Cohort(tuple(a_patient(name) for name in names))
    shape = (CHAINS, DRAWS, len(names))
    values = {q.name: np.full(shape[:2], q.typical) for q in MODEL.shared}
    values |= {q.name: np.full(shape, q.typical) for q in MODEL.individual}
    first = [SIZES[p.id][0] for p in cohort]
    values |= {"baseline": np.broadcast_to(first, shape), "growth": np.full(shape, 1e-9)}
    dims = ("chain", "draw", "patient")
    day = np.concatenate([p.day for p in cohort])
    seen = xr.Dataset(
        {"size_mm": ("obs", np.concatenate([p.size_mm for p in cohort]))},
        {"obs_day": ("obs", day), "obs": np.arange(len(day)),
         "obs_patient": ("obs", np.repeat(cohort.keys, [len(p.day) for p in cohort]))},
    )  # fmt: skip
    posterior = xr.Dataset({k: (dims[: v.ndim], v) for k, v in values.items()})
    tree = xr.DataTree.from_dict({"posterior": posterior, "observed_data": seen})
    return Fit(MODEL, cohort, tree, {"options": {"pooling": "partial", "accuracy": "draft"}})


@pytest.fixture(scope="module")
def fit():
    return a_fit()


def test_courses_pass_where_the_scans_were_and_go_on_from_the_last(fit):
    courses = latent_courses(fit, [0.0, 42.0, 84.0, 126.0, 168.0], draws=1000)
    median = courses["size_mm"].median("draw")
    for name in ("steady", "relapsing"):
        of = median.sel(patient=fit.cohort[name].key)
        np.testing.assert_allclose(of[:4], SIZES[name], rtol=0.03)
        assert float(of[4]) == pytest.approx(SIZES[name][-1], rel=0.05)
    spread = np.log(courses["size_mm"]).std("draw").sel(patient=fit.cohort["steady"].key)
    assert float(spread[4]) > 2 * float(spread[3])
    assert (
        float((courses["size_mm"][:, :, 3].sel(patient=fit.cohort["gone"].key) < 5.5).mean()) > 0.9
    )


def test_predictions_go_on_from_the_last_scan(fit):
    table = predict(fit, [168.0], seed=1).set_index("patient_id")
    assert table.loc["relapsing", "median"] == pytest.approx(60.0, rel=0.05)
    assert table.loc["steady", "median"] == pytest.approx(40.0, rel=0.05)
    assert table.loc["gone", "median"] < 5.0
    further = predict(fit, [168.0, 546.0], seed=1).query("patient_id == 'steady'")
    width = further["q95"] - further["q05"]
    assert width.iloc[1] > 1.5 * width.iloc[0]


def test_between_scans_deviations_are_interpolated_and_dense_days_add_no_steps(fit):
    coarse = predict(fit, [168.0], seed=1).query("patient_id == 'steady'")
    dense = predict(fit, [*np.arange(127.0, 168.0), 168.0], seed=1)
    dense = dense.query("patient_id == 'steady' and day == 168")
    width = [float((t["q95"] - t["q05"]).iloc[0]) for t in (coarse, dense)]
    assert width[1] == pytest.approx(width[0], rel=0.25)
    middle = latent_courses(fit, [84.0, 105.0, 126.0])["size_mm"]
    middle = np.log(middle.sel(patient=fit.cohort["relapsing"].key))
    np.testing.assert_allclose(middle[:, 1], (middle[:, 0] + middle[:, 2]) / 2, atol=1e-3)


def test_a_patient_gets_the_same_numbers_whoever_else_is_there(fit):
    alone = predict(a_fit(("steady",)), [168.0], seed=4)
    among = predict(fit, [168.0], patients=["steady"], seed=4)
    np.testing.assert_allclose(alone["median"], among["median"], rtol=0.02)
    again = predict(fit, [168.0], patients=["steady"], seed=4)
    np.testing.assert_array_equal(among["median"], again["median"])


def test_replicates_know_nothing_of_the_scans(fit):
    size = replicated(fit, draws=400, seed=2)["size_mm"]
    last = size[:, size["obs_patient"] == fit.cohort["relapsing"].key][:, 3]
    assert float(last.median()) == pytest.approx(40.0, rel=0.05)


def test_labels_rest_on_the_latent_course_of_the_scans(fit, monkeypatch):
    healthy = SimpleNamespace(doubt=lambda _: None, prior_driven=lambda _: ())
    monkeypatch.setattr("pdmodel.resistance.diagnose", lambda _: healthy)
    labels = classify(fit, draws=300).set_index("patient_id")
    assert labels.loc["relapsing", "observed_label"] == "early_loss"
    assert labels.loc["relapsing", "p_early_loss"] > 0.8
    assert labels.loc["steady", "p_early_loss"] < 0.05
    other = classify(fit, draws=300, seed=1).set_index("patient_id")
    assert (other["p_early_loss"] - labels["p_early_loss"]).abs().max() < 0.1


def test_days_before_a_course_begins_are_hidden(fit):
    found = latent(
        fit, fit.cohort.patients, np.array([-7.0, 0.0]), [{}] * 3, 5, seed=0, purpose="test"
    )
    assert np.isnan(found.log_size[:, :, 0]).all()
    assert np.isfinite(found.log_size[:, :, 1]).all()
