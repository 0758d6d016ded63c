"""Virtual patients under an arm: what is given follows what their scans show, line after line."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdmodel.course import Accuracy
from pdmodel.dosing import planned
from pdmodel.keys import key_of
from pdmodel.model import Kinetics, Model
from pdmodel.regimen import Regimen
from pdmodel.residual import SMALLEST_MM, Drawn, Scans
from pdmodel.response import RULES, progression_day
from pdmodel.simulate.arms import Arm, Line
from pdmodel.simulate.conduct import Chances, Conduct, first_seen, uniforms
from pdmodel.simulate.virtual import keys_of
from pdmodel.trajectory import TOGETHER, trajectories

RULE = RULES["sitc2020"]
ROWS = 32
"""Rows of `TOGETHER` virtual patients that are solved at a time: 4096 patients."""
LARGEST = 60.0
"""Log size beyond which courses are cut: 1e26 mm, where floats of either precision still hold."""
JUST_BEFORE = 1e-6
"""Days by which the doses of a line end before the next begins."""


class People(NamedTuple):
    """Virtual patients on their way through the arms.

    Attributes
    ----------
    number : ndarray of int, shape (patients,)
    values : dict of str to ndarray, each of shape (patients,)
    kinetics : sequence of mapping of str to TwoCompartment, length patients
        Own ones; empty mappings for typical ones.
    chance : Chances
    """

    number: np.ndarray
    values: Mapping[str, np.ndarray]
    kinetics: Sequence[Kinetics]
    chance: Chances


class Sizes(NamedTuple):
    """What happened to patients in an arm.

    Attributes
    ----------
    measured, latent : ndarray, shape (patients, visits)
        Sizes in mm; nan where a course could not be solved.
    begun : ndarray, shape (lines, patients)
        Day on which each line of treatment began; inf if never.
    """

    measured: np.ndarray
    latent: np.ndarray
    begun: np.ndarray


def treated(
    model: Model, arm: Arm, people: People, conduct: Conduct, seed: int, accuracy: Accuracy
) -> Sizes:
    """Take patients through an arm.

    A line that ends with progression is followed by the next from the day on which it ends; the
    progression of a later line is counted from the last scan before it.

    Parameters
    ----------
    model : Model
    arm : Arm
    people : People
    conduct : Conduct
    seed : int
    accuracy : {"draft", "standard", "fine"}
    """
    day, count = people.chance.day, len(people.number)
    begun = np.full((len(arm.lines), count), np.inf)
    begun[0] = 0.0
    log_size = _solved(model, arm, people, np.arange(count), begun, conduct, seed, accuracy)
    measured, latent = _seen(model, key_of(seed, "noise"), people, log_size)
    for k, line in enumerate(arm.lines):
        if line.beyond_day is None:
            break
        start = np.where(np.isfinite(begun[k]), begun[k], day[:, -1])
        ends = _progressed(people.chance, measured, start) + line.beyond_day
        ends = np.where(np.isfinite(begun[k]), ends, np.inf)
        changed = np.flatnonzero(ends < day[:, -1])
        if k + 1 == len(arm.lines):
            begun = np.concatenate([begun, ends[None]])
        else:
            begun[k + 1] = np.where(ends < day[:, -1], ends, np.inf)
        if changed.size:
            anew = _solved(model, arm, people, changed, begun, conduct, seed, accuracy)
            later = day[changed] > ends[changed, None]
            log_size[changed] = np.where(later, anew, log_size[changed])
            measured, latent = _seen(model, key_of(seed, "noise"), people, log_size)
    return Sizes(measured, latent, begun[: len(arm.lines)])


def _progressed(chance: Chances, measured: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Day of the scan that shows progression, counted from the last scan on or before `start`."""
    made, day = ~chance.missed, chance.day
    known = carried(measured, made)
    at = np.maximum(((day <= start[:, None]) & made).cumsum(1).argmax(1), 0)
    base = np.take_along_axis(known, at[:, None], 1)
    known = np.where(np.arange(day.shape[1]) <= at[:, None], base, known)
    found = progression_day(day, known, RULE)
    other = first_seen(day, made & (day > start[:, None]), chance.other)
    return np.fmin(np.nan_to_num(found, nan=np.inf, posinf=np.inf), other)


