"""Walks between scans: their filter against particles, their probabilities, and their draws."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.linalg import expm

from pdmodel.residual import Scans
from pdmodel.residuals import residual
from pdmodel.residuals.filter import USUAL, filtered
from pdmodel.residuals.paths import GONE_MM
from pdmodel.residuals.slope import Slope, ride

WALK, SLOPE = residual("walk"), residual("walk_slope")
TYPICAL = {q.name: q.typical for q in SLOPE.parameters}
STEEP = {"slope_start": 0.003, "slope_mean": -0.001, "slope": 0.002, "slope_days": 60.0,
         "trend": 0.0005}  # fmt: skip
"""Slopes that tell: a sd of a third of the size over a scan or two."""
WALKS = {"walk": {}, "walk_slope": STEEP}
PARTICLES = 100_000
DAY = np.array([-9.0, 40.0, 85.0, 128.0, 170.0, 240.0, 281.0])
EXPECTED = np.log(40.0) + np.array([0.0, 0.05, -0.1, -0.2, -0.25, -0.2, -0.1])
SERIES = {
    "usual": [41, 43, 38, 36, 35, 36, 39],
    "unchanged": [40, 40, 40, 40, 40, 40, 40],
    "jump": [40, 39, 37, 36, 35, 52, 60],
    "small": [12, 11, 9, 7, 6, 6, 8],
    "vanishing": [12, 9, 5, 5, 5, 5, 5],
    "coming back": [20, 12, 5, 5, 9, 12, 14],
    "volatile": [40, 31, 45, 27, 40, 62, 33],
}


def scans_of(sizes, day=DAY):
    size = np.asarray(sizes, float)
    return Scans(jnp.asarray(day[: len(size)]), jnp.log(size), jnp.asarray(size <= 5.0))


def centred(sizes):
    return EXPECTED - EXPECTED[0] + np.log(sizes[0])


class Particles(NamedTuple):
    """Log probability of each scan given those before, its standard error, and where all are."""

    terms: np.ndarray
    errors: np.ndarray
    log_size: np.ndarray
    gone: np.ndarray
    slope: np.ndarray
    path: np.ndarray  # of the log size over the scans


def ridden(rng, slope, days, p, parts=20):
    """Follow slopes in small steps; what they add to the log size, and the slopes then."""
    rise, dt = p["trend"] * days, days / parts
    kept = np.exp(-dt / p["slope_days"])
    for _ in range(parts):
        then = kept * slope + p["slope"] * np.sqrt(1 - kept**2) * rng.normal(size=len(slope))
        rise, slope = rise + 0.5 * dt * (slope + then), then
    return rise, slope


def by_particles(expected, sizes, p, seed, *, sloping=False):
    """Filter by simulation."""
    rng = np.random.default_rng(seed)
    log_size, gone = np.full(PARTICLES, expected[0]), np.zeros(PARTICLES, bool)
    slope = p["slope_mean"] + p["slope_start"] * rng.normal(size=PARTICLES)
    path = np.empty((0, PARTICLES))

    def read(log_size, size):
        error = np.sqrt(
            p["reader_share"] ** 2 + (p["reader_mm"] / np.maximum(np.exp(log_size), 5.0)) ** 2
        )
        high = stats.norm.cdf((np.log(size + 0.5) - log_size) / error)
        low = stats.norm.cdf((np.log(size - 0.5) - log_size) / error) if size > 5 else 0.0
        return high - low

    terms, errors = [], []
    for j, size in enumerate(sizes):
        weight = read(log_size, size)
        if j:
            days = DAY[j] - DAY[j - 1]
            s = p["volatility"] * (days / 42.0) ** (p["time_power"] / 2)
            jump = 1 - np.exp(-p["jump"] * days)
            weights = [p["quiet"], (1 - p["quiet"]) * (1 - p["wide"]), (1 - p["quiet"]) * p["wide"]]
            kind = rng.choice(4, PARTICLES, p=[*(w * (1 - jump) for w in weights), jump])
            sd = np.array([p["quiet_scale"] * s, s, p["wide_scale"] * s, p["jump_sd"]])
            step = sd[kind] * rng.normal(size=PARTICLES) + (kind == 3) * p["jump_mean"]
            odds = np.log(p["vanish"] / (1 - p["vanish"]))
            odds = odds - p["vanish_slope"] * (log_size - np.log(10.0))
            vanishes = ~gone & (rng.uniform(size=PARTICLES) < 1 / (1 + np.exp(-odds)))
            odds = np.log(p["unchanged"] / (1 - p["unchanged"]))
            odds = odds - p["unchanged_slope"] * np.log(p["volatility"] / USUAL)
            still = ~gone & ~vanishes & (rng.uniform(size=PARTICLES) < 1 / (1 + np.exp(-odds)))
            back = gone & (rng.uniform(size=PARTICLES) > np.exp(-p["comeback"] * days))
            moved = log_size + (expected[j] - expected[j - 1]) + step
            if sloping:
                rise, slope = ridden(rng, slope, days, p)
                moved += rise
                slope = np.where(back, p["slope"] * rng.normal(size=PARTICLES), slope)
            new = np.log(p["comeback_size"]) + p["comeback_sd"] * rng.normal(size=PARTICLES)
            log_size = np.where(still, log_size, np.where(back, new, moved))
            gone = (gone & ~back) | vanishes
            weight = np.where(still, float(size == sizes[j - 1]), read(log_size, size))
            weight = np.where(gone, float(size <= 5), weight)
        terms.append(np.log(weight.mean()))
        errors.append(weight.std() / weight.mean() / np.sqrt(PARTICLES))
        chosen = rng.choice(PARTICLES, PARTICLES, p=weight / weight.sum())
        log_size, gone, slope = log_size[chosen], gone[chosen], slope[chosen]
        path = np.vstack([path[:, chosen], log_size])
    return Particles(np.array(terms), np.array(errors), log_size, gone, slope, path)


@pytest.fixture(scope="module")
def densities():
    return {name: jax.jit(residual(name).log_density) for name in WALKS}


@pytest.fixture(scope="module")
def log_density(densities):
    return densities["walk"]


@pytest.mark.parametrize("volatility", [0.03, 0.12])
@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("walk", WALKS)
def test_the_filter_agrees_with_particles(densities, walk, name, volatility):
    sizes, p = SERIES[name], TYPICAL | WALKS[walk] | {"volatility": volatility}
    expected = centred(sizes)
    terms = np.asarray(densities[walk](jnp.asarray(expected), scans_of(sizes), p))
    known, errors, *_ = by_particles(expected, sizes, p, seed=1, sloping=walk == "walk_slope")
    noise = 4 * np.sqrt(np.sum(errors**2))
    assert abs(np.sum(terms - known)) < 0.05 + noise  # of the whole series
    # where rounding is coarse against quiet steps, a scan may gain what the next loses
    assert np.abs(terms - known).max() < (0.13 if max(sizes) < 25 else 0.03) + noise


def test_probabilities_of_all_readings_add_up_to_one():
    p = TYPICAL | {"volatility": 0.1}

    @jax.jit
    def all_of_them(before, expected):
        def last(size):
            whole = jnp.append(before, size)
            scans = Scans(jnp.asarray(DAY[: len(before) + 1]), jnp.log(whole), whole <= 5.0)
            return WALK.log_density(expected, scans, p)[-1]

        return jnp.sum(jnp.exp(jax.vmap(last)(jnp.arange(5.0, 200.0))))

    for before in ([20, 18, 17], [20, 9, 6], [20, 9, 5], [20, 5, 5]):
        total = all_of_them(jnp.array(before, float), jnp.asarray(centred(before)[:4]))
        assert float(total) == pytest.approx(1.0, abs=2e-4)


@pytest.mark.parametrize("walk", WALKS)
def test_gradients_are_those_of_differences(walk):
    expected, scans = jnp.asarray(centred([40] * 7)), scans_of(SERIES["jump"])
    typical = TYPICAL | {"trend": 1e-4, "slope_mean": 1e-3}
    names = [q.name for q in residual(walk).parameters if not q.fixed]

    @jax.jit
    def value(log_values, course):
        p = typical | {n: jnp.exp(x) for n, x in zip(names, log_values, strict=True)}
        return jnp.sum(residual(walk).log_density(course, scans, p))

    at = jnp.log(jnp.array([typical[n] for n in names]))
    slopes = jax.grad(value, (0, 1))(at, expected)
    for which, point in enumerate((at, expected)):
        for k in range(len(point)):
            h = 1e-5 * jnp.eye(len(point))[k]
            ends = [
                value(*((point + s * h, expected) if which == 0 else (at, point + s * h)))
                for s in (1, -1)
            ]
            difference = float(ends[0] - ends[1]) / 2e-5
            assert float(slopes[which][k]) == pytest.approx(difference, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("walk", WALKS)
def test_far_readings_and_courses_keep_values_and_gradients_finite(densities, walk):
    log_density = densities[walk]
    for drift in (-50.0, 0.0, 50.0):
        expected = jnp.log(40.0) + drift * jnp.arange(7.0)
        for sizes in ([40, 40, 400, 5, 200, 40, 5], [1000] * 7, [5, 5, 30, 5, 6, 6, 5]):
            slope = jax.grad(lambda x, s=sizes: jnp.sum(log_density(x, scans_of(s), TYPICAL)))
            assert np.isfinite(np.asarray(slope(expected))).all()


def test_second_derivatives_are_those_of_differences(densities):
    scans, course = scans_of(SERIES["usual"]), jnp.asarray(EXPECTED)
    slope = jax.jit(jax.grad(lambda v: jnp.sum(
        WALK.log_density(course, scans, TYPICAL | {"volatility": v}))))  # fmt: skip
    curve = float(jax.jit(jax.jacfwd(slope))(0.1))
    difference = float(slope(0.1 + 1e-6) - slope(0.1 - 1e-6)) / 2e-6
    assert curve == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("name", SERIES)
def test_a_slope_that_is_none_changes_nothing(densities, name):
    sizes, none = SERIES[name], dict.fromkeys(("slope_start", "slope"), 1e-9)
    expected = jnp.asarray(centred(sizes))
    plain = densities["walk"](expected, scans_of(sizes), TYPICAL)
    flat = densities["walk_slope"](expected, scans_of(sizes), TYPICAL | none)
    np.testing.assert_allclose(flat, plain, atol=2e-6)
    if min(sizes) <= 5:  # what comes back has a slope of its own
        return
    # and a known slope is a drift of the mechanism
    known = TYPICAL | none | {"slope_mean": 0.002, "slope_days": 1e7, "trend": 0.001}
    steady = densities["walk_slope"](expected, scans_of(sizes), known)
    drifting = densities["walk"](expected + 0.003 * (DAY - DAY[0]), scans_of(sizes), TYPICAL)
    np.testing.assert_allclose(steady[1:], drifting[1:], atol=2e-3)


def test_a_slope_rides_as_a_linear_stochastic_equation_does():
    p = STEEP | {"trend": 0.0}
    drift = np.array([[0.0, 1.0], [0.0, -1.0 / p["slope_days"]]])
    noise = np.diag([0.0, 2.0 * p["slope"] ** 2 / p["slope_days"]])
    for days in (1.0, 42.0, 300.0):
        block = expm(days * np.block([[-drift, noise], [np.zeros((2, 2)), drift.T]]))
        carry = block[2:, 2:].T  # doi:10.1109/TAC.1978.1101743
        known = carry @ block[:2, 2:]
        before = np.array([[0.0, 0.0], [0.0, p["slope_start"] ** 2]])
        after = carry @ before @ carry.T + known
        over = ride(Slope(*map(jnp.asarray, (0.001, before[1, 1], 0.0))), jnp.asarray(days), p)
        np.testing.assert_allclose([over.reach, over.kept], carry[:, 1], rtol=1e-10)
        np.testing.assert_allclose(over.noise, [known[0, 0], known[1, 1], known[0, 1]], rtol=1e-7)
        np.testing.assert_allclose(over.variance, after[0, 0], rtol=1e-8)
        np.testing.assert_allclose(
            [over.after.variance, over.after.covariance], [after[1, 1], after[0, 1]], rtol=1e-8
        )


def test_scans_that_are_not_there_change_nothing():
    sizes = SERIES["usual"]
    whole = filtered(jnp.asarray(EXPECTED), scans_of(sizes), jnp.ones(7, bool), TYPICAL)
    few = filtered(jnp.asarray(EXPECTED), scans_of(sizes), jnp.arange(7) < 4, TYPICAL)
    np.testing.assert_allclose(few[1][:4], whole[1][:4], rtol=1e-12)
    assert (np.asarray(few[1][4:]) == 0).all()
    np.testing.assert_allclose(few[0].mean[4:], whole[0].mean[3], rtol=1e-12)


MANY = 20_000


@pytest.fixture(scope="module")
def drawn():
    """Draws at the scans of a series and two visits more."""

    @partial(jax.jit, static_argnames="walk")
    def of(expected, scans, visible, day, p, walk="walk"):
        keys, draw = jax.random.split(jax.random.key(3), MANY), residual(walk).draw
        return jax.vmap(lambda k: draw(k, expected, scans, visible, day, p))(keys)

    return of


@pytest.mark.parametrize("name", ["usual", "jump", "unchanged", "coming back"])
@pytest.mark.parametrize("walk", WALKS)
def test_draws_at_the_scans_and_after_are_those_of_particles(drawn, densities, walk, name):
    sizes, values = SERIES[name], TYPICAL | WALKS[walk]
    expected, p = centred(sizes), {n: jnp.asarray(x) for n, x in values.items()}
    to_come = np.array([DAY[-1] + 42.0, DAY[-1] + 90.0])
    course = jnp.asarray([*expected, expected[-1] + 0.05, expected[-1] + 0.1])
    found = drawn(course, scans_of(sizes), jnp.ones(7, bool), jnp.asarray(to_come), p, walk)
    known = by_particles(expected, sizes, values, seed=2, sloping=walk == "walk_slope")
    last, shares = np.asarray(found.latent[:, 6]), [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(
        np.quantile(last, shares), np.quantile(known.log_size[~known.gone], shares), atol=0.008
    )
    # and at the scans before, given all
    apart = np.quantile(found.latent[:, 1:6], shares, axis=0)
    apart = apart - np.quantile(known.path[1:6, ~known.gone], shares, axis=1)
    gone = np.array(sizes[1:6]) <= 5
    few = name == "coming back"  # as a hundredth of the particles do
    assert np.abs(apart[:, ~gone]).max() < (0.03 if few else 0.02)
    # one visit ahead, the measured size has the probabilities of the filter
    for size in (sizes[-1], sizes[-1] + 3, sizes[-1] + 12):
        scans = scans_of([*sizes, size], np.array([*DAY, to_come[0]]))
        terms = densities[walk](course[:8], scans, p)
        met = np.abs(np.round(np.asarray(found.measured[:, 0])) - size) < 0.25
        share = np.exp(float(terms[-1]))
        assert met.mean() == pytest.approx(share, abs=0.01 + 4 * np.sqrt(share / MANY))
    assert np.isfinite(np.asarray(found.latent)).all()


def test_draws_without_scans_start_where_the_course_does(drawn):
    p = {n: jnp.asarray(x) for n, x in TYPICAL.items()}
    course = jnp.log(jnp.array([30.0, 30.0, 33.0]))
    start = Scans(jnp.zeros(1), course[:1], jnp.zeros(1, bool))
    found = drawn(course, start, jnp.zeros(1, bool), jnp.array([0.0, 42.0]), p)
    assert np.median(np.exp(found.latent[:, 2])) == pytest.approx(33.0, rel=0.02)
    assert np.quantile(np.abs(found.latent[:, 1] - course[0]), 0.5) < 0.02
    assert (np.asarray(found.measured) > GONE_MM / 2).all()


@pytest.mark.parametrize("walk", WALKS)
def test_a_first_scan_is_drawn_with_the_probabilities_that_the_likelihood_gives(
    drawn, densities, walk
):
    p = {n: jnp.asarray(x) for n, x in (TYPICAL | WALKS[walk] | {"vanish": 0.3}).items()}
    course = jnp.log(jnp.array([10.0, 10.0]))
    start = Scans(jnp.zeros(1), course[:1], jnp.zeros(1, bool))
    found = drawn(course, start, jnp.zeros(1, bool), jnp.zeros(1), p, walk)
    read = np.round(np.asarray(found.measured[:, 0]))
    for size in (8, 9, 10, 11, 12):
        term = densities[walk](course[:1], scans_of([size], np.zeros(1)), p)[0]
        share = np.exp(float(term))
        assert np.mean(read == size) == pytest.approx(share, abs=4 * np.sqrt(share / MANY) + 1e-4)


def test_a_lesion_that_has_vanished_stays_so_mostly(drawn):
    sizes, p = SERIES["vanishing"], {n: jnp.asarray(x) for n, x in TYPICAL.items()}
    course = jnp.asarray([*centred(sizes), np.log(10.0)])
    found = drawn(course, scans_of(sizes), jnp.ones(7, bool), jnp.asarray([DAY[-1] + 42.0]), p)
    gone = np.exp(np.asarray(found.latent[:, 7])) <= GONE_MM + 1e-6
    found_by = by_particles(centred(sizes), sizes, TYPICAL, seed=4)
    log_size, known = found_by.log_size, found_by.gone
    odds = np.log(TYPICAL["vanish"] / (1 - TYPICAL["vanish"]))
    vanishing = 1 / (1 + np.exp(TYPICAL["vanish_slope"] * (log_size - np.log(10.0)) - odds))
    later = np.where(known, np.exp(-TYPICAL["comeback"] * 42.0), vanishing)
    assert 0.8 < later.mean() < 0.95
    assert gone.mean() == pytest.approx(later.mean(), abs=0.015)
