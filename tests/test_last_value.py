"""The random walk on readings: every cell of its probabilities by hand, its draws, a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from pdmodel.data import Patient
from pdmodel.likelihood import evidence, log_likelihood
from pdmodel.mechanism import Mechanism
from pdmodel.model import Model
from pdmodel.parameter import Parameter
from pdmodel.residual import Scans
from pdmodel.residuals import residual

MOVING, FLAT = residual("last_value"), residual("last_value_flat")
P = {q.name: q.typical for q in MOVING.parameters}
DAY = np.array([0.0, 42.0, 84.0, 147.0, 190.0])
COURSE = np.log(30.0) + np.array([0.0, 0.1, 0.1, -0.05, -0.1])
T4 = stats.t(4)


def scans_of(sizes, day=DAY):
    size = np.asarray(sizes, float)
    return Scans(jnp.asarray(day[: len(size)]), jnp.log(size), jnp.asarray(size <= 5.0))


def by_hand(before, y, days, drift, slope, p):
    """Probability of a reading y after one of `before`, both in whole mm."""
    if before <= 5:
        stays = np.exp(-p["comeback"] * days)
        size = stats.norm(np.log(p["comeback_size"]), p["comeback_sd"])
        cell = size.cdf(np.log(y + 0.5)) - size.cdf(np.log(y - 0.5))
        return stays if y <= 5 else (1 - stays) * cell / size.sf(np.log(5.5))
    odds = p["vanish"] / (1 - p["vanish"]) * (before / 10.0) ** -p["vanish_slope"]
    vanishes = odds / (1 + odds)
    middle = np.log(before) + drift + p["momentum"] * slope * days
    law = stats.t(4, middle, p["step"] * (days / 42.0) ** (p["time_power"] / 2))
    if y <= 5:
        return vanishes + (1 - vanishes) * law.cdf(np.log(5.5))
    return (1 - vanishes) * (law.cdf(np.log(y + 0.5)) - law.cdf(np.log(y - 0.5)))


@pytest.fixture(scope="module")
def log_density():
    return {one.name: jax.jit(one.log_density) for one in (MOVING, FLAT)}


@pytest.mark.parametrize("drifting", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [[30, 33, 28, 28, 40], [30, 20, 9, 6, 5], [12, 5, 5, 7, 9], [5, 5, 14, 5, 8], [6, 7, 5, 6, 6]],
)
def test_every_cell_has_the_probability_found_by_hand(log_density, sizes, drifting):
    course = COURSE if drifting else np.full(5, COURSE[0])
    for name, momentum in (("last_value", 0.3), ("last_value_flat", 0.0)):
        p = P | {"momentum": momentum}
        known = []
        for j in range(1, 5):
            slope = 0.0
            if j > 1 and min(sizes[j - 2 : j]) > 5:
                rise = np.log(sizes[j - 1] / sizes[j - 2]) - (course[j - 1] - course[j - 2])
                slope = rise / (DAY[j - 1] - DAY[j - 2])
            days, drift = DAY[j] - DAY[j - 1], course[j] - course[j - 1]
            known.append(by_hand(sizes[j - 1], sizes[j], days, drift, slope, p))
        found = log_density[name](jnp.asarray(course), scans_of(sizes), p)
        np.testing.assert_allclose(np.exp(found[1:]), known, rtol=1e-9)
        reader = stats.norm(course[0], np.hypot(P["reader_share"], P["reader_mm"] / 30.0))
        low = -np.inf if sizes[0] <= 5 else np.log(sizes[0] - 0.5)
        known = reader.cdf(np.log(sizes[0] + 0.5)) - reader.cdf(low)
        if known > 1e-20:
            assert np.exp(found[0]) == pytest.approx(known, rel=1e-9)


def test_a_slope_between_scans_that_are_close_is_taken_over_two_weeks(log_density):
    day, course = np.array([0.0, 2.0, 44.0]), np.full(3, COURSE[0])
    found = log_density["last_value"](jnp.asarray(course), scans_of([30, 32, 33], day), P)
    known = by_hand(32, 33, 42.0, 0.0, np.log(32 / 30) / 14.0, P)
    assert np.exp(found[2]) == pytest.approx(known, rel=1e-9)


def test_gradients_are_finite_far_away_and_those_of_differences():
    names = [q.name for q in MOVING.parameters if not q.fixed]

    @jax.jit
    def value(log_values, course, size, small):
        p = P | {n: jnp.exp(x) for n, x in zip(names, log_values, strict=True)}
        scans = Scans(jnp.asarray(DAY), jnp.log(size), small)
        return jnp.sum(MOVING.log_density(course, scans, p))

    slope, at = jax.jit(jax.grad(value, (0, 1))), jnp.log(jnp.array([P[n] for n in names]))
    for sizes in ([30, 33, 28, 28, 40], [12, 5, 5, 7, 9], [1000, 6, 1000, 5, 1000]):
        size, small = jnp.asarray(sizes, float), jnp.asarray(sizes) <= 5
        assert all(np.isfinite(x).all() for x in slope(at, 40 * jnp.asarray(COURSE), size, small))
        course = jnp.asarray(COURSE) - COURSE[0] + np.log(sizes[0])
        found = slope(at, course, size, small)
        for k in range(len(names)):
            h = 1e-6 * jnp.eye(len(names))[k]
            ends = [value(at + s * h, course, size, small) for s in (1, -1)]
            difference = float(ends[0] - ends[1]) / 2e-6
            assert float(found[0][k]) == pytest.approx(difference, rel=1e-5, abs=1e-6)


def test_without_scans_the_first_is_read_off_the_course_and_the_next_go_on_from_it():
    p = {n: jnp.asarray(x) for n, x in P.items()}
    start = Scans(jnp.zeros(1), jnp.asarray(COURSE[:1]), jnp.zeros(1, bool))
    course, day = jnp.asarray([COURSE[0], *COURSE]), jnp.asarray(DAY)
    keys = jax.random.split(jax.random.key(2), 20_000)
    draw = jax.jit(jax.vmap(
        lambda key: MOVING.draw(key, course, start, jnp.zeros(1, bool), day, p).measured
    ))  # fmt: skip
    log_size = np.log(np.asarray(draw(keys)))
    reader = stats.norm(COURSE[0], np.hypot(P["reader_share"], P["reader_mm"] / 30.0))
    assert stats.kstest(log_size[:, 0], reader.cdf).pvalue > 0.01
    gone = log_size[:, 1] < 0.5
    odds = P["vanish"] / (1 - P["vanish"]) * 3.0 ** -P["vanish_slope"]
    assert gone.mean() == pytest.approx(odds / (1 + odds), abs=0.002)
    step = log_size[~gone, 1] - np.log(np.round(np.exp(log_size[~gone, 0])))
    assert stats.kstest((step - 0.1) / P["step"], T4.cdf).pvalue > 0.01


# ------------------------------------------------------------- with a course that stays as it is


STILL = Mechanism(
    name="still",
    about="a lesion that stays as it is",
    parameters=(
        Parameter(
            "baseline", "mm", 30.0, "size at the first scan",
            prior_sd=1.0, between=0.6, source="assumption",
        ),
    ),
    answers_to=(),
    initial=lambda p: {"log_ratio": jnp.zeros_like(p["baseline"])},
    rate=lambda time, s, p, a: {"log_ratio": jnp.zeros_like(p["baseline"])},
    log_size=lambda s, p: jnp.log(p["baseline"]) + s["log_ratio"],
    states={"log_ratio": "log of the size relative to the first scan"},
    source="assumption",
)  # fmt: skip
TRUE = {"step": 0.12, "momentum": 0.4, "time_power": 0.9, "vanish": 0.05, "comeback": 0.004}


@pytest.fixture(scope="module")
def simulated():
    """Rounded series of many lesions, (lesions, visits)."""
    many, day = 1_000, jnp.asarray(np.cumsum([0, 42, 30, 42, 63, 42, 90]), float)
    p = {n: jnp.asarray(x) for n, x in (P | TRUE).items()}
    sizes = np.exp(np.random.default_rng(4).normal(np.log(25.0), 0.5, many))

    def one(key, size):
        course = jnp.full(8, jnp.log(size))
        start = Scans(day[:1], course[:1], jnp.zeros(1, bool))
        return MOVING.draw(key, course, start, jnp.zeros(1, bool), day, p).measured

    keys = jax.random.split(jax.random.key(6), many)
    read = jax.jit(jax.vmap(one))(keys, jnp.asarray(sizes))
    return np.asarray(day), sizes, np.maximum(np.round(np.asarray(read)), 5.0)


def test_what_series_were_drawn_with_is_found_again(simulated):
    day, first, sizes = simulated
    scans = Scans(jnp.broadcast_to(day, sizes.shape), jnp.log(sizes), jnp.asarray(sizes <= 5.0))
    course = jnp.broadcast_to(jnp.log(first)[:, None], sizes.shape)
    known = [q for q in MOVING.parameters if not q.fixed]

    @jax.jit
    @jax.value_and_grad
    def height(z):
        p = P | {q.name: q.natural(x) for q, x in zip(known, z, strict=True)}
        return -jnp.sum(jax.vmap(lambda e, s: MOVING.log_density(e, s, p))(course, scans))

    found = minimize(height, [q.centre for q in known], jac=True, method="BFGS")
    sd = np.sqrt(np.diag(found.hess_inv))
    for q, z, error in zip(known, found.x, sd, strict=True):
        assert abs(z - float(q.unbounded(TRUE[q.name]))) < 3 * error, q.name
        assert error < 0.3


def test_a_model_with_it_gives_every_patient_the_likelihood_found_by_hand(simulated):
    day, _, sizes = simulated
    patients = [Patient(f"p{k}", "", "", day, sizes[k], sizes[k] <= 5.0, {}) for k in range(8)]
    model = Model(STILL, (), FLAT)
    assert [q.name for q in model.free if q.individual] == ["baseline"]
    values = {q.name: q.typical for q in model.free} | {"baseline": sizes[:8, 0]}
    terms, ok = log_likelihood(model, values, evidence(model, patients, "draft"))
    assert np.asarray(ok).all()
    p = P | {"momentum": 0.0}
    for k, size in enumerate(sizes[:8]):
        known = [
            np.log(by_hand(size[j - 1], size[j], day[j] - day[j - 1], 0.0, 0.0, p))
            for j in range(1, len(day))
        ]
        np.testing.assert_allclose(terms[k, 1:], known, rtol=1e-6)
