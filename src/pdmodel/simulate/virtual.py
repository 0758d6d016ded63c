"""Virtual patients: drawn one by one from a population that a fit has learnt, or from the prior."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.influence import coordinates, traits
from pdmodel.keys import key_of
from pdmodel.model import Model
from pdmodel.parameter import Parameter
from pdmodel.quadrature.coordinates import Coordinates, correlation_name, slope_name


class Population(NamedTuple):
    """Draws of a population.

    Attributes
    ----------
    centre : dict of str to ndarray, each of shape (draws,)
        Typical value, or value of all patients, of every free parameter; transformed scale.
    sd : dict of str to ndarray, each of shape (draws,)
        Between patients, of every individual parameter; transformed scale.
    unlearnt : tuple of str
        Parameters that come from the prior, for want of a posterior.
    root : dict of str to dict of str to ndarray, each of shape (draws,)
        Rows of the Cholesky factor of the correlations, of the parameters that have some.
    slope : dict of str to dict of str to ndarray, each of shape (draws,)
        Of parameters, their change on the transformed scale by each covariate.
    traits : dict of str to ndarray, each of shape (fitted patients,)
        Covariates of the patients of the fit on its scale, nan where missing.
    """

    centre: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]
    unlearnt: tuple[str, ...]
    root: dict[str, dict[str, np.ndarray]]
    slope: dict[str, dict[str, np.ndarray]]
    traits: dict[str, np.ndarray]

    @property
    def draws(self) -> int:
        """Number of draws."""
        return len(next(iter(self.centre.values()), ()))


def population(source: Fit | Model, model: Model, draws: int, seed: int) -> Population:
    """Take draws of the population from a posterior, as far as there is one, else the prior.

    Parameters
    ----------
    source : Fit or Model
        A hierarchical fit has a posterior of the population; patients fitted alone, and a model,
        have none.
    model : Model
        What is to be simulated; parameters that the source lacks come from their prior.
    draws : int
        Draws of the posterior, evenly spaced through it; at most as many as there are.
    seed : int

    Raises
    ------
    OptionError
        If `draws` is below 1.
    """
    if draws < 1:
        raise OptionError(f"draws is {draws}; it must be >= 1.")
    learnt: dict[str, np.ndarray] = {}
    names: set[str] = set()
    if isinstance(source, Fit) and source.pooling == "partial":
        learnt = _posterior(source, draws)
        draws = len(next(iter(learnt.values())))
        names = {q.name for q in source.model.free}
    centre, sd = {}, {}
    for q in model.free:
        if q.name in names:
            typical = f"{q.name}_typical" if q.individual else q.name
            centre[q.name], spread = _unbounded(q, learnt[typical]), learnt.get(f"{q.name}_sd")
        else:
            centre[q.name], spread = prior_centre(q, draws, seed)
        if q.individual and spread is not None:
            sd[q.name] = spread
    unlearnt = tuple(q.name for q in model.free if q.name not in names)
    if not learnt or not isinstance(source, Fit):
        return Population(centre, sd, unlearnt, {}, {}, {})
    options = source.manifest["options"]
    of = coordinates(source.model, options)
    slope: dict[str, dict[str, np.ndarray]] = {}
    for name, covariate in of.slopes:
        slope.setdefault(name, {})[covariate] = learnt[slope_name(name, covariate)]
    own = traits(of, source.cohort, options)
    seen = np.where(np.asarray(own.missing) > 0, np.nan, np.asarray(own.value))
    known = {name: seen[:, k] for k, name in enumerate(of.covariates)}
    return Population(centre, sd, unlearnt, _root(of, learnt), slope, known)


def virtual_patients(
    model: Model, drawn: Population, index: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Draw patients; number i depends on the seed, the population and i alone.

    Patient i takes draw ``i mod draws`` of the population, so that patients share draws evenly.
    Where covariates move parameters, a patient has those of one of the fitted patients, drawn at
    random, and a covariate which that one lacks is a standard normal, as in the fit.

    Parameters
    ----------
    model : Model
    drawn : Population
    index : ndarray of int, shape (patients,)
    seed : int

    Returns
    -------
    dict of str to ndarray
        Every free parameter on the natural scale, each of shape (patients,).
    """
    which = index % max(drawn.draws, 1)
    z = {
        q.name: np.asarray(standard(key_of(seed, "patient", q.name), jnp.asarray(index)))
        for q in model.free if q.individual
    }  # fmt: skip
    covariates = _covariates(drawn, index, seed)
    values = {}
    for q in model.free:
        place = drawn.centre[q.name][which]
        if q.individual:
            row = drawn.root.get(q.name)
            mixed = z[q.name] if row is None else sum(row[name][which] * z[name] for name in row)
            place = place + drawn.sd[q.name][which] * mixed
        for name, slope in drawn.slope.get(q.name, {}).items():
            place = place + slope[which] * covariates[name]
        values[q.name] = np.asarray(q.natural(jnp.asarray(place)))
    return values


