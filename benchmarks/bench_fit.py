"""What a fit costs: wall time and effective draws per second, by method."""

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from surroundings import heading, part

import pdmodel as pdm
from pdmodel.data.demo import REGIMEN, demo_cohort
from pdmodel.diagnose import Diagnosis
from pdmodel.nuts import Progress
from pdmodel.parallel import cores

jax.config.update("jax_enable_x64", True)

RESIDUALS = ("student_t", "walk")
REAL = "laleh2022_s1_part.xlsx"
ARM, DOCETAXEL = "Study_4_Arm_2", ("Study_2_Arm_1", "Study_4_Arm_1")
PEER = {"chains": 2, "warmup": 100, "draws": 1000}
JOINT = {"chains": 2, "warmup": 150, "draws": 100}
"""Few, so that it ends: what it gives is far from converged."""


def watch() -> tuple[Callable[[Progress], None], Callable[[], list[tuple[str, float]]]]:
    """Give a reporter for `fit`, and the seconds between the first reports of its stages."""
    seen: dict[str, float] = {}

    def report(progress: Progress) -> None:
        seen.setdefault(progress.stage, time.perf_counter())

    def spans() -> list[tuple[str, float]]:
        ends = [*list(seen.values())[1:], time.perf_counter()]
        return [(stage, end - at) for (stage, at), end in zip(seen.items(), ends, strict=True)]

    return report, spans


def measured(cohort: pdm.Cohort, residual: str = "student_t", **options: object) -> float:
    """Fit, and print what it cost; least bulk effective draws a second."""
    model = pdm.Model(
        pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), pdm.residual(residual)
    )
    report, spans = watch()
    began = time.perf_counter()
    fit = pdm.fit(model, cohort, seed=1, report=report, **options)
    wall = time.perf_counter() - began
    told = spans()
    used = fit.manifest["options"]
    print(
        f"{residual}, {used['method']}: {used['chains']} chains, {used['warmup']} + "
        f"{used['draws']} draws each, {len(cohort)} patients, {cohort.scans} scans"
    )
    print(f"  wall time, compilation included: {wall:.0f} s, of which")
    for stage, seconds in told:
        print(f"    {seconds:6.1f} s  {stage}")
    if "pareto_k" in fit.manifest:
        print(
            f"  Pareto k of the weights {fit.manifest['pareto_k']:.2f}; a draw is worth "
            f"{fit.manifest['effective_share']:.2f} of an independent one"
        )
    return show(pdm.diagnose(fit), wall)


class EnoughError(Exception):
    """Ends a fit that was only to be timed."""


def peer(cohort: pdm.Cohort, residual: str, minutes: float) -> float:
    """Run plain NumPyro NUTS for some minutes; give its draws per second, of all chains.

    No parameter is taken to have more effective draws than there are draws, so that this bounds
    its effective draws per second from above.
    """
    model = pdm.Model(
        pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), pdm.residual(residual)
    )
    began, seen = time.perf_counter(), []

    def report(progress: Progress) -> None:
        seen.append((progress.stage, progress.done, time.perf_counter() - began))
        if seen[-1][2] > 60.0 * minutes:
            raise EnoughError

    with contextlib.suppress(EnoughError):
        pdm.fit(model, cohort, seed=1, method="nuts-joint", report=report, **PEER)
    sampled = [(done, at) for stage, done, at in seen if stage == "sampling"]
    told = (
        f"{residual}, nuts-joint, {PEER['chains']} chains, {PEER['warmup']} iterations of warm-up"
    )
    steps = [(done, at) for _, done, at in seen if done]
    if len(sampled) < 2:
        done, at = steps[-1] if steps else (0, seen[-1][2])
        rate = done / at
        print(f"{told}: {done} iterations, warm-up included, in {at:.0f} s: {rate:.3g} a second")
        return rate
    (first, start), (last, end) = sampled[0], sampled[-1]
    rate = (last - first) / (end - start)
    print(f"{told}: {last - first} draws in {end - start:.0f} s after it: {rate:.3g} a second")
    return rate


