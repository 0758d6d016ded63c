"""Courses that are read off against courses that are solved."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdmodel as pdm
from pdmodel.dosing import parse_schedule
from pdmodel.likelihood import evidence
from pdmodel.nodes import Nodes
from pdmodel.quadrature import courses as table
from pdmodel.quadrature.climb import Summit
from pdmodel.quadrature.coordinates import Coordinates, no_traits
from pdmodel.quadrature.integrand import hold, log_weights, shared_by_courses
from pdmodel.quadrature.pool import at_one
from pdmodel.quadrature.series import series
from pdmodel.quadrature.stored import Courses, chebyshev, read_off

pytestmark = pytest.mark.usefixtures("broadcasting")

DRUG = parse_schedule("atezolizumab 1200 mg q3w").regimen(160)


def with_shared(*names):
    """Exhaustion with some parameters the same in all patients, the rest of it as it is."""
    whole = pdm.mechanism("exhaustion")
    own = tuple(replace(q, between=None) if q.name in names else q for q in whole.parameters)
    return pdm.Model(
        replace(whole, parameters=own), (pdm.drug("atezolizumab"),), pdm.residual("walk")
    )


def people(count=4):
    out = []
    for k in range(count):
        day = 42.0 * np.arange(3 + k % 2)
        size = np.round(40.0 + 3.0 * k - 4.0 * np.arange(len(day)))
        given = {"atezolizumab": DRUG}
        out.append(pdm.Patient(f"P{k}", "s", "a", day, size, size < 0, given, {}))
    return pdm.Cohort(tuple(out))


def posed(model, sd=0.3, seed=1):
    """Coordinates, series, nodes around the centre, and a summit as wide as asked for."""
    of, cohort = Coordinates(model), people()
    it = series(evidence(model, cohort, "draft"), no_traits(len(cohort)))
    at = of.population(jnp.zeros(len(of)), it.traits)
    z = jax.random.normal(jax.random.key(seed), (8, len(cohort), len(of.effects)))
    effects = at.centre + 0.7 * jnp.einsum("pij,npj->npi", at.root, z)
    nodes = Nodes(effects, jnp.zeros(effects.shape[:2]))
    return of, it, nodes, Summit(jnp.zeros(len(of)), sd**2 * np.eye(len(of)), None, 1, True)


@pytest.mark.parametrize("names", [(), pytest.param(("growth",), marks=pytest.mark.slow)])
def test_weights_from_what_is_read_off_are_those_from_solved_courses(names):
    of, it, nodes, summit = posed(with_shared(*names))
    assert len(shared_by_courses(of)) == 1 + len(names)  # waning is shared by itself
    courses = table.tabled(of, it, nodes, summit, 1)
    assert courses is not None
    for seed in range(3):
        x = 0.3 * np.random.default_rng(seed).normal(size=len(of))
        population = of.population(jnp.asarray(x), it.traits)
        exact, read = (log_weights(of, it, nodes, population, c) for c in (None, courses))
        np.testing.assert_allclose(read, exact, atol=0.02)
        assert np.ptp(np.asarray(exact)) > 1.0


def test_nothing_is_read_off_beyond_where_it_holds():
    of, it, nodes, summit = posed(with_shared())
    courses = table.tabled(of, it, nodes, summit, 1)
    (k,) = shared_by_courses(of)
    x = np.zeros(len(of))
    assert hold(of, courses, x)
    x[k] = 1.01 * table.REACH * 0.3
    assert not hold(of, courses, x)
    key = jax.random.key(1)
    for one, other in zip(
        *(at_one(of, it, nodes, c, x, key) for c in (None, courses)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_what_is_not_true_to_the_courses_is_not_used(monkeypatch):
    of, it, nodes, summit = posed(with_shared(), sd=1.0)
    monkeypatch.setattr(table, "CLOSE", 0.001)
    assert table.tabled(of, it, nodes, summit, 1) is not None
    monkeypatch.setattr(table, "KNOTS", 4)
    assert table.tabled(of, it, nodes, summit, 1) is None


def test_courses_are_solved_where_too_much_is_shared_or_too_little_fits(monkeypatch):
    assert table.room(4, 8, 4, 4) == 0
    assert table.room(1, 128, 281, 16) == table.KNOTS * 128 * 281 * 16 * 4
    assert table.room(1, 128, 10_000, 100) == 0
    of, it, nodes, summit = posed(with_shared())
    monkeypatch.setattr(table, "LARGEST", 100)
    assert table.tabled(of, it, nodes, summit, 1) is None


def test_between_knots_cubic_polynomials_are_followed_exactly():
    """From one end to the other, of courses that are cubic in what they share."""
    laid = table.layout(1)
    cubic = np.array([0.3, -1.0, 0.7, 2.0])
    stored = np.polynomial.polynomial.polyval(laid.point[:, 0], cubic)
    value = jnp.asarray(stored[:, None, None, None], jnp.float32)
    courses = Courses(value, None, jnp.array([2.0]), jnp.array([0.5]))
    for u in (-1.0, -0.99, -0.5, 0.013, 0.77, 0.99, 1.0):
        got = float(read_off(courses, jnp.array([2.0 + 0.5 * u]))[0, 0, 0])
        assert got == pytest.approx(np.polynomial.polynomial.polyval(u, cubic), abs=1e-6)


def test_a_course_that_escapes_is_followed_closer_from_knot_to_knot():
    """A steep step, as of growth that escapes or not: one polynomial overshoots, knots do not."""
    laid = table.layout(1)
    stored = np.tanh(12.0 * laid.point[:, 0])
    courses = Courses(
        jnp.asarray(stored[:, None, None, None], jnp.float32), None, jnp.zeros(1), jnp.ones(1)
    )
    places = np.linspace(-1.0, 1.0, 301)
    got = [float(read_off(courses, jnp.array([u]))[0, 0, 0]) for u in places]
    exact = np.tanh(12.0 * places)
    one = np.polynomial.Chebyshev.interpolate(lambda u: np.tanh(12.0 * u), 19)
    assert 3.0 * np.abs(got - exact).max() < np.abs(one(places) - exact).max()


@pytest.mark.parametrize("shared", [0, 2, 3])
def test_a_layout_recovers_a_polynomial_of_its_degree(shared):
    laid = table.layout(shared)
    rng = np.random.default_rng(1)
    weight = rng.normal(size=len(laid.power))

    def value(point):
        return np.array([weight @ chebyshev(jnp.asarray(one), laid.power) for one in point])

    coefficient = laid.solver @ value(laid.point)
    np.testing.assert_allclose(coefficient, weight, atol=1e-8)
