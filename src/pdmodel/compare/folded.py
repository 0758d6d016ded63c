"""Every model, fold by fold: learn from the other folds, forecast scans of this one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from pdmodel.compare.designs import DESIGNS, Held, design
from pdmodel.compare.folds import split
from pdmodel.compare.kept import place_of, store, stored
from pdmodel.compare.learning import Report, as_treated, learnt, model_named, values_given
from pdmodel.compare.scores import Room, Scores, room_for, scored
from pdmodel.data import Cohort, Patient
from pdmodel.errors import OptionError
from pdmodel.fit import Fit, quiet
from pdmodel.model import Model
from pdmodel.unfinished import asked_for

MODELS = (
    "flat:last_value_flat", "flat:last_value", "flat:walk", "flat:walk_slope",
    "exhaustion:walk", "stein_fojo:walk", "claret_bruno:walk",
    "stein_fojo:student_t", "gsf:student_t", "claret_bruno:student_t",
)  # fmt: skip
"""The random walk, that with slope, noise without drift and with an Ornstein-Uhlenbeck slope;
drifts under the same noise; and smooth curves."""
NULLS = ("flat:last_value_flat", "flat:last_value", "flat:walk_slope")
"""What every other model is compared with."""

type Watch = Callable[[], AbstractContextManager[Report]]


@dataclass(frozen=True)
class Plan:
    """What is compared, and how.

    Attributes
    ----------
    models : tuple of str
        Each ``MECHANISM:RESIDUAL``, as `pdmodel.compare.learning.model_named` takes them.
    designs : tuple of str
    folds, seed : int
    draws : int
        Draws of the posterior of each patient that is forecast.
    options : mapping
        Of `pdmodel.fit`.
    """

    models: tuple[str, ...] = MODELS
    designs: tuple[str, ...] = tuple(DESIGNS)
    folds: int = 5
    seed: int = 1
    draws: int = 400
    options: Mapping[str, Any] = field(default_factory=lambda: {"method": "quick"})


class _Task(NamedTuple):
    """One model and one fold."""

    name: str
    model: Model
    fold: int
    learns: Cohort
    held: dict[str, list[Held]]


def held_out(
    cohort: Cohort,
    plan: Plan,
    folder: Path,
    *,
    tell: Callable[[str], None] = print,
    watch: Watch = lambda: nullcontext(quiet),
) -> pd.DataFrame:
    """Score the scans ahead of every patient under every model and design.

    Each patient's fold is forecast from a fit of the others, given the patient's own scans that
    are seen. What is finished is kept in the folder, and is not made again.

    Parameters
    ----------
    cohort : Cohort
    plan : Plan
    folder : Path
        From `pdmodel.compare.kept.taken`.
    tell : callable
        Takes a line when a fold is finished.
    watch : callable
        Context manager that shows the progress of a fit.

    Returns
    -------
    DataFrame
        ``model, fold, design, patient`` (its key) and the columns of `Scores`; a row for each
        model, design and scan ahead.

    Raises
    ------
    OptionError
        If a model stands twice, or no patient has enough scans for a design.
    RunError
        If the folder has scores that were made from something else.
    """
    models = {name: model_named(name, cohort.drugs) for name in plan.models}
    labels = [f"{m.mechanism.name}:{m.residual.name}" for m in models.values()]
    if twice := sorted({one for one in labels if labels.count(one) > 1} | _repeated(plan.models)):
        raise OptionError(f"Model {twice[0]!r} stands twice; name each once.")
    room = _room(cohort, plan.designs)
    folds = split(cohort, plan.folds, plan.seed)
    pieces = []
    for label, model in zip(labels, models.values(), strict=True):
        for k, (learns, ahead) in enumerate(folds, start=1):
            held = {name: _held(ahead, name) for name in plan.designs}
            task = _Task(label, model, k, learns, held)
            table = _made(task, cohort, plan, room, folder, tell, watch)
            pieces.append(table.assign(model=label, fold=k))
    every = pd.concat(pieces, ignore_index=True)
    return every[["model", "fold", *(name for name in every if name not in ("model", "fold"))]]


def _repeated(names: Sequence[str]) -> set[str]:
    return {name for name in names if list(names).count(name) > 1}


def _held(patients: Sequence[Patient], name: str) -> list[Held]:
    cut = design(name)
    return [found for patient in patients if (found := cut(patient)) is not None]


def _room(cohort: Cohort, designs: Sequence[str]) -> Room:
    """Give lengths that serve all folds; look whether there is somebody for every design."""
    every = {name: _held(cohort.patients, name) for name in designs}
    for name, held in every.items():
        if not held:
            raise OptionError(
                f"No patient has enough scans for the design {name}; leave it out (choose others "
                "with --design)."
            )
    return room_for([one for held in every.values() for one in held])


def _made(
    task: _Task, cohort: Cohort, plan: Plan, room: Room, folder: Path,
    tell: Callable[[str], None], watch: Watch,
) -> pd.DataFrame:  # fmt: skip
    """Read the scores of a model and a fold, or make and keep them."""
    path = place_of(folder, task.name, task.fold)
    made_from = _made_from(task, cohort, plan)
    if (found := stored(path, made_from, tell)) is not None:
        return found
    began = perf_counter()
    with watch() as report:
        fit = learnt(task.model, task.learns, seed=plan.seed, options=plan.options, report=report)
        fitted = perf_counter()
        table = _scores(fit, task.held, plan, room)
    store(path, table, made_from)
    jax.clear_caches()  # programs of one fold serve no other; some thousand fill all maps there are
    done = perf_counter()
    tell(
        f"{task.name}, fold {task.fold} of {plan.folds}: {len(task.learns)} patients fitted in "
        f"{fitted - began:.0f} s, {len(table)} scans ahead scored in {done - fitted:.0f} s."
    )
    return _read_back(path, made_from, tell)


def _read_back(
    path: Path, made_from: Mapping[str, Any], tell: Callable[[str], None]
) -> pd.DataFrame:
    """Read what was just written, so that a table does not hang on whether it was kept."""
    found = stored(path, made_from, tell)
    if found is None:
        raise OptionError(f"{path} changed while it was being written; run the same again.")
    return found


def _made_from(task: _Task, cohort: Cohort, plan: Plan) -> dict[str, Any]:
    asked = asked_for(task.model, cohort, plan.options)
    return asked | {
        "fold": f"{task.fold} of {plan.folds}",
        "designs": ", ".join(plan.designs),
        "seed": plan.seed,
        "draws of each patient": plan.draws,
    }


def _scores(fit: Fit, held: Mapping[str, Sequence[Held]], plan: Plan, room: Room) -> pd.DataFrame:
    """Score all designs of a fold; patients of all designs are joined to the fit at once."""
    every = [_as_of(name, one, fit.model) for name in held for one in held[name]]
    if not every:
        return pd.DataFrame(columns=["design", "patient", *Scores._fields[1:]])
    seen = [one.seen for one in every]
    found = scored(
        fit.model,
        every,
        values_given(fit, seen, draws=plan.draws, seed=plan.seed),
        seed=plan.seed,
        accuracy=fit.manifest["options"]["accuracy"],
        drawn=fit.kinetics_seed,
        room=room,
    )
    names = np.repeat(list(held), [len(held[name]) for name in held])
    keys = np.array([one.seen.key for several in held.values() for one in several])
    columns = found._asdict()
    place = columns.pop("patient")
    return pd.DataFrame({"design": names[place], "patient": keys[place], **columns})


def _as_of(name: str, held: Held, model: Model) -> Held:
    """Tell a patient under one design from the same under another; no doses without drugs."""
    (seen,) = as_treated([replace(held.seen, study=f"{name}|{held.seen.study}")], model)
    return held._replace(seen=seen, given=held.given if model.drugs else {})
