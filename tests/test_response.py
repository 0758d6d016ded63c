"""Response and resistance rules: hand-made cases by clause, both sides of every boundary."""

from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdmodel.response import (
    CLASSES,
    RULES,
    Rule,
    baseline_index,
    best_change,
    best_response,
    classify_courses,
    progression_day,
    resistance_class,
    strict,
    visit_responses,
)

SITC = RULES["sitc2020"]
CONFIRMED = RULES["sitc2020_confirmed"]
ZERO_IS_ZERO = replace(SITC, disappeared_mm=0)

RESPONSES = {
    "PR at exactly -30 %": ([100, 70], "PR"),
    "SD just short of -30 %": ([100, 70.01], "SD"),
    "33.3 to 23.31 mm is exactly -30 %": ([33.3, 23.31], "PR"),
    "33.3 to 23.32 mm is not": ([33.3, 23.32], "SD"),
    "25.2 to 17.64 mm is exactly -30 %": ([25.2, 17.64], "PR"),
    "PD at exactly +20 %": ([100, 120], "PD"),
    "SD just short of +20 %": ([100, 119.99], "SD"),
    "33.7 to 40.44 mm is exactly +20 %": ([33.7, 40.44], "PD"),
    "20 % but only 4.9 mm": ([20, 24.9], "SD"),
    "20 % and exactly 5 mm": ([20, 25], "PD"),
    "11.4 to 16.4 mm is exactly 5 mm": ([11.4, 16.4], "PD"),
    "5 mm but only 19 %": ([100, 119], "SD"),
    "20 % but only 2 mm": ([10, 12], "SD"),
    "5 mm but only 17 %": ([30, 35], "SD"),
    "25 to 30 mm is exactly 20 % and 5 mm": ([25, 30], "PD"),
    "10.2 and 20.4 mm are exactly 20 % over 25.5": ([25.5, 10.2 + 20.4], "PD"),
    "1.1 and 2.2 mm and 20.01 are exactly -30 % of 33.3": ([33.3, 1.1 + 2.2 + 20.01], "PR"),
    "from the nadir, not from baseline": ([100, 60, 72], "PR PD"),
    "the nadir includes the baseline": ([100, 110, 121], "SD PD"),
    "PD is asked before PR": ([100, 50, 65], "PR PD"),
    "PR lasts above 70 % until PD (EORTC)": ([100, 70, 70, 80, 80, 80], "PR PR PR PR PR"),
    "PR persists up to the edge of PD": ([100, 70, 83.99, 84], "PR PR PD"),
    "PD ends a PR": ([100, 70, 90, 80], "PR PD SD"),
    "codes are not absorbing": ([100, 125, 100, 60], "PD SD PR"),
    "gone at exactly 5 mm": ([50, 5], "CR"),
    "5.1 mm is not gone": ([50, 5.1], "PR"),
    "small lesion gone without -30 %": ([6, 5], "CR"),
    "0, 3 and 5 mm are one bin": ([50, 0, 3, 5, 0], "CR CR CR CR"),
    "back below 10 mm is PR": ([50, 0, 9.9], "CR PR"),
    "back at 10 mm is PD": ([50, 0, 10], "CR PD"),
    "gone at baseline is not CR": ([4, 3, 9, 10], "SD SD PD"),
    "no scan after baseline": ([50], ""),
}


@pytest.mark.parametrize(("sizes", "codes"), RESPONSES.values(), ids=RESPONSES)
def test_response_by_scan(sizes, codes):
    day = 42 * np.arange(len(sizes))
    assert list(visit_responses(day, sizes, SITC)) == codes.split()


@pytest.mark.parametrize(
    ("sizes", "codes"),
    [
        ([50, 0.1], "PR"),
        ([50, 0], "CR"),
        ([50, 0, 0], "CR CR"),
        ([50, 0, 0.1], "CR PD"),  # nadir 0: any reappearance is PD
        ([4, 6], "SD"),
    ],
)
def test_zero_is_zero_when_nothing_is_too_small_to_measure(sizes, codes):
    day = 42 * np.arange(len(sizes))
    assert list(visit_responses(day, sizes, ZERO_IS_ZERO)) == codes.split()


def test_sizes_are_compared_in_their_own_precision():
    day = [0, 42]
    assert list(visit_responses(day, np.float32([33.3, 23.31]), SITC)) == ["PR"]
    assert list(visit_responses(day, np.array([100, 120]), SITC)) == ["PD"]


