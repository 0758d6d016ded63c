"""Integrals of patients: first sizes by the filter, effects over nodes, against fine grids."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import pdmodel as pdm
from pdmodel.likelihood import evidence
from pdmodel.quadrature.climb import explored, nothing_known, without_nodes
from pdmodel.quadrature.coordinates import Coordinates, log_density, no_traits
from pdmodel.quadrature.integrand import heights, log_marginals, log_weights
from pdmodel.quadrature.rule import laid
from pdmodel.quadrature.series import series
from pdmodel.residual import Scans
from pdmodel.residuals.filter import Reading, filtered, first_read

pytestmark = pytest.mark.usefixtures("broadcasting")

WALK = pdm.residual("walk")


def held(*free, individual=("volatility",)):
    """The walk with all shared parameters fixed but some."""

    def one(q):
        if q.name in individual or q.name in free:
            return q
        return replace(q, prior_sd=None, between=None)

    return replace(WALK, parameters=tuple(map(one, WALK.parameters)))


ONE = pdm.Model(pdm.mechanism("flat"), (), held("quiet"))
TWO = pdm.Model(pdm.mechanism("exponential"), (), held())
NONE = pdm.Model(pdm.mechanism("flat"), (), held("quiet", individual=()))


def walked(patients, seed, growth=0.0):
    """A cohort of random walks on whole mm."""
    rng, people = np.random.default_rng(seed), []
    for k in range(patients):
        scans = 3 + k % 3
        day = 42.0 * np.arange(scans)
        step = 0.1 * np.exp(0.4 * rng.normal()) * rng.normal(size=scans)
        step[0] = 0.2 * rng.normal()
        size = np.round(50 * np.exp(np.cumsum(step) + growth * rng.normal() * day))
        size = np.maximum(size, 5.0)
        person = pdm.Patient(f"P{k}", "s", "a", day, size, size <= 5.0, {}, {})
        people.append(person)
    return pdm.Cohort(tuple(people))


def posed(model, cohort, **how):
    of = Coordinates(model, **how)
    return of, series(evidence(model, cohort, "draft"), no_traits(len(cohort)))


def somewhere(of, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=len(of)))


# --------------------------------------------------------------- first sizes integrated out

DAY = np.array([0.0, 42.0, 90.0, 130.0])
SERIES = {"usual": (41, 43, 37, 40), "small": (8, 6, 7, 9), "too small": (5, 5, 6, 6)}
CLOSE = {"usual": (0.01, 0.1, 0.05), "small": (0.15, 0.25, 0.1), "too small": (0.1, 0.7, 0.5)}
"""Allowed: of the log probability, nats; of the drawn size, mean (in sds) and share of the sd."""
SPREAD = 0.5


def read(sizes):
    size = np.asarray(sizes, float)
    return Scans(jnp.asarray(DAY), jnp.log(size), jnp.asarray(size <= 5.0))


def on_a_grid(residual, expected, scans, p):
    """Places of the first log size, and its log weight with all scans at each."""
    place = np.linspace(-6 * SPREAD, 6 * SPREAD, 6001)
    run = jax.jit(jax.vmap(lambda a: jnp.sum(residual.log_density(expected + a, scans, p))))
    return place, np.asarray(run(jnp.asarray(place))) + stats.norm.logpdf(place, 0, SPREAD)


@pytest.mark.parametrize("name", ["walk", pytest.param("walk_slope", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", SERIES)
def test_a_first_size_is_integrated_out_and_drawn(name, kind):
    """Close to a fine integral of the ordinary filter; least where a tail is taken for a normal."""
    residual, scans = pdm.residual(name), read(SERIES[kind])
    p = {q.name: jnp.asarray(q.typical) for q in residual.parameters}
    first = 7.0 if kind != "usual" else 45.0
    expected = jnp.log(first) + jnp.array([0.0, 0.02, -0.03, 0.0])
    place, weight = on_a_grid(residual, expected, scans, p)
    exact = logsumexp(weight) + np.log(place[1] - place[0])
    got = residual.start.log_density(expected, scans, p, jnp.asarray(SPREAD))
    total, off, spread = CLOSE[kind]
    assert abs(float(jnp.sum(got)) - exact) < total
    keys = jax.random.split(jax.random.key(1), 4000)
    every = jnp.ones(4, bool)
    draw = jax.vmap(
        lambda k: residual.start.draw(k, expected, scans, every, p, jnp.asarray(SPREAD))
    )
    drawn = np.asarray(jax.jit(draw)(keys)) - float(expected[0])
    share = np.exp(weight - logsumexp(weight))
    mean = share @ place
    sd = np.sqrt(share @ (place - mean) ** 2)
    assert abs(drawn.mean() - mean) < off * sd
    assert abs(drawn.std() / sd - 1) < spread


def test_a_first_size_far_from_the_population_keeps_its_probability():
    p = {q.name: q.typical for q in WALK.parameters}
    reading = Reading(jnp.log(6.5), jnp.log(7.5), jnp.asarray(False), jnp.asarray(False))
    values = []
    for centre in (60.0, 80.0):
        known, got = first_read(jnp.log(centre), jnp.asarray(0.05), reading, jnp.log(7.0), p)
        noise = p["reader_share"] ** 2 + (p["reader_mm"] / 7.0) ** 2
        normal = stats.norm(np.log(centre), np.sqrt(0.05**2 + noise))
        exact = normal.logcdf(np.log(7.5)) + np.log1p(
            -np.exp(normal.logcdf(np.log(6.5)) - normal.logcdf(np.log(7.5)))
        )
        assert float(got) == pytest.approx(exact, rel=0.02)
        share = 0.05**2 / (0.05**2 + noise)
        expected = np.log(centre) + share * (np.log(7.5) - np.log(centre))
        assert float(known.mean) == pytest.approx(expected, abs=1e-6)
        values.append(float(got))
    assert values[1] < values[0] - 50


def test_a_first_scan_that_is_not_visible_tells_nothing():
    p = {q.name: q.typical for q in WALK.parameters}
    expected, visible = jnp.log(40.0) + jnp.zeros(4), jnp.zeros(4, bool)
    known, terms = filtered(expected, read(SERIES["small"]), visible, p, spread=jnp.asarray(0.5))
    np.testing.assert_array_equal(terms, 0.0)
    np.testing.assert_allclose(known.mean, np.log(40.0))
    np.testing.assert_allclose(known.variance, 0.25, rtol=1e-6)


# ---------------------------------------------------------------- integrals over the effects


def on_grid(of, it, population, points, wide=7.0):
    """Log marginal likelihood of every patient by a grid, and mean and sd of its effects."""
    sd = np.sqrt(np.sum(np.asarray(population.root)[0] ** 2, axis=1))
    centre = np.asarray(population.centre)[0]
    axes = [c + s * np.linspace(-wide, wide, points) for c, s in zip(centre, sd, strict=True)]
    flat = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)
    effects = jnp.asarray(np.repeat(flat[:, None], it.data.patients, axis=1))
    found = heights(of, it, effects, population)
    weight = np.asarray(found.first + found.rest + log_density(effects, population))
    total = logsumexp(weight, axis=0)
    cell = np.sum([np.log(a[1] - a[0]) - 0.5 * np.log(2 * np.pi) for a in axes])
    share = np.exp(weight - total)
    mean = np.einsum("np,ni->pi", share, flat)
    spread = np.sqrt(np.einsum("np,npi->pi", share, (flat[:, None] - mean) ** 2))
    return total + cell, mean, spread


@pytest.fixture(scope="module")
def rules(broadcasting):
    """Rules of both small models around their priors' centres."""
    out = {}
    for name, model, points in (("one", ONE, 201), ("two", TWO, 61)):
        of, it = posed(model, walked(5, 1, 0.002))
        population = of.population(jnp.zeros(len(of)), it.traits)
        known = nothing_known(of, it, population)
        for turn in range(2):
            key = jax.random.key(turn)
            known = explored(of, it, known, population, key, 256).known
        rule = laid(of, it, known, population, jax.random.key(9), 2048, 128)
        out[name] = (of, it, population, rule, points)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one", "two"])
