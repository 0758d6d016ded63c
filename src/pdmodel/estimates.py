"""Each patient's most probable parameters given the population, and how sure they are.

What NONMEM and Monolix call empirical Bayes estimates: the mode of the patient's posterior at the
middle of the population's, and a normal around it by its curvature (Laplace's approximation). How
good that normal is, a Pareto k says for each patient (Vehtari and others 2024, arXiv:1507.02646).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pandas as pd
from jax import Array
from scipy.special import ndtri

from pdmodel.data import Cohort
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.influence import coordinates, traits
from pdmodel.keys import key_of
from pdmodel.likelihood import Evidence, evidence, log_likelihood, stacked
from pdmodel.parameter import Parameter
from pdmodel.population import FAILED
from pdmodel.quadrature.coordinates import Coordinates, Population
from pdmodel.quadrature.resampling import smoothed

TOLERANCE, MOST_STEPS = 1e-5, 200
"""Of the search for the mode: in standard deviations between patients, and in nats."""
APART = 1e-2
"""Between the two gradients of a curvature, in the same units."""
FLATTEST = 0.05
"""A curvature below this share of the population's is not believed."""
DRAWN = 200
"""Positions at which the normal is compared with the posterior."""
AT_ONCE = 128
"""Patients that are searched at a time."""
INTERVAL = 0.95
LIMIT, MUCH = 0.7, 0.3
"""Of Pareto k, and of shrinkage, above which to warn."""


class _Patient(NamedTuple):
    """One patient: the scans, and the population on transformed scales."""

    data: Evidence
    centre: Array
    root: Array
    shared: Array


class _Found(NamedTuple):
    """Modes in standard deviations between patients, covariances, and log ratios of densities."""

    mode: Array
    covariance: Array
    converged: Array
    log_ratio: Array


def estimate(fit: Fit, cohort: Cohort | None = None, *, seed: int = 1) -> pd.DataFrame:
    """Find the most probable parameters of each patient under the population of a fit.

    Parameters
    ----------
    fit : Fit
        Hierarchical. Its population stands at its middle: the means of all draws on the scales
        on which patients are normal.
    cohort : Cohort, optional
        Other patients than those of the fit.
    seed : int
        Of the positions at which the approximation is judged; estimates do not depend on it.

    Returns
    -------
    DataFrame
        A row for each patient: ``patient_id``, ``study``, ``arm``; for each individual parameter
        ``NAME`` on its natural scale, ``NAME_low`` and ``NAME_high`` (95 % by Laplace's
        approximation); ``pareto_k``, above 0.7 where that must not be used; ``converged``. Its
        ``attrs`` hold ``shrinkage``: for each parameter one less the ratio of the estimates' sd to
        that between patients (doi:10.1208/s12248-009-9133-0).

    Raises
    ------
    OptionError
        If the fit is of patients alone.
    """
    if fit.pooling != "partial":
        raise OptionError("This fit has no population: it was made with pooling='none'.")
    options = fit.manifest["options"]
    of, whole = coordinates(fit.model, options), cohort or fit.cohort
    population = _middle(fit, of, whole)
    people = _patients(fit, of, whole, population)
    count = len(whole)
    searched = []
    for first in range(0, count, AT_ONCE):
        rows = np.minimum(np.arange(first, first + min(AT_ONCE, count)), count - 1)
        mine = jax.tree.map(lambda x: x[rows], people)  # noqa: B023  # used at once
        keys = jnp.stack([key_of(seed, "estimate", whole.keys[k]) for k in rows])
        found = _searched(of, mine, keys)
        searched.append(jax.tree.map(lambda x: np.asarray(x)[: count - first], found))  # noqa: B023
    found = jax.tree.map(lambda *x: np.concatenate(x), *searched)
    return _told(of, whole, people, found)


def _middle(fit: Fit, of: Coordinates, cohort: Cohort) -> Population:
    """Give the population at the mean of its draws on transformed scales."""
    drawn = fit.posterior.stack(sample=("chain", "draw"))  # noqa: PD013  # xarray's
    own: dict[str, Parameter] = {q.name: q for q in fit.model.shared}
    own |= {f"{q.name}_typical": q for q in fit.model.individual}
    sds = {f"{q.name}_sd" for q in fit.model.individual}
    values = {}
    for name in map(str, drawn.data_vars):
        if drawn[name].dims != ("sample",):
            continue
        x = drawn[name].to_numpy()
        if name in own:
            values[name] = own[name].natural(jnp.mean(own[name].unbounded(x)))
        else:
            values[name] = jnp.asarray(np.exp(np.mean(np.log(x))) if name in sds else np.mean(x))
    return of.population_of(values, traits(of, cohort, fit.manifest["options"]))


