"""Fits over nodes: the mode, the corrected sampler, first answers, and patients who join later."""

import sys
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import logsumexp

import pdmodel as pdm
from pdmodel import by_nodes
from pdmodel.checkpoint import NOT_KEPT
from pdmodel.errors import DataError, FitError, OptionError
from pdmodel.integration import against_method
from pdmodel.keys import key_of
from pdmodel.likelihood import evidence
from pdmodel.newcomers import joined
from pdmodel.nodes import Nodes
from pdmodel.nuts import Settings
from pdmodel.quadrature.climb import climbed
from pdmodel.quadrature.coordinates import Coordinates, no_traits
from pdmodel.quadrature.effort import EFFORTS
from pdmodel.quadrature.integrand import log_marginals, log_posterior, log_weights, weighed
from pdmodel.quadrature.placing import Placed, Prepared
from pdmodel.quadrature.pool import gathered, weigh
from pdmodel.quadrature.resampling import resampled
from pdmodel.quadrature.rule import laid
from pdmodel.quadrature.series import series
from random_walks import walked

pytestmark = pytest.mark.usefixtures("broadcasting")

WALK = pdm.residual("walk")


def held(*free):
    """The walk with all shared parameters fixed but some."""
    own = ("volatility", *free)
    return replace(WALK, parameters=tuple(
        q if q.name in own else replace(q, prior_sd=None, between=None) for q in WALK.parameters
    ))  # fmt: skip


ONE = pdm.Model(pdm.mechanism("flat"), (), held("quiet"))
SMALL = {"seed": 3, "chains": 2, "warmup": 150, "draws": 400}


@pytest.fixture(scope="module")
def cohort():
    return walked(12, 1)


@pytest.fixture(scope="module")
def fewer_nodes():
    with pytest.MonkeyPatch.context() as patch:
        less = {k: one._replace(raw=1024, fresh=512) for k, one in EFFORTS.items()}
        patch.setattr(sys.modules["pdmodel.fit"], "EFFORTS", less)
        yield


@pytest.fixture(scope="module")
def posed(broadcasting, cohort):
    of = Coordinates(ONE)
    return of, series(evidence(ONE, cohort, "draft"), no_traits(len(cohort)))


@pytest.fixture(scope="module")
def summit(posed):
    return climbed(*posed, jax.random.key(1))


@pytest.fixture(scope="module")
def nodes(posed, summit, fewer_nodes):
    of, it = posed
    population = of.population(summit.position, it.traits)
    return laid(of, it, summit.known, population, jax.random.key(2), 1024, 32).nodes


# --------------------------------------------------------------------------------- the mode


def over_a_grid(of, it, x):
    """Log posterior of a position, patients' one effect integrated out on a fixed grid."""
    place = jnp.linspace(-7.0, 2.0, 121)
    effects = jnp.broadcast_to(place[:, None, None], (121, it.data.patients, 1))
    grid = Nodes(effects, jnp.zeros((121, it.data.patients)))
    population = of.population(x, it.traits)
    return log_posterior(of, it, log_marginals(log_weights(of, it, grid, population)), x)


def test_the_climb_ends_at_the_mode(posed, summit):
    """Within a nat of that of SciPy on the exact density; draws lie 2.5 below on average."""
    of, it = posed
    run = jax.jit(lambda x: -over_a_grid(of, it, x))
    best = minimize(lambda x: float(run(jnp.asarray(x))), np.asarray(summit.position),
                    method="Powell", options={"xtol": 1e-3, "ftol": 1e-9})  # fmt: skip
    assert summit.settled
    assert 0 <= float(run(summit.position)) - best.fun < 1.0


def test_a_climb_is_the_same_for_the_same_key_only(posed, summit):
    again, other = (climbed(*posed, jax.random.key(k)).position for k in (1, 2))
    np.testing.assert_array_equal(again, summit.position)
    assert not np.array_equal(other, summit.position)


def test_where_no_density_is_finite_it_is_said(posed, monkeypatch):
    of, it = posed
    nowhere = jnp.full((it.data.patients, len(of)), jnp.nan), jnp.zeros(len(of))
    monkeypatch.setattr("pdmodel.quadrature.climb._gradients", lambda *_: nowhere)
    with pytest.raises(FitError, match="No population with a finite density was found for the 12 "):
        climbed(of, it, jax.random.key(1))


# -------------------------------------------------------------------------- the exact density


