"""From the prior to the mode: patients are explored and the population follows, by turns.

At each turn every patient's effects are explored by importance sampling under the population of
the turn, and the population takes a step along the gradient of the marginal likelihood, which is
the mean gradient over the nodes (Fisher's identity). The step is as long as the information in the
patients' gradients says (Berndt, Hall, Hall, Hausman 1974, nber.org/chapters/c10206). Nothing is
climbed on fixed nodes, so that their noise cannot be taken for a hill; no derivative of the solver
is needed.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.choosing import kept
from pdmodel.errors import FitError
from pdmodel.look import moments, tempered
from pdmodel.nodes import Nodes, drawn_nodes
from pdmodel.population import FAILED
from pdmodel.quadrature.coordinates import Coordinates, Population, log_density
from pdmodel.quadrature.integrand import first_scan, heights, held, shared_by_courses
from pdmodel.quadrature.series import Series

RAW = 512
"""Nodes of each patient in a turn."""
FEW, MANY = 16, 128
"""Nodes of them at which the likelihood is varied: by what the residual shares, and by what courses
share. A patient's effects can make up for that, so that slopes at single nodes are large and of
either sign: on the published arm the noise of their sum was 1.1 posterior sds with 32, 0.6 so."""
STEP = 0.05
"""By how much, in units of the priors."""
LEAP = 1.0
"""No coordinate moves farther in a turn."""
TURNS, LEAST = 80, 6
SETTLED = 0.05
"""Newton decrement for each coordinate below which a turn counts as settled."""
SMALLEST = 0.1
"""Share of a step that is taken at least, along a coordinate in which steps go to and fro."""
AVERAGED = 4
"""Settled turns, whose mean is the mode."""


class Known(NamedTuple):
    """What is known of the patients' effects, at a population; as `pdmodel.nodes.Around`."""

    centre: Array
    sd: Array
    mean: Array
    covariance: Array
    nodes: Array
    weight: Array


class Turn(NamedTuple):
    """What one exploration gives.

    Attributes
    ----------
    known : Known
    nodes : Nodes
        All that were drawn.
    log_weight : Array, shape (nodes, patients)
    effective, ahead : Array, shape (patients,)
        Effective number of nodes; how far courses have moved from the anchor at the first scan.
    """

    known: Known
    nodes: Nodes
    log_weight: Array
    effective: Array
    ahead: Array


class Summit(NamedTuple):
    """Where the climb ended.

    Attributes
    ----------
    position : Array, shape (coordinates,)
    covariance : ndarray, shape (coordinates, coordinates)
        Inverse of the information, priors included.
    known : Known
    turns : int
    settled : bool
        Whether it came to rest.
    """

    position: Array
    covariance: np.ndarray
    known: Known
    turns: int
    settled: bool


def spreads(population: Population) -> Array:
    """Standard deviations between patients, (patients or 1, effects)."""
    return jnp.sqrt(jnp.sum(population.root**2, axis=2))


def nothing_known(of: Coordinates, it: Series, population: Population) -> Known:
    """Start from the population: its own draws are the first nodes."""
    patients, size = it.data.patients, len(of.effects)
    centre = jnp.broadcast_to(population.centre, (patients, size))
    covariance = population.root @ jnp.swapaxes(population.root, 1, 2)
    covariance = jnp.broadcast_to(covariance, (patients, size, size))
    z = jax.random.normal(jax.random.key(0), (64, patients, size))
    nodes = centre + jnp.einsum("pij,npj->npi", jnp.linalg.cholesky(covariance), z)
    even = jnp.full((64, patients), 1 / 64)
    return Known(population.centre, spreads(population), centre, covariance, nodes, even)


def explored(
    of: Coordinates, it: Series, known: Known, population: Population, key: Array, count: int,
    *more: Known,
) -> Turn:  # fmt: skip
    """Draw nodes for every patient around what is known, and weigh them under a population.

    They are drawn around what is known under other populations, too, if more is given.
    """
    sd = spreads(population)
    nodes = drawn_nodes(key, known._replace(centre=population.centre, sd=sd), count, *more)
    found = heights(of, it, nodes.effects, population)
    return _turn(nodes, found.first + found.rest, found.ahead, population, sd)


@jax.jit
def _turn(nodes: Nodes, height: Array, ahead: Array, population: Population, sd: Array) -> Turn:
    log_weight = height + log_density(nodes.effects, population) - nodes.log_drawn
    weight, effective = tempered(log_weight)
    mean, covariance = moments(nodes.effects, weight, sd[0])
    known = Known(population.centre, sd, mean, covariance, nodes.effects, weight)
    true = jax.nn.softmax(log_weight, axis=0)
    return Turn(known, nodes, log_weight, effective, jnp.sum(true * ahead, axis=0))


