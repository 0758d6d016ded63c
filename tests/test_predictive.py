"""Probabilities of scans to come: bins that add up to one, and simulation."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pdmodel.residual import SMALLEST_MM, Scans
from pdmodel.residuals import RESIDUALS, residual
from pdmodel.residuals.cut import FAR, cell, cut

DAY = np.array([0.0, 42.0, 85.0, 127.0])
COURSE = np.log(30.0) + np.array([0.0, -0.1, -0.15, -0.2, -0.2, -0.1, 0.0])
TO_COME = np.array([170.0, 212.0, 275.0])
SERIES = {
    "usual": [30, 27, 25, 28], "unchanged": [30, 28, 28, 28], "small": [12, 9, 7, 6],
    "vanished": [20, 9, 5, 5],
}  # fmt: skip
BINS = np.arange(SMALLEST_MM, 160.0)
PATHS, MANY = 1_000, 10_000


def values_of(name):
    return {q.name: jnp.asarray(q.typical) for q in residual(name).parameters}


def scans_of(sizes, day):
    size = jnp.asarray(sizes, float)
    return Scans(jnp.asarray(day), jnp.log(size), size <= SMALLEST_MM)


def course_of(sizes):
    """Start where the scans do."""
    return jnp.asarray(COURSE - COURSE[0] + np.log(sizes[0]))


@pytest.fixture(scope="module")
def found():
    """Give probabilities of bins at the days to come, (3, bins), and scans drawn, (.., 3)."""

    @partial(jax.jit, static_argnums=0)
    def of(name, course, scans, p):
        seen, one = jnp.ones(4, bool), residual(name)

        def chance(key, size):
            ahead = Scans(jnp.asarray(TO_COME), jnp.full(3, jnp.log(size)), jnp.full(3, size <= 5))
            return jnp.exp(one.predictive(key, course, scans, seen, ahead, p))

        def scan(key):
            return one.draw(key, course, scans, seen, jnp.asarray(TO_COME), p).measured

        keys = [jax.random.split(jax.random.key(8 + k), n) for k, n in enumerate((PATHS, MANY))]
        mean = jax.vmap(lambda size: jnp.mean(jax.vmap(lambda k: chance(k, size))(keys[0]), axis=0))
        return mean(jnp.asarray(BINS)).T, jax.vmap(scan)(keys[1])

    @cache
    def by_name(name, series):
        sizes = SERIES[series]
        return tuple(map(
            np.asarray, of(name, course_of(sizes), scans_of(sizes, DAY), values_of(name))
        ))  # fmt: skip

    return by_name


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("name", RESIDUALS)
def test_all_bins_add_up_to_one_at_every_scan_ahead(found, name, series):
    chance, _ = found(name, series)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0, atol=2e-3)  # some are above 160 mm
    assert (chance >= 0).all()


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("name", RESIDUALS)
def test_probabilities_are_those_of_simulated_scans(found, name, series):
    chance, drawn = found(name, series)
    met = np.maximum(np.round(drawn), SMALLEST_MM)
    for k in range(3):
        share = (met[:, k, None] == BINS).mean(axis=0)
        # of the distribution function, so that errors of bins cannot hide each other
        apart = np.abs(np.cumsum(share) - np.cumsum(chance[k])).max()
        # the paths' noise is small beside that of scans drawn, of which theirs is an average
        assert apart < stats.kstwobign.isf(0.001) / np.sqrt(MANY) + 0.005


@pytest.mark.parametrize("name", [n for n, one in RESIDUALS.items() if one.carried])
def test_one_scan_ahead_has_its_density_and_what_is_not_visible_tells_nothing(name):
    one, p = residual(name), values_of(name)
    density, ahead_of = jax.jit(one.log_density), jax.jit(one.predictive)
    for sizes in SERIES.values():
        for size in (5, sizes[-1], sizes[-1] + 2, 60):
            course, day = course_of(sizes)[:5], [*DAY, TO_COME[0]]
            known = density(course, scans_of([*sizes, size], day), p)[-1]
            ahead = ahead_of(
                jax.random.key(0), jnp.insert(course, 4, 9.0),
                scans_of([*sizes, 77.0], [*DAY, 140.0]), jnp.arange(5) < 4,
                scans_of([size], TO_COME[:1]), p,
            )  # fmt: skip
            assert float(ahead[0]) == pytest.approx(float(known), rel=1e-9)


@pytest.mark.parametrize(("name", "law"), [("lognormal", stats.norm), ("student_t", stats.t(4))])
@pytest.mark.parametrize("expected", [80.0, 20.0, 6.0, 2.0])
def test_scatter_has_the_probability_of_the_bin_around_the_course(name, law, expected):
    p = {"scatter": jnp.asarray(0.12), "reader": jnp.asarray(2.0)}
    sd = np.hypot(0.12, 2.0 / max(expected, 5.0))
    sizes = np.array([5.0, 6.0, 20.0, 21.0, 90.0, 1000.0])
    ahead = scans_of(sizes, np.arange(6.0))
    seen = Scans(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1, bool))
    course = jnp.log(jnp.full(7, expected))
    found = residual(name).predictive(
        jax.random.key(0), course, seen, jnp.ones(1, bool), ahead, p
    )  # fmt: skip
    high, low = (np.log((sizes + h) / expected) / sd for h in (0.5, -0.5))
    low[0] = -np.inf
    known = np.where(low > 0, law.sf(low) - law.sf(high), law.cdf(high) - law.cdf(low))
    real = known > 1e-250
    np.testing.assert_allclose(np.exp(found)[real], known[real], rtol=1e-8)
    assert np.isfinite(np.asarray(found)).all()


# ------------------------------------------------------------------- the normal between two numbers


def test_cells_of_a_normal_are_those_of_scipy():
    low = np.concatenate([np.linspace(-29, 28, 400), [-3.0, 0.0, -1e-3, 12.0]])
    for width in (1e-3, 0.1, 1.0, 20.0):
        high = np.minimum(low + width, FAR)
        flip = low > 0
        a, b = np.where(flip, -high, low), np.where(flip, -low, high)
        known = stats.norm.cdf(b) - stats.norm.cdf(a)
        inside, at_low, at_high = cell(jnp.asarray(low), jnp.asarray(high))
        size = np.maximum(known, stats.norm.cdf(np.minimum(a, 0)) * 1e-3)
        assert np.max(np.abs(inside - known) / size) < 1e-11
        np.testing.assert_allclose(at_low, stats.norm.pdf(low), rtol=1e-12)
        np.testing.assert_allclose(at_high, stats.norm.pdf(high), rtol=1e-12)


def test_slopes_of_cells_are_densities():
    ends = jnp.array([[-2.0, -1.0], [-1.0, 0.5], [0.3, 2.0], [9.0, 9.1]]).T
    slope = jax.vmap(jax.grad(lambda a, b: cell(a, b)[0], (0, 1)))(*ends)
    np.testing.assert_allclose(slope[0], -stats.norm.pdf(ends[0]), rtol=1e-12)
    np.testing.assert_allclose(slope[1], stats.norm.pdf(ends[1]), rtol=1e-12)
    bells = jax.vmap(jax.grad(lambda a, b: cell(a, b)[1]))(*ends)
    np.testing.assert_allclose(bells, -ends[0] * stats.norm.pdf(ends[0]), rtol=1e-12)


@pytest.mark.parametrize(("lower", "upper"), [(-0.2, 0.1), (0.3, 0.5), (-30.0, 0.05)])
def test_what_a_cut_leaves_is_that_of_a_fine_grid(lower, upper):
    shift, spread, noise = 0.05, 0.03, 0.002
    part = cut(*(jnp.asarray(x) for x in (0.3, shift, spread, noise, lower, upper)))
    x = np.linspace(shift - 10 * spread**0.5, shift + 10 * spread**0.5, 200_001)
    read = stats.norm.cdf((upper - x) / noise**0.5) - stats.norm.cdf((lower - x) / noise**0.5)
    weight = stats.norm.pdf(x, shift, spread**0.5) * read * (x[1] - x[0])
    known = [np.sum(weight * x**k) for k in range(3)]
    np.testing.assert_allclose([part.inside, part.first, part.second], known, rtol=1e-9)
