"""How good forecasts from a landmark were, beside frequencies and the last value carried on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pdmodel import calibration
from pdmodel.integration import COARSE, HEAVY
from pdmodel.landmark.outcomes import NO, RIVAL, UNKNOWN, WITHIN_DAYS, YES
from pdmodel.response import CLASSES

MODEL, LAST, WALK = "model", "last value", "random walk"
ALIKE = {"arm": "arm", "first change": "first_change"}
"""Frequencies by the column in which patients are alike."""
GROUPS = ("all", "not progressed")
THRESHOLDS = {"20": 0.2, "50": 0.5}
"""Percent and probability at which net benefits are told."""
HALF = 0.5
"""Added to the yes and to the no of a frequency (Jeffreys), so that it is never 0 or 1."""
ENDED = (
    "Patients whose follow-up ended without an answer are left out of the figures; as those who "
    "progress give one sooner, progression is more frequent there than among all."
)
PROGRESSION = ("next", *WITHIN_DAYS)


class Outcome(NamedTuple):
    """One thing that may happen: its name, its forecast, and what did; of patients in one table."""

    name: str
    p: np.ndarray
    yes: np.ndarray
    known: np.ndarray
    carried: np.ndarray
    """Whether it happens if the last value stays."""
    walk: np.ndarray
    """Its forecast by a random walk with slope; nan where none was made."""


def figures(table: pd.DataFrame, reference: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Score the forecasts of a landmark, and those of simple ones on the same patients.

    ``arm``: the frequency of the outcome in the patient's arm; ``first change``: that among
    patients who had grown, had not, or had no scan yet at the first scan after the baseline;
    ``last value``: what happens if the size stays as it is, yes or no; ``random walk``, of a table
    with folds: that with a slope, learnt in the same folds. Frequencies are of
    `reference`, with half a patient added to the yes and to the no, and of all its patients where
    it has none alike. Where the reference is the table itself they know its outcomes, but not if
    the table has folds: then they are of the patients of the other folds.

    Parameters
    ----------
    table : DataFrame
        From `forecasts` or `forecasts_by_folds`.
    reference : DataFrame
        From `happened`, of the patients that the population was learnt from; of a table with
        folds, the same patients in the same order.
    seed : int
        Of the bootstrap over persons.

    Returns
    -------
    DataFrame
        A row for each outcome (``next``, ``6_months``, ``12_months``, and each class), group of
        patients (``all``; ``not progressed`` by the landmark) and forecast: ``patients`` with a
        known outcome, ``unknown`` ones, left out, and ``failed`` ones without a forecast, left
        out; ``happened``; ``brier``, ``log_score`` (nats, probabilities held to 0.001 to 0.999)
        and ``auc``, each with ``_low`` and ``_high``, its 95 % interval; ``calibration_error``;
        and ``net_benefit_20, net_benefit_50`` at thresholds of 20 and 50 %, with
        ``everybody_20, everybody_50`` if all are acted on. Figures are nan where no outcome is
        known.
    """
    rows = []
    theirs = {outcome.name: outcome for outcome in _outcomes(reference)}
    for outcome in _outcomes(table):
        for group in GROUPS:
            mine, other = (_in(one, group) for one in (table, reference))
            learnt = theirs[outcome.name]
            seen = other & learnt.known
            every = {MODEL: outcome.p}
            for name, column in ALIKE.items():
                every[name] = _of_others(table, reference, column, seen, learnt.yes)
            every[LAST] = outcome.carried.astype(float)
            if np.isfinite(outcome.walk).all():
                every[WALK] = outcome.walk
            solved = np.isfinite(outcome.p)
            chosen = mine & outcome.known & solved
            head = {"outcome": outcome.name, "group": group, "patients": int(chosen.sum()),
                    "unknown": int((mine & ~outcome.known).sum()),
                    "failed": int((mine & outcome.known & ~solved).sum()),
                    "happened": int(outcome.yes[chosen].sum())}  # fmt: skip
            person = table.index.to_numpy(str)[chosen]
            rows += [
                head | {"forecast": name} | _scored(p[chosen], outcome.yes[chosen], person, seed)
                for name, p in every.items()
            ]
    return pd.DataFrame(rows)


