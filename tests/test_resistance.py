"""Classes of fits whose draws are made by hand: parabolas, for which each class can be computed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from parabolas import (
    CASES,
    COURSES,
    FIT,
    GROWS,
    LABELS,
    LATE,
    PATIENTS,
    a_fit,
    a_patient,
    label_of,
    mixed_fit,
)
from pdmodel import Cohort, Patient, parse_schedules
from pdmodel.dosing import planned
from pdmodel.errors import OptionError
from pdmodel.regimen import Regimen
from pdmodel.resistance import (
    COLUMNS,
    PROBABILITIES,
    agreement,
    classify,
    exposure,
    visit_days,
    write_labels,
)


def test_each_class_is_found_from_the_scans_alone():
    assert tuple(LABELS.columns) == COLUMNS
    assert label_of(LABELS) == {name: case[2] for name, case in CASES.items()}
    assert (LABELS["confidence"] == 1).all()
    assert label_of(LABELS, "observed_label") == label_of(LABELS)


def test_a_horizon_moves_what_was_open_into_classes():
    later = classify(FIT, horizon=400)
    assert label_of(later) == {name: case[3] for name, case in CASES.items()}
    assert label_of(later, "observed_label") == label_of(LABELS, "observed_label")
    assert label_of(classify(FIT, horizon=0)) == label_of(LABELS)


def test_visits_go_on_every_six_weeks_and_end_on_the_horizon():
    patient = PATIENTS[0]
    assert visit_days(patient, None).tolist() == [0, 42, 84]
    assert visit_days(patient, 84).tolist() == [0, 42, 84]
    assert visit_days(patient, 100).tolist() == [0, 42, 84, 100]
    assert visit_days(patient, 168).tolist() == [0, 42, 84, 126, 168]
    assert visit_days(patient, 170).tolist() == [0, 42, 84, 126, 168, 170]


@pytest.fixture(scope="module")
def mixed():
    return mixed_fit()


def test_probabilities_are_shares_of_draws_and_labels_obey_the_certainty(mixed):
    labels = classify(mixed, draws=2000).set_index("patient_id")
    assert labels["p_primary"].to_dict() == {"most": 0.8, "less": 0.795, "even": 0.5, "none": 0.0}
    assert labels.loc["most", "label"] == "primary"
    assert labels.loc["less", "label"] == "undecided"
    assert labels.loc["none", "label"] == "not_determinable"
    assert labels["confidence"].to_dict() == {"most": 0.8, "less": 0.795, "even": 0.5, "none": 1.0}
    loose = classify(mixed, draws=2000, certainty=0.79).set_index("patient_id")
    assert loose.loc["less", "label"] == "primary"
    strict = classify(mixed, draws=2000, certainty=1).set_index("patient_id")
    assert strict.loc["most", "label"] == "undecided"


@pytest.mark.parametrize("draws", [1, 333])
def test_probabilities_sum_to_one(mixed, draws):
    for horizon in (None, 365):
        total = classify(mixed, draws=draws, horizon=horizon)[list(PROBABILITIES)].sum(axis=1)
        np.testing.assert_allclose(total, 1, atol=1e-12)


def test_draws_that_cannot_be_solved_are_not_determinable():
    def fail(values, _):
        values["slope"][0, :, 0] = np.nan

    labels = classify(a_fit(COURSES, PATIENTS[:2], fail), draws=2000)
    assert label_of(labels, "p_not_determinable") == {"grows": 0.25, "shrinks": 0}
    assert label_of(labels)["grows"] == "undecided"
    assert "R-hat unknown" in label_of(labels, "reason")["grows"]


def test_neither_order_nor_company_changes_a_row():
    turned = classify(a_fit(COURSES, PATIENTS[::-1]))
    pd.testing.assert_frame_equal(turned, LABELS)
    fewer = FIT.posterior.isel(patient=[0, 3])
    chosen = tuple(FIT.cohort.patients[k] for k in (0, 3))
    tree = xr.DataTree.from_dict(
        {"posterior": fewer, "sample_stats": FIT.tree["sample_stats"].to_dataset()}
    )
    alone = classify(replace(FIT, cohort=Cohort(chosen), tree=tree))
    pd.testing.assert_frame_equal(alone, LABELS.iloc[[0, 3]].reset_index(drop=True))


def test_the_same_question_gets_the_same_answer(mixed):
    pd.testing.assert_frame_equal(classify(mixed, draws=100), classify(mixed, draws=100))


def test_the_scans_speak_for_themselves():
    noisy = replace(PATIENTS[2], size_mm=np.array([50.0, 62.0, 50.0]))
    labels = classify(a_fit(COURSES, [noisy]))
    assert label_of(labels, "observed_label") == {"shrinks, short": "primary"}
    assert label_of(labels) == {"shrinks, short": "not_determinable"}
    gone = Patient("grows", "S", "a", np.array([0.0, 42.0, 84.0]), np.array([50.0, 7.0, 12.0]),
                   np.array([False, True, False]))  # fmt: skip
    told = classify(a_fit(COURSES, [gone]))
    assert told["observed_label"].item() == "early_loss"  # 12 mm is progression from 5, not from 7
    assert "best change -90 %" in told["reason"].item()


def test_resistance_needs_exposure():
    once = planned(parse_schedules("atezolizumab 1200 mg q3w x2"), 252)
    going_on = parse_schedules("atezolizumab 1200 mg q3w")
    patients = (
        a_patient("table", LATE, 252, regimens=once),
        a_patient("on", LATE, 126, schedules=going_on, regimens=planned(going_on, 126)),
        a_patient("off", LATE, 126, schedules=parse_schedules("atezolizumab 1200 mg q3w x8")),
    )
    fit = a_fit(dict.fromkeys(("table", "on", "off"), LATE), patients)
    labels = classify(fit, horizon=300)
    assert label_of(labels) == {"on": "acquired", "table": "not_determinable",
                                "off": "not_determinable"}  # fmt: skip
    reasons = label_of(labels, "reason")
    assert reasons["off"].endswith(
        "resting to 0 % on the course to the last scan, to 100 % on a forecast from day 126 to "
        "day 300 with no dose after day 147; no class is expected within 2 years of further scans."
    )
    assert "no dose" not in reasons["on"]


@pytest.mark.parametrize(
    ("doses", "expected"),
    [
        ([0, 21], (21, 21)),
        ([0], (0, np.nan)),
        ([0, 14, 28, 70], (70, 14)),
    ],
)
def test_exposure_is_told_from_the_doses(doses, expected):
    given = Regimen(doses, [1200.0] * len(doses), [0.0] * len(doses))
    patient = a_patient("p", GROWS, 84, regimens={"atezolizumab": given})
    assert exposure(patient, 84) == pytest.approx(expected, nan_ok=True)


def test_a_dose_of_0_mg_was_not_given_and_the_longest_cycle_counts():
    skipped = Regimen([0, 21, 42], [1200.0, 1200.0, 0.0], [0.0] * 3)
    rare = Regimen([0], [80.0], [0.0])
    patient = a_patient("p", GROWS, 84, regimens={"atezolizumab": skipped, "ipilimumab": rare})
    assert exposure(patient, 84) == (21, 21)
    every = parse_schedules("nivolumab 240 mg q2w x2 + ipilimumab 80 mg q6w x1")
    patient = a_patient("p", GROWS, 84, schedules=every, regimens=planned(every, 84))
    assert exposure(patient, 84) == (14, 28)
    assert exposure(a_patient("p", GROWS, 84), 84) is None


def test_two_doses_and_a_progression_with_the_third_due_are_primary_resistance():
    twice = {"atezolizumab": Regimen([0, 21], [1200.0] * 2, [0.0] * 2)}
    patient = replace(PATIENTS[0], id="twice", regimens=twice)
    patient = replace(patient, day=patient.day[:2], size_mm=patient.size_mm[:2],
                      censored=patient.censored[:2])  # fmt: skip
    labels = classify(a_fit({"twice": GROWS}, [patient]))
    assert label_of(labels, "observed_label") == label_of(labels) == {"twice": "primary"}


def test_agreement_counts_scans_against_model(mixed):
    table = agreement(classify(mixed, draws=2000))
    assert table.loc["primary"].to_dict() == {
        "primary": 1, "acquired": 0, "early_loss": 0, "durable": 0, "not_determinable": 1,
        "undecided": 2,
    }  # fmt: skip
    assert table.to_numpy().sum() == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "recist"}, r"There is no rule 'recist'; known are \['jitc2021'"),
        ({"certainty": 0.5}, r"certainty is 0.5; it must be above 0.5"),
        ({"certainty": 1.1}, r"certainty is 1.1"),
        ({"horizon": np.nan}, r"horizon is nan; give a day"),
        ({"draws": 0}, r"draws is 0; it must be >= 1"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        classify(FIT, **options)


def test_other_rules_are_applied_to_both():
    labels = classify(FIT, rule="jitc2021")
    assert label_of(labels)["early"] == label_of(labels, "observed_label")["early"] == "primary"


def test_labels_are_written_as_they_are(tmp_path):
    back = pd.read_csv(write_labels(LABELS, tmp_path / "labels.csv"))
    pd.testing.assert_frame_equal(back, LABELS, check_dtype=False)
