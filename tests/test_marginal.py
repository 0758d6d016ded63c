"""Patients integrated out over stored nodes, against integrals over fine grids."""

from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import pdmodel as pdm
from pdmodel import levels
from pdmodel.data.demo import demo_cohort
from pdmodel.keys import key_of
from pdmodel.likelihood import evidence
from pdmodel.look import first_look, log_normal
from pdmodel.marginal import (
    POINTS,
    basis_at,
    chosen_effects,
    features_of,
    integrable,
    log_marginal,
    log_weights,
    places,
    shares,
    split,
    units,
)
from pdmodel.nodes import drawn_nodes, likelihoods, refined, resampled

MODEL = pdm.Model(
    pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), pdm.residual("student_t")
)
SCANS, PATIENTS = 4, 3

pytestmark = pytest.mark.usefixtures("broadcasting")


def first_scans(patient):
    parts = {name: getattr(patient, name)[:SCANS] for name in ("day", "size_mm", "censored")}
    return replace(patient, **parts)


@pytest.fixture(scope="module")
def data(broadcasting):
    cohort = demo_cohort()
    return evidence(MODEL, [first_scans(patient) for patient in cohort.patients[:PATIENTS]])


@pytest.fixture(scope="module")
def look(data):
    return first_look(MODEL, data, key_of(1, "look"), rounds=6)


@pytest.fixture(scope="module")
def stored(data, look):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "RAW", 1024)
        patch.setattr(levels, "LEVELS", 7)
        return levels.tabulated(MODEL, data, look, key_of(1, "nodes"))


def by_grid(data, shared, centre, sd, points=(25, 41, 41)):
    """Log marginal likelihood of each patient by the trapezoid rule over its effects."""
    reach = np.array([0.5, 5.0 * float(sd[1]), 5.0 * float(sd[2])])
    size = np.exp(np.asarray(data.scans.log_size)[:, 0])
    middle = np.stack([np.log(size), *np.broadcast_to(centre[1:, None], (2, len(size)))], axis=1)
    steps = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in points], indexing="ij"), axis=-1)
    mesh = middle + reach * steps.reshape(-1, 1, 3)  # (points, patients, effects)
    prior = stats.norm.logpdf(mesh, np.asarray(centre), np.asarray(sd)).sum(axis=-1)
    height = likelihoods(MODEL, data, jnp.asarray(mesh), shared)
    volume = np.prod([2 * r / (n - 1) for r, n in zip(reach, points, strict=True)])
    return logsumexp(np.asarray(height) + prior, axis=0) + np.log(volume)


def population(look, shift=0.0):
    return look.shared + shift, look.centre + 0.2 * shift, look.sd * (1 + 0.3 * shift)


@pytest.mark.parametrize("shift", [0.3, pytest.param(0.0, marks=pytest.mark.slow)])
def test_nodes_give_the_integral_over_a_fine_grid(data, look, shift):
    shared, centre, sd = population(look, shift)
    at = look._replace(shared=shared, centre=centre, sd=sd)
    found = levels.log_marginals(refined(MODEL, data, at, key_of(2, "fresh"), 4096, 3))
    np.testing.assert_allclose(found, by_grid(data, shared, centre, sd), atol=0.06)


def test_the_stored_likelihood_is_that_of_a_grid_up_to_noise(data, stored):
    """At the mode, and one posterior sd away in each shared parameter."""
    prior_centre, prior_sd = units(MODEL)
    mode = stored.mode
    centre = jnp.array([q.centre + q.sd * mode[f"{q.name}_typical_z"] for q in MODEL.individual])
    spread = [q.iiv * jnp.exp(q.between_spread * mode[f"{q.name}_sd_z"]) for q in MODEL.individual]
    at = jnp.array([mode[f"{q.name}_z"] for q in MODEL.shared])
    for shift in (np.zeros(2), np.array([0.5, 0.0]), np.array([0.0, -0.4])):
        z = at + shift
        known = float(log_marginal(MODEL, stored.table, z, centre, jnp.array(spread)))
        exact = by_grid(data, prior_centre + prior_sd * z, centre, jnp.array(spread)).sum()
        assert known == pytest.approx(exact, abs=0.15)


def test_the_curvature_is_no_wider_than_the_prior(stored):
    assert np.linalg.eigvalsh(stored.covariance).max() <= 1 + 1e-9
    assert np.linalg.eigvalsh(stored.covariance).min() > 0


