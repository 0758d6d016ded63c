"""How likely a patient's scans are at nodes of its effects: what is integrated."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.scipy.special import logsumexp

from pdmodel.batches import in_batches
from pdmodel.likelihood import expected_sizes
from pdmodel.nodes import Nodes
from pdmodel.parallel import side_by_side
from pdmodel.population import FAILED
from pdmodel.quadrature.coordinates import Coordinates, Population, Traits, log_density
from pdmodel.quadrature.series import Group, Series
from pdmodel.quadrature.stored import Courses, read_off

TOGETHER = 16
"""Nodes of all patients solved at a time."""


class Heights(NamedTuple):
    """Log-likelihoods at nodes, each of shape (nodes, patients).

    Attributes
    ----------
    first, rest : Array
        Of the first scan where the first size is integrated out (else 0), and of all others.
    ahead : Array
        How far the course has moved from the anchor at the first scan, log scale.
    """

    first: Array
    rest: Array
    ahead: Array


def _values(
    of: Coordinates, effects: Array, population: Population, patients: int
) -> dict[str, Array]:
    """Values of the free parameters, natural scale, the anchor at its typical value."""
    values = {q.name: q.natural(effects[:, k]) for k, q in enumerate(of.effects)}
    values |= {q.name: q.natural(population.shared[k]) for k, q in enumerate(of.model.shared)}
    if of.anchor is not None:
        values[of.anchor.name] = jnp.broadcast_to(jnp.exp(population.start), (patients,))
    return values


def expected_course(
    of: Coordinates, it: Series, effects: Array, population: Population
) -> tuple[Array, dict[str, Array]]:
    """Courses of one node for each patient, and what the residual reads.

    Returns
    -------
    expected : Array, shape (patients, visits)
        Log sizes, the anchor at its typical value.
    known : dict of str to Array
        Each a number or of shape (patients,).
    """
    expected, _, known = _course(of, it, effects, population)
    return expected, known


def _course(
    of: Coordinates, it: Series, effects: Array, population: Population
) -> tuple[Array, Array, dict[str, Array]]:
    values = _values(of, effects, population, it.data.patients)
    expected, ok = expected_sizes(of.model, values, it.data)
    return expected, ok, _read_by_residual(of, values)


def _read_by_residual(of: Coordinates, values: dict[str, Array]) -> dict[str, Array]:
    known = {k: jnp.asarray(v) for k, v in of.model.constants.items()} | values
    return {q.name: known[q.name] for q in of.model.residual.parameters}


def shared_by_courses(of: Coordinates) -> tuple[int, ...]:
    """Give the places, among the shared parameters, of those that courses depend on."""
    read = {q.name for q in of.model.residual.parameters}
    return tuple(k for k, q in enumerate(of.model.shared) if q.name not in read)


def hold(of: Coordinates, courses: Courses, x: np.ndarray) -> bool:
    """Whether courses can be read off at a position of the population."""
    which = list(shared_by_courses(of))
    scale = [(q.centre, q.sd) for q in of.model.shared]
    at = np.array([scale[k][0] + scale[k][1] * x[k] for k in which])
    return bool(np.all(np.abs(at - np.asarray(courses.centre)) <= np.asarray(courses.half)))


@partial(jax.jit, static_argnums=0)
def solved(
    of: Coordinates, it: Series, effects: Array, population: Population
) -> tuple[Array, Array]:
    """Solve the courses of nodes, the anchor at 1 mm where there is one.

    Returns
    -------
    expected : Array, shape (nodes, patients, visits)
    ok : Array, shape (nodes, patients)
    """
    start = population.start if of.anchor is not None else jnp.zeros(1)

    def one(effects: Array) -> tuple[Array, Array]:
        expected, ok, _ = _course(of, it, effects, population)
        return expected - start[:, None], ok

    return in_batches(one, effects, TOGETHER)


def _terms(
    of: Coordinates, it: Series, effects: Array, population: Population,
    course: Array | None = None,
) -> Heights:  # fmt: skip
    """Heights of one node for each patient, each of shape (patients,); its course if known."""
    patients = it.data.patients
    if course is None:
        expected, ok, known = _course(of, it, effects, population)
    else:
        start = population.start if of.anchor is not None else jnp.zeros(1)
        ok = jnp.all(jnp.isfinite(course), axis=1)
        expected = jnp.where(ok[:, None], course, 0.0) + start[:, None]
        known = _read_by_residual(of, _values(of, effects, population, patients))
    start_sd = jnp.broadcast_to(population.start_sd, (patients,)) if of.anchor else None
    pieces = [_read(of, group, expected, known, start_sd) for group in it.groups]
    first, rest = (jnp.concatenate(part)[it.order] for part in zip(*pieces, strict=True))
    ahead = expected[:, 0] - population.start if of.anchor else jnp.zeros(patients)
    return Heights(first, jnp.where(ok, rest, FAILED), ahead)


def term_sum(of: Coordinates, it: Series, effects: Array, population: Population) -> Array:
    """Log-likelihood of each patient at one node, (patients,)."""
    found = _terms(of, it, effects, population)
    return found.first + found.rest


@partial(jax.jit, static_argnums=0)  # traced once for all programs that it is part of
def _read(
    of: Coordinates, group: Group, expected: Array, known: dict[str, Array], start_sd: Array | None
) -> tuple[Array, Array]:
    mine = {k: v[group.patient] if v.ndim else v for k, v in known.items()}
    axes = {k: 0 if v.ndim else None for k, v in mine.items()}
    course = expected[group.patient, : group.visible.shape[1]]
    if start_sd is None:
        terms = jax.vmap(of.model.residual.log_density, (0, 0, axes))(course, group.scans, mine)
        seen = jnp.where(group.visible, terms, 0.0)
        return jnp.zeros(len(seen)), jnp.sum(seen, axis=1)
    alone = jax.vmap(of.start.log_density, (0, 0, axes, 0))
    seen = jnp.where(group.visible, alone(course, group.scans, mine, start_sd[group.patient]), 0.0)
    return seen[:, 0], jnp.sum(seen[:, 1:], axis=1)


@partial(jax.jit, static_argnums=0)
def _some_heights(of: Coordinates, it: Series, effects: Array, population: Population) -> Heights:
    return jax.vmap(lambda e: _terms(of, it, e, population))(effects)


@partial(jax.jit, static_argnums=0)
def _some_read(
    of: Coordinates, it: Series, effects: Array, population: Population, course: Array
) -> Heights:
    return jax.vmap(lambda e, c: _terms(of, it, e, population, c))(effects, course)


def held(of: Coordinates, it: Series, effects: Array, population: Population) -> Courses:
    """Solve courses of nodes once, for populations that share what courses depend on."""
    course, ok = solved(of, it, effects, population)
    shared = len(shared_by_courses(of))
    known = jnp.where(ok[..., None], course, jnp.nan)[None].astype(jnp.float32)
    return Courses(known, ((0,) * shared,), jnp.zeros(shared), jnp.ones(shared))


def heights(
    of: Coordinates, it: Series, effects: Array, population: Population,
    courses: Courses | None = None,
) -> Heights:  # fmt: skip
    """Log-likelihoods of every patient at nodes of shape (nodes, patients, effects).

    However many nodes there are, they are worked on in parts of one size, so that one program
    serves them all; where there are courses to be read off, nothing is solved.
    """
    count, given = len(effects), [effects]
    if courses is not None:
        which = jnp.array(shared_by_courses(of), int)
        given.append(read_off(courses, population.shared[which]))
    run = _some_heights if courses is None else _some_read
    if count <= TOGETHER:
        return run(of, it, effects, population, *given[1:])
    parts = list(zip(*(_parts(one) for one in given), strict=True))

    def some(k: int) -> Heights:
        return jax.block_until_ready(run(of, it, parts[k][0], population, *parts[k][1:]))

    traced = any(isinstance(x, Tracer) for x in jax.tree.leaves((given, population)))
    found = list(map(some, range(len(parts)))) if traced else side_by_side(some, len(parts))
    return jax.tree.map(lambda *x: jnp.concatenate(x)[:count], *found)


@jax.jit
def _parts(values: Array) -> list[Array]:
    """Cut nodes into parts of one size, the last filled up by its last."""
    ends = ((0, -len(values) % TOGETHER), *((0, 0),) * (values.ndim - 1))
    padded = jnp.pad(values, ends, mode="edge")
    return list(jnp.unstack(padded.reshape(-1, TOGETHER, *values.shape[1:])))


def first_scan(of: Coordinates, it: Series, population: Population, ahead: Array) -> Array:
    """Log probability of first scans whose size was integrated out, (patients,); else 0."""
    patients = it.data.patients
    if of.anchor is None:
        return jnp.zeros(patients)
    known = {k: jnp.asarray(v) for k, v in of.model.constants.items()}
    known |= {q.name: q.natural(population.shared[k]) for k, q in enumerate(of.model.shared)}
    known |= {q.name: jnp.asarray(q.typical) for q in of.effects}  # none matters for one scan
    expected = jnp.broadcast_to(population.start + ahead, (patients,))[:, None]
    sd = jnp.broadcast_to(population.start_sd, (patients,))
    scans = jax.tree.map(lambda x: x[:, :1], it.data.scans)
    found = jax.vmap(of.start.log_density, (0, 0, None, 0))(expected, scans, known, sd)[:, 0]
    return jnp.where(it.data.visible[:, 0], found, 0.0)


def log_weights(
    of: Coordinates, it: Series, nodes: Nodes, population: Population,
    courses: Courses | None = None,
) -> Array:  # fmt: skip
    """Log weights of nodes under a population, (nodes, patients); from courses, if these hold."""
    found = heights(of, it, nodes.effects, population, courses)
    return _log_weights(found, nodes, population)


@jax.jit
def _log_weights(found: Heights, nodes: Nodes, population: Population) -> Array:
    return found.first + found.rest + log_density(nodes.effects, population) - nodes.log_drawn


@jax.jit
def log_marginals(log_weight: Array) -> Array:
    """Log marginal likelihood of every patient from the log weights of its nodes, (patients,)."""
    return logsumexp(log_weight, axis=0) - jnp.log(len(log_weight))


@jax.jit
def log_marginals_kept(log_weight: Array) -> Array:
    """Log marginal likelihood of every patient from nodes in the order they were kept in.

    The log of a mean that is noisy is too low, by half the mean's relative variance. Nodes that
    were kept one after the other are neighbours along a curve, and the variance is that of their
    differences (Wolter 1984, doi:10.1080/01621459.1984.10477095).
    """
    count = len(log_weight)
    step = jnp.diff(jax.nn.softmax(log_weight, axis=0), axis=0)
    return log_marginals(log_weight) + count / (4 * max(count - 1, 1)) * jnp.sum(step**2, axis=0)


@partial(jax.jit, static_argnums=0)
def log_posterior(of: Coordinates, it: Series, log_marginal: Array, x: Array) -> Array:
    """Log posterior density of a position, up to a constant, from patients' log marginals."""
    return jnp.sum(log_marginal, where=it.seen) + of.log_prior(x)


def weighed(
    of: Coordinates, it: Series, nodes: Nodes, x: Array, courses: Courses | None = None
) -> tuple[Array, Array]:
    """Log posterior density of a position, and log weights of the nodes that were kept there."""
    log_weight = log_weights(of, it, nodes, _population(of, it.traits, x), courses)
    return log_posterior(of, it, log_marginals_kept(log_weight), x), log_weight


@partial(jax.jit, static_argnums=0)
def _population(of: Coordinates, traits: Traits, x: Array) -> Population:
    return of.population(x, traits)