def reliability_of(table: pd.DataFrame, name: str, bins: int = calibration.BINS) -> pd.DataFrame:
    """Give what happened where about the same was forecast, in all patients of a table.

    Parameters
    ----------
    table : DataFrame
        From `forecasts`.
    name : str
        Of an outcome, as in `figures`.
    bins : int

    Returns
    -------
    DataFrame
        Columns of `pdmodel.calibration.Reliability`; no row where no outcome is known.
    """
    outcome = next(one for one in _outcomes(table) if one.name == name)
    seen = outcome.known & np.isfinite(outcome.p)
    if not seen.any():
        return pd.DataFrame(columns=list(calibration.Reliability._fields))
    found = calibration.reliability(outcome.p[seen], outcome.yes[seen], bins)
    return pd.DataFrame(found._asdict()).rename(columns={"cases": "patients"})


def _outcomes(table: pd.DataFrame) -> Iterator[Outcome]:
    """Everything that may happen; a table from `happened` has no forecasts, which are then nan."""
    nothing = np.full(len(table), np.nan)
    progressed = table["progressed"].to_numpy(str) == YES
    for name in PROGRESSION:
        seen = table[f"observed_{name}"].to_numpy(str)
        p, walk = (np.asarray(table.get(f"{of}p_{name}", nothing), float) for of in ("", RIVAL))
        yield Outcome(name, p, seen == YES, seen != UNKNOWN, progressed, walk)
    seen, held = (table[name].to_numpy(str) for name in ("observed_class", "held_class"))
    for label in map(str, CLASSES):
        p, walk = (np.asarray(table.get(f"{of}p_{label}", nothing), float) for of in ("", RIVAL))
        yield Outcome(label, p, seen == label, seen != UNKNOWN, held == label, walk)


def _in(table: pd.DataFrame, group: str) -> np.ndarray:
    progressed = table["progressed"].to_numpy(str)
    return np.full(len(table), True) if group == "all" else progressed == NO


def _of_others(
    table: pd.DataFrame, reference: pd.DataFrame, column: str, seen: np.ndarray, yes: np.ndarray
) -> np.ndarray:
    """Frequency among those alike in a column; with folds, among those of the other folds."""
    whose, alike = (one[column].to_numpy(str) for one in (table, reference))
    if "fold" not in table:
        return _frequency(whose, alike[seen], yes[seen])
    fold, found = table["fold"].to_numpy(), np.full(len(table), np.nan)
    for k in np.unique(fold):
        others = seen & (fold != k)
        found[fold == k] = _frequency(whose[fold == k], alike[others], yes[others])
    return found


def _frequency(whose: np.ndarray, alike: np.ndarray, yes: np.ndarray) -> np.ndarray:
    """Frequency of a yes among those alike; among all where nobody is."""

    def one(kind: str) -> float:
        same = alike == kind
        hits = yes[same] if same.any() else yes
        return (hits.sum() + HALF) / (len(hits) + 2 * HALF)

    by_kind = {kind: one(kind) for kind in np.unique(whose)}
    return np.array([by_kind[kind] for kind in whose])


def _scored(p: np.ndarray, yes: np.ndarray, person: np.ndarray, seed: int) -> dict[str, float]:
    """Figures of one forecast of one outcome; nan without patients."""
    nothing = (np.nan, np.nan, np.nan)
    there = len(p) > 0
    named = {"brier": calibration.brier_scores, "log_score": calibration.log_scores}
    row: dict[str, float] = {}
    for name, score in named.items():
        got = calibration.mean_interval(score(p, yes), person, seed=seed) if there else nothing
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), got, strict=True))
    got = calibration.auc_interval(p, yes, person, seed=seed) if there else nothing
    row |= dict(zip(("auc", "auc_low", "auc_high"), got, strict=True))
    row["calibration_error"] = calibration.calibration_error(p, yes) if there else np.nan
    for name, threshold in THRESHOLDS.items():
        gain = calibration.decision_curve(p, yes, [threshold]) if there else nothing[:2]
        mine, everybody = (np.asarray(x, float).item() for x in gain)
        row |= {f"net_benefit_{name}": mine, f"everybody_{name}": everybody}
    return row


