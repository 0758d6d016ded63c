"""Sick models that are really sampled are flagged, and a healthy one is trusted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from made_draws import MODEL, SHRUNK, a_fit, natural
from pdmodel.diagnose import INDEPENDENT, diagnose
from pdmodel.nuts import Settings, sample

CHAINS, HOW = 4, Settings(warmup=300, draws=500, max_depth=8, chunk=100)
STANDS_FOR = ("waning", "scatter")


def healthy(z):
    return 0.5 * jnp.sum(z**2)


def funnel(z):
    """Neal's, with eight narrow directions (doi:10.1214/aos/1056562461)."""
    return 0.5 * (z[0] / 3.0) ** 2 + 0.5 * jnp.sum(z[1:] ** 2) * jnp.exp(-z[0]) + 4.0 * z[0]


def two_modes(z):
    return -jnp.logaddexp(-2.0 * jnp.sum((z - 4.0) ** 2), -2.0 * jnp.sum((z + 4.0) ** 2))


def stuck(z):
    """A normal with a narrow hole far out, where one chain starts."""
    return 0.5 * jnp.sum(z**2) + jnp.where(z[0] > 6.0, 1e4 * (z[0] - 8.0) ** 2 - 500.0, 0.0)


def not_a_number(z):
    return jnp.where(z[0] > 0.3, jnp.nan, 0.5 * jnp.sum(z**2))


def unidentified(z):
    """Only the sum is known, to a thousandth of what the priors leave open."""
    return 0.5 * ((z[0] + z[1]) / 1e-3) ** 2 + 0.5 * jnp.sum(z**2)


def started(potential, size):
    starts = [np.random.default_rng(k).normal(size=size) for k in range(CHAINS)]
    if potential is two_modes:
        starts = [4.0 * (-1) ** k + 0.1 * z for k, z in enumerate(starts)]
    if potential is stuck:
        starts[2] = np.array([8.0, 0.0])
    if potential is not_a_number:
        starts = [-np.abs(z) - 0.5 for z in starts]
    return [{"z": jnp.asarray(z)} for z in starts]


def diagnosed(potential):
    size = 9 if potential is funnel else 2
    keys = list(jax.random.split(jax.random.key(1), CHAINS))
    drawn = sample(
        lambda _: lambda z: potential(z["z"]), (), started(potential, size), keys, HOW,
        lambda _: None,
    )  # fmt: skip

    def planted(values, stats):
        for name, column in zip(STANDS_FOR, (0, 1), strict=True):
            q = next(q for q in MODEL.shared if q.name == name)
            z = drawn.positions["z"][..., column]
            values[name] = natural(q, q.centre + SHRUNK * q.prior_sd * z)
        stats.update({name: drawn.statistics[name] for name in stats})

    return diagnose(a_fit(planted, chains=CHAINS, draws=HOW.draws))


def test_a_healthy_model_is_trusted():
    found = diagnosed(healthy)
    assert found.trusted, found.reasons
    assert found.notes == (INDEPENDENT,)


@pytest.mark.parametrize(
    ("potential", "word"),
    [
        (funnel, r"diverged|E-BFMI"),
        (two_modes, "have not converged"),
        (stuck, "have not converged"),
        (not_a_number, r"diverged|have not converged"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_sick_model_is_flagged(potential, word):
    found = diagnosed(potential)
    assert not found.trusted
    with pytest.raises(AssertionError, match=word):
        raise AssertionError("; ".join(found.reasons))


def test_an_unidentified_model_is_named():
    found = diagnosed(unidentified)
    ridge = [note for note in found.notes if "ridge" in note]
    assert len(ridge) == 1
    assert ridge[0].startswith("waning and scatter lie on a ridge: only a combination of them is")
    assert "rank correlation -1.00" in ridge[0]
