"""Nodes are spread evenly, chosen evenly, and weighed so that few say what many do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from pdmodel.choosing import along_curve, kept, rows_kept
from pdmodel.heights import noise_of
from pdmodel.nodes import Nodes, drawn_nodes, spread_evenly
from pdmodel.quadrature.calibrating import calibrated
from pdmodel.quadrature.climb import Known
from pdmodel.quadrature.integrand import log_marginals, log_marginals_kept

pytestmark = pytest.mark.usefixtures("broadcasting")

MEAN, SD = np.array([0.4, -1.0]), np.array([0.5, 1.5])
"""Of every patient's posterior under the first population: independent normals."""
MANY, FEW, PATIENTS = 1024, 48, 40


@pytest.fixture(scope="module")
def known(broadcasting):
    """What is known of patients whose posteriors are those normals, nodes drawn from them."""
    z = np.random.default_rng(1).standard_normal((256, PATIENTS, 2))
    covariance = np.broadcast_to(np.diag(SD**2), (PATIENTS, 2, 2))
    mean = np.broadcast_to(MEAN, (PATIENTS, 2))
    even = jnp.full((256, PATIENTS), 1 / 256)
    parts = (MEAN, 2.0 * SD, mean, covariance, MEAN + SD * z)
    return Known(*map(jnp.asarray, parts), even)


def height(effects, centre=MEAN, sd=SD):
    """Log density of a normal, less half log 2 pi for each effect, as the nodes have it."""
    return jnp.sum(-0.5 * ((effects - centre) / sd) ** 2 - jnp.log(sd), axis=-1)


def log_mean(nodes, **other):
    value = height(nodes.effects, **other) - nodes.log_drawn
    return np.asarray(logsumexp(np.asarray(value), axis=0) - np.log(len(value)))


@pytest.fixture(scope="module")
def many(known):
    return drawn_nodes(jax.random.key(2), known, MANY)


def test_every_place_in_the_cube_is_as_likely_and_places_are_spread_evenly():
    """By chance the mean of 64 numbers is off by 0.036; of those spread evenly by far less."""
    found = np.asarray(spread_evenly(jax.random.key(3), 64, 500, 3))
    assert found.shape == (64, 500, 3)
    assert np.all((found > 0.0) & (found < 1.0))
    for k in range(3):
        assert stats.kstest(found[7, :, k], "uniform").pvalue > 0.001  # one point, all patients
    off = found.mean(axis=0) - 0.5
    assert np.all(off.std(axis=0) < 0.01)
    assert np.abs(np.corrcoef(off.T)[0, 1]) < 0.2


def test_the_density_of_nodes_is_the_one_they_are_drawn_from(many):
    """The integral of a density under importance weights is one, much closer than by chance."""
    off = log_mean(many)
    weight = np.exp(np.asarray(height(many.effects) - many.log_drawn))
    by_chance = weight.std(axis=0) / np.sqrt(MANY)
    assert np.sqrt(np.mean(off**2)) < 0.5 * by_chance.mean()
    np.testing.assert_allclose(off, 0.0, atol=0.06)


def test_nodes_around_several_looks_have_the_density_of_all_together(known):
    """The integral of either normal is one; around one look alone that of the other is not."""
    away = 6.0 * SD
    other = known._replace(
        centre=known.centre + away, mean=known.mean + away, nodes=known.nodes + away
    )
    nodes = drawn_nodes(jax.random.key(7), known, MANY, other)
    assert nodes.effects.shape == (MANY, PATIENTS, 2)
    for centre in (MEAN, MEAN + away):
        off = log_mean(nodes, centre=centre)
        np.testing.assert_allclose(off, 0.0, atol=0.09)
    alone = drawn_nodes(jax.random.key(7), known, MANY)
    assert np.abs(log_mean(alone, centre=MEAN + away)).max() > 0.3


def test_students_tails_are_as_heavy_as_their_density_says(known):
    """Means of squares under importance weights; kernels alone reach so far."""
    nodes = drawn_nodes(jax.random.key(5), known, 20_000)
    weight = np.exp(np.asarray(height(nodes.effects, sd=2.0 * SD) - nodes.log_drawn)) / 20_000
    square = np.einsum("np,npi->pi", weight, (np.asarray(nodes.effects) - MEAN) ** 2)
    np.testing.assert_allclose(square / (4.0 * SD**2), 1.0, atol=0.05)


def test_neighbours_along_the_curve_are_near_in_every_direction():
    rng = np.random.default_rng(4)
    turned = np.array([[1.0, 0.9], [0.0, 0.3]])
    effects = rng.standard_normal((512, 3, 2)) @ turned
    order = np.asarray(along_curve(jnp.asarray(effects), jnp.full((512, 3), 1 / 512)))
    assert all(sorted(order[:, k]) == list(range(512)) for k in range(3))
    inverse = np.linalg.inv(turned)
    for k in range(3):
        blocks = (effects[order[:, k], k] @ inverse).reshape(32, 16, 2)
        assert np.all(blocks.std(axis=1).mean(axis=0) < 0.45)  # of 1 in all


