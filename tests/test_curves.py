"""Curves against their closed forms, in the contract of every mechanism."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdmodel.course import lay_out
from pdmodel.curves.stein_fojo import MECHANISM
from pdmodel.data import Patient
from pdmodel.dosing import parse_schedule
from pdmodel.errors import ModelError
from pdmodel.library import drug, mechanism
from pdmodel.likelihood import evidence, log_likelihood
from pdmodel.model import Model
from pdmodel.residuals import residual
from pdmodel.solve import blocked, log_sizes, solve

MODEL = Model(MECHANISM, (), residual("lognormal"))
DAYS = np.array([0.0, 20, 60, 120, 240, 480, 800])


def stein_fojo(day: np.ndarray, first: float, size: float, shrink: float, grow: float):
    """The closed form, from the size at the `first` day on."""
    after = np.maximum(day, 0.0)
    shape = np.exp(-shrink * after) + np.exp(grow * after) - 1.0
    return size * np.exp(grow * (np.minimum(day, 0.0) - first)) * shape


def blocks_of(days: list[np.ndarray]):
    starts = [min(day[0], 0.0) for day in days]
    return blocked(lay_out(MODEL, starts, days, [{}] * len(days)))


def test_it_is_found_by_name():
    assert mechanism("stein_fojo") is MECHANISM


CASES = {
    "typical": (0.0, 60.0, 0.5 / 365, 0.3 / 365),
    "fast shrinking, slow return": (0.0, 80.0, 0.02, 0.002),
    "no growth": (0.0, 80.0, 0.003, 1e-9),
    "growth alone": (0.0, 20.0, 1e-9, 0.006),
    "first scan four weeks before treatment": (-28.0, 45.0, 0.01, 0.004),
    "first scan between two steps": (-3.3, 45.0, 0.03, 0.01),
}


@pytest.mark.parametrize("case", CASES)
def test_the_course_is_the_closed_form(case):
    first, size, shrink, grow = CASES[case]
    days = np.unique(np.append(DAYS, first))
    p = {name: np.array([v]) for name, v in zip(("baseline", "shrink", "grow"), CASES[case][1:],
                                                strict=True)}  # fmt: skip
    solution = solve(MECHANISM, p, blocks_of([days]))
    expected = stein_fojo(days, first, size, shrink, grow)
    assert solution.ok.all()
    np.testing.assert_allclose(np.exp(solution.log_size[0]), expected, rtol=6e-5)


def test_draws_from_the_prior_are_solved_to_two_in_a_hundred_thousand():
    rng = np.random.default_rng(0)
    p = {
        q.name: np.exp(q.centre + q.single_sd * rng.normal(size=200)) for q in MECHANISM.parameters
    }
    solution = solve(MECHANISM, p, blocks_of([DAYS] * 200))
    of = zip(p["baseline"], p["shrink"], p["grow"], strict=True)
    expected = np.stack([stein_fojo(DAYS, 0.0, *values) for values in of])
    assert solution.ok.all()
    np.testing.assert_allclose(np.exp(solution.log_size), expected, rtol=2e-5)


@pytest.mark.parametrize(("shrink", "grow"), [(10.0, 1e-6), (1e-12, 3.0), (5.0, 5.0)])
def test_absurd_rates_are_flagged_or_finite(shrink, grow):
    free = {name: jnp.array([v]) for name, v in (("baseline", 50.0), ("shrink", shrink),
                                                 ("grow", grow))}  # fmt: skip
    blocks = blocks_of([np.array([-7.0, 50, 900])])
    slope, ok = jax.grad(
        lambda f: (jnp.sum(log_sizes(MECHANISM, f, {}, blocks)[0]), 0), has_aux=True
    )(free)
    assert ok == 0
    assert all(np.isfinite(one).all() for one in slope.values())


def test_it_has_a_likelihood_without_any_drug():
    patient = Patient("a", "", "", DAYS[:4], np.array([50.0, 45, 40, 5]), np.arange(4) == 3)
    typical = {q.name: jnp.asarray(q.typical) for q in MODEL.free}
    terms, ok = log_likelihood(MODEL, typical, evidence(MODEL, [patient]))
    assert ok.all()
    assert np.isfinite(terms).all()
    assert (terms[0, :3] != 0).all()


def test_it_takes_no_drug():
    with pytest.raises(ModelError, match=r"'stein_fojo' ignores; it answers to \[\]"):
        Model(MECHANISM, (drug("atezolizumab"),), residual("lognormal"))


def test_patients_with_doses_of_a_drug_that_is_not_in_the_model_are_refused():
    given = {"atezolizumab": parse_schedule("atezolizumab 1200 mg q3w").regimen(60)}
    with pytest.raises(ModelError, match=r"'atezolizumab' is not in the model, which has \[\]"):
        lay_out(MODEL, [0.0], [DAYS], [given])