@pytest.mark.parametrize(
    ("day", "first"),
    [([-30, -3, 42], 1), ([-30, 0, 42], 1), ([0, 42], 0), ([1, 42], 0), ([-5], 0)],
)
def test_baseline_is_the_last_scan_before_treatment(day, first):
    assert baseline_index(day) == first


def test_scans_before_baseline_do_not_count():
    # against the 40 mm of day -30, both later scans would be PD
    assert list(visit_responses([-30, -1, 42, 84], [40, 60, 60, 71], SITC)) == ["SD", "SD"]
    assert progression_day([-30, -1, 42, 84], [40, 60, 60, 72], SITC) == 84


# series: {day: size}; the class; a part of the reason
A_YEAR = {0: 50, 42: 45, 180: 44, 365: 44}
OBSERVED = {
    "best response PD": ({0: 50, 42: 60, 84: 75}, "primary", "day 42, without a response"),
    "SD lost on day 181": ({0: 50, 42: 50, 181: 60}, "primary", "day 181"),
    "SD lost on day 182": ({0: 50, 42: 50, 182: 60}, "acquired", "stable disease"),
    "SD lost on day 183": ({0: 50, 42: 50, 183: 60}, "acquired", "stable disease"),
    "PR lost on day 181": ({0: 50, 42: 30, 181: 60}, "early_loss", "after a response"),
    "PR lost on day 182": ({0: 50, 42: 30, 182: 60}, "acquired", "after a response"),
    "CR lost on day 300": ({0: 50, 42: 0, 180: 0, 300: 12}, "acquired", "after a response"),
    "response only after PD": ({0: 50, 42: 60, 84: 20}, "primary", "without a response"),
    "first scan is a late PD": ({0: 50, 200: 90}, "not_determinable", "came before is not known"),
    "first scan is an early PD": ({0: 50, 181: 90}, "primary", "without a response"),
    "PD after a year": (A_YEAR | {500: 60}, "acquired", "day 500"),
    "a year without PD": (A_YEAR, "durable", "up to day 365"),
    "a day short of a year": ({0: 50, 42: 45, 364: 44}, "not_determinable", "only to day 364"),
    "short follow-up": ({0: 50, 131: 44}, "not_determinable", "followed only to day 131"),
    "one scan": ({0: 50}, "not_determinable", "no scan after baseline"),
    "only baseline scans": ({-30: 50, 0: 90}, "not_determinable", "no scan after baseline"),
    "baseline at 5 mm": ({0: 5, 42: 30}, "not_determinable", "baseline of 5 mm"),
    "baseline at 5.1 mm": ({0: 5.1, 42: 30}, "primary", "day 42"),
    "treated for 41 days": ({0: 50, 41: 60}, "not_determinable", "41 days, less than the 42"),
    "treated for 42 days": ({0: 50, 42: 60}, "primary", "day 42"),
    "early PD, longer treated": ({0: 50, 21: 60, 42: 60}, "primary", "day 21"),
}


def check(series, rule, label, reason, **options):
    """Hold the observed class and reason, and the class of the same course as a simulation."""
    day, size = list(series), list(series.values())
    assert resistance_class(day, size, rule, **options)[0] == label
    assert reason in resistance_class(day, size, rule, **options)[1]
    assert CLASSES[classify_courses(day, size, rule, **options)] == label


@pytest.mark.parametrize(("series", "label", "reason"), OBSERVED.values(), ids=OBSERVED)
def test_class_by_clause(series, label, reason):
    check(series, SITC, label, reason)


WITH_CONFIRMATION = {
    "PD at the last scan": ({0: 50, 42: 60}, "not_determinable", "day 42 is not confirmed"),
    "27 days later": ({0: 50, 42: 60, 69: 61}, "not_determinable", "day 42 is not confirmed"),
    "28 days later": ({0: 50, 42: 60, 70: 61}, "primary", "day 42"),
    "29 days later": ({0: 50, 42: 60, 71: 61}, "primary", "day 42"),
    "smaller, but still PD": ({0: 50, 42: 80, 84: 60}, "primary", "day 42"),
    "no longer PD": ({0: 50, 42: 80, 84: 59}, "not_determinable", "only to day 84, without"),
    "two close scans, then one": ({0: 50, 42: 60, 60: 60, 70: 60}, "primary", "day 42"),
    "undone in between": ({0: 50, 42: 60, 56: 50, 70: 60}, "not_determinable", "day 70 is not"),
    "undone, then confirmed": ({0: 50, 42: 60, 84: 50, 182: 60, 224: 61}, "acquired", "day 182"),
    "pseudoprogression, then a year": ({0: 50, 42: 70, 84: 30, 365: 25}, "durable", "day 365"),
    "a response after pseudoprogression": (
        {0: 50, 42: 70, 84: 30, 126: 60, 168: 60},
        "early_loss",
        "day 126, after a response",
    ),
    "PD open after a year": (A_YEAR | {400: 60}, "not_determinable", "day 400 is not confirmed"),
    "dated by the first PD": ({0: 50, 42: 45, 181: 60, 223: 60}, "primary", "day 181"),
}