def _covariates(drawn: Population, index: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Give each patient the covariates of one of the fitted patients, by name."""
    if not drawn.traits:
        return {}
    count = len(next(iter(drawn.traits.values())))
    at = jnp.asarray(index)
    like = np.asarray(_chosen(key_of(seed, "patient", "covariates of"), at, count))
    out = {}
    for name, known in drawn.traits.items():
        value = known[like]
        lacking = np.asarray(standard(key_of(seed, "patient", "covariate", name), at))
        out[name] = np.where(np.isnan(value), lacking, value)
    return out


@partial(jax.jit, static_argnums=2)
def _chosen(key: jax.Array, index: jax.Array, count: int) -> jax.Array:
    """Choose one of `count` for each number."""
    return jax.vmap(lambda key: jax.random.randint(key, (), 0, count))(keys_of(key, index))


def _root(of: Coordinates, learnt: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Rows of the Cholesky factor of every draw of the correlations, by name."""
    if not of.pairs:
        return {}
    names = [q.name for q in of.effects]
    matrix = np.tile(np.eye(len(names)), (len(next(iter(learnt.values()))), 1, 1))
    for i, j in of.pairs:
        value = learnt[correlation_name(of.effects[j], of.effects[i])]
        matrix[:, i, j] = matrix[:, j, i] = value
    root = np.linalg.cholesky(matrix)
    return {
        name: {other: root[:, i, j] for j, other in enumerate(names[: i + 1])}
        for i, name in enumerate(names)
    }


@jax.jit
def keys_of(key: jax.Array, index: jax.Array) -> jax.Array:
    """Make a key for each number."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)


@jax.jit
def standard(key: jax.Array, index: jax.Array) -> jax.Array:
    """Draw a standard normal for each number."""
    return jax.vmap(jax.random.normal)(keys_of(key, index))


def _posterior(fit: Fit, draws: int) -> dict[str, np.ndarray]:
    """Draws of what the population shares, each of shape (draws,)."""
    stacked = fit.posterior.stack(sample=("chain", "draw"))
    total = stacked.sizes["sample"]
    chosen = np.linspace(0, total - 1, min(draws, total)).astype(int)
    shared = [str(name) for name in stacked if stacked[name].dims == ("sample",)]
    return {name: stacked[name].to_numpy()[chosen] for name in shared}


def prior_centre(q: Parameter, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Prior of typical value and spread, by name, so that no other parameter matters."""
    z = np.asarray(jax.random.normal(key_of(seed, "population", q.name), (2, draws)))
    spread = None if q.between is None else q.between * np.exp(q.between_spread * z[1])
    return q.centre + (q.prior_sd or 0.0) * z[0], spread


def _unbounded(q: Parameter, x: np.ndarray) -> np.ndarray:
    if q.transform == "log":
        return np.log(x)
    return np.log(x) - np.log1p(-x) if q.transform == "logit" else x