def lines(table: pd.DataFrame, found: pd.DataFrame, learnt: int) -> list[str]:
    """Say how many were forecast under whose population, and how good it was, in words.

    Parameters
    ----------
    table, found : DataFrame
        From `forecasts` and `figures`.
    learnt : int
        Patients that the population was learnt from.
    """
    day, attrs = table["landmark_day"].iloc[0], table.attrs
    head = (
        f"Landmark day {day:g}: {_many(len(table))} with a scan by then, of whom "
        f"{(table['progressed'] == YES).sum()} had progressed; {attrs['no_scan']} without one left "
        f"out; {attrs['failed_solves']} draws not solved."
    )
    out = [head, *_honest(learnt, attrs), ENDED]
    for (name, group), part in found.groupby(["outcome", "group"], sort=False):
        if name in PROGRESSION:
            out += [
                "",
                _head(str(name), str(group), part.iloc[0]),
                *map(_line, part.to_dict("records")),
            ]
            if group == GROUPS[0]:
                out += _bins(reliability_of(table, str(name)))
    return out


def _many(count: int) -> str:
    return f"{count} patient" if count == 1 else f"{count} patients"


def _honest(learnt: int, attrs: Mapping[Any, Any]) -> list[str]:
    if folds := attrs.get("folds"):
        said = (
            f"The population was learnt {folds['count']} times from {_many(learnt)} but for one "
            "fold, whose patients are forecast under it; so were the frequencies."
        )
        judged = (
            f"Pareto k up to {folds['pareto_k']:.2f}, likelihood off by up to "
            f"{folds['off_nats']:.1f} nats"
        )
        if folds["pareto_k"] <= HEAVY and folds["off_nats"] <= COARSE:
            return [f"{said} {judged}."]
        return [said, f"Beware: not every fold can be trusted ({judged}; fit with --method nuts)."]
    if attrs["new"]:
        return [f"The population was learnt from {_many(learnt)}, none of whom is forecast here."]
    said = (
        f"The population was learnt from all scans of these {_many(learnt)}, those after the "
        "landmark too: figures flatter the forecasts. An honest validation needs folds (--fold 5) "
        "or new patients (--sizes)."
    )
    return [said]


def _head(name: str, group: str, row: pd.Series) -> str:
    by = "by the next scan" if name == "next" else f"within {name.replace('_', ' ')}"
    failed = f", {row['failed']} without a forecast" if row["failed"] else ""
    who = "all patients" if group == "all" else "those not progressed by the landmark"
    return (
        f"Progression {by}, {who}: {row['happened']} of {row['patients']}; unknown of "
        f"{row['unknown']}{failed}."
    )


def _line(row: dict) -> str:
    if not row["patients"]:
        return f"  {row['forecast']:12}  no outcome is known"
    told: Sequence[str] = [
        f"{label} {row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
        for label, name in (("Brier", "brier"), ("log score", "log_score"), ("AUC", "auc"))
    ]
    return "  ".join([f"  {row['forecast']:12}", *told, f"ECE {row['calibration_error']:.3f}"])


def _bins(found: pd.DataFrame) -> list[str]:
    return [
        f"  forecast {100 * row['forecast']:3.0f} %: observed {100 * row['observed']:3.0f} % "
        f"[{100 * row['low']:.0f}, {100 * row['high']:.0f}] of {row['patients']}"
        for row in found.to_dict("records")
    ]
