"""Whether a fit finds what simulated patients were made with: parameters, intervals, classes."""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from causes import named
from patients import POPULATION, REGIMEN, SHARED, UNTIL, Made, made
from surroundings import heading, part

import pdmodel as pdm
from pdmodel.followup import visit_days
from pdmodel.likelihood import evidence, log_likelihood
from pdmodel.resistance import PROBABILITIES, UNDECIDED
from pdmodel.response import CLASSES, RULES, resistance_class
from pdmodel.trajectory import trajectories

jax.config.update("jax_enable_x64", True)

MODEL = pdm.Model(
    pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), pdm.residual("student_t")
)
RULE = "sitc2020"
NODES = 4000
"""Draws of each round of importance sampling."""


def truth_of(name: str) -> float:
    for q in MODEL.individual:
        if name == f"{q.name}_typical":
            return POPULATION[q.name][0]
        if name == f"{q.name}_sd":
            return POPULATION[q.name][1]
    return SHARED[name]


def show_population(diagnosis) -> None:
    part("Population and shared parameters (natural scale; _sd on the transformed scale)")
    table = diagnosis.population[["parameter", "unit", "mean", "sd", "q05", "q95"]].copy()
    truth = np.array([truth_of(name) for name in table["parameter"]])
    table.insert(2, "truth", truth)
    inside = (truth >= table["q05"]) & (truth <= table["q95"])
    table["covered"] = np.where(inside, "yes", "no")
    table["off"] = (table["mean"] - truth) / table["sd"]
    table["ess_bulk"] = diagnosis.population["ess_bulk"].round()
    table["r_hat"] = diagnosis.population["r_hat"]
    print(table.to_string(index=False, float_format="{:.4g}".format))
    print(f"90 % intervals that cover: {inside.sum()} of {len(inside)}; off: (mean - truth) / sd")


def exact_given_truth(simulated: Made) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Weigh effects under the true population: what no fit can beat but by chance.

    Importance sampling from Student's t about each patient's moments, found in two rounds.

    Returns
    -------
    effects : dict of str to ndarray, each of shape (draws, patients)
        Transformed scale.
    weight : ndarray, shape (draws, patients)
    effective : ndarray, shape (patients,)
    """
    patients, names = len(simulated.cohort), [q.name for q in MODEL.individual]
    data = evidence(MODEL, simulated.cohort)
    centre = np.array([float(q.unbounded(POPULATION[q.name][0])) for q in MODEL.individual])
    sd = np.array([POPULATION[name][1] for name in names])
    shared = {name: jnp.full(patients, value) for name, value in SHARED.items()}

    @jax.jit
    def heights(effects: jax.Array) -> jax.Array:
        def one(at: jax.Array) -> jax.Array:
            mine = {q.name: q.natural(at[:, k]) for k, q in enumerate(MODEL.individual)}
            return jnp.sum(log_likelihood(MODEL, shared | mine, data)[0], axis=1)

        return jax.lax.map(one, effects, batch_size=4)

    rng = np.random.default_rng(0)
    mean = np.tile(centre, (patients, 1))
    mean[:, names.index("baseline")] = [np.log(p.size_mm[0]) for p in simulated.cohort]
    spread = np.where(np.array(names) == "baseline", 0.15, sd)
    root = np.tile(np.diag(spread), (patients, 1, 1))
    for _ in range(3):
        z = rng.standard_t(5, (NODES, patients, len(names)))
        x = mean + np.einsum("pij,dpj->dpi", root, z)
        height = np.asarray(heights(jnp.asarray(x))) - np.sum(((x - centre) / sd) ** 2, axis=2) / 2
        height += np.sum(3.0 * np.log1p(z**2 / 5.0), axis=2)
        weight = np.exp(height - height.max(axis=0))
        weight /= weight.sum(axis=0)
        mean = np.einsum("dp,dpi->pi", weight, x)
        off = x - mean
        root = np.linalg.cholesky(1.5 * np.einsum("dp,dpi,dpj->pij", weight, off, off))
    effects = {name: x[..., k] for k, name in enumerate(names)}
    return effects, weight, 1.0 / np.sum(weight**2, axis=0)


def summary(x: np.ndarray, weight: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Summarize weighted draws (draws, patients) of one parameter against the truth."""
    mean = np.sum(weight * x, axis=0)
    below = np.sum(weight * (x < true), axis=0)
    return {
        "correlation": np.corrcoef(mean, true)[0, 1],
        "rms error": np.sqrt(np.mean((mean - true) ** 2)),
        "posterior sd": np.sqrt(np.mean(np.sum(weight * (x - mean) ** 2, axis=0))),
        "in 50 %": np.mean(np.abs(below - 0.5) < 0.25),
        "in 90 %": np.mean(np.abs(below - 0.5) < 0.45),
    }


def show_patients(fit: pdm.Fit, simulated: Made) -> None:
    part("Parameters of single patients (transformed scale)")
    drawn = fit.values()
    ideal, weight, effective = exact_given_truth(simulated)
    rows = []
    for q in MODEL.individual:
        true = np.asarray(q.unbounded(simulated.values[q.name]))
        x = np.asarray(q.unbounded(drawn[q.name]))
        mine = summary(x, np.full(x.shape, 1.0 / len(x)), true)
        rows.append({"parameter": q.name, "by": "fit", **mine})
        rows.append({"parameter": "", "by": "ideal", **summary(ideal[q.name], weight, true)})
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))
    print(
        f"ideal: the posterior under the true population, by importance sampling "
        f"({np.min(effective):.0f} effective draws or more, median {np.median(effective):.0f}, "
        f"of {NODES})"
    )
    sd50, sd90 = (np.sqrt(p * (1 - p) / len(fit.cohort)) for p in (0.5, 0.9))
    print(f"chance alone moves a coverage by {sd50:.3f} (50 %) and {sd90:.3f} (90 %), one sd")


