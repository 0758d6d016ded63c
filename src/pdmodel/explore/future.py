"""Courses and classes of one patient under the doses that were given, and under others."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pdmodel.errors import OptionError
from pdmodel.explore.doses import Change, changed_doses, read_change
from pdmodel.explore.known import Known
from pdmodel.followup import exposure, visit_days
from pdmodel.latent import latent
from pdmodel.likelihood import kinetics_of
from pdmodel.model import Model
from pdmodel.regimen import Regimen
from pdmodel.response import CLASSES, Rule, classify_courses, rule_named
from pdmodel.simulate.rescue import model_with, own_values
from pdmodel.trajectory import trajectories

GRID, MULTIPLE = 80, 32
"""Days on which courses are drawn; they are filled up to a multiple, so that few lengths of
programs are compiled."""
FARTHEST = 3653.0
"""The last horizon: ten years."""
CUTS = (0.05, 0.25, 0.5, 0.75, 0.95)
PURPOSE = "classify"
"""Draws are those of `pdmodel.classify`, so that probabilities are."""


class Future(NamedTuple):
    """A course under some doses.

    Attributes
    ----------
    size_mm : ndarray, shape (5, days)
        Quantiles (5, 25, 50, 75, 95 %) of the size without errors of reading; nan where no draw
        could be solved.
    probability : dict of str to float
        Of each class, by the horizon.
    given : dict of str to Regimen
        Doses up to the last day, by drug.
    strength : dict of str to ndarray, each of shape (days,)
        Of each action that some drug exerts, 0 to 1.
    """

    size_mm: np.ndarray
    probability: dict[str, float]
    given: dict[str, Regimen]
    strength: dict[str, np.ndarray]


class Explored(NamedTuple):
    """What is seen of a patient.

    Attributes
    ----------
    known : Known
    rule : Rule
    day : ndarray, shape (days,)
    horizon : float
        Last day on which courses are judged.
    planned : Future
        Under the doses that were given or are planned.
    changed : Future or None
        Under those of the change; None where nothing was changed.
    scan_day : ndarray, shape (visits,)
        Days of scans to come.
    scan_mm : ndarray, shape (5, visits)
        Quantiles of what such a scan would read, under the doses that were given.
    from_day : float
        Day from which on the change may matter; the last day where nothing was changed.
    moved : float
        Share of the draws that the change brings into another class.
    assumed : tuple of str
        Parameters that the change rests on and no data of the fit informed, in words.
    unsolved : float
        Share of the draws whose course could not be solved; they are not determinable.
    """

    known: Known
    rule: Rule
    day: np.ndarray
    horizon: float
    planned: Future
    changed: Future | None
    scan_day: np.ndarray
    scan_mm: np.ndarray
    from_day: float
    moved: float
    assumed: tuple[str, ...]
    unsolved: float


class _Doses(NamedTuple):
    """Doses, and the model that knows their drugs."""

    given: dict[str, Regimen]
    model: Model


class _Draws(NamedTuple):
    """Courses on some days: log sizes (draws, days), and sizes as read."""

    planned: np.ndarray
    changed: np.ndarray
    measured: np.ndarray
    ok: np.ndarray


def explore(
    known: Known,
    change: Change | None = None,
    *,
    rule: str = "sitc2020",
    horizon: float = 730.0,
    draws: int = 400,
    seed: int = 0,
) -> Explored:
    """Follow a patient under the doses that were given, and under others.

    A change moves each draw's course by what it moves the mechanism's; what chance has added to
    that stays. Where doses came from a table, none is added after the last; doses after the last
    known scan are those that were given.

    Parameters
    ----------
    known : Known
        From `known_of`.
    change : Change, optional
    rule : str
        Name of a rule in `pdmodel.response.RULES`.
    horizon : float
        Day up to which courses are judged where it is later than the last known scan: on the
        days of the known scans, every 42 days after, and on the horizon.
    draws, seed : int, int

    Returns
    -------
    Explored

    Raises
    ------
    OptionError
        If a number or rule cannot be used.
    DoseError, ModelError
        If the add-on cannot be read, or does what the mechanism ignores.
    """
    change, judged_by = change or Change(), rule_named(rule)
    if not 0.0 <= horizon <= FARTHEST:
        raise OptionError(f"horizon is {horizon}; it must be a day, 0 to {FARTHEST:g}.")
    arms = read_change(known.fit.model, change)
    visits = visit_days(known.patient, horizon)
    end = max(float(visits[-1]), known.whole.last_day)
    own = _Doses(dict(known.treated.treated_until(end)), known.fit.model)
    other = own
    if not change.nothing:
        doses = changed_doses(own.given, change, arms, end)
        other = _Doses(doses, model_with(known.fit.model, arms))
    day = _days(known, end, change)
    seen, judged = (_followed(known, own, other, x, draws, seed) for x in (day, visits))
    before = _codes(known, judged.planned, visits, judged_by, None)
    after = _codes(known, judged.changed, visits, judged_by, None if other is own else other)
    changed = None if other is own else _future(known, other, day, seen.changed, after)
    coming = visits > known.patient.last_day
    return Explored(
        known, judged_by, day, float(visits[-1]),
        _future(known, own, day, seen.planned, before), changed,
        visits[coming], _cuts(judged.measured[:, coming], judged.ok),
        _begins(change, end), 0.0 if changed is None else float(np.mean(before != after)),
        _assumed(own.model, other.model), float(1.0 - np.mean(judged.ok)),
    )  # fmt: skip


def _days(known: Known, end: float, change: Change) -> np.ndarray:
    """Days for drawing: evenly spaced, with those on which something begins."""
    start = known.patient.start_day
    marks = (known.patient.last_day, change.from_day, change.add_day, 0.0)
    inside = [x for x in marks if start <= x <= end]
    return np.unique(np.concatenate([np.linspace(start, max(end, start + 1.0), GRID), inside]))


def _begins(change: Change, end: float) -> float:
    """First day of a change."""
    doses = change.amount != 1.0 or change.delay_day != 0.0
    days = [change.from_day] * doses + [change.add_day] * bool(change.add_on.strip())
    return min([*days, end])


def _filled(day: np.ndarray) -> np.ndarray:
    """Add days behind the last, up to a multiple."""
    more = -len(day) % MULTIPLE
    return np.concatenate([day, day[-1] + np.arange(1.0, more + 1.0)])


def _followed(
    known: Known, own: _Doses, other: _Doses, day: np.ndarray, draws: int, seed: int
) -> _Draws:
    """Follow the patient under two sets of doses."""
    fit, patient, count = known.fit, known.patient, len(day)
    room = day if fit.model.residual.carried else _filled(day)  # where steps hang on the days
    base = latent(fit, [patient], room, [own.given], draws, seed, PURPOSE)
    planned = base.log_size[:, 0, :count]
    changed = planned
    if other is not own:
        values = own_values(fit, other.model, patient, draws, seed)
        moved = [
            _expected(known, one, other.model, values, room)[:, :count] for one in (other, own)
        ]
        changed = planned + moved[0] - moved[1]
    return _Draws(planned, changed, base.measured[:, 0, :count], base.ok[:, 0])


def _expected(
    known: Known, doses: _Doses, model: Model, values: Mapping[str, np.ndarray], day: np.ndarray
) -> np.ndarray:
    """Log sizes of the mechanism alone, (draws, days)."""
    start, accuracy = [known.patient.start_day], known.fit.manifest["options"]["accuracy"]
    own = kinetics_of(known.fit.model, [known.patient], known.fit.kinetics_seed)
    return trajectories(model, values, start, day, [doses.given], accuracy, own).log_size[:, 0]


def _codes(
    known: Known, log_size: np.ndarray, visits: np.ndarray, rule: Rule, doses: _Doses | None
) -> np.ndarray:
    """Class of every draw, under the patient's own doses or others."""
    patient = known.treated
    if doses is not None:
        patient = replace(patient, regimens=doses.given, schedules=())
    treated = exposure(patient, visits[-1]) or (None, None)
    return classify_courses(visits, np.exp(log_size), rule, None, *treated)


def _future(
    known: Known, doses: _Doses, day: np.ndarray, log_size: np.ndarray, codes: np.ndarray
) -> Future:
    share = np.bincount(codes, minlength=len(CLASSES)) / len(codes)
    (own,) = kinetics_of(known.fit.model, [known.patient], known.fit.kinetics_seed)
    strength = doses.model.strengths(doses.given, day, own)
    return Future(
        _cuts(np.exp(log_size), np.isfinite(log_size).all(axis=1)),
        {str(name): float(x) for name, x in zip(CLASSES, share, strict=True)},
        doses.given,
        {name: x for name, x in strength.items() if np.any(x > 0.0)},
    )


def _cuts(size: np.ndarray, ok: np.ndarray) -> np.ndarray:
    """Quantiles (5, days) over the draws (draws, days) that could be solved."""
    solved = size[ok] if ok.any() else np.full((1, size.shape[1]), np.nan)
    return np.quantile(solved, CUTS, axis=0)


def _assumed(own: Model, other: Model) -> tuple[str, ...]:
    """Say which parameters the fit has not learnt: those that other drugs need."""
    learnt = {q.name for q in own.free}
    return tuple(q.about for q in other.free if q.name not in learnt)
