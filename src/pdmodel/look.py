"""A first look: what each patient's data say, and a start for the population.

Each patient's effects are explored by adaptive importance sampling, all patients at once: nodes
are drawn from the population and from a Student-t around what is known so far, weighted by the
likelihood, and their moments make the next picture. Weights are tempered while few nodes carry
them, so that a picture is rather too wide than too narrow. Rounds alternate with moment updates
of the population (a Monte Carlo EM). No derivative with respect to the effects is needed.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import gammaln

from pdmodel.batches import in_batches
from pdmodel.heights import TOGETHER, likelihoods, per_patient
from pdmodel.likelihood import Evidence
from pdmodel.model import Model
from pdmodel.population import Picture, blank
from pdmodel.solve import moving

NODES = 256
ENOUGH = 40.0
"""Effective nodes below which weights are tempered."""
TAIL = 5.0
"""Degrees of freedom of the Student-t proposal."""
WIDER = 1.3
"""Factor on the proposal's scale."""
RESAMPLED = 4
ROUGH = 3
"""Rounds in which only the patients are explored, under the prior's population."""


class Look(NamedTuple):
    """Where sampling begins, on transformed scales.

    Attributes
    ----------
    centre, sd : Array, shape (effects,)
        The population.
    shared : Array, shape (shared,)
    mean : Array, shape (patients, effects)
    covariance : Array, shape (patients, effects, effects)
    picture : Picture
        The likelihood's part of mean and covariance.
    effective : Array, shape (patients,)
        Effective number of nodes, of 256, in the last round.
    nodes, weight : Array, shape (nodes, patients, effects) and (nodes, patients)
        The last nodes and their weights.
    tilt : Array, shape (patients, effects, shared)
        How patients' means move with the shared parameters.
    """

    centre: Array
    sd: Array
    shared: Array
    mean: Array
    covariance: Array
    picture: Picture
    effective: Array
    nodes: Array
    weight: Array
    tilt: Array


def positions(model: Model, look: Look) -> dict[str, Array]:
    """Unbounded positions of the population of a look."""
    z = {
        f"{q.name}_z": (value - q.centre) / q.sd
        for q, value in zip(model.shared, look.shared, strict=True)
    }
    for q, centre, sd in zip(model.individual, look.centre, look.sd, strict=True):
        z[f"{q.name}_typical_z"] = (centre - q.centre) / q.sd
        z[f"{q.name}_sd_z"] = jnp.log(sd / q.iiv) / q.between_spread
    return z


def log_normal(at: Array, centre: Array, sd: Array) -> Array:
    """Log density of independent normals, less half log 2 pi each; sums over the last axis."""
    return jnp.sum(-0.5 * ((at - centre) / sd) ** 2 - jnp.log(sd), axis=-1)


def log_student(z: Array, log_volume: Array) -> Array:
    """Log density of a multivariate Student-t at standardised `z`, up to what a normal leaves."""
    d = z.shape[-1]
    height = gammaln((TAIL + d) / 2) - gammaln(TAIL / 2) - 0.5 * d * jnp.log(TAIL / 2)
    return height - 0.5 * (TAIL + d) * jnp.log1p(jnp.sum(z**2, -1) / TAIL) - log_volume


def tempered(log_weight: Array) -> tuple[Array, Array]:
    """Flatten weights over nodes (first axis) until enough of them count; with the power used."""

    def share(power: Array) -> tuple[Array, Array]:
        weight = jax.nn.softmax(power * log_weight, axis=0)
        return weight, 1.0 / jnp.sum(weight**2, axis=0)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        fine = share(middle)[1] >= ENOUGH
        return jnp.where(fine, middle, low), jnp.where(fine, high, middle)

    ones = jnp.ones(log_weight.shape[1])
    low, _ = jax.lax.fori_loop(0, 12, halve, (0.0 * ones, ones))
    power = jnp.where(share(ones)[1] >= ENOUGH, 1.0, low)
    return share(power)[0], share(ones)[1]


