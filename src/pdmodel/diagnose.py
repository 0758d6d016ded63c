"""Whether a fit can be trusted, what it learnt about what, and of whose label to beware."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import arviz as az
import numpy as np
import pandas as pd

from pdmodel.fit import Fit
from pdmodel.integration import against_method
from pdmodel.summaries import MIXING, QUIETLY, of_patients, of_population, ridges

R_HAT, ESS = 1.01, 400.0
"""Largest rank-normalized R-hat, least bulk and tail effective draws (doi:10.1214/20-BA1221)."""
FIRST_R_HAT, FIRST_ESS = 1.05, 100.0
"""The same for a first answer."""
OVER_NODES = ("nodes", "quick")  # designs whose draws have no energies
E_BFMI = 0.3
"""Least energy fraction of missing information of a chain (arXiv:1604.00695)."""
SATURATED = 0.05
"""Share of draws at the greatest tree depth from which a fit is called slow, not wrong."""
SUSPECT = 1.05
"""R-hat of a patient's parameter in a hierarchical fit above which it is doubted."""
SHOWN = 5  # names in a sentence


class Sampler(NamedTuple):
    """How sampling went, over all chains; where patients were sampled alone, over all of them.

    `e_bfmi` is the least of the chains, `saturated` the share of draws at the greatest tree depth,
    `failed_solves` the number of courses of the posterior that could not be solved.
    """

    chains: int
    draws: int
    divergences: int
    e_bfmi: float
    saturated: float
    failed_solves: int


INDEPENDENT = (
    "errors of scans are independent in this fit; on public series such fits forecast worse than a "
    "random walk. --residual walk lets patients deviate from their course between scans"
)


@dataclass(frozen=True)
class Diagnosis:
    """What is known for and against a fit.

    Attributes
    ----------
    reasons : tuple of str
        What speaks against the whole fit, in words with numbers.
    notes : tuple of str
        What should be known, but does not make the fit wrong.
    population : DataFrame
        One row for each population or shared parameter; empty for patients fitted alone. Columns
        ``parameter, unit, mean, sd, q05, median, q95`` (natural scale), ``r_hat, ess_bulk,
        ess_tail, contraction`` (1 - posterior sd / prior sd, transformed scale) and ``informed``
        ("learnt", "partly", "prior-driven", or "unknown" where draws do not move).
    patients : DataFrame
        One row for each patient and individual parameter: ``patient, parameter, r_hat, ess_bulk,
        ess_tail, contraction, informed``. The prior that contraction refers to is that of a new
        patient of the population as it was learnt, or the prior itself for patients fitted alone.
    patients_suspect : tuple of str
        Keys of patients whose own draws have not converged.
    general : tuple of str
        The `reasons` that concern every patient; for patients fitted alone, those that fail by
        themselves are left out.
    sampler : Sampler
    """

    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    population: pd.DataFrame
    patients: pd.DataFrame
    patients_suspect: tuple[str, ...]
    general: tuple[str, ...]
    sampler: Sampler

    @property
    def trusted(self) -> bool:
        """Whether no reason was found against the fit."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.trusted:
            return "The fit can be trusted: it passed every check."
        return f"The fit must not be trusted: {len(self.reasons)} of its checks failed."

    def doubt(self, patient: str) -> str:
        """Say why results for one patient (by key) must not be trusted; empty if nothing is known.

        Reasons come without what stands in brackets; no other patient is named.
        """
        found = [reason.partition(" (")[0] for reason in self.general]
        if patient in self.patients_suspect:
            mine = self.patients.loc[self.patients["patient"] == patient]
            found.append(f"this patient's draws have not converged ({_worst(mine)})")
        return "; ".join(found)

    def prior_driven(self, patient: str) -> tuple[str, ...]:
        """Name the parameters of one patient (by key) of which the patient's scans say little."""
        named, informed = self.patients[["patient", "informed"]].to_numpy().T
        hidden = (named == patient) & (informed == "prior-driven")
        return _distinct(self.patients, "parameter", hidden)

    def lines(self) -> list[str]:
        """Say it in words, a line each."""
        told = [self.verdict]
        told += [f"  failed: {reason}" for reason in self.reasons]
        told += [f"  note: {note}" for note in self.notes]
        for name, word, x in self.population[["parameter", "informed", "contraction"]].to_numpy():
            told.append(f"  {name}: {word} (contraction {x:.2f})")
        for name, own in self.patients.groupby("parameter", sort=False)["informed"]:
            counts = own.value_counts().items()
            told.append(f"  {name} of single patients: " + ", ".join(f"{n} {w}" for w, n in counts))
        return told

    def to_json(self) -> dict[str, Any]:
        """Give plain lists, numbers and words for `json.dumps`; what is not a number is None."""
        words = ("trusted", "verdict", "reasons", "notes", "patients_suspect")
        return _plain({
            **{name: getattr(self, name) for name in words},
            "sampler": self.sampler._asdict(),
            "population": self.population.to_dict("records"),
            "patients": self.patients.to_dict("records"),
        })  # fmt: skip


