"""How the programs are sampled: the population alone, all together, or each patient alone."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from numpyro.infer.util import constrain_fn, potential_energy

from pdmodel.batches import in_batches
from pdmodel.checkpoint import NOT_KEPT, Checkpoints
from pdmodel.data import Cohort, Patient
from pdmodel.errors import FitError
from pdmodel.heights import TOGETHER, per_patient
from pdmodel.keys import key_of
from pdmodel.levels import FRESH, Stored, look_from_the_mode, steps, tabulated
from pdmodel.likelihood import Evidence, evidence, stacked
from pdmodel.look import Look, first_look, log_normal, positions
from pdmodel.marginal import (
    Table,
    chosen_effects,
    log_marginal,
    marginal,
    parts,
    potential_of,
    units,
)
from pdmodel.model import Model
from pdmodel.nodes import fresh_marginal, walked
from pdmodel.nuts import Draws, Progress, Settings, sample
from pdmodel.parallel import side_by_side
from pdmodel.population import Picture, hierarchical, separate

type Report = Callable[[Progress], None]
type Sampled = tuple[Draws, dict[str, np.ndarray], dict[str, np.ndarray]]
"""Draws, values by name (chain, draw, ...), and figures for each patient."""

JITTER = 0.5
"""How far chains start from the first look, in standard deviations of their coordinates."""
DISPERSED = 1.5
"""The same from the mode, where the posterior's own standard deviations are known."""
CHECKS = 8
"""Draws at which the stored likelihood is compared with fresh nodes."""


def over_levels(
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings, report: Report,
    checkpoints: Checkpoints = NOT_KEPT,
) -> tuple[Stored, Draws]:  # fmt: skip
    """Sample the population alone, with patients integrated out over stored likelihoods."""
    report(Progress("climbing", 0, 1, 0))
    key = key_of(seed, "climb")
    look = checkpoints.kept("climb", lambda: look_from_the_mode(model, data, key))
    count, total = itertools.count(1), steps(model)
    report(Progress("solving nodes", 0, total, 0))

    def tick() -> None:
        done = next(count)
        report(Progress("solving nodes", done, max(done, total), 0))

    stored = checkpoints.kept(
        "nodes", lambda: tabulated(model, data, look, key_of(seed, "nodes"), tick)
    )
    return stored, _population_draws(model, cohort, stored, seed, settings, report, checkpoints)


def by_population(
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings, report: Report,
    checkpoints: Checkpoints = NOT_KEPT,
) -> Sampled:  # fmt: skip
    """Sample the population with patients integrated out, then the patients given it."""
    stored, drawn = over_levels(model, cohort, data, seed, settings, report, checkpoints)
    values = _constrained(marginal, (model, stored.table), drawn)
    report(Progress("patients", 0, 1, 0))
    population = _population_of(model, drawn)
    given = (model, data, stored, population, settings, seed)
    effects, effective, far = checkpoints.kept("patients", lambda: _patients(*given))
    shape = drawn.statistics["lp"].shape
    for k, q in enumerate(model.individual):
        values[q.name] = np.asarray(q.natural(effects[..., k])).reshape(*shape, -1)
    report(Progress("checking", 0, 1, 0))
    figures = {
        "nodes_effective": np.mean(effective, axis=0),
        "nodes_effective_low": np.quantile(effective, 0.01, axis=0),
        "outside_grid": np.mean(far > 0),
        "nodes_away_sds": np.array(stored.away),
    }
    return drawn, values, figures | _checked(model, data, stored, population, key_of(seed, "check"))


def _checked(
    model: Model, data: Evidence, stored: Stored, population: tuple[Array, Array, Array], key: Array
) -> dict[str, np.ndarray]:
    """Compare the stored likelihood with fresh nodes at some draws.

    Returns
    -------
    dict of str to ndarray, each of shape (checks,)
        ``error_nats``, fresh less stored log marginal likelihood up to a constant, and
        ``noise_nats``, the standard error that the fresh one has by itself.
    """
    rows = np.linspace(0, len(population[0]) - 1, CHECKS).astype(int)
    known = jax.jit(log_marginal, static_argnums=0)
    prior_centre, prior_sd = units(model)

    def one(k: int) -> tuple[float, float]:
        z, centre, sd = (part[rows[k]] for part in population)
        level, *_ = parts(model, stored.table, z)
        near = stored.looks[int(jnp.argmin(jnp.abs(stored.table.level - level)))]
        at = near._replace(centre=centre, sd=sd, shared=prior_centre + prior_sd * z)
        fresh, noise = fresh_marginal(model, data, at, jax.random.fold_in(key, k), FRESH)
        return float(fresh - known(model, stored.table, z, centre, sd)), noise

    error, noise = np.array(side_by_side(one, CHECKS)).T
    return {"error_nats": error - np.mean(error), "noise_nats": noise}