def carried(size: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Put the size of the last scan that was made in the place of one that was not.

    For progression and response by size that is as if there had been no scan.
    """
    last = np.maximum.accumulate(np.where(seen, np.arange(size.shape[1]), 0), axis=1)
    return np.take_along_axis(size, last, 1)


def _solved(
    model: Model, arm: Arm, people: People, who: np.ndarray, begun: np.ndarray, conduct: Conduct,
    seed: int, accuracy: Accuracy,
) -> np.ndarray:  # fmt: skip
    """Log sizes (who, visits) free of noise; nan where a course could not be solved."""
    day = people.chance.day[who]
    until = float(day[:, -1].max())
    own = [{d: x for d, x in people.kinetics[i].items() if d in arm.drugs} for i in who]
    apart = conduct.jitter or conduct.missed_dose or any(own)
    switched = begun[:, who]
    switched = np.concatenate([switched, np.full((2, len(who)), np.inf)])[: len(arm.lines) + 1]
    order = np.lexsort(switched) if not apart else np.arange(len(who))
    rows = next(n for n in (1, 4, ROWS, -(-len(who) // TOGETHER)) if n * TOGETHER >= len(who))
    size = min(rows * TOGETHER, len(people.number)) if len(who) == len(people.number) else 0
    order = np.resize(order, size or rows * TOGETHER)  # so that few shapes are compiled
    left_out = uniforms(seed, "dose", people.number[who], 512) if conduct.missed_dose else None
    known: dict[bytes, dict[str, Regimen]] = {}
    regimens = []
    for i in order:
        mark = switched[:, i].tobytes() + (bytes(str(i), "ascii") if left_out is not None else b"")
        if mark not in known:
            missed = None if left_out is None else left_out[i] < conduct.missed_dose
            known[mark] = _given(arm.lines, switched[:, i], until, missed)
        regimens.append(known[mark])
    same = not apart and len(known) == 1
    width = min(TOGETHER, len(order)) if same else len(order)
    values = {name: x[who][order].reshape(-1, width) for name, x in people.values.items()}
    start = [min(float(people.chance.day[0, 0]), 0.0)] * width
    kinetics = [{d: own[i][d] for d in regimens[k] if d in own[i]} for k, i in enumerate(order)]
    days = day[0] if same else day[order]
    solved = trajectories(model, values, start, days, regimens[:width], accuracy, kinetics[:width])
    found = np.empty((len(who), day.shape[1]))
    found[order] = solved.log_size.reshape(-1, day.shape[1])
    return np.minimum(found, LARGEST)


def _given(
    lines: Sequence[Line], begun: np.ndarray, until: float, missed: np.ndarray | None
) -> dict[str, Regimen]:
    """Doses by drug of lines that begin on the days `begun`, each ending with the next's."""
    given: dict[str, Regimen] = {}
    for k, line in enumerate(lines):
        start, end = begun[k], min(begun[k + 1], until) if k + 1 < len(begun) else until
        if not np.isfinite(start):
            break
        stop = end - JUST_BEFORE if end < until else until
        for name, one in planned(line.schedules, until - start).items():
            here = one.shifted(start).until(stop)
            if missed is not None:
                here = _thinned(here, missed)
            given[name] = given.get(name, Regimen.none()) + here
    return {name: one for name, one in given.items() if len(one)}


def _thinned(doses: Regimen, missed: np.ndarray) -> Regimen:
    kept = ~np.resize(missed, len(doses))
    kept[:1] = True
    return Regimen(doses.start[kept], doses.amount[kept], doses.duration[kept])


def _seen(
    model: Model, key: jax.Array, people: People, course: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes in mm as measured and as they are, each (patients, visits)."""
    ok = np.isfinite(course)
    known, day = jnp.asarray(np.where(ok, course, 0.0)), jnp.asarray(people.chance.day)
    drawn = _drawn(model, key, jnp.asarray(people.number), known, day, dict(people.values))
    measured = np.maximum(np.asarray(drawn.measured), SMALLEST_MM)
    latent = np.exp(np.asarray(drawn.latent)[:, 1:])
    return np.where(ok, measured, np.nan), np.where(ok, latent, np.nan)


@partial(jax.jit, static_argnums=0)
def _drawn(
    model: Model, key: jax.Array, index: jax.Array, log_size: jax.Array, day: jax.Array,
    values: dict[str, jax.Array],
) -> Drawn:  # fmt: skip
    constants = {k: jnp.asarray(v) for k, v in model.constants.items()}
    unseen = jnp.zeros(1, bool)

    def one(key: jax.Array, expected: jax.Array, day: jax.Array, p: dict[str, jax.Array]) -> Drawn:
        start = Scans(day[:1], expected[:1], unseen)
        whole = jnp.concatenate([expected[:1], expected])
        return model.residual.draw(key, whole, start, unseen, day, constants | p)

    return jax.vmap(one)(keys_of(key, index), log_size, day, values)
