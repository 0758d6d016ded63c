"""A Gaussian process that stands in for the posterior of the population, learnt from a pool.

A weighed position costs seconds over all patients, the emulator microseconds: chains over the
emulator propose, and what they propose is weighed exactly (Rasmussen 2003, "Gaussian processes to
speed up hybrid Monte Carlo", Bayesian Statistics 7; Christen and Fox 2005,
doi:10.1198/106186005X76983). Around a quadratic with a vague prior the process is smooth, squared
exponential, with one length for all whitened coordinates.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from pdmodel.batches import in_batches
from pdmodel.nuts import Settings, kernel
from pdmodel.parallel import side_by_side
from pdmodel.quadrature.pool import Proposal

SPAN = 30.0
"""Positions whose log posterior lies further below the best, beyond one for each coordinate, are
not learnt from."""
WARM = 1.1
"""What is learnt is divided by this: proposals that are too narrow would miss tails."""
VAGUE = 1e4
"""Prior variance of the coefficients of the quadratic."""
SHORT, NOISE = 5.0, 0.1
"""First guesses of the length and of the noise, in whitened coordinates and nats."""
LEAST_NOISE = 0.01
"""Nats; with less, kernels cannot be factored in double precision."""
MOST, LEARNT = 2048, 512
"""Positions learnt from, and those from which scale, length and noise are estimated, at most;
chosen at random where there are more."""
STIFF = 2.0
"""How the emulator falls off where nothing was weighed: nats per squared whitened distance."""
CHAINS, THIN, HOW = 4, 2, Settings(warmup=200, max_depth=6)
"""NUTS over the emulator: chains, one draw of how many is kept, and how they are run."""
PADDED, PART = 1024, 64
"""Positions learnt from are filled up to a multiple, and draws are made in parts, so that few
programs are compiled."""


class Emulator(NamedTuple):
    """A log density as a function of whitened coordinates, up to a constant.

    Attributes
    ----------
    mean : ndarray, shape (coordinates,)
    root : ndarray, shape (coordinates, coordinates)
        ``x = mean + root @ u``.
    at : ndarray, shape (positions, coordinates)
        Positions learnt from, whitened.
    coefficient : ndarray, shape (positions,)
    length : float
    slope, curve : ndarray
        Of the quadratic.
    radius : float
        Beyond this distance nothing was weighed.
    """

    mean: np.ndarray
    root: np.ndarray
    at: np.ndarray
    coefficient: np.ndarray
    length: float
    slope: np.ndarray
    curve: np.ndarray
    radius: float

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density of positions, (count, coordinates) to (count,), up to a constant."""
        u = np.linalg.solve(self.root, (np.asarray(x) - self.mean).T).T
        return np.asarray(_all_heights(self, jnp.asarray(u)))


def _height(it: Emulator, u: Array) -> Array:
    distance = jnp.sqrt(jnp.sum(u**2) + 1e-12)
    inside = u * jnp.minimum(1.0, it.radius / distance)
    near = jnp.exp(-0.5 * jnp.sum((it.at - inside) ** 2, axis=1) / it.length**2)
    outside = jnp.maximum(distance - it.radius, 0.0)
    known = near @ it.coefficient + it.slope @ inside + inside @ it.curve @ inside
    return known - STIFF * outside**2


@jax.jit
def _all_heights(it: Emulator, u: Array) -> Array:
    return in_batches(partial(_height, it), u, 64)


def emulator(x: np.ndarray, log_posterior: np.ndarray, around: Proposal) -> Emulator:
    """Learn a density somewhat wider than the posterior from weighed positions.

    Parameters
    ----------
    x : ndarray, shape (positions, coordinates)
    log_posterior : ndarray, shape (positions,)
    around : Proposal
        Whose mean and covariance whiten the coordinates.
    """
    size = x.shape[1]
    root = np.linalg.cholesky(around.covariance)
    known = np.where(np.isfinite(log_posterior), log_posterior, -np.inf)
    use = np.flatnonzero(known > known.max() - SPAN - size)
    use = np.random.default_rng(len(use)).permutation(use)[:MOST]
    u = np.linalg.solve(root, (x[use] - around.mean).T).T
    y = (known[use] - known.max()) / WARM
    some = np.random.default_rng(len(u)).permutation(len(u))[:LEARNT]
    scale, length, noise = _learnt(u[some], y[some])
    coefficient = cho_solve(_factor_safely(u, scale, length, noise), y)
    distance = np.sqrt(np.sum(u**2, axis=1))
    return Emulator(
        around.mean,
        root,
        u,
        scale**2 * coefficient,
        length,
        2.0 * VAGUE / size * coefficient @ u,
        VAGUE / size**2 * (u.T * coefficient) @ u,
        float(np.max(distance)),
    )


