"""Classes of fits whose draws are made by hand: parabolas, for which each class can be computed."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pdmodel import Cohort, Fit, Model, Patient, drug, parse_schedules, residual
from pdmodel.dosing import planned
from pdmodel.errors import OptionError
from pdmodel.mechanism import Mechanism
from pdmodel.parameter import Parameter
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

CHAINS, DRAWS = 4, 500
BASELINE = 50.0


def own(name, unit, typical, transform, sd):
    return Parameter(name, unit, typical, name, transform, sd, sd, source="assumption: a test")


PARABOLA = Mechanism(
    name="parabola",
    about="log size = log baseline + slope day + bend day^2 / 2, whatever is given",
    parameters=(
        own("baseline", "mm", BASELINE, "log", 0.5),
        own("slope", "1/day", 0.0, "identity", 0.01),
        own("bend", "1/day^2", 0.0, "identity", 1e-4),
    ),
    answers_to=("pd1_block",),
    initial=lambda p: {"log_ratio": jnp.zeros_like(p["baseline"])},
    rate=lambda t, s, p, a: {"log_ratio": p["slope"] + p["bend"] * t},
    log_size=lambda s, p: jnp.log(p["baseline"]) + s["log_ratio"],
    states={"log_ratio": "log of the size relative to the start"},
    source="assumption: a test",
)
MODEL = Model(PARABOLA, (drug("atezolizumab"),), residual("lognormal"))

GROWS = (0.01, 0.0)  # 52 % in 42 days: progression at the first scan
SHRINKS = (-0.005, 0.0)
LATE = (-0.01, 8e-5)  # smallest, -46 %, on day 125; 20 % above that on day 192.5
EARLY = (-0.01, 1e-4)  # smallest, -39 %, on day 100; 20 % above that on day 160.4


def size_at(slope, bend, day):
    return BASELINE * np.exp(slope * day + bend * day**2 / 2)


def a_patient(name, course, last, **more):
    day = np.arange(0.0, last + 1, 42)
    size = np.maximum(size_at(*course, day), 5.0)
    return Patient(name, "S", "a", day, size, size_at(*course, day) < 5.0, **more)


def a_fit(courses, patients, spoil=lambda values, stats: None, other=SHRINKS, share=()):
    """A healthy fit; of patient k a share of the draws follows its course, and the rest `other`."""
    rng = np.random.default_rng(3)
    cohort = Cohort(tuple(patients))
    shape = (CHAINS, DRAWS, len(cohort))
    values = {"baseline": BASELINE * np.exp(1e-3 * rng.normal(size=shape))}
    values["slope"], values["bend"] = 1e-6 * rng.normal(size=shape), 1e-9 * rng.normal(size=shape)
    for k, patient in enumerate(cohort):
        total = CHAINS * DRAWS
        count = round(dict(share).get(patient.id, 1.0) * total)
        mine = rng.permutation(np.arange(total) < count).reshape(shape[:2])
        for name, here, there in zip(("slope", "bend"), courses[patient.id], other, strict=True):
            values[name][..., k] += np.where(mine, here, there)
    values["scatter"] = 0.05 * np.exp(0.05 * rng.normal(size=shape[:2]))
    for q in MODEL.individual:
        values[f"{q.name}_typical"] = q.typical + 0.3 * q.prior_sd * rng.normal(size=shape[:2])
        values[f"{q.name}_sd"] = q.between * np.exp(0.1 * rng.normal(size=shape[:2]))
    stats = {
        "diverging": np.zeros(shape[:2], bool),
        "energy": rng.normal(size=shape[:2]),
        "n_steps": np.full(shape[:2], 15),
    }
    spoil(values, stats)
    dims = ("chain", "draw", "patient")
    groups = {
        name: xr.Dataset({k: (dims[: v.ndim], v) for k, v in group.items()})
        for name, group in (("posterior", values), ("sample_stats", stats))
    }
    manifest = {
        "options": {"pooling": "partial", "max_depth": 8, "accuracy": "draft"},
        "failed_solves": {"posterior": "0 of 2000"},
    }
    return Fit(MODEL, cohort, xr.DataTree.from_dict(groups), manifest)


CASES = {
    # name: (course, last scan, class by then, class by day 400)
    "grows": (GROWS, 84, "primary", "primary"),
    "shrinks": (SHRINKS, 378, "durable", "durable"),
    "shrinks, short": (SHRINKS, 84, "not_determinable", "durable"),
    "late": (LATE, 252, "acquired", "acquired"),
    "late, short": (LATE, 126, "not_determinable", "acquired"),
    "early": (EARLY, 210, "early_loss", "early_loss"),
    "early, short": (EARLY, 126, "not_determinable", "early_loss"),
    "vanishes": ((-0.02, 0.0), 378, "durable", "durable"),
    "one scan": (GROWS, 0, "not_determinable", "primary"),
}
PATIENTS = tuple(a_patient(name, case[0], case[1]) for name, case in CASES.items())
COURSES = {name: case[0] for name, case in CASES.items()}
FIT = a_fit(COURSES, PATIENTS)
LABELS = classify(FIT)


def label_of(labels, column="label"):
    return dict(zip(labels["patient_id"], labels[column], strict=True))


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
    names = {"most": 0.8, "less": 0.795, "even": 0.5, "none": 0.0}
    patients = [a_patient(name, GROWS, 84) for name in names]
    return a_fit(dict.fromkeys(names, GROWS), patients, share=names)


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


@pytest.mark.parametrize("draws", [1, 7, 333, 1000])
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


def test_other_rules_are_applied_to_both():
    labels = classify(FIT, rule="jitc2021")
    assert label_of(labels)["early"] == label_of(labels, "observed_label")["early"] == "primary"


def test_labels_are_written_as_they_are(tmp_path):
    back = pd.read_csv(write_labels(LABELS, tmp_path / "labels.csv"))
    pd.testing.assert_frame_equal(back, LABELS, check_dtype=False)
