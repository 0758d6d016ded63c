"""Regimens are sane values, and schedules in words mean what a clinician would mean."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdmodel.dosing import Regimen, Schedule, parse_schedule, parse_schedules, planned
from pdmodel.errors import DoseError

LABELLED = {
    "ipilimumab": ("240 mg q3w x4", "80 mg q3w x4"),
    "atezolizumab": ("1200 mg q3w", "840 mg q2w"),
}

doses = st.lists(
    st.tuples(
        st.floats(-1000, 1000), st.floats(0, 2000), st.sampled_from([0.0, 1 / 86400, 1 / 24, 30])
    ),
    max_size=8,
)


def regimen(rows: list[tuple[float, float, float]]) -> Regimen:
    return Regimen(*np.array(rows, dtype=float).reshape(-1, 3).T)


# ---------------------------------------------------------------- regimens


def test_doses_are_sorted_float64_and_read_only():
    r = Regimen([21, 0, 42], [2, 1, 3], [0, 0.5, 1])
    np.testing.assert_array_equal(r.start, [0, 21, 42])
    np.testing.assert_array_equal(r.amount, [1, 2, 3])
    np.testing.assert_array_equal(r.duration, [0.5, 0, 1])
    assert r.start.dtype == r.amount.dtype == r.duration.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        r.amount[0] = 5


def test_a_regimen_does_not_change_with_the_arrays_it_was_made_from():
    start = np.array([0.0, 21.0])
    r = Regimen(start, [1, 1], [0, 0])
    start[0] = 7
    assert r.start[0] == 0


@given(doses, st.randoms())
def test_regimens_are_equal_by_their_doses_in_any_order(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert regimen(rows) == regimen(shuffled)
    assert hash(regimen(rows)) == hash(regimen(shuffled))


def test_regimens_differ_by_any_column_and_from_other_things():
    one = Regimen([0], [1], [0])
    assert one != Regimen([1], [1], [0])
    assert one != Regimen([0], [2], [0])
    assert one != Regimen([0], [1], [1])
    assert one != Regimen([0, 0], [1, 1], [0, 0])
    assert one != "1 mg"
    assert Regimen([-0.0], [1], [0]) == Regimen([0.0], [1], [0])
    assert hash(Regimen([-0.0], [1], [0])) == hash(Regimen([0.0], [1], [0]))


@given(doses, doses)
def test_merging_adds_up_and_does_not_mind_the_order(left, right):
    merged = regimen(left) + regimen(right)
    assert merged == regimen(right) + regimen(left) == regimen(left + right)
    assert merged.total_mg == pytest.approx(regimen(left).total_mg + regimen(right).total_mg)


def test_none_is_nothing():
    nothing = Regimen.none()
    assert len(nothing) == 0
    assert nothing.total_mg == 0
    r = Regimen([0], [1200], [0])
    assert r + nothing == nothing + r == r


def test_until_keeps_a_dose_of_that_very_day():
    r = Schedule("a", 100, 21).regimen(100)
    assert r.until(42) == Schedule("a", 100, 21).regimen(42)
    assert len(r.until(42)) == 3
    assert len(r.until(41.999)) == 2
    assert r.until(-1) == Regimen.none()


def test_shifting_moves_starts_only():
    r = Regimen([0, 21], [1, 2], [0, 1]).shifted(-7)
    assert r == Regimen([-7, 14], [1, 2], [0, 1])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0, 21], [1200, -5], [0, 0]), r"Dose 2 of 2 \(day 21\) has amount -5 mg. .*>= 0; corr"),
        (([0, 21], [1200, np.nan], [0, 0]), r"Dose 2 of 2 \(day 21\) has amount nan mg"),
        (([0], [np.inf], [0]), r"Dose 1 of 1 \(day 0\) has amount inf mg. It must be finite"),
        (([0, 7, np.nan], [1, 1, 1], [0, 0, 0]), r"Dose 3 of 3 \(day nan\) has start nan day"),
        (([0], [1], [-0.1]), r"has duration -0.1 day. It must be finite and >= 0"),
        (([0], [1], [np.inf]), r"has duration inf day"),
        (([0, 1], [1], [0]), r"2 starts, 1 amounts and 1 durations; give one of each"),
        (([[0]], [[1]], [[0]]), r"start of shape \(1, 1\); give a list"),
        ((0, 1, 0), r"start of shape \(\)"),
        ((["day 1"], [1], [0]), r"start that is not a number .*day 1"),
    ],
)
def test_impossible_doses_are_refused(columns, message):
    with pytest.raises(DoseError, match=message):
        Regimen(*columns)


def test_steady_states_and_resets_are_part_of_a_regimen():
    r = Regimen([21, 0], [2, 1], [0, 0], [7, 0], resets=[30, 10, 10])
    np.testing.assert_array_equal(r.interval, [0, 7])
    np.testing.assert_array_equal(r.resets, [10, 30])
    assert r != replace(r, interval=[0, 0])
    assert r != replace(r, resets=[10])
    assert r.signature != replace(r, resets=[10]).signature
    assert hash(r) == hash(replace(r, resets=[10, 30]))
    assert r.until(10) == Regimen([0], [1], [0], resets=[10])
    assert r.until(21) == Regimen([0, 21], [1, 2], [0, 0], [0, 7], resets=[10])
    assert r.shifted(-5) == Regimen([-5, 16], [1, 2], [0, 0], [0, 7], resets=[5, 25])
    both = r + Regimen([1], [1], [1], resets=[10, 40])
    assert both == Regimen([0, 1, 21], [1, 1, 2], [0, 1, 0], [0, 0, 7], resets=[10, 30, 40])
    assert both.total_mg == 4
    # four numbers of a dose are not four resets
    assert Regimen([1], [2], [3], [4]) != Regimen([], [], [], resets=[1, 2, 3, 4])
    assert Regimen([0], [1], [0], resets=[-0.0]) == Regimen([0], [1], [0], resets=[0.0])


def test_edges_are_where_a_concentration_jumps_or_bends():
    r = Regimen([0, 40], [1, 1], [0.5, 17], [0, 7], resets=[20])
    np.testing.assert_array_equal(r.edges, [0, 0.5, 20, 40, 43, 50, 57])
    assert len(Regimen.none().edges) == 0
    np.testing.assert_array_equal(Regimen([0], [1], [14], [7]).edges, [0, 7, 14])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interval": [0, -7]}, r"Dose 2 of 2 \(day 21\) has interval -7 day. .*>= 0; correct"),
        ({"interval": [7]}, r"2 doses have 1 intervals; give one for every dose, 0 where"),
        ({"resets": [0, np.nan]}, r"Resets are on days \[ 0. nan\]; give a list of finite days"),
        ({"resets": 3}, r"Resets are on days 3"),
    ],
)
def test_impossible_steady_states_and_resets_are_refused(change, message):
    with pytest.raises(DoseError, match=message):
        replace(Regimen([0, 21], [1, 1], [0, 0]), **change)


def test_zero_amounts_and_durations_are_fine():
    assert Regimen([0], [0], [0]).total_mg == 0


# ---------------------------------------------------------------- schedules


def test_a_schedule_goes_on_until_told():
    s = Schedule("atezolizumab", 1200, 21, 1 / 24)
    r = s.regimen(63)
    np.testing.assert_array_equal(r.start, [0, 21, 42, 63])
    np.testing.assert_array_equal(r.amount, 1200)
    np.testing.assert_array_equal(r.duration, 1 / 24)
    assert len(s.regimen(62.9)) == 3
    assert s.regimen(-1) == s.regimen(-1e6) == Regimen.none()


def test_a_schedule_ends_with_its_doses_or_the_day_whichever_is_first():
    s = Schedule("ipilimumab", 240, 21, doses=4, start_day=21)
    np.testing.assert_array_equal(s.regimen(1000).start, [21, 42, 63, 84])
    np.testing.assert_array_equal(s.regimen(50).start, [21, 42])


@given(st.floats(0.1, 50), st.floats(-100, 100), st.floats(-100, 1000), st.floats(0, 500))
def test_planning_longer_only_adds_doses(interval, start, until, more):
    s = Schedule("a", 1, interval, start_day=start)
    long = s.regimen(until + more)
    assert long.until(until) == s.regimen(until)
    assert (s.regimen(until).start <= until).all()
    assert until < start or until - s.regimen(until).start[-1] <= interval * (1 + 1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount_mg": 0}, "'a' has amount_mg 0; it must be > 0"),
        ({"amount_mg": np.nan}, "amount_mg nan"),
        ({"interval_day": 0}, "interval_day 0; it must be > 0"),
        ({"duration_day": -1}, "duration_day -1; it must be >= 0"),
        ({"start_day": np.inf}, "start_day inf; it must be finite"),
        ({"doses": 0}, "doses 0; it must be >= 1, or None"),
    ],
)
def test_impossible_schedules_are_refused(change, message):
    with pytest.raises(DoseError, match=message):
        replace(Schedule("a", 1, 21), **change)


@pytest.mark.parametrize("day", [np.inf, np.nan])
def test_a_schedule_needs_an_end(day):
    with pytest.raises(DoseError, match="say when"):
        Schedule("a", 1, 21).regimen(day)


def test_planned_merges_schedules_of_one_drug():
    plan = planned(
        parse_schedules(
            "nivolumab 240 mg q2w x4 + ipilimumab 80 mg q6w + nivolumab 480 mg q4w from day 56"
        ),
        120,
    )
    assert sorted(plan) == ["ipilimumab", "nivolumab"]
    np.testing.assert_array_equal(plan["nivolumab"].start, [0, 14, 28, 42, 56, 84, 112])
    np.testing.assert_array_equal(plan["nivolumab"].amount, [240] * 4 + [480] * 3)
    assert planned((), 100) == {}


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("words", "days"),
    [
        ("q2w", 14),
        ("q3w", 21),
        ("Q4W", 28),
        ("q6w", 42),
        ("q21d", 21),
        ("q 3 weeks", 21),
        ("every 3 weeks", 21),
        ("every 1 week", 7),
        ("every 10 days", 10),
        ("q1.5w", 10.5),
    ],
)
def test_intervals(words, days):
    expected = Schedule("atezolizumab", 1200, days, 1 / 24)
    assert parse_schedule(f"atezolizumab 1200 mg {words}") == expected


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("x4", {"doses": 4}),
        ("×4", {"doses": 4}),
        ("x 12", {"doses": 12}),
        ("30 min", {"duration_day": 30 / 1440}),
        ("90 minutes", {"duration_day": 90 / 1440}),
        ("1 h", {"duration_day": 1 / 24}),
        ("1.5 hours", {"duration_day": 1.5 / 24}),
        ("0 min", {"duration_day": 0.0}),
        ("from day 21", {"start_day": 21}),
        ("from day -7", {"start_day": -7}),
        ("x4 30 min from day 21", {"doses": 4, "duration_day": 30 / 1440, "start_day": 21}),
        (", from day 21, 30min, x4", {"doses": 4, "duration_day": 30 / 1440, "start_day": 21}),
    ],
)
def test_clauses_in_any_order(words, change):
    expected = replace(Schedule("nivolumab", 240, 14, 1 / 24), **change)
    assert parse_schedule(f"nivolumab 240 mg q2w {words}") == expected
    assert parse_schedule(f" Nivolumab q2w {words} 240mg ") == expected


def test_grams_become_milligrams():
    assert parse_schedule("atezolizumab 1.2 g q3w").amount_mg == pytest.approx(1200, rel=1e-15)


def test_the_caller_may_give_the_usual_duration():
    assert parse_schedule("nivolumab 240 mg q2w", duration_day=0.02).duration_day == 0.02
    assert parse_schedule("nivolumab 240 mg q2w 1 h", duration_day=0.02).duration_day == 1 / 24


def test_schedules_are_joined_by_a_plus():
    both = parse_schedules("atezolizumab 1200 mg q3w + ipilimumab 240 mg q3w x4")
    assert both == (
        Schedule("atezolizumab", 1200, 21, 1 / 24),
        Schedule("ipilimumab", 240, 21, 1 / 24, doses=4),
    )


def test_a_bare_name_is_its_first_labelled_regimen():
    expected = Schedule("ipilimumab", 240, 21, 1 / 24, doses=4)
    assert parse_schedule("ipilimumab", LABELLED) == expected
    assert parse_schedule("ipilimumab from day 21", LABELLED) == replace(expected, start_day=21)
    assert parse_schedule("Ipilimumab x2", LABELLED) == replace(expected, doses=2)
    assert parse_schedule("ipilimumab 80 mg q6w", LABELLED) == Schedule("ipilimumab", 80, 42)
    assert [s.drug for s in parse_schedules("atezolizumab + ipilimumab", LABELLED)] == [
        "atezolizumab",
        "ipilimumab",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' names no drug first; write for example 'atezolizumab 1200 mg q3w'"),
        ("1200 mg q3w", "names no drug first"),
        ("q3w 1200 mg", "names no drug first"),
        ("atezolizumab 1200 mg", r"has no interval \('q3w'\)"),
        ("atezolizumab q3w", r"has no dose \('1200 mg'\)"),
        ("atezolizumab 1200 mg weekly", r"Cannot read 'weekly' in .*\(understood: amount\)"),
        ("atezolizumab 1200 q3w", "Cannot read '1200 q3w' in 'atezolizumab 1200 q3w'; write"),
        ("atezolizumab 1,200 mg q3w", "Cannot read '1,200 mg q3w'"),
        ("atezolizumab -1200 mg q3w", "Cannot read '-1200 mg q3w'"),
        ("atezolizumab 1200 mcg q3w", "Cannot read '1200 mcg q3w'"),
        ("atezolizumab 1200 mg q3wx4", "Cannot read 'q3wx4'"),
        ("atezolizumab 1200 mg q3m", "Cannot read 'q3m'"),
        ("atezolizumab 0 mg q3w", "has amount_mg 0.0; it must be > 0"),
        ("atezolizumab 1200 mg q0w", "has interval_day 0.0"),
        ("atezolizumab 1200 mg q3w x0", "has doses 0"),
        ("ipilimumab 3 mg/kg q3w", "'3 mg/kg' .* is a dose by body size, .* write it in mg"),
        ("docetaxel 75 mg/m2 q3w", "'75 mg/m2' .* is a dose by body size"),
        ("nivolumab 240 mg q2w 480 mg q4w", "says its amount twice, the second time as '480 mg'"),
        ("ipilimumab", "'ipilimumab' has neither dose nor interval; write for example"),
    ],
)
def test_what_cannot_be_read_is_said_with_an_example(text, message):
    with pytest.raises(DoseError, match=message):
        parse_schedule(text)


def test_an_unknown_bare_name_gets_a_suggestion():
    with pytest.raises(DoseError, match="Known by its label is 'ipilimumab'"):
        parse_schedule("ipilimumb", LABELLED)
    with pytest.raises(DoseError, match="label is 'atezolizumab' or 'ipilimumab'"):
        parse_schedule("placebo", LABELLED)


@pytest.mark.parametrize("text", ["atezolizumab 1200 mg q3w +", "+ a 1 mg q1w", "a 1 mg q1w ++ b"])
def test_nothing_beside_a_plus_is_refused(text):
    with pytest.raises(DoseError, match="names no drug first"):
        parse_schedules(text)


schedules = st.builds(
    Schedule,
    drug=st.sampled_from(["atezolizumab", "nab-paclitaxel", "bms986205"]),
    amount_mg=st.integers(1, 500_000).map(lambda n: n / 100),
    interval_day=st.integers(1, 500).map(lambda n: n / 10),
    duration_day=st.integers(0, 3000).map(lambda n: n / 1440),
    doses=st.none() | st.integers(1, 50),
    start_day=st.integers(-500, 500).map(lambda n: n / 10),
)


@given(schedules)
def test_words_are_read_back_as_the_same_schedule(schedule):
    assert parse_schedule(str(schedule)) == schedule


words = st.sampled_from(
    [
        "ipilimumab",
        "drug",
        "240",
        "240 mg",
        "1 g",
        "mg/kg",
        "q3w",
        "q0d",
        "every",
        "2 weeks",
        "x4",
        "x",
        "30 min",
        "1 h",
        "from day 21",
        "from",
        "+",
        ",",
        "-1",
        "1e9 mg",
        "٣",
        "μg",
    ]
)


@given(st.lists(words, max_size=8).map(" ".join) | st.text(max_size=20))
def test_any_text_is_read_or_refused_with_a_message(text):
    try:
        plan = parse_schedules(text, LABELLED)
    except DoseError:
        return
    assert all(len(s.regimen(s.start_day)) == 1 for s in plan)
