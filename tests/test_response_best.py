"""Best responses and times to events: the guideline's table, censoring, and what must hold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdmodel.response import (
    RULES,
    best_confirmed,
    best_overall,
    duration_of_response,
    first_response,
    progression_free_survival,
    time_to_progression,
)

RULE = RULES["sitc2020"]


def days(codes, gap=42):
    return gap * np.arange(1.0, len(codes) + 1)


BEST = [
    # responses every six weeks, unconfirmed, confirmed (Table 3 of the guideline)
    ("CR CR", "CR", "CR"),
    ("CR PR", "CR", "PR"),
    ("CR SD", "CR", "SD"),
    ("CR PD", "CR", "SD"),  # day 42: the first visit is late enough for stable disease
    ("CR NE", "CR", "SD"),
    ("CR", "CR", "SD"),
    ("PR CR", "CR", "PR"),
    ("PR PR", "PR", "PR"),
    ("PR SD", "PR", "SD"),
    ("PR PD", "PR", "SD"),
    ("PR NE", "PR", "SD"),
    ("NE NE", "NE", "NE"),
    ("PR NE PR", "PR", "PR"),  # one missing assessment between them
    ("PR NE NE PR", "PR", "SD"),  # two
    ("PR SD PR", "PR", "PR"),  # EORTC
    ("CR NE CR", "CR", "CR"),
    ("CR SD CR", "CR", "PR"),
    ("PR CR CR", "CR", "CR"),
    ("PD PR PR", "PD", "PD"),  # what comes after progression never counts
    ("SD PD CR CR", "SD", "SD"),
    ("PR PD PR", "PR", "SD"),
    ("SD", "SD", "SD"),
    ("NE PD", "PD", "PD"),
    ("", "NE", "NE"),
    ("NON-CR/NON-PD PD", "NON-CR/NON-PD", "NON-CR/NON-PD"),
    ("CR NON-CR/NON-PD", "CR", "NON-CR/NON-PD"),
]


@pytest.mark.parametrize(("codes", "best", "confirmed"), BEST)
def test_best_response_by_the_table(codes, best, confirmed):
    codes = codes.split()
    assert best_overall(days(codes), codes, RULE) == best
    assert best_confirmed(days(codes), codes, RULE) == confirmed


@pytest.mark.parametrize(
    ("first", "codes", "best", "confirmed"),
    [
        (41, "SD", "NE", "NE"),
        (42, "SD", "SD", "SD"),
        (41, "SD PD", "PD", "PD"),
        (41, "PR PD", "PR", "PD"),
        (41, "PR NE", "PR", "NE"),
        (41, "PR", "PR", "NE"),
        (41, "CR NE NE", "CR", "NE"),
    ],
)
def test_stable_disease_needs_its_interval(first, codes, best, confirmed):
    codes = codes.split()
    at = first + 30.0 * np.arange(len(codes))
    assert best_overall(at, codes, RULE) == best
    assert best_confirmed(at, codes, RULE) == confirmed


@pytest.mark.parametrize(("gap", "confirmed"), [(27, "SD"), (28, "PR"), (29, "PR")])
def test_a_response_is_confirmed_four_weeks_later_or_more(gap, confirmed):
    assert best_confirmed(np.array([60.0, 60.0 + gap]), ["PR", "PR"], RULE) == confirmed


def test_two_close_scans_may_confirm_with_a_third():
    found = first_response(np.array([42.0, 60.0, 70.0]), ["PR", "PR", "PR"], RULE)
    assert found == (42, 70)
    assert first_response(np.array([42.0]), ["PR"], RULE) == (np.inf, np.inf)


def test_intervals_and_missing_assessments_are_thresholds_of_the_rule():
    codes = ["PR", "NE", "NE", "PR"]
    lenient = replace(RULE, missed_allowed=2, response_confirm_after_day=126)
    assert best_confirmed(days(codes), codes, lenient) == "PR"
    too_long = replace(lenient, response_confirm_after_day=127)
    assert best_confirmed(days(codes), codes, too_long) == "SD"
    late = replace(RULE, stable_after_day=43)
    assert best_overall(days(["SD"]), ["SD"], late) == "NE"


DEATH, SWITCH = "death_day", "new_therapy_day"
PFS = [
    # responses every six weeks, ends, days, event, reason
    ("SD PD", {}, 84, True, "progression"),
    ("SD SD", {}, 84, False, "no event"),
    ("SD NE", {}, 42, False, "no event"),
    ("NE NE", {}, 0, False, "no adequate assessment"),
    ("", {}, 0, False, "no adequate assessment"),
    ("SD", {DEATH: 100}, 100, True, "death"),
    ("SD PD", {DEATH: 100}, 84, True, "progression"),
    ("SD PD", {DEATH: 84}, 84, True, "progression"),
    ("", {DEATH: 20}, 20, True, "death"),
    ("SD NE PD", {}, 126, True, "progression"),  # one missed
    ("SD NE NE PD", {}, 42, False, "progression on day 168 after 2 missed assessments"),
    ("SD NE NE", {DEATH: 200}, 42, False, "death on day 200 after 2 missed assessments"),
    ("NE NE PD", {}, 0, False, "progression on day 126 after 2 missed assessments"),
    ("SD SD PD", {SWITCH: 60}, 42, False, "another therapy from day 60"),
    ("SD SD PD", {SWITCH: 126}, 126, True, "progression"),  # on the day of progression
    ("SD SD", {SWITCH: 84}, 84, False, "another therapy from day 84"),
    ("SD", {SWITCH: 60, DEATH: 50}, 50, True, "death"),
    ("SD", {SWITCH: 50, DEATH: 60}, 42, False, "another therapy from day 50"),
]


@pytest.mark.parametrize(("codes", "ends", "at", "event", "reason"), PFS)
def test_progression_free_survival(codes, ends, at, event, reason):
    codes = codes.split()
    assert progression_free_survival(days(codes), codes, RULE, **ends) == (at, event, reason)


@pytest.mark.parametrize(
    ("gap", "event"), [(42, True), (104, True), (105, False), (126, False)], ids=str
)
def test_visits_that_were_never_made_count_as_missed(gap, event):
    planned = replace(RULE, visit_interval_day=42)
    day = np.array([42.0, 42.0 + gap])
    assert progression_free_survival(day, ["SD", "PD"], planned).event is event
    assert progression_free_survival(day, ["SD", "PD"], RULE).event is True


def test_how_many_may_be_missed_is_a_threshold():
    codes = ["SD", "NE", "NE", "PD"]
    assert progression_free_survival(days(codes), codes, replace(RULE, missed_allowed=2)).event
    codes = ["SD", "NE", "PD"]
    strict = replace(RULE, missed_allowed=0)
    assert progression_free_survival(days(codes), codes, strict).days == 42


def test_another_progression_than_the_first_pd_may_count():
    codes = ["PD", "SD", "PD", "PD"]
    found = progression_free_survival(days(codes), codes, RULE, progressed=126)
    assert found == (126, True, "progression")
    found = progression_free_survival(days(codes), codes, RULE, progressed=np.inf)
    assert found == (168, False, "no event")


def test_time_to_progression_censors_deaths():
    codes = ["SD", "SD"]
    found = time_to_progression(days(codes), codes, RULE, death_day=100)
    assert found == (84, False, "died on day 100 without progression")
    found = time_to_progression(days(codes), ["SD", "PD"], RULE, death_day=100)
    assert found == (84, True, "progression")
    found = time_to_progression(days(codes), codes, RULE, new_therapy_day=50)
    assert found == (42, False, "another therapy from day 50")


DOR = [
    # responses, ends, confirmed: days from the first response and event; unconfirmed
    ("SD PR PR PD", {}, (84, True), (84, True)),
    ("PR PR", {}, (42, False), (42, False)),
    ("PR PD", {}, None, (42, True)),
    ("SD PD", {}, None, None),
    ("PD PR PR", {}, None, None),
    ("PR PR SD", {DEATH: 200}, (158, True), (158, True)),
    ("PR PR SD PD", {SWITCH: 100}, (42, False), (42, False)),
    ("PR", {SWITCH: 20}, None, (0, False)),
]


@pytest.mark.parametrize(("codes", "ends", "confirmed", "unconfirmed"), DOR)
def test_duration_of_response(codes, ends, confirmed, unconfirmed):
    codes = codes.split()
    for asked, expected in ((True, confirmed), (False, unconfirmed)):
        found = duration_of_response(days(codes), codes, RULE, confirmed=asked, **ends)
        assert (found and found[:2]) == expected


responses = st.lists(st.sampled_from(["CR", "PR", "SD", "PD", "NE"]), max_size=7)
RANK = ["CR", "PR", "SD", "PD", "NE"]


@given(responses, responses)
def test_what_comes_after_progression_changes_nothing(before, after):
    codes, longer = [*before, "PD"], [*before, "PD", *after]
    for best in (best_overall, best_confirmed):
        assert best(days(codes), codes, RULE) == best(days(longer), longer, RULE)
    for time in (progression_free_survival, time_to_progression, duration_of_response):
        assert time(days(codes), codes, RULE) == time(days(longer), longer, RULE)


@given(responses)
def test_a_confirmed_response_is_no_better_than_an_unconfirmed_one(codes):
    best, confirmed = (f(days(codes), codes, RULE) for f in (best_overall, best_confirmed))
    assert RANK.index(confirmed) >= RANK.index(best)
    found = duration_of_response(days(codes), codes, RULE)
    assert (found is not None) == (confirmed in ("CR", "PR"))


@given(responses, st.integers(1, 400), st.integers(1, 400))
def test_times_are_within_follow_up_and_death_ends_them(codes, death, switch):
    ends = {DEATH: death, SWITCH: switch}
    pfs = progression_free_survival(days(codes), codes, RULE, **ends)
    ttp = time_to_progression(days(codes), codes, RULE, **ends)
    assert 0 <= pfs.days <= max([death, *days(codes)])
    assert ttp.event <= pfs.event
    assert ttp.days <= pfs.days
