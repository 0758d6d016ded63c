"""The likelihood against one written by hand, patient by patient, with SciPy alone."""

from dataclasses import replace
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy import stats
from scipy.integrate import solve_ivp

from pdmodel.course import lay_out
from pdmodel.data import Cohort, Patient
from pdmodel.dosing import Regimen, parse_schedule
from pdmodel.errors import DataError
from pdmodel.library import drug, mechanism
from pdmodel.likelihood import evidence, expected_sizes, kinetics_of, log_likelihood
from pdmodel.model import Model
from pdmodel.residuals import residual
from pdmodel.solve import blocked, solve

ATEZOLIZUMAB = drug("atezolizumab")
EVERY_3_WEEKS = parse_schedule("atezolizumab 1200 mg q3w").regimen(160)


def patient(name: str, day: list, size: list, given: Regimen | None) -> Patient:
    size_mm = np.array(size, float)
    regimens = {} if given is None else {"atezolizumab": given}
    return Patient(name, "", "", np.array(day, float), size_mm, size_mm <= 5.0, regimens)


PATIENTS = (
    patient("early scan", [-14, 42, 84, 126, 160], [62, 60, 51, 58, 44], EVERY_3_WEEKS),
    patient("vanishing", [0, 40, 90], [14, 5, 5], EVERY_3_WEEKS.until(42)),
    patient("untreated", [0, 61], [40, 55], None),
)
VALUES = {
    "baseline": np.array([60.0, 13.0, 42.0]),
    "growth": np.array([0.004, 0.012, 0.006]),
    "kill": np.array([0.55, 0.7, 0.2]),
    "waning": np.array([0.003, 0.002, 0.004]),
    "scatter": np.array(0.11),
}


def model(name: str) -> Model:
    return Model(mechanism("exhaustion"), (ATEZOLIZUMAB,), residual(name))


def occupancy(day: float, given: Regimen) -> float:
    pk = ATEZOLIZUMAB.pharmacokinetics
    k10, k12 = pk.clearance / pk.central_volume, pk.intercompartmental / pk.central_volume
    k21 = pk.intercompartmental / pk.peripheral_volume
    alpha, beta = np.roots([1.0, -(k10 + k12 + k21), k10 * k21])
    during = np.clip(day - given.start, 0.0, given.duration)
    after = np.maximum(day - given.start - given.duration, 0.0)
    rate = given.amount / given.duration / pk.central_volume
    free = 0.2 * sum(
        np.sum(share * rate / k * (1.0 - np.exp(-k * during)) * np.exp(-k * after))
        for k, share in (
            (alpha, (alpha - k21) / (alpha - beta)),
            (beta, (k21 - beta) / (alpha - beta)),
        )
    )
    return free / (free + 0.54)


def course_by_hand(k: int) -> np.ndarray:
    """Log sizes at the scans of one patient; rates in 1/day, all constants written out."""
    p = {name: float(np.broadcast_to(value, 3)[k]) for name, value in VALUES.items()}
    given = PATIENTS[k].regimens.get("atezolizumab", Regimen.none())
    exhaustion, reinvigoration, loss, ratio, block = 0.5 / 7, 0.7 / 7, 0.3 / 7, 1.5, 0.9

    def rate(day: float, y: np.ndarray) -> list:
        v, e, x = np.exp(y[0]), y[1], y[2]
        act = occupancy(day, given) * np.exp(-p["waning"] * day) if day > 0 else 0.0
        exhausting = exhaustion * 2 * v / (v + 1) * (1 - block * act) * e
        back = reinvigoration * act * x
        return [
            3 * p["growth"] * (1 - p["kill"] * e),
            loss + exhaustion - loss * e - exhausting + back,
            exhausting - exhaustion / ratio * x - back,
        ]

    days = PATIENTS[k].day
    edges = np.concatenate([days, [0.0], given.start, given.start + given.duration])
    edges = np.unique(edges[(edges >= days[0]) & (edges <= days[-1])])
    y, seen = np.array([0.0, 1.0, ratio]), [0.0]
    for a, b in pairwise(edges):
        y = solve_ivp(rate, (a, b), y, method="LSODA", rtol=1e-9, atol=1e-11).y[:, -1]
        if b in days:
            seen.append(y[0] / 3)
    return np.log(p["baseline"]) + np.array(seen)


