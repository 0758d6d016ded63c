"""Causes that are named for simulated patients, beside what would undo their true courses."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

import pdmodel as pdm
from pdmodel import attribution
from pdmodel.resistance import UNDECIDED
from pdmodel.response import rule_named


class Named(NamedTuple):
    """What `attribute` said of the truly resistant, and of others.

    Attributes
    ----------
    patients, resistant : int
    undone : dict of str to int
        Of the truly resistant, how many each change undoes; ``no single cause`` for none.
    right, wrong, undecided, inseparable, missed : int
        Of the truly resistant: named and right, named and wrong, left open in two ways, taken for
        not resistant.
    usual : float
        How often a name would be right that is always the change which undoes most.
    others : int
        Of those who do not resist, in how many a cause is named.
    """

    patients: int
    resistant: int
    undone: dict[str, int]
    right: int
    wrong: int
    undecided: int
    inseparable: int
    missed: int
    usual: float
    others: int


def named(
    fit: pdm.Fit, true: Mapping[str, np.ndarray], rule: str, horizon: float, draws: int = 200
) -> Named:
    """Attribute, and compare; `true` are the free parameters of the patients, each (patients,)."""
    table = attribution.attribute(fit, rule=rule, horizon=horizon, draws=draws)
    judged_by, everybody = rule_named(rule), range(len(fit.cohort))
    values = fit.values(draws)

    def judged(known: Mapping[str, np.ndarray], change: attribution.Change) -> np.ndarray:
        return attribution._judged(fit, everybody, known, change, judged_by, horizon)

    changes = attribution._changes(fit, values, judged(values, attribution.Change("")))
    once = {name: true[name][None] for name in values}
    resists = np.isin(judged(once, attribution.Change(""))[:, 0], attribution.RESISTANT)
    undone = {
        one.cause: resists & ~np.isin(judged(once, one)[:, 0], attribution.RESISTANT)
        for one in changes
    }
    undone[attribution.NONE] = resists & ~np.any(list(undone.values()), axis=0)
    said = table["attribution"].to_numpy()
    mine = np.array([undone[word][k] if word in undone else False for k, word in enumerate(said)])
    has = np.isin(said, list(undone))
    return Named(
        patients=len(said),
        resistant=int(resists.sum()),
        undone={name: int(mask.sum()) for name, mask in undone.items()},
        right=int(np.sum(resists & has & mine)),
        wrong=int(np.sum(resists & has & ~mine)),
        undecided=int(np.sum(resists & (said == UNDECIDED))),
        inseparable=int(np.sum(resists & (said == attribution.INSEPARABLE))),
        missed=int(np.sum(resists & (said == ""))),
        usual=max(mask.sum() for mask in undone.values()) / max(resists.sum(), 1),
        others=int(np.sum(~resists & has)),
    )
