"""Courses of a fit's patients with all that lies between them and the mechanism's, and scans.

Where the residual carries deviations from scan to scan (`Residual.carried`), a patient's latent
size at its scans is what the scans say, and goes on from there; else it is the mechanism's course.
Steps are taken between visits: the scans, and of the days to come those that are four weeks or
more apart (and none further than nine weeks). On other days the deviation is interpolated.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdmodel.data import Patient
from pdmodel.dosing import Regimen
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.keys import key_of
from pdmodel.likelihood import kinetics_of
from pdmodel.model import Model
from pdmodel.residual import Drawn, Scans
from pdmodel.trajectory import Trajectories, trajectories

NEAREST_DAYS, FURTHEST_DAYS = 28.0, 63.0
"""Between visits that are still to come."""
SAME_DAY = 1e-9


class Latent(NamedTuple):
    """Courses, and measurements of them.

    Attributes
    ----------
    log_size : ndarray, shape (draws, patients, days)
        Log of the size in mm without errors of reading; nan where a course could not be solved,
        or before it begins.
    measured : ndarray, shape (draws, patients, days)
        Sizes in mm as they would be measured, before rounding and censoring.
    state : dict of str to ndarray, each of shape (draws, patients, days)
        Of the mechanism.
    ok : ndarray of bool, shape (draws, patients)
    """

    log_size: np.ndarray
    measured: np.ndarray
    state: dict[str, np.ndarray]
    ok: np.ndarray


def padded(days: Sequence[np.ndarray]) -> np.ndarray:
    """Bring the days of several patients to one length, repeating each one's last."""
    longest = max(len(day) for day in days)
    return np.stack([np.pad(day, (0, longest - len(day)), mode="edge") for day in days])


def latent(
    fit: Fit,
    patients: Sequence[Patient],
    days: np.ndarray,
    regimens: Sequence[Mapping[str, Regimen]],
    draws: int,
    seed: int,
    purpose: str,
    *,
    anew: bool = False,
) -> Latent:
    """Draw courses of posterior draws of some patients, and measurements of them.

    Parameters
    ----------
    fit : Fit
    patients : sequence of Patient
        Of the fit's cohort.
    days : ndarray, shape (days,) or (patients, days)
        Rising.
    regimens : sequence of mapping of str to Regimen
        What each patient is given.
    draws : int
        Draws of the posterior, evenly spaced; at most as many as there are.
    seed, purpose : int, str
        A patient's draws depend on these and its key alone.
    anew : bool
        As if no scan had been made, from the day of the first.

    Returns
    -------
    Latent

    Raises
    ------
    OptionError
        If `draws` is below 1.
    """
    values = _values(fit, patients, draws)
    own = np.broadcast_to(np.asarray(days, float), (len(patients), np.shape(days)[-1]))
    carried = fit.model.residual.carried
    scans = [_scans(p, anew=anew or not carried) for p in patients]
    visits = padded([_visits(day, s.day[-1]) for day, s in zip(own, scans, strict=True)])
    visits = visits if carried else own
    blocks = [padded([s.day for s in scans]), visits, *([own] if carried else [])]
    every = np.concatenate(blocks, axis=1)
    begun = np.array([patient.start_day for patient in patients])
    every = np.maximum(every, begun[:, None])
    order = np.argsort(every, axis=1, kind="stable")
    courses = _solved(fit, patients, np.take_along_axis(every, order, 1), regimens, values)
    back = np.argsort(order, axis=1, kind="stable")[None]
    courses = Trajectories(
        np.take_along_axis(courses.log_size, back, 2),
        {name: np.take_along_axis(s, back, 2) for name, s in courses.state.items()},
        courses.ok,
    )
    pieces = [
        _of_one(fit.model, key_of(seed, purpose, p.key), k, s, visits[k], own[k], courses, values)
        for k, (p, s) in enumerate(zip(patients, scans, strict=True))
    ]
    early = own < begun[:, None] - SAME_DAY
    log_size, measured = (np.stack(part, axis=1) for part in zip(*pieces, strict=True))
    hidden = early[None] | ~courses.ok[:, :, None]
    count = own.shape[1]
    state = {n: np.where(hidden, np.nan, s[:, :, -count:]) for n, s in courses.state.items()}
    log_size, measured = (np.where(hidden, np.nan, x) for x in (log_size, measured))
    return Latent(log_size, measured, state, courses.ok)


class _Seen(NamedTuple):
    """Scans of a patient; all invisible where they do not count."""

    day: np.ndarray
    size_mm: np.ndarray
    censored: np.ndarray
    visible: np.ndarray

    def padded(self, count: int) -> "_Seen":
        more = (0, count - len(self.day))
        return _Seen(
            np.pad(self.day, more, mode="edge"),
            np.pad(self.size_mm, more, mode="edge"),
            np.pad(self.censored, more, mode="edge"),
            np.pad(self.visible, more),
        )


def _scans(patient: Patient, *, anew: bool) -> _Seen:
    if anew:
        first = (patient.day[:1], patient.size_mm[:1], patient.censored[:1])
        return _Seen(*first, np.zeros(1, bool))
    seen = (patient.day, patient.size_mm, patient.censored)
    return _Seen(*seen, np.ones(len(patient.day), bool))


