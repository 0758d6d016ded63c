"""Weighed positions of the population, and the chains made of them, on targets known in full."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm, skewnorm

from pdmodel.quadrature import pool as pooling
from pdmodel.quadrature.climb import Summit
from pdmodel.quadrature.independent import chained
from pdmodel.quadrature.pool import Proposal, Weighed, gathered

MEAN = np.array([1.0, -2.0, 0.5])
COVARIANCE = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, -0.6], [0.0, -0.6, 0.8]])


def weighed(x: np.ndarray, log_posterior: np.ndarray) -> Weighed:
    nothing = np.zeros((len(x), 1))
    return Weighed(x, log_posterior, nothing, nothing, np.zeros((len(x), 1, 1)))


def test_the_density_of_a_proposal_is_that_of_its_draws():
    one = Proposal(np.array([0.3]), np.array([[0.5]]))
    total = quad(lambda x: np.exp(one.log_density(np.array([[x]]))[0]), -40, 40, points=[0.3])[0]
    assert_allclose(total, 1.0, atol=1e-6)
    draws = one.draw(np.random.default_rng(1), 200_000)[:, 0]
    below = quad(lambda x: np.exp(one.log_density(np.array([[x]]))[0]), -40, 1.0)[0]
    assert_allclose(np.mean(draws < 1.0), below, atol=4 * 0.5 / np.sqrt(len(draws)))


def test_chains_have_the_target_as_their_distribution():
    target = skewnorm(4.0, loc=-0.7)
    wide = Proposal(np.array([0.4]), np.array([[1.5]]))
    chains, draws = 4, 20_000
    x = wide.draw(np.random.default_rng(2), chains * (draws + 1))
    found = chained(weighed(x, target.logpdf(x[:, 0])), wide, chains, draws, seed=3)
    at = x[found.row, 0]
    ends = target.ppf([0.05, 0.25, 0.5, 0.75, 0.95])
    shares = (at[..., None] < ends).mean(axis=(0, 1))
    noise = 3.0 * np.sqrt(
        shares * (1 - shares) / (chains * draws) * (2.0 / found.acceptance.mean())
    )
    assert np.all(np.abs(shares - [0.05, 0.25, 0.5, 0.75, 0.95]) < noise)
    moved = np.mean(found.row[:, 1:] != found.row[:, :-1])
    assert_allclose(moved, found.acceptance.mean(), atol=0.01)


def test_chains_never_stay_where_nothing_is_finite():
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    log_posterior = np.array([-np.inf, -np.inf, -1.0, np.nan])
    found = chained(weighed(x, log_posterior), Proposal(np.zeros(1), np.eye(1)), 1, 3, seed=1)
    assert found.row.tolist() == [[1, 2, 2]]


@pytest.fixture
def known_target(monkeypatch):
    """Weigh positions by a normal instead of by nodes."""
    density = multivariate_normal(MEAN, COVARIANCE)

    def weigh(of, it, nodes, x, key, *, name, checkpoints, tick):
        tick(len(x))
        return weighed(x, density.logpdf(x))

    monkeypatch.setattr(pooling, "weigh", weigh)
    return density


def test_the_proposal_is_learnt_from_what_was_weighed(known_target):
    ticks: list[int] = []
    start = Summit(MEAN + 1.5, 0.3 * np.eye(3), None, 8, True)  # off, and too narrow
    pool, proposal = gathered(
        None, None, None, start, 5, 5, 400, checkpoints=None, tick=ticks.append
    )
    assert sum(ticks) == 2000
    assert_allclose(proposal.mean, MEAN, atol=0.2)
    assert_allclose(proposal.covariance, COVARIANCE, atol=0.35)
    weight = np.exp(pool.log_weight)
    weight /= weight.sum()
    assert_allclose(weight @ pool.weighed.x, MEAN, atol=0.15)
    assert pool.pareto_k < 0.7


def test_a_pool_that_misses_the_target_says_so(known_target):
    far = Summit(MEAN + 12.0, 0.01 * np.eye(3), None, 8, True)
    pool, _ = gathered(None, None, None, far, 5, 1, 400, checkpoints=None, tick=lambda _: None)
    assert pool.pareto_k > 0.7


def test_weights_of_a_single_normal_proposal_are_those_by_hand():
    x = np.linspace(-2, 2, 7)[:, None]
    proposals = [Proposal(np.zeros(1), np.eye(1)), Proposal(np.ones(1), 2 * np.eye(1))]
    raw = pooling._log_weights(weighed(x, norm(0.2).logpdf(x[:, 0])), proposals)
    by_hand = norm(0.2).pdf(x[:, 0]) / sum(np.exp(one.log_density(x)) for one in proposals)
    assert_allclose(np.exp(raw), by_hand / by_hand.max(), rtol=1e-10)
