"""What a simulation is to do, and one block of its patients; blocks know nothing of each other.

A block is always of the same patients, solved side by side in the same way, so that a patient's
numbers are the same to the last bit in whatever order, and wherever, blocks are worked on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np

from pdmodel.course import Accuracy
from pdmodel.model import Kinetics, Model
from pdmodel.response import progression_day
from pdmodel.simulate.arms import Arm
from pdmodel.simulate.conduct import Conduct, FollowUp, chances, death_day, follow_up
from pdmodel.simulate.endpoints import RULE, outcomes
from pdmodel.simulate.treatment import ROWS, People, carried, treated
from pdmodel.simulate.virtual import Population, virtual_patients
from pdmodel.trajectory import TOGETHER

SHOWN = 200
"""Virtual patients whose single courses are kept."""
MOST = 1e30
"""Percent of change; what is beyond has no place in single precision."""
SEEN = ("measured", "latent")

type Block = Mapping[str, np.ndarray]
"""Columns of consecutive patients: ``value/NAME``, and ``ARM/SEEN/NAME`` by the arm's position."""


@dataclass(frozen=True, eq=False)
class Plan:
    """All that decides what a simulation gives.

    Attributes
    ----------
    model : Model
        With the drugs of all arms.
    drawn : Population
    arms : tuple of Arm
    day : ndarray, shape (visits,)
    conduct : Conduct
    n, seed : int
    accuracy : {"draft", "standard", "fine"}
    own_kinetics : bool
        Whether each patient draws its own pharmacokinetics.
    float64 : bool
        Precision.
    size : int
        Patients of a block; the same of all blocks, so that one shape is compiled.
    """

    model: Model
    drawn: Population
    arms: tuple[Arm, ...]
    day: np.ndarray
    conduct: Conduct
    n: int
    seed: int
    accuracy: Accuracy
    own_kinetics: bool
    float64: bool
    size: int

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.n // self.size)


def block_size(n: int) -> int:
    """Patients of a block for `n` in all."""
    width = min(TOGETHER, n)
    return width * min(ROWS, -(-n // width))


def block(plan: Plan, number: int) -> Block:
    """Work on block `number`, counted from 0."""
    with jax.enable_x64(plan.float64):
        return _block(plan, number)


def _block(plan: Plan, number: int) -> Block:
    first = number * plan.size
    index = np.arange(first, first + plan.size)
    people = People(
        index,
        virtual_patients(plan.model, plan.drawn, index, plan.seed),
        _kinetics(plan, first),
        chances(plan.conduct, plan.day, index, plan.seed),
    )
    kept, shown = min(plan.size, plan.n - first), max(min(SHOWN, plan.n) - first, 0)
    out = {f"value/{name}": x[:kept] for name, x in people.values.items()}
    for place, arm in enumerate(plan.arms):
        sizes = treated(plan.model, arm, people, plan.conduct, plan.seed, plan.accuracy)
        day, made = people.chance.day, ~people.chance.missed
        with np.errstate(invalid="ignore", divide="ignore"):  # lesions that are gone
            death = death_day(plan.conduct, people.chance, np.log(sizes.latent))
        progressed = progression_day(day, carried(sizes.measured, made), RULE)
        progressed = np.nan_to_num(progressed, nan=np.inf, posinf=np.inf)
        followed = follow_up(plan.conduct, people.chance, death, progressed)
        for seen in SEEN:
            size: np.ndarray = getattr(sizes, seen)
            out |= _judged(f"{place}/{seen}", day, size, followed, kept, shown)
        out[f"{place}/begun"] = sizes.begun[1:, :kept].T
    return out


def _judged(
    name: str, day: np.ndarray, size: np.ndarray, followed: FollowUp, kept: int, shown: int
) -> dict[str, np.ndarray]:
    """Columns of one arm seen in one way; the latent course is looked at whatever happens."""
    measured = name.endswith("measured")
    found = outcomes(day, size, followed if measured else None)._asdict()
    out = {f"{name}/{column}": x[:kept] for column, x in found.items()}
    looked = np.where(followed.seen, size, np.nan) if measured else size
    change = np.minimum(100 * (looked / size[:, :1] - 1), MOST)
    return out | {
        f"{name}/change": change[:kept].astype(np.float32),
        f"{name}/size": looked[: min(kept, shown)],
    }


def _kinetics(plan: Plan, first: int) -> list[Kinetics]:
    if not plan.own_kinetics:
        return [{}] * plan.size
    own = {
        drug.name: drug.population().draw(plan.size, plan.seed, first=first)
        for drug in plan.model.drugs
    }
    return [{name: each[i] for name, each in own.items()} for i in range(plan.size)]