def true_classes(simulated: Made) -> list[str]:
    """Class of each course free of noise, read on the days that the labels are read on."""
    names = [q.name for q in MODEL.free]
    found = []
    for k, patient in enumerate(simulated.cohort):
        mine = {name: simulated.values[name][None, k : k + 1] for name in names}
        day = visit_days(patient, UNTIL)
        padded = np.concatenate(
            [day, np.full(40 - len(day), day[-1])]
        )  # one shape, one compilation
        course = trajectories(
            MODEL, mine, [patient.start_day], padded, [patient.treated_until(UNTIL)]
        )
        size = np.exp(course.log_size[0, 0, : len(day)])
        found.append(str(resistance_class(day, size, RULES[RULE])[0]))
    return found


def show_classes(fit: pdm.Fit, simulated: Made, horizon: float | None) -> None:
    labels = pdm.classify(fit, rule=RULE, horizon=horizon)
    true = np.array(true_classes(simulated))
    names = [str(c) for c in CLASSES]
    counts = pd.crosstab(true, labels["label"].to_numpy())
    counts = counts.reindex(index=names, columns=[*names, UNDECIDED], fill_value=0)
    counts = counts.loc[counts.sum(axis=1) > 0, counts.sum(axis=0) > 0]
    print(counts.rename_axis(index="truth", columns="label").to_string())
    given = labels["label"].to_numpy() != UNDECIDED
    right = labels["label"].to_numpy() == true
    top = np.array(names)[labels[list(PROBABILITIES)].to_numpy().argmax(axis=1)]
    known = (true[:, None] == np.array(names)).astype(float)
    brier = np.mean(np.sum((labels[list(PROBABILITIES)].to_numpy() - known) ** 2, axis=1))
    base = np.mean(np.sum((known.mean(axis=0) - known) ** 2, axis=1))
    print(f"labelled: {given.sum()} of {len(given)}; of these right: {right[given].mean():.3f}")
    print(
        f"most probable class right, all patients: {np.mean(top == true):.3f}; "
        f"commonest class: {known.mean(axis=0).max():.3f}"
    )
    print(
        f"Brier score: {brier:.3f}; of the true shares of the classes: {base:.3f}; "
        f"ratio {brier / base:.2f}"
    )
    confidence = labels["confidence"].to_numpy()
    for low, high in ((0.0, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.01)):
        here = (confidence >= low) & (confidence < high)
        if here.any():
            print(
                f"confidence {low:.2f} to {min(high, 1):.2f}: {here.sum()} patients, "
                f"said {confidence[here].mean():.2f}, right {np.mean(top == true, where=here):.2f}"
            )


def show_attribution(fit: pdm.Fit, simulated: Made) -> None:
    """Compare causes that are named with what would undo the resistance of the true courses."""
    found = named(fit, simulated.values, RULE, UNTIL)
    print(f"truly resistant: {found.resistant} of {found.patients}; of these a change undoes it in")
    print("  " + ", ".join(f"{name} {count}" for name, count in found.undone.items()))
    print(
        f"of the truly resistant: a cause named and right {found.right}, named and wrong "
        f"{found.wrong}, undecided {found.undecided}, inseparable {found.inseparable}, taken for "
        f"not resistant {found.missed}; of the others a cause is named in {found.others}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--data-seed", type=int, default=2026, help="of the simulated patients")
    options = parser.parse_args()
    heading("Recovery of known parameters and classes from simulated patients")
    simulated = made(MODEL, options.patients, options.data_seed)
    cohort = simulated.cohort
    followed = np.array([p.last_day for p in cohort])
    part("Cohort")
    print(
        f"{len(cohort)} patients, {REGIMEN}, {cohort.scans} scans, "
        f"{sum(int(p.censored.sum()) for p in cohort)} of them too small to measure"
    )
    print(
        f"scans a patient: median {np.median([len(p.day) for p in cohort]):.0f}, "
        f"from {min(len(p.day) for p in cohort)} to {max(len(p.day) for p in cohort)}; "
        f"last scan: median day {np.median(followed):.0f}, "
        f"from {followed.min():.0f} to {followed.max():.0f}"
    )
    began = time.perf_counter()
    fit = pdm.fit(MODEL, cohort, seed=1, draws=options.draws)
    wall = time.perf_counter() - began
    diagnosis = pdm.diagnose(fit)
    show_population(diagnosis)
    show_patients(fit, simulated)
    part("Classes of the course free of noise to day 730 against labels that forecast to day 730")
    show_classes(fit, simulated, UNTIL)
    part("Why they resist: causes named against changes that would undo the true courses")
    show_attribution(fit, simulated)
    part("Cost")
    ess = float(diagnosis.population["ess_bulk"].min())
    print(f"wall time of the fit, compilation included: {wall:.0f} s")
    print(
        f"least bulk effective draws of a population parameter: {ess:.0f} of "
        f"{diagnosis.sampler.chains * diagnosis.sampler.draws}; {ess / wall:.1f} per second"
    )
    print(f"verdict: {diagnosis.verdict}")
    for line in (*diagnosis.reasons, *diagnosis.notes):
        print(f"  {line}")


if __name__ == "__main__":
    main()