def test_logs_of_noisy_means_are_brought_back_by_their_noise(many):
    """On average, over choices and patients, most of what few nodes are too low by is gone."""
    target, away = height(many.effects, sd=1.3 * SD), {"centre": MEAN + 2.0 * SD}
    exact = log_mean(many, **away)
    plain, brought = [], []
    for key in jax.random.split(jax.random.key(8), 60):
        nodes = kept(key, many, target, FEW)
        log_weight = jnp.asarray(height(nodes.effects, **away) - nodes.log_drawn)
        plain.append(log_marginals(log_weight) - exact)
        brought.append(log_marginals_kept(log_weight) - exact)
    assert np.mean(plain) < -0.05
    assert abs(np.mean(brought)) < 0.4 * abs(np.mean(plain))


def test_kept_nodes_stand_for_the_target_without_a_bias(many):
    """Over many choices the marginal likelihood is that over all nodes."""
    target = height(many.effects, sd=1.3 * SD)
    away = {"centre": MEAN + 0.5 * SD}
    exact = np.exp(log_mean(many, **away))
    found = [
        np.exp(log_mean(kept(key, many, target, FEW), **away))
        for key in jax.random.split(jax.random.key(6), 60)
    ]
    error = np.std(found, axis=0) / np.sqrt(60)
    assert np.mean(np.abs(np.mean(found, axis=0) - exact) / error) < 1.2  # 0.8 of normals


@pytest.mark.parametrize("crossed", [False, True])
def test_few_nodes_are_weighed_so_that_they_say_what_many_do(many, crossed):
    several = [{}, {"centre": MEAN + 0.7 * SD}, {"sd": 0.8 * SD}]
    heights = jnp.stack([height(many.effects, **other) for other in several])
    row, log_drawn = rows_kept(jax.random.key(7), many, height(many.effects, sd=1.3 * SD), FEW)
    before = Nodes(jnp.take_along_axis(many.effects, row[..., None], axis=0), log_drawn)
    after = calibrated(many, heights, row, log_drawn, crossed=crossed)
    np.testing.assert_array_equal(after.effects, before.effects)
    for other in several:
        exact = log_mean(many, **other)
        off = [np.sqrt(np.mean((log_mean(one, **other) - exact) ** 2)) for one in (before, after)]
        assert off[1] < 0.25 * off[0]
    # and better where it was not asked to agree
    for other in ({"centre": MEAN - 0.4 * SD}, {"centre": MEAN + 0.3 * SD, "sd": 1.1 * SD}):
        exact = log_mean(many, **other)
        off = [np.sqrt(np.mean((log_mean(one, **other) - exact) ** 2)) for one in (before, after)]
        assert off[1] < 0.5 * off[0]
    mean, cross = zip(*(posterior(one) for one in (many, before, after)), strict=True)
    assert np.abs(mean[2] - mean[0]).mean() < 0.25 * np.abs(mean[1] - mean[0]).mean()
    if crossed:
        assert np.abs(cross[2] - cross[0]).mean() < 0.25 * np.abs(cross[1] - cross[0]).mean()


def posterior(nodes):
    """Mean of the effects and of their product, of every patient."""
    weight = np.asarray(jax.nn.softmax(height(nodes.effects) - nodes.log_drawn, axis=0))
    mean = np.einsum("np,npi->pi", weight, nodes.effects)
    return mean, np.einsum("np,np->p", weight, np.prod((nodes.effects - MEAN) / SD, axis=-1))


def test_weights_that_cannot_be_mended_are_left_alone(many):
    """A population no node of a patient knows of: the sums stay as far apart as they were."""
    far = height(many.effects, centre=MEAN + 60.0 * SD)
    heights = jnp.stack([height(many.effects), far])
    row, log_drawn = rows_kept(jax.random.key(8), many, heights[0], FEW)
    found = calibrated(many, heights, row, log_drawn, crossed=False)
    assert np.all(np.isfinite(found.log_drawn))
    assert np.abs(np.asarray(found.log_drawn - log_drawn)).max() <= 2.0
    before = found._replace(log_drawn=log_drawn)
    assert np.abs(log_mean(found)).mean() < 2.0 * np.abs(log_mean(before)).mean() + 0.05


def test_the_noise_of_two_halves_is_that_of_their_mean():
    """Halves that are off by 0.1 and 0.2 nats in 300 patients: the mean by half of their root."""
    rng = np.random.default_rng(9)
    one, other = (sd * rng.standard_normal((2000, 300)) for sd in (0.1, 0.2))
    seen = jnp.arange(300) < 200
    told = [noise_of(a, b, seen) for a, b in zip(one[:200], other[:200], strict=True)]
    total = np.sum(0.5 * (one + other)[:, :200], axis=1)
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(total.std(), rel=0.05)