def _population_draws(
    model: Model, cohort: Cohort, stored: Stored, seed: int, settings: Settings, report: Report,
    checkpoints: Checkpoints,
) -> Draws:  # fmt: skip
    """Sample the population under stored likelihoods, from dispersed starts."""
    mode, back = ravel_pytree(stored.mode)
    root = np.linalg.cholesky(stored.covariance)
    value = jax.jit(potential_of(model)(stored.table))
    if not np.isfinite(value(stored.mode)):
        raise _no_start(cohort)
    starts = []
    for k in range(settings.chains):
        away = DISPERSED * root @ jax.random.normal(key_of(seed, "start", k), mode.shape)
        trial = back(mode + away)
        starts.append(trial if np.isfinite(value(trial)) else stored.mode)
    keys = [key_of(seed, "chain", k) for k in range(settings.chains)]
    names = tuple(sorted(stored.mode))
    return sample(
        potential_of(model), stored.table, starts, keys, settings, report,
        dense=[names], covariance={names: stored.covariance}, checkpoints=checkpoints,
    )  # fmt: skip


def _population_of(model: Model, drawn: Draws) -> tuple[Array, Array, Array]:
    """Give shared parameters (prior units), centres and sds of every draw, draws first."""
    z = {name: jnp.asarray(v).reshape(-1) for name, v in drawn.positions.items()}
    rows = len(next(iter(z.values())))
    shared = [z[f"{q.name}_z"] for q in model.shared]
    centre = [q.centre + q.sd * z[f"{q.name}_typical_z"] for q in model.individual]
    sd = [q.iiv * jnp.exp(q.between_spread * z[f"{q.name}_sd_z"]) for q in model.individual]
    return (
        jnp.stack(shared, axis=1) if shared else jnp.zeros((rows, 0)),
        jnp.stack(centre, axis=1),
        jnp.stack(sd, axis=1),
    )


