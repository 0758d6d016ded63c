"""Declarations of unknowns: transforms, prior intervals, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pdmodel.errors import ModelError
from pdmodel.parameter import Parameter

SOURCE = "assumption: a test"


def own(**changes) -> Parameter:
    usual = {"name": "growth", "unit": "1/day", "typical": 0.01, "about": "growth", "prior_sd": 0.5,
             "source": SOURCE}  # fmt: skip
    return Parameter(**(usual | changes))


REFUSED = {
    "log of nothing": (
        {"typical": 0.0}, r"'growth' has a typical value of 0.0, outside the support of its log"),
    "log of a negative": ({"typical": -1.0}, r"outside the support of its log transform; choose"),
    "logit of one": ({"typical": 1.0, "transform": "logit"}, r"support of its logit transform"),
    "logit of none": ({"typical": 0.0, "transform": "logit"}, r"support of its logit transform"),
    "no spread": ({"prior_sd": 0.0}, r"'growth' has prior_sd 0.0; it must be above 0"),
    "negative spread": ({"between": -0.1}, r"'growth' has between -0.1; it must be above 0"),
    "NaN spread": ({"prior_sd": float("nan")}, r"'growth' has prior_sd nan; it must be above 0"),
    "own values around a constant": (
        {"prior_sd": None, "between": 0.3}, r"varies between patients but .* give it a prior_sd"),
    "no source": ({"source": ""}, r"'growth' has no source; give a DOI, or say 'assumption"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        own(**changes)


def test_fixed_shared_and_individual_are_told_apart():
    fixed, shared, individual = own(prior_sd=None), own(), own(between=0.8)
    assert (fixed.fixed, fixed.individual) == (True, False)
    assert (shared.fixed, shared.individual) == (False, False)
    assert (individual.fixed, individual.individual) == (False, True)
    assert (fixed.single_sd, shared.single_sd) == (0.0, 0.5)
    assert individual.single_sd == pytest.approx(np.hypot(0.5, 0.8))


TYPICAL = {"log": 0.013, "logit": 0.27, "identity": -2.5}


@pytest.mark.parametrize("transform", TYPICAL)
def test_the_centre_is_the_typical_value_transformed(transform):
    q = own(typical=TYPICAL[transform], transform=transform)
    assert float(q.natural(jnp.asarray(q.centre))) == pytest.approx(q.typical, rel=1e-12)


@given(st.floats(-30, 30), st.floats(-30, 30), st.sampled_from(sorted(TYPICAL)))
def test_values_on_the_natural_scale_are_possible_and_in_order(one, other, transform):
    q = own(typical=TYPICAL[transform], transform=transform)
    low, high = np.asarray(q.natural(jnp.sort(jnp.array([one, other]))))
    assert low <= high
    assert transform == "identity" or low > 0
    assert transform != "logit" or high <= 1


@pytest.mark.parametrize("transform", TYPICAL)
def test_the_interval_holds_90_percent_of_single_patients(transform):
    q = own(typical=TYPICAL[transform], transform=transform, between=0.7)
    low, high = q.interval()
    draws = q.centre + q.single_sd * np.random.default_rng(0).normal(size=40_000)
    natural = np.asarray(q.natural(jnp.asarray(draws)))
    assert np.mean((low < natural) & (natural < high)) == pytest.approx(0.9, abs=0.005)
    assert low < q.typical < high
    wide = q.interval(stats.norm.ppf(0.999))
    assert wide[0] < low < high < wide[1]


def test_a_parameter_is_a_value():
    assert own() == own()
    assert hash(own()) == hash(own())
    assert own() != own(typical=0.02)
