"""Fit a table of sizes, ask whether the fit can be trusted, and classify the patients."""

import argparse
from collections.abc import Sequence

import jax

import pdmodel as pdm
from pdmodel.data.demo import REGIMEN, SIZES
from pdmodel.diagnose import diagnose
from pdmodel.library import labelled
from pdmodel.resistance import classify


def main(argv: Sequence[str] | None = None) -> None:
    """Run with --sizes and --regimen for patients of one's own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=SIZES, help="table with patient_id, day, size_mm")
    parser.add_argument("--regimen", default=REGIMEN)
    parser.add_argument("--patients", type=int, help="only the first so many")
    for name, usual in (("warmup", 300), ("draws", 500), ("chains", 4), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("-o", default="runs/example", help="run folder")
    args = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)  # noqa: TID251  # the program sets it, not the library

    cohort = pdm.read_cohort(args.sizes, regimen=args.regimen, labelled=labelled())
    cohort = cohort.subset(cohort.keys[: args.patients])
    drugs = tuple(pdm.drug(name) for name in cohort.drugs)
    model = pdm.Model(pdm.mechanism("exhaustion"), drugs, pdm.residual("student_t"))
    sizes = {name: getattr(args, name) for name in ("warmup", "draws", "chains", "seed")}
    fit = pdm.fit(model, cohort, **sizes)
    print(*diagnose(fit).lines(), sep="\n")  # noqa: T201
    columns = ["patient_id", "observed_label", "label", "confidence"]
    print(classify(fit)[columns].to_string(index=False))  # noqa: T201
    print("Written to", pdm.save(fit, args.o))  # noqa: T201


if __name__ == "__main__":
    main()
