"""Curves against their closed forms, in the contract of every mechanism."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdmodel.course import lay_out
from pdmodel.data import Patient
from pdmodel.dosing import parse_schedule
from pdmodel.errors import ModelError
from pdmodel.library import drug, mechanism
from pdmodel.likelihood import evidence, log_likelihood
from pdmodel.marginal import integrable
from pdmodel.model import Model
from pdmodel.residuals import residual
from pdmodel.solve import blocked, log_sizes, solve

DAYS = np.array([0.0, 20, 60, 120, 240, 480, 800])

type Of = Mapping[str, np.ndarray]


def from_day_0(grow: str, shape: Callable[[np.ndarray, Of], np.ndarray]) -> Callable:
    """Exponential growth before day 0, and from then on the size of day 0 times a shape."""

    def log_ratio(day: np.ndarray, first: float, p: Of) -> np.ndarray:
        with np.errstate(over="ignore"):
            after = np.log(shape(np.maximum(day, 0.0), p))
        return p[grow] * (np.minimum(day, 0.0) - first) + after

    return log_ratio


def to_a_plateau(power: Callable[[Of], np.ndarray]) -> Callable:
    """A power of the size comes close to that of the plateau, from the first scan on."""

    def log_ratio(day: np.ndarray, first: float, p: Of) -> np.ndarray:
        m, left = power(p), np.exp(-p["approach"] * (day - first))
        return np.log(p["plateau"] ** m + (1 - p["plateau"] ** m) * left) / m

    return log_ratio


CLOSED: dict[str, Callable] = {
    "flat": lambda day, first, p: 0.0 * day,
    "exponential": lambda day, first, p: p["net_growth"] * (day - first),
    "stein_fojo": from_day_0(
        "grow", lambda t, p: np.exp(-p["shrink"] * t) + np.exp(p["grow"] * t) - 1
    ),
    "gsf": from_day_0(
        "grow",
        lambda t, p: p["responding"] * np.exp(-p["shrink"] * t)
        + (1 - p["responding"]) * np.exp(p["grow"] * t),
    ),
    "claret_bruno": from_day_0(
        "grow",
        lambda t, p: np.exp(p["grow"] * t - p["shrink"] / p["fade"] * -np.expm1(-p["fade"] * t)),
    ),
    "wang": from_day_0("progress", lambda t, p: np.exp(-p["shrink"] * t) + p["progress"] * t),
    "two_population": from_day_0(
        "grow",
        lambda t, p: np.cbrt((1 - p["resistant"]) * np.exp(-3 * p["shrink"] * t)
                             + p["resistant"] * np.exp(3 * p["grow"] * t)),
    ),
    "gompertz": lambda day, first, p: (
        np.log(p["plateau"]) * -np.expm1(-p["approach"] * (day - first))
    ),
    "logistic": to_a_plateau(lambda p: -3.0),
    "bertalanffy": to_a_plateau(lambda p: 3 * (1 - p["feeding"])),
}  # fmt: skip
"""Log of the size relative to the first scan, of days, the day of the first scan, and values."""

MODELS = {name: Model(mechanism(name), (), residual("lognormal")) for name in CLOSED}


def blocks_of(name: str, days: list[np.ndarray]):
    starts = [min(day[0], 0.0) for day in days]
    return blocked(lay_out(MODELS[name], starts, days, [{}] * len(days)))


def from_the_prior(name: str, count: int, seed: int, width: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        q.name: np.asarray(q.natural(q.centre + width * q.single_sd * rng.normal(size=count)))
        for q in mechanism(name).parameters
    }


FIRSTS = np.repeat([0.0, -28.0, -3.3], 20)


@pytest.mark.parametrize("name", CLOSED)
def test_draws_from_the_prior_run_the_closed_form_before_and_after_day_0(name):
    days = [np.unique(np.append(DAYS, [first, first / 2])) for first in FIRSTS]
    p = from_the_prior(name, len(FIRSTS), seed=1)
    solution = solve(mechanism(name), p, blocks_of(name, days))
    assert solution.ok.all()
    for i, (day, first) in enumerate(zip(days, FIRSTS, strict=True)):
        one = {q: v[i] for q, v in p.items()}
        expected = np.log(one["baseline"]) + CLOSED[name](day, first, one)
        found = solution.log_size[i, : len(day)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


CASES = {
    "fast shrinking, slow return": ("stein_fojo", {"shrink": 0.02, "grow": 0.002}),
    "no growth": ("stein_fojo", {"shrink": 0.003, "grow": 1e-9}),
    "growth alone": ("stein_fojo", {"shrink": 1e-9, "grow": 0.006}),
    "all of it responds": ("gsf", {"shrink": 0.02, "grow": 0.004, "responding": 1 - 1e-9}),
    "none of it responds": ("gsf", {"shrink": 0.02, "grow": 0.004, "responding": 1e-9}),
    "an effect that lasts": ("claret_bruno", {"shrink": 0.01, "grow": 0.004, "fade": 1e-9}),
    "an effect of some days": ("claret_bruno", {"shrink": 0.05, "grow": 0.004, "fade": 0.5}),
    "one cell in a million": ("two_population", {"shrink": 0.01, "grow": 0.01, "resistant": 1e-6}),
    "no progression": ("wang", {"shrink": 0.003, "progress": 1e-9}),
    "down to a tenth": ("logistic", {"plateau": 0.1, "approach": 0.01}),
    "up tenfold": ("logistic", {"plateau": 10.0, "approach": 0.01}),
    "fed by the whole volume": (
        "bertalanffy", {"plateau": 3.0, "approach": 0.01, "feeding": 1 - 1e-6}),
    "fed at a constant rate": (
        "bertalanffy", {"plateau": 0.3, "approach": 0.01, "feeding": 1e-6}),
    "shrinking at a constant rate": ("exponential", {"net_growth": -0.01}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_course_is_the_closed_form_at_the_edges_too(case):
    name, values = CASES[case]
    p = {q: np.array([v]) for q, v in (values | {"baseline": 45.0}).items()}
    solution = solve(mechanism(name), p, blocks_of(name, [DAYS]))
    expected = np.log(45.0) + CLOSED[name](DAYS, 0.0, values)
    assert solution.ok.all()
    np.testing.assert_allclose(solution.log_size[0], expected, rtol=0, atol=1e-4)


def test_feeding_by_the_whole_volume_is_the_gompertz_curve():
    p = {"plateau": 3.0, "approach": 0.01, "feeding": 1 - 1e-7}
    limit = CLOSED["bertalanffy"](DAYS, 0.0, p)
    np.testing.assert_allclose(limit, CLOSED["gompertz"](DAYS, 0.0, p), rtol=1e-5)


@pytest.mark.parametrize("name", CLOSED)
def test_slopes_by_every_parameter_are_those_of_the_closed_form(name):
    days = np.array([0.0, 20, 120, 480])
    p = {q: jnp.asarray(v) for q, v in from_the_prior(name, 3, seed=8).items()}
    slope = jax.grad(lambda f: jnp.sum(log_sizes(mechanism(name), f, {}, blocks)[0]))
    blocks = blocks_of(name, [days] * 3)
    for q, found in slope(p).items():
        assert np.isfinite(found).all()
        scale = np.abs(p[q]) + 1e-3 * (q == "net_growth")
        ends = [
            np.array([
                np.sum(np.log(p["baseline"][i] + side * 1e-5 * scale[i] * (q == "baseline"))
                       + CLOSED[name](days, 0.0, {k: float(v[i]) + side * 1e-5 * float(scale[i])
                                                  * (k == q) for k, v in p.items()}))
                for i in range(3)
            ]) for side in (-1, 1)
        ]  # fmt: skip
        by_difference = (ends[1] - ends[0]) / 2e-5
        np.testing.assert_allclose(found * scale, by_difference, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", CLOSED)
def test_absurd_values_are_flagged_or_finite(name):
    p = {q: jnp.asarray(v) for q, v in from_the_prior(name, 40, seed=5, width=5.0).items()}
    blocks = blocks_of(name, [np.array([-7.0, 50, 900])] * 40)

    def total(free: dict) -> tuple[jax.Array, jax.Array]:
        size, ok = log_sizes(mechanism(name), free, {}, blocks)
        return jnp.sum(size), ok

    slope, ok = jax.grad(total, has_aux=True)(p)
    assert ok.sum() >= 36  # five times as wide as the prior: at most a tenth of them fails
    for found in slope.values():
        assert np.isfinite(found).all()
        assert (found[~ok] == 0).all()


@pytest.mark.parametrize("name", CLOSED)
def test_it_has_a_likelihood_without_any_drug_and_patients_can_be_integrated_out(name):
    model = MODELS[name]
    patient = Patient("a", "", "", DAYS[:4], np.array([50.0, 45, 40, 5]), np.arange(4) == 3)
    typical = {q.name: jnp.asarray(q.typical) for q in model.free}
    terms, ok = log_likelihood(model, typical, evidence(model, [patient]))
    assert ok.all()
    assert np.isfinite(terms).all()
    assert (terms[0, :3] != 0).all()
    assert integrable(model)


@pytest.mark.parametrize("name", CLOSED)
def test_it_takes_no_drug(name):
    with pytest.raises(ModelError, match=rf"'{name}' ignores; it answers to \[\]"):
        Model(mechanism(name), (drug("atezolizumab"),), residual("lognormal"))


def test_patients_with_doses_of_a_drug_that_is_not_in_the_model_are_refused():
    given = {"atezolizumab": parse_schedule("atezolizumab 1200 mg q3w").regimen(60)}
    with pytest.raises(ModelError, match=r"'atezolizumab' is not in the model, which has \[\]"):
        lay_out(MODELS["stein_fojo"], [0.0], [DAYS], [given])
