"""The population alone: patients' effects integrated out over stored nodes.

Each patient's courses are solved once, at nodes of its effects and a grid of the shared
parameters. From then on the likelihood of the population is a reweighting of stored numbers,
smooth in a handful of parameters, and plain NUTS samples it quickly whatever the shape of the
patients' posteriors. The patients' draws follow by choosing nodes by weight. What it neglects, the
finite number of nodes and the interpolation over the grid, is measured and kept with the fit.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from jax.scipy.special import logsumexp

from pdmodel.likelihood import Evidence
from pdmodel.model import Model
from pdmodel.nodes import Nodes, likelihoods, refined
from pdmodel.picture import Start, climbed, log_normal, tilted
from pdmodel.population import between, shared

RAW = 2048
"""Nodes of each patient that are solved at the centre of the grid."""
CLOSER = 512
"""Nodes of each patient while the population is still climbing."""
KEPT = 512
"""Nodes that are kept, chosen in proportion to their weight under a wider population."""
WIDENED = 1.25
POINTS = 7
"""Grid points of each shared parameter."""
REACH = 5.0
"""Half width of the grid in posterior standard deviations of the shared parameters."""
FARTHEST = 2.0
"""How far nodes may move over half the grid, in standard deviations of the patient's effects."""
NEGLIGIBLE = 40.0
"""Log-likelihoods so far below a patient's best are not followed any further."""


class Table(NamedTuple):
    """Stored likelihoods.

    Attributes
    ----------
    effects : Array, shape (nodes, patients, effects)
        Nodes on the transformed scale.
    log_drawn : Array, shape (nodes, patients)
        Log of the density in proportion to which they were chosen.
    coefficients : Array, shape (points ** shared, nodes, patients)
        Coefficients of Chebyshev polynomials in the shared parameters for the log-likelihood.
    ceiling : Array, shape (nodes, patients)
        Largest log-likelihood of a node on the grid; the polynomials may not ring above it.
    tilt : Array, shape (patients, effects, shared)
        How far a patient's nodes move with each shared parameter, in units of its prior.
    centre, width : Array, shape (shared,)
        Middle and half width of the grid, in units of the parameters' priors.
    """

    effects: Array
    log_drawn: Array
    coefficients: Array
    ceiling: Array
    tilt: Array
    centre: Array
    width: Array


def _polynomials(x: Array, points: int) -> Array:
    """Chebyshev polynomials of order 0 to points - 1 at x in [-1, 1]; (points, *x.shape)."""
    rows = [jnp.ones_like(x), x]
    for _ in range(points - 2):
        rows.append(2.0 * x * rows[-1] - rows[-2])
    return jnp.stack(rows)


def _basis(place: Array, points: int) -> Array:
    """Products of Chebyshev polynomials at a place of the box, shape (points ** shared,)."""
    out = jnp.ones(1)
    for x in place:
        out = jnp.outer(out, _polynomials(x, points)).ravel()
    return out


def grid(dimensions: int, points: int) -> np.ndarray:
    """Chebyshev nodes of the box [-1, 1]^dimensions, shape (points ** dimensions, dimensions)."""
    line = np.cos(np.pi * (np.arange(points) + 0.5) / points)
    axes = np.meshgrid(*[line] * dimensions, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1) if axes else np.zeros((1, 0))


def evaluated(table: Table, z: Array) -> Array:
    """Log-likelihood of every patient at every node, (nodes, patients), at shared values `z`."""
    points = round(table.coefficients.shape[0] ** (1 / max(len(z), 1)))
    place = jnp.clip((z - table.centre) / table.width, -1.0, 1.0)
    between = jnp.tensordot(_basis(place, points), table.coefficients, axes=1)
    return jnp.minimum(between, table.ceiling)


def moved(effects: Array, tilt: Array, shift: Array) -> Array:
    """Move nodes along with the shared parameters; a translation, so volumes stay."""
    return effects + tilt @ shift


def outside(table: Table, z: Array) -> Array:
    """How far shared values lie outside the grid, in half widths; 0 inside."""
    return jnp.maximum(jnp.abs((z - table.centre) / table.width) - 1.0, 0.0)


def _prior_units(model: Model, values: Array) -> Array:
    return (values - jnp.array([q.centre for q in model.shared])) / _prior_sd(model)


def _prior_sd(model: Model) -> Array:
    return jnp.array([q.prior_sd for q in model.shared])


def _transformed(model: Model, z: Array) -> Array:
    return jnp.array([q.centre for q in model.shared]) + _prior_sd(model) * z


def _chosen(model: Model, data: Evidence, look: Start, key: Array) -> tuple[Nodes, Start]:
    """Solve many nodes and keep some, in proportion to weight under a wider population."""
    nodes, look = refined(model, data, look, key, RAW)
    look = look._replace(tilt=tilted(model, data, look))
    likelihood = likelihoods(model, data, nodes.effects, look.shared)
    target = likelihood + log_normal(nodes.effects, look.centre, WIDENED * look.sd)
    weight = jax.nn.softmax(target - nodes.log_drawn, axis=0)
    # in the order of the last effect, even steps through the weights spread the chosen out
    order = jnp.argsort(nodes.effects[..., -1], axis=0)
    effects = jnp.take_along_axis(nodes.effects, order[..., None], axis=0)
    ladder = jnp.cumsum(jnp.take_along_axis(weight, order, axis=0), axis=0)
    steps = (jax.random.uniform(jax.random.fold_in(key, 99)) + jnp.arange(KEPT)) / KEPT
    rank = jax.vmap(lambda column: jnp.searchsorted(column, steps), 1, 1)(ladder)
    rank = jnp.minimum(rank, RAW - 1)
    target = jnp.take_along_axis(target, order, axis=0)
    kept = Nodes(
        jnp.take_along_axis(effects, rank[..., None], axis=0),
        jnp.take_along_axis(target, rank, axis=0),
    )
    return kept, look


