"""The time axis: where steps end, how long they are, and the blockade on each."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from pdmodel.course import LONGEST_STEP, breakpoints, lay_out, mean_actions
from pdmodel.dosing import Regimen, parse_schedule
from pdmodel.errors import ModelError
from pdmodel.library import drug, mechanism
from pdmodel.model import Model
from pdmodel.residual import residual

ATEZOLIZUMAB, IPILIMUMAB = drug("atezolizumab"), drug("ipilimumab")
MODEL = Model(mechanism("exhaustion"), (ATEZOLIZUMAB, IPILIMUMAB), residual("lognormal"))
EVERY_3_WEEKS = parse_schedule("atezolizumab 1200 mg q3w").regimen(84)

days = st.floats(-50, 400).map(lambda x: round(x, 3))


@given(
    scans=st.lists(days, min_size=1, max_size=8),
    doses=st.lists(days, max_size=8),
    longest=st.floats(0.5, 30),
)
@settings(max_examples=200)
def test_steps_end_at_every_dose_scan_and_day_0_and_none_is_too_long(scans, doses, longest):
    scans = np.unique(scans)
    start = min(scans[0], 0.0)
    one = np.ones(len(doses))
    time = breakpoints(start, scans, {"a": Regimen(np.array(doses), one, 0 * one)}, longest)
    assert (np.diff(time) > 0).all()
    assert (np.diff(time) <= longest * (1 + 1e-6)).all()
    assert time[0] == start
    assert time[-1] == scans[-1]
    inside = [day for day in [*doses, 0.0] if start <= day <= scans[-1]]
    assert set(scans) | set(inside) <= set(time)


def test_a_course_of_one_moment_has_one_edge():
    assert breakpoints(0.0, np.array([0.0]), {}, 5.0).tolist() == [0.0]


def test_days_nearer_than_a_moment_are_one_edge():
    doses = EVERY_3_WEEKS.shifted(1e-12)
    time = breakpoints(0.0, np.array([21.0, 42.0]), {"atezolizumab": doses}, 30.0)
    np.testing.assert_allclose(time, [0, 21, 42], atol=1e-9)


def occupancy(regimen: Regimen, day: float) -> float:
    """Blockade at one time; closed form of the concentration, written out once more."""
    pk = ATEZOLIZUMAB.pharmacokinetics
    k10, k12 = pk.clearance / pk.central_volume, pk.intercompartmental / pk.central_volume
    k21 = pk.intercompartmental / pk.peripheral_volume
    alpha, beta = np.roots([1.0, -(k10 + k12 + k21), k10 * k21])
    during = np.clip(day - regimen.start, 0.0, regimen.duration)
    after = np.maximum(day - regimen.start - regimen.duration, 0.0)
    rate = regimen.amount / regimen.duration / pk.central_volume
    free = 0.2 * sum(
        np.sum(share * rate / k * (1.0 - np.exp(-k * during)) * np.exp(-k * after))
        for k, share in (
            (alpha, (alpha - k21) / (alpha - beta)),
            (beta, (k21 - beta) / (alpha - beta)),
        )
    )
    return free / (free + 0.54)


def quadrature(regimen: Regimen, a: float, b: float) -> float:
    edges = np.concatenate([[a, b], regimen.start, regimen.start + regimen.duration])
    edges = np.unique(edges[(edges >= a) & (edges <= b)])
    whole = (quad(lambda t: occupancy(regimen, t), *ends, epsabs=1e-13, limit=500)[0]
             for ends in pairwise(edges))  # fmt: skip
    return sum(whole) / (b - a)


@pytest.fixture(scope="module")
def on_steps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges, and the mean blockade on each step by the package and by fine quadrature."""
    given = {"atezolizumab": EVERY_3_WEEKS}
    time = breakpoints(-7.0, np.array([-7.0, 40.0, 80.0]), given, LONGEST_STEP)
    exact = [quadrature(EVERY_3_WEEKS, a, b) for a, b in pairwise(time)]
    return time, mean_actions(MODEL, given, time)["pd1_block"], np.array(exact)


def test_means_on_steps_are_exact(on_steps):
    time, mean, exact = on_steps
    later = time[:-1] > 0
    np.testing.assert_allclose(mean[later], exact[later], rtol=2e-8)


def test_the_first_hour_in_which_blockade_begins_is_within_20_seconds_of_blockade(on_steps):
    time, mean, exact = on_steps
    first = time.tolist().index(0.0)
    error = (mean[first] - exact[first]) * (time[first + 1] - time[first])
    assert abs(error) < 20 / 86400
    assert exact[first] * (time[first + 1] - time[first]) < time[first + 1] - 0.001  # it is seen