@pytest.fixture(scope="module")
def exact(posed, nodes, summit):
    """Mean and sd of the posterior over the nodes, by importance sampling, twice."""
    of, it = posed
    run = jax.jit(lambda x: jax.lax.map(lambda x: weighed(of, it, nodes, x)[0], x, batch_size=64))
    far = stats.multivariate_t(np.zeros(len(of)), np.eye(len(of)), df=6)
    mean, covariance = np.asarray(summit.position), summit.covariance
    for seed in (4, 5):
        z = far.rvs(2500, random_state=np.random.default_rng(seed))
        x = mean + 1.2 * z @ np.linalg.cholesky(covariance).T
        weight = np.asarray(run(jnp.asarray(x))) - far.logpdf(z)
        weight = np.exp(weight - logsumexp(weight))
        mean = weight @ x
        covariance = (x - mean).T @ (weight[:, None] * (x - mean))
    assert 1 / np.sum(weight**2) > 1000
    return mean, np.sqrt(np.diag(covariance))


def test_draws_find_the_posterior_from_a_wrong_mode(posed, nodes, summit, exact):
    of, it = posed
    mean, sd = exact
    wrong = summit._replace(
        position=summit.position + 1.5 * jnp.asarray(sd), covariance=1.5 * summit.covariance
    )
    before = Prepared(wrong, nodes, summit.known)
    effort = EFFORTS["quick"]._replace(rounds=3, pooled=128, sharpened=1, added=128)

    def weighing(before, x, name):
        given = (before.nodes, before.courses, x, key_of(3, name))
        return weigh(of, it, *given, name=name, checkpoints=NOT_KEPT, tick=lambda *_: None)

    pool = gathered(partial(weighing, before), wrong, 3, effort.rounds, effort.pooled)
    where, told = Placed(before, *pool, 0.0), by_nodes.Ticks(lambda _: None, 0)
    found, raw = by_nodes._weighed(where, weighing, 3, effort, Settings(draws=200), told)
    chosen = resampled(raw, 4, 200, 3)
    got = found.x[chosen.row]
    assert chosen.effective > 0.8 * 800
    assert chosen.pareto_k < 0.7
    assert np.all(np.abs(got.mean(axis=(0, 1)) - mean) < 0.2 * sd)
    assert np.all(np.abs(got.std(axis=(0, 1)) / sd - 1) < 0.2)


def test_a_stored_likelihood_that_falls_off_too_fast_is_found_out(
    posed, nodes, summit, exact, monkeypatch
):
    """Of one shared parameter the stored one is made steeper by a known parabola."""
    of, it = posed
    mean, sd = exact
    x = mean + sd * np.random.default_rng(5).standard_normal((400, len(of)))
    effort, before = EFFORTS["quick"]._replace(fresh=2048), Prepared(summit, nodes, summit.known)
    monkeypatch.setattr("pdmodel.quadrature.placing.shared_by_courses", lambda _: (0,))
    right = by_nodes.checked(of, it, before, effort, x, jax.random.key(1))
    assert abs(float(right["too_steep_nats"])) < 0.5
    exactly = by_nodes.at_one

    def steeper(of, it, nodes, courses, at, key):
        stored, *rest = exactly(of, it, nodes, courses, at, key)
        return stored - 0.5 * ((at[0] - mean[0]) / sd[0]) ** 2, *rest

    monkeypatch.setattr(by_nodes, "at_one", steeper)
    wrong = by_nodes.checked(of, it, before, effort, x, jax.random.key(1))
    assert float(wrong["too_steep_nats"]) == pytest.approx(0.5 * 2.5**2 - 0.5, abs=1.0)
    np.testing.assert_array_equal(wrong["noise_nats"], right["noise_nats"])
    assert "too_steep_sd_nats" not in right


def test_a_stored_likelihood_that_is_cut_where_patients_differ_more_is_found_out(
    posed, nodes, summit, exact, monkeypatch
):
    """It is made too small there, in one effect, by a known amount."""
    of, it = posed
    mean, sd = exact
    x = mean + sd * np.random.default_rng(5).standard_normal((400, len(of)))
    effort = EFFORTS["quick"]._replace(fresh=1024, wider=True)
    before = Prepared(summit, nodes, summit.known)
    right = by_nodes.checked(of, it, before, effort, x, jax.random.key(1))
    assert right["too_steep_sd_nats"].shape == (len(of.effects),)
    assert np.max(np.abs(right["too_steep_sd_nats"])) < 0.7
    exactly, along = by_nodes.at_one, of.names.index(f"{of.effects[-1].name}_sd_z")

    def cut(of, it, nodes, courses, at, key):
        stored, *rest = exactly(of, it, nodes, courses, at, key)
        return stored - 3.0 * (at[along] > mean[along] + 2.4 * sd[along]), *rest

    monkeypatch.setattr(by_nodes, "at_one", cut)
    wrong = by_nodes.checked(of, it, before, effort, x, jax.random.key(1))
    added = wrong["too_steep_sd_nats"] - right["too_steep_sd_nats"]
    np.testing.assert_allclose(added, [0.0] * (len(of.effects) - 1) + [3.0], atol=1e-6)


