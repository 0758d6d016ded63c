"""The integrator against others: accuracy, speed, sizes, failures, and the goals for each."""

import argparse
import os
from functools import partial

import jax
from patients import made
from peers.problem import from_cohort
from solver import ours
from solver.accuracy import accuracy
from solver.cores import cores
from solver.costs import profile, single_precision
from solver.report import Figures, goals
from solver.robustness import robustness
from solver.sizes import sizes
from solver.speed import speed
from surroundings import USED, heading, part

PATIENTS = 1500
OTHERS = ("diffrax", "numbalsoda")


def main(allowed: set[int]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few patients and draws: a trial")
    parser.add_argument("--only", default="abcdefg", help="letters of the parts to be run")
    options = parser.parse_args()
    quick = options.quick
    patients, draws, repeats = (200, 100, 3) if quick else (PATIENTS, 1000, 5)
    heading("The integrator: accuracy, speed, failures", (*USED, *OTHERS))
    cohort, values = made(ours.MODEL, patients, seed=5)
    problem = from_cohort(ours.MODEL, cohort, values)
    parts = {
        "a": partial(accuracy, draws),
        "b": partial(speed, problem, repeats, quick=quick),
        "c": partial(sizes, problem, quick=quick),
        "d": partial(robustness, draws, 30, quick=quick),
        "e": partial(single_precision, problem, 3 * repeats),
        "f": partial(cores, problem, allowed),
        "g": partial(profile, problem, 2 * repeats),
    }
    found: Figures = {}
    for letter, run in parts.items():
        if letter in options.only:
            found |= run() or {}
    part("Goals")
    goals(found)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_enable_compilation_cache", False)  # its seconds are measured
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    if cpus:  # one core, before JAX counts them
        os.sched_setaffinity(0, {min(cpus)})
    main(cpus)