def show(diagnosis: Diagnosis, wall: float) -> float:
    table = diagnosis.population
    bulk, tail = table["ess_bulk"].to_numpy(), table["ess_tail"].to_numpy()
    worst = table["parameter"].to_numpy()[np.argmin(bulk)]
    print(
        f"  population parameters: bulk effective draws least {bulk.min():.0f} ({worst}), median "
        f"{np.median(bulk):.0f}; tail least {tail.min():.0f}"
    )
    print(f"  R-hat up to {table['r_hat'].max():.3f} (needed: below 1.01)")
    own = diagnosis.patients
    print(
        f"  parameters of single patients: bulk effective draws least {own['ess_bulk'].min():.0f}, "
        f"median {own['ess_bulk'].median():.0f}; R-hat up to {own['r_hat'].max():.3f}"
    )
    s = diagnosis.sampler
    print(
        f"  divergences {s.divergences} of {s.chains * s.draws}, longest paths {s.saturated:.0%}, "
        f"failed solves {s.failed_solves}"
    )
    print(f"  least bulk effective draws per second: {bulk.min() / wall:.3g}")
    print("\n".join(f"  {line}" for line in diagnosis.lines()[: 1 + len(diagnosis.reasons)]))
    shown = table[["parameter", "mean", "sd", "r_hat", "ess_bulk", "ess_tail", "contraction"]]
    print(shown.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    return float(bulk.min() / wall)


def published_table() -> Path | None:
    """Find the published table, or None where it is not."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("PDMODEL_DATA", beside)) / REAL
    return path if path.is_file() else None


def all_arms(path: Path) -> pdm.Cohort:
    """Read all patients of the published table who were given atezolizumab."""
    whole = pdm.read_cohort(path, format="laleh2022", regimen=REGIMEN)
    return whole.subset(tuple(p.key for p in whole if p.arm not in DOCETAXEL))


def grown(path: Path, arm: pdm.Cohort, residual: str, method: str) -> None:
    """Fit one arm and all of them, both with programs compiled before, and tell how cost grows."""
    seconds = []
    every = all_arms(path)
    for cohort in (arm, every):
        for _ in range(2):  # the first compiles
            began = time.perf_counter()
            model = pdm.Model(
                pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), pdm.residual(residual)
            )
            fit = pdm.fit(model, cohort, seed=1, method=method)
            wall = time.perf_counter() - began
        found = pdm.diagnose(fit)
        seconds.append(wall)
        print(f"{residual}, {method}, {len(cohort)} patients, {cohort.scans} scans: {wall:.0f} s; "
              f"{found.verdict}")  # fmt: skip
    more = len(every) / len(arm)
    power = np.log(seconds[1] / seconds[0]) / np.log(more)
    print(f"{more:.2f} times the patients cost {seconds[1] / seconds[0]:.2f} times the time: "
          f"patients to the power of {power:.2f} (goal: 1.2)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help=f"also the published arm {ARM}")
    parser.add_argument("--only-real", action="store_true", help="nothing but that arm")
    parser.add_argument(
        "--residual", choices=RESIDUALS, action="append", help="of the published arm; all of them"
    )
    parser.add_argument("--method", default="nuts", help="of the published arm")
    parser.add_argument(
        "--grown", action="store_true", help="only how cost grows from that arm to all patients"
    )
    parser.add_argument(
        "--peer", type=float, metavar="MINUTES", help="of plain NumPyro NUTS on the published arm"
    )
    options = parser.parse_args()
    heading("Hierarchical fits: wall time and effective draws per second")
    print(f"cores used: {cores()}; seed 1; one run of each")
    if not options.only_real:
        part("The embedded cohort")
        default = measured(demo_cohort())
        joint = measured(demo_cohort(), method="nuts-joint", **JOINT)
        print(
            f"nuts gives {default / joint:.0f} times the effective draws per second of nuts-joint"
        )
    if options.real or options.only_real:
        part(f"The published arm {ARM} (doi:10.1371/journal.pcbi.1009822)")
        path = published_table()
        if path is None:
            print(f"{REAL} is not there; set PDMODEL_DATA to the folder that has it")
        else:
            cohort = pdm.read_cohort(path, format="laleh2022", arms=(ARM,), regimen=REGIMEN)
            if options.grown:
                grown(path, cohort, (options.residual or ["walk"])[0], options.method)
                return
            for residual in options.residual or RESIDUALS:
                mine = measured(cohort, residual, method=options.method)
                if options.peer:
                    rate = peer(cohort, residual, options.peer)
                    print(
                        f"effective draws per second of {options.method} over draws per second of "
                        f"plain NUTS, which bounds its effective ones: {mine / rate:.0f}"
                    )


if __name__ == "__main__":
    main()