def diagnose(fit: Fit, *, hide_ids: bool = False) -> Diagnosis:
    """Judge a fit.

    It is trusted if it has two chains or more, no divergence, an E-BFMI above 0.3 in every chain,
    no failed solve, patients integrated out to 1.5 nats, a Pareto k up to 0.7 of what is weighed,
    and, in every population and shared parameter, an R-hat below 1.01 with more than 400 effective
    draws in bulk and tail (1.05 and 100 of a first answer, method ``quick``); where each patient is
    fitted alone, that is asked of every parameter of every patient. In a hierarchical fit patients'
    own parameters are only reported, and patients with an R-hat above 1.05 doubted.

    Parameters
    ----------
    fit : Fit
    hide_ids : bool
        Name patients 1, 2, ... in the order of the keys, here and in what the result is asked.

    Returns
    -------
    Diagnosis
        R-hat and effective draws after Vehtari et al. (doi:10.1214/20-BA1221), E-BFMI after
        Betancourt (arXiv:1604.00695); the other limits of this module are this project's choice.
    """
    sampler, population, patients = _sampler(fit), of_population(fit), of_patients(fit)
    if hide_ids:
        numbers = {key: str(number) for number, key in enumerate(fit.cohort.keys, start=1)}
        patients = patients.assign(patient=patients["patient"].map(numbers))
    approximate, notes = against_method(fit)
    general = _against(sampler, energies=fit.manifest.get("design") not in OVER_NODES) + approximate
    if sampler.saturated >= SATURATED:
        notes += (f"{sampler.saturated:.0%} of the draws took the longest path allowed",)
    notes += ridges(fit)
    first = fit.manifest["options"].get("method") == "quick"
    limits = (FIRST_R_HAT, FIRST_ESS) if first else (R_HAT, ESS)
    failing = _distinct(patients, "patient", _bad(patients, limits))
    unsettled = _unconverged(patients, "patients", failing, len(fit.cohort), limits)
    if fit.pooling == "none":
        reasons, suspect = general + unsettled, failing
    else:
        common = _distinct(population, "parameter", _bad(population, limits))
        whole = "population parameters", common, len(population)
        general += _unconverged(population, *whole, limits)
        reasons, notes = general, notes + unsettled
        suspect = _distinct(patients, "patient", ~(patients["r_hat"].to_numpy() <= SUSPECT))
    if not fit.model.residual.carried:
        notes += (INDEPENDENT,)
    return Diagnosis(reasons, notes, population, patients, suspect, general, sampler)


@QUIETLY
def _sampler(fit: Fit) -> Sampler:
    stats = fit.tree["sample_stats"].to_dataset()
    deepest = 2 ** fit.manifest["options"]["max_depth"] - 1
    e_bfmi = np.asarray(az.bfmi(stats["energy"].to_numpy()))
    return Sampler(
        chains=stats.sizes["chain"],
        draws=stats.sizes["draw"],
        divergences=int(stats["diverging"].sum()),
        e_bfmi=float(np.min(e_bfmi)),
        saturated=float((stats["n_steps"] >= deepest).mean()),
        failed_solves=int(fit.manifest["failed_solves"]["posterior"].split()[0]),
    )


def _against(s: Sampler, *, energies: bool) -> tuple[str, ...]:
    missed = "part of the posterior was not explored; fit again with a higher target_accept"
    stuck = energies and not s.e_bfmi > E_BFMI  # also if it is not a number
    checks = {
        "only one chain (which cannot show whether it converged; run 4)": s.chains < 2,
        f"{s.divergences} of {s.chains * s.draws} draws diverged ({missed})": s.divergences > 0,
        f"E-BFMI is {s.e_bfmi:.2f} in the worst chain (must be above {E_BFMI})": stuck,
        f"{s.failed_solves} courses of the posterior could not be solved": s.failed_solves > 0,
    }
    return tuple(reason for reason, holds in checks.items() if holds)


def _bad(table: pd.DataFrame, limits: tuple[float, float]) -> np.ndarray:
    """Whether each row has not converged; what is not a number has not."""
    r_hat, *ess = table[list(MIXING)].to_numpy().T
    return ~((r_hat < limits[0]) & (np.min(ess, axis=0) > limits[1]))


def _distinct(table: pd.DataFrame, column: str, mask: np.ndarray) -> tuple[str, ...]:
    return tuple(dict.fromkeys(table[column].to_numpy()[mask]))


def _unconverged(
    table: pd.DataFrame, what: str, failing: tuple[str, ...], total: int,
    limits: tuple[float, float],
) -> tuple[str, ...]:  # fmt: skip
    """Say in one sentence, or none, who fails and how badly."""
    if not failing:
        return ()
    more = f" and {len(failing) - SHOWN} more" if len(failing) > SHOWN else ""
    names = ", ".join(failing[:SHOWN]) + more
    head = f"{len(failing)} of {total} {what} have not converged"
    needed = f"needed: below {limits[0]}, above {limits[1]:g}"
    return (f"{head} ({_worst(table)}; {needed}; {names})",)


def _worst(table: pd.DataFrame) -> str:
    numbers = table[list(MIXING)].to_numpy()
    if np.isnan(numbers).any():
        return "R-hat unknown, for want of chains, of draws, or of draws that move and are numbers"
    r_hat, ess = numbers[:, 0].max(), numbers[:, 1:].min()
    return f"R-hat up to {r_hat:.3f}, down to {ess:.0f} effective draws"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
