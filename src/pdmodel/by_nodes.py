"""The population sampled over nodes: two designs for any mechanism and residual."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.checkpoint import Checkpoints
from pdmodel.errors import FitError
from pdmodel.keys import key_of
from pdmodel.nodes import Nodes
from pdmodel.nuts import Draws, Progress, Settings, side_by_side
from pdmodel.quadrature.climb import Known, Summit, climbed, explored, without_nodes
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.corrected import sampled
from pdmodel.quadrature.integrand import Series, log_marginals, weighed
from pdmodel.quadrature.laplace import weighted
from pdmodel.quadrature.patients import patients
from pdmodel.quadrature.rule import KEPT, MOST, laid
from pdmodel.quadrature.surface import fitted

type Report = Callable[[Progress], None]
type Sampled = tuple[Draws, dict[str, np.ndarray], dict[str, np.ndarray]]
"""Draws, values by name (chain, draw, ...), and figures for each patient or of the fit."""

DISPERSED = 1.5
"""How far chains start from the mode, in posterior standard deviations."""
CHECKS = 8
"""Draws at which the likelihood over nodes is compared with fresh nodes."""
FRESH = 4096
"""Nodes for a value of the marginal likelihood that does not use the stored ones; fewer where
those of all patients would be more than `MOST`."""
QUICK = 64
"""Nodes of a patient for a first answer."""


class Prepared(NamedTuple):
    """The mode, nodes around it, and what is known of the patients."""

    summit: Summit
    nodes: Nodes
    known: Known


def prepared(
    of: Coordinates, it: Series, seed: int, count: int, report: Report, checkpoints: Checkpoints
) -> Prepared:
    """Climb to the mode and lay nodes there; FitError if nothing there is finite."""
    report(Progress("climbing", 0, 1, 0))
    summit = checkpoints.kept("climb", lambda: climbed(of, it, key_of(seed, "climb")))
    if not np.isfinite(summit.position).all():
        raise FitError(
            f"No population with a finite density was found for the {it.data.patients} patients; "
            "run 'pdmodel check' on the table and look for sizes far from all others."
        )
    report(Progress("laying nodes", 0, 1, 0))
    population = of.population(summit.position, it.traits)
    key = key_of(seed, "nodes")
    rule = checkpoints.kept("nodes", lambda: laid(of, it, summit.known, population, key, count))
    return Prepared(summit, *rule)


def by_nodes(
    of: Coordinates, it: Series, seed: int, settings: Settings, report: Report,
    checkpoints: Checkpoints,
) -> Sampled:  # fmt: skip
    """Sample the population with patients integrated out over nodes, then the patients."""
    summit, nodes, known = prepared(of, it, seed, KEPT, report, checkpoints)
    report(Progress("fitting the surface", 0, 1, 0))
    surface = checkpoints.kept(
        "surface", lambda: fitted(of, it, nodes, summit.position, summit.covariance, seed)
    )
    root = DISPERSED * np.linalg.cholesky(summit.covariance)
    chains = range(settings.chains)
    away = [jax.random.normal(key_of(seed, "start", k), (len(of),)) for k in chains]
    starts = [summit.position + root @ z for z in away]
    keys = [key_of(seed, "chain", k) for k in chains]
    drawn, rest = sampled(
        of, (it, surface), starts, keys, summit.covariance, settings, report, checkpoints
    )
    x = drawn.positions["x"]
    values = _values(of, it, known, x, rest["effects"], seed, report)
    report(Progress("checking", 0, 1, 0))
    figures = _figures(rest["effective"], rest["marginal"])
    figures["outside_grid"] = np.full(it.data.patients, rest["outside"].mean())
    flat = x.reshape(-1, len(of))
    figures |= checked(of, it, nodes, known, flat, key_of(seed, "check"))
    positions = {name: x[..., k] for k, name in enumerate(of.names)}
    return Draws(positions, drawn.statistics), values, figures


def quick(
    of: Coordinates, it: Series, seed: int, settings: Settings, report: Report,
    checkpoints: Checkpoints,
) -> Sampled:  # fmt: skip
    """Draw the population around its mode, weighted by the nodes; then the patients.

    The draws are independent; they are dealt out to chains for those who expect chains.
    """
    summit, nodes, known = prepared(of, it, seed, QUICK, report, checkpoints)
    report(Progress("weighing draws", 0, 1, 0))
    shape = (settings.chains, settings.draws)
    found = weighted(of, it, nodes, summit, key_of(seed, "laplace"), shape[0] * shape[1])

    def dealt(flat: np.ndarray) -> np.ndarray:
        return flat.reshape(*shape, *flat.shape[1:])

    x = dealt(found.x)
    values = _values(of, it, known, x, dealt(found.effects), seed, report)
    density = dealt(found.log_density)
    statistics = {
        "diverging": np.zeros(shape, bool), "acceptance_rate": np.ones(shape),
        "n_steps": np.ones(shape, int), "lp": density, "energy": -density,
    }  # fmt: skip
    figures = _figures(dealt(found.effective), dealt(found.marginal))
    figures |= {"outside_grid": np.zeros(it.data.patients), "pareto_k": np.array(found.pareto_k)}
    report(Progress("checking", 0, 1, 0))
    figures |= checked(of, it, nodes, known, found.x, key_of(seed, "check"))
    positions = {name: x[..., k] for k, name in enumerate(of.names)}
    return Draws(positions, statistics), values, figures


def _values(
    of: Coordinates, it: Series, known: Known, x: np.ndarray, effects: np.ndarray, seed: int,
    report: Report,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Give every parameter by name, chains and draws first; patients are drawn on the way."""
    report(Progress("patients", 0, 1, 0))
    shape = x.shape[:2]
    flat = jnp.asarray(x.reshape(-1, len(of)))
    populations = jax.vmap(lambda x: of.population(x, it.traits))(flat)
    keys = jax.random.split(key_of(seed, "patients"), len(flat))
    moved = patients(
        of, it, known.covariance, keys, populations,
        effects.reshape(-1, *effects.shape[2:]), shape[0],
    )  # fmt: skip
    named = jax.jit(jax.vmap(of.named))(flat)
    values = {name: np.asarray(value).reshape(*shape) for name, value in named.items()}
    for k, q in enumerate(of.effects):
        values[q.name] = np.asarray(q.natural(moved.effects[..., k])).reshape(*shape, -1)
    if of.anchor is not None and moved.anchor is not None:
        values[of.anchor.name] = np.exp(moved.anchor).reshape(*shape, -1)
    return values


