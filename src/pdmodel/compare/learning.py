"""Where forecasts come from: a population learnt from some patients, and others under it.

All patients are laid out once, and what is not to be known is hidden, so that the programs of one
fold serve all folds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdmodel.batches import in_batches
from pdmodel.by_nodes import checked, settled
from pdmodel.checkpoint import NOT_KEPT
from pdmodel.course import Accuracy
from pdmodel.data import Cohort, Patient
from pdmodel.errors import FitError, OptionError
from pdmodel.fit import Fit
from pdmodel.influence import coordinates, traits
from pdmodel.integration import beyond_noise
from pdmodel.keys import key_of
from pdmodel.library import drug, mechanism
from pdmodel.likelihood import Evidence, evidence, expected_sizes
from pdmodel.memory import fits
from pdmodel.model import Model
from pdmodel.newcomers import given_scans
from pdmodel.nuts import Progress, Settings
from pdmodel.quadrature.coordinates import Coordinates, Population, Traits, no_traits
from pdmodel.quadrature.effort import EFFORTS
from pdmodel.quadrature.series import Series, seeing, series
from pdmodel.residuals import RESIDUALS, residual

USUAL_RESIDUAL = "walk"
HOW = {"quick": ("quick", Settings(draws=200)), "nuts": ("nodes", Settings(draws=500))}
"""Effort and draws by method, as those of `pdmodel.fit`."""
EACH = 8
"""Draws of a patient under every population that is drawn."""

type Report = Callable[[Progress], None]


def model_named(name: str, drugs: Sequence[str]) -> Model:
    """Put together a model from ``MECHANISM`` or ``MECHANISM:RESIDUAL``.

    Parameters
    ----------
    name : str
        The residual is `USUAL_RESIDUAL` if it is left out. A mechanism may be a file of one's own.
    drugs : sequence of str
        Those that were given; a curve, which answers to no drug, is fitted without them.

    Raises
    ------
    ModelError
        If there is no such mechanism or residual.
    """
    head, mark, tail = name.rpartition(":")
    if not mark or (tail not in RESIDUALS and tail.endswith(".py")):
        head, tail = name, USUAL_RESIDUAL
    biology = mechanism(head)
    given = tuple(map(drug, drugs)) if biology.answers_to else ()
    return Model(biology, given, residual(tail))


def as_treated(patients: Sequence[Patient], model: Model) -> tuple[Patient, ...]:
    """Leave the doses of patients out where the model has no drugs."""
    if model.drugs:
        return tuple(patients)
    return tuple(replace(one, regimens={}, schedules=()) for one in patients)


class Laid(NamedTuple):
    """A cohort laid out under a model, once for all folds and designs."""

    of: Coordinates
    it: Series


class Learnt(NamedTuple):
    """Draws of a population, and how far they can be trusted.

    Attributes
    ----------
    x : ndarray, shape (draws, coordinates)
        Of `Coordinates`.
    pareto_k : float
        Shape of the tail of their weights; above 0.7 they cannot be trusted.
    effective : float
        As many independent draws as they are worth.
    off_nats : float
        Error of the likelihood over stored nodes, or how much too fast it falls off
        (`pdmodel.integration`).
    """

    x: np.ndarray
    pareto_k: float
    effective: float
    off_nats: float


def laid_out(
    model: Model, cohort: Cohort, *, accuracy: Accuracy = "draft", drawn: int | None = None
) -> Laid:
    """Lay a cohort out; doses are left out where the model has no drugs.

    Raises
    ------
    FitError
        If the model has no parameter of a patient's own.
    """
    if not model.individual:
        raise FitError(f"Mechanism {model.mechanism.name!r} has no parameter of a patient's own.")
    data = evidence(model, as_treated(cohort.patients, model), accuracy, drawn)
    return Laid(Coordinates(model), series(data, no_traits(len(cohort))))


def laid_out_for(fit: Fit) -> Laid:
    """Lay the cohort of a hierarchical fit out as the fit did."""
    options = fit.manifest["options"]
    of = coordinates(fit.model, options)
    data = evidence(fit.model, fit.cohort, options["accuracy"], fit.kinetics_seed)
    return Laid(of, series(data, traits(of, fit.cohort, options)))


def learnt(laid: Laid, learns: np.ndarray, *, seed: int, method: str, report: Report) -> Learnt:
    """Sample the population that some of the patients say.

    Parameters
    ----------
    laid : Laid
    learns : ndarray of bool, shape (patients,)
        Whose scans are read; nothing is known of the others.
    seed : int
    method : {"quick", "nuts"}
        How much is spent, as by `pdmodel.fit` of that method where patients are integrated out
        over nodes.
    report : callable
        Told of progress.

    Raises
    ------
    OptionError
        If there is no such method.
    FitError
        If there is too little memory, or nothing finite is found.
    """
    if method not in HOW:
        raise OptionError(f"method is {method!r}; it must be one of {', '.join(HOW)}.")
    of, it = laid
    kind, settings = HOW[method]
    fits(of.model, it.data, settings, kind)
    it = seeing(it, np.broadcast_to(np.asarray(learns)[:, None], it.data.visible.shape))
    where, at, chosen = settled(of, it, seed, settings, EFFORTS[kind], report, NOT_KEPT)
    x = at.x.reshape(-1, len(of))
    report(Progress("checking", 0, 1, 0))
    found = checked(of, it, where.before, EFFORTS[kind], x, key_of(seed, "check"))
    off, _ = beyond_noise(found["error_nats"], found["noise_nats"])
    off = max(off, float(found["too_steep_nats"]))
    return Learnt(x, chosen.pareto_k, chosen.effective, off)


def values_given(
    laid: Laid, seen: np.ndarray, populations: np.ndarray, *, draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Draw the parameters of patients given the scans that are seen.

    Parameters
    ----------
    laid : Laid
    seen : ndarray of int, shape (patients,)
        How many of each patient's scans are; of those with none, draws mean nothing.
    populations : ndarray, shape (draws, patients, coordinates)
        What each patient is taken to come from; those of the patient's fold. As many as are
        needed are used, evenly spaced.
    draws, seed : int

    Returns
    -------
    dict of str to ndarray
        Every free parameter, each of shape (draws, patients), on the natural scale.
    """
    of, it = laid
    each = min(EACH, draws)
    count = -(-draws // each)
    x = populations[np.linspace(0, len(populations) - 1, count).astype(int)]
    population = _of_patients(of, it, jnp.asarray(x))
    visits = it.data.visible.shape[1]
    it = seeing(it, np.arange(visits) < np.asarray(seen)[:, None])
    own = given_scans(of, it, population, each=each, seed=seed)
    shared = {
        q.name: np.repeat(np.asarray(q.natural(population.shared[:, k])), each, axis=0)
        for k, q in enumerate(of.model.shared)
    }
    return {name: value[:draws] for name, value in (own | shared).items()}


def _of_patients(of: Coordinates, it: Series, x: jax.Array) -> Population:
    """Populations of positions (draws, patients, coordinates), every patient's own."""

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    @jax.vmap
    def found(x: jax.Array, own: Traits) -> Population:
        one = of.population(x, jax.tree.map(lambda part: part[None], own))
        first = [jnp.sum(part, axis=0) for part in one[1:]]  # of the one, or of nothing
        return Population(one.shared, *first)

    every = found(x, it.traits)
    if of.anchor is None:
        nothing = jnp.zeros((len(x), 0))
        every = every._replace(start=nothing, start_sd=nothing)
    return every._replace(shared=jnp.swapaxes(every.shared, 1, 2))


def courses(laid: Laid, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Solve the courses of draws of all patients; (draws, patients, visits), (draws, patients)."""
    found = _courses(laid.of.model, laid.it.data, {k: jnp.asarray(v) for k, v in values.items()})
    return np.asarray(found[0]), np.asarray(found[1])


@partial(jax.jit, static_argnums=0)
def _courses(
    model: Model, data: Evidence, values: dict[str, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    return in_batches(lambda p: expected_sizes(model, p, data), values, 64)
