"""How the programs are sampled: the population alone, all together, or each patient alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.infer.util import constrain_fn, potential_energy

from pdmodel.data import Cohort
from pdmodel.errors import FitError
from pdmodel.keys import key_of
from pdmodel.likelihood import Evidence, evidence
from pdmodel.marginal import (
    Table,
    chosen_effects,
    closer_look,
    exact,
    first_width,
    marginal,
    outside,
    tabulated,
)
from pdmodel.model import Model
from pdmodel.nuts import Draws, Progress, Settings, sample
from pdmodel.picture import Start, first_look
from pdmodel.population import Picture, hierarchical, separate

type Report = Callable[[Progress], None]
type Sampled = tuple[Draws, dict[str, np.ndarray], dict[str, np.ndarray]]
"""Draws, values by name (chain, draw, ...), and figures for each patient."""

JITTER = 0.5
"""How far chains start from the first look, in standard deviations of their coordinates."""
ASTRAY = 10.0
"""Log-likelihood that the pilot's mean may lose against the look it began from."""
PILOT = Settings(warmup=150, draws=150, chains=2)
"""A short run that finds where the posterior of the population lies."""


def by_population(
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings, report: Report
) -> Sampled:
    """Sample the population with patients integrated out, then choose the patients' effects.

    A pilot run finds the region; the nodes are then drawn anew where it is, and sampled in full.
    """
    report(Progress("first look", 0, 1, 0))
    look = first_look(model, data, key_of(seed, "first look"))
    look = closer_look(model, data, look, key_of(seed, "closer look"))
    report(Progress("solving nodes", 0, 1, 0))
    width = first_width(model, data, look)
    table = tabulated(model, data, look, width, key_of(seed, "pilot nodes"))
    pilot, _ = _population_draws(model, cohort, table, look, seed, "pilot", PILOT, lambda _: None)
    print("PILOT", width, jax.tree.map(lambda v: (v.mean().round(2), v.std().round(2)), pilot.positions))
    look, width = _recentred(model, data, look, width, pilot, key_of(seed, "recentred"))
    report(Progress("solving nodes", 0, 1, 0))
    table = tabulated(model, data, look, width, key_of(seed, "nodes"))
    drawn, values = _population_draws(model, cohort, table, look, seed, "chain", settings, report)
    report(Progress("patients", 0, 1, 0))
    z, centre, sd = _population_of(model, drawn)
    keys = jax.random.split(key_of(seed, "patients"), z.shape[0])
    effects, effective = _effects(table, keys, z, centre, sd)
    shape = drawn.statistics["lp"].shape
    for k, q in enumerate(model.individual):
        values[q.name] = np.asarray(q.natural(effects[..., k])).reshape(*shape, -1)
    figures = {
        "nodes_effective": np.asarray(jnp.mean(effective, axis=0)),
        "nodes_effective_low": np.asarray(jnp.quantile(effective, 0.01, axis=0)),
        "outside_grid": np.asarray(jnp.mean(jnp.any(outside(table, z) > 0, axis=-1))),
    }
    return drawn, values, figures


def _population_draws(
    model: Model, cohort: Cohort, table: Table, look: Start, seed: int, name: str,
    settings: Settings, report: Report,
) -> tuple[Draws, dict[str, np.ndarray]]:  # fmt: skip
    def potential_of(table: Table) -> Callable:
        return lambda z: potential_energy(marginal, (model, table), {}, z)

    beginning = _beginning(model, look)
    del beginning["patient_z"]
    value = jax.jit(lambda z: potential_of(table)(z))
    starts = [
        _finite_start(beginning, value, key_of(seed, name, "start", k), cohort)
        for k in range(settings.chains)
    ]
    keys = [key_of(seed, name, k) for k in range(settings.chains)]
    drawn = sample(
        potential_of, table, starts, keys, settings, report, dense=[tuple(starts[0])]
    )
    return drawn, _constrained(marginal, (model, table), drawn)


def _population_of(model: Model, drawn: Draws) -> tuple[Array, Array, Array]:
    """Give shared parameters (prior units), centres and sds of every draw, draws first."""
    z = {name: jnp.asarray(v).reshape(-1) for name, v in drawn.positions.items()}
    rows = len(next(iter(z.values())))
    shared = [z[f"{q.name}_z"] for q in model.shared]
    centre = [q.centre + q.prior_sd * z[f"{q.name}_typical_z"] for q in model.individual]
    sd = [q.between * jnp.exp(q.between_spread * z[f"{q.name}_sd_z"]) for q in model.individual]
    return (
        jnp.stack(shared, axis=1) if shared else jnp.zeros((rows, 0)),
        jnp.stack(centre, axis=1),
        jnp.stack(sd, axis=1),
    )