def _patients(fit: Fit, of: Coordinates, cohort: Cohort, population: Population) -> _Patient:
    """Lay out every patient apart, patients first; the anchor stands after the effects."""
    accuracy = fit.manifest["options"]["accuracy"]
    apart = [evidence(fit.model, [one], accuracy, fit.kinetics_seed) for one in cohort]
    count, size = len(cohort), len(of.effects)
    centre = jnp.broadcast_to(population.centre, (count, size))
    root = jnp.broadcast_to(population.root, (count, size, size))
    if of.anchor is not None:
        start = jnp.broadcast_to(population.start, (count,))
        sd = jnp.broadcast_to(population.start_sd, (count,))
        centre = jnp.concatenate([centre, start[:, None]], axis=1)
        last = jnp.zeros((count, 1, size))
        root = jnp.block([[root, jnp.swapaxes(last, 1, 2)], [last, sd[:, None, None]]])
    shared = jnp.broadcast_to(population.shared, (count, *population.shared.shape))
    return _Patient(stacked(apart), centre, root, shared)


def _height(of: Coordinates, u: Array, patient: _Patient) -> Array:
    """Log posterior density of one patient, up to a constant, at `u` sds from the population."""
    z = patient.centre + patient.root @ u
    values = {q.name: q.natural(z[k])[None] for k, q in enumerate(_own(of))}
    values |= {q.name: q.natural(patient.shared[k]) for k, q in enumerate(of.model.shared)}
    terms, ok = log_likelihood(of.model, values, patient.data)
    return jnp.where(ok[0], jnp.sum(terms), FAILED) - 0.5 * jnp.sum(u**2)


def _own(of: Coordinates) -> tuple[Parameter, ...]:
    return (*of.effects, *([of.anchor] if of.anchor is not None else []))


@partial(jax.jit, static_argnums=0)
def _searched(of: Coordinates, people: _Patient, keys: Array) -> _Found:
    return jax.vmap(partial(_one, of))(people, keys)


def _one(of: Coordinates, patient: _Patient, key: Array) -> _Found:
    size = len(_own(of))
    search = optimistix.BFGS(rtol=TOLERANCE, atol=TOLERANCE)
    found = optimistix.minimise(
        lambda u, _: -_height(of, u, patient), search, jnp.zeros(size),
        max_steps=MOST_STEPS, throw=False,
    )  # fmt: skip
    mode = found.value
    slope = jax.grad(lambda u: -_height(of, u, patient))
    steps = APART * jnp.concatenate([jnp.eye(size), -jnp.eye(size)])
    up, down = jnp.split(jax.lax.map(lambda step: slope(mode + step), steps), 2)
    curvature = (up - down) / (2.0 * APART)
    bend, axes = jnp.linalg.eigh(0.5 * (curvature + curvature.T))
    spread = axes / jnp.sqrt(jnp.maximum(bend, FLATTEST))[None]
    drawn = jax.random.normal(key, (DRAWN, size))
    heights = jax.lax.map(lambda e: _height(of, mode + spread @ e, patient), drawn)
    return _Found(
        mode, spread @ spread.T,
        found.result == optimistix.RESULTS.successful,
        heights + 0.5 * jnp.sum(drawn**2, axis=1),
    )  # fmt: skip


def _told(of: Coordinates, cohort: Cohort, people: _Patient, found: _Found) -> pd.DataFrame:
    root, centre = np.asarray(people.root), np.asarray(people.centre)
    off = np.einsum("pij,pj->pi", root, found.mode)
    sd = np.sqrt(np.einsum("pij,pjk,pik->pi", root, found.covariance, root))
    between = np.sqrt(np.einsum("pij,pij->pi", root, root))
    reach = ndtri(0.5 + 0.5 * INTERVAL) * sd
    columns: dict[str, Any] = {
        name: [getattr(one, own) for one in cohort]
        for name, own in (("patient_id", "id"), ("study", "study"), ("arm", "arm"))
    }
    for k, q in enumerate(_own(of)):
        place = centre[:, k] + off[:, k]
        columns[q.name] = np.asarray(q.natural(place))
        columns[f"{q.name}_low"] = np.asarray(q.natural(place - reach[:, k]))
        columns[f"{q.name}_high"] = np.asarray(q.natural(place + reach[:, k]))
    columns["pareto_k"] = [smoothed(one)[1] for one in np.asarray(found.log_ratio)]
    columns["converged"] = found.converged
    table = pd.DataFrame(columns)
    table.attrs["shrinkage"] = {
        q.name: float(1.0 - np.std(off[:, k] / between[:, k])) for k, q in enumerate(_own(of))
    }
    return table


def told(table: pd.DataFrame) -> list[str]:
    """Say how much estimates have shrunk, and whose must not be used."""
    shrunk = table.attrs["shrinkage"]
    lines = [
        f"Shrinkage of {name}: {share:.2f}"
        + (": estimates say little of who differs." if share > MUCH else ".")
        for name, share in shrunk.items()
    ]
    rough, lost = int((table["pareto_k"] > LIMIT).sum()), int((~table["converged"]).sum())
    if rough:
        lines.append(
            f"{rough} of {len(table)} patients have a Pareto k above {LIMIT}: their intervals must "
            "not be used; draws of the fit are not touched by this."
        )
    if lost:
        lines.append(f"{lost} of {len(table)} searches did not converge; see column converged.")
    return lines
