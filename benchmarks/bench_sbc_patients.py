"""Simulation-based calibration of single patients: of each alone, or under a population known.

Alone, every parameter of a patient is drawn from the prior of a single patient, and sampled by NUTS
as `pdmodel.fit` does with pooling "none". Under a population, each patient has one of its own,
drawn from the prior and known, and the patient's parameters are drawn over nodes, as those of new
patients are. Ranks of the truth are uniform if draws are right (arXiv:1804.06788); the patient's
log-likelihood is among the quantities (doi:10.1214/23-BA1404).
"""

import argparse
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from drawn import scanned
from ranks import judged, rank
from surroundings import heading, part

import pdmodel as pdm
from pdmodel.compare.learning import model_named
from pdmodel.likelihood import evidence, log_likelihood
from pdmodel.newcomers import given_scans
from pdmodel.quadrature.coordinates import Coordinates, no_traits
from pdmodel.quadrature.series import series

jax.config.update("jax_enable_x64", True)

CURVES = (
    "exponential", "logistic", "gompertz", "bertalanffy", "stein_fojo", "gsf", "claret_bruno",
    "wang", "two_population",
)  # fmt: skip
MECHANISMS = ("exhaustion", "suppression", "intrinsic", "antigen_loss", "clone", "fixation")
RESIDUALS = ("student_t", "walk", "walk_slope")
EVERY = ("flat:last_value", "flat:last_value_flat", *(
    f"{drift}:{noise}" for drift in ("flat", *CURVES, *MECHANISMS) for noise in RESIDUALS
    if (drift, noise) != ("flat", "student_t")
))  # fmt: skip
JOINT = "log likelihood"
POPULATIONS = 5
"""Draws of a patient's parameters are taken this many at a time."""


def alone(model: pdm.Model, patients: int, draws: int, seed: int) -> pd.DataFrame:
    """Rank patients that are fitted alone."""
    rng = np.random.default_rng([seed, 1])
    values = {
        q.name: np.asarray(q.natural(q.centre + q.single_sd * rng.standard_normal(patients)))
        for q in model.free
    }
    cohort = scanned(model, values, seed)
    fit = pdm.fit(model, cohort, seed=seed, pooling="none", chains=1, draws=4 * draws)
    keep = {q.name: fit.posterior[q.name].to_numpy()[0, ::4] for q in model.free}
    return _ranked(model, cohort, keep, values, rng)


def known(model: pdm.Model, patients: int, draws: int, seed: int) -> pd.DataFrame:
    """Rank patients under populations that are known, one for each of them."""
    rng, of = np.random.default_rng([seed, 2]), Coordinates(model)
    x = jnp.asarray(rng.standard_normal((patients, len(of))))
    named = jax.vmap(of.named)(x)
    own = jax.vmap(partial(of.population_of, traits=no_traits(1)))(named)
    population = own._replace(
        shared=jnp.swapaxes(own.shared, 0, 1), centre=own.centre[:, 0], root=own.root[:, 0],
        start=own.start.reshape(patients, -1)[:, 0] if of.anchor else own.start,
        start_sd=own.start_sd.reshape(patients, -1)[:, 0] if of.anchor else own.start_sd,
    )  # fmt: skip
    values = {q.name: np.asarray(named[q.name]) for q in model.shared}
    for q in model.individual:
        middle = np.asarray(q.unbounded(named[f"{q.name}_typical"]))
        z = middle + np.asarray(named[f"{q.name}_sd"]) * rng.standard_normal(patients)
        values[q.name] = np.asarray(q.natural(z))
    cohort = scanned(model, values, seed)
    it = series(evidence(model, cohort, "draft"), no_traits(patients))
    several = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (POPULATIONS, *leaf.shape)), population
    )
    drawn = given_scans(of, it, several, each=-(-draws // POPULATIONS), seed=seed)
    return _ranked(model, cohort, drawn, values, rng)


def _ranked(
    model: pdm.Model, cohort: pdm.Cohort, drawn: dict[str, np.ndarray],
    values: dict[str, np.ndarray], rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """Rank the true values, each (patients,), among draws, each (draws, patients)."""
    data = evidence(model, cohort, "draft")

    @jax.jit
    def each(mine: dict[str, jax.Array]) -> jax.Array:
        return jnp.sum(log_likelihood(model, mine, data)[0], axis=1)

    def likelihood(rows: dict[str, np.ndarray]) -> np.ndarray:
        every = {n: jnp.asarray(rows.get(n, values[n][None])) for n in values}
        count = max(len(v) for v in every.values())
        return np.stack([
            each({n: v[k % len(v)] for n, v in every.items()}) for k in range(count)
        ])  # fmt: skip

    among = drawn | {JOINT: likelihood(drawn)}
    true = {n: values[n] for n in drawn} | {JOINT: likelihood({})[0]}
    return pd.DataFrame({
        name: [rank(x[:, k], true[name][k], rng) for k in range(len(cohort))]
        for name, x in among.items()
    })  # fmt: skip


WAYS = {"alone": alone, "known": known}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=tuple(WAYS), default="known")
    parser.add_argument("--model", nargs="*", default=EVERY)
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder of ranks that are done, to go on from")
    asked = parser.parse_args()
    heading("Simulation-based calibration of single patients: ranks of the truth among draws")
    how = "alone by NUTS" if asked.way == "alone" else "each under a known population of its own"
    print(f"{asked.patients} patients {how}, scanned every six weeks for 30 weeks")
    sums = []
    for name in asked.model:
        kept = asked.keep / f"{asked.way}-{name.replace(':', '-')}.csv" if asked.keep else None
        if kept and kept.exists():
            ranks, spent = pd.read_csv(kept), "kept"
        else:
            began = time.perf_counter()
            model = model_named(name, ["atezolizumab"])
            ranks = WAYS[asked.way](model, asked.patients, asked.draws, asked.seed)
            jax.clear_caches()  # programs of all models together fill the maps of a process
            spent = f"{time.perf_counter() - began:.0f} s"
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                ranks.to_csv(kept, index=False)
        part(f"{name} ({spent})")
        table = judged(ranks)
        sums.append({
            "model": name, "quantities": len(table),
            "inside": int((table["inside"] == "yes").sum()),
            "outside of all": int((table["inside"] == "NO").sum()),
            "furthest": table["furthest"].max(),
            "in 50 %": table["in 50 %"].mean(), "in 90 %": table["in 90 %"].mean(),
        })  # fmt: skip
    part("All models")
    print(pd.DataFrame(sums).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
