"""Simulate one drug against two in the same virtual patients, from a run folder or the prior."""

import argparse
from collections.abc import Sequence

import jax

import pdmodel as pdm
from pdmodel.simulate import simulate, write

ENDPOINTS = ("objective_response", "progression_free_day_365", "progression_day_median")


def main(argv: Sequence[str] | None = None) -> None:
    """Run with --run FOLDER for what a fit has learnt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help="folder of a fit; the prior if left out")
    parser.add_argument("--arm", action="append", help="again and again; in words")
    parser.add_argument("-n", type=int, default=1000, help="virtual patients")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", default="runs/trial", help="folder of the trial")
    args = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)  # noqa: TID251  # the program sets it, not the library

    prior = pdm.Model(pdm.mechanism("exhaustion"), (), pdm.residual("student_t"))
    source = pdm.load(args.run) if args.run else prior
    arms = args.arm or ["atezolizumab", "atezolizumab + ipilimumab"]
    trial = simulate(source, arms, n=args.n, seed=args.seed)
    told = trial.summary.query("endpoint in @ENDPOINTS and seen == 'measured'")
    print(told.drop(columns=["seen", "unit"]).round(3).to_string(index=False))  # noqa: T201
    print(*trial.assumptions, sep="\n")  # noqa: T201
    print("Written to", write(trial, args.o))  # noqa: T201


if __name__ == "__main__":
    main()
