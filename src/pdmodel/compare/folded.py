"""Every model, fold by fold: learn from the other folds, forecast scans of this one.

Populations are learnt fold by fold; scans are forecast design by design, all patients at once,
each under the population of the folds that it is not in.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from pdmodel.compare.designs import DESIGNS, Held, design
from pdmodel.compare.folds import folds_of
from pdmodel.compare.kept import place_of, store, stored
from pdmodel.compare.learning import (
    HOW,
    Laid,
    Report,
    courses,
    laid_out,
    learnt,
    model_named,
    values_given,
)
from pdmodel.compare.scores import Room, room_for, scored_on
from pdmodel.course import GRIDS
from pdmodel.data import Cohort
from pdmodel.errors import OptionError
from pdmodel.fit import quiet
from pdmodel.model import Model
from pdmodel.unfinished import asked_for

MODELS = (
    "flat:last_value_flat", "flat:last_value", "flat:walk", "flat:walk_slope",
    "exhaustion:walk_slope", "exhaustion:walk", "stein_fojo:walk", "claret_bruno:walk",
    "stein_fojo:student_t", "gsf:student_t", "claret_bruno:student_t",
)  # fmt: skip
"""The random walk, that with slope, noise without drift and with an Ornstein-Uhlenbeck slope;
drifts under the same noises; and smooth curves."""
NULLS = ("flat:last_value_flat", "flat:last_value", "flat:walk_slope")
"""What every other model is compared with."""

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "method": tuple(HOW), "accuracy": tuple(GRIDS), "pharmacokinetics": ("predicted", "drawn"),
}  # fmt: skip
"""What may be asked of the fits, and the values it may have."""
JUDGED = ("pareto_k", "off_nats")
"""How far the population that a score rests on can be trusted, as in `Learnt`."""

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
        ``method``, ``accuracy`` and ``pharmacokinetics``, as of `pdmodel.fit`.
    """

    models: tuple[str, ...] = MODELS
    designs: tuple[str, ...] = tuple(DESIGNS)
    folds: int = 5
    seed: int = 1
    draws: int = 400
    options: Mapping[str, Any] = field(default_factory=lambda: {"method": "quick"})


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
        Takes a line when a fold or a design is finished.
    watch : callable
        Context manager that shows the progress of a fit.

    Returns
    -------
    DataFrame
        ``model, fold, design, patient`` (its key), the columns of `Scores`, and those of
        `JUDGED`; a row for each model, design and scan ahead.

    Raises
    ------
    OptionError
        If a model stands twice, an option is none of `OPTIONS`, or no patient has enough scans
        for a design.
    RunError
        If the folder has scores that were made from something else.
    """
    _refuse_unknown(plan.options)
    models = {name: model_named(name, cohort.drugs) for name in plan.models}
    labels = [f"{m.mechanism.name}:{m.residual.name}" for m in models.values()]
    if twice := sorted({one for one in labels if labels.count(one) > 1} | _repeated(plan.models)):
        raise OptionError(f"Model {twice[0]!r} stands twice; name each once.")
    held = {name: _held(cohort, name) for name in plan.designs}
    asked = _Asked(cohort, plan, folds_of(cohort, plan.folds, plan.seed), held, folder, tell, watch)
    pieces = [_of_model(asked, *one) for one in zip(labels, models.values(), strict=True)]
    every = pd.concat(pieces, ignore_index=True)
    return every[["model", "fold", *(name for name in every if name not in ("model", "fold"))]]


class _Asked(NamedTuple):
    """A comparison: of whom, how, each patient's fold, who has scans ahead, and where to."""

    cohort: Cohort
    plan: Plan
    fold: np.ndarray
    held: Mapping[str, Mapping[int, Held]]
    folder: Path
    tell: Callable[[str], None]
    watch: Watch


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if value not in OPTIONS.get(name, ()):
            known = "; ".join(f"{one}: {', '.join(several)}" for one, several in OPTIONS.items())
            raise OptionError(f"A comparison takes no {name}={value!r}; it takes {known}.")


def _repeated(names: Sequence[str]) -> set[str]:
    return {name for name in names if list(names).count(name) > 1}


def _held(cohort: Cohort, name: str) -> dict[int, Held]:
    """Hold out scans of all who have enough of them, by place in the cohort."""
    found = _enough(cohort, name)
    if not found:
        raise OptionError(
            f"No patient has enough scans for the design {name}; leave it out (choose others "
            "with --design)."
        )
    return found


def _enough(cohort: Cohort, name: str) -> dict[int, Held]:
    every = map(design(name), cohort)
    return {k: one for k, one in enumerate(every) if one is not None}


def _room(cohort: Cohort) -> Room:
    """Give lengths that hold every design, so that scores do not hang on which are asked for."""
    every = [_enough(cohort, name) for name in DESIGNS]
    return room_for([one for several in every for one in several.values()])


