"""The nodes that patients are integrated over: few, of many, where the posterior may need them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from pdmodel.choosing import rows_kept
from pdmodel.nodes import Nodes
from pdmodel.parallel import side_by_side
from pdmodel.quadrature.calibrating import calibrated
from pdmodel.quadrature.climb import RAW, Known, explored, without_nodes
from pdmodel.quadrature.coordinates import Coordinates, Population, log_density
from pdmodel.quadrature.integrand import heights, log_marginals
from pdmodel.quadrature.series import Series

MOST = 2_000_000
"""Nodes of all patients together that are solved."""
TURNS = 2
"""Explorations of patients under a population far from the others."""
WIDENED = 1.3
"""Nodes are kept in proportion to their weight under a population this much wider."""


class Rule(NamedTuple):
    """Nodes, and what they say of the patients."""

    nodes: Nodes
    known: Known


def laid(
    of: Coordinates, it: Series, known: Known, population: Population, key: Array,
    raw: int, count: int, others: Sequence[Population] = (), far: Sequence[Population] = (),
) -> Rule:  # fmt: skip
    """Lay nodes for every patient around a population, and where others need them.

    The kept nodes are chosen for the average of the patient's posteriors under all of these
    populations, so that under none of them few nodes carry all the weight; and are weighed so that
    under each of them the marginal likelihood is that over all nodes that were solved.

    Parameters
    ----------
    of : Coordinates
    it : Series
    known : Known
    population : Population
    key : Array
    raw, count : int
        Nodes of each patient that are solved, and that are kept of them.
    others, far : sequence of Population
        Around those of `far`, where patients' posteriors may lie elsewhere, nodes are drawn, too.

    Returns
    -------
    Rule
        Its nodes of shape (count, patients, effects); one where there are no effects.
    """
    if not of.effects:
        turn = without_nodes(of, it, population)
        return Rule(turn.nodes, turn.known)
    raw = max(count, min(raw, MOST // it.data.patients))
    there = side_by_side(lambda k: _explored_there(of, it, known, far[k], key, k), len(far))
    turn = explored(of, it, known, population, key, raw, *there)
    others = (*others, *far)
    several = (population, *others)
    at_first = turn.log_weight + turn.nodes.log_drawn
    elsewhere = side_by_side(lambda k: _heights(of, it, turn.nodes, others[k]), len(others))
    height = jnp.stack([at_first, *elsewhere])
    target = jnp.stack(
        [_widened(*given, turn.nodes) for given in zip(height, several, strict=True)]
    )
    average = jax.nn.logsumexp(target, axis=0)
    row, log_drawn = rows_kept(key, turn.nodes, average, count)
    nodes = calibrated(turn.nodes, height, row, log_drawn, crossed=bool(of.pairs))
    weight = jax.nn.softmax(jnp.take_along_axis(height[0], row, axis=0) - nodes.log_drawn, axis=0)
    return Rule(nodes, turn.known._replace(nodes=nodes.effects, weight=weight))


def _explored_there(
    of: Coordinates, it: Series, known: Known, population: Population, key: Array, which: int
) -> Known:
    for turn in range(TURNS):
        here = jax.random.fold_in(jax.random.fold_in(key, 1 + which), turn)
        known = explored(of, it, known, population, here, RAW).known
    return known


def _heights(of: Coordinates, it: Series, nodes: Nodes, population: Population) -> Array:
    """Log-likelihood and log density of nodes under a population, (nodes, patients)."""
    found = heights(of, it, nodes.effects, population)
    return found.first + found.rest + log_density(nodes.effects, population)


def _widened(height: Array, population: Population, nodes: Nodes) -> Array:
    """Log of the patients' posteriors, as if the population were somewhat wider."""
    wide = population._replace(root=WIDENED * population.root)
    own = log_density(nodes.effects, wide) - log_density(nodes.effects, population)
    return height + own - log_marginals(height + own - nodes.log_drawn)
