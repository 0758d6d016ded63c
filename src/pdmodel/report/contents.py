"""What the report says: numbers and sentences, taken from a fit, its diagnosis and a trial."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pdmodel.data import Note, ReadingLog
from pdmodel.data.cohort import SIZE_KINDS
from pdmodel.diagnose import Diagnosis
from pdmodel.fit import Fit
from pdmodel.model import Model
from pdmodel.resistance import UNDECIDED
from pdmodel.response import CLASSES, RULES
from pdmodel.simulate import Trial
from pdmodel.simulate.arms import read_arms

MOST_PAGES = 12
"""Patients shown on a page of their own."""
MOST_SCHEDULES = 20
"""Schedules that are written out, the commonest first."""
MEANINGS: Mapping[str, str] = {
    "primary": "progression before six months, without a response before it",
    "acquired": "progression after six months or more, after a response or stable disease",
    "early_loss": "a response that was lost before six months",
    "durable": "no progression for twelve months",
    "not_determinable": "followed or treated too briefly to tell, or not measurable",
    UNDECIDED: "no class is probable enough to be a label",
}
COMMON = RULES["sitc2020"]
THRESHOLDS = (
    f"A response is a size at least {-100 * COMMON.partial_response:g} % below the baseline; "
    f"progression is growth by at least {100 * COMMON.progression:g} % and "
    f"{COMMON.progression_mm:g} mm over the smallest size so far (RECIST 1.1, target lesions only)."
)
UNSEEN = """Only sizes of target lesions are known. New lesions, other lesions and deaths are not
seen, so a real progression may be earlier than the one named here."""
ONE_LESION = "A size is that of one lesion a patient; RECIST judges the sum of several."
MISSING = """Scans that are missing, as after leaving a study, are taken to be missing for no
reason beyond the sizes before them."""
TYPICAL = "Every patient has the concentrations of a typical patient of the published studies."
HIDDEN = "A note that names a patient; ids are hidden in this report."
ESTIMATE = ("estimate", "low", "high")
SHOWN_ENDPOINTS: Mapping[str, str] = {
    "objective_response": "response (CR or PR)",
    "disease_control": "disease control (CR, PR or SD)",
    "progression_free_day_182": "no progression by day 182",
    "progression_free_day_365": "no progression by day 365",
    "class_primary": "primary resistance",
    "class_acquired": "acquired resistance",
    "class_durable": "durable control",
}


def percent(share: float) -> str:
    """Say a share in percent."""
    return f"{100 * share:.0f} %" if np.isfinite(share) else "–"


def short(number: float) -> str:
    """Say a number with three digits."""
    return f"{number:.3g}" if np.isfinite(number) else "–"


def spread(numbers: Sequence[float]) -> str:
    """Say median and range."""
    return f"{np.median(numbers):.3g} ({min(numbers):.3g} to {max(numbers):.3g})"


def treatment(fit: Fit) -> list[str]:
    """Say what was given: schedules in words, or doses counted."""
    said = Counter(str(one) for p in fit.cohort for one in p.schedules)
    told = [
        f"{text} ({count} of {len(fit.cohort)} patients, by schedule)"
        for text, count in said.most_common(MOST_SCHEDULES)
    ]
    if len(said) > MOST_SCHEDULES:
        told.append(
            f"{len(said) - MOST_SCHEDULES} other schedules, each of as many patients or fewer"
        )
    counted = [p for p in fit.cohort if not p.schedules]
    for drug in fit.cohort.drugs:
        given = [p.regimens[drug] for p in counted if len(p.regimens.get(drug, ()))]
        if given:
            doses = spread([len(one) for one in given])
            amount = np.median(np.concatenate([one.amount for one in given]))
            told.append(
                f"{drug}: {len(given)} of {len(fit.cohort)} patients, median {doses} doses, "
                f"median dose {amount:g} mg"
            )
    return told or ["no drug is recorded"]


def cohort_facts(fit: Fit) -> list[tuple[str, str]]:
    """Describe the cohort in a few numbers."""
    cohort = fit.cohort
    small = sum(int(p.censored.sum()) for p in cohort)
    studies = sorted({p.study for p in cohort} - {""})
    return [
        ("Patients", str(len(cohort))),
        ("Studies", ", ".join(studies) or "not named"),
        ("Arms", ", ".join(arm for arm in cohort.arms if arm) or "not named"),
        ("What a size is", SIZE_KINDS[cohort.size_kind]),
        ("Scans", str(cohort.scans)),
        ("Scans of a patient, median (range)", spread([len(p.day) for p in cohort])),
        ("First size in mm, median (range)", spread([float(p.size_mm[0]) for p in cohort])),
        ("Scans too small to measure", f"{small} ({percent(small / cohort.scans)})"),
        ("Day of the last scan, median (range)", spread([p.last_day for p in cohort])),
    ]


def reading(log: ReadingLog, hidden: Collection[str] = ()) -> tuple[str, list[dict[str, Any]]]:
    """Name the table, and give a row for each note on it; files by name, without their folders.

    A note that is of one patient, or has a hidden id in its words, is not told where ids are
    hidden.
    """
    rows = []
    for one in log.notes:
        message = HIDDEN if hidden and _names_one(one, hidden) else one.message
        for file in {log.source, one.file} - {""}:
            message = message.replace(file, Path(file).name)
        rows.append({"severity": one.severity, "message": message, "rows": one.rows or ""})
    return Path(log.source).name, rows


def _names_one(note: Note, ids: Collection[str]) -> bool:
    return bool(note.patient) or any(
        re.search(rf"(?<!\w){re.escape(one)}(?!\w)", note.message) for one in ids
    )


def label_counts(labels: pd.DataFrame) -> list[dict[str, Any]]:
    """Count labels in the order of the classes, undecided last, with their meaning."""
    found = Counter(labels["label"])
    return [
        {"label": name, "count": found[name], "meaning": MEANINGS[name]}
        for name in (*map(str, CLASSES), UNDECIDED)
    ]


def label_rows(
    labels: pd.DataFrame, diagnosis: Diagnosis, names: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Give a row for each patient; what speaks against all labels is not said in each reason.

    ``name`` is the patient's key, or what `names` says for it.
    """
    shared = f"fit not trusted: {diagnosis.doubt('')}; "
    own = [str(reason).removeprefix(shared) for reason in labels["reason"]]
    named = [(names or {}).get(key, key) for key in keys_of(labels)]
    shown = labels.assign(name=named, reason=[reason[:1].upper() + reason[1:] for reason in own])
    return [{str(name): value for name, value in row.items()} for row in shown.to_dict("records")]


