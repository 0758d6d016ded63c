"""Proposals of the population and chains over weighed positions, on normals that are known."""

import arviz as az
import numpy as np
import pytest
from scipy import stats

from pdmodel.quadrature.independent import chained
from pdmodel.quadrature.pool import Proposal, Weighed

PLACE = Proposal(np.array([1.0, -2.0]), np.array([[1.0, 0.6], [0.6, 2.0]]))


def test_a_proposal_has_the_density_that_it_draws_from():
    x = PLACE.draw(np.random.default_rng(1), 100_000)
    line = np.linspace(-40, 40, 801)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    share = np.exp(PLACE.log_density(grid)) * (line[1] - line[0]) ** 2
    assert share.sum() == pytest.approx(1.0, abs=2e-3)
    for corner in ((1.0, -2.0), (2.0, 0.0), (-1.0, -4.0)):
        inside = np.all(x < corner, axis=1).mean()
        assert inside == pytest.approx(share[np.all(grid < corner, axis=1)].sum(), abs=0.02)


@pytest.mark.parametrize("shift", [0.0, 1.2])
def test_chains_have_the_posterior_whatever_the_proposal(shift):
    """A normal with known moments, proposed from a place that is off by some sds."""
    root = np.linalg.cholesky(PLACE.covariance)
    target = stats.multivariate_normal(PLACE.mean + shift * np.diag(root), 0.7 * PLACE.covariance)
    x = PLACE.draw(np.random.default_rng(2), 4 * 6001)
    nothing = np.zeros((len(x), 1))
    found = Weighed(x, target.logpdf(x) + 5.0, nothing, nothing, nothing[..., None])
    chains = chained(found, PLACE, 4, 6000, 3)
    got = x[chains.row]
    ess = np.array([az.ess(got[..., k]) for k in range(2)])
    assert 0.1 < chains.acceptance.mean() < (0.95 if shift == 0.0 else 0.7)
    sd = np.sqrt(np.diag(target.cov))
    assert np.all(np.abs(got.mean(axis=(0, 1)) - target.mean) < 4 * sd / np.sqrt(ess))
    assert np.all(np.abs(got.std(axis=(0, 1)) / sd - 1) < 4 / np.sqrt(2 * ess))
    if shift:
        assert np.all(np.abs(x.mean(axis=0) - target.mean) > 0.5 * sd)
    # each chain goes over its own positions
    assert np.all(chains.row // 6001 == np.arange(4)[:, None])
