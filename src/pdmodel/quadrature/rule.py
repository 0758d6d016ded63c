"""The nodes that patients are integrated over: few, of many, where the posterior may need them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from pdmodel.nodes import Nodes, kept
from pdmodel.nuts import side_by_side
from pdmodel.quadrature.climb import Known, explored, without_nodes
from pdmodel.quadrature.coordinates import Coordinates, Population, log_density
from pdmodel.quadrature.integrand import heights, log_marginals
from pdmodel.quadrature.series import Series

MOST = 2_000_000
"""Nodes of all patients together that are solved."""
WIDENED = 1.3
"""Nodes are kept in proportion to their weight under a population this much wider."""


class Rule(NamedTuple):
    """Nodes, and what they say of the patients."""

    nodes: Nodes
    known: Known


def laid(
    of: Coordinates, it: Series, known: Known, population: Population, key: Array,
    raw: int, count: int, others: Sequence[Population] = (),
) -> Rule:  # fmt: skip
    """Lay nodes for every patient around a population, and where others need them.

    The kept nodes are chosen for the average of the patient's posteriors under all of these
    populations, so that under none of them few nodes carry all the weight.

    Parameters
    ----------
    of : Coordinates
    it : Series
    known : Known
    population : Population
    key : Array
    raw, count : int
        Nodes of each patient that are solved, and that are kept of them.
    others : sequence of Population

    Returns
    -------
    Rule
        Its nodes of shape (count, patients, effects); one where there are no effects.
    """
    if not of.effects:
        turn = without_nodes(of, it, population)
        return Rule(turn.nodes, turn.known)
    raw = max(count, min(raw, MOST // it.data.patients))
    turn = explored(of, it, known, population, key, raw)
    chosen = kept(key, turn.nodes, _target(of, it, turn.nodes, (population, *others)), count)
    found = heights(of, it, chosen.effects, population)
    height = found.first + found.rest + log_density(chosen.effects, population)
    # at this population the marginal likelihood is that over all nodes that were solved
    level = log_marginals(turn.log_weight) - log_marginals(height - chosen.log_drawn)
    nodes = chosen._replace(log_drawn=chosen.log_drawn - level)
    weight = jax.nn.softmax(height - nodes.log_drawn, axis=0)
    return Rule(nodes, turn.known._replace(nodes=nodes.effects, weight=weight))


def _target(of: Coordinates, it: Series, nodes: Nodes, populations: Sequence[Population]) -> Array:
    """Log of the average posterior of every patient under populations, somewhat widened."""

    def one(k: int) -> Array:
        found = heights(of, it, nodes.effects, populations[k])
        wide = populations[k]._replace(root=WIDENED * populations[k].root)
        height = found.first + found.rest + log_density(nodes.effects, wide)
        return height - log_marginals(height - nodes.log_drawn)

    every = jnp.stack(side_by_side(one, len(populations)))
    return jax.nn.logsumexp(every, axis=0) - jnp.log(len(every))