def keys_of(labels: pd.DataFrame) -> list[str]:
    """Give the key of each patient of a table of labels."""
    named = zip(labels["study"], labels["patient_id"], strict=True)
    return [f"{study}/{id_}" if study else str(id_) for study, id_ in named]


def chosen_patients(labels: pd.DataFrame, most: int = MOST_PAGES) -> list[tuple[str, str]]:
    """Choose whom to show, and why: the surest of each class, and the least decided.

    Returns
    -------
    list of (str, str)
        Keys of at most `most` patients, with the reason in words.
    """
    table = labels.assign(key=keys_of(labels))
    table = table.sort_values("confidence", ascending=False, kind="stable")
    open_ = table.loc[table["label"] == UNDECIDED, "key"].tolist()[::-1]
    groups = {str(name): table.loc[table["label"] == name, "key"].tolist() for name in CLASSES}
    present = sum(bool(group) for group in groups.values())
    each = (most - min(len(open_), most // 4)) // max(present, 1)
    found: dict[str, str] = {}
    for name, keys in groups.items():
        reason = f"among the surest of “{name.replace('_', ' ')}”"
        found |= dict.fromkeys(keys[:each], reason)
    found |= dict.fromkeys(open_[: most - len(found)], "among the least decided")
    return list(found.items())


def convergence(diagnosis: Diagnosis, model: Model) -> list[dict[str, Any]]:
    """Give a row for each population parameter, or the worst patient of each parameter."""
    about = {q.name: q.about for q in model.parameters}
    if len(table := diagnosis.population):
        names = [str(name).removesuffix("_typical") for name in table["parameter"]]
        meaning = [about.get(name) or _meaning(name) for name in names]
        columns = {str(name): list(table[name]) for name in table} | {"about": meaning}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    rows = []
    for name, own in diagnosis.patients.groupby("parameter", sort=False):
        rows.append(
            {
                "parameter": name,
                "about": about[str(name)],
                "r_hat": own["r_hat"].max(skipna=False),
                "ess_bulk": own["ess_bulk"].min(skipna=False),
                "ess_tail": own["ess_tail"].min(skipna=False),
                "contraction": own["contraction"].median(),
                "informed": counted(own["informed"].tolist()),
            }
        )
    return rows


def _meaning(name: str) -> str:
    """Say what a parameter of the population is that has no meaning of its own."""
    if name.endswith("_correlation"):
        return "correlation of the two between patients"
    if name.endswith("_sd"):
        return "its spread between patients"
    return "effect of the covariate, for each sd of it"


def given(trial: Trial, model: Model) -> dict[str, str]:
    """Say what each arm of a trial is given, in full."""
    arms = read_arms(trial.arms, model.drugs)
    return {arm.name: "; ".join(map(str, arm.schedules)) or "nothing" for arm in arms}


def endpoints(trial: Trial) -> list[dict[str, Any]]:
    """Give a row for each endpoint of a trial, as measured: its name, and a text for each arm."""
    measured = trial.summary.loc[trial.summary["seen"] == "measured"].to_dict("records")
    rows = []
    for name, words in SHOWN_ENDPOINTS.items():
        found = {row["arm"]: row for row in measured if row["endpoint"] == name}
        if found:
            numbers = ([percent(found[arm][x]) for x in ESTIMATE] for arm in trial.arms)
            told = [f"{middle} ({low} to {high})" for middle, low, high in numbers]
            rows.append({"endpoint": words, "arms": told})
    return rows


def limits(fit: Fit, diagnosis: Diagnosis) -> list[str]:
    """Say what the results do not tell."""
    cohort = fit.cohort
    told = [UNSEEN, MISSING, TYPICAL]
    if cohort.size_kind == "lesion":
        told.insert(1, ONE_LESION)
    if any(one.doses is None for p in cohort for one in p.schedules):
        told.append("Doses given by schedule are assumed to go on as planned, without a miss.")
    if any(not p.schedules and p.regimens for p in cohort):
        told.append("Doses from a table are taken as complete: forecasts add none after the last.")
    common = diagnosis.population
    hidden = common.loc[common["informed"] == "prior-driven", "parameter"].tolist()
    if hidden:
        told.append(f"Hardly learnt from the data, so prior-driven: {', '.join(map(str, hidden))}.")
    for name, own in diagnosis.patients.groupby("parameter", sort=False)["informed"]:
        if count := own.tolist().count("prior-driven"):
            told.append(
                f"In {count} of {len(own)} patients the scans say next to nothing about {name}."
            )
    assumed = [q.name for q in fit.model.parameters if q.source.startswith("assumption")]
    if assumed:
        told.append(f"Without a published source, so assumed: {', '.join(assumed)}.")
    return told


def flat(nested: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Bring nested entries to rows of name and value."""
    rows = []
    for name, value in nested.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{name}: ")
        else:
            joined = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            rows.append((f"{prefix}{name}", joined))
    return rows


def counted(words: Sequence[str]) -> str:
    """Count words, the most common first."""
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())
