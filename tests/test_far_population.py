"""Patients who differ far more than the prior expects, against the closed form of straight lines.

Nodes laid where the climb begins know little of such a population, and a posterior over them is
pulled towards the prior and too narrow.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import multivariate_normal
from scipy import stats
from scipy.optimize import minimize
from scipy.special import logsumexp

from pdmodel import Cohort, Model, Patient, drug, mechanism, residual
from pdmodel.by_nodes import settled
from pdmodel.checkpoint import NOT_KEPT
from pdmodel.integration import HEAVY
from pdmodel.likelihood import evidence
from pdmodel.nuts import Settings
from pdmodel.quadrature import placing
from pdmodel.quadrature.climb import Summit, nothing_known
from pdmodel.quadrature.coordinates import Coordinates, no_traits
from pdmodel.quadrature.effort import EFFORTS
from pdmodel.quadrature.placing import AWAY, out_along, placed, wider
from pdmodel.quadrature.pool import weigh
from pdmodel.quadrature.series import series

EXACT = residual("lognormal")
EXACT = replace(EXACT, parameters=tuple(
    replace(q, typical=1e-6) if q.name == "reader" else q for q in EXACT.parameters
))  # fmt: skip
MODEL = Model(mechanism("exponential"), (), EXACT)
LARGE, SCATTER = 200.0, 0.1
"""In mm, so that rounding to 1 mm is nothing beside the scatter of log sizes."""
DAYS = np.array([0.0, 60.0, 120.0])
PEOPLE, BETWEEN = 60, 0.03
"""Patients, and the sd of their growth a day: ten times the middle of its prior."""
OF = Coordinates(MODEL)
EFFORT = EFFORTS["quick"]._replace(pooled=128, sharpened=2, added=128)

pytestmark = pytest.mark.usefixtures("broadcasting")


def sizes():
    rng = np.random.default_rng(8)
    start = np.log(LARGE) + 0.5 * rng.normal(size=(PEOPLE, 1))
    slope = 0.002 + BETWEEN * rng.normal(size=(PEOPLE, 1))
    return start + slope * DAYS + SCATTER * rng.normal(size=(PEOPLE, len(DAYS)))


def a_cohort(log_size):
    nothing = np.zeros(len(DAYS), bool)
    return Cohort(tuple(
        Patient(f"P{k:02}", "", "", DAYS, np.exp(row), nothing, {})
        for k, row in enumerate(log_size)
    ))  # fmt: skip


@pytest.fixture(scope="module")
def closed_form():
    """Mean and sd of every coordinate of the population, by importance sampling."""
    log_size = jnp.asarray(sizes())
    design = jnp.column_stack([jnp.ones(len(DAYS)), jnp.asarray(DAYS)])
    ones = jnp.eye(len(DAYS))

    @jax.jit
    def log_density(x):
        at = OF.named(x)
        sd = jnp.stack([at["baseline_sd"], at["net_growth_sd"]])
        centre = design @ jnp.stack([jnp.log(at["baseline_typical"]), at["net_growth_typical"]])
        covariance = (design * sd**2) @ design.T + at["scatter"] ** 2 * ones
        each = jax.vmap(lambda row: multivariate_normal.logpdf(row, centre, covariance))(log_size)
        return jnp.sum(each) + OF.log_prior(x)

    slope = jax.jit(jax.grad(log_density))
    top = minimize(
        lambda x: -float(log_density(x)), np.zeros(len(OF)), jac=lambda x: -np.asarray(slope(x)),
        method="BFGS", options={"gtol": 1e-4},
    )  # fmt: skip
    mean, covariance = top.x, np.linalg.inv(-np.asarray(jax.hessian(log_density)(top.x)))
    far = stats.multivariate_t(np.zeros(len(OF)), np.eye(len(OF)), df=5)
    z = far.rvs(20_000, random_state=np.random.default_rng(2))
    x = mean + 1.2 * z @ np.linalg.cholesky(covariance).T
    raw = np.asarray(jax.lax.map(log_density, jnp.asarray(x), batch_size=500)) - far.logpdf(z)
    weight = np.exp(raw - logsumexp(raw))
    assert 1 / np.sum(weight**2) > 5000
    mean = weight @ x
    return mean, np.sqrt(weight @ (x - mean) ** 2)


@pytest.fixture(scope="module")
def it(broadcasting):
    data = evidence(MODEL, a_cohort(sizes()))
    return series(data, no_traits(PEOPLE))


@pytest.mark.slow
def test_the_population_is_that_of_the_closed_form(closed_form, it):
    mean, sd = closed_form
    assert mean[OF.names.index("net_growth_sd_z")] > 5.0  # sds of the prior
    where, at, chosen = settled(
        OF, it, 2, Settings(chains=4, draws=200), EFFORT, lambda _: None, NOT_KEPT
    )
    got = at.x.reshape(-1, len(OF))
    assert where.away <= AWAY
    assert chosen.pareto_k < HEAVY
    assert np.all(np.abs(got.mean(axis=0) - mean) < 0.2 * sd)
    assert np.all(np.abs(got.std(axis=0) / sd - 1) < 0.15)


def test_nodes_that_were_laid_beside_the_posterior_are_laid_anew(closed_form, it, monkeypatch):
    mean, sd = closed_form
    at = jnp.asarray(mean - 4.0 * sd)
    known = nothing_known(OF, it, OF.population(at, it.traits))
    beside = Summit(at, np.diag(sd**2), known, 1, True)
    monkeypatch.setattr(placing, "climbed", lambda *_: beside)

    def weighing(before, x, name):
        given = (before.nodes, None, x, jax.random.key(1))
        return weigh(OF, it, *given, name=name, checkpoints=NOT_KEPT, tick=lambda *_: None)

    asked = (OF, it, 1, EFFORT._replace(raw=512), lambda _: None, NOT_KEPT, weighing)
    found = placed(*asked)
    assert found.away <= AWAY
    assert np.all(np.abs(np.asarray(found.before.summit.position) - mean) < 1.5 * sd)
    monkeypatch.setattr(placing, "AGAIN", 0)
    assert placed(*asked).away > AWAY


def test_nodes_are_laid_out_along_what_courses_share_and_where_patients_differ_more():
    of = Coordinates(Model(mechanism("exhaustion"), (drug("atezolizumab"),), residual("walk")))
    rng = np.random.default_rng(9)
    root = rng.standard_normal((len(of), len(of)))
    middle, covariance = rng.standard_normal(len(of)), root @ root.T
    sd = np.sqrt(np.diag(covariance))
    places = [*out_along(of, middle, covariance, 2.0), *wider(of, middle, covariance, 2.0)]
    moved = ["waning_z", "waning_z", "growth_sd_z", "kill_sd_z", "volatility_sd_z"]
    for place, name, sds in zip(places, moved, [2.0, -2.0, 2.0, 2.0, 2.0], strict=True):
        k = of.names.index(name)
        off = place - middle
        assert off[k] == pytest.approx(sds * sd[k])
        assert off @ np.linalg.solve(covariance, off) == pytest.approx(4.0)  # nothing is likelier
    assert out_along(OF, middle[: len(OF)], np.eye(len(OF)), 2.0) == []