def _visits(days: np.ndarray, last: float) -> np.ndarray:
    """Days after the last scan between which steps are taken; at least one, perhaps the last."""
    chosen, before = [], last
    to_come = days[days > last + SAME_DAY]
    for k, day in enumerate(to_come):
        end = k == len(to_come) - 1
        if day - before < NEAREST_DAYS and not (end and not chosen):
            continue
        parts = int(np.ceil((day - before) / FURTHEST_DAYS - SAME_DAY))
        chosen += list(np.linspace(before, day, max(parts, 1) + 1)[1:])
        before = day
    return np.array(chosen or [last])


def _values(fit: Fit, patients: Sequence[Patient], draws: int) -> dict[str, np.ndarray]:
    if draws < 1:
        raise OptionError(f"draws is {draws}; it must be >= 1.")
    place = {key: k for k, key in enumerate(fit.cohort.keys)}
    mine = [place[patient.key] for patient in patients]
    return {name: value[:, mine] for name, value in fit.values(draws).items()}


def _solved(
    fit: Fit, patients: Sequence[Patient], days: np.ndarray,
    regimens: Sequence[Mapping[str, Regimen]], values: dict[str, np.ndarray],
) -> Trajectories:  # fmt: skip
    starts = [patient.start_day for patient in patients]
    accuracy = fit.manifest["options"]["accuracy"]
    own = kinetics_of(fit.model, patients, fit.kinetics_seed)
    return trajectories(fit.model, values, starts, days, regimens, accuracy, own)


def _of_one(
    model: Model, key: jax.Array, k: int, seen: _Seen, visits: np.ndarray, own: np.ndarray,
    courses: Trajectories, values: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Latent log sizes and measurements of one patient, each (draws, days)."""
    nodes = courses.log_size.shape[2] - len(own) * model.residual.carried
    seen = seen.padded(nodes - len(visits))
    expected = np.nan_to_num(courses.log_size[:, k])
    mine = {name: value[:, k] for name, value in values.items()}
    scans = Scans(jnp.asarray(seen.day), jnp.log(seen.size_mm), jnp.asarray(seen.censored))
    drawn = drawn_courses(
        model, key, expected[:, :nodes], scans, jnp.asarray(seen.visible), visits, mine
    )
    at_nodes, measured = np.asarray(drawn.latent), np.asarray(drawn.measured)
    if not model.residual.carried:
        return at_nodes[:, len(seen.day) :], measured
    day = np.concatenate([seen.day, visits])
    size = expected[:, nodes:] + _between(day, at_nodes - expected[:, :nodes], own)
    read = np.array(_read(model, jax.random.fold_in(key, 1), size, mine))
    place = np.searchsorted(visits, own - SAME_DAY)
    met = (own > seen.day[-1] + SAME_DAY) & (place < len(visits))
    met &= np.abs(visits[np.minimum(place, len(visits) - 1)] - own) < SAME_DAY
    read[:, met] = measured[:, place[met]]
    return size, read


def _between(day: np.ndarray, deviation: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Interpolate deviations (draws, nodes) of rising days; constant beyond both ends."""
    day, first = np.unique(day, return_index=True)
    deviation = deviation[:, first]
    if len(day) == 1:
        return np.repeat(deviation, len(own), axis=1)
    at = np.clip(np.searchsorted(day, own), 1, len(day) - 1)
    share = np.clip((own - day[at - 1]) / (day[at] - day[at - 1]), 0.0, 1.0)
    return (1.0 - share) * deviation[:, at - 1] + share * deviation[:, at]


@partial(jax.jit, static_argnums=0)
def _read(model: Model, key: jax.Array, size: jax.Array, values: dict) -> jax.Array:
    constants = {k: jnp.asarray(v) for k, v in model.constants.items()}

    def one(key: jax.Array, size: jax.Array, p: dict) -> jax.Array:
        return model.residual.read(key, size, constants | p)

    return jax.vmap(one)(jax.random.split(key, len(size)), size, values)


@partial(jax.jit, static_argnums=0)
def drawn_courses(
    model: Model, key: jax.Array, expected: jax.Array, scans: Scans, visible: jax.Array,
    day: jax.Array, values: dict[str, jax.Array],
) -> Drawn:  # fmt: skip
    """Draw latent courses and measurements of one patient, for every draw of its values.

    Parameters
    ----------
    model : Model
    key : Array
    expected : Array, shape (draws, visits + days)
    scans, visible, day
        As `Residual.draw` takes them.
    values : mapping of str to Array, each of shape (draws,)

    Returns
    -------
    Drawn
        Of shapes (draws, visits + days) and (draws, days).
    """
    constants = {k: jnp.asarray(v) for k, v in model.constants.items()}

    def one(key: jax.Array, expected: jax.Array, p: dict) -> Drawn:
        return model.residual.draw(key, expected, scans, visible, day, constants | p)

    return jax.vmap(one)(jax.random.split(key, len(expected)), expected, values)
