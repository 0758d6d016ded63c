"""How well scans ahead are forecast: log probability of each, median, and where it fell.

A scan is scored by the log of the probability of its bin of 1 mm, or of "at or below the limit"
as one bin, averaged over draws of the posterior; a draw whose course could not be solved gives it
no probability. Medians and coverage are of simulated readings.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from pdmodel.compare.designs import Held
from pdmodel.course import Accuracy
from pdmodel.keys import key_of
from pdmodel.likelihood import kinetics_of
from pdmodel.model import Model
from pdmodel.parallel import side_by_side
from pdmodel.residual import ROUNDED_MM, SMALLEST_MM, Scans
from pdmodel.trajectory import trajectories

LEAST_PROBABILITY = 1e-6
"""Below it, all forecasts of a scan are equally bad; how many are is counted."""
TOGETHER = 32
"""Patients scored at a time."""
PATHS = 4
"""Simulated for each draw of the posterior."""


class Room(NamedTuple):
    """Lengths to which scans are padded, so that one program serves several sets of patients."""

    visits: int
    ahead: int


class Scores(NamedTuple):
    """Scores of scans ahead, each of shape (scans,): patient after patient, days rising.

    Attributes
    ----------
    patient : ndarray of int
        Place of the patient among those that were given.
    ahead : ndarray of int
        1 for the next scan, 2 for the one after it, ...
    day, size_mm, censored : ndarray
        Of the scan.
    log_score : ndarray
        Log of its probability, nats; at least that of `LEAST_PROBABILITY`.
    floored : ndarray of bool
        Whether it was less.
    median_mm : ndarray
        Of simulated readings, at least 5 mm; nan where no course could be solved.
    error_mm, last_error_mm : ndarray
        Absolute error of the median, and of the last size that was seen; sizes at least 5 mm.
    pit : ndarray
        Share of simulated readings below the scan, ties broken at random: uniform from 0 to 1 if
        forecasts are calibrated (doi:10.1111/j.1541-0420.2009.01191.x).
    unsolved : ndarray
        Share of the draws whose course could not be solved.
    """

    patient: np.ndarray
    ahead: np.ndarray
    day: np.ndarray
    size_mm: np.ndarray
    censored: np.ndarray
    log_score: np.ndarray
    floored: np.ndarray
    median_mm: np.ndarray
    error_mm: np.ndarray
    last_error_mm: np.ndarray
    pit: np.ndarray
    unsolved: np.ndarray


def room_for(held: Sequence[Held]) -> Room:
    """Give lengths that hold all these patients, in steps of four so that programs are shared."""
    counts = np.array([[len(one.seen.day), len(one.day)] for one in held])
    visits, ahead = (4 * int(np.ceil(n / 4)) for n in counts.max(axis=0))
    return Room(visits, ahead)


def scored(
    model: Model,
    held: Sequence[Held],
    values: Mapping[str, np.ndarray],
    *,
    seed: int,
    accuracy: Accuracy = "draft",
    drawn: int | None = None,
    room: Room | None = None,
    paths: int = PATHS,
) -> Scores:
    """Score the scans ahead of some patients.

    Parameters
    ----------
    model : Model
    held : sequence of Held
    values : mapping of str to ndarray, each of shape (draws, patients)
        Draws of every free parameter given the scans that are seen, on the natural scale.
    seed : int
        A patient's draws depend on it, on its key, and on `room`.
    accuracy : {"draft", "standard", "fine"}
        Of the solver.
    drawn : int, optional
        Seed of patients' drawn pharmacokinetics, as `pdmodel.likelihood.kinetics_of` takes it.
    room : Room, optional
        What to pad to; by default what these patients need.
    paths : int
        Simulated for each draw, as scans after the next one are forecast over paths to them.

    Returns
    -------
    Scores
    """
    room = room or room_for(held)
    seen, ahead = padded_scans(held, room)
    solved = trajectories(
        model,
        values,
        [h.seen.start_day for h in held],
        np.concatenate([seen.day, ahead.day], axis=1),
        [h.given for h in held],
        accuracy,
        kinetics_of(model, [h.seen for h in held], drawn),
    )
    return scored_on(
        model, held, values, solved.log_size, solved.ok, seed=seed, room=room, paths=paths
    )


def scored_on(
    model: Model, held: Sequence[Held], values: Mapping[str, np.ndarray], log_size: np.ndarray,
    ok: np.ndarray, *, seed: int, room: Room, paths: int = PATHS,
) -> Scores:  # fmt: skip
    """Score scans ahead on courses that are solved.

    Parameters
    ----------
    model, held, values, seed, room, paths
        As for `scored`.
    log_size : ndarray, shape (draws, patients, visits + ahead)
        Log sizes at the scans that are seen and those ahead, each padded to the room.
    ok : ndarray of bool, shape (draws, patients)
        Whether the course was solved.

    Returns
    -------
    Scores
    """
    seen, ahead = padded_scans(held, room)
    visible = np.arange(room.visits) < np.array([len(h.seen.day) for h in held])[:, None]
    keys = jnp.stack([key_of(seed, "score", h.seen.key) for h in held])
    course = np.nan_to_num(log_size)

    def group(k: int) -> tuple[np.ndarray, ...]:
        rows = np.minimum(np.arange(k * TOGETHER, (k + 1) * TOGETHER), len(held) - 1)
        mine = {name: jnp.asarray(value[:, rows]) for name, value in values.items()}
        seen_, ahead_ = (jax.tree.map(lambda x: jnp.asarray(x[rows]), x) for x in (seen, ahead))
        found = _forecast(
            model, paths, keys[rows], jnp.asarray(course[:, rows]), jnp.asarray(ok[:, rows]),
            seen_, jnp.asarray(visible[rows]), ahead_, mine,
        )  # fmt: skip
        return tuple(np.asarray(x)[: len(held) - k * TOGETHER] for x in found)

    parts = side_by_side(group, -(-len(held) // TOGETHER))
    return _listed(held, *(np.concatenate(part) for part in zip(*parts, strict=True)))


def padded_scans(held: Sequence[Held], room: Room) -> tuple[Scans, Scans]:
    """Bring scans that are seen, and those ahead, to one length, (patients, scans) each."""
    seen = [_padded(h.seen.day, h.seen.size_mm, h.seen.censored, room.visits) for h in held]
    ahead = [_padded(h.day, h.size_mm, h.censored, room.ahead) for h in held]
    return tuple(jax.tree.map(lambda *x: np.stack(x), *every) for every in (seen, ahead))


def _padded(day: np.ndarray, size: np.ndarray, censored: np.ndarray, count: int) -> Scans:
    """Bring scans to one length, repeating the last."""
    more = (0, count - len(day))
    return Scans(
        *(np.pad(x, more, mode="edge") for x in (day, np.log(size), np.asarray(censored, bool)))  # type: ignore[arg-type]  # NumPy's
    )


@partial(jax.jit, static_argnums=(0, 1))
def _forecast(
    model: Model, paths: int, keys: jax.Array, log_size: jax.Array, ok: jax.Array, scans: Scans,
    visible: jax.Array, ahead: Scans, values: dict[str, jax.Array],
) -> tuple[jax.Array, ...]:  # fmt: skip
    """Log score, median, PIT and share of draws unsolved, each (patients, ahead)."""
    constants = {k: jnp.asarray(v) for k, v in model.constants.items()}

    def patient(
        key: jax.Array, expected: jax.Array, ok: jax.Array, scans: Scans, visible: jax.Array,
        ahead: Scans, p: dict,
    ) -> tuple[jax.Array, ...]:  # fmt: skip
        def one(key: jax.Array, expected: jax.Array, p: dict) -> tuple[jax.Array, jax.Array]:
            full = constants | p
            k1, k2 = jax.random.split(key)
            log_p = model.residual.predictive(k1, expected, scans, visible, ahead, full)
            drawn = model.residual.draw(k2, expected, scans, visible, ahead.day, full)
            return log_p, drawn.measured

        def path(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jax.vmap(one)(jax.random.split(key, len(expected)), expected, p)

        k1, k2 = jax.random.split(key)
        log_p, read = jax.lax.map(path, jax.random.split(k1, paths))
        solved = ok[None, :, None] & jnp.isfinite(read) & ~jnp.isnan(log_p)
        flat = (-1, read.shape[2])
        return _summed(k2, log_p.reshape(flat), read.reshape(flat), solved.reshape(flat), ahead)

    return jax.vmap(patient, (0, 1, 1, 0, 0, 0, 1))(
        keys, log_size, ok, scans, visible, ahead, values
    )


def _summed(
    key: jax.Array, log_p: jax.Array, read: jax.Array, solved: jax.Array, ahead: Scans
) -> tuple[jax.Array, ...]:
    """Sum up paths (paths, ahead) of one patient: log score, median, PIT, share unsolved."""
    log_score = logsumexp(jnp.where(solved, log_p, -jnp.inf), axis=0) - jnp.log(len(log_p))
    median = jnp.nanmedian(jnp.where(solved, read, jnp.nan), axis=0)
    chance = jax.random.uniform(key, ahead.day.shape, read.dtype)
    pit = jax.vmap(_placed, (0, 1, 1, 0, 0))(chance, read, solved, ahead.log_size, ahead.censored)
    return log_score, median, pit, jnp.mean(jnp.where(solved, 0.0, 1.0), axis=0)


def _placed(
    chance: jax.Array, read: jax.Array, solved: jax.Array, log_size: jax.Array, censored: jax.Array
) -> jax.Array:
    """Rank one scan among simulated readings (draws,), at random within its bin."""
    size = jnp.exp(log_size)
    low = jnp.where(censored, -jnp.inf, size - ROUNDED_MM)
    below = jnp.sum(solved & (read < low))
    same = jnp.sum(solved & (read >= low) & (read < size + ROUNDED_MM))
    return (below + chance * (same + 1)) / (jnp.sum(solved) + 1)


def _listed(
    held: Sequence[Held], log_score: np.ndarray, median: np.ndarray, pit: np.ndarray,
    unsolved: np.ndarray,
) -> Scores:  # fmt: skip
    """List what was found for the scans that there are."""
    counts = np.array([len(one.day) for one in held])
    there = np.arange(log_score.shape[1]) < counts[:, None]
    size = np.concatenate([one.size_mm for one in held])
    last = np.repeat([one.seen.size_mm[-1] for one in held], counts)
    middle = np.maximum(median[there], SMALLEST_MM)
    truth, least = np.maximum(size, SMALLEST_MM), np.log(LEAST_PROBABILITY)
    return Scores(
        patient=np.repeat(np.arange(len(held)), counts),
        ahead=np.concatenate([np.arange(n) + 1 for n in counts]),
        day=np.concatenate([one.day for one in held]),
        size_mm=size,
        censored=np.concatenate([one.censored for one in held]),
        log_score=np.maximum(log_score[there], least),
        floored=log_score[there] < least,
        median_mm=middle,
        error_mm=np.abs(middle - truth),
        last_error_mm=np.abs(np.maximum(last, SMALLEST_MM) - truth),
        pit=pit[there],
        unsolved=unsolved[there],
    )
