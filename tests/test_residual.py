"""Residuals: densities that integrate to one, tails, gradients, and samplers that agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from pdmodel.errors import ModelError
from pdmodel.residual import SMALLEST_MM, Scans
from pdmodel.residuals import RESIDUALS, residual
from pdmodel.residuals.scatter import log_cdf_t4, scale

INDEPENDENT = ("lognormal", "student_t")
EXPECTED = {"large": 120.0, "usual": 30.0, "at the limit": 5.0, "tiny": 1.5}
VALUES = {"scatter": jnp.asarray(0.12), "reader": jnp.asarray(2.0)}


def sd(size: float) -> float:
    return float(np.hypot(0.12, 2.0 / max(size, 5.0)))


def log_density(name: str, size: float, expected: float, *, censored: bool = False) -> float:
    """Log density per mm of one scan."""
    scans = Scans(jnp.zeros(1), jnp.log(jnp.array([size])), jnp.array([censored]))
    return float(residual(name).log_density(jnp.log(jnp.array([expected])), scans, VALUES)[0])


@pytest.fixture(scope="module")
def densities():
    """Densities per mm at many sizes at once, by residual."""

    def of(name: str):
        def density(size, expected):
            here = Scans(jnp.zeros_like(size), jnp.log(size), jnp.zeros(size.shape, bool))
            course = jnp.broadcast_to(jnp.log(expected), size.shape)
            return jnp.exp(residual(name).log_density(course, here, VALUES))

        return jax.jit(density)

    return {name: of(name) for name in INDEPENDENT}


@pytest.mark.parametrize("expected", EXPECTED.values(), ids=EXPECTED)
@pytest.mark.parametrize("name", INDEPENDENT)
def test_densities_over_mm_and_what_is_too_small_add_up_to_one(densities, name, expected):
    def per_log(u: float) -> float:
        return float(densities[name](jnp.exp(jnp.array([u])), expected)[0] * np.exp(u))

    log_limit, tail = np.log(SMALLEST_MM), 400.0 * sd(expected)
    above, _ = quad(per_log, log_limit, np.log(expected) + tail, limit=300,
                    points=[np.log(expected), np.log(expected) + 4 * sd(expected)])  # fmt: skip
    censored = np.exp(log_density(name, SMALLEST_MM, expected, censored=True))
    assert above + censored == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("expected", EXPECTED.values(), ids=EXPECTED)
@pytest.mark.parametrize(
    ("name", "law"), [("lognormal", stats.norm), ("student_t", stats.t(4))], ids=INDEPENDENT
)
def test_densities_are_those_of_scipy(name, law, expected):
    for size in (0.5, 5.0, 29.0, 31.0, 400.0):
        z = np.log(size / expected) / sd(expected)
        density = law.logpdf(z) - np.log(sd(expected)) - np.log(size)
        assert log_density(name, size, expected) == pytest.approx(density, rel=1e-12)
        below = log_density(name, size, expected, censored=True)
        assert below == pytest.approx(law.logcdf(z), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_a_censored_scan_has_the_probability_of_all_that_it_may_have_been(densities, name):
    def per_log(u: float) -> float:
        return float(densities[name](jnp.exp(jnp.array([u])), 7.0)[0] * np.exp(u))

    below, _ = quad(per_log, -40.0, np.log(5.0), limit=300, points=[0.0, 1.5])
    assert np.exp(log_density(name, 5.0, 7.0, censored=True)) == pytest.approx(below, rel=1e-7)


def test_the_scatter_is_relative_in_large_and_in_mm_in_small_sizes():
    size = jnp.array([1000.0, 20.0, 5.0, 4.0, 0.1])
    expected = [np.hypot(0.12, 0.002), np.hypot(0.12, 0.1), *3 * [np.hypot(0.12, 0.4)]]
    np.testing.assert_allclose(scale(jnp.log(size), VALUES), expected, rtol=1e-12)


# ------------------------------------------------------------ Student's t with 4 degrees of freedom

Z = np.concatenate([-np.logspace(8, -8, 65), [0.0], np.logspace(-8, 3, 45)])


def test_the_distribution_function_of_t4_keeps_its_tails():
    values = np.exp(np.asarray(log_cdf_t4(jnp.asarray(Z))))
    np.testing.assert_allclose(values, stats.t(4).cdf(Z), rtol=1e-12)
    far = -np.logspace(5, 30, 6)  # where it is 3 / z^4
    np.testing.assert_allclose(
        log_cdf_t4(jnp.asarray(far)), np.log(3.0) - 4 * np.log(-far), rtol=1e-10
    )


def test_its_slope_is_density_over_distribution():
    slope = jax.vmap(jax.grad(log_cdf_t4))(jnp.asarray(Z))
    expected = stats.t(4).pdf(Z) / stats.t(4).cdf(Z)
    np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("censored", [False, True])
@pytest.mark.parametrize("name", INDEPENDENT)
def test_gradients_stay_finite_far_from_the_course(name, censored):
    scans = Scans(jnp.zeros(4), jnp.log(jnp.array([1e-3, 5.0, 40.0, 1e5])),
                  jnp.full(4, censored))  # fmt: skip

    def total(course, p):
        return jnp.sum(residual(name).log_density(course, scans, p))

    value, slope = jax.jit(total), jax.jit(jax.grad(total, (0, 1)))
    for size in (1e-8, 1.0, 30.0, 1e8):
        course, step = jnp.log(jnp.full(4, size)), 1e-6
        slopes = slope(course, VALUES)
        assert all(np.isfinite(one).all() for one in jax.tree.leaves(slopes))
        push = (value(course + step, VALUES) - value(course - step, VALUES)) / (2 * step)
        assert float(slopes[0].sum()) == pytest.approx(float(push), rel=1e-4, abs=1e-6)


# --------------------------------------------------------------------------------- what is sampled


@pytest.mark.parametrize("name", INDEPENDENT)
@pytest.mark.parametrize("expected", [30.0, 3.0])
def test_samples_have_the_density(name, expected):
    count = 20_000
    course = jnp.log(jnp.full(count, expected))
    sizes = residual(name).read(jax.random.key(5), course, VALUES)
    law = {"lognormal": stats.norm, "student_t": stats.t(4)}[name]
    z = np.log(np.asarray(sizes) / expected) / sd(expected)
    assert stats.kstest(z, law.cdf).pvalue > 0.01


@pytest.mark.parametrize("name", RESIDUALS)
def test_draws_hang_on_the_key_alone(name):
    course, day = jnp.log(jnp.full(7, 40.0)), jnp.arange(6) * 42.0
    p = {q.name: jnp.asarray(q.typical) for q in residual(name).parameters}
    start, unseen = Scans(day[:1], course[:1], jnp.zeros(1, bool)), jnp.zeros(1, bool)
    one, again, other = (
        np.asarray(residual(name).draw(jax.random.key(k), course, start, unseen, day, p).measured)
        for k in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).all()
    assert (one > 0).all()
    assert residual(name).carried or len(set(one.tolist())) == 6


def test_an_unknown_residual_is_refused():
    with pytest.raises(ModelError, match=r"There is no residual 'gauss'; known are \['last_value'"):
        residual("gauss")
