"""Draw what a run folder holds: single patients, the cohort, and what was learnt over the prior."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax

import pdmodel as pdm
from pdmodel import plot
from pdmodel.resistance import classify


def main(argv: Sequence[str] | None = None) -> None:
    """Write PNG files into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="folder of a fit, as fit_patients.py writes it")
    parser.add_argument("--patients", type=int, default=4, help="how many to draw one by one")
    parser.add_argument("-o", type=Path, default=Path("runs/plots"))
    args = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)  # noqa: TID251  # the program sets it, not the library

    fit = pdm.load(args.run)
    labels = classify(fit)
    figures = {
        "spider": plot.plot_spider(fit, labels=labels),
        "waterfall": plot.plot_waterfall(fit, labels=labels),
        "prior_posterior": plot.plot_prior_posterior(fit),
    }
    for number, key in enumerate(fit.cohort.keys[: args.patients], start=1):
        figures[f"patient_{number}"] = plot.plot_patient(fit, key)
    args.o.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(args.o / f"{name}.png", dpi=150)
    print(f"{len(figures)} figures in {args.o}")  # noqa: T201


if __name__ == "__main__":
    main()
