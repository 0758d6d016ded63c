"""Coordinates of a population: its densities, names, correlations and covariates."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import stats

import pdmodel as pdm
from pdmodel.influence import population_scales
from pdmodel.quadrature.coordinates import Coordinates, Traits, log_density, no_traits

pytestmark = pytest.mark.usefixtures("broadcasting")

WALK = pdm.residual("walk")
AGE, TMB = ("age", "tmb")


def held(*free, individual=("volatility",)):
    """The walk with all shared parameters fixed but some."""

    def one(q):
        if q.name in individual or q.name in free:
            return q
        return replace(q, prior_sd=None, between=None)

    return replace(WALK, parameters=tuple(map(one, WALK.parameters)))


TWO = pdm.Model(pdm.mechanism("exponential"), (), held())
NONE = pdm.Model(pdm.mechanism("flat"), (), held("quiet", individual=()))
MANY = pdm.Model(pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), WALK)
MOVED = Coordinates(
    TWO, correlated=True, covariates=(AGE, TMB),
    slopes=(("net_growth", AGE), ("volatility", AGE), ("net_growth", TMB), ("baseline", TMB)),
)  # fmt: skip
TRAITS = Traits(
    jnp.array([[0.5, -1.0], [0.0, 2.0], [1.5, 0.0], [0.0, 0.0]]),
    jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
)


def somewhere(of, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=len(of)))


def test_the_density_of_effects_is_scipys():
    x = somewhere(MOVED)
    name = {key: float(value) for key, value in MOVED.named(x).items()}
    got = MOVED.population(x, TRAITS)
    middle = np.array([name["net_growth_typical"], np.log(name["volatility_typical"])])
    r, sd = (
        name["net_growth_volatility_correlation"],
        (name["net_growth_sd"], name["volatility_sd"]),
    )
    own = np.diag(sd) @ np.array([[1.0, r], [r, 1.0]]) @ np.diag(sd)
    slope = np.array(
        [[name["net_growth_by_age"], name["net_growth_by_tmb"]], [name["volatility_by_age"], 0.0]]
    )
    effects = np.random.default_rng(2).normal(size=(5, 4, 2)) * np.array([0.003, 0.5]) + middle
    found = np.asarray(log_density(jnp.asarray(effects), got))
    for k in range(4):
        loose = slope * np.asarray(TRAITS.missing[k])
        mean = middle + slope @ np.asarray(TRAITS.value[k])
        expected = stats.multivariate_normal(mean, own + loose @ loose.T).logpdf(effects[:, k])
        np.testing.assert_allclose(found[:, k], expected + np.log(2 * np.pi), rtol=1e-9)
    start = (
        np.log(name["baseline_typical"]) + name["baseline_by_tmb"] * np.asarray(TRAITS.value)[:, 1]
    )
    np.testing.assert_allclose(got.start, start, rtol=1e-12)
    wide = np.hypot(name["baseline_sd"], name["baseline_by_tmb"] * np.asarray(TRAITS.missing)[:, 1])
    np.testing.assert_allclose(got.start_sd, wide, rtol=1e-12)


def test_what_is_missing_is_integrated_out():
    """A quadrature over standard normals in place of the missing."""
    x = somewhere(MOVED, 3)
    effects = jnp.asarray([0.002, -2.0])[None, None]
    place, weight = hermegauss(60)
    weight = weight / weight.sum()

    def density(value, missing, patients):
        traits = Traits(jnp.asarray(value), jnp.asarray(missing))
        at = MOVED.population(x, traits)
        return np.exp(np.asarray(log_density(jnp.tile(effects, (1, patients, 1)), at)))[0]

    one = np.stack([place, np.full(60, -0.7)], axis=1)
    brute = weight @ density(one, np.zeros((60, 2)), 60)
    np.testing.assert_allclose(density([[0.0, -0.7]], [[1.0, 0.0]], 1), brute, rtol=1e-6)
    both = np.stack(np.meshgrid(place, place), axis=-1).reshape(-1, 2)
    brute = np.outer(weight, weight).ravel() @ density(both, np.zeros((3600, 2)), 3600)
    np.testing.assert_allclose(density([[0.0, 0.0]], [[1.0, 1.0]], 1), brute, rtol=1e-6)


@pytest.mark.parametrize("of", [MOVED, Coordinates(MANY, correlated=True), Coordinates(NONE)])
def test_names_and_positions_give_one_population(of):
    x = somewhere(of, 4)
    traits = TRAITS if of.covariates else no_traits(4)
    one, two = of.population(x, traits), of.population_of(of.named(x), traits)
    for name, mine, theirs in zip(one._fields, one, two, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, err_msg=name)


def test_correlations_have_the_marginals_of_lkj():
    """Beta on (-1, 1) with both shapes order - 1 + effects / 2, whichever the pair."""
    of = Coordinates(MANY, correlated=True)
    assert (len(of.effects), len(of.pairs)) == (3, 3)
    first, rng = of.names.index("growth_kill_correlation_z"), np.random.default_rng(5)
    y = rng.standard_t(6, size=(40_000, 3))
    x = np.zeros((len(y), len(of)))
    x[:, first : first + 3] = y
    weight = np.asarray(jax.vmap(of.log_prior)(jnp.asarray(x)))
    weight = weight - stats.t(6).logpdf(y).sum(axis=1)
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    named = jax.vmap(of.named)(jnp.asarray(x))
    scales = {name: sd for name, *_, sd in population_scales(MANY, {"correlated": True})}
    for name in [key for key in named if key.endswith("_correlation")]:
        r = np.asarray(named[name])
        beta = stats.beta(2.5, 2.5, -1, 2)
        for p in (0.05, 0.25, 0.5, 0.75, 0.95):
            assert abs(weight @ (r < beta.ppf(p)) - p) < 0.015, (name, p)
        assert scales[name] == pytest.approx(beta.std(), rel=1e-12)


def test_the_prior_of_all_others_is_standard_normal():
    of = Coordinates(TWO, slopes=(("net_growth", AGE),), covariates=(AGE,))
    x = somewhere(of)
    gap = of.log_prior(x) - stats.norm.logpdf(np.asarray(x)).sum()
    assert float(gap - of.log_prior(0 * x)) == pytest.approx(len(of) * 0.5 * np.log(2 * np.pi))
