"""The population sampled over nodes: one design for any mechanism and residual."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.data import Cohort
from pdmodel.keys import key_of
from pdmodel.likelihood import Evidence
from pdmodel.model import Model
from pdmodel.nuts import Draws, Progress, Settings, side_by_side
from pdmodel.quadrature.climb import Summit, climbed, explored, without_nodes
from pdmodel.quadrature.coordinates import Coordinates, no_traits
from pdmodel.quadrature.corrected import exact_height, sampled
from pdmodel.quadrature.integrand import Series, log_marginals, series
from pdmodel.quadrature.patients import patients
from pdmodel.quadrature.rule import laid
from pdmodel.quadrature.surface import Surface, fitted

type Report = Callable[[Progress], None]

DISPERSED = 1.5
"""How far chains start from the mode, in posterior standard deviations."""
CHECKS = 8
"""Draws at which the likelihood over nodes is compared with fresh nodes."""
FRESH = 4096
"""Nodes for a value of the marginal likelihood that does not use the stored ones."""


def by_nodes(
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings, report: Report
) -> tuple[Draws, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Sample the population with patients integrated out over nodes, then the patients."""
    of = Coordinates(model)
    it = series(data, no_traits(len(cohort)))
    report(Progress("climbing", 0, 1, 0))
    summit = climbed(of, it, key_of(seed, "climb"))
    report(Progress("laying nodes", 0, 1, 0))
    population = of.population(summit.position, it.traits)
    nodes, turn = laid(of, it, summit.known, population, key_of(seed, "nodes"))
    report(Progress("fitting the surface", 0, 1, 0))
    surface = fitted(of, it, nodes, summit.position, summit.covariance, seed)
    root = DISPERSED * np.linalg.cholesky(summit.covariance)
    starts = [
        summit.position + root @ jax.random.normal(key_of(seed, "start", k), (len(of),))
        for k in range(settings.chains)
    ]
    keys = [key_of(seed, "chain", k) for k in range(settings.chains)]
    setup = (it, surface)
    drawn, rest = sampled(of, setup, starts, keys, summit.covariance, settings, report)
    report(Progress("patients", 0, 1, 0))
    shape = drawn.statistics["lp"].shape
    x = drawn.positions["x"].reshape(-1, len(of))
    effects = rest["effects"].reshape(len(x), *rest["effects"].shape[2:])
    own = jax.random.split(key_of(seed, "patients"), len(x))
    moved = patients(of, it, turn.known.covariance, own, x, effects, settings.chains)
    values = {
        name: np.asarray(value).reshape(*shape, *value.shape[1:])
        for name, value in _named(of, x).items()
    }
    for k, q in enumerate(of.effects):
        values[q.name] = np.asarray(q.natural(moved.effects[..., k])).reshape(*shape, -1)
    if of.anchor is not None and moved.anchor is not None:
        values[of.anchor.name] = np.exp(moved.anchor).reshape(*shape, -1)
    report(Progress("checking", 0, 1, 0))
    effective = rest["effective"].reshape(len(x), -1)
    figures = {
        "nodes_effective": effective.mean(axis=0),
        "nodes_effective_low": np.quantile(effective, 0.01, axis=0),
        "outside_grid": np.full(len(cohort), rest["outside"].mean()),
    }
    figures |= checked(of, it, surface, summit, x, key_of(seed, "check"))
    positions = {name: drawn.positions["x"][..., k] for k, name in enumerate(of.names)}
    return Draws(positions, drawn.statistics), values, figures


def _named(of: Coordinates, x: np.ndarray) -> dict[str, np.ndarray]:
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(of.named))(jnp.asarray(x)))


def checked(
    of: Coordinates, it: Series, surface: Surface, summit: Summit, x: np.ndarray, key: Array
) -> dict[str, np.ndarray]:
    """Compare the likelihood over the nodes with fresh nodes at some draws.

    Returns
    -------
    dict of str to ndarray, each of shape (checks,)
        ``error_nats``, fresh less stored log marginal likelihood up to a constant, and
        ``noise_nats``, the standard error that the fresh one has by itself.
    """
    rows = np.linspace(0, len(x) - 1, CHECKS).astype(int)

    def one(k: int) -> tuple[float, float]:
        at = jnp.asarray(x[rows[k]])
        population = of.population(at, it.traits)
        stored, _ = exact_height(of, (it, surface), at)
        if of.effects:
            here = jax.random.fold_in(key, k)
            found = explored(of, it, summit.known, population, here, FRESH)
        else:
            found = without_nodes(of, it, population)
        fresh = jnp.sum(log_marginals(found.log_weight)) + of.log_prior(at)
        return float(fresh - stored), float(jnp.sqrt(jnp.sum(1.0 / found.effective)))

    error, noise = np.array(side_by_side(one, CHECKS)).T
    return {"error_nats": error - np.mean(error), "noise_nats": noise}
