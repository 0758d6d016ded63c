"""iRECIST by the rows of its table: what confirms a progression, what leaves it, what resets it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdmodel.response import (
    RULES,
    Visits,
    class_of,
    immune_best,
    immune_progression,
    immune_responses,
    overall_responses,
    strict,
)

RULE = strict(RULES["sitc2020_irecist"])
NAN = np.nan
STILL = "NON-CR/NON-PD"


def told(sizes, gap=42, **more):
    return immune_responses(Visits(gap * np.arange(len(sizes)), sizes, **more), RULE)


# Seymour et al. 2017 (10.1016/S1470-2045(17)30074-8): sizes of the targets, responses
BY_TARGETS = {
    "no progression": ([100, 70, 70, 80], "iPR iPR iPR"),
    "5 mm more confirm": ([50, 60, 65], "iUPD iCPD"),
    "4.9 mm more do not": ([50, 60, 64.9], "iUPD iUPD"),
    "33.3 to 38.3 mm are exactly 5 mm more": ([20, 33.3, 38.3], "iUPD iCPD"),
    "4 and 2 mm add up": ([50, 60, 64, 66], "iUPD iUPD iCPD"),
    "as it was: stays unconfirmed": ([50, 60, 60, 60], "iUPD iUPD iUPD"),
    "smaller, but still a progression: stays unconfirmed": ([50, 70, 61], "iUPD iUPD"),
    "smaller than that: the bar is reset": ([50, 60, 59], "iUPD iSD"),
    "reset, then a new iUPD must be met": ([50, 60, 50, 60, 65], "iUPD iSD iUPD iCPD"),
    "reset, and 5 mm over the old iUPD confirm nothing": ([50, 60, 55, 66], "iUPD iSD iUPD"),
    "reset by a response": ([50, 60, 30, 36, 41], "iUPD iPR iUPD iCPD"),
    "reset by a complete response": ([50, 60, 0, 3, 8], "iUPD iCR iUPD iCPD"),
    "a visit that cannot be evaluated changes nothing": ([50, 60, NAN, 65], "iUPD NE iCPD"),
    "confirmed stays confirmed": ([50, 60, 65, 20, NAN], "iUPD iCPD iCPD iCPD"),
}


@pytest.mark.parametrize(("sizes", "codes"), BY_TARGETS.values(), ids=BY_TARGETS)
def test_targets_by_clause(sizes, codes):
    assert told(sizes) == codes.split()


@pytest.mark.parametrize(("gap", "second"), [(27, "iUPD"), (28, "iCPD"), (56, "iCPD")])
def test_a_confirmation_comes_four_weeks_later_or_more(gap, second):
    assert told([50, 60, 70], gap) == ["iUPD", second]


# other lesions (word, grown further), responses; targets steady at 50 mm
BY_NONTARGETS = {
    "any further growth confirms": ([(STILL, 0), ("PD", 0), ("PD", 1)], "iSD iUPD iCPD"),
    "also short of unequivocal": ([(STILL, 0), ("PD", 0), (STILL, 1)], "iSD iUPD iCPD"),
    "no further growth: stays unconfirmed": ([("PD", 0), ("PD", 0)], "iUPD iUPD"),
    "no longer a progression: reset": ([("PD", 0), (STILL, 0), ("PD", 0)], "iUPD iSD iUPD"),
    "growth before an iUPD confirms nothing": ([(STILL, 1), ("PD", 1)], "iSD iUPD"),
}


@pytest.mark.parametrize(("seen", "codes"), BY_NONTARGETS.values(), ids=BY_NONTARGETS)
def test_other_lesions_by_clause(seen, codes):
    words, grown = zip(*seen, strict=True)
    found = told([50] * (len(seen) + 1), nontarget=["", *words], nontarget_grown=[0, *grown])
    assert found == codes.split()


# new lesions (how many, mm of those measured), responses; targets steady at 50 mm
BY_NEW = {
    "another one confirms": ([(1, 0), (2, 0)], "iUPD iCPD"),
    "5 mm more confirm": ([(1, 10), (1, 15)], "iUPD iCPD"),
    "4.9 mm more do not": ([(1, 10), (1, 14.9)], "iUPD iUPD"),
    "4 and 2 mm add up": ([(1, 10), (1, 14), (1, 16)], "iUPD iUPD iCPD"),
    "as they were: stays unconfirmed": ([(1, 10), (1, 10)], "iUPD iUPD"),
    "gone: reset": ([(1, 10), (0, 0), (1, 10)], "iUPD iSD iUPD"),
}


@pytest.mark.parametrize(("seen", "codes"), BY_NEW.values(), ids=BY_NEW)
def test_new_lesions_by_clause(seen, codes):
    count, mm = zip(*seen, strict=True)
    assert told([50] * (len(seen) + 1), new_count=[0, *count], new_mm=[0, *mm]) == codes.split()


@pytest.mark.parametrize(
    "second",
    [
        {"nontarget": ["", STILL, "PD"]},
        {"new_lesion": [False, False, True]},
        {"new_count": [0, 0, 1]},
    ],
)
def test_progression_in_another_kind_of_lesion_confirms(second):
    assert told([50, 60, 60], **second) == ["iUPD", "iCPD"]


def test_targets_confirm_what_was_first_seen_in_a_new_lesion():
    seen = {"new_lesion": [False, True, True]}
    assert told([50, 50, 60], **seen) == ["iUPD", "iCPD"]
    assert told([50, 50, 55], **seen) == ["iUPD", "iUPD"]  # 5 mm, but no progression of targets


def test_without_targets():
    words = ["", STILL, "PD", "PD"]
    found = told([NAN] * 4, nontarget=words, nontarget_grown=[0, 0, 0, 1])
    assert found == ["NON-iCR/NON-iUPD", "iUPD", "iCPD"]


@pytest.mark.parametrize(
    ("sizes", "days"),
    [
        ([50, 60, 65], (42, 42)),
        ([50, 60, 60], (np.inf, 42)),  # waits
        ([50, 60, 50], (np.inf, np.inf)),
        ([50, 60, 50, 60, 60, 65], (126, 126)),  # dated by the iUPD after the reset
        ([50, 60, NAN, 65], (42, 42)),
    ],
)
def test_progression_is_dated_by_the_iupd_that_was_confirmed(sizes, days):
    assert immune_progression(Visits(42 * np.arange(len(sizes)), sizes), RULE) == days


@pytest.mark.parametrize(
    ("codes", "best"),
    [
        ("iUPD iPR iUPD iCPD", "iPR"),
        ("iSD iCR iUPD", "iCR"),
        ("iUPD iUPD", "iUPD"),
        ("iUPD iCPD", "iCPD"),
        ("NE", "NE"),
        ("", "NE"),
    ],
)
def test_best_response(codes, best):
    assert immune_best(codes.split()) == best


def test_the_class_may_differ_from_that_of_recist():
    day = [0, 42, 84, 126, 400]
    pseudo = Visits(day, [50, 60, 40, 30, 30])
    assert class_of(pseudo, RULES["sitc2020"])[0] == "primary"
    assert class_of(pseudo, RULE)[0] == "durable"
    waits = Visits([0, 42, 84], [50, 60, 62])
    assert class_of(waits, RULES["sitc2020_confirmed"])[0] == "primary"
    label, reason = class_of(waits, RULE)
    assert (label, reason) == ("not_determinable", "progression on day 42 is not confirmed")


sizes_mm = st.lists(st.sampled_from([0, 5, 20, 30, 36, 41, 50, 60, 65]), min_size=1, max_size=8)


@given(sizes_mm, st.lists(st.integers(0, 2), min_size=9, max_size=9))
def test_it_is_recist_until_the_first_progression_and_absorbing_after_icpd(sizes, count):
    seen = Visits(42 * np.arange(len(sizes) + 1), [50, *sizes], new_count=count[: len(sizes) + 1])
    ours, theirs = immune_responses(seen, RULE), overall_responses(seen, RULE)
    for mine, other in zip(ours, theirs, strict=True):
        if mine == "iCPD":
            break
        assert mine == ("iUPD" if other == "PD" else f"i{other}")
    if "iCPD" in ours:
        first = ours.index("iCPD")
        assert set(ours[first:]) == {"iCPD"}
        assert ours[first - 1] == "iUPD"
