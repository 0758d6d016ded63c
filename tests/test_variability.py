"""Population models: effects of covariates by hand, and patients drawn as published."""

from dataclasses import replace
from itertools import pairwise
from math import exp, log

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pdmodel.covariates import COVARIATES, Effect
from pdmodel.dosing import Schedule
from pdmodel.errors import ModelError, OptionError
from pdmodel.library import drug, names
from pdmodel.pharmacokinetics import TwoCompartment
from pdmodel.variability import CL, V1, V2, Eta, PopulationModel, Q

POPULATIONS = {
    f"{name}, {one.name}": one
    for name in names("drug")
    for one in drug(name).populations
    if one.patients  # a virtual compartment is of nobody
}
EVERY = pytest.mark.parametrize("population", POPULATIONS.values(), ids=POPULATIONS)
PLAIN = PopulationModel(
    "Nobody 2000", "doi:none", 3, "nothing", {CL: 0.2, V1: 3.0, Q: 0.5, V2: 3.0}
)


def numbers(one: TwoCompartment) -> tuple[float, ...]:
    """All that moves a concentration; without t50 where clearance does not change."""
    flow = one.clearance, one.central_volume, one.intercompartmental, one.peripheral_volume
    return (*flow, one.emax, one.t50, one.hill) if one.varies else flow


# ---------------------------------------------------------------- covariates