def terms_by_hand(name: str, k: int, course: np.ndarray) -> np.ndarray:
    """Log density per mm of each scan, or log probability of at most 5 mm."""
    law = {"lognormal": stats.norm(), "student_t": stats.t(4)}[name]
    size = PATIENTS[k].size_mm
    sd = np.sqrt(0.11**2 + (2.0 / np.maximum(np.exp(course), 5.0)) ** 2)
    z = (np.log(size) - course) / sd
    return np.where(size <= 5.0, law.logcdf(z), law.logpdf(z) - np.log(sd) - np.log(size))


@pytest.mark.parametrize("name", ["lognormal", "student_t"])
def test_every_term_is_what_a_calculation_by_hand_gives(name):
    data = evidence(model(name), PATIENTS)
    terms, ok = log_likelihood(model(name), VALUES, data)
    assert ok.all()
    everything = model(name).constants | VALUES
    mine = {q.name: everything[q.name] for q in model(name).mechanism.parameters
            if q.name in everything}  # fmt: skip
    solved = np.asarray(solve(model(name).mechanism, mine, data.blocks).log_size)
    for k, one in enumerate(PATIENTS):
        got = np.asarray(terms)[k, : len(one.day)]
        course = solved[k, : len(one.day)]
        np.testing.assert_allclose(got, terms_by_hand(name, k, course), rtol=1e-10, atol=1e-10)
        # and with the course by an independent solver
        np.testing.assert_allclose(course, course_by_hand(k), atol=1e-4)
        np.testing.assert_allclose(got, terms_by_hand(name, k, course_by_hand(k)), rtol=1e-3)


@pytest.fixture(scope="module")
def whole():
    return log_likelihood(model("lognormal"), VALUES, evidence(model("lognormal"), PATIENTS))


def test_padding_is_invisible(whole):
    terms = np.asarray(whole[0])
    assert terms.shape == (3, 5)
    for k, one in enumerate(PATIENTS):
        assert (terms[k, len(one.day) :] == 0).all()
        assert (terms[k, : len(one.day)] != 0).all()
        mine = {name: value[k] if value.ndim else value for name, value in VALUES.items()}
        alone, _ = log_likelihood(model("lognormal"), mine, evidence(model("lognormal"), [one]))
        np.testing.assert_allclose(alone[0], terms[k, : len(one.day)], atol=1e-12)


def test_patients_in_another_order_have_the_same_terms(whole):
    order = np.array([2, 0, 1])
    shuffled = evidence(model("lognormal"), [PATIENTS[k] for k in order])
    mine = {name: value[order] if value.ndim else value for name, value in VALUES.items()}
    terms, _ = log_likelihood(model("lognormal"), mine, shuffled)
    np.testing.assert_allclose(terms, np.asarray(whole[0])[order], atol=1e-12)


def test_a_cohort_is_taken_in_its_own_order(whole):
    cohort = Cohort(PATIENTS)
    order = np.array([cohort.keys.index(one.key) for one in PATIENTS])
    back = np.argsort(order)
    mine = {name: value[back] if value.ndim else value for name, value in VALUES.items()}
    terms, _ = log_likelihood(model("lognormal"), mine, evidence(model("lognormal"), cohort))
    np.testing.assert_allclose(np.asarray(terms)[order], whole[0], atol=1e-12)


def test_a_course_that_fails_has_no_terms_and_is_told(whole):
    mine = VALUES | {"growth": np.array([0.004, np.nan, 0.006])}
    terms, ok = log_likelihood(model("lognormal"), mine, evidence(model("lognormal"), PATIENTS))
    assert ok.tolist() == [True, False, True]
    assert (terms[1] == 0).all()
    np.testing.assert_array_equal(np.asarray(terms)[[0, 2]], np.asarray(whole[0])[[0, 2]])


def test_only_differing_scans_change_their_terms(whole):
    other = replace(PATIENTS[0], size_mm=PATIENTS[0].size_mm + np.array([0, 0, 3.0, 0, 0]))
    data = evidence(model("lognormal"), (other, *PATIENTS[1:]))
    terms, _ = log_likelihood(model("lognormal"), VALUES, data)
    changed = np.argwhere(np.asarray(terms) != np.asarray(whole[0]))
    assert changed.tolist() == [[0, 2]]


@pytest.mark.parametrize("wrong", [np.ones(2), np.ones((3, 3))], ids=["too few", "a square"])
def test_a_value_of_another_shape_is_told_by_argument_and_name(wrong):
    data, shape = evidence(model("lognormal"), PATIENTS), ",".join(map(str, wrong.shape))
    message = rf"(?s)likelihood\.log_likelihood.*parameter 'values'.*'growth': f64\[{shape}\]"
    with pytest.raises(TypeCheckError, match=message):
        log_likelihood(model("lognormal"), VALUES | {"growth": wrong}, data)


