"""Weighed positions, what is learnt from them, and draws out of them, on targets known in full."""

import threading

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.integrate import quad

from pdmodel.parallel import side_by_side
from pdmodel.quadrature import pool as pooling
from pdmodel.quadrature.climb import Summit
from pdmodel.quadrature.emulator import WARM, emulator, proposed
from pdmodel.quadrature.pool import Proposal, Weighed, gathered
from pdmodel.quadrature.resampling import alternated, comparable, resampled, smoothed, worth

PLACE = Proposal(np.array([1.0, -2.0]), np.array([[1.0, 0.6], [0.6, 2.0]]))
MEAN = np.array([1.0, -2.0, 0.5])
COVARIANCE = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, -0.6], [0.0, -0.6, 0.8]])
NORMAL = stats.multivariate_normal(MEAN, COVARIANCE)


def weighed(x: np.ndarray, log_posterior: np.ndarray) -> Weighed:
    nothing = np.zeros((len(x), 1))
    return Weighed(x, log_posterior, nothing, nothing, nothing[..., None], np.zeros(len(x), int))


# ------------------------------------------------------------------------------- proposals


def test_a_proposal_has_the_density_that_it_draws_from():
    x = PLACE.draw(np.random.default_rng(1), 100_000)
    line = np.linspace(-40, 40, 801)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    share = np.exp(PLACE.log_density(grid)) * (line[1] - line[0]) ** 2
    assert share.sum() == pytest.approx(1.0, abs=2e-3)
    for corner in ((1.0, -2.0), (2.0, 0.0), (-1.0, -4.0)):
        inside = np.all(x < corner, axis=1).mean()
        assert inside == pytest.approx(share[np.all(grid < corner, axis=1)].sum(), abs=0.02)


def test_a_proposal_in_one_coordinate_integrates_to_one():
    one = Proposal(np.array([0.3]), np.array([[0.5]]))
    total = quad(lambda x: np.exp(one.log_density(np.array([[x]]))[0]), -40, 40, points=[0.3])[0]
    assert_allclose(total, 1.0, atol=1e-6)


def test_the_proposal_is_learnt_from_what_was_weighed():
    counts: list[int] = []

    def weigh(x, name):
        counts.append(len(x))
        return weighed(x, NORMAL.logpdf(x))

    start = Summit(MEAN + 1.5, 0.3 * np.eye(3), None, 8, True)  # off, and too narrow
    every, proposal = gathered(weigh, start, 5, 5, 400)
    assert counts == [400] * 5
    assert len(every.x) == 2000
    assert_allclose(proposal.mean, MEAN, atol=0.2)
    assert_allclose(proposal.covariance, COVARIANCE, atol=0.35)


def test_weights_of_several_proposals_are_those_by_hand():
    x = np.linspace(-2, 2, 7)[:, None]
    proposals = [Proposal(np.zeros(1), np.eye(1)), Proposal(np.ones(1), 2 * np.eye(1))]
    raw = pooling._log_weights(weighed(x, stats.norm(0.2).logpdf(x[:, 0])), proposals)
    by_hand = stats.norm(0.2).pdf(x[:, 0]) / sum(np.exp(one.log_density(x)) for one in proposals)
    assert_allclose(np.exp(raw), by_hand / by_hand.max(), rtol=1e-10)


# -------------------------------------------------------------------------------- emulator


def bent(x):
    """A density with a ridge that bends; its mean and sds are known."""
    return stats.norm.logpdf(x[..., 0]) + stats.norm(0, 0.5).logpdf(
        x[..., 1] - 0.4 * (x[..., 0] ** 2 - 1.0)
    ) + stats.norm(1.0, 2.0).logpdf(x[..., 2])  # fmt: skip


BENT_SD = np.array([1.0, np.sqrt(0.25 + 0.16 * 2.0), 2.0])


@pytest.fixture(scope="module")
def learnt(broadcasting):
    around = Proposal(np.array([0.0, 0.0, 1.0]), np.diag([1.0, 0.57, 4.0]))
    x = around.draw(np.random.default_rng(3), 600)
    return emulator(x, bent(x), around)


