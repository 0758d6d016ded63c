"""Models as values: what stands in them, and what is refused when they are put together."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from pdmodel.action import VOCABULARY, combined
from pdmodel.dosing import Regimen
from pdmodel.errors import ModelError, OptionError, PdmodelError
from pdmodel.library import drug, mechanism
from pdmodel.mechanism import Mechanism
from pdmodel.model import Model
from pdmodel.parameter import Parameter
from pdmodel.residuals import residual

EXHAUSTION, LOGNORMAL = mechanism("exhaustion"), residual("lognormal")
ATEZOLIZUMAB, IPILIMUMAB = drug("atezolizumab"), drug("ipilimumab")
MONO = Model(EXHAUSTION, (ATEZOLIZUMAB,), LOGNORMAL)
COMBINATION = Model(EXHAUSTION, (ATEZOLIZUMAB, IPILIMUMAB), LOGNORMAL)
ONE_DOSE = Regimen(np.array([0.0]), np.array([1200.0]), np.array([1 / 24]))


def extra(name: str) -> Parameter:
    return Parameter(name, "1", 0.5, "a test", prior_sd=1.0, source="assumption: a test")


def test_every_parameter_stands_in_exactly_one_group():
    groups = [
        {q.name for q in group}
        for group in (MONO.individual, MONO.shared, [q for q in MONO.parameters if q.fixed])
    ]
    assert groups[0] == {"baseline", "growth", "kill"}
    assert groups[1] == {"waning", "scatter"}
    assert set.union(*groups) == {q.name for q in MONO.parameters} == set(MONO.typical)
    assert sum(map(len, groups)) == len(MONO.parameters)
    assert [q.name for q in MONO.free] == ["baseline", "growth", "kill", "waning", "scatter"]
    assert set(MONO.constants) == groups[2]


def test_a_parameter_that_needs_an_action_comes_with_the_drug_that_has_it():
    assert "priming_gain" not in {q.name for q in MONO.parameters}
    assert "priming_gain" in {q.name for q in COMBINATION.shared}
    assert MONO.actions == {"pd1_block"}
    assert COMBINATION.actions == {"pd1_block", "ctla4_block"}


def test_a_model_is_a_value():
    again = Model(EXHAUSTION, (ATEZOLIZUMAB,), LOGNORMAL)
    assert again == MONO
    assert hash(again) == hash(MONO)
    assert again != COMBINATION
    assert again != replace(MONO, residual=residual("student_t"))


def test_a_drug_twice_is_refused():
    with pytest.raises(ModelError, match=r"stands twice in the model: \['atezolizumab', 'atezo"):
        Model(EXHAUSTION, (ATEZOLIZUMAB, ATEZOLIZUMAB), LOGNORMAL)


def test_a_drug_whose_actions_are_ignored_is_refused():
    deaf = replace(EXHAUSTION, name="deaf", answers_to=("pd1_block",))
    with pytest.raises(
        ModelError,
        match=r"'ipilimumab' acts through \['ctla4_block'\], which mechanism 'deaf' ignores; "
        r"it answers to \['pd1_block'\]",
    ):
        Model(deaf, (IPILIMUMAB,), LOGNORMAL)


def test_a_name_in_mechanism_and_residual_is_refused():
    both = replace(EXHAUSTION, parameters=(*EXHAUSTION.parameters, extra("scatter")))
    with pytest.raises(
        ModelError,
        match=r"'scatter' is declared twice, in mechanism 'exhaustion' and residual 'lognormal'",
    ):
        Model(both, (), LOGNORMAL)


def test_an_action_that_there_is_not_is_refused():
    with pytest.raises(ModelError, match=r"'x' answers to \['magic'\], which are not actions; kn"):
        replace(EXHAUSTION, name="x", answers_to=("magic",))
    with pytest.raises(ModelError, match=r"'y' acts through \['magic'\], .*known are \['ctla4_bl"):
        replace(ATEZOLIZUMAB, name="y", actions=("magic",))


def test_a_drug_with_a_free_constant_is_refused():
    with pytest.raises(ModelError, match=r"'atezolizumab' leaves \['free'\] free; labelled doses"):
        replace(ATEZOLIZUMAB, parameters=(*ATEZOLIZUMAB.parameters, extra("free")))


def test_a_drug_is_found_by_name_or_the_names_are_listed():
    assert COMBINATION.drug("ipilimumab") is IPILIMUMAB
    with pytest.raises(ModelError, match=r"'nivolumab' is not in the model, which has \['atezo"):
        COMBINATION.drug("nivolumab")


def test_errors_are_ones_that_the_user_can_mend():
    assert issubclass(ModelError, PdmodelError)


# ------------------------------------------------------------------------------------- strengths


def test_strengths_are_given_for_every_action_of_the_mechanism():
    day = np.array([-1.0, 0.02, 0.5, 20.0])
    strengths = MONO.strengths({"atezolizumab": ONE_DOSE}, day)
    assert strengths.keys() == set(EXHAUSTION.answers_to)
    assert (np.asarray(strengths["ctla4_block"]) == 0).all()
    pd1 = np.asarray(strengths["pd1_block"])
    assert pd1[0] == 0
    assert (pd1[1:] > 0.8).all()
    assert (pd1 < 1).all()
    assert all((s == 0).all() for s in MONO.strengths({}, day).values())


def test_strengths_follow_the_concentration():
    day = np.array([3.0, 30.0, 90.0])
    concentration = np.asarray(ATEZOLIZUMAB.pharmacokinetics.concentration(ONE_DOSE, day))
    expected = 0.2 * concentration / (0.2 * concentration + 0.54)
    strengths = ATEZOLIZUMAB.strengths(ONE_DOSE, day)
    np.testing.assert_allclose(strengths["pd1_block"], expected, rtol=1e-12)
    np.testing.assert_array_equal(ATEZOLIZUMAB.strengths(ONE_DOSE, day[:0])["pd1_block"], [])


def test_strengths_hang_on_the_day_alone_however_many_are_asked():
    many = np.linspace(0, 300, 700)
    all_at_once = ATEZOLIZUMAB.strengths(ONE_DOSE, many)["pd1_block"]
    some = ATEZOLIZUMAB.strengths(ONE_DOSE, many[100:103])["pd1_block"]
    np.testing.assert_allclose(some, all_at_once[100:103], rtol=1e-12)


def test_actions_of_several_drugs_join_as_independent():
    half, third = np.array([0.5, 0.0]), np.array([1 / 3, 0.2])
    np.testing.assert_allclose(combined([half, third]), [2 / 3, 0.2])
    np.testing.assert_allclose(combined([half]), half)
    np.testing.assert_allclose(combined([half, np.ones(2)]), 1.0)


def test_pharmacokinetics_are_predicted_from_what_is_known_of_a_patient():
    heavy = {"weight": 120.0, "female": 1, "note": "007", "site": 3}
    predicted = COMBINATION.kinetics(heavy)
    assert predicted.keys() == {"atezolizumab", "ipilimumab"}
    for one in COMBINATION.drugs:
        known = {name: heavy[name] for name in one.population().covariates if name in heavy}
        assert repr(predicted[one.name]) == repr(one.population().typical(known))
    assert predicted["atezolizumab"].clearance > ATEZOLIZUMAB.pharmacokinetics.clearance
    only_one = COMBINATION.kinetics({"ldh": 900.0})  # of which ipilimumab's model alone knows
    assert only_one.keys() == {"ipilimumab"}


def test_of_a_patient_of_whom_nothing_is_known_nothing_is_predicted():
    for nothing in ({}, {"note": "007"}, {"age": 61.5}):
        assert COMBINATION.kinetics(nothing) == {}


def test_a_covariate_in_another_unit_is_refused():
    with pytest.raises(
        OptionError, match=r"'albumin' \(serum albumin\) is 3.8; it must be 8 to 70"
    ):
        MONO.kinetics({"albumin": 3.8})


def test_pharmacokinetics_are_those_of_the_population_model_in_use():
    nivolumab = drug("nivolumab")
    models = [Model(EXHAUSTION, (one,), LOGNORMAL)
              for one in (nivolumab, nivolumab.using("Bajaj 2017"))]  # fmt: skip
    clearances = [one.kinetics({"weight": 100.0})["nivolumab"].clearance for one in models]
    assert clearances[0] != clearances[1]
    assert models[0] != models[1]


def test_a_patients_own_pharmacokinetics_give_other_strengths():
    day = np.array([3.0, 30.0, 90.0])
    fast = replace(ATEZOLIZUMAB.pharmacokinetics, clearance=2.0)
    given, nobody = {"atezolizumab": ONE_DOSE}, {"ipilimumab": fast}
    typical, own, other = (
        MONO.strengths(given, day, kinetics)["pd1_block"]
        for kinetics in (None, {"atezolizumab": fast}, nobody)
    )
    concentration = np.asarray(fast.concentration(ONE_DOSE, day))
    expected = 0.2 * concentration / (0.2 * concentration + 0.54)
    np.testing.assert_allclose(own, expected, rtol=1e-12)
    np.testing.assert_array_equal(other, typical)
    assert (own < typical).all()


def test_the_vocabulary_says_what_each_action_is():
    assert {"pd1_block", "ctla4_block"} <= set(VOCABULARY)
    assert all(name == one.name and one.about for name, one in VOCABULARY.items())


def test_a_mechanism_of_ones_own_needs_one_state_and_no_action():
    own = Mechanism(
        name="exponential",
        about="a test",
        parameters=(extra("start"), extra("rise")),
        answers_to=(),
        initial=lambda p: {"log": jnp.log(p["start"])},
        rate=lambda t, s, p, a: {"log": p["rise"]},
        log_size=lambda s, p: s["log"],
        states={"log": "log size"},
        source="assumption: a test",
    )
    model = Model(own, (), LOGNORMAL)
    assert [q.name for q in model.free] == ["start", "rise", "scatter"]
    assert model.strengths({}, np.zeros(3)) == {}