def _of_model(asked: _Asked, label: str, model: Model) -> pd.DataFrame:
    """Read or make the scores of a model, a table for each design."""
    laid = _once(partial(_laid_out, asked, model))
    made_from = _made_from(asked, model)
    learnt_from = [_of_fold(asked, label, laid, k, made_from) for k in range(asked.plan.folds)]
    pieces = [_of_design(asked, label, laid, name, learnt_from, made_from) for name in asked.held]
    jax.clear_caches()  # programs of one model serve no other; too many fill all maps there are
    return pd.concat(pieces, ignore_index=True).assign(model=label)


def _once[T](make: Callable[[], T]) -> Callable[[], T]:
    """Make something when it is asked for first."""
    return lru_cache(1)(make)


def _laid_out(asked: _Asked, model: Model) -> Laid:
    options = asked.plan.options
    drawn = asked.plan.seed if options.get("pharmacokinetics") == "drawn" else None
    return laid_out(model, asked.cohort, accuracy=options.get("accuracy", "draft"), drawn=drawn)


def _made_from(asked: _Asked, model: Model) -> dict[str, Any]:
    plan = asked.plan
    known = asked_for(model, asked.cohort, plan.options)
    return known | {"folds": plan.folds, "seed": plan.seed}


def _of_fold(
    asked: _Asked, label: str, laid: Callable[[], Laid], fold: int, made_from: Mapping[str, Any]
) -> pd.DataFrame:
    """Read or make the draws of the population of all folds but one, with Pareto k."""
    path = place_of(asked.folder, label, f"without fold {fold + 1}")
    found = stored(path, made_from, asked.tell)
    if found is not None:
        return found
    began, learns = perf_counter(), asked.fold != fold
    with asked.watch() as report:
        it = learnt(
            laid(), learns, seed=asked.plan.seed,
            method=asked.plan.options.get("method", "quick"), report=report,
        )  # fmt: skip
    table = pd.DataFrame(it.x, columns=pd.Index(laid().of.names))
    table = table.assign(pareto_k=it.pareto_k, off_nats=it.off_nats)
    store(path, table, made_from)
    asked.tell(
        f"{label}, fold {fold + 1} of {asked.plan.folds}: population learnt from {learns.sum()} "
        f"patients in {perf_counter() - began:.0f} s (worth {it.effective:.0f} draws, Pareto k "
        f"{it.pareto_k:.2f}, likelihood off by {it.off_nats:.1f} nats)."
    )
    return _read_back(path, made_from, asked.tell)


def _of_design(
    asked: _Asked, label: str, laid: Callable[[], Laid], name: str,
    learnt_from: Sequence[pd.DataFrame], made_from: Mapping[str, Any],
) -> pd.DataFrame:  # fmt: skip
    """Read or make the scores of all patients under a design, each forecast from its fold."""
    path = place_of(asked.folder, label, name)
    made_from = {**made_from, "draws of each patient": asked.plan.draws}
    if (found := stored(path, made_from, asked.tell)) is not None:
        return found
    began = perf_counter()
    table = _scores(asked, laid(), name, learnt_from)
    store(path, table, made_from)
    asked.tell(
        f"{label}, {name}: {len(table)} scans ahead of {table['patient'].nunique()} patients "
        f"scored in {perf_counter() - began:.0f} s."
    )
    return _read_back(path, made_from, asked.tell)


def _read_back(
    path: Path, made_from: Mapping[str, Any], tell: Callable[[str], None]
) -> pd.DataFrame:
    """Read what was just written, so that a table does not hang on whether it was kept."""
    found = stored(path, made_from, tell)
    if found is None:
        raise OptionError(f"{path} changed while it was being written; run the same again.")
    return found


def _scores(
    asked: _Asked, laid: Laid, name: str, learnt_from: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    held, plan = asked.held[name], asked.plan
    place, every = np.array(list(held)), list(held.values())
    seen = np.zeros(len(asked.cohort), int)
    seen[place] = [len(one.seen.day) for one in every]
    x = np.stack([one[list(laid.of.names)].to_numpy() for one in learnt_from], axis=1)
    values = values_given(laid, seen, x[:, asked.fold], draws=plan.draws, seed=plan.seed)
    log_size, ok = courses(laid, values)
    room = _room(asked.cohort)
    found = scored_on(
        laid.of.model,
        every,
        {key: value[:, place] for key, value in values.items()},
        log_size[:, place[:, None], visits(every, room)],
        ok[:, place],
        seed=plan.seed,
        room=room,
    )._asdict()
    whose = place[found.pop("patient")]
    judged = {
        name: np.array([one[name].iloc[0] for one in learnt_from])[asked.fold[whose]]
        for name in JUDGED
    }
    return pd.DataFrame({
        "fold": asked.fold[whose] + 1, "design": name,
        "patient": np.array(asked.cohort.keys)[whose], **found, **judged,
    })  # fmt: skip


def visits(held: Sequence[Held], room: Room) -> np.ndarray:
    """Give the places of scans seen and ahead among the visits, padded by the last of them."""
    rows = []
    for one in held:
        seen, ahead = len(one.seen.day), len(one.day)
        first = np.minimum(np.arange(room.visits), seen - 1)
        rows.append(np.append(first, seen + np.minimum(np.arange(room.ahead), ahead - 1)))
    return np.array(rows)