def _patients(
    model: Model, data: Evidence, stored: Stored, population: tuple[Array, Array, Array],
    settings: Settings, seed: int,
) -> list[np.ndarray]:  # fmt: skip
    """Draw the patients' effects for every draw of the population, a chain at a time."""
    middle = stored.looks[len(stored.looks) // 2]
    root = jnp.linalg.cholesky(middle.covariance)
    keys = jax.random.split(key_of(seed, "patients"), len(population[0]))
    each = [np.array_split(np.asarray(part), settings.chains) for part in population]
    own = np.array_split(np.arange(len(keys)), settings.chains)

    def chain(k: int) -> tuple[np.ndarray, ...]:
        mine = (part[k] for part in each)
        found = _effects(model, data, root, stored.table, keys[own[k]], *mine)
        return tuple(map(np.asarray, found))

    chains = side_by_side(chain, settings.chains)
    return [np.concatenate(parts) for parts in zip(*chains, strict=True)]


@partial(jax.jit, static_argnums=0)
def _effects(
    model: Model, data: Evidence, root: Array, table: Table, keys: Array, z: Array,
    centre: Array, sd: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Choose effects for every draw, and move them by a few exact Metropolis steps.

    The steps leave each patient's posterior given the population as it is, and mend what nodes
    of a neighbouring level leave inexact.
    """
    prior_centre, prior_sd = units(model)

    def one(args: tuple) -> tuple[Array, Array, Array]:
        key, z, centre, sd = args
        start, effective, far = chosen_effects(model, key, table, z, centre, sd)
        shared = prior_centre + prior_sd * z

        def height(effects: Array) -> Array:
            return per_patient(model, data, effects, shared) + log_normal(effects, centre, sd)

        return walked(key, height, root, start), effective, far

    return in_batches(one, (keys, z, centre, sd), TOGETHER)


def together(
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings, report: Report,
    checkpoints: Checkpoints = NOT_KEPT,
) -> Sampled:  # fmt: skip
    """Sample population and patients in one program."""
    report(Progress("first look", 0, 1, 0))
    key = key_of(seed, "first look")
    look = checkpoints.kept("first look", lambda: first_look(model, data, key))
    setup = (data, look.picture)

    def potential_of(setup: tuple[Evidence, Picture]) -> Callable:
        return lambda z: potential_energy(hierarchical, (model, *setup), {}, z)

    value = jax.jit(potential_of(setup))
    starts = [
        _finite_start(_beginning(model, look), value, key_of(seed, "start", k), cohort)
        for k in range(settings.chains)
    ]
    keys = [key_of(seed, "chain", k) for k in range(settings.chains)]
    population = tuple(name for name in starts[0] if name != "patient_z")
    drawn = sample(
        potential_of, setup, starts, keys, settings, report,
        dense=[population], checkpoints=checkpoints,
    )  # fmt: skip
    return drawn, _constrained(hierarchical, (model, *setup), drawn), {}


def _constrained(program: Callable, arguments: tuple, drawn: Draws) -> dict[str, np.ndarray]:
    """Give the named values of every draw."""

    def build(z: dict) -> dict:
        sites = constrain_fn(program, arguments, {}, z, return_deterministic=True)
        return {name: site for name, site in sites.items() if not name.endswith("_z")}

    values = jax.jit(lambda z: jax.lax.map(lambda c: jax.lax.map(build, c), z))(drawn.positions)
    return jax.tree.map(np.asarray, values)


def _beginning(model: Model, look: Look) -> dict[str, Array]:
    return positions(model, look) | {"patient_z": jnp.zeros(look.mean.shape)}


def _finite_start(
    z: dict[str, Array], potential: Callable, key: Array, cohort: Cohort
) -> dict[str, Array]:
    """Scatter a start, nearer and nearer to the first look until its density is finite."""
    for shrink in (1.0, 0.3, 0.1, 0.0):
        names = sorted(z)
        keys = jax.random.split(key, len(names))
        trial = {
            name: z[name] + shrink * JITTER * jax.random.normal(k, jnp.shape(z[name]))
            for name, k in zip(names, keys, strict=True)
        }
        if np.isfinite(potential(trial)) and potential(trial) < 1e9:
            return trial
    raise _no_start(cohort)


def _no_start(cohort: Cohort) -> FitError:
    return FitError(
        f"No start with a finite density was found for the {len(cohort)} patients; "
        "run 'pdmodel check' on the table and look for sizes far from all others."
    )


def alone(
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings, report: Report,
    checkpoints: Checkpoints = NOT_KEPT,
    *, each: Callable[[Model, Sequence[Patient]], Evidence] = evidence,
) -> Sampled:  # fmt: skip
    """Sample every patient, laid out by `each`, by a sampler of its own, whoever else is there."""
    del data
    apart = stacked([each(model, [patient]) for patient in cohort])

    def potential_of(data: Evidence) -> Callable:
        return lambda z: potential_energy(separate, (model, data), {}, z)

    names = [f"{q.name}_z" for q in model.free]
    patient_keys = [key_of(seed, "patient", key) for key in cohort.keys]
    starts, keys = [], []
    value = jax.jit(jax.vmap(lambda z, data: potential_of(data)(z)))
    for k in range(settings.chains):
        mine = jnp.stack([jax.random.fold_in(key, k) for key in patient_keys])
        scattered = jax.vmap(lambda key: JITTER * jax.random.normal(key, (len(names),)))(mine)
        start = dict(zip(names, scattered.T, strict=True))
        good = np.asarray(value(start, apart)) < 1e9
        starts.append({name: jnp.where(good, z, 0.0) for name, z in start.items()})
        keys.append(jax.vmap(lambda key: jax.random.fold_in(key, 1))(mine))
    drawn = sample(
        potential_of, apart, starts, keys, settings, report, each=True, checkpoints=checkpoints
    )
    values = {
        q.name: np.asarray(q.natural(q.centre + q.single_sd * drawn.positions[f"{q.name}_z"]))
        for q in model.free
    }
    return drawn, values, {}