@pytest.mark.parametrize(
    ("series", "label", "reason"), WITH_CONFIRMATION.values(), ids=WITH_CONFIRMATION
)
def test_class_with_confirmation(series, label, reason):
    check(series, CONFIRMED, label, reason)


LATE = {0: 50, 42: 50, 182: 60}
EXPOSURE = {
    "41 days": ({0: 50, 84: 60}, 20, "not_determinable", "41 days, less than the 42"),
    "42 days": ({0: 50, 84: 60}, 21, "primary", "day 84"),
    "two doses, progression with the third due": ({0: 50, 42: 60}, 21, "primary", "day 42"),
    "one dose": ({0: 50, 42: 60}, 0, "not_determinable", "21 days, less than the 42"),
    "early, 84 days after the last dose": ({0: 50, 126: 60}, 42, "primary", "day 126"),
    "early, 85 days after it": ({0: 50, 127: 60}, 42, "not_determinable", "last dose on day 42"),
    "late, treated for 181 days": (LATE, 160, "not_determinable", "181 days, less than the 182"),
    "late, treated for 182 days": (LATE, 161, "acquired", "day 182"),
    "late, 84 days after the last dose": (LATE | {182: 50, 284: 60}, 200, "acquired", "day 284"),
    "late, 85 days after it": (LATE | {182: 50, 285: 60}, 200, "not_determinable", "on day 200"),
    "unknown": (LATE, np.nan, "acquired", "day 182"),
    "still going on": (LATE, np.inf, "acquired", "day 182"),
    "one dose, a year without PD": (A_YEAR, 0, "durable", "day 365"),
}


@pytest.mark.parametrize(("series", "dose", "label", "reason"), EXPOSURE.values(), ids=EXPOSURE)
def test_class_by_exposure(series, dose, label, reason):
    check(series, SITC, label, reason, exposure_day=dose)


@pytest.mark.parametrize(
    ("dose", "cycle", "label"),
    [
        (0, 42, "primary"),
        (0, 41, "not_determinable"),
        (14, 28, "primary"),
        (21, 20, "not_determinable"),
    ],
)
def test_exposure_ends_with_the_cycle_of_the_last_dose(dose, cycle, label):
    check({0: 50, 42: 60}, SITC, label, "day 42", exposure_day=dose, cycle_day=cycle)


def test_a_rule_says_how_long_a_dose_lasts_where_nobody_else_does():
    six_weekly = replace(SITC, cycle_day=42)
    check({0: 50, 42: 60}, six_weekly, "primary", "day 42", exposure_day=0)
    check({0: 50, 42: 60}, six_weekly, "primary", "day 42", exposure_day=0, cycle_day=np.nan)


@pytest.mark.parametrize(
    ("name", "lost_on", "label"),
    [
        ("sitc2023_chemo", 182, "primary"),  # <= 6 months, whatever the best response
        ("sitc2023_chemo", 183, "acquired"),
        ("jitc2021", 179, "primary"),
        ("sitc2020", 179, "early_loss"),
    ],
)
def test_early_loss_by_rule(name, lost_on, label):
    check({0: 50, 42: 20, lost_on: 60, 190: 60}, RULES[name], label, "after a response")


@pytest.mark.parametrize(("name", "day"), [("jitc2021", 180), ("sitc2023_chemo", 183)])
def test_six_months_are_also_the_exposure_that_acquired_resistance_needs(name, day):
    series = {0: 50, 42: 20, day: 60}
    check(series, RULES[name], "acquired", f"day {day}")
    check(series, RULES[name], "not_determinable", f"the {day} needed", exposure_day=day - 22)
    check(series, RULES[name], "acquired", f"day {day}", exposure_day=day - 21)