def first_width(model: Model, data: Evidence, look: Start) -> Array:
    """Guess the posterior sd of each shared parameter, in units of its prior, to begin with.

    The curvature along each axis is taken with the population held, hence doubled.
    """
    here = _prior_units(model, look.shared)
    tilt = look.tilt * _prior_sd(model)
    prior = log_normal(look.nodes, look.centre, look.sd)
    drawn = likelihoods(model, data, look.nodes, look.shared) + prior - jnp.log(look.weight)

    def height(z: Array) -> Array:
        at = moved(look.nodes, tilt, z - here)
        likelihood = likelihoods(model, data, at, _transformed(model, z))
        terms = likelihood + log_normal(at, look.centre, look.sd) - drawn
        return jnp.sum(logsumexp(terms, axis=0)) - 0.5 * jnp.sum(z**2)

    middle, sds, step = height(here), [], 0.2
    for axis in jnp.eye(len(here)):
        drop = middle - 0.5 * (height(here + step * axis) + height(here - step * axis))
        sds.append(step / jnp.sqrt(2.0 * jnp.maximum(drop, 0.5 * step**2)))
    return jnp.clip(2.0 * jnp.stack(sds), 0.05, 1.0) if sds else jnp.zeros(0)


def closer_look(model: Model, data: Evidence, look: Start, key: Array, rounds: int = 8) -> Start:
    """Climb on with more and better nodes than the first look had."""
    for turn in range(rounds):
        here = jax.random.fold_in(key, turn)
        _, look = refined(model, data, look, here, CLOSER, rounds=1)
        look = climbed(model, data, look, here)
    return look


def tabulated(model: Model, data: Evidence, look: Start, width: Array, key: Array) -> Table:
    """Solve every patient's nodes over the grid of the shared parameters.

    Parameters
    ----------
    model : Model
    data : Evidence
    look : Start
        Where the grid is centred, and what is known of the patients.
    width : Array, shape (shared,)
        Posterior standard deviations of the shared parameters, in units of their priors.
    key : Array

    Returns
    -------
    Table
    """
    nodes, look = _chosen(model, data, look, key)
    centre, width = _prior_units(model, look.shared), REACH * width
    reach = jnp.sqrt(jnp.diagonal(look.covariance, 0, 1, 2))[..., None]
    tilt = look.tilt * _prior_sd(model)
    farthest = jnp.max(jnp.abs(tilt) * width / reach, axis=1, keepdims=True)
    tilt = tilt * jnp.minimum(1.0, FARTHEST / jnp.maximum(farthest, 1e-9))
    places = grid(len(model.shared), POINTS)

    def row(place: Array) -> Array:
        at = moved(nodes.effects, tilt, width * place)
        return likelihoods(model, data, at, _transformed(model, centre + width * place))

    values = jnp.stack([row(jnp.asarray(place)) for place in places])
    values = jnp.maximum(values, jnp.max(values, axis=1, keepdims=True) - NEGLIGIBLE)
    matrix = np.stack([np.asarray(_basis(jnp.asarray(place), POINTS)) for place in places])
    coefficients = jnp.tensordot(jnp.linalg.inv(jnp.asarray(matrix)), values, axes=1)
    ceiling = jnp.max(values, axis=0) + 0.1
    return Table(nodes.effects, nodes.log_drawn, coefficients, ceiling, tilt, centre, width)


def _summed(table: Table, z: Array, centre: Array, sd: Array) -> Array:
    prior = log_normal(moved(table.effects, table.tilt, z - table.centre), centre, sd)
    return evaluated(table, z) + prior - table.log_drawn


def marginal(model: Model, table: Table) -> None:
    """The NumPyro program of the population, the patients' effects integrated out."""
    z = [shared(q)[0] for q in model.shared]
    spread = [between(q) for q in model.individual]
    centre, sd = (jnp.stack(parts) for parts in zip(*spread, strict=True))
    where = jnp.stack(z) if z else jnp.zeros(0)
    terms = logsumexp(_summed(table, where, centre, sd), axis=0)
    numpyro.factor("scans", jnp.sum(terms) - 1e3 * jnp.sum(outside(table, where) ** 2))


def chosen_effects(
    key: Array, table: Table, z: Array, centre: Array, sd: Array
) -> tuple[Array, Array]:
    """Choose every patient's effects by weight, given one draw of the population.

    Returns
    -------
    effects, effective : Array
        Shapes (patients, effects) and (patients,), the effective number of nodes.
    """
    log_weight = _summed(table, z, centre, sd)
    weight = jax.nn.softmax(log_weight, axis=0)
    rank = jax.random.categorical(key, log_weight, axis=0)
    effects = jnp.take_along_axis(table.effects, rank[None, :, None], axis=0)[0]
    effects = moved(effects, table.tilt, z - table.centre)
    return effects, 1.0 / jnp.sum(weight**2, axis=0)


def exact(model: Model, data: Evidence, look: Start, key: Array, rounds: int = 2) -> Array:
    """Log marginal likelihood of every patient at the population of `look`, by fresh nodes.

    Returns
    -------
    Array, shape (patients,)
        Without the constant (2 pi)^(-effects / 2) of the normals, which cancels.
    """
    nodes, _ = refined(model, data, look, key, RAW, rounds)
    likelihood = likelihoods(model, data, nodes.effects, look.shared)
    prior = log_normal(nodes.effects, look.centre, look.sd)
    return logsumexp(likelihood + prior - nodes.log_drawn, axis=0) - jnp.log(RAW)