def moments(nodes: Array, weight: Array, sd: Array) -> tuple[Array, Array]:
    """Mean and covariance of weighted nodes of each patient, (patients, effects[, effects])."""
    mean = jnp.einsum("np,npi->pi", weight, nodes)
    off = nodes - mean
    covariance = jnp.einsum("np,npi,npj->pij", weight, off, off)
    return mean, covariance + 1e-4 * jnp.diag(sd**2)


def explored(model: Model, data: Evidence, key: Array, at: Look) -> tuple[Array, Array, Array]:
    """Draw nodes for every patient and weigh them.

    Returns
    -------
    nodes, weight, effective : Array
        Shapes (nodes, patients, effects), (nodes, patients) and (patients,).
    """
    nodes, log_drawn = _proposed(key, at)
    weight, effective = _weighed(at, nodes, log_drawn, likelihoods(model, data, nodes, at.shared))
    return nodes, weight, effective


@jax.jit
def _weighed(at: Look, nodes: Array, log_drawn: Array, likelihood: Array) -> tuple[Array, Array]:
    return tempered(likelihood + log_normal(nodes, at.centre, at.sd) - log_drawn)


@jax.jit
def _proposed(key: Array, at: Look) -> tuple[Array, Array]:
    """Draw nodes, half around what is known of each patient; and their log density."""
    half = NODES // 2
    k1, k2, k3 = jax.random.split(key, 3)
    patients, d = at.mean.shape
    root = WIDER * jnp.linalg.cholesky(at.covariance)
    z = jax.random.normal(k1, (half, patients, d))
    tail = jnp.sqrt(TAIL / (2.0 * jax.random.gamma(k2, TAIL / 2, (half, patients, 1))))
    near = at.mean + jnp.einsum("pij,npj->npi", root, z * tail)
    far = at.centre + at.sd * jax.random.normal(k3, (NODES - half, patients, d))
    nodes = jnp.concatenate([near, far])
    inverse = jnp.linalg.inv(root)
    back = jnp.einsum("pij,npj->npi", inverse, nodes - at.mean)
    volume = jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)), axis=1)
    return nodes, jnp.logaddexp(log_student(back, volume), log_normal(nodes, at.centre, at.sd))


@partial(jax.jit, static_argnums=0)
def _shared_step(model: Model, data: Evidence, drawn: Array, look: Look) -> Array:
    """Move the shared parameters one damped Newton step, averaged over drawn effects.

    The effects move along, as the patients' means do: the steps then are about as long as they
    would be with the effects integrated out.
    """
    prior_centre = jnp.array([q.centre for q in model.shared])
    prior_sd = jnp.array([q.sd for q in model.shared])

    def value(z: Array) -> Array:
        at = prior_centre + prior_sd * z
        moved = drawn + look.tilt @ (at - look.shared)
        terms = in_batches(lambda e: per_patient(model, data, e, at), moved, TOGETHER)
        terms = terms + log_normal(moved, look.centre, look.sd)
        return jnp.sum(terms) / len(drawn) - 0.5 * jnp.sum(z**2)

    gradient = jax.grad(value)
    z = (look.shared - prior_centre) / prior_sd
    step = 1e-3
    aside = step * jnp.eye(len(z))
    here, up, down = jnp.split(  # in turn, so that the solver is compiled once
        jax.lax.map(gradient, z + jnp.concatenate([jnp.zeros((1, len(z))), aside, -aside])),
        (1, 1 + len(z)),
    )
    rows = (up - down) / (2 * step)
    values, vectors = jnp.linalg.eigh(-0.5 * (rows + rows.T))
    move = vectors @ ((vectors.T @ here[0]) / jnp.maximum(jnp.abs(values), 1.0))
    return prior_centre + prior_sd * (z + jnp.clip(move, -1.0, 1.0))


