"""Landmark forecasts of simulated patients whose future is known, beside those of the truth.

Patients are drawn from one known population (the middles of all priors) and scanned every six weeks
by the model's own residual. A population is learnt from some of them; the others are new patients,
forecast from their scans up to the landmark twice: under the population that was learnt, and under
the true one, which nobody can beat. Nobody leaves early, so that what happened is known of all.
"""

import argparse
import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from drawn import simulated
from surroundings import heading, part

import pdmodel as pdm
from pdmodel.calibration import brier_scores, calibration_error, log_scores, mean_interval
from pdmodel.compare.learning import model_named
from pdmodel.landmark import forecasts
from pdmodel.landmark.outcomes import CLASS_DAYS, UNKNOWN, YES
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.response import CLASSES

jax.config.update("jax_enable_x64", True)

LANDMARK, EVERY = 100.0, 42.0


def told(table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Forecast and outcome by name, of those whose outcome is known; all are told."""
    found = {}
    for name in ("next", "6_months", "12_months"):
        seen = table[f"observed_{name}"].to_numpy(str)
        found[f"progression, {name.replace('_', ' ')}"] = table[f"p_{name}"], seen == YES, seen
    seen = table["observed_class"].to_numpy(str)
    for label in map(str, CLASSES):
        found[f"class {label}"] = table[f"p_{label}"], seen == label, seen
    return {
        name: (p.to_numpy(float)[seen != UNKNOWN], yes[seen != UNKNOWN])
        for name, (p, yes, seen) in found.items()
    }


def knowing(fit: pdm.Fit, named: dict[str, float]) -> pdm.Fit:
    """Put the true population in place of every draw."""
    posterior = fit.posterior
    true = {
        name: xr.full_like(posterior[name], named[name])
        for name in posterior.data_vars
        if posterior[name].dims == ("chain", "draw")
    }
    tree = fit.tree.copy()
    tree["posterior"] = xr.DataTree(posterior.assign(true))
    return replace(fit, tree=tree)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--learn", type=int, default=300)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--model", default="exhaustion:walk")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    heading("Landmark forecasts of simulated patients beside those of the true population")
    of = Coordinates(model_named(asked.model, ["atezolizumab"]))
    days = np.arange(0.0, LANDMARK + CLASS_DAYS + EVERY, EVERY)
    middle = jnp.zeros(len(of))
    learn = simulated(of, asked.learn, asked.seed, days, middle).cohort
    new = simulated(of, asked.patients, asked.seed + 1, days, middle)
    print(
        f"{asked.model}: population learnt from {asked.learn} patients (method quick), "
        f"{asked.patients} others forecast from day {LANDMARK:g}, {asked.draws} draws each; "
        f"{len(days)} scans of each patient"
    )
    began = time.perf_counter()
    fit = pdm.fit(of.model, learn, seed=asked.seed, method="quick")
    fitted = time.perf_counter()
    print("\n".join(pdm.diagnose(fit).lines()[:3]))
    mine = forecasts(fit, LANDMARK, new.cohort, draws=asked.draws, seed=asked.seed)
    done = time.perf_counter()
    best = forecasts(
        knowing(fit, new.named), LANDMARK, new.cohort, draws=asked.draws, seed=asked.seed
    )
    print(f"fit {fitted - began:.0f} s, forecasts {done - fitted:.0f} s; "
          f"{mine.attrs['failed_solves']} draws not solved")  # fmt: skip
    for group, chosen in (
        ("all", np.full(len(mine), True)),
        ("not progressed by the landmark", mine["progressed"].to_numpy(str) != YES),
    ):
        part(f"{group}: {chosen.sum()} patients")
        _table(told(mine[chosen]), told(best[chosen]), asked.seed)


def _table(mine: dict, best: dict, seed: int) -> None:
    rows = []
    for name, (p, yes) in mine.items():
        q, _ = best[name]
        person = np.arange(len(p)).astype(str)
        gap = mean_interval(brier_scores(p, yes) - brier_scores(q, yes), person, seed=seed)
        rows.append({
            "outcome": name, "patients": len(p), "happened": int(yes.sum()),
            "ECE": calibration_error(p, yes), "ECE of truth": calibration_error(q, yes),
            "Brier": brier_scores(p, yes).mean(), "of truth": brier_scores(q, yes).mean(),
            "difference": f"{gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]",
            "log score": log_scores(p, yes).mean(), "log of truth": log_scores(q, yes).mean(),
        })  # fmt: skip
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))
    table = pd.DataFrame(rows)
    print(
        f"largest ECE {table['ECE'].max():.3f} (truth {table['ECE of truth'].max():.3f}); largest "
        f"Brier above that of the truth {(table['Brier'] - table['of truth']).max():.4f}"
    )


if __name__ == "__main__":
    main()
