"""A population fit beside Stan's: the same model, priors and patients, posteriors and speed.

Stein-Fojo curves with Student t scatter on the published arm (doi:10.1371/journal.pcbi.1009822);
Stan has the closed form of the curve and samples population and patients together, non-centred
(peers/population.stan, written apart); ours integrates patients out over stored likelihoods.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from arviz_stats.base.array import array_stats
from peers.stan import PYTHON
from surroundings import heading, part

import pdmodel as pdm
from pdmodel.residual import SMALLEST_MM

jax.config.update("jax_enable_x64", True)

ARM = "Study_4_Arm_2"
NAMES = ("baseline", "shrink", "grow")
RUNNER = Path(__file__).with_name("peers") / "stan_population.py"


def posed(model: pdm.Model, cohort: pdm.Cohort) -> dict:
    """Give the data of the Stan program; priors are read from the model."""
    known = {q.name: q for q in model.parameters}
    mine = [known[name] for name in NAMES]
    count = [len(one.day) for one in cohort]
    return {
        "N": sum(count), "P": len(cohort),
        "who": np.repeat(np.arange(1, len(cohort) + 1), count).tolist(),
        "day": np.concatenate([one.day for one in cohort]).tolist(),
        "first_day": [float(one.start_day) for one in cohort],
        "log_size": np.log(np.concatenate([one.size_mm for one in cohort])).tolist(),
        "censored": np.concatenate([one.censored for one in cohort]).astype(int).tolist(),
        "centre": [float(q.centre) for q in mine], "centre_sd": [float(q.sd) for q in mine],
        "between": [float(q.iiv) for q in mine],
        "between_spread": [float(q.between_spread) for q in mine],
        "scatter_centre": float(known["scatter"].centre),
        "scatter_sd": float(known["scatter"].sd),
        "reader": float(known["reader"].typical), "smallest": SMALLEST_MM,
    }  # fmt: skip


def by_stan(data: dict, warmup: int, draws: int, seed: int) -> tuple[dict[str, np.ndarray], float]:
    """Draws by name, each (chains, draws), and seconds of sampling; compiling is left out."""
    task = json.dumps({"data": data, "warmup": warmup, "draws": draws, "seed": seed})
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(  # noqa: S603
        [os.environ[PYTHON], str(RUNNER)],
        input=task, capture_output=True, text=True, check=False, env=clean,
    )  # fmt: skip
    if done.returncode:
        raise OSError(f"Stan failed:\n{done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    found = {name: np.array(x) for name, x in answer["draws"].items()}
    named = {f"{name}_typical": found[f"typical.{k}"] for k, name in enumerate(NAMES, 1)}
    named |= {f"{name}_sd": found[f"sd_between.{k}"] for k, name in enumerate(NAMES, 1)}
    print(f"Stan: {int(found['divergent__'].sum())} divergences")
    return named | {"scatter": found["scatter"]}, answer["seconds"]


def ess(x: np.ndarray) -> float:
    """Bulk effective draws."""
    return float(array_stats.ess(x, chain_axis=0, draw_axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the table laleh2022_s1_part.xlsx")
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--draws", type=int, default=500, help="of each of Stan's four chains")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if PYTHON not in os.environ:
        raise SystemExit(f"Set {PYTHON} to a Python that has httpstan.")
    heading("A population fit beside Stan's")
    cohort = pdm.read_cohort(asked.file, format="laleh2022", arms=(ARM,))
    model = pdm.Model(pdm.mechanism("stein_fojo"), (), pdm.residual("student_t"))
    print(f"stein_fojo:student_t, {ARM}: {len(cohort)} patients, {cohort.scans} scans")
    part("Ours, method nuts")
    began = time.perf_counter()
    fit = pdm.fit(model, cohort, seed=asked.seed)
    seconds = time.perf_counter() - began
    found = pdm.diagnose(fit)
    print(f"{seconds:.0f} s with compiling, design {fit.manifest['design']}")
    print("\n".join(found.lines()[:3]))
    part(f"Stan, four chains of {asked.warmup} and {asked.draws}")
    other, spent = by_stan(posed(model, cohort), asked.warmup, asked.draws, asked.seed)
    print(f"{spent:.0f} s, compiling left out")
    rows = []
    for name, theirs in other.items():
        mine = fit.posterior[name].transpose("chain", "draw").to_numpy()
        rows.append({
            "parameter": name, "mean": mine.mean(), "Stan": theirs.mean(), "sd": mine.std(),
            "Stan's sd": theirs.std(), "apart, sds": (mine.mean() - theirs.mean()) / theirs.std(),
            "R-hat, Stan": float(array_stats.rhat(theirs, chain_axis=0, draw_axis=1)),
            "ESS": ess(mine), "ESS, Stan": ess(theirs),
        })  # fmt: skip
    part("Beside each other")
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.4g}".format))
    ours, stans = (table[name].min() / at for name, at in (("ESS", seconds), ("ESS, Stan", spent)))
    print(
        f"least ESS a second: ours {ours:.2f} (with compiling), Stan {stans:.3f}: "
        f"{ours / stans:.1f} times as many; means apart by {table['apart, sds'].abs().max():.2f} "
        "sds at most"
    )


if __name__ == "__main__":
    main()
