"""Latent courses of many draws of many patients."""

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from pdmodel.course import lay_out
from pdmodel.dosing import parse_schedule
from pdmodel.library import drug, mechanism
from pdmodel.model import Model
from pdmodel.residuals import residual
from pdmodel.solve import blocked, solve
from pdmodel.trajectory import TOGETHER, trajectories

MODEL = Model(mechanism("exhaustion"), (drug("atezolizumab"),), residual("lognormal"))
REGIMEN = parse_schedule("atezolizumab 1200 mg q3w").regimen(150)
STARTS = [-21.0, 0.0, -3.0]
DAYS = np.array([-10.0, 0.0, 50.0, 150.0])
GIVEN = [{"atezolizumab": REGIMEN}, {}, {"atezolizumab": REGIMEN.until(21)}]
DRAWS = 11


def values(draws: int, patients: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        q.name: np.asarray(q.natural(q.centre + 0.5 * rng.normal(size=(draws, patients))))
        for q in MODEL.free
    }


@pytest.fixture(scope="module")
def drawn():
    p = values(DRAWS, 3)
    return p, trajectories(MODEL, p, STARTS, DAYS, GIVEN)


def test_each_is_the_course_of_its_own_draw_and_patient(drawn):
    p, paths = drawn
    assert paths.log_size.shape == (DRAWS, 3, 4)
    assert paths.ok.all()
    for k in range(3):
        for d in (0, 7, DRAWS - 1):
            days = np.maximum(DAYS, STARTS[k])
            mine = {q.name: p[q.name][d, k : k + 1] for q in MODEL.free
                    if q.name != "scatter"}  # fmt: skip
            constants = {k: v for k, v in MODEL.constants.items() if k != "reader"}
            blocks = blocked(lay_out(MODEL, [STARTS[k]], [days], [GIVEN[k]]))
            single = solve(MODEL.mechanism, constants | mine, blocks)
            seen = STARTS[k] <= DAYS
            expected = np.asarray(single.log_size)[0, seen]
            np.testing.assert_allclose(paths.log_size[d, k, seen], expected, atol=1e-12)
            for name, state in single.state.items():
                got = paths.state[name][d, k, seen]
                np.testing.assert_allclose(got, np.asarray(state)[0, seen], rtol=1e-10)


def test_before_a_course_begins_there_is_nothing(drawn):
    _, paths = drawn
    for array in (paths.log_size, *paths.state.values()):
        assert np.isnan(array[:, 1:, 0]).all()
        assert np.isfinite(array[:, 0]).all()
        assert np.isfinite(array[:, :, 1:]).all()


def test_a_draw_that_fails_is_nan_alone(drawn):
    p, paths = drawn
    broken = p | {"growth": p["growth"].copy()}
    broken["growth"][4, 1] = np.nan
    hurt = trajectories(MODEL, broken, STARTS, DAYS, GIVEN)
    assert np.argwhere(~hurt.ok).tolist() == [[4, 1]]
    assert np.isnan(hurt.log_size[4, 1]).all()
    others = np.ones((DRAWS, 3), bool)
    others[4, 1] = False
    np.testing.assert_array_equal(hurt.log_size[others], paths.log_size[others])


def test_every_patient_may_have_own_days(drawn):
    p, paths = drawn
    own = np.stack([DAYS, DAYS + 0.0, [0.0, 50.0, 99.0, 150.0]])
    mine = trajectories(MODEL, p, STARTS, own, GIVEN)
    np.testing.assert_allclose(mine.log_size[:, :2], paths.log_size[:, :2], atol=1e-12)
    np.testing.assert_allclose(
        mine.log_size[:, 2, [0, 1, 3]], paths.log_size[:, 2, [1, 2, 3]], atol=1e-4
    )


def test_many_patients_are_those_of_several_calls():
    count = TOGETHER + 3
    p = values(2, count, seed=1)
    days, starts = np.array([0.0, 60.0]), [0.0] * count
    given = [GIVEN[0]] * count
    whole = trajectories(MODEL, p, starts, days, given)
    last = {name: value[:, -3:] for name, value in p.items()}
    part = trajectories(MODEL, last, starts[-3:], days, given[-3:])
    assert whole.log_size.shape == (2, count, 2)
    np.testing.assert_allclose(whole.log_size[:, -3:], part.log_size, atol=1e-12)
    assert whole.ok.shape == (2, count)


def test_patients_own_pharmacokinetics_are_theirs_in_every_piece():
    """Also of patients behind the first `TOGETHER`, and of nobody else."""
    count, p = TOGETHER + 3, values(2, TOGETHER + 3, seed=1)
    pk = drug("atezolizumab").pharmacokinetics
    fast, whose = {"atezolizumab": replace(pk, clearance=8 * pk.clearance)}, (1, TOGETHER + 1)
    kinetics = [fast if k in whose else {} for k in range(count)]
    days, starts, given = np.array([0.0, 60.0, 150.0]), [0.0] * count, [GIVEN[0]] * count
    usual, own = (
        trajectories(MODEL, p, starts, days, given, kinetics=each) for each in (None, kinetics)
    )
    others = np.isin(np.arange(count), whose, invert=True)
    np.testing.assert_allclose(own.log_size[:, others], usual.log_size[:, others], atol=1e-12)
    assert (own.log_size[:, ~others, 1:] > usual.log_size[:, ~others, 1:]).all()


WRONG = {
    "too many patients": ("values", {"values": values(DRAWS, 4)}),
    "one draw without its axis": ("values", {"values": {q.name: np.ones(3) for q in MODEL.free}}),
    "unlike draws": ("values", {"values": values(DRAWS, 3) | {"kill": np.ones((2, 3))}}),
    "days of two patients": ("days", {"days": np.stack([DAYS, DAYS])}),
    "a single day": ("days", {"days": np.array(30.0)}),
    "a list of days": ("days", {"days": [0.0, 30.0]}),
}


@pytest.mark.parametrize(("name", "wrong"), WRONG.values(), ids=WRONG)
def test_an_array_of_another_shape_is_told_by_argument(name, wrong):
    asked = {"values": values(DRAWS, 3), "starts": STARTS, "days": DAYS, "regimens": GIVEN} | wrong
    with pytest.raises(TypeCheckError, match=rf"trajectory\.trajectories\.\n.*parameter '{name}'"):
        trajectories(MODEL, **asked)