def _figures(effective: np.ndarray, marginal: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "nodes_effective": effective.mean(axis=(0, 1)),
        "nodes_effective_low": np.quantile(effective, 0.01, axis=(0, 1)),
        "log_marginal": marginal,
    }


def checked(
    of: Coordinates, it: Series, nodes: Nodes, known: Known, x: np.ndarray, key: Array
) -> dict[str, np.ndarray]:
    """Compare the likelihood over the nodes with fresh nodes at some draws.

    Returns
    -------
    dict of str to ndarray, each of shape (checks,)
        ``error_nats``, fresh less stored log marginal likelihood up to a constant, and
        ``noise_nats``, the standard error that the fresh one has by itself.
    """
    rows = np.linspace(0, len(x) - 1, CHECKS).astype(int)
    fresh_nodes = max(KEPT, min(FRESH, MOST // it.data.patients))

    def one(k: int) -> tuple[float, float]:
        at = jnp.asarray(x[rows[k]])
        population = of.population(at, it.traits)
        stored, _ = weighed(of, it, nodes, at)
        if of.effects:
            found = explored(of, it, known, population, jax.random.fold_in(key, k), fresh_nodes)
        else:
            found = without_nodes(of, it, population)
        fresh = jnp.sum(log_marginals(found.log_weight)) + of.log_prior(at)
        return float(fresh - stored), float(jnp.sqrt(jnp.sum(1.0 / found.effective)))

    error, noise = np.array(side_by_side(one, CHECKS)).T
    return {"error_nats": error - np.mean(error), "noise_nats": noise}
