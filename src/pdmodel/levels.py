"""Solving patients' nodes over levels of what they share, once, for `pdmodel.marginal`."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

from pdmodel.likelihood import Evidence
from pdmodel.look import Look, climbed, log_normal
from pdmodel.marginal import GRID, Table, basis_at, places, split, units
from pdmodel.model import Model
from pdmodel.nodes import Nodes, likelihoods_each, refined

KEPT = 256
"""Nodes of each patient and level, chosen in proportion to weight under a wider population."""
RAW = 1024
"""Nodes that they are chosen from."""
CLOSER = 512
"""Nodes while the population is still climbing."""
WIDENED = 1.25
COARSE = (-2.4, -1.2, 0.0, 1.2, 2.4)
"""Levels of the shared parameter of the mechanism in units of its prior, to find where it lies."""
LEVELS = 9
"""Levels over the region that is found."""
DROP = 9.0
"""The region reaches to where the profile has dropped by so many nats."""
NEGLIGIBLE = 60.0
"""Log-likelihoods so far below a patient's best are not followed any further."""


def _climb(model: Model, data: Evidence, look: Look, level: Array, key: Array, rounds: int) -> Look:
    """Let the rest of the population follow a level of the shared parameter."""
    on_courses, _ = split(model)
    centre, sd = units(model)
    for turn in range(rounds):
        for k in on_courses:
            look = look._replace(shared=look.shared.at[k].set(centre[k] + sd[k] * level))
        here = jax.random.fold_in(key, turn)
        look = refined(model, data, look, here, CLOSER, 1).look
        held = look.shared
        look = climbed(model, data, look, here)
        for k in on_courses:
            look = look._replace(shared=look.shared.at[k].set(held[k]))
    return look


def exact(model: Model, data: Evidence, look: Look, key: Array, count: int = RAW) -> Array:
    """Log marginal likelihood of every patient at the population of `look`, by fresh nodes.

    Returns
    -------
    Array, shape (patients,)
    """
    nodes, height, _ = refined(model, data, look, key, count, 2)
    prior = log_normal(nodes.effects, look.centre, look.sd)
    return logsumexp(height + prior - nodes.log_drawn, axis=0) - jnp.log(count)


def region(model: Model, data: Evidence, look: Look, key: Array) -> tuple[Array, list[Look]]:
    """Profile the shared parameter of the mechanism and lay levels where it matters.

    Returns
    -------
    levels : Array, shape (levels,)
        In units of the prior.
    looks : list of Look
        The population that goes with each level.
    """
    if not split(model)[0]:
        return jnp.zeros(1), [look]
    ladder, heights = [], []
    for level in COARSE:
        look = _climb(model, data, look, jnp.array(level), key, 4)
        ladder.append(look)
        fit = jnp.sum(exact(model, data, look, key, CLOSER)) - 0.5 * level**2
        heights.append(float(fit + _log_prior(model, look)))
    fine = np.linspace(COARSE[0] - 2.1, COARSE[-1] + 2.1, 400)
    # a parabola through the best three carries on beyond the ends
    best = int(np.clip(np.argmax(heights), 1, len(COARSE) - 2))
    bend = np.polyfit(COARSE[best - 1 : best + 2], heights[best - 1 : best + 2], 2)
    smooth = np.interp(fine, COARSE, heights)
    height = np.where(np.abs(fine) > COARSE[-1], np.polyval(bend, fine), smooth)
    inside = fine[height > np.max(heights) - DROP]
    levels = np.linspace(inside.min() - 0.1, inside.max() + 0.1, LEVELS)
    nearest = [int(np.argmin(np.abs(np.array(COARSE) - level))) for level in levels]
    looks = [
        _climb(model, data, ladder[n], jnp.array(level), key, 3)
        for n, level in zip(nearest, levels, strict=True)
    ]
    return jnp.asarray(levels), looks


def _log_prior(model: Model, look: Look) -> Array:
    total = jnp.zeros(())
    for k, q in enumerate(model.individual):
        total -= 0.5 * ((look.centre[k] - q.centre) / q.sd) ** 2
        total -= 0.5 * (jnp.log(look.sd[k] / q.iiv) / q.between_spread) ** 2
    return total


def _chosen(model: Model, data: Evidence, look: Look, key: Array) -> Nodes:
    """Solve many nodes and keep some, in proportion to weight under a wider population."""
    nodes, height, _ = refined(model, data, look, key, RAW, 2)
    target = height + log_normal(nodes.effects, look.centre, WIDENED * look.sd)
    log_weight = target - nodes.log_drawn
    total = logsumexp(log_weight, axis=0) - jnp.log(RAW)
    # in the order of the last effect, even steps through the weights spread the chosen out
    order = jnp.argsort(nodes.effects[..., -1], axis=0)
    ladder = jnp.cumsum(jnp.take_along_axis(jax.nn.softmax(log_weight, axis=0), order, 0), axis=0)
    steps = (jax.random.uniform(jax.random.fold_in(key, 99)) + jnp.arange(KEPT)) / KEPT
    rank = jax.vmap(lambda column: jnp.searchsorted(column, steps), 1, 1)(ladder)
    kept = jnp.take_along_axis(order, jnp.minimum(rank, RAW - 1), axis=0)
    return Nodes(
        jnp.take_along_axis(nodes.effects, kept[..., None], axis=0),
        jnp.take_along_axis(target, kept, axis=0) - total,
    )


def tabulated(model: Model, data: Evidence, look: Look, key: Array) -> tuple[Table, list[Look]]:
    """Solve every patient's nodes over levels and grid; with the population at each level."""
    levels, looks = region(model, data, look, key)
    _, on_residual = split(model)
    prior_centre, prior_sd = units(model)
    middle = looks[len(looks) // 2]
    centre = ((middle.shared - prior_centre) / prior_sd)[jnp.array(on_residual, int)]
    corners = places(len(on_residual))
    inverse = jnp.linalg.inv(jnp.stack([basis_at(jnp.asarray(place)) for place in corners]))
    effects, drawn, coefficients = [], [], []
    for at in looks:
        nodes = _chosen(model, data, at, key)
        several = jnp.tile(at.shared, (len(corners), 1))
        for column, k in enumerate(on_residual):
            z = centre[column] + GRID * jnp.asarray(corners[:, column])
            several = several.at[:, k].set(prior_centre[k] + prior_sd[k] * z)
        stacked = likelihoods_each(model, data, nodes.effects, several)
        stacked = jnp.maximum(stacked, jnp.max(stacked, axis=1, keepdims=True) - NEGLIGIBLE)
        effects.append(nodes.effects)
        drawn.append(nodes.log_drawn)
        coefficients.append(jnp.tensordot(inverse, stacked, axes=1))
    table = Table(jnp.stack(effects), jnp.stack(drawn), jnp.stack(coefficients), levels, centre)
    return table, looks