def test_there_is_no_blockade_before_the_first_dose(on_steps):
    time, mean, _ = on_steps
    assert (mean[time[1:] <= 0] == 0).all()
    assert (mean[time[:-1] >= 0] > 0.8).all()


def test_a_dose_at_the_time_of_a_scan_acts_after_it():
    bolus = Regimen(np.array([0.0, 30.0]), np.array([1200.0, 1e6]), np.zeros(2))
    time = np.array([0.0, 30.0, 31.0])
    with_dose, without = (
        mean_actions(MODEL, {"atezolizumab": given}, time)["pd1_block"]
        for given in (bolus, bolus.until(29))
    )
    assert with_dose[0] == without[0]
    assert with_dose[1] > without[1] + 0.01
    course = lay_out(MODEL, [0.0], [np.array([0.0, 30.0, 31.0])], [{"atezolizumab": bolus}], 99.0)
    assert course.time[0, course.read[0]].tolist() == [0.0, 30.0, 31.0]


def test_two_drugs_act_side_by_side_and_what_nobody_takes_is_none():
    time = np.linspace(0, 84, 29)
    both = {"atezolizumab": EVERY_3_WEEKS, "ipilimumab": EVERY_3_WEEKS}
    means = mean_actions(MODEL, both, time)
    assert means.keys() == {"pd1_block", "ctla4_block"}
    alone = mean_actions(MODEL, {"atezolizumab": EVERY_3_WEEKS}, time)
    np.testing.assert_array_equal(alone["pd1_block"], means["pd1_block"])
    assert (alone["ctla4_block"] == 0).all()
    assert (means["ctla4_block"] > 0).all()


def test_two_drugs_with_one_action_join_as_independent():
    second = replace(ATEZOLIZUMAB, name="second")
    model = Model(mechanism("exhaustion"), (ATEZOLIZUMAB, second), residual("lognormal"))
    time = np.linspace(0.0, 0.5, 2)
    flat = Regimen(np.array([-1.0]), np.array([1.0]), np.array([0.0]))
    one = mean_actions(model, {"second": flat}, time)["pd1_block"][0]
    two = mean_actions(model, {"atezolizumab": flat, "second": flat}, time)["pd1_block"][0]
    assert two == pytest.approx(1 - (1 - one) ** 2, rel=1e-3)


def test_a_drug_outside_the_model_is_refused():
    small = Model(mechanism("exhaustion"), (ATEZOLIZUMAB,), residual("lognormal"))
    with pytest.raises(ModelError, match=r"'ipilimumab' is not in the model.*'atezolizumab'"):
        lay_out(small, [0.0], [np.array([42.0])], [{"ipilimumab": EVERY_3_WEEKS}])


def test_patients_are_padded_side_by_side():
    days = [np.array([-7.0, 42.0, 84.0]), np.array([0.0]), np.array([3.5, 10.0])]
    given = [{"atezolizumab": EVERY_3_WEEKS}, {}, {"atezolizumab": Regimen.none()}]
    courses = lay_out(MODEL, [-7.0, 0.0, 0.0], days, given)
    assert courses.visible.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    seen = np.take_along_axis(courses.time, courses.read, 1)
    assert [row[shown].tolist() for row, shown in zip(seen, courses.visible, strict=True)] == [
        day.tolist() for day in days
    ]
    last = [day[-1] for day in days]
    np.testing.assert_array_equal(courses.time[:, -1], last)
    np.testing.assert_array_equal(seen[:, -1], last)
    assert courses.steps.tolist() == [(row < end).sum() for row, end in zip(courses.time, last,
                                                                         strict=True)]  # fmt: skip
    for mean in courses.actions.values():
        assert mean.shape == (3, courses.time.shape[1] - 1)
        assert (mean[1:] == 0).all()


def test_patients_who_were_given_the_same_share_the_same_blockade():
    """Blockade is worked out once; who was given anything else must not get that of another."""
    less = replace(EVERY_3_WEEKS, amount=0.1 * EVERY_3_WEEKS.amount)
    given = [{"atezolizumab": doses} for doses in (EVERY_3_WEEKS, less, EVERY_3_WEEKS)]
    days = [np.array([42.0, 84.0])] * 3
    pd1 = lay_out(MODEL, [0.0] * 3, days, given, 3.5).actions["pd1_block"]
    np.testing.assert_array_equal(pd1[0], pd1[2])
    assert (pd1[1] < pd1[0] - 0.02).all()
