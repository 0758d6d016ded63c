"""The NumPyro programs: patients drawn from a population and fitted together, or each alone.

Everything is sampled on scales where the posterior is close to a standard normal. What is shared
stands in units of its prior. What is own to a patient is moved and turned by a normal picture of
that patient's likelihood (`Picture`), joined with the population's current normal: where the data
say much the coordinates are centred on the patient, where they say nothing on the population. The
change of variables is exact whatever the picture, which costs or saves time but never bias.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.linalg import solve_triangular

from pdmodel.likelihood import Evidence, log_likelihood
from pdmodel.model import Model
from pdmodel.parameter import Parameter

FAILED = -1e10
"""Log-likelihood of a course that could not be solved: the proposal is rejected."""


class Picture(NamedTuple):
    """A normal picture of each patient's likelihood on the transformed scale.

    Attributes
    ----------
    pull : Array, shape (patients, effects)
        Precision times centre.
    precision : Array, shape (patients, effects, effects)
        Zero where the data say nothing.
    tilt : Array, shape (patients, effects, shared)
        How the pull changes with the shared parameters.
    shared : Array, shape (shared,)
        The shared parameters at which the picture was taken.
    """

    pull: Array
    precision: Array
    tilt: Array
    shared: Array


def blank(model: Model, patients: int) -> Picture:
    """Return the picture of patients of whom nothing is known: non-centred coordinates."""
    effects, shared = len(model.individual), len(model.shared)
    return Picture(
        jnp.zeros((patients, effects)),
        jnp.zeros((patients, effects, effects)),
        jnp.zeros((patients, effects, shared)),
        jnp.array([q.centre for q in model.shared]),
    )


def shared(q: Parameter) -> Array:
    """Sample a parameter that all patients share; transformed scale."""
    z = jnp.asarray(numpyro.sample(f"{q.name}_z", dist.Normal(0.0, 1.0)))
    value = q.centre + q.sd * z
    numpyro.deterministic(q.name, q.natural(value))
    return value


def between(q: Parameter) -> tuple[Array, Array]:
    """Sample typical value (transformed scale) and standard deviation between patients."""
    z = jnp.asarray(numpyro.sample(f"{q.name}_typical_z", dist.Normal(0.0, 1.0)))
    spread = jnp.asarray(numpyro.sample(f"{q.name}_sd_z", dist.Normal(0.0, 1.0)))
    centre = q.centre + q.sd * z
    numpyro.deterministic(f"{q.name}_typical", q.natural(centre))
    sd = q.iiv * jnp.exp(q.between_spread * spread)
    numpyro.deterministic(f"{q.name}_sd", sd)
    return centre, sd


def placed(
    z: Array, picture: Picture, common: Array, centre: Array, sd: Array
) -> tuple[Array, Array]:
    """Bring standard coordinates of the patients to their effects.

    Parameters
    ----------
    z : Array, shape (patients, effects)
    picture : Picture
    common : Array, shape (shared,)
    centre, sd : Array, shape (effects,)
        The population's normal. All on the transformed scale.

    Returns
    -------
    effects, log_volume : Array
        Shapes (patients, effects) and (patients,), the log of the determinant of the change.
    """
    root = jnp.linalg.cholesky(picture.precision + jnp.diag(sd**-2))
    pull = picture.pull + picture.tilt @ (common - picture.shared) + centre * sd**-2
    inner = solve_triangular(root, pull[..., None], lower=True)
    effects = solve_triangular(root, inner + z[..., None], lower=True, trans=1)[..., 0]
    return effects, -jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)), axis=1)


def _score(model: Model, values: dict[str, Array], data: Evidence) -> None:
    terms, ok = log_likelihood(model, values, data)
    numpyro.factor("scans", jnp.sum(jnp.where(ok, jnp.sum(terms, axis=1), FAILED)))


def population(model: Model) -> tuple[Array, Array, Array]:
    """The population alone: shared values, centres and sds, each on the transformed scale."""
    common = [shared(q) for q in model.shared]
    spread = [between(q) for q in model.individual]
    centre, sd = (jnp.stack(parts) for parts in zip(*spread, strict=True))
    return jnp.stack(common) if common else jnp.zeros(0), centre, sd


def hierarchical(model: Model, data: Evidence, picture: Picture) -> None:
    """Patients drawn from a population, all fitted together."""
    effects = model.individual
    everyone, centre, sd = population(model)
    values = {q.name: q.natural(everyone[k]) for k, q in enumerate(model.shared)}
    shape = (data.patients, len(effects))
    z = jnp.asarray(numpyro.sample("patient_z", dist.Normal(0.0, 1.0).expand(shape).to_event(2)))
    place, log_volume = placed(z, picture, everyone, centre, sd)
    change = dist.Normal(centre, sd).log_prob(place) - dist.Normal(0.0, 1.0).log_prob(z)
    numpyro.factor("change_of_variables", jnp.sum(change) + jnp.sum(log_volume))
    for k, q in enumerate(effects):
        values[q.name] = q.natural(place[:, k])
        numpyro.deterministic(q.name, values[q.name])
    _score(model, values, data)


def separate(model: Model, data: Evidence) -> None:
    """One patient alone: every free parameter under the prior of a single patient's value."""
    values = {}
    for q in model.free:
        z = jnp.asarray(numpyro.sample(f"{q.name}_z", dist.Normal(0.0, 1.0)))
        values[q.name] = q.natural(q.centre + q.single_sd * z)
        numpyro.deterministic(q.name, values[q.name])
    _score(model, values, data)


def prior_draws(model: Model, key: Array, count: int) -> dict[str, Array]:
    """Draw from the prior: population, shared, and one new patient for each draw.

    Returns
    -------
    dict of str to Array
        Each of shape (count,), on the natural scale, under the names of a hierarchical fit.
    """
    draws = {}
    for k, q in enumerate(model.free):
        here = jax.random.normal(jax.random.fold_in(key, k), (3, count))
        centre = q.centre + q.sd * here[0]
        if q.individual:
            sd = q.iiv * jnp.exp(q.between_spread * here[1])
            draws[f"{q.name}_typical"], draws[f"{q.name}_sd"] = q.natural(centre), sd
            centre = centre + sd * here[2]
        draws[q.name] = q.natural(centre)
    return draws
