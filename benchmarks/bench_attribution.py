"""How often the named cause of resistance is right, on cohorts of every mechanism of resistance.

Patients are drawn from the middles of the priors of a mechanism and scanned every six weeks for two
years; the same mechanism is fitted, and `attribute` names causes. A name is right if that change
undoes the resistance of the patient's true course.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from causes import named
from drawn import simulated
from surroundings import heading, part

import pdmodel as pdm
from pdmodel.compare.learning import model_named
from pdmodel.quadrature.coordinates import Coordinates

jax.config.update("jax_enable_x64", True)

MECHANISMS = ("exhaustion", "suppression", "intrinsic", "antigen_loss", "clone", "fixation")
RULE, UNTIL = "sitc2020", 730.0
DAYS = np.arange(0.0, UNTIL, 42.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=150)
    parser.add_argument("--mechanism", nargs="*", default=MECHANISMS)
    parser.add_argument("--residual", default="student_t")
    parser.add_argument("--method", default="quick")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="table of finished mechanisms, to go on from")
    asked = parser.parse_args()
    heading("Named causes of resistance beside what would undo the true courses")
    print(
        f"{asked.patients} patients of each mechanism, {len(DAYS)} scans each, residual "
        f"{asked.residual}, method {asked.method}, rule {RULE} to day {UNTIL:g}"
    )
    rows = []
    if asked.keep and asked.keep.exists():
        rows = pd.read_csv(asked.keep).to_dict("records")
    for name in asked.mechanism:
        if name in [row["mechanism"] for row in rows]:
            continue
        began = time.perf_counter()
        model = model_named(f"{name}:{asked.residual}", ["atezolizumab"])
        of = Coordinates(model)
        people = simulated(of, asked.patients, asked.seed, DAYS, jnp.zeros(len(of)))
        fit = pdm.fit(model, people.cohort, seed=asked.seed, method=asked.method)
        verdict = pdm.diagnose(fit)
        found = named(fit, people.values, RULE, UNTIL)
        part(f"{name} ({time.perf_counter() - began:.0f} s)")
        print(verdict.verdict, *verdict.reasons, sep="\n  ")
        print("changes that undo a true course: "
              + ", ".join(f"{cause} {count}" for cause, count in found.undone.items()))  # fmt: skip
        rows.append({"mechanism": name, **found._asdict()} | {"undone": ""})
        if asked.keep:
            pd.DataFrame(rows).to_csv(asked.keep, index=False)
        jax.clear_caches()
    part("All mechanisms, of the truly resistant")
    table = pd.DataFrame(rows).drop(columns="undone")
    told = table["right"] + table["wrong"]
    table["right of named"] = table["right"] / told.where(told > 0)
    print(table.to_string(index=False, float_format="{:.3f}".format))
    print(
        "right, wrong: a cause was named; usual: how often the commonest undoing change would be "
        "right; others: patients who do not resist and for whom a cause was named"
    )


if __name__ == "__main__":
    main()