# An independent reading of the rules, in exact fractions, one course at a time.


def plain_codes(sizes, rule):
    exact = [max(Fraction(str(x)), Fraction(str(rule.disappeared_mm))) for x in sizes]
    base, codes = exact[0], []
    for i, x in enumerate(exact[1:], start=1):
        nadir = min(exact[:i])
        growth = x - nadir
        back = nadir == 0 or (rule.back_is_progression and "CR" in codes)
        if growth > 0 and (
            back
            or (growth / nadir >= Fraction(1, 5) and growth >= Fraction(str(rule.progression_mm)))
        ):
            codes.append("PD")
        elif x == Fraction(str(rule.disappeared_mm)) < base:
            codes.append("CR")
        elif 1 - x / base >= Fraction(3, 10) or (codes and codes[-1] in ("CR", "PR")):
            codes.append("PR")
        else:
            codes.append("SD")
    return codes


def plain_progression(days, codes, rule, sizes):
    for i, start in enumerate(days):
        run = i
        while run < len(days) and codes[run] == "PD":
            waited = days[run] - start >= rule.confirm_after_day
            if rule.criteria == "irecist":
                growth = Fraction(str(sizes[run])) - Fraction(str(sizes[i]))
                counts = run > i and waited and growth >= Fraction(str(rule.further_mm))
            else:
                counts = waited or not rule.needs_confirmation
            if counts and (i == 0 or codes[i - 1] != "PD"):
                return start
            run += 1
    return None


def plain_response(days, codes, rule):
    """Whether the responses before progression count."""
    if not rule.response_needs_confirmation:
        return bool({"CR", "PR"} & set(codes))
    runs = "".join("R" if code in ("CR", "PR") else "-" for code in codes)
    pairs = [(i, j) for i in range(len(days)) for j in range(i + 1, len(days))]
    wait = rule.response_confirm_after_day
    return any(set(runs[i : j + 1]) == {"R"} and days[j] - days[i] >= wait for i, j in pairs)


def plain_class(day, sizes, rule, dose=None, cycle=None):
    base = max((i for i, d in enumerate(day) if d <= 0), default=0)
    after, codes = day[base + 1 :], plain_codes(sizes[base:], rule)
    if not after or sizes[base] <= rule.disappeared_mm:
        return "not_determinable"
    lost = plain_progression(after, codes, rule, sizes[base + 1 :])
    if lost is None:
        durable = codes[-1] != "PD" and after[-1] >= rule.durable_at_day
        return "durable" if durable else "not_determinable"
    end = after[-1] if dose is None else dose + (rule.cycle_day if cycle is None else cycle)
    dose = after[-1] if dose is None else dose
    if end < rule.minimum_exposure_day or lost - dose > rule.off_treatment_after_day:
        return "not_determinable"
    before = after.index(lost)
    responded = plain_response(after[:before], codes[:before], rule)
    if lost < rule.primary_before_day:
        return rule.early_loss if responded else "primary"
    needed = rule.acquired_exposure_day
    known = lost > after[0] and end >= (rule.primary_before_day if needed is None else needed)
    return "acquired" if known and (responded or rule.stable_is_control) else "not_determinable"


VARIANTS = [
    ZERO_IS_ZERO,
    *(strict(rule) for rule in RULES.values()),
    replace(SITC, response_needs_confirmation=True),
    replace(CONFIRMED, response_needs_confirmation=True),
]
rules = st.sampled_from([*RULES.values(), *VARIANTS])
cycles = st.sampled_from([None, 7, 21, 42])
doses = st.none() | st.integers(0, 500)


@st.composite
def courses(draw, most=1):
    """Days, and `most` or fewer courses of sizes to 0.1 mm, with many ties at the thresholds."""
    gaps = draw(st.lists(st.sampled_from([7, 14, 27, 28, 42, 84]), min_size=1, max_size=9))
    day = np.cumsum([draw(st.sampled_from([-60, -14, 0, 5])), *gaps])
    steps = st.sampled_from([0, 0.5, 0.7, 0.9, 1, 1.1, 1.2, 1.3, 2])
    sizes = []
    for _ in range(draw(st.integers(1, most))):
        factors = draw(st.lists(steps, min_size=len(gaps), max_size=len(gaps)))
        sizes.append([draw(st.sampled_from([4, 6, 20, 25.2, 33.3, 100.1]))])
        for factor in factors:
            sizes[-1].append(round(factor * (sizes[-1][-1] or 12.5), 1))
    return day.tolist(), sizes


