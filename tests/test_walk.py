"""The walk between scans: its filter against particles, its probabilities, and its draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pdmodel.residual import Scans
from pdmodel.residuals import residual
from pdmodel.residuals.filter import USUAL, filtered
from pdmodel.residuals.paths import GONE_MM

WALK = residual("walk")
TYPICAL = {q.name: q.typical for q in WALK.parameters}
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


def by_particles(expected, sizes, p, seed):
    """Log probability of each scan given those before, and its standard error, by simulation."""
    rng = np.random.default_rng(seed)
    log_size, gone = np.full(PARTICLES, expected[0]), np.zeros(PARTICLES, bool)

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
            new = np.log(p["comeback_size"]) + p["comeback_sd"] * rng.normal(size=PARTICLES)
            log_size = np.where(still, log_size, np.where(back, new, moved))
            gone = (gone & ~back) | vanishes
            weight = np.where(still, float(size == sizes[j - 1]), read(log_size, size))
            weight = np.where(gone, float(size <= 5), weight)
        terms.append(np.log(weight.mean()))
        errors.append(weight.std() / weight.mean() / np.sqrt(PARTICLES))
        chosen = rng.choice(PARTICLES, PARTICLES, p=weight / weight.sum())
        log_size, gone = log_size[chosen], gone[chosen]
    return np.array(terms), np.array(errors), log_size, gone


@pytest.fixture(scope="module")
def log_density():
    return jax.jit(WALK.log_density)


@pytest.mark.parametrize("volatility", [0.03, 0.12])
@pytest.mark.parametrize("name", SERIES)
def test_the_filter_agrees_with_particles(log_density, name, volatility):
    sizes, p = SERIES[name], TYPICAL | {"volatility": volatility}
    expected = centred(sizes)
    terms = np.asarray(log_density(jnp.asarray(expected), scans_of(sizes), p))
    known, errors, *_ = by_particles(expected, sizes, p, seed=1)
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


def test_gradients_are_those_of_differences(log_density):
    expected, scans = jnp.asarray(centred([40] * 7)), scans_of(SERIES["jump"])
    names = [q.name for q in WALK.parameters if not q.fixed]

    @jax.jit
    def value(log_values, course):
        p = TYPICAL | {n: jnp.exp(x) for n, x in zip(names, log_values, strict=True)}
        return jnp.sum(WALK.log_density(course, scans, p))

    at = jnp.log(jnp.array([TYPICAL[n] for n in names]))
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


def test_far_readings_and_courses_keep_values_and_gradients_finite(log_density):
    for drift in (-50.0, 0.0, 50.0):
        expected = jnp.log(40.0) + drift * jnp.arange(7.0)
        for sizes in ([40, 40, 400, 5, 200, 40, 5], [1000] * 7, [5, 5, 30, 5, 6, 6, 5]):
            slope = jax.grad(lambda x, s=sizes: jnp.sum(log_density(x, scans_of(s), TYPICAL)))
            assert np.isfinite(np.asarray(slope(expected))).all()


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

    @jax.jit
    def of(expected, scans, visible, day, p):
        keys = jax.random.split(jax.random.key(3), MANY)
        return jax.vmap(lambda k: WALK.draw(k, expected, scans, visible, day, p))(keys)

    return of


@pytest.mark.parametrize("name", ["usual", "jump", "unchanged", "coming back"])
def test_draws_at_the_scans_and_after_are_those_of_particles(drawn, name):
    sizes, p = SERIES[name], {n: jnp.asarray(x) for n, x in TYPICAL.items()}
    expected = centred(sizes)
    to_come = np.array([DAY[-1] + 42.0, DAY[-1] + 90.0])
    course = jnp.asarray([*expected, expected[-1] + 0.05, expected[-1] + 0.1])
    found = drawn(course, scans_of(sizes), jnp.ones(7, bool), jnp.asarray(to_come), p)
    *_, log_size, gone = by_particles(expected, sizes, TYPICAL, seed=2)
    last, shares = np.asarray(found.latent[:, 6]), [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(
        np.quantile(last, shares), np.quantile(log_size[~gone], shares), atol=0.008
    )
    # one visit ahead, the measured size has the probabilities of the filter
    for size in (sizes[-1], sizes[-1] + 3, sizes[-1] + 12):
        scans = scans_of([*sizes, size], np.array([*DAY, to_come[0]]))
        terms = WALK.log_density(course[:8], scans, p)
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


def test_a_lesion_that_has_vanished_stays_so_mostly(drawn):
    sizes, p = SERIES["vanishing"], {n: jnp.asarray(x) for n, x in TYPICAL.items()}
    course = jnp.asarray([*centred(sizes), np.log(10.0)])
    found = drawn(course, scans_of(sizes), jnp.ones(7, bool), jnp.asarray([DAY[-1] + 42.0]), p)
    gone = np.exp(np.asarray(found.latent[:, 7])) <= GONE_MM + 1e-6
    *_, log_size, known = by_particles(centred(sizes), sizes, TYPICAL, seed=4)
    odds = np.log(TYPICAL["vanish"] / (1 - TYPICAL["vanish"]))
    vanishing = 1 / (1 + np.exp(TYPICAL["vanish_slope"] * (log_size - np.log(10.0)) - odds))
    later = np.where(known, np.exp(-TYPICAL["comeback"] * 42.0), vanishing)
    assert 0.8 < later.mean() < 0.95
    assert gone.mean() == pytest.approx(later.mean(), abs=0.015)
