"""What comes with the package: every drug, mechanism and curve, found by name and complete."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdmodel.dosing import parse_schedule
from pdmodel.drug import Drug
from pdmodel.errors import ModelError
from pdmodel.library import drug, labelled, mechanism, names
from pdmodel.mechanism import Mechanism
from pdmodel.model import Model
from pdmodel.parameter import Parameter
from pdmodel.residuals import RESIDUALS, residual

DRUGS, MECHANISMS = names("drug"), names("mechanism")


def test_names_are_listed():
    assert {"atezolizumab", "ipilimumab", "nivolumab", "pembrolizumab"} <= set(DRUGS)
    assert {"exhaustion", "stein_fojo", "claret_bruno", "gsf"} <= set(MECHANISMS)
    assert list(DRUGS) == sorted(DRUGS)


@pytest.mark.parametrize("name", DRUGS)
def test_every_drug_has_its_file_s_name_sources_and_a_label_that_can_be_read(name):
    one = drug(name)
    assert isinstance(one, Drug)
    assert one.name == name
    assert one.about
    for population in one.populations:
        known = "10." if population.patients else "assumption"  # a DOI, or a virtual compartment
        assert known in population.source
        assert population.typical().source == population.source
        assert f"{population.patients} patients" in population.typical().population
    assert len({population.name for population in one.populations}) == len(one.populations)
    assert labelled()[name] == one.labelled
    for text in one.labelled:
        assert parse_schedule(f"{name} {text}").drug == name
    alone = parse_schedule(name, labelled=labelled())
    assert alone == parse_schedule(f"{name} {one.labelled[0]}")


@pytest.mark.parametrize("name", DRUGS)
def test_every_drug_acts_between_none_and_all_and_more_with_more(name):
    one = drug(name)
    constants = {q.name: q.typical for q in one.parameters}
    levels = jnp.array([0.0, 0.1, 1.0, 10.0, 100.0, 1e4])
    if name == "radiotherapy":  # whose level is the Gy that are in an hour's compartment
        levels = levels * 7.2e-3 / 1e4
    strengths = one.engage(levels, constants)
    assert strengths.keys() == set(one.actions)
    for strength in strengths.values():
        assert strength[0] == 0
        assert (np.diff(strength) > 0).all()
        assert 0.9 < strength[-1] < 1


@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_is_complete(name):
    one = mechanism(name)
    assert isinstance(one, Mechanism)
    assert one.name == name
    assert one.about
    assert one.source
    assert len({q.name for q in one.parameters}) == len(one.parameters)
    p = {q.name: jnp.asarray(q.typical) for q in one.parameters}
    s, a = one.initial(p), {action: jnp.asarray(0.5) for action in one.answers_to}
    assert s.keys() == set(one.states)
    assert one.rate(jnp.asarray(1.0), s, p, a).keys() == s.keys()
    assert float(one.log_size(s, p)) == pytest.approx(np.log(p["baseline"]))
    change = jax.tree.leaves(one.rate(jnp.asarray(1.0), s, p, a))
    assert np.isfinite(change).all()


@pytest.mark.parametrize("name", MECHANISMS)
def test_what_is_declared_as_the_anchor_shifts_the_log_size_and_nothing_else(name):
    one, rng = mechanism(name), np.random.default_rng(2)
    assert one.anchor == "baseline"
    p = {q.name: jnp.asarray(q.natural(q.centre + 0.3 * rng.normal())) for q in one.parameters}
    far = p | {one.anchor: 7.0 * p[one.anchor]}
    s = {state: jnp.asarray(rng.uniform(0.2, 1.5)) for state in one.states}
    a = {action: jnp.asarray(rng.uniform()) for action in one.answers_to}
    assert one.initial(far) == one.initial(p)
    for day in (-10.0, 0.0, 100.0):
        assert one.rate(jnp.asarray(day), s, far, a) == one.rate(jnp.asarray(day), s, p, a)
    shift = float(one.log_size(s, far) - one.log_size(s, p))
    assert shift == pytest.approx(np.log(7.0), rel=1e-12)


@pytest.mark.parametrize("anchor", ["first", "plateau"])
def test_an_anchor_must_be_a_parameter_on_a_log_scale(anchor):
    one = mechanism("gompertz")
    share = Parameter("plateau", "1", 0.5, "x", transform="logit", source="assumption: a test")
    rest = tuple(q for q in one.parameters if q.name != "plateau")
    with pytest.raises(
        ModelError,
        match=rf"'gompertz' declares the anchor '{anchor}', which is none of its parameters with "
        r"transform 'log'; those are \['approach', 'baseline'\]\.",
    ):
        replace(one, parameters=(*rest, share), anchor=anchor)


@pytest.mark.parametrize("error", RESIDUALS)
@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_goes_with_every_residual_and_the_drugs_that_it_answers_to(name, error):
    one = mechanism(name)
    heard = tuple(d for d in map(drug, DRUGS) if set(d.actions) <= set(one.answers_to))
    model = Model(one, heard, residual(error))
    assert model.free
    assert all(q.about and q.unit and q.source for q in model.parameters)


UNKNOWN = {
    "drug": (drug, "atezolizumb",
             r"There is no drug 'atezolizumb'; known .*'ipilimumab'.*Did you mean 'atezolizumab'"),
    "mechanism": (mechanism, "exaustion",
                  r"There is no mechanism 'exaustion'; .*'stein_fojo'.*Did you mean 'exhaustion'"),
    "nothing alike": (drug, "xyz", r"There is no drug 'xyz'; known are \[[^?]*\]\.$"),
    "a module, not a drug": (drug, "__init__", r"There is no drug '__init__'"),
}  # fmt: skip


@pytest.mark.parametrize(("find", "name", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_there_is_not_is_refused_with_what_there_is(find, name, message):
    with pytest.raises(ModelError, match=message):
        find(name)