@settings(deadline=None)
@given(courses(), rules, doses, cycles)
def test_series_agrees_with_a_plain_reading(course, rule, dose, cycle):
    day, [sizes] = course
    codes = visit_responses(day, sizes, rule)
    assert list(codes) == plain_codes(sizes[baseline_index(day) :], rule)
    label = resistance_class(day, sizes, rule, dose, cycle)[0]
    assert label == plain_class(day, sizes, rule, dose, cycle)


@settings(deadline=None)
@given(courses(most=4), rules, doses, cycles)
def test_many_courses_agree_with_one_by_one(course, rule, dose, cycle):
    day, sizes = course
    one_by_one = [resistance_class(day, x, rule, dose, cycle)[0] for x in sizes]
    assert [CLASSES[c] for c in classify_courses(day, sizes, rule, None, dose, cycle)] == one_by_one


@settings(deadline=None)
@given(courses(most=3), rules, st.sampled_from([0, 1, 6]))
def test_a_known_end_of_follow_up_hides_the_later_scans(course, rule, later):
    day, sizes = course
    for seen, end in enumerate(day, start=1):
        short = classify_courses(day[:seen], np.array(sizes)[:, :seen], rule)
        known = classify_courses(day, sizes, rule, last_day_known=end + later)
        assert (known == short).all()  # scans are seven days apart or more


@pytest.mark.parametrize("end", [42, 69])
def test_confirmation_must_be_seen(end):
    day, size = [0, 42, 70, 400], [50, 60, 60, 50]
    assert CLASSES[classify_courses(day, size, CONFIRMED, last_day_known=end)] == "not_determinable"
    assert CLASSES[classify_courses(day, size, CONFIRMED, last_day_known=70)] == "primary"


def test_an_open_progression_is_not_closed_by_a_scan_that_is_not_seen():
    day, size = [0, 42, 365, 400], [50, 45, 60, 45]
    assert CLASSES[classify_courses(day, size, CONFIRMED, last_day_known=370)] == "not_determinable"
    assert CLASSES[classify_courses(day, size, CONFIRMED)] == "durable"


@settings(deadline=None)
@given(courses(most=3), rules)
def test_progression_is_the_first_pd(course, rule):
    day, sizes = course
    after = day[baseline_index(day) + 1 :]
    for x, at in zip(sizes, progression_day(day, sizes, rule), strict=True):
        codes, later = list(visit_responses(day, x, rule)), x[baseline_index(day) + 1 :]
        first = plain_progression(after, codes, rule, later)
        assert at == (np.inf if first is None else first)


@settings(deadline=None)
@given(courses(), rules, st.integers(1, 200), st.integers(0, 1000))
def test_a_later_scan_never_changes_an_earlier_response(course, rule, gap, size):
    day, [sizes] = course
    longer = visit_responses([*day, max(day[-1], 0) + gap], [*sizes, size / 10], rule)
    assert list(longer[: len(day) - 1 - baseline_index(day)]) == list(
        visit_responses(day, sizes, rule)
    )


@settings(deadline=None)
@given(courses(), rules, st.integers(-6, 6))
def test_only_the_rules_in_mm_know_the_unit(course, rule, power):
    day, [sizes] = course
    scaled = replace(
        rule,
        progression_mm=rule.progression_mm * 2.0**power,
        disappeared_mm=rule.disappeared_mm * 2.0**power,
    )
    codes = visit_responses(day, np.array(sizes) * 2.0**power, scaled)
    assert list(codes) == list(visit_responses(day, sizes, rule))


def test_the_rules_in_mm_do_know_the_unit():
    assert list(visit_responses([0, 42], [20, 24], SITC)) == ["SD"]
    assert list(visit_responses([0, 42], [40, 48], SITC)) == ["PD"]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_random_draws_agree_with_one_by_one(rule):
    rng = np.random.default_rng(7)
    day = np.array([-7, 42, 60, 84, 126, 168, 180, 210, 300, 380])
    size = 40 * np.exp(np.cumsum(rng.normal(0, 0.25, (300, day.size)), axis=1))
    codes = classify_courses(day, size, rule)
    assert [CLASSES[c] for c in codes] == [resistance_class(day, x, rule)[0] for x in size]
    assert len(set(codes)) >= 3  # the draws reach several classes


