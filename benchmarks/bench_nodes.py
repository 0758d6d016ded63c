"""How far the likelihood over few nodes is off, at draws of the posterior and out of it.

On the published arm, from climbs with two seeds: nodes laid around the mode alone, and around
populations far out, too; without and with logs of noisy means raised. What is right is taken from
many fresh nodes of each patient, drawn anew at each place around what is known there.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from bench_fit import ARM, REGIMEN, published_table
from surroundings import heading, part

import pdmodel as pdm
from pdmodel.by_nodes import settled
from pdmodel.checkpoint import NOT_KEPT
from pdmodel.heights import noise_of
from pdmodel.keys import key_of
from pdmodel.likelihood import evidence
from pdmodel.nuts import Settings
from pdmodel.quadrature.climb import Summit, climbed, explored
from pdmodel.quadrature.coordinates import Coordinates, no_traits
from pdmodel.quadrature.effort import EFFORTS
from pdmodel.quadrature.integrand import log_marginals, log_marginals_kept, log_weights
from pdmodel.quadrature.placing import OUT, out_along, wider
from pdmodel.quadrature.rule import laid
from pdmodel.quadrature.series import Series, series

jax.config.update("jax_enable_x64", True)

EFFORT = EFFORTS["nodes"]
AWAY = 2.5
"""Posterior sds at which the likelihood is compared out of the posterior."""


def fresh(of: Coordinates, it: Series, summit: Summit, x: np.ndarray, count: int, k: int) -> tuple:
    """Give the log marginal likelihood of all patients by two halves of nodes, and its noise."""
    population, key = of.population(jnp.asarray(x), it.traits), key_of(77, "fresh", k)
    keys = jax.random.split(key, 3)
    known = explored(of, it, summit.known, population, keys[0], 1024).known
    half, other = (
        log_marginals(explored(of, it, known, population, one, count).log_weight)
        for one in keys[1:]
    )
    both = jnp.logaddexp(half, other) - jnp.log(2.0)
    return float(jnp.sum(both, where=it.seen)), noise_of(half, other, it.seen)


def stored(
    of: Coordinates, it: Series, summit: Summit, seed: int, places: list, *, far: bool
) -> list:
    """Give the log marginal likelihood of all patients at places, plain and raised."""
    at = (of, np.asarray(summit.position), summit.covariance, OUT)
    root = np.linalg.cholesky(summit.covariance)
    z = np.random.default_rng([seed, 0, 2]).standard_normal((EFFORT.others, len(of)))

    def populations(several: list) -> list:
        return [of.population(jnp.asarray(x), it.traits) for x in several]

    middle, *others = populations([summit.position, *(at[1] + z @ root.T)])
    out = populations([*out_along(*at), *wider(*at)] if far else [])
    counts = (EFFORT.raw, EFFORT.nodes)
    nodes, _ = laid(of, it, summit.known, middle, key_of(seed, "nodes"), *counts, others, out)
    found = [log_weights(of, it, nodes, one) for one in populations(places)]
    ways = (log_marginals, log_marginals_kept)
    return [np.array([float(jnp.sum(way(w), where=it.seen)) for w in found]) for way in ways]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=8, help="draws of the posterior")
    parser.add_argument("--fresh", type=int, default=2048, help="fresh nodes in each half")
    options = parser.parse_args()
    heading("Likelihood over few nodes against fresh ones, published arm, exhaustion:walk")
    path = published_table()
    if path is None:
        print("the published table is not there; set PDMODEL_DATA to the folder that has it")
        return
    cohort = pdm.read_cohort(path, format="laleh2022", arms=(ARM,), regimen=REGIMEN)
    drugs, error = (pdm.drug("atezolizumab"),), pdm.residual("walk")
    of = Coordinates(pdm.Model(pdm.mechanism("exhaustion"), drugs, error))
    it = series(evidence(of.model, cohort), no_traits(len(cohort)))
    found = settled(of, it, 1, Settings(draws=100), EFFORT, lambda _: None, NOT_KEPT)
    x = found.at.x.reshape(-1, len(of))
    mean, covariance, summit = x.mean(axis=0), np.cov(x.T), found.placed.before.summit
    names = ["waning up", "waning down", *(f"sd of {q.name} up" for q in of.effects)]
    places = list(x[np.linspace(0, len(x) - 1, options.draws).astype(int)])
    places += [*out_along(of, mean, covariance, AWAY), *wider(of, mean, covariance, AWAY)]
    pairs = [fresh(of, it, summit, at, options.fresh, k) for k, at in enumerate(places)]
    right, noise = np.array(pairs).T
    part("Fresh less stored log likelihood of all patients, nats, less the mean at the draws")
    print(
        f"noise of the fresh ones: {np.mean(noise):.2f}; places {AWAY} sds out: {', '.join(names)}"
    )
    for seed in (1, 2):
        top = climbed(of, it, key_of(seed, "climb")) if seed > 1 else summit
        for far in (False, True):
            what = "around populations far out, too" if far else "around the mode alone"
            values = stored(of, it, top, seed, places, far=far)
            for way, value in zip(("plain", "raised"), values, strict=True):
                off = right - value
                off -= np.mean(off[: options.draws])
                sd = np.std(off[: options.draws], ddof=1)
                out = " ".join(f"{v:6.2f}" for v in off[options.draws :])
                told = f"climb {seed}, {what}, {way:6}: sd at draws {sd:.2f}; out {out}"
                print(told, flush=True)


if __name__ == "__main__":
    main()
