"""Exposures and simulated trials beside published numbers; what agrees by construction is said."""

import ast
import sys
from pathlib import Path

import jax
from surroundings import heading

import pdmodel as pdm
from pdmodel.dosing import parse_schedule
from pdmodel.simulate import simulate

N, DRAWS, SEED = 4096, 100, 1
OAK = {
    "objective_response": 58 / 425,
    "progression_free_day_182": 0.304,
    "progression_free_day_365": 0.182,
}
CHECKMATE_067 = {
    "nivolumab + ipilimumab": (0.58, 11.5),
    "nivolumab": (0.45, 6.9),
    "ipilimumab": (0.19, 2.9),
}
ARMS = {
    "nivolumab + ipilimumab": "nivolumab 80 mg q3w x4 + nivolumab 240 mg q2w from day 84 "
    "+ ipilimumab 240 mg q3w x4",
    "nivolumab": "nivolumab 240 mg q2w",
    "ipilimumab": "ipilimumab 240 mg q3w x4",
}
MONTH = 30.4375


def exposures():
    """Compare every regimen with an independent solution of the same published models."""
    tests = Path(__file__).parent.parent / "tests" / "test_drugs.py"
    table = next(
        ast.literal_eval(one.value)
        for one in ast.parse(tests.read_text("utf-8")).body
        if isinstance(one, ast.Assign) and getattr(one.targets[0], "id", "") == "EXPOSURES"
    )
    print("Exposure: first cycle Cmax, trough, AUC; late Cmax, Cmin, Cavg, AUC (mg/L, days)")
    worst = 0.0
    for row in table.strip().splitlines():
        name, author, *schedule, cycle, _, _, _, _, _, _, _ = row.split()
        figures = [float(x) for x in row.split()[-7:]]
        patient = pdm.drug(name).population(author.replace("_", " ")).typical()
        plan = parse_schedule(f"drug {' '.join(schedule)}")
        regimen, end = plan.regimen(1000), int(cycle) * plan.interval_day
        early = patient.exposure(regimen, 0, plan.interval_day)
        late = patient.exposure(regimen, end - plan.interval_day, end)
        found = [*early[:3], late.peak, late.trough, late.average, late.auc]
        off = max(abs(x / y - 1) for x, y in zip(found, figures, strict=True))
        worst = max(worst, off)
        shown = " ".join(f"{x:8.1f}" for x in found)
        print(f"  {name:14s} {author:14s} {' '.join(schedule):20s} {shown}  off {100 * off:.2f} %")
    print(f"  largest deviation {100 * worst:.2f} % (rounding of the figures included)")


def oak(model):
    """Compare the prior with the atezolizumab arm of OAK, to which it was tuned."""
    how = {"n": N, "draws": DRAWS, "seed": SEED, "pharmacokinetics": "typical"}
    trial = simulate(model, ["atezolizumab 1200 mg q3w"], **how)
    table = trial.summary.query("seen == 'measured'").set_index("endpoint")
    print("\nOAK, atezolizumab (425 patients): prior, 90 % interval, and published")
    for name, value in OAK.items():
        row = table.loc[name]
        print(f"  {name:28s} {row.estimate:.3f} ({row.low:.3f} to {row.high:.3f})  {value:.3f}")
    print("  Priors were tuned by hand to these three numbers: this is no validation. Progression")
    print("  of target lesions stands against a PFS that counts new lesions and death as well.")


def checkmate(model):
    """Compare combination and monotherapy with CheckMate-067, by the priors of OAK."""
    trial = simulate(model, ARMS, n=N, draws=DRAWS, seed=SEED, pharmacokinetics="typical")
    table = trial.summary.query("seen == 'measured'").set_index(["arm", "endpoint"])
    print("\nCheckMate-067 (melanoma): prior, 90 % interval, and published")
    for arm, (response, months) in CHECKMATE_067.items():
        row, middle = (
            table.loc[(arm, name)] for name in ("objective_response", "progression_day_median")
        )
        print(
            f"  {arm:24s} ORR {row.estimate:.3f} ({row.low:.3f} to {row.high:.3f})  {response:.2f}"
            f"   median PFS {middle.estimate / MONTH:.1f} months  {months:.1f}   {row.basis}"
        )
    gain = table.loc[("nivolumab", "objective_response"), "difference"]
    low, high = (
        table.loc[("nivolumab", "objective_response"), f"difference_{end}"]
        for end in ("low", "high")
    )
    print(f"  combination over nivolumab, ORR: {-gain:+.3f} ({-high:+.3f} to {-low:+.3f})  +0.13")
    print("  The priors are of lung cancer, not melanoma: levels are not comparable, the direction")
    print("  and size of the difference are. What CTLA-4 blockade adds is an assumption that was")
    print("  set with this trial in view.")


def main():
    jax.config.update("jax_enable_x64", True)
    heading("Exposures and simulated trials beside published numbers")
    exposures()
    model = pdm.Model(pdm.mechanism("exhaustion"), (), pdm.residual("student_t"))
    oak(model)
    checkmate(model)


if __name__ == "__main__":
    sys.exit(main())