@pytest.mark.parametrize("pair", [(33.7, 40.44), (11.4, 16.4), (100, 120), (20, 25)])
def test_simulated_courses_reach_a_threshold_that_binary_numbers_miss(pair):
    assert progression_day([0, 42], pair, SITC) == 42
    assert progression_day([0, 42], (pair[0], pair[1] - 1e-4), SITC) == np.inf


@pytest.mark.parametrize(("least", "label"), [(17.64, "early_loss"), (17.6401, "primary")])
def test_simulated_courses_reach_a_response_that_binary_numbers_miss(least, label):
    assert CLASSES[classify_courses([0, 42, 84], [25.2, least, 30], SITC)] == label


def test_courses_keep_their_shape():
    day, size = [0, 42, 200], np.array([[[50, 50, 60], [50, 60, 70]]] * 3)
    assert classify_courses(day, size, SITC).tolist() == [[1, 0]] * 3
    assert classify_courses(day, size, SITC).dtype == np.int8
    assert progression_day(day, size, SITC).tolist() == [[200, 42]] * 3
    assert progression_day(day, size[0, 0], SITC).shape == ()
    assert classify_courses(day, size, SITC, last_day_known=[50, 200]).tolist() == [[4, 0]] * 3
    assert classify_courses(day, size, SITC, last_day_known=[np.nan, 50]).tolist() == [[1, 0]] * 3
    assert classify_courses(day, size, SITC, exposure_day=[30, 84]).tolist() == [[4, 0]] * 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_course_that_failed_spoils_only_itself(bad):
    day, size = [0, 42, 200], np.array([[50, 60, 70], [50, 60, bad], [50, bad, 50]])
    assert classify_courses(day, size, SITC).tolist() == [0, 4, 4]
    assert progression_day(day, size, SITC).tolist()[0] == 42
    assert np.isnan(progression_day(day, size, SITC)[1:]).all()
    assert classify_courses(day, size, SITC, last_day_known=100).tolist() == [0, 0, 4]
    with np.errstate(all="raise"):
        assert CLASSES[classify_courses(day, [bad] * 3, SITC)] == "not_determinable"


@pytest.mark.parametrize(
    ("codes", "best"),
    [("SD PR PD", "PR"), ("PD SD", "SD"), ("PD", "PD"), ("PR CR PD", "CR"), ("", "NE")],
)
def test_best_response(codes, best):
    assert best_response(np.array(codes.split())) == best


def test_best_change():
    assert best_change([-20, 0, 42, 84], [10, 50, 30, 45]) == pytest.approx(-40)
    assert best_change([0, 42], [[50, 60], [50, 0]]).tolist() == pytest.approx([20, -100])
    assert np.isnan(best_change([-20, 0], [50, 40]))
    assert np.isnan(best_change([0, 42], [0, 4]))


@pytest.mark.parametrize("bad", [-3.0, np.nan, np.inf])
def test_an_impossible_size_is_refused(bad):
    with pytest.raises(ValueError, match=rf"size_mm is {bad} on day 42\. Give sizes >= 0"):
        visit_responses([0, 42], [50, bad], SITC)


@pytest.mark.parametrize("day", [[42, 0], [], [0, np.nan], [[0, 42]]])
def test_days_out_of_order_are_refused(day):
    for ask in (visit_responses, resistance_class, classify_courses, progression_day):
        with pytest.raises(ValueError, match="Days must be one or more numbers in rising order"):
            ask(day, [50, 60], SITC)


def test_sizes_and_days_must_match():
    for ask in (visit_responses, resistance_class, classify_courses, progression_day):
        with pytest.raises(ValueError, match="There are 3 days, but sizes of shape"):
            ask([0, 42, 84], [50, 60], SITC)


@pytest.mark.parametrize(
    "wrong",
    [
        {"partial_response": 0.3},
        {"partial_response": -1},
        {"progression": -0.2},
        {"progression_mm": -1},
        {"disappeared_mm": -1},
    ],
)
def test_a_rule_that_points_the_wrong_way_is_refused(wrong):
    with pytest.raises(ValueError, match="needs -1 < partial_response < 0 < progression"):
        Rule("wrong", **wrong)


def test_rules_carry_their_names_and_every_field_is_explained():
    assert all(rule.name == name for name, rule in RULES.items())
    assert [f.name for f in fields(Rule) if f.name not in Rule.__doc__] == []