def test_log_weights_are_likelihood_and_population_over_proposal():
    rng = np.random.default_rng(1)
    effects, drawn = rng.normal(size=(7, 3, 2)), rng.normal(size=(7, 3))
    coefficients, place = rng.normal(size=(POINTS, 7, 3)), rng.uniform(-1, 1, 1)
    basis = np.asarray(basis_at(jnp.asarray(place)))
    centre, sd = np.array([0.3, -1.0]), np.array([0.5, 2.0])
    found = log_weights(features_of(*map(jnp.asarray, (effects, drawn, coefficients))),
                        *map(jnp.asarray, (place, centre, sd)))  # fmt: skip
    normal = stats.norm.logpdf(effects, centre, sd).sum(axis=-1) + np.log(2 * np.pi)
    expected = np.tensordot(basis, coefficients, axes=1) + normal - drawn
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_grid_interpolates_polynomials(dimensions):
    corners = places(dimensions)
    assert len(corners) == POINTS**dimensions
    inverse = np.linalg.inv(np.stack([basis_at(jnp.asarray(place)) for place in corners]))
    powers = list(product(range(POINTS), repeat=dimensions))
    rng = np.random.default_rng(2)
    coefficients = rng.normal(size=len(powers))

    def value(x):
        return sum(c * np.prod(x**p) for c, p in zip(coefficients, powers, strict=True))

    fitted = inverse @ np.array([value(place) for place in corners])
    at = rng.uniform(-1, 1, dimensions)
    assert float(basis_at(jnp.asarray(at)) @ fitted) == pytest.approx(value(at), rel=1e-9)


def test_smoothing_keeps_quadratics_and_weighs_near_levels_most():
    level = jnp.linspace(-1.0, 2.0, 9)
    for z in (-0.9, 0.13, 1.95):
        weight = shares(level, jnp.array(z))
        assert float(weight.sum()) == pytest.approx(1.0)
        quadratic = 3.0 - 2.0 * level + 5.0 * level**2
        assert float(weight @ quadratic) == pytest.approx(3.0 - 2.0 * z + 5.0 * z**2)
    near = np.asarray(shares(level, level[4]))
    assert near.argmax() == 4
    assert np.asarray(shares(jnp.zeros(1), jnp.array(0.4))) == pytest.approx(1.0)


def test_a_parabola_is_found_again_and_a_flat_profile_is_left_wide():
    middle, sd = levels._parabola(-0.5 * ((levels.COARSE - 0.7) / 0.3) ** 2)
    assert middle == pytest.approx(0.7, abs=1e-6)
    assert sd == pytest.approx(0.3, abs=1e-6)
    _, sd = levels._parabola(np.zeros(len(levels.COARSE)))
    assert sd == levels.WIDEST


def test_nodes_stand_for_the_density_they_are_drawn_from(look):
    """The integral of a normal under importance weights is one."""
    nodes = drawn_nodes(jax.random.key(5), look, 20000)
    weight = log_normal(nodes.effects, look.centre, look.sd) - nodes.log_drawn
    share = np.exp(logsumexp(np.asarray(weight), axis=0)) / len(weight)
    np.testing.assert_allclose(share, 1.0, atol=0.08)


def test_resampling_is_in_proportion_to_weight():
    effects = jnp.arange(4.0)[:, None, None] * jnp.ones((4, 2, 1))
    weight = jnp.array([[0.5, 0.0], [0.25, 0.0], [0.25, 0.5], [0.0, 0.5]])
    chosen = np.asarray(resampled(jax.random.key(1), effects, weight, 8))[..., 0]
    assert np.bincount(chosen[:, 0].astype(int), minlength=4).tolist() == [4, 2, 2, 0]
    assert np.bincount(chosen[:, 1].astype(int), minlength=4).tolist() == [0, 0, 4, 4]


def test_effects_are_chosen_by_weight(stored):
    """Their mean over many choices is the weighted mean of the nodes of the nearest level."""
    table = stored.table
    z = jnp.array([float(table.level[3]), float(table.centre[0])])
    centre, sd = stored.looks[3].centre, stored.looks[3].sd
    keys = jax.random.split(jax.random.key(7), 4000)
    effects, effective, far = jax.vmap(
        lambda key: chosen_effects(MODEL, key, table, z, centre, sd)
    )(keys)
    weight = jax.nn.softmax(log_weights(table.features[3], jnp.zeros(1), centre, sd), 0)
    expected = jnp.einsum("np,npe->pe", weight, table.effects[3])
    np.testing.assert_allclose(effects.mean(axis=0), expected, atol=0.15)
    assert float(far.max()) == 0
    assert 1 <= float(effective.min()) <= table.effects.shape[1]


def test_what_is_shared_is_split_into_courses_and_residual():
    assert split(MODEL) == ([0], [1])
    assert integrable(MODEL)
    two = pdm.Model(MODEL.mechanism, (*MODEL.drugs, pdm.drug("ipilimumab")), MODEL.residual)
    assert not integrable(two)  # waning and priming_gain both move courses