def _recentred(
    model: Model, data: Evidence, look: Start, width: Array, pilot: Draws, key: Array
) -> tuple[Start, Array]:
    """Move a look to the mean of the pilot, unless solving anew shows that it went astray."""
    z, centre, sd = _population_of(model, pilot)
    place = jnp.mean(z, axis=0)
    shared = [q.centre + q.prior_sd * place[k] for k, q in enumerate(model.shared)]
    moved = look._replace(
        centre=jnp.mean(centre, axis=0),
        sd=jnp.exp(jnp.mean(jnp.log(sd), axis=0)),
        shared=jnp.stack(shared) if shared else jnp.zeros(0),
    )
    before, after = (jnp.sum(exact(model, data, one, key)) for one in (look, moved))
    print("exact", before, after)
    if after < before - ASTRAY:
        return look, width
    return moved, jnp.clip(jnp.std(z, axis=0), 0.05, 1.0)


@jax.jit
def _effects(
    table: Table, keys: Array, z: Array, centre: Array, sd: Array
) -> tuple[Array, Array]:
    return jax.lax.map(lambda a: chosen_effects(a[0], table, *a[1:]), (keys, z, centre, sd))


def together(
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings, report: Report
) -> Sampled:
    """Sample population and patients in one program."""
    report(Progress("first look", 0, 1, 0))
    look = first_look(model, data, key_of(seed, "first look"))
    setup = (data, look.picture)

    def potential_of(setup: tuple[Evidence, Picture]) -> Callable:
        return lambda z: potential_energy(hierarchical, (model, *setup), {}, z)

    value = jax.jit(lambda z: potential_of(setup)(z))
    starts = [
        _finite_start(_beginning(model, look), value, key_of(seed, "start", k), cohort)
        for k in range(settings.chains)
    ]
    keys = [key_of(seed, "chain", k) for k in range(settings.chains)]
    population = tuple(name for name in starts[0] if name != "patient_z")
    drawn = sample(potential_of, setup, starts, keys, settings, report, dense=[population])
    return drawn, _constrained(hierarchical, (model, *setup), drawn), {}


def _constrained(program: Callable, arguments: tuple, drawn: Draws) -> dict[str, np.ndarray]:
    """Give the named values of every draw."""

    def build(z: dict) -> dict:
        sites = constrain_fn(program, arguments, {}, z, return_deterministic=True)
        return {name: site for name, site in sites.items() if not name.endswith("_z")}

    values = jax.jit(lambda z: jax.lax.map(lambda c: jax.lax.map(build, c), z))(drawn.positions)
    return jax.tree.map(np.asarray, values)


def _beginning(model: Model, look: Start) -> dict[str, Array]:
    z = {
        f"{q.name}_z": (value - q.centre) / q.prior_sd
        for q, value in zip(model.shared, look.shared, strict=True)
    }
    for q, centre, sd in zip(model.individual, look.centre, look.sd, strict=True):
        z[f"{q.name}_typical_z"] = (centre - q.centre) / q.prior_sd
        z[f"{q.name}_sd_z"] = jnp.log(sd / q.between) / q.between_spread
    return z | {"patient_z": jnp.zeros(look.mean.shape)}


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
    raise FitError(
        f"No start with a finite density was found for the {len(cohort)} patients; "
        "run 'pdmodel check' on the table and look for sizes far from all others."
    )


def alone(
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings, report: Report
) -> Sampled:
    """Sample every patient by a sampler of its own, whoever else is in the cohort."""
    del data
    stacked = _stacked([evidence(model, [patient]) for patient in cohort])

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
        good = np.asarray(value(start, stacked)) < 1e9
        starts.append({name: jnp.where(good, z, 0.0) for name, z in start.items()})
        keys.append(jax.vmap(lambda key: jax.random.fold_in(key, 1))(mine))
    drawn = sample(potential_of, stacked, starts, keys, settings, report, each=True)
    values = {
        q.name: np.asarray(q.natural(q.centre + q.single_sd * drawn.positions[f"{q.name}_z"]))
        for q in model.free
    }
    return drawn, values, {}


def _stacked(pieces: list[Evidence]) -> Evidence:
    """Pad the evidence of single patients to one shape and stack it."""

    def padded(*leaves: Array) -> Array:
        longest = np.max([leaf.shape for leaf in leaves], axis=0)
        mode = {"mode": "edge"} if leaves[0].ndim and leaves[0].dtype != bool else {}
        return jnp.stack(
            [jnp.pad(leaf, [(0, n - m) for n, m in zip(longest, leaf.shape, strict=True)], **mode)
             for leaf in leaves]
        )  # fmt: skip

    return jax.tree.map(padded, *pieces)
