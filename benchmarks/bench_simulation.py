"""Simulation of virtual patients: throughput of courses beside SciPy and diffrax, and of trials.

The same patients, drawn from the prior of the core model, two years of atezolizumab every three
weeks and 18 scans. Every contender stands at the loosest of its tolerances whose largest error of
log size is below 1e-2 in 99 % of the patients. Times are of the processor, on one core.
"""

import argparse
import os
import time
from collections.abc import Callable

import jax
import numpy as np
import pandas as pd
from peers import diffrax_peer, scipy_peer
from peers.problem import seconds_of
from solver import ours
from surroundings import USED, heading, part

import pdmodel as pdm

jax.config.update("jax_enable_x64", True)

CLOSE = 1e-2
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
CLASSES = ("draft", "standard", "fine")


def ours_at(accuracy: str, count: int, seed: int) -> tuple[np.ndarray, float]:
    """Log sizes and seconds of a solve without sensitivities."""
    ready = ours.Prepared(ours.two_years(count, seed), accuracy)
    run = ready.ready(ours.plainly, "core").run
    given = (ready.free, ready.blocks, ready.weight)
    seconds = seconds_of(lambda: jax.block_until_ready(run(*given)), 3)
    return np.asarray(run(*given)[0]), float(seconds[0])


def scipy_at(rtol: float, count: int, seed: int) -> tuple[np.ndarray, float]:
    """As `ours_at`."""
    problem = ours.two_years(count, seed)
    began = time.process_time()
    found, *_ = scipy_peer.solve(problem, rtol, sensitivities=False)
    return found, time.process_time() - began


def diffrax_at(rtol: float, count: int, seed: int) -> tuple[np.ndarray, float]:
    """As `ours_at`."""
    problem = ours.two_years(count, seed)
    run = diffrax_peer.compiled(problem, diffrax_peer.DEFAULT, "course")
    seconds = seconds_of(lambda: jax.block_until_ready(run(rtol)), 3)
    return diffrax_peer.solve(problem, rtol, sensitivities=False)[0], float(seconds[0])


def contender(
    solve: Callable, settings: tuple, few: int, many: int, seed: int, exact: np.ndarray
) -> dict[str, object]:
    """Give figures of the loosest setting that is close enough to the exact courses of a few."""
    for setting in settings:
        found, seconds = solve(setting, few, seed)
        error = ours.Error.of(ours.apart_by(found, exact))
        if error.most < CLOSE:
            break
    if many > few:
        _, seconds = solve(setting, many, seed)
    return {"setting": setting, "error, 99 %": error.most, "largest": error.largest,
            "patients": many, "patients/s": many / seconds}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=4096)
    parser.add_argument("--few", type=int, default=64, help="patients of SciPy and of the errors")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    heading("Simulation: courses of virtual patients a second", (*USED, "diffrax"))
    few, many = asked.few, asked.patients
    exact, _ = scipy_peer.exact(ours.two_years(few, asked.seed))
    part("Courses alone")
    how = {"seed": asked.seed, "exact": exact, "few": few}
    every = {
        "pdmodel": contender(ours_at, CLASSES, many=many, **how),
        "SciPy LSODA": contender(scipy_at, TOLERANCES, many=few, **how),
    }
    if why := diffrax_peer.available():
        print(f"diffrax is left out: {why}")
    else:
        every["diffrax Tsit5"] = contender(diffrax_at, TOLERANCES, many=many, **how)
    table = pd.DataFrame(every).T.rename_axis("contender").reset_index()
    speed = table["patients/s"].astype(float)
    table["pdmodel is times as fast"] = speed[0] / speed
    print(table.to_string(index=False, float_format="{:.3g}".format))
    part("Whole trials: one arm, scans, classes and endpoints")
    model = pdm.Model(pdm.mechanism("exhaustion"), (), pdm.residual("lognormal"))
    for kinetics in ("typical", "drawn"):
        how = {"n": many, "seed": asked.seed, "pharmacokinetics": kinetics}
        pdm.simulate(model, ["atezolizumab"], **how)
        began = time.process_time()
        pdm.simulate(model, ["atezolizumab"], **how)
        seconds = time.process_time() - began
        print(f"concentrations {kinetics}: {many / seconds:.0f} patients/s of processor time")


if __name__ == "__main__":
    main()