def test_an_emulator_knows_a_quadratic_everywhere(broadcasting):
    around = Proposal(MEAN, COVARIANCE)
    x = around.draw(np.random.default_rng(3), 60)
    it = emulator(x, NORMAL.logpdf(x), around)
    new = np.random.default_rng(4).multivariate_normal(MEAN, COVARIANCE, 200)
    off = WARM * it.log_density(new) - NORMAL.logpdf(new)
    assert np.ptp(off) < 0.02


def test_an_emulator_follows_what_no_quadratic_can(learnt):
    rng = np.random.default_rng(5)
    first = rng.standard_normal(500)
    x = np.stack([first, 0.4 * (first**2 - 1) + 0.5 * rng.standard_normal(500),
                  1.0 + 2.0 * rng.standard_normal(500)], axis=1)  # fmt: skip
    off = WARM * learnt.log_density(x) - bent(x)
    assert off.std() < 0.1
    columns = np.stack([*x.T, *(x[:, i] * x[:, j] for i in range(3) for j in range(i + 1)),
                        np.ones(500)], axis=1)  # fmt: skip
    quadratic = columns @ np.linalg.lstsq(columns, bent(x), rcond=None)[0]
    assert (quadratic - bent(x)).std() > 5 * off.std()


def test_positions_that_are_all_but_the_same_do_not_stop_an_emulator(broadcasting):
    around = Proposal(MEAN, COVARIANCE)
    x = np.tile(around.draw(np.random.default_rng(3), 30), (8, 1))
    x += 1e-9 * np.random.default_rng(4).normal(size=x.shape)
    it = emulator(x, NORMAL.logpdf(x), around)
    off = WARM * it.log_density(x) - NORMAL.logpdf(x)
    assert np.ptp(off) < 0.1


def test_an_emulator_falls_off_where_nothing_was_weighed(learnt):
    far = np.array([[60.0, 0.0, 1.0], [0.0, -40.0, 1.0], [0.0, 0.0, 150.0]])
    assert np.all(learnt.log_density(far) < learnt.log_density(np.zeros((1, 3))) - 100)


def test_what_an_emulator_proposes_is_from_it_and_resampling_makes_it_exact(learnt):
    x = proposed(learnt, 4 * 1001, jax.random.key(1))
    assert x.shape == (4004, 3)
    np.testing.assert_array_equal(x, proposed(learnt, 4 * 1001, jax.random.key(1)))
    lag = np.array([np.corrcoef(x[1:, k], x[:-1, k])[0, 1] for k in range(3)])
    assert np.all(np.abs(lag) < 4 / np.sqrt(len(x)))
    warm = bent(x) - WARM * learnt.log_density(x)  # what was learnt is flatter than the density
    assert warm.std() < 0.1
    found = resampled(bent(x) - learnt.log_density(x), 4, 1001, 3)
    assert found.effective > 0.9 * len(x)
    got = x[found.row].reshape(-1, 3)
    noise = BENT_SD / np.sqrt(found.effective)
    assert np.all(np.abs(got.mean(axis=0) - [0.0, 0.0, 1.0]) < 4 * noise)


