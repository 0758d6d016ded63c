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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy import stats
from surroundings import heading, part

import pdmodel as pdm
from pdmodel.compare.learning import model_named
from pdmodel.dosing import parse_schedules, planned
from pdmodel.fit import Method
from pdmodel.keys import key_of
from pdmodel.likelihood import evidence, log_likelihood
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.residual import SMALLEST_MM, Scans
from pdmodel.trajectory import trajectories

jax.config.update("jax_enable_x64", True)

DAYS = np.arange(6) * 42.0
REGIMEN = parse_schedules("atezolizumab 1200 mg q3w")
JOINT = "log likelihood"
ANEW = 25
"""Replicates after which compiled programs are let go."""
DRAWS, CHAINS = 400, 4
"""Of each fit, as many as `pdmodel fit` makes by itself or fewer."""


class Simulated(NamedTuple):
    """A cohort, its population (numbers), and every free parameter of the patients."""

    cohort: pdm.Cohort
    named: dict[str, float]
    values: dict[str, np.ndarray]


def simulated(
    of: Coordinates, patients: int, seed: int, at: np.ndarray = DAYS, x: jax.Array | None = None
) -> Simulated:
    """Draw patients of a population, scanned on some days; the population too if none is given."""
    rng, model = np.random.default_rng([seed, 7]), of.model
    drawn = jnp.asarray(rng.standard_normal(len(of)))
    x = drawn if x is None else x
    named = {name: float(value) for name, value in of.named(x).items()}
    values = {q.name: np.full(patients, named[q.name]) for q in model.shared}
    for q in model.individual:
        middle = float(q.unbounded(named[f"{q.name}_typical"]))
        z = middle + named[f"{q.name}_sd"] * rng.standard_normal(patients)
        values[q.name] = np.asarray(q.natural(z))
    given = [planned(REGIMEN, at[-1]) if model.drugs else {}] * patients
    rows = {name: value[None] for name, value in values.items()}
    days = np.tile(at, (patients, 1))
    courses = trajectories(model, rows, [0.0] * patients, days, given)
    nobody = jnp.zeros(1, bool)
    people = []
    for k in range(patients):
        mine = {n: jnp.asarray(v) for n, v in model.constants.items()}
        mine |= {name: jnp.asarray(value[k]) for name, value in values.items()}
        course = jnp.asarray(courses.log_size[0, k])
        unseen = Scans(jnp.zeros(1), course[:1], nobody)
        expected = jnp.concatenate([course[:1], course])
        drawn = DRAW(model, key_of(seed, "scans", k), expected, unseen, nobody, at, mine)
        size = np.rint(np.clip(np.asarray(drawn.measured)[-len(at) :], 0.0, 1e6))
        censored = size <= SMALLEST_MM
        size = np.where(censored, SMALLEST_MM, size)
        schedules = REGIMEN if model.drugs else ()
        people.append(
            pdm.Patient(f"S{k:03d}", "", "", at, size, censored, given[k], {}, schedules=schedules)
        )
    return Simulated(pdm.Cohort(tuple(people), simulated=True), named, values)


def _draw(model: pdm.Model, key, expected, unseen, nobody, at, mine):
    return model.residual.draw(key, expected, unseen, nobody, at, mine)


DRAW = jax.jit(_draw, static_argnums=0)


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
        out[name] = _rank(x, named[name], rng)
    free = [q.name for q in of.model.free]
    flat = {n: drawn[n].reshape(total, *drawn[n].shape[2:])[rows] for n in free}
    true = {n: values[n][None] for n in free}
    shared = {q.name for q in of.model.shared}
    true = {n: (v[:, 0] if n in shared else v) for n, v in true.items()}
    out[JOINT] = _rank(joint(of.model, cohort, flat), joint(of.model, cohort, true)[0], rng)
    for q in of.model.individual:
        x = drawn[q.name].reshape(total, -1)[rows]
        place = [_rank(x[:, k], values[q.name][k], rng) for k in range(patients)]
        out[f"in 50 %, {q.name}"] = float(np.mean(np.abs(np.array(place) - 0.5) < 0.25))
        out[f"in 90 %, {q.name}"] = float(np.mean(np.abs(np.array(place) - 0.5) < 0.45))
    return out


def _rank(x: np.ndarray, truth: float, rng: np.random.Generator) -> float:
    below, same = np.sum(x < truth), np.sum(x == truth)
    return float((below + rng.integers(0, same + 1) + rng.random()) / (len(x) + 1))


def band(count: int, level: float = 0.95, seed: int = 0) -> float:
    """Give the half width, in sds of a binomial, of the simultaneous band of `count` ranks."""
    u = np.sort(np.random.default_rng(seed).random((4000, count)), axis=1)
    return float(np.quantile(_furthest(u), level))


def _furthest(u: np.ndarray) -> np.ndarray:
    grid = np.linspace(0.02, 0.98, 49)
    share = (u[..., None] <= grid).mean(axis=-2)
    return np.max(np.abs(share - grid) / np.sqrt(grid * (1 - grid) / u.shape[-1]), axis=-1)


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
    allowed = band(count)
    lines = []
    for name in names:
        u = table[name].to_numpy()
        lines.append({
            "quantity": name, "mean": u.mean(),
            "in 50 %": np.mean(np.abs(u - 0.5) < 0.25), "in 90 %": np.mean(np.abs(u - 0.5) < 0.45),
            "furthest": _furthest(u[None])[0], "KS p": stats.kstest(u, "uniform").pvalue,
        })  # fmt: skip
    shown = pd.DataFrame(lines)
    shown["inside"] = np.where(shown["furthest"] <= allowed, "yes", "NO")
    print(shown.to_string(index=False, float_format="{:.3f}".format))
    print(
        f"furthest: largest distance of the ECDF of ranks from uniform, in sds; 95 % of uniform "
        f"samples stay within {allowed:.2f} (one quantity). All ranks together: in 50 % "
        f"{shown['in 50 %'].mean():.3f}, in 90 % {shown['in 90 %'].mean():.3f}"
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
