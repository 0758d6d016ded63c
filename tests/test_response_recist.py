"""RECIST 1.1 of whole visits: clause by clause, both sides of boundaries, and what must hold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pdmodel.errors import OptionError
from pdmodel.response import (
    NONTARGET,
    RULES,
    Rule,
    Visits,
    class_of,
    immune_responses,
    overall_response,
    overall_responses,
    progression,
    resistance_class,
    rule_named,
    strict,
    sum_lesions,
    target_responses,
    visit_responses,
)

SITC = RULES["sitc2020"]
EXACT = strict(SITC)
NAN = np.nan


def visits(sizes, **more):
    return Visits(42 * np.arange(len(sizes)), sizes, **more)


# what it stands for: sizes from the baseline on, responses
TARGETS = {
    "CR is disappearance (4.3.1)": ([50, 0], "CR"),
    "0.1 mm has not disappeared": ([50, 0.1], "PR"),
    "too small to measure counts 5 mm and is no CR (4.3.2)": ([50, 5], "PR"),
    "7.1 to 5 mm falls short of -30 %": ([7.1, 5], "SD"),
    "-30 % of 7.2 mm is 5.04 mm": ([7.2, 5], "PR"),
    "-30 % of 7.14 mm is 4.998 mm": ([7.14, 5], "SD"),
    "exactly -30 %": ([33.3, 23.31], "PR"),
    "just short of -30 %": ([33.3, 23.32], "SD"),
    "exactly +20 % and 5 mm": ([25, 30], "PD"),
    "exactly +20 % but 4.98 mm": ([24.9, 29.88], "SD"),
    "5 mm but just short of +20 %": ([25.01, 30.01], "SD"),
    "seen again after CR is PD (4.3.1; 4.4.4)": ([50, 0, 3], "CR PD"),
    "seen again and steady stays PD": ([50, 0, 3, 3], "CR PD PD"),
    "seen again and gone again": ([50, 0, 3, 0], "CR PD CR"),
    "a lesion that grows after PR needs 20 % and 5 mm": ([50, 20, 24.9, 25], "PR PR PD"),
    "not evaluable says nothing": ([50, NAN, 60], "NE PD"),
    "not evaluable does not end a PR": ([100, 70, NAN, 80], "PR NE PR"),
    "a nadir is not lost over a missing visit": ([100, 50, NAN, 60], "PR NE PD"),
}


@pytest.mark.parametrize(("sizes", "codes"), TARGETS.values(), ids=TARGETS)
def test_targets_by_clause(sizes, codes):
    assert target_responses(visits(sizes), EXACT) == codes.split()


# sizes of a lesion and of a node at each visit (nan: not evaluated), responses
NODES = {
    "a node under 10 mm is no disease (4.3.2)": ([(30, 15), (0, 9.9)], "CR"),
    "a node of 10 mm is": ([(30, 15), (0, 10)], "PR"),
    "CR needs every lesion gone": ([(30, 15), (1, 9)], "PR"),
    "CR needs no sum of 0": ([(30, 15), (0, 8), (0, 9.9)], "CR CR"),
    "a node back at 10 mm, without 5 mm more, is no PD": ([(30, 15), (0, 8), (0, 12.9)], "CR PR"),
    "a node back with 20 % and 5 mm more is": ([(30, 15), (0, 8), (0, 13)], "CR PD"),
    "a lesion back after CR is PD whatever its size": ([(30, 15), (0, 8), (2, 8)], "CR PD"),
    "one missing lesion: not evaluable": ([(30, 15), (10, NAN)], "NE"),
    "PD by the others is PD all the same": ([(30, 15), (54, NAN)], "PD"),
    "just short of it": ([(30, 15), (53.9, NAN)], "NE"),
    "a sum that misses a lesion is no nadir": ([(30, 15), (NAN, 15), (30, 15)], "NE SD"),
}


@pytest.mark.parametrize(("sizes", "codes"), NODES.values(), ids=NODES)
def test_nodes_and_missing_lesions_by_clause(sizes, codes):
    seen = Visits(42 * np.arange(len(sizes)), *sum_lesions(sizes, [False, True]))
    assert target_responses(seen, EXACT) == codes.split()


@pytest.mark.parametrize(("axis", "code"), [(9.9, "CR"), (10, "PR")])
def test_where_all_targets_are_nodes_all_must_be_below_10_mm(axis, code):
    sums = sum_lesions([[20, 16], [9.9, axis]], [True, True])
    assert target_responses(Visits([0, 42], *sums), EXACT) == [code]


def test_a_sum_is_exact():
    sums = sum_lesions([[33.3, 0], [1.1, 2.2], [20.01, 3.3]], [False, False])
    assert sums.size_mm.tolist() == [33.3, 3.3, 23.31]
    assert not sums.partial.any()
    assert np.isnan(sum_lesions([[NAN, NAN]], [False, True]).size_mm).all()
    assert not sum_lesions([[NAN, NAN]], [False, True]).partial.any()
    assert sum_lesions([[NAN, 3]], [False, True]).partial.all()


# target, non-target, new lesion: overall (Table 1 of the guideline, every row)
OVERALL = [
    ("CR", "CR", False, "CR"),
    ("CR", "", False, "CR"),
    ("CR", "NON-CR/NON-PD", False, "PR"),
    ("CR", "NE", False, "PR"),
    ("PR", "CR", False, "PR"),
    ("PR", "NON-CR/NON-PD", False, "PR"),
    ("PR", "NE", False, "PR"),
    ("SD", "NON-CR/NON-PD", False, "SD"),
    ("SD", "NE", False, "SD"),
    ("NE", "NON-CR/NON-PD", False, "NE"),
    ("NE", "CR", False, "NE"),
    ("PD", "CR", False, "PD"),
    ("CR", "PD", False, "PD"),
    ("NE", "PD", False, "PD"),
    ("CR", "CR", True, "PD"),
    ("NE", "NE", True, "PD"),
    ("", "CR", False, "CR"),  # Table 2: no target lesions
    ("", "NON-CR/NON-PD", False, "NON-CR/NON-PD"),
    ("", "NE", False, "NE"),
    ("", "PD", False, "PD"),
    ("", "", True, "PD"),
    ("", "CR", True, "PD"),
    ("", "", False, "NE"),
]


@pytest.mark.parametrize(("target", "nontarget", "new", "overall"), OVERALL)
def test_overall_response_by_the_tables_of_the_guideline(target, nontarget, new, overall):
    assert overall_response(target, nontarget, new_lesion=new) == overall


def test_other_lesions_and_new_ones_reach_the_overall_response():
    seen = visits([50, 30, 0, 0, 0], nontarget=["", "NE", "NON-CR/NON-PD", "CR", "CR"],
                  new_lesion=[False] * 4 + [True])  # fmt: skip
    assert target_responses(seen, EXACT) == ["PR", "CR", "CR", "CR"]
    assert overall_responses(seen, EXACT) == ["PR", "PR", "CR", "PD"]
    assert progression(seen, EXACT) == (168, 168)
    none = visits([NAN] * 3, nontarget=["", "NON-CR/NON-PD", "PD"])
    assert target_responses(none, EXACT) == ["", ""]
    assert overall_responses(none, EXACT) == ["NON-CR/NON-PD", "PD"]
    assert class_of(none, SITC)[0] == "primary"


def test_the_baseline_is_the_last_whole_sum_before_treatment():
    assert Visits([-20, -3, 42], [40, NAN, 60]).baseline == 0
    assert Visits([-20, -3, 42], [40, 50, 60]).baseline == 1
    assert Visits([3, 42], [NAN, 60]).baseline == 1
    assert Visits([-3, 0, 42], [NAN] * 3).baseline == 1
    assert Visits([-20, -3, 42], [40, 30, 60], partial=[False, True, False]).baseline == 0


def test_visits_that_cannot_be_evaluated_say_nothing_to_the_class():
    with_gap = Visits([0, 42, 84, 126], [50, 60, NAN, 61])
    assert class_of(with_gap, RULES["sitc2020_confirmed"])[0] == "primary"
    end = Visits([0, 42, 400], [50, 45, NAN])
    assert class_of(end, SITC)[1] == "followed only to day 42, without progression"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"size_mm": [50, -1]}, r"size_mm is -1 on day 42\. Give sizes >= 0, nan where not"),
        ({"size_mm": [50, np.inf]}, r"size_mm is inf on day 42"),
        ({"day": [42, 0]}, r"Days must be one or more numbers in rising order"),
        ({"day": []}, r"Days must be one or more numbers in rising order"),
        ({"day": [0, NAN]}, r"Days must be one or more numbers in rising order"),
        ({"new_lesion": [True]}, r"There are 2 days, but 1 values of new_lesion"),
        ({"nontarget": ["", "bad"]}, r"nontarget is 'bad' on day 42; write one of \['', 'CR'"),
        ({"new_mm": [0, -1]}, r"new_mm is -1.0 on day 42\. Give numbers >= 0"),
        ({"new_count": [NAN, 0]}, r"new_count is nan on day 0"),
    ],
)
def test_visits_that_cannot_be_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        Visits(**({"day": [0, 42], "size_mm": [50, 60]} | columns))


def test_lesions_and_their_kinds_must_match():
    with pytest.raises(ValueError, match=r"There are sizes of shape \(1, 2\), but 1 lesions"):
        sum_lesions([[1, 2]], [True])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"criteria": "WHO"}, "has criteria 'WHO'; write 'recist' or 'irecist'"),
        ({"early_loss": "lost"}, "has early_loss 'lost'; write 'early_loss', 'primary' or"),
        ({"visit_interval_day": 0}, "needs visit_interval_day > 0, or None"),
    ],
)
def test_a_rule_with_an_unknown_word_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Rule("wrong", **wrong)


def test_an_unknown_rule_lists_those_there_are():
    with pytest.raises(OptionError, match=r"There is no rule 'sitc'; known are \['jitc2021', "):
        rule_named("sitc")
    assert rule_named("jitc2021") is RULES["jitc2021"]


# Schoenfeld 2021: objective response, then PD within six months of the last dose.
@pytest.mark.parametrize(
    ("series", "dose", "label"),
    [
        ({0: 50, 42: 30, 84: 60}, None, "acquired"),  # early, but after a response
        ({0: 50, 42: 50, 84: 60}, None, "primary"),
        ({0: 50, 42: 50, 200: 60}, None, "not_determinable"),  # stable disease is left open
        ({0: 50, 42: 30, 202: 60}, 20, "acquired"),  # 182 days after the last dose
        ({0: 50, 42: 30, 203: 60}, 20, "not_determinable"),
    ],
)
def test_acquired_resistance_in_lung_cancer(series, dose, label):
    rule = RULES["schoenfeld2021"]
    assert resistance_class(list(series), list(series.values()), rule, dose)[0] == label


@pytest.mark.parametrize(
    ("lost_on", "by_90", "by_182"),
    [(89, "primary", "primary"), (90, "acquired", "primary"), (182, "acquired", "acquired")],
)
def test_90_against_180_days(lost_on, by_90, by_182):
    day, sizes = [0, 42, lost_on], [50, 50, 60]
    assert resistance_class(day, sizes, RULES["sitc2020_day90"])[0] == by_90
    assert resistance_class(day, sizes, SITC)[0] == by_182


def test_a_response_may_need_confirmation():
    asking = replace(SITC, response_needs_confirmation=True)
    once, twice = ([0, 42, 84], [50, 30, 60]), ([0, 42, 70, 84], [50, 30, 30, 60])
    short = ([0, 42, 69, 84], [50, 30, 30, 60])
    assert [resistance_class(*x, SITC)[0] for x in (once, twice, short)] == ["early_loss"] * 3
    asked = [resistance_class(*x, asking)[0] for x in (once, twice, short)]
    assert asked == ["primary", "early_loss", "primary"]


# ------------------------------------------------------------------------------ what must hold

sizes_mm = st.sampled_from([0, 3, 5, 7.14, 20, 24.9, 25, 29.88, 30, 33.3, 50, 100]) | st.just(NAN)
words = st.sampled_from(NONTARGET)


@st.composite
def patients(draw):
    """Visits with everything that there may be."""
    count = draw(st.integers(2, 8))
    gaps = draw(st.lists(st.sampled_from([7, 28, 42, 84]), min_size=count - 1, max_size=count - 1))
    day = np.cumsum([draw(st.sampled_from([-14, 0, 5])), *gaps])

    def column(values):
        return draw(st.lists(values, min_size=count, max_size=count))

    size = [draw(sizes_mm.filter(lambda x: x > 0)), *column(sizes_mm)[1:]]
    return Visits(day, size, nontarget=column(words), new_lesion=column(st.booleans()),
                  nontarget_grown=column(st.booleans()), new_count=column(st.integers(0, 2)),
                  new_mm=column(st.sampled_from([0, 4, 8, 14])))  # fmt: skip


rules = st.sampled_from([*RULES.values(), *map(strict, RULES.values())])


@given(patients(), rules, st.integers(1, 7))
def test_what_comes_later_never_changes_an_earlier_response(seen, rule, count):
    early = seen.until(seen.day[min(count, len(seen.day) - 1)])
    assume(early.baseline == seen.baseline)
    known = len(early.later)
    assert target_responses(seen, rule)[:known] == target_responses(early, rule)
    assert overall_responses(seen, rule)[:known] == overall_responses(early, rule)
    assert immune_responses(seen, rule)[:known] == immune_responses(early, rule)


@given(patients(), rules, st.integers(-4, 4))
def test_scaling_all_sizes_changes_nothing_but_the_rules_in_mm(seen, rule, power):
    by = 2.0**power
    names = ("progression_mm", "disappeared_mm", "node_mm", "further_mm")
    scaled = replace(rule, **{name: getattr(rule, name) * by for name in names})
    grown = replace_sizes(seen, by)
    assert overall_responses(grown, scaled) == overall_responses(seen, rule)
    assert class_of(grown, scaled)[0] == class_of(seen, rule)[0]


def replace_sizes(seen, by):
    return Visits(seen.day, seen.size_mm * by, nontarget=seen.nontarget,
                  nontarget_grown=seen.nontarget_grown, new_lesion=seen.new_lesion,
                  new_count=seen.new_count, new_mm=seen.new_mm * by)  # fmt: skip


@given(patients(), rules)
def test_new_lesions_and_other_lesions_only_make_it_worse(seen, rule):
    order = ["CR", "PR", "SD", "NE", "PD"]
    bare = Visits(seen.day, seen.size_mm)
    for here, there in zip(
        overall_responses(bare, rule), overall_responses(seen, rule), strict=True
    ):
        assert order.index(there.replace("NON-CR/NON-PD", "SD")) >= order.index(here)


@given(patients(), rules)
def test_visits_without_anything_else_are_a_series(seen, rule):
    bare = Visits(seen.day, seen.size_mm)
    whole = ~np.isnan(bare.size_mm)
    codes = [c for c in target_responses(bare, rule) if c != "NE"]
    assert list(visit_responses(seen.day[whole], seen.size_mm[whole], rule)) == codes