@pytest.mark.slow
def test_tails_of_what_an_emulator_proposes_are_those_of_the_density(learnt):
    many = [proposed(learnt, 4 * 1001, jax.random.key(k)) for k in range(1, 6)]
    x = np.concatenate(many)  # the tail of what is bent is heavy: few draws say little of its sd
    found = resampled(bent(x) - learnt.log_density(x), 4, len(x) // 4, 3)
    got = x[found.row].reshape(-1, 3)
    assert np.all(np.abs(got.std(axis=0) / BENT_SD - 1) < 0.07)


# ------------------------------------------------------------------------------ resampling


def test_draws_have_the_target_as_their_distribution():
    target = stats.skewnorm(4.0, loc=-0.7)
    wide = Proposal(np.array([0.4]), np.array([[1.5]]))
    x = wide.draw(np.random.default_rng(2), 40_000)
    found = resampled(target.logpdf(x[:, 0]) - wide.log_density(x), 4, 10_000, seed=3)
    at = x[found.row, 0]
    wanted = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    shares = (at[..., None] < target.ppf(wanted)).mean(axis=(0, 1))
    assert np.all(np.abs(shares - wanted) < 3 * np.sqrt(wanted * (1 - wanted) / found.effective))
    assert found.pareto_k < 0.5
    assert np.all(found.row // 10_000 == np.arange(4)[:, None])


def test_equal_weights_give_every_position_once():
    found = resampled(np.full(40, -3.0), 4, 10, seed=1)
    assert sorted(found.row.ravel().tolist()) == list(range(40))
    assert found.effective == pytest.approx(40.0)


def test_what_is_not_finite_is_never_drawn():
    raw = np.random.default_rng(1).normal(size=200)
    raw[::2] = [-np.inf, np.nan] * 50
    assert np.all(resampled(raw, 2, 100, seed=1).row % 2 == 1)


@pytest.mark.parametrize(("sd", "trusted"), [(1.3, True), (0.4, False)])
def test_the_tail_of_weights_tells_a_proposal_that_is_too_narrow(sd, trusted):
    x = sd * np.random.default_rng(1).standard_normal(2000)
    raw = stats.norm.logpdf(x) - stats.norm(0, sd).logpdf(x)
    smooth, k = smoothed(np.append(raw, np.nan))
    assert (k < 0.7) == trusted
    assert smooth[-1] < smooth[:-1].min()


def test_chains_that_weights_led_astray_differ():
    """One position that outweighs all others is seen between chains, and in what they are worth."""
    raw = np.zeros(400)
    raw[7] = 8.0
    found = resampled(raw, 4, 100, seed=1)
    assert np.mean(found.row[0] == 7) > 0.5
    assert not np.any(found.row[1:] == 7)
    assert found.effective < 100


# ------------------------------------------------------------------- several proposals together


def test_draws_of_several_proposals_are_worth_what_each_is():
    """Of a standard normal, by a good proposal and a poor one whose constants are not known."""
    rng, count = np.random.default_rng(11), 4000
    x = [rng.normal(0.1, 1.2, count), rng.normal(1.5, 1.5, count)]
    proposal = [stats.norm.logpdf(x[0], 0.1, 1.2) + 3.0, stats.norm.logpdf(x[1], 1.5, 1.5) - 70.0]
    raw = [stats.norm.logpdf(a) - b for a, b in zip(x, proposal, strict=True)]
    each = [worth(one) * count for one in raw]
    weight = np.exp(alternated([comparable(one) for one in raw], 4))
    both = alternated(x, 4)
    assert weight.sum() ** 2 / np.sum(weight**2) == pytest.approx(sum(each), rel=0.03)
    error = 1.0 / np.sqrt(sum(each))
    mean = weight @ both / weight.sum()
    assert abs(mean) < 4.0 * error
    assert weight @ (both - mean) ** 2 / weight.sum() == pytest.approx(1.0, abs=6.0 * error)


def test_every_chain_has_some_of_each_piece():
    one, other = np.arange(4.0), 10.0 + np.arange(8.0)
    found = alternated([one, other], 2)
    assert found.tolist() == [0, 1, 10, 11, 12, 13, 2, 3, 14, 15, 16, 17]
    np.testing.assert_array_equal(
        alternated([one[:, None] * [1.0, 2.0], other[:, None] * [1.0, 2.0]], 2)[:, 1], 2.0 * found
    )


def test_pieces_within_a_piece_are_done_one_after_the_other():
    def piece(k):
        names = side_by_side(lambda j: (threading.current_thread().name, 10 * k + j), 3)
        return len({name for name, _ in names}), [value for _, value in names]

    assert side_by_side(piece, 3) == [(1, [10 * k, 10 * k + 1, 10 * k + 2]) for k in range(3)]
    assert side_by_side(lambda k: k, 3) == [0, 1, 2]
