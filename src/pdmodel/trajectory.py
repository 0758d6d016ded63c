"""Courses of many draws of many patients, on days of one's choice."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from beartype import beartype
from beartype.vale import IsInstance
from jaxtyping import Num, PyTree, jaxtyped

from pdmodel.batches import evenly_cut, in_batches
from pdmodel.course import Accuracy, lay_out
from pdmodel.dosing import Regimen
from pdmodel.model import Kinetics, Model
from pdmodel.solve import Blocks, Solution, blocked, solve

TOGETHER = 128
"""Patients solved at a time; with 400 draws on 60 days their states take about 100 MB."""
DRAWS = 64
"""Draws solved side by side, at most."""


OfDraws = PyTree[Num[np.ndarray, "draws {len(starts)}"]]
"""Values that are each of shape (draws, patients), checked where `trajectories` is called."""


class Trajectories(NamedTuple):
    """Latent courses, free of measurement error.

    Attributes
    ----------
    log_size : ndarray, shape (draws, patients, days)
        Log of the size in mm; NaN before a patient's course begins, and where it failed.
    state : dict of str to ndarray, each of shape (draws, patients, days)
    ok : ndarray of bool, shape (draws, patients)
    """

    log_size: np.ndarray
    state: dict[str, np.ndarray]
    ok: np.ndarray


@jaxtyped(typechecker=beartype)
def trajectories(
    model: Model,
    values: Annotated[Mapping[str, np.ndarray], IsInstance[OfDraws]],
    starts: Sequence[float | int],
    days: Num[np.ndarray, " days"] | Num[np.ndarray, "{len(starts)} days"],
    regimens: Sequence[Mapping[str, Regimen]],
    accuracy: Accuracy = "standard",
    kinetics: Sequence[Kinetics] | None = None,
) -> Trajectories:
    """Solve the courses of every draw of every patient.

    Parameters
    ----------
    model : Model
    values : mapping of str to ndarray, each of shape (draws, patients)
        The free parameters; constants are added.
    starts : sequence of float
        Day on which each patient's course begins.
    days : ndarray, shape (days,) or (patients, days)
        Days to look at, rising; common to all patients, or each patient's own.
    regimens : sequence of mapping of str to Regimen
        What each patient is given.
    accuracy : {"draft", "standard", "fine"}
        Of the solver, see `pdmodel.course.lay_out`.
    kinetics : sequence of mapping of str to TwoCompartment, optional
        Patients' own pharmacokinetics; without them, those of the typical patient.

    Returns
    -------
    Trajectories

    Raises
    ------
    jaxtyping.TypeCheckError
        If an array is of another shape.
    """
    count = len(starts)
    begun = np.asarray(starts, float)
    own = np.broadcast_to(np.asarray(days, float), (count, np.shape(days)[-1]))
    pieces = []
    for here in evenly_cut(count, TOGETHER):
        courses = lay_out(
            model, list(begun[here]), list(np.maximum(own[here], begun[here, None])),
            [regimens[k] for k in here], accuracy,
            None if kinetics is None else [kinetics[k] for k in here],
        )  # fmt: skip
        mine = {name: jnp.asarray(value[:, here]) for name, value in values.items()}
        solution = jax.tree.map(np.asarray, _solved(model, mine, blocked(courses)))
        early = own[here] < begun[here, None] - 1e-9
        hidden = early | ~solution.ok[:, :, None]
        pieces.append(
            Trajectories(
                np.where(hidden, np.nan, solution.log_size),
                {name: np.where(hidden, np.nan, s) for name, s in solution.state.items()},
                solution.ok,
            )
        )
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=1)[:, :count], *pieces)


@partial(jax.jit, static_argnums=0)
def _solved(model: Model, values: Mapping[str, jax.Array], blocks: Blocks) -> Solution:
    constants = {k: jnp.asarray(v) for k, v in model.constants.items()}
    return in_batches(
        lambda p: solve(model.mechanism, {**constants, **p}, blocks), dict(values), DRAWS
    )
