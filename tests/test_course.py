"""The time axis: where cells end, how long they are, and the blockade on each."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from pdmodel.course import GRIDS, Courses, Grid, breakpoints, lay_out
from pdmodel.dosing import parse_schedule
from pdmodel.errors import ModelError, OptionError
from pdmodel.library import drug, mechanism
from pdmodel.model import Model
from pdmodel.regimen import Regimen
from pdmodel.residuals import residual

ATEZOLIZUMAB, IPILIMUMAB = drug("atezolizumab"), drug("ipilimumab")
MODEL = Model(mechanism("exhaustion"), (ATEZOLIZUMAB, IPILIMUMAB), residual("lognormal"))
EVERY_3_WEEKS = parse_schedule("atezolizumab 1200 mg q3w").regimen(84)
HOUR, SECOND = 1 / 24, 1 / 86400


def doses(start: list[float], duration: float = 0.0, mg: float = 1200.0, **more) -> Regimen:
    one = np.ones(len(start))
    return Regimen(np.array(start, float), mg * one, duration * one, **more)


def laid(
    given: dict[str, Regimen], days: list[float], accuracy: str = "standard", **more
) -> Courses:
    """Lay out one patient."""
    own = np.array(days, float)
    return lay_out(more.pop("model", MODEL), [min(own[0], 0.0)], [own], [given], accuracy, **more)


def edges_of(courses: Courses) -> np.ndarray:
    return np.append(courses.begin, courses.begin[-1] + courses.length[-1])


# ------------------------------------------------------------------------------- where cells end

days = st.floats(-50, 400).map(lambda x: round(x, 3))


@given(
    scans=st.lists(days, min_size=1, max_size=8),
    starts=st.lists(days, max_size=8),
    resets=st.lists(days, max_size=2),
    duration=st.sampled_from([0.0, HOUR, 0.5, 12.25]),
    longest=st.floats(0.5, 30),
)
@settings(max_examples=200)
def test_cells_end_at_doses_scans_resets_day_0_and_ends_of_long_infusions_and_none_is_too_long(
    scans, starts, resets, duration, longest
):
    scans = np.unique(scans)
    start = min(scans[0], 0.0)
    grid = Grid(1e-3, longest, 4, 0.125)
    regimen = doses(starts, duration, resets=np.array(resets))
    edges = breakpoints(start, scans, {"a": regimen}, grid)
    assert (np.diff(edges) > 0).all()
    assert (np.diff(edges) <= longest * (1 + 1e-6)).all()
    assert edges[0] == start
    assert edges[-1] == scans[-1]
    inside = [day for day in [*starts, *resets, 0.0] if start <= day <= scans[-1]]
    assert set(scans) | set(inside) <= set(edges)
    ends = regimen.start + regimen.duration
    for end in ends[(ends > start) & (ends < scans[-1])]:
        begun = edges[np.searchsorted(edges, end) - 1]
        assert np.abs(edges - end).min() < 1e-8 or end - begun <= grid.unresolved


@pytest.mark.parametrize("accuracy", GRIDS)
def test_each_accuracy_keeps_to_its_longest_cell(accuracy):
    courses = laid({"atezolizumab": EVERY_3_WEEKS.until(42)}, [0, 50, 728], accuracy)
    assert courses.length.max() <= GRIDS[accuracy].longest * (1 + 1e-9)
    assert courses.length.max() > GRIDS[accuracy].longest * 0.9
    np.testing.assert_allclose(edges_of(courses)[1:] - courses.length, courses.begin, atol=1e-9)


def test_a_course_of_one_moment_has_no_cell():
    assert breakpoints(0.0, np.array([0.0]), {}, GRIDS["draft"]).tolist() == [0.0]
    courses = laid({"atezolizumab": EVERY_3_WEEKS}, [0.0])
    assert (courses.last - courses.first).tolist() == [0]
    assert courses.read.tolist() == [[0]]
    assert {name: one.shape for name, one in courses.actions.items()} == {
        "pd1_block": (0, 6),
        "ctla4_block": (0, 6),
    }


def test_days_nearer_than_a_moment_are_one_edge():
    later = EVERY_3_WEEKS.shifted(1e-12)
    edges = breakpoints(0.0, np.array([21.0, 42.0]), {"atezolizumab": later}, Grid(1, 30, 4, 0.1))
    np.testing.assert_allclose(edges, [0, 21, 42], atol=1e-9)


def test_a_patient_without_a_dose_has_the_longest_cells_and_no_blockade():
    for given_ in ({}, {"atezolizumab": Regimen.none()}):
        courses = laid(given_, [-7.0, 63.0])
        np.testing.assert_allclose(edges_of(courses), [-7, 0, 21, 42, 63])
        assert all((one == 0).all() for one in courses.actions.values())


def test_two_years_without_a_dose_are_bridged():
    gap = {"atezolizumab": doses([0, 730], HOUR)}
    courses = laid(gap, [0, 729.5, 800], model=replace(MODEL, drugs=(ATEZOLIZUMAB,)))
    begin, pd1 = courses.begin, courses.actions["pd1_block"]
    assert len(begin) == 35 + 1 + 4  # 729.5 days, half a day, 70 days
    before = pd1[np.searchsorted(begin, 729.5), 1]
    assert 0 < before < 1e-6
    assert pd1[np.searchsorted(begin, 730.0), 1] > 0.9


def test_hundreds_of_doses_are_cells_of_their_own():
    daily = {"atezolizumab": doses(np.arange(600.0).tolist(), HOUR, mg=20.0)}
    courses = laid(daily, [0.0, 100.5, 599.25])
    assert set(np.arange(600.0)) <= set(edges_of(courses))
    assert len(courses.begin) == 601
    mean = courses.actions["pd1_block"][:, 1:] @ (1 / np.arange(1, 6))
    mean -= courses.actions["pd1_block"][:, 0] / courses.length
    assert (np.diff(mean[:100]) > 0).all()  # it builds up
    assert np.ptp(mean[500:]) < 0.01


# ------------------------------------------------------------- blockade against one written by hand


def occupancy(regimen: Regimen, day: float) -> float:
    """Blockade at one time; closed form of the concentration, written out once more."""
    pk = ATEZOLIZUMAB.pharmacokinetics
    k10, k12 = pk.clearance / pk.central_volume, pk.intercompartmental / pk.central_volume
    k21 = pk.intercompartmental / pk.peripheral_volume
    alpha, beta = np.roots([1.0, -(k10 + k12 + k21), k10 * k21])
    during = np.clip(day - regimen.start, 0.0, regimen.duration)
    after = np.maximum(day - regimen.start - regimen.duration, 0.0)
    begun, bolus = regimen.start <= day, regimen.duration == 0
    mg = 0.0
    for k, share in (
        (alpha, (alpha - k21) / (alpha - beta)),
        (beta, (k21 - beta) / (alpha - beta)),
    ):
        over = np.where(bolus, 1.0, regimen.duration)
        filled = np.where(bolus, 1.0, -np.expm1(-k * during) / k / over)
        mg += np.sum(begun * share * regimen.amount * filled * np.exp(-k * after))
    free = 0.2 * mg / pk.central_volume
    return free / (free + 0.54)


def integral(regimen: Regimen, a: float, b: float) -> float:
    """Days of blockade between two days; its steep rise is cut into decades."""
    decades = a + (b - a) * 10.0 ** np.arange(-9, 0)
    edges = np.unique(np.concatenate([[a, b], decades, regimen.edges]))
    edges = edges[(edges >= a) & (edges <= b)]
    pieces = (
        quad(lambda t: occupancy(regimen, t), *ends, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
        for ends in pairwise(edges)
    )
    return sum(pieces)


def errors(regimen: Regimen, days: list[float], accuracy: str) -> tuple[float, float]:
    """Largest error of the days of blockade in a cell, and of blockade behind infusions."""
    alone = replace(MODEL, drugs=(ATEZOLIZUMAB,))
    courses = laid({"atezolizumab": regimen}, days, accuracy, model=alone)
    whole, points = [0.0], [0.0]
    ends = regimen.start + regimen.duration
    for begin, length, row in zip(
        courses.begin, courses.length, courses.actions["pd1_block"], strict=True
    ):
        impulse, *power = row
        given_days = length * np.sum(power / np.arange(1, len(power) + 1)) - impulse
        whole.append(abs(given_days - integral(regimen, begin, begin + length)))
        x = np.linspace(0, 1, 102)[1:-1]
        infused = [(s <= begin + x * length) & (begin + x * length < e)
                   for s, e in zip(regimen.start, ends, strict=True)]  # fmt: skip
        x = x[~np.any(infused, axis=0)]
        exact = np.array([occupancy(regimen, day) for day in begin + x * length])
        points += np.abs(np.polynomial.polynomial.polyval(x, power) - exact).tolist()
    return max(whole), max(points)


# Largest error in days of blockade in a cell, and of blockade behind the infusion's end.
STATED = {
    ("60 min", "standard"): (2e-7, 3e-4),
    ("60 min", "fine"): (1e-9, 2e-6),
    ("a second", "standard"): (2e-7, 3e-4),
    ("a second", "fine"): (1e-10, 2e-6),
    ("a bolus", "standard"): (2e-7, 3e-4),
    ("a bolus", "fine"): (1e-10, 2e-6),
    ("small", "standard"): (1e-6, 1.5e-3),
    ("small", "fine"): (1e-9, 2e-5),
    ("before day 0", "standard"): (2e-7, 3e-4),
    ("before day 0", "fine"): (1e-9, 2e-6),
}
GIVEN = {
    "60 min": doses([0, 21, 42], HOUR),
    "a second": doses([0, 21, 42], SECOND),
    "a bolus": doses([0, 21, 42]),
    "small": doses([0, 21, 42], HOUR, mg=10.0),
    "before day 0": doses([-30, -9, -0.5], HOUR),
}


@pytest.mark.parametrize(("name", "accuracy"), STATED)
def test_polynomial_and_impulse_give_the_blockade_of_every_cell(name, accuracy):
    measured = errors(GIVEN[name], [-14.0, 0.0, 40.0, 70.0], accuracy)
    assert np.less_equal(measured, STATED[name, accuracy]).all(), measured


def test_draft_has_the_polynomials_of_standard():
    both = (laid({"atezolizumab": EVERY_3_WEEKS}, [0, 80], one) for one in ("draft", "standard"))
    draft, standard = (one.actions["pd1_block"] for one in both)
    np.testing.assert_array_equal(draft, standard)


def test_an_infusion_of_ten_days_ends_a_cell_and_the_blockade_behind_it_is_seen():
    regimen = doses([0, 30], 10.0)
    courses = laid({"atezolizumab": regimen}, [0, 35, 90])
    assert {0.0, 10.0, 30.0, 40.0} <= set(edges_of(courses))
    assert errors(regimen, [0.0, 35.0, 90.0], "standard")[1] < 3e-4


def test_there_is_no_blockade_before_the_first_dose():
    courses = laid({"atezolizumab": EVERY_3_WEEKS}, [-30.0, 40.0])
    pd1 = courses.actions["pd1_block"]
    assert (pd1[courses.begin < 0] == 0).all()
    assert (pd1[courses.begin >= 0, 1] > 0.8).all()


def test_a_reset_ends_blockade():
    emptied = {"atezolizumab": doses([0, 21], HOUR, resets=np.array([30.0]))}
    courses = laid(emptied, [0.0, 60.0])
    pd1 = courses.actions["pd1_block"]
    assert 30.0 in courses.begin
    assert (pd1[courses.begin >= 30] == 0).all()
    assert (pd1[courses.begin < 30, 1] > 0.8).all()


def test_a_dose_in_a_steady_state_begins_with_blockade():
    steady, first = (doses([0.0], HOUR, interval=np.array([every])) for every in (21.0, 0.0))
    at = [laid({"atezolizumab": one}, [0.0, 63.0]).actions["pd1_block"] for one in (steady, first)]
    impulse = [one[0, 0] for one in at]
    assert impulse[0] < impulse[1] / 2  # before the first dose there was nothing, so more is taken
    assert (at[0][:, 1] > at[1][:, 1]).all()


@pytest.mark.parametrize("accuracy", GRIDS)
@pytest.mark.parametrize("duration", [0.0, HOUR])
def test_a_dose_at_the_time_of_a_scan_acts_after_it(accuracy, duration):
    regimen = doses([0, 30], duration, mg=10.0)
    scans = [0.0, 30.0, 31.0]
    with_dose, without = (
        laid({"atezolizumab": one}, scans, accuracy) for one in (regimen, regimen.until(29))
    )
    early = with_dose.begin < 30
    np.testing.assert_array_equal(
        with_dose.actions["pd1_block"][early], without.actions["pd1_block"][without.begin < 30]
    )
    after = with_dose.actions["pd1_block"][~early]
    assert after[-1, 1] > without.actions["pd1_block"][without.begin >= 30][0, 1] + 0.1
    assert edges_of(with_dose)[1:][with_dose.slot == 1] == 30.0


# ---------------------------------------------------------------------------------- several drugs


def test_two_drugs_act_side_by_side_and_what_nobody_takes_is_none():
    both = laid({"atezolizumab": EVERY_3_WEEKS, "ipilimumab": EVERY_3_WEEKS}, [0, 84]).actions
    assert both.keys() == {"pd1_block", "ctla4_block"}
    alone = laid({"atezolizumab": EVERY_3_WEEKS}, [0, 84]).actions
    np.testing.assert_array_equal(alone["pd1_block"], both["pd1_block"])
    assert (alone["ctla4_block"] == 0).all()
    assert (both["ctla4_block"][:, 1] > 0).all()


def test_an_action_that_no_drug_of_the_model_has_is_left_out():
    single = replace(MODEL, drugs=(ATEZOLIZUMAB,))
    assert laid({}, [0, 84], model=single).actions.keys() == {"pd1_block"}


def test_two_drugs_with_one_action_join_as_independent():
    model = replace(MODEL, drugs=(ATEZOLIZUMAB, replace(ATEZOLIZUMAB, name="second")))
    flat = doses([-1.0], mg=1.0)
    one, two = (
        laid(given_, [0, 0.5], model=model).actions["pd1_block"][0, 1]
        for given_ in ({"second": flat}, {"atezolizumab": flat, "second": flat})
    )
    assert two == pytest.approx(1 - (1 - one) ** 2, rel=1e-6)


def test_a_drug_outside_the_model_is_refused():
    with pytest.raises(ModelError, match=r"'ipilimumab' is not in the model.*'atezolizumab'"):
        laid({"ipilimumab": EVERY_3_WEEKS}, [42], model=replace(MODEL, drugs=(ATEZOLIZUMAB,)))


def test_an_accuracy_that_there_is_not_is_refused():
    message = r"There is no accuracy 'exact'; choose one of \['draft', 'standard', 'fine'\]"
    with pytest.raises(OptionError, match=message):
        laid({}, [42], "exact")


# ------------------------------------------------------------------------------- several patients


def test_patients_stand_one_after_the_other_with_their_visits_padded():
    days = [np.array([-7.0, 42.0, 84.0]), np.array([0.0]), np.array([3.5, 10.0])]
    given_ = [{"atezolizumab": EVERY_3_WEEKS}, {}, {"atezolizumab": Regimen.none()}]
    courses = lay_out(MODEL, [-7.0, 0.0, 0.0], days, given_)
    assert courses.visible.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    for k, day in enumerate(days):
        mine = slice(courses.first[k], courses.last[k])
        end = courses.begin[mine] + courses.length[mine]
        recorded = np.append(min(day[0], 0.0), end[courses.slot[mine] >= 0])
        np.testing.assert_allclose(recorded[courses.read[k]][courses.visible[k]], day)
        slots = courses.slot[mine]
        assert slots[slots >= 0].tolist() == list(range(1, len(recorded)))
    assert (courses.read[~courses.visible] == 0).all()
    for one in courses.actions.values():
        assert one.shape == (len(courses.begin), GRIDS["standard"].degree + 2)
        assert (one[courses.first[1] : courses.last[2]] == 0).all()


def test_scans_at_one_moment_are_one_record():
    courses = laid({}, [0.0, 30.0, 30.0, 30.0 + 1e-12, 60.0])
    assert courses.read.tolist() == [[0, 1, 1, 1, 2]]


def test_patients_who_were_given_the_same_share_their_cells():
    """Blockade is worked out once; who was given anything else must not get that of another."""
    less = replace(EVERY_3_WEEKS, amount=0.1 * EVERY_3_WEEKS.amount)
    given_ = [{"atezolizumab": one} for one in (EVERY_3_WEEKS, less, EVERY_3_WEEKS)]
    courses = lay_out(MODEL, [0.0] * 3, [np.array([42.0, 84.0])] * 3, given_)
    assert courses.first[0] == courses.first[2] != courses.first[1]
    pd1 = [courses.actions["pd1_block"][a:b, 1]
           for a, b in zip(courses.first, courses.last, strict=True)]  # fmt: skip
    assert (pd1[1] < pd1[0] - 0.02).all()


EMPTIED = replace(EVERY_3_WEEKS, resets=np.array([50.0]))
QUICKER = replace(EVERY_3_WEEKS, duration=EVERY_3_WEEKS.duration / 2)
UNLIKE = {
    "start": {"starts": [0.0, -1.0]},
    "days": {"days": [np.array([42.0, 84.0]), np.array([42.0, 85.0])]},
    "drug": {"regimens": [{"atezolizumab": EVERY_3_WEEKS}, {"ipilimumab": EVERY_3_WEEKS}]},
    "reset": {"regimens": [{"atezolizumab": EVERY_3_WEEKS}, {"atezolizumab": EMPTIED}]},
    "duration": {"regimens": [{"atezolizumab": EVERY_3_WEEKS}, {"atezolizumab": QUICKER}]},
    "kinetics": {"kinetics": [{}, {"atezolizumab": ATEZOLIZUMAB.pharmacokinetics}]},
}


@pytest.mark.parametrize("other", UNLIKE.values(), ids=UNLIKE)
def test_patients_who_differ_in_anything_have_their_own_cells(other):
    same = {"starts": [0.0] * 2, "days": [np.array([42.0, 84.0])] * 2,
            "regimens": [{"atezolizumab": EVERY_3_WEEKS}] * 2, "kinetics": [{}, {}]}  # fmt: skip
    equal, unlike = (lay_out(MODEL, **one) for one in (same, same | other))
    assert equal.first[0] == equal.first[1]
    assert unlike.first[0] != unlike.first[1]


def test_patients_own_pharmacokinetics_are_theirs_alone():
    pk = ATEZOLIZUMAB.pharmacokinetics
    fast = replace(pk, clearance=8.0 * pk.clearance)
    kinetics = [{}, {"atezolizumab": fast}, {"atezolizumab": pk}, {"ipilimumab": fast}]
    given_ = [{"atezolizumab": EVERY_3_WEEKS}] * 4
    courses = lay_out(MODEL, [0.0] * 4, [np.array([84.0])] * 4, given_, kinetics=kinetics)
    typical, faster, named, of_another = (
        courses.actions["pd1_block"][a:b] for a, b in zip(courses.first, courses.last, strict=True)
    )
    np.testing.assert_array_equal(typical, named)
    np.testing.assert_array_equal(typical, of_another)
    ends = [one[:, 1:].sum(axis=1) for one in (typical, faster)]
    assert (ends[1] < ends[0] - 0.05).all()
    alone = laid({"atezolizumab": EVERY_3_WEEKS}, [84.0], kinetics=[{"atezolizumab": fast}])
    np.testing.assert_array_equal(alone.actions["pd1_block"], faster)
