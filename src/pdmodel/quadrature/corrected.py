"""Sampling the population: NUTS on the surface proposes, the nodes themselves decide.

Each draw is one transition of NUTS under the surface, accepted with the probability that makes the
posterior over the nodes the one that is sampled, whatever the surface (delayed acceptance: Christen
and Fox 2005, doi:10.1198/106186005X76983). The same evaluation chooses the patients' nodes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.nuts import Draws, Progress, Settings, kernel, run
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.integrand import Series, log_marginals, log_posterior, log_weights
from pdmodel.quadrature.surface import Surface, height, outside


class Chain(NamedTuple):
    """State of a chain: that of NUTS, the density over nodes, and the patients' effects."""

    inner: Any
    exact: Array
    marginal: Array
    effects: Array
    effective: Array


type Setup = tuple[Series, Surface]


def chosen(key: Array, log_weight: Array, effects: Array) -> tuple[Array, Array]:
    """Choose a node for every patient by weight; and the effective number of nodes."""
    rank = jax.random.categorical(key, log_weight, axis=0)
    mine = jnp.take_along_axis(effects, rank[None, :, None], axis=0)[0]
    return mine, 1.0 / jnp.sum(jax.nn.softmax(log_weight, axis=0) ** 2, axis=0)


def sampled(
    of: Coordinates, setup: Setup, starts: list[Array], keys: list[Array], covariance: np.ndarray,
    settings: Settings, report: Callable[[Progress], None],
) -> tuple[Draws, dict[str, np.ndarray]]:  # fmt: skip
    """Sample the population, and choose the patients' nodes.

    Returns
    -------
    draws : Draws
        ``x``, of shape (chains, draws, coordinates), and statistics. ``acceptance_rate`` is that
        of the decision by the nodes; ``lp`` the log density over nodes.
    rest : dict of str to ndarray
        ``effects`` (chains, draws, patients, effects); ``marginal``, the log marginal likelihood,
        and ``effective`` (chains, draws, patients); ``outside`` (chains, draws).
    """

    def potential_of(setup: Setup) -> Callable:
        return lambda z: -height(of, *setup, z["x"])

    start, move = kernel(potential_of, settings, [("x",)], {("x",): covariance})

    def step(chain: Chain, setup: Setup) -> tuple[Chain, dict]:
        chain = decided(of, setup, chain, move(chain.inner, setup), settings.warmup)
        return chain, _kept(of, setup, chain)

    patients, effects = setup[1].nodes.effects.shape[1:]
    none = jnp.zeros(patients)
    empty = (jnp.array(jnp.inf), none, jnp.zeros((patients, effects)), none)
    states = [
        Chain(start({"x": x}, key, setup), *empty) for x, key in zip(starts, keys, strict=True)
    ]
    kept = run(step, setup, states, settings, report)
    names = ("effects", "marginal", "effective", "outside")
    return Draws({"x": kept["x"]}, kept["statistics"]), {name: kept[name] for name in names}


def decided(of: Coordinates, setup: Setup, chain: Chain, proposed: Any, warmup: int) -> Chain:
    """Accept a transition or stay; during warm-up, go along with the surface."""
    it, surface = setup
    before = chain.inner
    k1, k2, rng = jax.random.split(proposed.rng_key, 3)

    def decide(_: None) -> Chain:
        x = proposed.z["x"]
        log_weight = log_weights(of, it, surface.nodes, of.population(x, it.traits))
        exact = -log_posterior(of, log_weight, x)
        gain = (chain.exact - before.potential_energy) - (exact - proposed.potential_energy)
        chance = jnp.where(jnp.isfinite(chain.exact), jnp.exp(jnp.minimum(gain, 0.0)), 1.0)
        chance = jnp.where(jnp.isfinite(exact), chance, 0.0)
        chance = jnp.where(outside(of, surface, x), 0.0, chance)
        accept = jax.random.uniform(k1) < chance
        effects, effective = chosen(k2, log_weight, surface.nodes.effects)
        fresh = proposed._replace(accept_prob=chance, rng_key=rng)
        stay = fresh._replace(
            z=before.z, z_grad=before.z_grad, potential_energy=before.potential_energy
        )
        new = Chain(fresh, exact, log_marginals(log_weight), effects, effective)
        old = chain._replace(inner=stay)
        return jax.tree.map(lambda a, b: jnp.where(accept, a, b), new, old)

    def wander(_: None) -> Chain:
        return chain._replace(inner=proposed)

    return jax.lax.cond(proposed.i > warmup, decide, wander, None)


def _kept(of: Coordinates, setup: Setup, chain: Chain) -> dict:
    inner = chain.inner
    statistics = {
        "diverging": inner.diverging, "acceptance_rate": inner.accept_prob,
        "n_steps": inner.num_steps, "lp": -chain.exact, "energy": inner.energy,
    }  # fmt: skip
    return {
        "x": inner.z["x"], "statistics": statistics, "effects": chain.effects,
        "marginal": chain.marginal, "effective": chain.effective,
        "outside": outside(of, setup[1], inner.z["x"]),
    }  # fmt: skip
