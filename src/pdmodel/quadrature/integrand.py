"""How likely a patient's scans are at nodes of its effects: what is integrated."""

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

from pdmodel.likelihood import expected_sizes
from pdmodel.nodes import Nodes
from pdmodel.population import FAILED
from pdmodel.quadrature.coordinates import Coordinates, Population, log_density
from pdmodel.quadrature.series import Group, Series

AT_ONCE = 512
"""Nodes handed to one compiled function."""
TOGETHER = 16
"""Nodes of all patients solved at a time."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Courses:
    """Courses at all nodes as polynomials in the shared parameters that they depend on.

    Attributes
    ----------
    coefficient : Array, shape (features, nodes, patients, visits), float32
        Of log sizes, the anchor at 1 mm where there is one.
    power : tuple of tuple of int
        Chebyshev degrees of each feature.
    centre, half : Array, shape (shared,)
        Middle and half width of where they hold, transformed scale.
    """

    coefficient: Array
    power: tuple[tuple[int, ...], ...] = field(metadata={"static": True})
    centre: Array
    half: Array


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
    """Whether polynomials of courses hold at a position of the population."""
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

    return jax.lax.map(one, effects, batch_size=TOGETHER)


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
        expected, ok = course + start[:, None], jnp.ones(patients, bool)
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
def _heights(
    of: Coordinates, it: Series, effects: Array, population: Population,
    courses: Courses | None = None,
) -> Heights:  # fmt: skip
    one = partial(_terms, of, it, population=population)
    if courses is None:
        return jax.lax.map(lambda e: one(effects=e), effects, batch_size=TOGETHER)
    at = population.shared[jnp.array(shared_by_courses(of), int)]
    feature = chebyshev((at - courses.centre) / courses.half, courses.power)
    course = jnp.tensordot(feature.astype(jnp.float32), courses.coefficient, 1).astype(float)
    return jax.lax.map(
        lambda each: one(effects=each[0], course=each[1]), (effects, course), batch_size=TOGETHER
    )


def chebyshev(u: Array, power: tuple[tuple[int, ...], ...]) -> Array:
    """Products of Chebyshev polynomials of coordinates between -1 and 1, (features,)."""
    angle = jnp.arccos(jnp.clip(u, -1.0, 1.0))
    return jnp.prod(jnp.cos(jnp.array(power, float).reshape(len(power), -1) * angle), axis=1)


def heights(of: Coordinates, it: Series, effects: Array, population: Population) -> Heights:
    """Log-likelihoods of every patient at nodes of shape (nodes, patients, effects).

    However many nodes there are, they are solved in parts of one size where there are many.
    """
    parts = [effects[k : k + AT_ONCE] for k in range(0, len(effects), AT_ONCE)]
    found = [_heights(of, it, part, population) for part in parts]
    return jax.tree.map(lambda *x: jnp.concatenate(x), *found)


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
    found = _heights(of, it, nodes.effects, population, courses)
    return found.first + found.rest + log_density(nodes.effects, population) - nodes.log_drawn


def log_marginals(log_weight: Array) -> Array:
    """Log marginal likelihood of every patient from the log weights of its nodes, (patients,)."""
    return logsumexp(log_weight, axis=0) - jnp.log(len(log_weight))


def log_posterior(of: Coordinates, it: Series, log_weight: Array, x: Array) -> Array:
    """Log posterior density of a position, up to a constant, from exact log weights."""
    return jnp.sum(log_marginals(log_weight), where=it.seen) + of.log_prior(x)


@partial(jax.jit, static_argnums=0)
def weighed(
    of: Coordinates, it: Series, nodes: Nodes, x: Array, courses: Courses | None = None
) -> tuple[Array, Array]:
    """Log posterior density of a position, and log weights of the nodes there."""
    log_weight = log_weights(of, it, nodes, of.population(x, it.traits), courses)
    return log_posterior(of, it, log_weight, x), log_weight
