"""Simulation-based calibration of population fits over nodes: where truth ranks among draws.

Populations are drawn from the prior, patients from them, scans by the model's own residual; the
fit's draws of every population parameter and of the joint log-likelihood are ranked. Ranks of a
sampler that is right are uniform (Talts and others 2018, arXiv:1804.06788; log-likelihood among
the quantities: Modrak and others 2023, doi:10.1214/23-BA1404).
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from drawn import DAYS, simulated
from ranks import judged, rank
from surroundings import heading, part

import pdmodel as pdm
from pdmodel.compare.learning import model_named
from pdmodel.fit import Method
from pdmodel.likelihood import evidence, log_likelihood
from pdmodel.quadrature.coordinates import Coordinates

jax.config.update("jax_enable_x64", True)

JOINT = "log likelihood"
ANEW = 25
"""Replicates after which compiled programs are let go."""
DRAWS, CHAINS = 400, 4
"""Of each fit, as many as `pdmodel fit` makes by itself or fewer."""


def joint(model: pdm.Model, cohort: pdm.Cohort, values: dict[str, np.ndarray]) -> np.ndarray:
    """Log-likelihood of all scans given all parameters, (draws,)."""
    data = evidence(model, cohort, "draft")

    @jax.jit
    def one(values: dict[str, jax.Array]) -> jax.Array:
        return jnp.sum(log_likelihood(model, values, data)[0])

    return np.asarray(jax.lax.map(one, {k: jnp.asarray(v) for k, v in values.items()}))


def replicate(of: Coordinates, patients: int, seed: int, method: Method) -> dict[str, float]:
    """Rank the truth among the draws of a fit, from 0 to 1 with ties broken; one replicate."""
    cohort, named, values = simulated(of, patients, seed)
    began = time.perf_counter()
    fit = pdm.fit(of.model, cohort, seed=seed, method=method, draws=DRAWS, chains=CHAINS)
    found, total = pdm.diagnose(fit), DRAWS * CHAINS
    rng = np.random.default_rng([seed, 8])
    out = {"seed": seed, "seconds": time.perf_counter() - began, "trusted": found.trusted}
    out["reasons"] = "; ".join(found.reasons)
    out["pareto_k"] = fit.manifest.get("pareto_k", np.nan)
    drawn = {str(n): fit.posterior[n].to_numpy() for n in fit.posterior.data_vars}
    # chosen draws are thinned to what they are worth
    keep = max(20, int(fit.manifest.get("effective_share", 1.0) * total / 2))
    rows = np.linspace(0, total - 1, min(keep, total)).astype(int)
    scalar = {n: v.reshape(-1)[rows] for n, v in drawn.items() if v.ndim == 2}
    for name, x in scalar.items():
        out[name] = rank(x, named[name], rng)
    free = [q.name for q in of.model.free]
    flat = {n: drawn[n].reshape(total, *drawn[n].shape[2:])[rows] for n in free}
    true = {n: values[n][None] for n in free}
    shared = {q.name for q in of.model.shared}
    true = {n: (v[:, 0] if n in shared else v) for n, v in true.items()}
    out[JOINT] = rank(joint(of.model, cohort, flat), joint(of.model, cohort, true)[0], rng)
    for q in of.model.individual:
        x = drawn[q.name].reshape(total, -1)[rows]
        place = [rank(x[:, k], values[q.name][k], rng) for k in range(patients)]
        out[f"in 50 %, {q.name}"] = float(np.mean(np.abs(np.array(place) - 0.5) < 0.25))
        out[f"in 90 %, {q.name}"] = float(np.mean(np.abs(np.array(place) - 0.5) < 0.45))
    return out


def summary(rows: list[dict[str, float]]) -> None:
    """Say how ranks are spread, and what intervals cover."""
    table = pd.DataFrame(rows)
    count = len(table)
    part(f"{count} replicates")
    print(
        f"passed diagnose: {table['trusted'].sum()} of {count}; Pareto k above 0.7: "
        f"{(table['pareto_k'] > 0.7).sum()}; seconds each, median {table['seconds'].median():.0f}"
    )
    told = ("seed", "seconds", "trusted", "pareto_k", "reasons")
    every = [str(name) for name in table.columns]
    names = [n for n in every if n not in told and not n.startswith("in ")]
    shown = judged(table[names])
    print(
        f"all ranks together: in 50 % {shown['in 50 %'].mean():.3f}, in 90 % "
        f"{shown['in 90 %'].mean():.3f}"
    )
    for name in every:
        if name.startswith("in "):
            print(f"single patients {name}: {table[name].mean():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--patients", type=int, default=30)
    parser.add_argument("--model", default="exhaustion:walk")
    parser.add_argument("--method", default="quick", choices=("quick", "nuts"))
    parser.add_argument("--keep", type=Path, help="file of finished replicates, to go on from")
    asked = parser.parse_args()
    heading("Simulation-based calibration: ranks of the truth among draws of population fits")
    of = Coordinates(model_named(asked.model, ["atezolizumab"]))
    print(
        f"{asked.model}, method {asked.method}: {asked.patients} patients, {len(DAYS)} scans each, "
        f"{len(of)} population parameters; everything drawn from the prior"
    )
    kept = asked.keep.read_text().splitlines() if asked.keep and asked.keep.exists() else []
    rows = [json.loads(line) for line in kept][: asked.replicates]
    for seed in range(len(rows), asked.replicates):
        if seed % ANEW == 0:
            jax.clear_caches()  # programs of all replicates together fill the maps of a process
        rows.append(replicate(of, asked.patients, seed, asked.method))
        if asked.keep:
            with asked.keep.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    summary(rows)


if __name__ == "__main__":
    main()