BY_HAND = {
    "pembrolizumab": (
        "Ahamadi 2017",
        {"weight": 60, "albumin": 33, "tumor_size": 150, "egfr": 60, "female": 1, "nsclc": 1,
         "ecog_1_or_worse": 1, "prior_ipilimumab": 1},
        {CL: 0.22 * (60 / 76.8) ** 0.595 * (33 / 39.6) ** -0.907 * (150 / 89.6) ** 0.0872
         * (60 / 88.47) ** 0.135 * 0.848 * 1.145 * 0.9261 * 1.140,
         Q: 0.795 * (60 / 76.8) ** 0.595,
         V1: 3.48 * (60 / 76.8) ** 0.489 * (33 / 39.6) ** -0.208 * 0.866 * 1.0736,
         V2: 4.06 * (60 / 76.8) ** 0.489},
    ),
    "nivolumab": (
        "Zhang 2019",
        {"weight": 100, "egfr": 60, "female": 1, "ecog_1_or_worse": 1, "asian": 1,
         "with_ipilimumab": 1, "with_ipilimumab_3_q3w": 1},
        {CL: 0.2592 * 1.25**0.530 * (2 / 3) ** 0.202 * exp(-0.181 + 0.181 - 0.0354 + 0.227),
         Q: 0.8376 * 1.25**0.530,
         V1: 4.27 * 1.25**0.534 * exp(-0.161), V2: 2.70 * 1.25**0.534,
         "emax": -0.240 - 0.138 - 0.0668},
    ),
    "nivolumab with chemotherapy": (
        "Zhang 2019",
        {"black": 1, "with_chemotherapy": 1},
        {CL: 0.2592 * exp(0.0374 - 0.104), V1: 4.27, "emax": -0.240},
    ),
    "nivolumab with ipilimumab every six weeks": (
        "Zhang 2019",
        {"with_ipilimumab": 1, "with_ipilimumab_1_q6w": 1},
        {CL: 0.2592 * exp(0.159), "emax": -0.3068},
    ),
    "nivolumab in men": (
        "Bajaj 2017",
        {"weight": 60, "egfr": 120, "female": 0, "ecog_1_or_worse": 1, "asian": 1},
        {CL: 0.2256 * 0.75**0.566 * (4 / 3) ** 0.186 * exp(0.172 + 0.165 - 0.125),
         V1: 3.63 * 0.75**0.597 * exp(0.152), V2: 2.78, Q: 0.7704, "emax": -0.295},
    ),
    "atezolizumab": (
        "Stroh 2017",
        {"albumin": 30, "weight": 60, "tumor_size": 100, "antidrug_antibodies": 1, "female": 1},
        {CL: 0.200 * 0.75**-1.12 * (60 / 77) ** 0.808 * (100 / 63) ** 0.125 * 1.159,
         V1: 3.28 * 0.75**-0.350 * (60 / 77) ** 0.559 * 0.871, V2: 3.63 * 0.728, Q: 0.546},
    ),
    "durvalumab": (
        "Abegesah 2025",
        {"albumin": 30, "creatinine_clearance": 60, "ldh": 500, "weight": 60, "female": 1,
         "ecog_1_or_worse": 1, "with_chemotherapy": 1, "biliary_cancer": 1},
        {CL: 0.298 * (30 / 39) ** -0.589 * (60 / 85.66) ** 0.136 * (500 / 247) ** 0.0515
         * (60 / 69.4) ** 0.338 * 0.9499 * 0.839 * 0.837 * 1.166,
         V1: 3.42 * (60 / 69.4) ** 0.515 * 0.860, V2: 1.99, Q: 0.452, "emax": -0.498},
    ),
    "durvalumab with tremelimumab": (
        "Abegesah 2025",
        {"with_tremelimumab_chemotherapy": 1, "bladder_cancer": 1},
        {CL: 0.298 * 0.9071 * 1.0698},
    ),
    "cemiplimab": (
        "Yang 2021",
        {"weight": 60, "albumin": 30, "igg": 12, "alt": 40, "bmi": 22},
        {CL: 0.290 * (f := (60 / 76.2) ** 0.477 * (30 / 38) ** -0.926 * (12 / 9.65) ** 0.184
                      * 2**-0.0795),
         Q: 0.638 * f,
         V1: 3.32 * (v := (60 / 76.2) ** 0.970 * (22 / 26.5) ** -0.560), V2: 1.65 * v,
         "emax": -0.410, "t50": 28.9},
    ),
    "avelumab": (
        "Masters 2022",
        {"weight": 60},
        {CL: 0.6456 * 0.75**0.4714, V1: 3.196 * 0.75**0.4694, V2: 0.7278 * 0.75**0.5826,
         Q: 0.80448 * 0.75, "emax": log(1 - 0.08533)},
    ),
    "ipilimumab": (
        "Sanghavi 2020",
        {"weight": 60, "ldh": 500, "sclc": 1, "first_line": 1, "with_nivolumab": 1,
         "with_nivolumab_1_q3w": 1},
        {CL: 0.3384 * 0.75**0.694 * (log(500) / log(217)) ** 0.703 * exp(-0.124 - 0.0949 + 0.0950),
         Q: 0.6696 * 0.75**0.694, V1: 3.95 * 0.75**0.600, V2: 3.18 * 0.75**0.600,
         "emax": -0.0644 - 0.202, "t50": 105.8, "hill": 7.43},
    ),
    "ipilimumab with nivolumab every two weeks": (
        "Sanghavi 2020",
        {"with_nivolumab": 1, "with_nivolumab_3_q2w": 1},
        {CL: 0.3384 * exp(0.191), "emax": -0.2664},
    ),
    "tremelimumab": (
        "Hwang 2022",
        {"weight": 60, "albumin": 30, "with_durvalumab": 1},
        {CL: 0.276 * (30 / 39) ** -0.996 * (60 / 71) ** 0.638, V1: 3.64 * (60 / 71) ** 0.606,
         Q: 0.357, V2: 2.40, "emax": -0.187, "t50": 95.1, "hill": 3.20},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_HAND)
def test_covariates_act_as_published(case):
    name, covariates, expected = BY_HAND[case]
    found = drug(case.split()[0]).population(name).typical(covariates)
    for parameter, value in expected.items():
        assert getattr(found, parameter) == pytest.approx(value, rel=1e-9), parameter


@EVERY
def test_reference_covariates_change_nothing(population):
    plain = population.typical()
    assert numbers(population.typical(population.covariates)) == numbers(plain)
    assert plain.clearance == population.values["clearance"]
    assert plain.source == population.source
    assert str(population.patients) in plain.population


@EVERY
def test_every_covariate_matters(population):
    for name, x in population.covariates.items():
        one = COVARIATES[name]
        other = {name: 1 - x if one.binary else 0.8 * x}
        needed = {one.needs: 1} if one.needs in population.covariates else {}
        changed = population.typical(other | needed)
        assert numbers(changed) != numbers(population.typical(needed))


def test_who_was_studied_is_told():
    assert drug("nivolumab").population("Bajaj 2017").population == (
        "1895 patients, lung cancer, melanoma and renal cell carcinoma, monotherapy; reference "
        "weight 80 kg, egfr 90 mL/min/1.73 m2, female"
    )
    assert PLAIN.population == "3 patients, nothing"


REFUSED = {
    "unknown": ({"wieght": 70}, r"Zhang 2019 has no covariate 'wieght'; known are weight \(kg\),"),
    "nearly known": ({"wieght": 70}, r"female \(0 or 1\).*Did you mean 'weight'\?"),
    "of another drug": ({"albumin": 40}, "no covariate 'albumin'; known are weight"),
    "half a sex": ({"female": 0.5}, r"'female' \(female sex\) is 0.5; it must be 0 or 1. Leave it"),
    "pounds": ({"weight": 400}, r"'weight' \(body weight\) is 400; it must be 20 to 300 kg"),
    "left out": ({"weight": 400}, "Leave it out for that of the reference patient, 80."),
    "not known": ({"egfr": np.nan}, "is nan; it must be 3 to 500 mL/min/1.73 m2. Leave it out"),
    "half a combination": ({"with_ipilimumab_3_q3w": 1},
                           "'with_ipilimumab_3_q3w' is 1 but 'with_ipilimumab' is not; give both"),
    "ECOG 2": ({"ecog_1_or_worse": 2}, "status of 1 or worse.* is 2; it must be 0 or 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_covariates_are_refused(case):
    covariates, message = REFUSED[case]
    population = drug("nivolumab").population()
    with pytest.raises(OptionError, match=message):
        population.typical(covariates)
    with pytest.raises(OptionError, match=message):
        population.draw(2, 0, covariates)


def test_a_model_without_covariates_says_so():
    with pytest.raises(OptionError, match=r"Nobody 2000 has no covariate 'weight'; known are none"):
        PLAIN.typical({"weight": 70})


# ---------------------------------------------------------------- between patients


@EVERY
def test_drawn_patients_have_the_published_variances_and_covariances(population):
    """Within five standard errors of 20 000 patients, and each mean as well."""
    n = 20_000
    drawn, plain = population.drawn(n, seed=4), population.values
    if population.change == "linear":
        drawn["emax"] = np.expm1(drawn["emax"])
    etas = []
    for one in population.etas.values():
        several = [
            np.log(drawn[name] / plain[name]) if one.scale == "log" else drawn[name] - plain[name]
            for name in one.on
        ]
        for left, right in pairwise(several):  # what shares an effect moves together
            np.testing.assert_allclose(left, right, atol=1e-12)
        etas.append(several[0])
    omega, found = population.omega, np.atleast_2d(np.cov(etas))
    variance = np.diag(omega)
    error = np.sqrt((np.outer(variance, variance) + omega**2) / n)
    assert (np.abs(found - omega) < 5 * error).all()
    assert (np.abs(np.mean(etas, axis=1)) < 5 * np.sqrt(variance / n)).all()
    fixed = set(plain) - {name for one in population.etas.values() for name in one.on}
    assert all((drawn[name] == plain[name]).all() for name in fixed)


@EVERY
def test_the_same_seed_gives_the_same_patients_however_many(population):
    five, three = population.draw(5, seed=7), population.draw(3, seed=7)
    assert [*map(numbers, five[:3])] == [*map(numbers, three)]
    assert numbers(population.draw(1, seed=8)[0]) != numbers(three[0])
    assert len({one.clearance for one in five}) == 5
    assert all(isinstance(one, TwoCompartment) for one in five)


def test_drugs_are_drawn_apart():
    z = [
        np.log(drug(name).population().drawn(500, seed=1)["clearance"])
        for name in ("nivolumab", "ipilimumab")
    ]
    assert abs(np.corrcoef(z)[0, 1]) < 0.2


def test_patients_may_have_covariates_of_their_own():
    population = drug("nivolumab").population()
    weight = np.array([60.0, 80.0, 120.0])
    alike, own = population.drawn(3, 1), population.drawn(3, 1, {"weight": weight, "female": 0})
    np.testing.assert_allclose(own["clearance"], alike["clearance"] * (weight / 80) ** 0.530)
    with pytest.raises(OptionError, match=r"'weight' has shape \(3,\) for 4 patients"):
        population.draw(4, 1, {"weight": weight})
    with pytest.raises(OptionError, match="n is 0; it must be >= 1"):
        population.draw(0, 1)


def test_without_random_effects_all_are_alike():
    assert {*map(numbers, PLAIN.draw(3, 0))} == {numbers(PLAIN.typical())}


# ---------------------------------------------------------------- change of clearance


def by_ode_solver(
    population: PopulationModel, mg: float, every: float, day: np.ndarray
) -> np.ndarray:
    """Solve boluses by the published equations, to ten digits."""
    p = population.values

    def slope(t, a):
        s = t ** p["hill"] / (p["t50"] ** p["hill"] + t ** p["hill"])
        change = 1 + p["emax"] * s if population.change == "linear" else exp(p["emax"] * s)
        exchange = p[Q] * (a[0] / p[V1] - a[1] / p[V2])
        return [-p[CL] * change / p[V1] * a[0] - exchange, exchange]

    amounts, found = np.zeros(2), []
    for start in np.arange(0.0, day[-1], every):
        amounts[0] += mg
        end, wanted = start + every, day[(day > start) & (day <= start + every)]
        solved = solve_ivp(slope, (start, end), amounts, "DOP853", [*wanted, end], rtol=1e-10).y
        found += [*(solved[0, :-1] / p[V1])]
        amounts = solved[:, -1].copy()
    return np.array(found)


FOLLOWED = {"avelumab": (800.0, 14.0, 3e-3), "tremelimumab": (750.0, 28.0, 1e-5)}


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_published_change_of_clearance_is_followed(name):
    """Avelumab's is linear, and followed approximately; tremelimumab's is steeper than others."""
    mg, every, tolerance = FOLLOWED[name]
    population, day = drug(name).population(), np.linspace(1, 364, 97) + 0.25
    regimen = Schedule(name, mg, every, 0.0).regimen(day[-1])
    found = np.asarray(population.typical().concentration(regimen, day))
    expected = by_ode_solver(population, mg, every, day)
    np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_a_linear_change_of_clearance_is_followed_to_a_tenth_of_a_percent():
    population, s = drug("avelumab").population(), np.linspace(0, 1, 1001)
    published = 1 + population.values["emax"] * s
    followed = np.exp(population.typical().emax * s)
    assert np.abs(followed / published - 1).max() == pytest.approx(1.0e-3, rel=0.05)
    assert followed[-1] == pytest.approx(published[-1], rel=1e-12)


# ---------------------------------------------------------------- refused

WRONG = {
    "parameter": ({"effects": (Effect(("volume",), "power", {"weight": 1.0}),)},
                  r"Nobody 2000 has parameters \['volume'\]; known are \['clearance'"),
    "no value": ({"etas": {"Emax": Eta(("emax",), 0.1, "natural")}},
                 r"has no value of \['emax'\]; give what was published"),
    "value": ({"values": {CL: 0.2, "speed": 1.0}}, r"has parameters \['speed'\]"),
    "covariate": ({"effects": (Effect((CL,), "power", {"height": 1.0}),)},
                  r"has covariates \['height'\]; known are \['weight'"),
    "no reference": ({"effects": (Effect((CL,), "power", {"weight": 1.0}),)},
                     r"has no reference of \['weight'\]; give what was published"),
    "covariance": ({"covariances": {("CL", "V9"): 0.1}, "etas": {"CL": Eta((CL,), 0.1)}},
                   r"has covariances of \['V9'\]; known are \['CL'\]"),
    "impossible": ({"covariances": {("CL", "V1"): 0.2},
                    "etas": {"CL": Eta((CL,), 0.1), "V1": Eta((V1,), 0.1)}},
                   "has variances and covariances that no patients can have"),
    "clearance": ({"values": PLAIN.values | {CL: -1.0}}, "clearance -1.0; it must be above 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_impossible_population_models_are_refused(case):
    change, message = WRONG[case]
    with pytest.raises(ModelError, match=message):
        replace(PLAIN, **change)