def _factor(u: np.ndarray, scale: float, length: float, noise: float) -> tuple[np.ndarray, Any]:
    inner = u @ u.T
    square = np.diag(inner)
    apart = np.maximum(square[:, None] + square - 2.0 * inner, 0.0)
    kernel = scale**2 * np.exp(-0.5 * apart / length**2)
    kernel += VAGUE * (1.0 + inner / u.shape[1]) ** 2 + noise**2 * np.eye(len(u))
    return cho_factor(kernel, lower=True)


def _factor_safely(u: np.ndarray, scale: float, length: float, noise: float) -> tuple[Any, Any]:
    """Factor with as much noise as rounding needs."""
    noise = max(noise, LEAST_NOISE)
    while noise < scale:
        try:
            return _factor(u, scale, length, noise)
        except np.linalg.LinAlgError:
            noise *= 2.0
    return _factor(u, scale, length, noise)


def _learnt(u: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Scale, length and noise of the largest marginal likelihood."""

    def cost(log_values: np.ndarray) -> float:
        try:
            factor = _factor(u, *np.exp(log_values))
        except np.linalg.LinAlgError:
            return 1e12
        return float(0.5 * y @ cho_solve(factor, y) + np.sum(np.log(np.diag(factor[0]))))

    first = np.log([2.0 * SHORT, SHORT, NOISE])
    found = minimize(cost, first, method="Nelder-Mead", options={"maxfev": 80, "xatol": 0.02})
    scale, length, noise = np.exp(found.x)
    return float(scale), float(length), float(noise)


def proposed(it: Emulator, count: int, key: Array) -> np.ndarray:
    """Draw positions from the emulator by NUTS, in an order of no meaning, (count, coordinates)."""
    shuffle, *keys = jax.random.split(key, CHAINS + 1)
    more = -len(it.at) % PADDED
    padded = it._replace(
        at=np.pad(it.at, ((0, more), (0, 0))), coefficient=np.pad(it.coefficient, (0, more))
    )
    each = -(-count // CHAINS)
    drawn = side_by_side(lambda k: _chain(padded, keys[k], each), CHAINS)
    order = np.asarray(jax.random.permutation(shuffle, each * CHAINS))[:count]
    return it.mean + np.concatenate(drawn)[order] @ it.root.T


def _chain(it: Emulator, key: Array, count: int) -> np.ndarray:
    """Draw whitened positions by one chain, (count, coordinates), in parts of one length."""
    state = _begun(it, key)
    for _ in range(-(-HOW.warmup // (THIN * PART))):
        state, _ = _some_draws(it, state)
    parts = []
    for _ in range(-(-count // PART)):
        state, u = _some_draws(it, state)
        parts.append(np.asarray(u))
    return np.concatenate(parts)[:count]


START, MOVE = kernel(lambda it: lambda z: -_height(it, z["u"]), HOW)
"""NumPyro's NUTS; it moves by what it was told when it was started."""


@jax.jit
def _begun(it: Emulator, key: Array) -> Any:
    return START({"u": jnp.zeros(it.at.shape[1])}, key, it)


@jax.jit
def _some_draws(it: Emulator, state: Any) -> tuple[Any, Array]:
    """Go on by `PART` draws, (PART, coordinates)."""

    def draw(state: Any, _: None) -> tuple[Any, Array]:
        state = jax.lax.fori_loop(0, THIN, lambda _, state: MOVE(state, it), state)
        return state, state.z["u"]

    return jax.lax.scan(draw, state, None, PART)
