"""Event records come to the doses that NONMEM would give, or are refused by number and day."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdmodel.errors import DoseError
from pdmodel.events import regimen_from_events
from pdmodel.pharmacokinetics import OneCompartment
from pdmodel.regimen import Regimen

HALF_A_DAY = OneCompartment(np.log(2.0), 1.0)
"""1 L; half is left after a day."""


def test_doses_are_boluses_unless_something_else_is_said():
    assert regimen_from_events([0, 21], [100, 50]) == Regimen([0, 21], [100, 50], [0, 0])
    assert regimen_from_events([], []) == Regimen.none()


def test_an_infusion_has_a_rate_or_a_duration():
    by_rate = regimen_from_events([0, 21], [100, 50], rate=[2400, 0])
    assert by_rate == Regimen([0, 21], [100, 50], [100 / 2400, 0])
    by_duration = regimen_from_events([0, 21], [100, 50], duration=[0.5, 0])
    assert by_duration == Regimen([0, 21], [100, 50], [0.5, 0])
    assert regimen_from_events([0], [100], rate=200, duration=0.5) == Regimen([0], [100], [0.5])


def test_bioavailability_lengthens_what_has_a_rate_and_weakens_what_has_a_duration():
    assert regimen_from_events([0], [100], bioavailability=0.5) == Regimen([0], [50], [0])
    by_rate = regimen_from_events([0], [100], rate=200, bioavailability=0.5)
    assert by_rate == Regimen([0], [50], [0.25])
    by_duration = regimen_from_events([0], [100], duration=0.5, bioavailability=0.5)
    assert by_duration == Regimen([0], [50], [0.5])
    both = regimen_from_events([0], [100], rate=200, duration=0.25, bioavailability=0.5)
    assert both == by_rate


def test_further_doses():
    found = regimen_from_events([0, 5], [100, 8], addl=[3, 0], interval=[21, 0], rate=[200, 0])
    assert found == Regimen([0, 5, 21, 42, 63], [100, 8, 100, 100, 100], [0.5, 0, 0.5, 0.5, 0.5])
    assert len(regimen_from_events([0], [1], addl=999, interval=1)) == 1000
    assert regimen_from_events([0], [1], interval=21) == Regimen([0], [1], [0])


def test_a_lag_moves_doses_and_their_further_doses():
    found = regimen_from_events([0, 30], [100, 8], addl=[1, 0], interval=21, lag=[0.5, 2])
    assert found == Regimen([0.5, 21.5, 32], [100, 100, 8], [0, 0, 0])


def test_observations_and_other_events_are_passed_over():
    found = regimen_from_events([0, 1, 2], [100, 0, 0], evid=[1, 0, 2])
    assert found == Regimen([0], [100], [0])


def test_a_steady_state_replaces_or_is_added():
    replaced = regimen_from_events([0, 10], [8, 4], steady_state=[0, 1], interval=[0, 1])
    assert replaced == Regimen([0, 10], [8, 4], [0, 0], [0, 1], resets=[10])
    np.testing.assert_allclose(HALF_A_DAY.concentration(replaced, [10.0, 11.0]), [8, 4])
    added = regimen_from_events([0, 1], [8, 4], steady_state=[0, 2], interval=[0, 1])
    assert added == Regimen([0, 1], [8, 4], [0, 0], [0, 1])
    np.testing.assert_allclose(HALF_A_DAY.concentration(added, [1.0, 2.0]), [4 + 8, 2 + 4])


def test_further_doses_after_a_steady_state_are_ordinary():
    found = regimen_from_events([0], [4], steady_state=1, interval=1, addl=2)
    assert found == Regimen([0, 1, 2], [4, 4, 4], [0, 0, 0], [1, 0, 0], resets=[0])
    at = HALF_A_DAY.concentration(found, [0.0, 0.5, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(at, [8, 8 / 2**0.5, 8, 8, 4])


def test_a_lagged_steady_state_comes_with_its_dose():
    found = regimen_from_events([0, 10], [8, 4], steady_state=[0, 1], interval=[0, 1], lag=[0, 2])
    assert found == Regimen([0, 12], [8, 4], [0, 0], [0, 1], resets=[12])


def test_a_reset_cancels_what_was_still_to_come():
    found = regimen_from_events([0, 30], [100, 0], evid=[1, 3], addl=[3, 0], interval=[21, 0])
    assert found == Regimen([0, 21], [100, 100], [0, 0], resets=[30])
    again = regimen_from_events([0, 30], [100, 5], evid=[1, 4], addl=[3, 1], interval=21)
    assert again == Regimen([0, 21, 30, 51], [100, 100, 5, 5], [0] * 4, resets=[30])
    steady = regimen_from_events(
        [0, 30], [100, 5], steady_state=[0, 1], addl=[3, 0], interval=[21, 7]
    )
    assert steady == Regimen([0, 21, 30], [100, 100, 5], [0] * 3, [0, 0, 7], resets=[30])


def test_on_one_day_the_order_of_records_counts():
    dose_first = regimen_from_events([0, 0], [8, 0], evid=[1, 3])
    assert dose_first == Regimen([], [], [], resets=[0])
    reset_first = regimen_from_events([0, 0], [0, 8], evid=[3, 1])
    assert reset_first == Regimen([0], [8], [0], resets=[0])


def test_a_reset_with_a_lagged_dose_empties_at_once():
    found = regimen_from_events([0, 10], [8, 4], evid=[1, 4], lag=[0, 2])
    assert found == Regimen([0, 12], [8, 4], [0, 0], resets=[10])
    at = HALF_A_DAY.concentration(found, [10.0, 11.0, 12.0])
    np.testing.assert_allclose(at, [0, 0, 4])


@given(
    st.lists(st.tuples(st.floats(-100, 500), st.floats(0, 1000), st.integers(0, 4)), max_size=6),
    st.floats(0.5, 30),
    st.floats(0.1, 1.5),
)
def test_as_much_is_given_as_the_records_say(rows, interval, bioavailability):
    time, amount, addl = np.array(sorted(rows)).reshape(-1, 3).T
    found = regimen_from_events(
        time, amount, addl=addl, interval=interval, bioavailability=bioavailability
    )
    assert found.total_mg == pytest.approx(bioavailability * amount @ (addl + 1))
    assert len(found) == (addl + 1).sum()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"amount": [100, -5]}, r"record 2 of 2 \(day 21\) has amount -5\. It must be >= 0; corr"),
        ({"amount": [100, np.nan]}, r"record 2 of 2 \(day 21\) has amount nan\. It must be finite"),
        ({"rate": [np.inf, 0]}, r"1 of 2 \(day 0\) has rate inf\. .* \(rate 0 is a bolus\)"),
        (
            {"rate": [0, -2]},
            r"2 of 2 \(day 21\) has rate -2\. .* a modelled one must be worked out",
        ),
        ({"amount": [100, 0], "rate": [0, 240]}, r"2 of 2 \(day 21\) has amount 0\. A rate needs"),
        ({"time": [21, 0]}, r"2 of 2 \(day 0\) has time 0\. Records must be in order of time"),
        ({"time": [0, np.inf]}, r"\(day inf\) has time inf"),
        ({"duration": [-1, 0]}, r"\(day 0\) has duration -1\. It must be >= 0"),
        ({"rate": 200, "duration": 1}, r"duration 1\. Rate x duration must be .* give only one"),
        ({"rate": 200, "duration": 0.5, "bioavailability": 0.5}, r"duration 0\.5\. Rate x dur"),
        ({"evid": [1, 5]}, r"2 of 2 \(day 21\) has evid 5\. Known are 0, 1, 2, 3 and 4"),
        ({"evid": [1, 0]}, r"amount 50\. Only doses \(evid 1 or 4\) have one; correct evid"),
        ({"evid": [1, 3], "amount": [9, 0], "addl": 1, "interval": 7}, r"addl 1\. Only doses"),
        ({"addl": [0, 2]}, r"2 of 2 \(day 21\) has addl 2\. It needs an interval above 0; give"),
        ({"addl": 0.5, "interval": 7}, r"addl 0\.5\. It must be a whole number"),
        ({"addl": -1, "interval": 7}, r"addl -1\. It must be >= 0"),
        ({"steady_state": [1, 0]}, r"steady_state 1\. It needs an interval above 0"),
        ({"steady_state": 3, "interval": 7}, r"steady_state 3\. Known are 0, 1 and 2"),
        ({"lag": -1}, r"lag -1\. It must be >= 0"),
        ({"bioavailability": 0}, r"bioavailability 0\. It must be above 0"),
        ({"rate": [1, 2, 3]}, r"rate \[1, 2, 3\], which is not a list of 2 numbers"),
        ({"rate": ["fast", 0]}, r"rate \['fast', 0\], which is not a list of 2 numbers"),
        ({"time": [[0, 21]], "amount": 1}, r"times of shape \(1, 2\); give a list of days"),
    ],
)
def test_impossible_records_are_refused(columns, message):
    given = {"time": [0, 21], "amount": [100, 50]} | columns
    with pytest.raises(DoseError, match=message):
        regimen_from_events(given.pop("time"), given.pop("amount"), **given)
