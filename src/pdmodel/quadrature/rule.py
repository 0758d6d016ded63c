"""The nodes that patients are integrated over: few, of many, with moments as those of the many."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from pdmodel.nodes import Nodes, kept
from pdmodel.nuts import side_by_side
from pdmodel.quadrature.climb import Known, Turn, explored, without_nodes
from pdmodel.quadrature.coordinates import Coordinates, Population, log_density
from pdmodel.quadrature.integrand import Series, heights, log_marginals

RAW, KEPT = 2048, 128
"""Nodes of each patient that are solved, and that are kept of them."""
MOST = 2_000_000
"""Nodes of all patients together that are solved."""
WIDENED = 1.3
"""Nodes are kept in proportion to their weight under a population this much wider."""
STEP = 0.25
"""Of shared parameters, in units of their priors."""
STEEPEST = 40.0
NEWTON = 30


class Rule(NamedTuple):
    """Nodes, and what they say of the patients."""

    nodes: Nodes
    known: Known


def laid(
    of: Coordinates, it: Series, known: Known, population: Population, key: Array, count: int = KEPT
) -> Rule:
    """Lay nodes for every patient around a population.

    The kept nodes stand for the many: by a tilt of their weights (the least in relative entropy)
    the mean and the covariance of the effects, the mean slopes of the log-likelihood along all
    shared parameters, and the marginal likelihood are those of the many, at this population. So
    the likelihood over the few changes, near there, as that over the many does.

    Returns
    -------
    Rule
        Its nodes of shape (count, patients, effects); one where there are no effects.
    """
    if not of.effects:
        turn = without_nodes(of, it, population)
        return Rule(turn.nodes, turn.known)
    raw = max(count, min(RAW, MOST // it.data.patients))
    turn = explored(of, it, known, population, key, raw)
    wide = population._replace(root=WIDENED * population.root)
    target = turn.log_weight + turn.nodes.log_drawn
    target += _difference(turn.nodes.effects, wide, population)
    chosen = kept(key, turn.nodes, target, count)
    found = heights(of, it, chosen.effects, population)
    height = found.first + found.rest + log_density(chosen.effects, population)
    slopes = [
        _slopes(of, it, effects, population) for effects in (turn.nodes.effects, chosen.effects)
    ]
    nodes = _tilted(chosen, height, turn, *slopes)
    weight = jax.nn.softmax(height - nodes.log_drawn, axis=0)
    return Rule(nodes, turn.known._replace(nodes=nodes.effects, weight=weight))


@jax.jit
def _difference(effects: Array, one: Population, other: Population) -> Array:
    return log_density(effects, one) - log_density(effects, other)


def _slopes(of: Coordinates, it: Series, effects: Array, population: Population) -> Array:
    """Slopes of the log-likelihood along shared parameters, (nodes, patients, shared)."""
    steps = [STEP * q.sd for q in of.model.shared]
    moved = [population.shared.at[k].add(step) for k, step in enumerate(steps)]
    every = [population, *(population._replace(shared=shared) for shared in moved)]

    def rest(k: int) -> Array:
        return heights(of, it, effects, every[k]).rest

    here, *ends = side_by_side(rest, len(every))
    rises = [jnp.clip((end - here) / STEP, -STEEPEST, STEEPEST) for end in ends]
    return jnp.stack(rises, axis=-1) if rises else jnp.zeros((*here.shape, 0))


@jax.jit
def _tilted(chosen: Nodes, height: Array, turn: Turn, of_many: Array, of_few: Array) -> Nodes:
    weight = jax.nn.softmax(turn.log_weight, axis=0)
    mean = jnp.sum(weight[..., None] * turn.nodes.effects, axis=0)
    off = turn.nodes.effects - mean
    sd = jnp.sqrt(jnp.sum(weight[..., None] * off**2, axis=0))
    many, few = (_products((e - mean) / sd) for e in (turn.nodes.effects, chosen.effects))
    many, few = (jnp.concatenate(x, axis=-1) for x in ((many, of_many), (few, of_few)))
    goal = jnp.sum(weight[..., None] * many, axis=0)
    log_weight = height - chosen.log_drawn
    tilt = jax.vmap(_tilt, (1, 1, 0), 1)(log_weight, few, goal)
    level = log_marginals(turn.log_weight) - log_marginals(log_weight + tilt)
    return chosen._replace(log_drawn=chosen.log_drawn - tilt - level)


def _products(z: Array) -> Array:
    """Effects and their products, (nodes, patients, moments)."""
    i, j = jnp.triu_indices(z.shape[-1])
    return jnp.concatenate([z, z[..., i] * z[..., j]], axis=-1)


def _tilt(log_weight: Array, at: Array, goal: Array) -> Array:
    """Log factors of the weights of one patient that bring the mean of `at` to `goal`.

    Where the goal lies outside of what the nodes can reach, the factors stop on the way there.
    """
    off = at - goal
    size = off.shape[1]

    def newton(_: int, slope: Array) -> Array:
        weight = jax.nn.softmax(log_weight + off @ slope)
        mean = weight @ off
        bend = (off * weight[:, None]).T @ off - jnp.outer(mean, mean) + 1e-6 * jnp.eye(size)
        step = jnp.linalg.solve(bend, mean)
        return slope - step * jnp.minimum(1.0, 0.5 / (jnp.linalg.norm(step) + 1e-12))

    return off @ jax.lax.fori_loop(0, NEWTON, newton, jnp.zeros(size))