# ------------------------------------------------------------------------------------- fits


@pytest.fixture(scope="module")
def slow_fit(cohort, fewer_nodes):
    return pdm.fit(ONE, cohort, **SMALL)


@pytest.fixture(scope="module")
def quick_fit(cohort, fewer_nodes):
    return pdm.fit(ONE, cohort, method="quick", **SMALL)


@pytest.mark.slow
def test_both_methods_give_one_posterior(slow_fit, quick_fit):
    for q in ("quiet", "volatility_typical", "volatility_sd", "baseline_typical", "baseline_sd"):
        one, two = (np.log(fit.posterior[q].to_numpy().ravel()) for fit in (slow_fit, quick_fit))
        assert abs(one.mean() - two.mean()) < 0.3 * one.std()
        assert 0.75 < two.std() / one.std() < 1.33
    for name in ("volatility", "baseline"):
        one, two = (np.log(fit.posterior[name]).to_numpy() for fit in (slow_fit, quick_fit))
        gap = (one.mean(axis=(0, 1)) - two.mean(axis=(0, 1))) / one.std(axis=(0, 1))
        assert np.all(np.abs(gap) < 0.35)


@pytest.mark.slow
def test_a_first_answer_says_so_and_a_bad_one_is_not_trusted(quick_fit):
    reasons, notes = against_method(quick_fit)
    assert reasons == ()
    assert any(note.startswith("a first answer") for note in notes)
    for k in (0.95, np.nan):
        bad = replace(quick_fit, manifest=quick_fit.manifest | {"pareto_k": k})
        found = pdm.diagnose(bad)
        assert not found.trusted
        assert any(f"Pareto k is {k:.2f} (must be at most 0.7" in one for one in found.reasons)


@pytest.mark.slow
def test_a_patient_with_one_scan_is_one_of_the_population(slow_fit):
    """One scan tells nothing of a volatility, so that its posterior is the population's."""
    person = replace(slow_fit.cohort.patients[0], id="new", day=np.zeros(1),
                     size_mm=np.array([40.0]), censored=np.zeros(1, bool))  # fmt: skip
    cohort = pdm.Cohort((person,))
    fit = joined(slow_fit, cohort, draws=600, seed=1)
    assert fit.manifest["newcomers"] == 1
    assert fit.posterior.sizes == {"chain": 1, "draw": 600, "patient": 1}
    drawn = np.log(fit.posterior["volatility"].to_numpy().ravel())
    typical = np.log(slow_fit.posterior["volatility_typical"].to_numpy().ravel())
    sd = np.sqrt(np.mean(slow_fit.posterior["volatility_sd"].to_numpy() ** 2) + typical.var())
    assert abs(drawn.mean() - typical.mean()) < 0.2 * sd
    assert 0.85 < drawn.std() / sd < 1.15
    size = fit.posterior["baseline"].to_numpy()
    assert np.all(np.abs(size - 40) < 4)
    table = pdm.predict(fit, [0, 42], draws=50, seed=1)
    assert np.isfinite(table["median"]).all()


@pytest.mark.slow
def test_patients_of_the_fit_get_their_own_posterior_again(slow_fit):
    fit = joined(slow_fit, slow_fit.cohort, draws=600, seed=2)
    one, two = (np.log(f.posterior["volatility"]).to_numpy() for f in (slow_fit, fit))
    gap = (one.mean(axis=(0, 1)) - two.mean(axis=(0, 1))) / one.std(axis=(0, 1))
    assert np.all(np.abs(gap) < 0.25)
    assert np.all(np.abs(two.std(axis=(0, 1)) / one.std(axis=(0, 1)) - 1) < 0.2)


@pytest.mark.slow
def test_who_cannot_join_is_told(slow_fit):
    with pytest.raises(OptionError, match="draws is 2; it must be >= 4"):
        joined(slow_fit, slow_fit.cohort, draws=2, seed=1)
    with pytest.raises(DataError, match=r"A size in the fit is the sum .*--size-kind"):
        joined(slow_fit, replace(slow_fit.cohort, size_kind="lesion"), seed=1)
    given = {"nivolumab": pdm.Regimen.none()}
    treated = replace(slow_fit.cohort.patients[0], regimens=given)
    with pytest.raises(DataError, match="were given nivolumab, which the fit does not know"):
        joined(slow_fit, pdm.Cohort((treated,)), seed=1)
    alone = {"options": slow_fit.manifest["options"] | {"pooling": "none"}}
    with pytest.raises(OptionError, match="has no population"):
        joined(replace(slow_fit, manifest=slow_fit.manifest | alone), slow_fit.cohort, seed=1)
