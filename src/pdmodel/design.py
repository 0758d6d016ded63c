"""How the programs are sampled: all patients together, or each by a sampler of its own."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.util import constrain_fn, potential_energy

from pdmodel.data import Cohort
from pdmodel.errors import FitError
from pdmodel.keys import key_of
from pdmodel.likelihood import Evidence, evidence
from pdmodel.model import Model
from pdmodel.nuts import Draws, Progress, Settings, sample
from pdmodel.picture import Start, first_look
from pdmodel.population import Picture, hierarchical, separate

JITTER = 0.5
"""How far chains start from the first look, in standard deviations of its coordinates."""


def together(
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings,
    report: Callable[[Progress], None],
) -> tuple[Draws, dict[str, np.ndarray]]:  # fmt: skip
    """Fit the hierarchical program."""
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

    def build(z: dict) -> dict:
        sites = constrain_fn(hierarchical, (model, *setup), {}, z, return_deterministic=True)
        return {name: site for name, site in sites.items() if not name.endswith("_z")}

    values = jax.jit(lambda z: jax.lax.map(lambda c: jax.lax.map(build, c), z))(drawn.positions)
    return drawn, jax.tree.map(np.asarray, values)


def _beginning(model: Model, look: Start) -> dict[str, jax.Array]:
    z = {
        f"{q.name}_z": (value - q.centre) / q.prior_sd
        for q, value in zip(model.shared, look.shared, strict=True)
    }
    for q, centre, sd in zip(model.individual, look.centre, look.sd, strict=True):
        z[f"{q.name}_typical_z"] = (centre - q.centre) / q.prior_sd
        z[f"{q.name}_sd_z"] = jnp.log(sd / q.between) / q.between_spread
    return z | {"patient_z": jnp.zeros(look.mean.shape)}


def _finite_start(
    z: dict[str, jax.Array], potential: Callable, key: jax.Array, cohort: Cohort
) -> dict[str, jax.Array]:
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
    model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings,
    report: Callable[[Progress], None],
) -> tuple[Draws, dict[str, np.ndarray]]:  # fmt: skip
    """Fit every patient by a sampler of its own."""
    del data
    pieces = [evidence(model, [patient]) for patient in cohort]
    stacked = _stacked(pieces)

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
    return drawn, values


def _stacked(pieces: list[Evidence]) -> Evidence:
    """Pad the evidence of single patients to one shape and stack it."""

    def padded(*leaves: jax.Array) -> jax.Array:
        longest = np.max([leaf.shape for leaf in leaves], axis=0)
        mode = {"mode": "edge"} if leaves[0].ndim and leaves[0].dtype != bool else {}
        return jnp.stack(
            [jnp.pad(leaf, [(0, n - m) for n, m in zip(longest, leaf.shape, strict=True)], **mode)
             for leaf in leaves]
        )  # fmt: skip

    return jax.tree.map(padded, *pieces)