def test_a_value_of_all_patients_may_have_an_axis_of_one(whole):
    mine = VALUES | {"scatter": np.array([0.11])}
    terms, _ = log_likelihood(model("lognormal"), mine, evidence(model("lognormal"), PATIENTS))
    np.testing.assert_array_equal(terms, whole[0])


def test_arguments_in_another_order_are_told():
    data = evidence(model("lognormal"), PATIENTS)
    with pytest.raises(TypeCheckError, match=r"parameter 'values'"):
        log_likelihood(model("lognormal"), data, VALUES)


def test_doses_of_a_patient_follow_what_is_known_of_the_patient():
    """Who clears a drug faster has less blockade, and a larger tumor; nobody else changes."""
    known = {"weight": 150.0, "albumin": 20.0, "note": "x"}
    mono, one = model("lognormal"), replace(PATIENTS[0], covariates=known)
    fast = mono.kinetics(known)["atezolizumab"]
    assert fast.clearance > 1.3 * ATEZOLIZUMAB.pharmacokinetics.clearance
    sizes = {
        name: np.asarray(expected_sizes(mono, VALUES, evidence(mono, cohort))[0])
        for name, cohort in (("typical", PATIENTS), ("own", (one, *PATIENTS[1:])))
    }
    np.testing.assert_array_equal(sizes["own"][1:], sizes["typical"][1:])
    assert (sizes["own"][0, 1:] > sizes["typical"][0, 1:]).all()
    given = [PATIENTS[0].regimens]
    laid = lay_out(mono, [one.start_day], [one.day], given, kinetics=[{"atezolizumab": fast}])
    mine = {name: value[:1] if np.ndim(value) else value for name, value in VALUES.items()}
    everything = mono.constants | mine
    read = {q.name: everything[q.name] for q in mono.mechanism.parameters if q.name in everything}
    alone = solve(mono.mechanism, read, blocked(laid)).log_size
    np.testing.assert_allclose(sizes["own"][0], alone[0], atol=1e-12)


def test_concentrations_are_drawn_around_those_predicted_for_each_patient_alone():
    mono = model("lognormal")
    one = replace(PATIENTS[0], covariates={"weight": 150.0, "albumin": 20.0, "note": "x"})
    predicted = mono.kinetics(one.covariates)["atezolizumab"]
    drawn = [kinetics_of(mono, [one], seed)[0]["atezolizumab"] for seed in range(60)]
    ratio = np.log([each.clearance / predicted.clearance for each in drawn])
    assert 0.15 < ratio.std() < 0.5  # published: 0.29
    assert abs(ratio.mean()) < 0.15
    among = kinetics_of(mono, (PATIENTS[1], one), 3)[1]["atezolizumab"]
    assert among.clearance == drawn[3].clearance
    sizes = [
        np.asarray(expected_sizes(mono, VALUES, evidence(mono, PATIENTS, drawn=seed))[0])
        for seed in (None, 1, 1, 2)
    ]
    np.testing.assert_array_equal(sizes[1], sizes[2])
    assert (sizes[0][0, 1:] != sizes[1][0, 1:]).all()
    assert (sizes[1][0, 1:] != sizes[3][0, 1:]).all()
    np.testing.assert_array_equal(sizes[0][2], sizes[1][2])  # untreated


def test_a_covariate_that_cannot_be_is_told_with_the_patient():
    wrong = replace(PATIENTS[1], covariates={"weight": 7.0})
    message = (
        r"Patient 'vanishing': Covariate 'weight' \(body weight\) is 7; it must be 20 to 300 kg"
    )
    with pytest.raises(DataError, match=message):
        evidence(model("lognormal"), (PATIENTS[0], wrong))


def test_evidence_holds_the_table():
    data = evidence(model("lognormal"), PATIENTS)
    assert data.patients == 3
    for k, one in enumerate(PATIENTS):
        here = np.asarray(data.visible[k])
        np.testing.assert_array_equal(np.asarray(data.scans.day[k])[here], one.day)
        np.testing.assert_allclose(np.exp(data.scans.log_size[k])[here], one.size_mm, rtol=1e-14)
        np.testing.assert_array_equal(np.asarray(data.scans.censored[k])[here], one.censored)
        assert jnp.isfinite(data.scans.log_size[k]).all()
