"""Nodes laid where the posterior lies: at the mode first, and anew where that was beside it."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from pdmodel.checkpoint import Checkpoints
from pdmodel.keys import key_of
from pdmodel.nodes import Nodes
from pdmodel.nuts import Progress
from pdmodel.quadrature.climb import Known, Summit, climbed
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.courses import tabled
from pdmodel.quadrature.effort import Effort
from pdmodel.quadrature.integrand import shared_by_courses
from pdmodel.quadrature.pool import Proposal, Weighed, gathered
from pdmodel.quadrature.rule import laid
from pdmodel.quadrature.series import Series
from pdmodel.quadrature.stored import Courses

type Report = Callable[[Progress], None]

AWAY, AGAIN = 1.0, 3
"""Posterior sds along any coordinate from which nodes lie beside the posterior, and how often they
are laid anew where that is so."""
OUT = 2.0
"""Sds of the summit, out along what courses share and up along sds of effects, at which nodes are
drawn, too. With 2.5 they were no better at draws of the posterior."""


class Prepared(NamedTuple):
    """Where the posterior is thought to lie, nodes for it, and courses that are read off.

    Attributes
    ----------
    summit : Summit
        Where nodes were laid.
    nodes : Nodes
    known : Known
        Of the patients.
    courses : Courses or None
    """

    summit: Summit
    nodes: Nodes
    known: Known
    courses: Courses | None = None


class Placed(NamedTuple):
    """Nodes where the posterior lies, positions that were weighed over them, and their middle.

    Attributes
    ----------
    before : Prepared
    every : Weighed
    around : Proposal
        Mean and covariance of the posterior, roughly.
    away : float
        How far the mean lies from where nodes were laid: posterior sds, of the coordinate in which
        that is most.
    """

    before: Prepared
    every: Weighed
    around: Proposal
    away: float


type Weighing = Callable[[Prepared, np.ndarray, str], Weighed]


def prepared(
    of: Coordinates, it: Series, summit: Summit, seed: int, effort: Effort, report: Report,
    checkpoints: Checkpoints, turn: int = 0,
) -> Prepared:  # fmt: skip
    """Lay nodes where the posterior is thought to lie."""
    report(Progress("laying nodes", 0, 1, 0))
    population = of.population(jnp.asarray(summit.position), it.traits)
    name = _numbered("nodes", turn)
    key = key_of(seed, name)
    root = np.linalg.cholesky(summit.covariance)
    z = np.random.default_rng([seed, turn, 2]).standard_normal((effort.others, len(of)))
    at = (of, np.asarray(summit.position), summit.covariance, OUT)
    others, far = (
        [of.population(jnp.asarray(x), it.traits) for x in places]
        for places in (
            [summit.position + root @ one for one in z],
            [*out_along(*at), *wider(*at)],
        )
    )
    counts = (effort.raw, effort.nodes)
    rule = checkpoints.kept(
        name, lambda: laid(of, it, summit.known, population, key, *counts, others, far)
    )
    return Prepared(summit, *rule, tabled(of, it, rule.nodes, summit, seed))


def out_along(
    of: Coordinates, middle: np.ndarray, covariance: np.ndarray, sds: float
) -> list[np.ndarray]:
    """Positions so many sds to both sides along each parameter that courses share, by turns.

    Other coordinates are moved as they are correlated with it.
    """
    along = shared_by_courses(of) if of.effects else ()
    return [_moved(middle, covariance, k, sign * sds) for k in along for sign in (1.0, -1.0)]


def wider(
    of: Coordinates, middle: np.ndarray, covariance: np.ndarray, sds: float
) -> list[np.ndarray]:
    """Positions at which patients differ more, in one effect each; others moved as correlated."""
    along = [of.names.index(f"{q.name}_sd_z") for q in of.effects]
    return [_moved(middle, covariance, k, sds) for k in along]


def _moved(middle: np.ndarray, covariance: np.ndarray, along: int, sds: float) -> np.ndarray:
    return middle + sds * covariance[along] / np.sqrt(covariance[along, along])


def beside(summit: Summit, mean: np.ndarray, sd: np.ndarray) -> float:
    """How far a posterior lies from where nodes were laid: sds, of the coordinate of the most."""
    return float(np.max(np.abs(mean - np.asarray(summit.position)) / sd))


def placed(
    of: Coordinates, it: Series, seed: int, effort: Effort, report: Report,
    checkpoints: Checkpoints, weighing: Weighing,
) -> Placed:  # fmt: skip
    """Lay nodes, and lay them anew while the posterior over them lies elsewhere.

    Far from where they were laid nodes are too few, and pull the posterior towards them.
    """

    def at(summit: Summit, turn: int) -> Placed:
        before = prepared(of, it, summit, seed, effort, report, checkpoints, turn)

        def of_positions(x: np.ndarray, name: str) -> Weighed:
            return weighing(before, x, _numbered(name, turn))

        every, around = gathered(of_positions, summit, seed, effort.rounds, effort.pooled)
        away = beside(summit, around.mean, np.sqrt(np.diag(around.covariance)))
        return Placed(before, every, around, away)

    report(Progress("climbing", 0, 1, 0))
    found = at(checkpoints.kept("climb", lambda: climbed(of, it, key_of(seed, "climb"))), 0)
    for turn in range(1, AGAIN + 1):
        if found.away <= AWAY:
            break
        before, around = found.before, found.around
        middle = jnp.asarray(around.mean)
        summit = before.summit._replace(
            position=middle, covariance=around.covariance, known=before.known
        )
        found = at(summit, turn)
    return found


def _numbered(name: str, turn: int) -> str:
    return f"{name} again {turn}" if turn else name