def test_marginal_likelihoods_over_nodes_are_those_of_a_grid(rules, name):
    """Within 0.04 nats where the nodes were laid; else within four standard errors of the nodes."""
    of, it, population, rule, points = rules[name]
    exact, mean, sd = on_grid(of, it, population, points)
    weight = log_weights(of, it, rule.nodes, population)
    np.testing.assert_allclose(log_marginals(weight), exact, atol=0.04)
    share = np.asarray(jax.nn.softmax(weight, axis=0))
    got = np.einsum("np,npi->pi", share, rule.nodes.effects)
    noise = 4.0 * np.sqrt(np.sum(share**2, axis=0))[:, None]
    assert np.all(np.abs(got - mean) < noise * sd)
    spread = np.sqrt(np.einsum("np,npi->pi", share, (rule.nodes.effects - got) ** 2))
    assert np.all(np.abs(spread / sd - 1.0) < noise)
    for seed in (1, 2, 3):
        away = of.population(0.5 * somewhere(of, seed), it.traits)
        exact, *_ = on_grid(of, it, away, points)
        weight = log_weights(of, it, rule.nodes, away)
        share = np.asarray(jax.nn.softmax(weight, axis=0))
        noise = 4.0 * np.sqrt(np.sum(share**2, axis=0))
        assert np.all(np.abs(log_marginals(weight) - exact) < noise)


def test_where_there_are_no_effects_one_node_is_the_integral_over_the_first_size():
    of, it = posed(NONE, walked(4, 2))
    x = 0.5 * somewhere(of)
    population = of.population(x, it.traits)
    turn = without_nodes(of, it, population)
    rule = laid(of, it, turn.known, population, jax.random.key(1), 2048, 128)
    assert rule.nodes.effects.shape == (1, 4, 0)
    got = np.asarray(log_marginals(log_weights(of, it, rule.nodes, population)))
    named = of.named(x)
    p = {q.name: q.typical for q in WALK.parameters} | {"quiet": named["quiet"]}
    centre, sd = np.log(float(named["baseline_typical"])), float(named["baseline_sd"])
    place = centre + sd * np.linspace(-6, 6, 12_001)
    for k, seen in enumerate(np.asarray(it.data.visible).sum(axis=1)):
        scans = jax.tree.map(lambda x: x[k, :seen], it.data.scans)  # noqa: B023
        run = jax.vmap(lambda a: jnp.sum(WALK.log_density(a + 0 * scans.day, scans, p)))  # noqa: B023
        exact = np.asarray(jax.jit(run)(jnp.asarray(place))) + stats.norm.logpdf(place, centre, sd)
        exact = logsumexp(exact) + np.log(place[1] - place[0])
        assert got[k] == pytest.approx(exact, abs=0.01)
