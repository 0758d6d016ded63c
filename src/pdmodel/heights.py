"""How likely each patient's scans are at given effects: what nodes are weighed by."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from pdmodel.batches import in_batches
from pdmodel.likelihood import Evidence, expected_sizes, log_likelihood, scan_terms
from pdmodel.model import Model
from pdmodel.population import FAILED

AT_ONCE = 256
"""Nodes that are handed to one compiled function."""
TOGETHER = 64
"""Draws of all patients solved at a time: enough to fill the solver, few enough for memory."""


def _named(model: Model, effects: Array, shared: Array) -> dict[str, Array]:
    values = {q.name: q.natural(effects[:, k]) for k, q in enumerate(model.individual)}
    return values | {q.name: q.natural(shared[k]) for k, q in enumerate(model.shared)}


def per_patient(model: Model, data: Evidence, effects: Array, shared: Array) -> Array:
    """Log-likelihood of each patient at its effects, shape (patients,)."""
    terms, ok = log_likelihood(model, _named(model, effects, shared), data)
    return jnp.where(ok, jnp.sum(terms, axis=1), FAILED)


def per_patient_each(model: Model, data: Evidence, effects: Array, several: Array) -> Array:
    """Log-likelihoods at several values of what only the residual shares, (several, patients).

    The courses are solved once, at the first of them.
    """
    expected, ok = expected_sizes(model, _named(model, effects, several[0]), data)

    def one(shared: Array) -> Array:
        terms = scan_terms(model, _named(model, effects, shared), data, expected, ok)
        return jnp.where(ok, jnp.sum(terms, axis=1), FAILED)

    return jax.vmap(one)(several)


@partial(jax.jit, static_argnums=0)
def _some_likelihoods(model: Model, data: Evidence, effects: Array, shared: Array) -> Array:
    return in_batches(lambda e: per_patient(model, data, e, shared), effects, TOGETHER)


def likelihoods(model: Model, data: Evidence, effects: Array, shared: Array) -> Array:
    """Log-likelihood of every patient at every node, (nodes, patients).

    However many nodes there are, they are solved in parts of one size, so that the solver is
    compiled once.
    """
    parts = (effects[k : k + AT_ONCE] for k in range(0, len(effects), AT_ONCE))
    return jnp.concatenate([_some_likelihoods(model, data, part, shared) for part in parts])


@partial(jax.jit, static_argnums=0)
def likelihoods_each(model: Model, data: Evidence, effects: Array, several: Array) -> Array:
    """Log-likelihoods at every node for several values of the residual's parameters.

    Returns
    -------
    Array, shape (several, nodes, patients)
    """
    one = partial(per_patient_each, model, data, several=several)
    rows = in_batches(lambda e: one(effects=e), effects, TOGETHER)
    return jnp.swapaxes(rows, 0, 1)


def noise_of(one: Array, other: Array, seen: Array) -> float:
    """Standard error of the log marginal likelihood of all patients, from two halves of the nodes.

    Parameters
    ----------
    one, other : Array, shape (patients,)
        Log marginal likelihoods over independent halves of the nodes.
    seen : Array of bool, shape (patients,)
    """
    return float(0.5 * jnp.sqrt(jnp.sum((one - other) ** 2, where=seen)))
