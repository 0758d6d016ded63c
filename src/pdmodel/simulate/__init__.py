"""Simulated trials: the same virtual patients in every arm, so that arms differ by treatment only.

What is simulated is the natural history of the target lesions under treatment. There is no
drop-out, no death and no new lesion, doses are given as planned whatever happens, and everybody is
scanned to the end.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from pdmodel.course import Accuracy
from pdmodel.data.cohort import SIZE_KINDS
from pdmodel.dosing import planned
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.keys import key_of
from pdmodel.model import Kinetics, Model
from pdmodel.pharmacokinetics import TwoCompartment
from pdmodel.residual import SMALLEST_MM, Drawn, Scans
from pdmodel.simulate.arms import Arm, common_model, read_arms, visit_days
from pdmodel.simulate.trial import SEEN, Trial, tables, write
from pdmodel.simulate.virtual import Population, keys_of, population, virtual_patients
from pdmodel.trajectory import TOGETHER, trajectories

__all__ = ["Trial", "simulate", "write"]

DRAWS = 50
"""Draws of the population: enough of them for its spread, with 20 patients of each in 1000."""
ROWS = 32
"""Rows of `TOGETHER` virtual patients that are solved at a time: 4096 patients."""

type PatientsKinetics = Literal["drawn", "typical"]

CAVEATS = (
    (
        "Natural history of target lesions ({what}): no drop-out, no new lesions, no deaths. "
        "Progression is that of the size alone, so these are no trial's PFS or response rates."
    ),
    (
        "Every dose is given as planned to the last visit, progression or not; concentrations are "
        "{whose}."
    ),
    "Drugs act independently; no synergy is assumed beyond the mechanism's own.",
    "Responses are unconfirmed, classes by the rule sitc2020, both as read at the visits.",
)


def simulate(
    source: Fit | Model,
    arms: Mapping[str, str] | Sequence[str],
    *,
    n: int = 1000,
    seed: int,
    until: float = 730.0,
    visits: ArrayLike | None = None,
    draws: int | None = None,
    pharmacokinetics: PatientsKinetics = "drawn",
) -> Trial:
    """Simulate a trial of virtual patients, each of whom goes through every arm.

    A virtual patient takes one draw of the population (typical values, spreads, and what all
    patients share) and draws its own effects from it. The population comes from the posterior of
    a hierarchical fit; from the prior for a fit without pooling, for a model, and for parameters
    that the fit lacks because no drug of its cohort called for them. Effects and the noise of
    measurement are the same in every arm.

    Parameters
    ----------
    source : Fit or Model
        Gives mechanism and residual; the drugs are those that the arms need.
    arms : mapping of str to str, or sequence of str
        What is given, in words (`pdmodel.dosing.parse_schedules`; a drug's name alone is its
        usual regimen, "none" is no drug), by name of the arm or named by the words.
    n : int
        Virtual patients. Who they are does not depend on how many.
    seed : int
        The same seed gives the same trial.
    until : float
        Day up to which visits go on: at day 0, every 42 days to day 252, then every 63 days, as
        in OAK (doi:10.1016/S0140-6736(16)32517-X). Not used with `visits`.
    visits : array_like, shape (visits,), optional
        Days of visits in their place; day 0 is added if none is on or before it.
    draws : int, optional
        Draws of the population, 50 by default, evenly spaced through a posterior; patient i takes
        draw ``i mod draws``. With fewer than two patients a draw, the intervals of the summary
        leave out what is uncertain about the population.
    pharmacokinetics : {"drawn", "typical"}
        Whether each virtual patient draws its own from the published population of each drug, at
        the covariates of its reference patient, or all have those of the typical patient, which
        is faster. A patient's are the same in every arm.

    Returns
    -------
    Trial
        Measured sizes below 5 mm count as 5 mm, as in a table of scans.

    Raises
    ------
    OptionError
        If an arm is given twice, or a number cannot be used.
    ModelError
        If a drug is unknown, or the mechanism ignores it.
    DoseError
        If what is given cannot be understood.
    """
    if n < 1:
        raise OptionError(f"n is {n}; it must be >= 1.")
    base = source.model if isinstance(source, Fit) else source
    known, day = read_arms(arms, base.drugs), visit_days(visits, until)
    model = common_model(base, known)
    drawn = population(source, model, DRAWS if draws is None else draws, seed)
    accuracy = source.manifest["options"]["accuracy"] if isinstance(source, Fit) else "draft"
    own = {}
    if pharmacokinetics == "drawn":
        own = {drug.name: drug.population().draw(n, seed) for drug in model.drugs}
    elif pharmacokinetics != "typical":
        raise OptionError(f"pharmacokinetics is {pharmacokinetics!r}; choose 'drawn' or 'typical'.")
    values, sizes = _followed(model, known, drawn, day, n, seed, accuracy, own)
    group = np.arange(n) % drawn.draws
    basis = {arm.name: _basis(model, arm, drawn) for arm in known}
    patients, summary, courses = tables(day, sizes, values, group, basis)
    failed = {name: int(np.isnan(both).any(axis=(0, 2)).sum()) for name, both in sizes.items()}
    manifest = {
        "source": {
            "kind": "fit" if isinstance(source, Fit) else "model",
            "mechanism": base.mechanism.name,
            "residual": base.residual.name,
        },
        "n": n, "seed": seed, "draws": drawn.draws, "visit_days": day.tolist(),
        "pharmacokinetics": pharmacokinetics,
        "failed_solves": failed, "basis": basis,
    }  # fmt: skip
    told = _assumptions(source, known, drawn, n, pharmacokinetics)
    return Trial(
        {arm.name: arm.text for arm in known},
        patients, summary, courses, drawn.unlearnt, told, manifest,
    )  # fmt: skip


def _followed(
    model: Model, arms: Sequence[Arm], drawn: Population, day: np.ndarray, n: int, seed: int,
    accuracy: Accuracy, own: Mapping[str, Sequence[TwoCompartment]],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:  # fmt: skip
    """Take all patients through all arms, some thousand at a time.

    Parameters
    ----------
    own : mapping of str to sequence of TwoCompartment, length n
        Pharmacokinetics of the patients, by drug; typical ones where a drug is not there.

    Returns
    -------
    values, sizes
        Parameters, each of shape (patients,); by arm, sizes in mm (ways of seeing, patients,
        visits).
    """
    width = min(TOGETHER, n)
    size = width * min(ROWS, -(-n // width))  # of every chunk, so that one shape is compiled
    values, sizes = [], []
    for first in range(0, n, size):
        index = np.arange(first, first + size)
        here = virtual_patients(model, drawn, index, seed)
        mine = [{drug: each[min(i, n - 1)] for drug, each in own.items()} for i in index.tolist()]
        courses = [_course(model, arm, here, day, width, accuracy, mine) for arm in arms]
        noise = key_of(seed, "noise")
        both = [_seen(model, noise, index, course, day, here) for course in courses]
        kept = min(size, n - first)
        values.append({name: x[:kept] for name, x in here.items()})
        sizes.append([x[:, :kept] for x in both])
    joined = {name: np.concatenate([part[name] for part in values]) for name in values[0]}
    by_arm = (np.concatenate(parts, axis=1) for parts in zip(*sizes, strict=True))
    return joined, {arm.name: x for arm, x in zip(arms, by_arm, strict=True)}


def _course(
    model: Model, arm: Arm, values: Mapping[str, np.ndarray], day: np.ndarray, width: int,
    accuracy: Accuracy, own: Sequence[Kinetics],
) -> np.ndarray:  # fmt: skip
    """Log sizes (patients, visits) free of noise; nan where a course could not be solved."""
    given = planned(arm.schedules, float(day[-1]))
    mine = [{drug: each[drug] for drug in given if drug in each} for each in own]
    if any(mine):  # else patients share their time axis, `width` of them in a row
        width = len(mine)
    rows = {name: x.reshape(-1, width) for name, x in values.items()}
    starts = [min(float(day[0]), 0.0)] * width
    solved = trajectories(model, rows, starts, day, [given] * width, accuracy, mine[:width])
    return solved.log_size.reshape(-1, len(day))


def _seen(
    model: Model, key: jax.Array, index: np.ndarray, course: np.ndarray, day: np.ndarray,
    values: Mapping[str, np.ndarray],
) -> np.ndarray:  # fmt: skip
    """Sizes in mm as measured and as they are, in the order of `SEEN`; (2, patients, visits)."""
    ok = np.isfinite(course)
    known = jnp.asarray(np.where(ok, course, 0.0))
    drawn = _drawn(model, key, jnp.asarray(index), known, jnp.asarray(day), dict(values))
    measured = np.maximum(np.asarray(drawn.measured), SMALLEST_MM)
    by = {"measured": measured, "latent": np.exp(drawn.latent[:, 1:])}
    return np.stack([np.where(ok, by[way], np.nan) for way in SEEN])


@partial(jax.jit, static_argnums=0)
def _drawn(
    model: Model, key: jax.Array, index: jax.Array, log_size: jax.Array, day: jax.Array,
    values: dict[str, jax.Array],
) -> Drawn:  # fmt: skip
    constants = {k: jnp.asarray(v) for k, v in model.constants.items()}
    unseen = jnp.zeros(1, bool)

    def one(key: jax.Array, expected: jax.Array, p: dict[str, jax.Array]) -> Drawn:
        start = Scans(day[:1], expected[:1], unseen)
        whole = jnp.concatenate([expected[:1], expected])
        return model.residual.draw(key, whole, start, unseen, day, constants | p)

    return jax.vmap(one)(keys_of(key, index), log_size, values)


def _basis(model: Model, arm: Arm, drawn: Population) -> str:
    """Say whether what an arm comes to depends on a parameter that no data have informed."""
    exerted = {action for name in arm.drugs for action in model.drug(name).actions}
    needs = {q.name: q.needs for q in model.free}
    felt = [name for name in drawn.unlearnt if needs[name] is None or needs[name] in exerted]
    return "prior-driven" if felt else "posterior"


def _assumptions(
    source: Fit | Model, arms: Sequence[Arm], drawn: Population, n: int, pharmacokinetics: str
) -> tuple[str, ...]:
    cohort = source.cohort if isinstance(source, Fit) else None
    what = "sizes are those of the target lesions"
    if cohort is not None:
        what = f"a size is the {SIZE_KINDS[cohort.size_kind]}"
    whose = "each virtual patient's own" if pharmacokinetics == "drawn" else "the typical patient's"
    told = [one.format(what=what, whose=whose) for one in CAVEATS]
    if drawn.unlearnt:
        told.append(f"Drawn from the prior, not learnt: {', '.join(drawn.unlearnt)}.")
    given = sorted({name for arm in arms for name in arm.drugs})
    if cohort is not None and (new := [name for name in given if name not in cohort.drugs]):
        told.append(f"Nobody in the fitted cohort was given {', '.join(new)}.")
    if n < 2 * drawn.draws:
        told.append(
            f"{n} virtual patients of {drawn.draws} draws are too few to show what is uncertain "
            "about the population; intervals tell of the number of patients alone."
        )
    return tuple(told)