def climbed(model: Model, data: Evidence, at: Look, key: Array) -> Look:
    """Move the population one EM step up, from the patients' weighted nodes."""
    own, n = model.individual, data.patients
    prior_centre = jnp.array([q.centre for q in own])
    prior_sd = jnp.array([q.sd for q in own])
    between = jnp.array([q.iiv for q in own])
    loose = jnp.array([q.between_spread for q in own])
    drawn = jax.random.categorical(key, jnp.log(at.weight), 0, shape=(RESAMPLED, n))
    drawn = jnp.take_along_axis(at.nodes, drawn[..., None], axis=0)
    shared = _shared_step(model, data, drawn, at) if model.shared else at.shared
    spread = jnp.mean((at.mean - at.centre) ** 2 + jnp.diagonal(at.covariance, 0, 1, 2), 0)
    precision = n / at.sd**2 + 1.0 / prior_sd**2
    centre = (jnp.sum(at.mean, 0) / at.sd**2 + prior_centre / prior_sd**2) / precision
    strength = 2.0 * n  # of the moments, against the log-normal prior of the sd
    log_sd = strength * 0.5 * jnp.log(spread) + jnp.log(between) / loose**2
    return at._replace(
        shared=shared, centre=centre, sd=jnp.exp(log_sd / (strength + 1.0 / loose**2))
    )


def first_look(model: Model, data: Evidence, key: Array, rounds: int = 12) -> Look:
    """Explore every patient and find a start for the population.

    Parameters
    ----------
    model : Model
        With at least one individual parameter.
    data : Evidence
    key : Array
    rounds : int

    Returns
    -------
    Look
        A start and a picture, not an estimate.
    """
    own = model.individual
    prior_centre = jnp.array([q.centre for q in own])
    between = jnp.array([q.iiv for q in own])
    n, d = data.patients, len(own)
    at = Look(
        prior_centre, between, jnp.array([q.centre for q in model.shared]),
        jnp.tile(prior_centre, (n, 1)), jnp.tile(jnp.diag(between**2), (n, 1, 1)),
        blank(model, n), jnp.zeros(n), jnp.zeros((NODES, n, d)), jnp.zeros((NODES, n)),
        jnp.zeros((n, d, len(model.shared))),
    )  # fmt: skip
    for turn in range(rounds):
        here = jax.random.fold_in(key, turn)
        nodes, weight, effective = explored(model, data, here, at)
        mean, covariance = moments(nodes, weight, at.sd)
        at = at._replace(
            mean=mean, covariance=covariance, effective=effective, nodes=nodes, weight=weight
        )
        if turn < ROUGH:
            continue
        at = at._replace(tilt=tilted(model, data, at))
        if turn < rounds - 1:
            at = climbed(model, data, at, here)
    return at._replace(picture=_likelihood_part(at))


def _likelihood_part(at: Look) -> Picture:
    """Take the population's normal out of the patients' moments."""
    prior = jnp.diag(at.sd**-2)
    scale = at.sd[:, None] * at.sd
    values, vectors = jnp.linalg.eigh((jnp.linalg.inv(at.covariance) - prior) * scale)
    precision = jnp.einsum("pij,pj,pkj->pik", vectors, jnp.maximum(values, 0.0), vectors) / scale
    whole = precision + prior
    pull = jnp.einsum("pij,pj->pi", whole, at.mean) - prior @ at.centre
    return Picture(pull, precision, jnp.einsum("pij,pjs->pis", whole, at.tilt), at.shared)


def tilted(model: Model, data: Evidence, at: Look) -> Array:
    """How patients' means move with each shared parameter: covariance with the score.

    Parameters of the residual alone move them little, and are left out.

    Returns
    -------
    Array, shape (patients, effects, shared)
    """
    nodes, weight = at.nodes, at.weight
    off = nodes - at.mean
    columns = []
    course = moving(model.mechanism)
    for k, q in enumerate(model.shared):
        if q.name not in course:
            columns.append(jnp.zeros(at.mean.shape))
            continue
        step = 0.1 * q.sd * jnp.eye(len(at.shared))[k]
        ends = [likelihoods(model, data, nodes, at.shared + sign * step) for sign in (1.0, -1.0)]
        score = (ends[0] - ends[1]) / (0.2 * q.sd)
        columns.append(jnp.einsum("np,npi,np->pi", weight, off, score))
    empty = jnp.zeros((*at.mean.shape, 0))
    return jnp.stack(columns, axis=2) if columns else empty