def without_nodes(of: Coordinates, it: Series, population: Population) -> Turn:
    """Stand for an exploration where patients have no effects but the anchor."""
    nodes = Nodes(jnp.zeros((1, it.data.patients, 0)), jnp.zeros((1, it.data.patients)))
    found = heights(of, it, nodes.effects, population)
    known = nothing_known(of, it, population)
    return Turn(known, nodes, found.first + found.rest, jnp.ones(it.data.patients), found.ahead[0])


def _gradients(
    of: Coordinates, it: Series, turn: Turn, x: Array, key: Array
) -> tuple[Array, Array]:
    """Gradient of every patient's log marginal likelihood.

    Returns
    -------
    slope : Array, shape (patients, coordinates)
        Nothing is known of patients without a visible scan, and theirs is 0.
    noise : Array, shape (coordinates,)
        Variance of the sum over patients, from the likelihood being varied at few nodes.
    """
    slope, noise = _population_gradient(of, it, turn, x), jnp.zeros(len(x))
    few = many = turn.nodes.effects
    if len(many) > 1:
        posterior = turn.log_weight + turn.nodes.log_drawn
        few, many = (kept(key, turn.nodes, posterior, count).effects for count in (FEW, MANY))
    same = held(of, it, few, of.population(x, it.traits))
    for k in range(len(of.model.shared)):
        effects, courses = (many, None) if k in shared_by_courses(of) else (few, same)
        ends = [
            heights(of, it, effects, of.population(x.at[k].add(step), it.traits), courses).rest
            for step in (STEP, -STEP)
        ]
        solved = jnp.minimum(*ends) > 0.5 * FAILED
        each = jnp.where(solved & it.seen, ends[0] - ends[1], 0.0) / (2 * STEP)
        slope = slope.at[:, k].add(jnp.mean(each, axis=0))
        noise = noise.at[k].set(jnp.sum(jnp.var(each, axis=0)) / len(effects))
    return jnp.where(it.seen[:, None], slope, 0.0), noise


def _information(slope: Array, seen: Array, noise: Array) -> np.ndarray:
    """Information of patients' slopes and of the priors, less what is their noise."""
    off = (slope - jnp.sum(slope, axis=0) / jnp.sum(seen)) * seen[:, None]
    values, vectors = np.linalg.eigh(np.asarray(off.T @ off - jnp.diag(noise)))
    return vectors @ np.diag(1.0 + np.maximum(values, 0.0)) @ vectors.T


@partial(jax.jit, static_argnums=0)
def _population_gradient(of: Coordinates, it: Series, turn: Turn, x: Array) -> Array:
    weight = jax.nn.softmax(turn.log_weight, axis=0)

    def height(x: Array) -> Array:
        population = of.population(x, it.traits)
        own = jnp.sum(weight * log_density(turn.nodes.effects, population), axis=0)
        return own + first_scan(of, it, population, turn.ahead)

    return jax.jacfwd(height)(x)


def climbed(of: Coordinates, it: Series, key: Array, start: Array | None = None) -> Summit:
    """Climb to the mode of the population's posterior.

    Parameters
    ----------
    of : Coordinates
    it : Series
    key : Array
    start : Array, shape (coordinates,), optional
        The prior's centre by default.

    Returns
    -------
    Summit

    Raises
    ------
    FitError
        If no finite density is found.
    """
    x = jnp.zeros(len(of)) if start is None else start
    slope_of_prior = jax.jit(jax.grad(of.log_prior))
    known = nothing_known(of, it, of.population(x, it.traits))
    information, at_rest = np.eye(len(x)), []
    before, share = np.zeros(len(x)), np.ones(len(x))
    turn_of = explored if of.effects else None
    turn = 0
    while turn < TURNS:
        here = jax.random.fold_in(key, turn)
        population = of.population(x, it.traits)
        found = (
            turn_of(of, it, known, population, here, RAW)
            if turn_of
            else without_nodes(of, it, population)
        )
        known = found.known
        each, noise = _gradients(of, it, found, x, here)
        if not np.isfinite(each).all():
            raise FitError(
                f"No population with a finite density was found for the {it.data.patients} "
                "patients; run 'pdmodel check' on the table and look for sizes far from all others."
            )
        now = _information(each, it.seen, noise)
        information = 0.5 * (information + now) if turn else now
        gradient = np.asarray(jnp.sum(each, axis=0) + slope_of_prior(x))
        step = np.linalg.solve(information, gradient)
        turn += 1
        if turn > 2 and step @ gradient < SETTLED * len(x):
            at_rest.append(np.asarray(x) + 0.5 * step)
        share = np.where(before * step < 0.0, 0.5 * share, 1.2 * share).clip(SMALLEST, 1.0)
        before = step
        x = x + share * step * min(1.0, LEAP / np.max(np.abs(step)))
        if len(at_rest) >= AVERAGED and turn >= LEAST:
            break
    if at_rest:
        x = jnp.asarray(np.mean(at_rest[-AVERAGED:], axis=0))
    covariance = np.linalg.inv(information)
    return Summit(x, covariance, known, turn, len(at_rest) >= AVERAGED)
