"""Why a patient has its label, in words, and how many more scans are expected to give one."""

import numpy as np
import pytest

from parabolas import (
    CASES,
    CHAINS,
    COURSES,
    DRAWS,
    EARLY,
    FIT,
    GROWS,
    LABELS,
    PATIENTS,
    SHRINKS,
    a_fit,
    a_patient,
    label_of,
    mixed_fit,
)
from pdmodel.resistance import classify


@pytest.fixture(scope="module")
def mixed():
    return mixed_fit()


def test_the_reason_is_a_plain_sentence():
    reasons = label_of(LABELS, "reason")
    assert reasons["late"] == (
        "Scans: best change -46 %, progression on day 210, after a response; model: acquired "
        "100 %; resting on the course to the last scan on day 252."
    )
    assert reasons["one scan"] == (
        "Scans: no scan after baseline; model: not determinable 100 %; resting on the course to "
        "the last scan on day 0; a class is expected after 1 more scan, by day 42."
    )
    later = label_of(classify(FIT, horizon=400), "reason")
    assert later["late"] == reasons["late"]
    assert later["shrinks, short"].endswith("to 100 % on a forecast from day 84 to day 400.")


def test_an_undecided_reason_names_both_classes(mixed):
    reason = label_of(classify(mixed, draws=2000), "reason")["less"]
    assert "model: undecided, primary 80 %, not determinable 20 %;" in reason
    nearly = label_of(classify(mixed, draws=2000, horizon=400), "reason")["less"]
    assert "resting to 80 % on the course to the last scan, to 20 % on a forecast" in nearly


def test_the_reason_says_what_is_prior_driven_and_what_is_not_trusted():
    def vague(values, stats):
        values["slope"][..., 0] = 0.0104 * np.random.default_rng(1).normal(size=(CHAINS, DRAWS))
        stats["diverging"][0, 0] = True

    labels = label_of(classify(a_fit(COURSES, PATIENTS[:2], vague)), "reason")
    start = "fit not trusted: 1 of 2000 draws diverged; scans: best change "
    assert all(reason.startswith(start) for reason in labels.values())
    assert "; hardly learnt from the data, so prior-driven: slope; a class" in labels["grows"]
    assert "prior-driven" not in labels["shrinks"]


def test_scans_until_a_class_is_expected_are_those_computed_by_hand():
    """Durable needs a scan on day 365 or later, the others one after their progression."""
    needed = {"shrinks, short": 7, "late, short": 2, "early, short": 1, "one scan": 1}
    scans = label_of(LABELS, "further_scans")
    assert scans == {name: needed.get(name, 0) for name in CASES}
    assert label_of(LABELS, "further_days") == {name: 42 * k for name, k in scans.items()}
    assert label_of(LABELS, "reason")["late, short"].endswith(
        "; a class is expected after 2 more scans, by day 210."
    )


def test_later_scans_are_not_taken_to_tell_what_was_scanned_before(mixed):
    """Half of the draws responded by the last scan, and half did not: that stays open."""
    fit = a_fit({"p": GROWS}, [a_patient("p", GROWS, 210)], other=EARLY, share=[("p", 0.5)])
    row = classify(fit, draws=2000).iloc[0]
    assert row["label"] == "undecided"
    assert np.isnan([row["further_scans"], row["further_days"]]).all()
    assert row["reason"].endswith("; no class is expected within 2 years of further scans.")
    even = classify(mixed, draws=2000).set_index("patient_id").loc["even"]
    assert even["further_scans"] == 7  # the other half of the draws has no class before


def test_what_only_the_forecast_leaves_open_needs_no_scan():
    lost = (-0.01, 3e-5)  # 5 mm above the smallest, 9 mm, on day 501
    fit = a_fit({"p": SHRINKS}, [a_patient("p", SHRINKS, 378)], other=lost, share=[("p", 0.5)])
    row = classify(fit, horizon=700).iloc[0]
    assert (row["label"], row["further_scans"], row["further_days"]) == ("undecided", 0, 0)
    assert row["reason"].endswith(
        "; the scans that were made tell a class, and what is open is the forecast."
    )
