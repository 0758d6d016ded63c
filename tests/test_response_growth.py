"""Pseudoprogression and hyperprogression: formulas, thresholds on both sides, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdmodel.response import (
    HYPERPROGRESSION,
    RULES,
    Visits,
    agreeing,
    growth_kinetics,
    growth_rate,
    hyperprogression,
    pseudoprogression,
    robustness,
)

RULE = RULES["sitc2020"]
MONTH = 365.25 / 12
NAN = math.nan


def seen(before, base, after, first=42, gap=42):
    """A scan `gap` days before the baseline of day 0, and the first assessment on day `first`."""
    return Visits([-gap, 0, first], [before, base, after])


def met(definition, *sizes, **more):
    new_organs = more.pop("new_organs", None)
    return hyperprogression(seen(*sizes, **more), RULE, definition, new_organs=new_organs).met


def test_growth_rate_is_of_the_volume_a_month():
    assert growth_rate(50, 100, MONTH) == pytest.approx(700)  # twice the diameter, 8 the volume
    assert growth_rate(50, 50, 30) == 0
    assert growth_rate(100, 50, 2 * MONTH) == pytest.approx(100 * (8**-0.5 - 1))
    assert growth_rate(50, 0, 30) == -100
    assert growth_kinetics(50, 71, 42) == 0.5


@pytest.mark.parametrize(("start", "end", "days"), [(0, 5, 30), (5, -1, 30), (5, 6, 0)])
def test_no_growth_rate_from_nothing(start, end, days):
    with pytest.raises(ValueError, match=rf"No growth rate from {start} mm to {end} mm in {days} "):
        growth_rate(start, end, days)


def test_no_kinetics_in_no_time():
    with pytest.raises(ValueError, match="No growth kinetics in 0 days"):
        growth_kinetics(5, 6, 0)


def grown(start, rate, days):
    """Diameter after growth of `rate` % of the volume a month."""
    return start * (1 + rate / 100) ** (days / MONTH / 3)


# Champiat 2017: PD at the first assessment, and TGR at least doubled
@pytest.mark.parametrize(
    ("was", "now", "expected"), [(40, 80.001, True), (40, 79.99, False), (20, 45, True)]
)
def test_champiat(was, now, expected):
    before, base = 100 / grown(1, was, 56), 100
    assert met("champiat2017", before, base, grown(base, now, 56), 56, 56) is expected


def test_champiat_needs_a_progression():
    assert met("champiat2017", 99.5, 100, 119, 42, 42) is False  # TGR 23 times as high, but SD
    assert met("champiat2017", 99.5, 100, 120, 42, 42) is True


# Ferrara 2018: PD at the first assessment, and TGR up by more than 50 % a month
@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [(10, 60.001, True), (10, 59.999, False), (-20, 45, True), (-20, 28, False), (80, 120, False)],
)
def test_ferrara(was, now, expected):
    before, base = 100 / grown(1, was, 56), 100
    assert met("ferrara2018", before, base, grown(base, now, 56), 56, 56) is expected


def test_ferrara_is_above_50_not_50():
    day = MONTH
    visits = Visits([-day, 0, day], [100, 100, 100 * 1.5 ** (1 / 3)])
    assert hyperprogression(visits, RULE, "ferrara2018").met is False


# Saada-Bouzid 2017: TGK at least doubled, in exact decimals; no progression is asked for
@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((33.3, 36.6, 43.2), True),  # 3.3, then 6.6 mm in the same time
        ((33.3, 36.6, 43.1), False),
        ((100, 102, 106), True),  # SD all the same
        ((100, 104, 111), False),
    ],
)
def test_saada_bouzid(sizes, expected):
    assert met("saada_bouzid2017", *sizes) is expected


def test_saada_bouzid_divides_by_days():
    assert met("saada_bouzid2017", 40, 50, 60, 42, 84) is True
    assert met("saada_bouzid2017", 40, 50, 60, 43, 84) is False


# Kato 2017: failure in under two months, more than 50 %, pace more than doubled
@pytest.mark.parametrize(
    ("sizes", "first", "expected"),
    [
        ((90, 100, 151), 60, True),
        ((90, 100, 150), 60, False),  # exactly 50 %
        ((90, 100, 151), 61, False),  # two months are 60.9 days
        ((80, 100, 152), 42, True),  # 25 %, then 52 %
        ((80, 104, 157), 42, False),  # 30 %, then 51 %
        ((80, 100, 150.1), 42, True),
    ],
)
def test_kato(sizes, first, expected):
    assert met("kato2017", *sizes, first, first) is expected


def test_kato_is_above_twice_the_pace():
    assert met("kato2017", 62.5, 80, 124.8) is False  # 28 %, then 56 %
    assert met("kato2017", 62.5, 80, 124.9) is True


# Matos 2020: PD within eight weeks, 10 mm, and 40 %, or 20 % and new lesions in two organs
@pytest.mark.parametrize(
    ("base", "after", "first", "organs", "expected"),
    [
        (50, 70, 56, None, True),
        (50, 70, 57, None, False),
        (50, 69.9, 42, 0, False),
        (50, 69.9, 42, 2, True),
        (50, 69.9, 42, 1, False),
        (24, 34, 42, None, True),  # 10 mm are more than 40 %
        (24, 33.9, 42, 2, False),  # 9.9 mm
        (50, 60, 42, 2, True),  # exactly 20 % and 10 mm
        (51, 61.1, 42, 2, False),  # 10.1 mm, but not 20 %
    ],
)
def test_matos(base, after, first, organs, expected):
    visits = Visits([0, first], [base, after], new_lesion=[False, bool(organs)])
    assert hyperprogression(visits, RULE, "matos2020", new_organs=organs).met is expected


def test_matos_must_know_the_organs_of_new_lesions():
    visits = Visits([0, 42], [50, 65], new_lesion=[False, True])
    found = hyperprogression(visits, RULE, "matos2020")
    assert found.met is None
    assert "not known in how many organs" in found.reason
    assert hyperprogression(Visits([0, 42], [50, 65]), RULE, "matos2020").met is False


COMPARING = [name for name in HYPERPROGRESSION if name != "matos2020"]


@pytest.mark.parametrize("definition", COMPARING)
@pytest.mark.parametrize(
    ("visits", "reason"),
    [
        (Visits([0, 42], [50, 80]), "no scan 14 days or more before the baseline"),
        (Visits([-13, 0, 42], [40, 50, 80]), "no scan 14 days or more before the baseline"),
        (Visits([-30, 0], [40, 50]), "no scan after baseline"),
        (Visits([-30, 0, 42], [40, 0, 50]), "the baseline is 0 mm"),
        (Visits([0, 42], [NAN, NAN], nontarget=["", "PD"]), "no target lesion was measured"),
    ],
)
def test_growth_that_cannot_be_compared_is_refused(definition, visits, reason):
    assert hyperprogression(visits, RULE, definition) == (None, reason)


@pytest.mark.parametrize("definition", ["champiat2017", "saada_bouzid2017", "kato2017"])
@pytest.mark.parametrize("before", [50, 60])
def test_no_growth_has_no_multiple(definition, before):
    found = hyperprogression(seen(before, 50, 80), RULE, definition)
    assert found.met is None
    assert "multiple" in found.reason


@pytest.mark.parametrize("definition", ["champiat2017", "kato2017", "ferrara2018"])
def test_a_lesion_that_was_not_there_did_not_grow(definition):
    found = hyperprogression(seen(0, 50, 80), RULE, definition)
    assert found == (None, "the scan before the baseline is 0 mm")


def test_the_scan_before_may_be_14_days_earlier():
    assert hyperprogression(Visits([-14, 0, 42], [48, 50, 80]), RULE, "ferrara2018").met is True


def test_an_unknown_definition_lists_those_there_are():
    with pytest.raises(ValueError, match=r"There is no definition 'x'; known are \['champiat2017'"):
        hyperprogression(seen(40, 50, 60), RULE, "x")


@given(
    st.sampled_from([name for name in COMPARING if name != "kato2017"]),
    st.lists(st.integers(20, 100), min_size=3, max_size=3),
    st.integers(-3, 3),
)
def test_growth_does_not_know_the_unit(definition, sizes, power):
    here = hyperprogression(seen(*[10 * x for x in sizes]), RULE, definition)
    there = hyperprogression(seen(*[10 * x * 2.0**power for x in sizes]), RULE, definition)
    assert here.met == there.met  # all sizes far above the rules in mm


@pytest.mark.parametrize(
    ("codes", "wide", "narrow"),
    [
        ("SD SD", False, False),
        ("PD PD", False, False),
        ("PD SD", True, False),
        ("PD PR", True, True),
        ("PD PD CR", True, True),
        ("PR PD NE SD", True, False),
        ("PD", None, None),
        ("SD PD NE", None, None),
    ],
)
def test_pseudoprogression(codes, wide, narrow):
    codes = codes.split()
    day = 42.0 * np.arange(1, len(codes) + 1)
    assert pseudoprogression(day, codes).met is wide
    assert pseudoprogression(day, codes, ("CR", "PR")).met is narrow


def test_pseudoprogression_says_when():
    assert (
        pseudoprogression(np.array([42, 84]), ["PD", "PR"]).reason == "PD on day 42, PR on day 84"
    )
    assert pseudoprogression(np.array([42]), ["PD"]).reason == (
        "no scan after the progression on day 42"
    )


# ------------------------------------------------------------------------------ robustness


def test_robustness_is_the_share_of_rules_that_agree():
    found = robustness(Visits([0, 42, 84, 126], [50, 30, 60, 66]))
    assert found.labels == {
        "sitc2020": "early_loss",
        "sitc2020_confirmed": "early_loss",
        "sitc2020_irecist": "early_loss",
        "sitc2020_day90": "early_loss",
        "sitc2023_chemo": "primary",
        "schoenfeld2021": "acquired",
        "jitc2021": "primary",
    }
    assert (found.label, found.share) == ("early_loss", 4 / 7)
    two = {name: RULES[name] for name in ("jitc2021", "sitc2023_chemo")}
    assert robustness(Visits([0, 42, 84], [50, 30, 60]), two)[1:] == ("primary", 1)


def test_of_equally_many_the_first_class_is_taken():
    assert agreeing(["durable", "acquired"]) == ("acquired", 0.5)


def test_no_rule_is_no_comparison():
    with pytest.raises(ValueError, match="There is no rule to compare; name at least one"):
        robustness(Visits([0, 42], [50, 60]), {})


@given(st.permutations(list(RULES)))
def test_the_order_of_rules_changes_nothing(names):
    visits = Visits([0, 42, 84, 126], [50, 30, 60, 66])
    ordered = robustness(visits, {name: RULES[name] for name in names})
    assert ordered[1:] == robustness(visits)[1:]
