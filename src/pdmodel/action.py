"""The small vocabulary in which drugs speak to mechanisms, so that neither must know the other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jax import Array

type Actions = Mapping[str, Array]
"""Strength of each action at one time; every name of a mechanism's `answers_to` is there."""


@dataclass(frozen=True)
class Action:
    """One way of acting on the tumor or on the immune system, from 0 (none) to 1 (complete)."""

    name: str
    about: str


VOCABULARY = {
    action.name: action
    for action in (
        Action("pd1_block", "fraction of PD-1 signalling that is blocked"),
        Action("ctla4_block", "fraction of CTLA-4 signalling that is blocked"),
        Action("lag3_block", "fraction of LAG-3 signalling that is blocked"),
        Action("fixation_block", "fraction of the fixation of exhaustion that is undone"),
        Action("suppression_block", "fraction of the tumor's suppression that is blocked"),
        Action("t_cell_supply", "supply of T cells from outside, relative to the largest"),
        Action("tumor_kill", "direct killing of tumor cells, relative to the largest"),
        Action("growth_block", "fraction of the signals for growth that is blocked"),
        Action("radiation", "killing by radiation, relative to the largest"),
    )
}


def combined[T: (Array, np.ndarray)](strengths: Iterable[T]) -> T:
    """Join the strengths of several drugs with one action, acting independently (Bliss).

    Returns
    -------
    array
        ``1 - prod(1 - strength)``, of the strengths' common shape.
    """
    return 1.0 - reduce(lambda left, right: left * right, (1.0 - one for one in strengths))
