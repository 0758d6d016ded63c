"""Simulated trials: the same virtual patients in every arm, so that arms differ by treatment only.

Without more being said, what is simulated is the natural history of the target lesions under
treatment: there is no drop-out, no death and no new lesion, doses are given as planned whatever
happens, and everybody is scanned to the end. The words of an arm make treatment follow what scans
show (`pdmodel.simulate.arms`); a conduct says which scans are made (`pdmodel.simulate.conduct`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from pdmodel.data.cohort import SIZE_KINDS
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.model import Model
from pdmodel.simulate.arms import Arm, common_model, read_arms, visit_days
from pdmodel.simulate.conduct import CONDUCTS, Conduct, chances, conduct_named
from pdmodel.simulate.plan import Plan, block, block_size
from pdmodel.simulate.trial import About, Trial, assembled, write
from pdmodel.simulate.virtual import Population, population

__all__ = ["Conduct", "Trial", "simulate", "write"]

DRAWS = 50
"""Draws of the population: enough of them for its spread, with 20 patients of each in 1000."""

type PatientsKinetics = Literal["drawn", "typical"]

NATURAL = (
    "Natural history of target lesions ({what}): no drop-out, no new lesions, no deaths. "
    "Progression is that of the size alone, so these are no trial's PFS or response rates."
)
CONDUCTED = "As a trial would see target lesions ({what}): {how}. These numbers are assumptions."
DOSED = (
    "Every dose is given as planned to the last visit, progression or not; concentrations are "
    "{whose}."
)
CAVEATS = (
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
    conduct: str | Conduct = "natural",
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
        What is given, in words (`pdmodel.simulate.arms.read_arms`; a drug's name alone is its
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
    conduct : str or Conduct
        How the trial is conducted: "natural" (everybody is scanned to the end), "observed",
        "trial", or one of them with changes ("trial, missed_scan=0.1"); see
        `pdmodel.simulate.conduct.CONDUCTS` for the numbers and where they are from.

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
    plan = planned_trial(
        source, arms, n=n, seed=seed, until=until, visits=visits, draws=draws,
        pharmacokinetics=pharmacokinetics, conduct=conduct,
    )  # fmt: skip
    parts = [block(plan, k) for k in range(plan.blocks)]
    return assembled(
        about_of(source, plan), lambda name: np.concatenate([part[name] for part in parts])
    )


def planned_trial(
    source: Fit | Model,
    arms: Mapping[str, str] | Sequence[str],
    *,
    n: int,
    seed: int,
    until: float = 730.0,
    visits: ArrayLike | None = None,
    draws: int | None = None,
    pharmacokinetics: PatientsKinetics = "drawn",
    conduct: str | Conduct = "natural",
) -> Plan:
    """Lay down what `simulate` is to do, with its arguments, checked."""
    if n < 1:
        raise OptionError(f"n is {n}; it must be >= 1.")
    if pharmacokinetics not in ("drawn", "typical"):
        raise OptionError(f"pharmacokinetics is {pharmacokinetics!r}; choose 'drawn' or 'typical'.")
    base = source.model if isinstance(source, Fit) else source
    known, day = read_arms(arms, base.drugs), visit_days(visits, until)
    how = conduct_named(conduct)
    chances(how, day, np.arange(1), seed)
    model = common_model(base, known)
    return Plan(
        model=model,
        drawn=population(source, model, DRAWS if draws is None else draws, seed),
        arms=known,
        day=day,
        conduct=how,
        n=n,
        seed=seed,
        accuracy=source.manifest["options"]["accuracy"] if isinstance(source, Fit) else "draft",
        own_kinetics=pharmacokinetics == "drawn",
        float64=jnp.zeros(0).dtype == jnp.float64,
        size=block_size(n),
    )


def about_of(source: Fit | Model, plan: Plan) -> About:
    """Say what is known of a trial before it is simulated."""
    base = source.model if isinstance(source, Fit) else source
    basis = {arm.name: _basis(plan.model, arm, plan.drawn) for arm in plan.arms}
    told = {
        "source": {
            "kind": "fit" if isinstance(source, Fit) else "model",
            "mechanism": base.mechanism.name,
            "residual": base.residual.name,
        },
        "n": plan.n, "seed": plan.seed, "draws": plan.drawn.draws,
        "visit_days": plan.day.tolist(),
        "pharmacokinetics": "drawn" if plan.own_kinetics else "typical",
        "conduct": asdict(plan.conduct), "basis": basis,
    }  # fmt: skip
    return About(
        arms={arm.name: arm.text for arm in plan.arms},
        parameters=tuple(q.name for q in plan.model.free),
        lines=max(len(arm.lines) for arm in plan.arms),
        day=plan.day,
        basis=basis,
        prior_driven=plan.drawn.unlearnt,
        assumptions=assumptions(source, plan),
        manifest=told,
    )


def _basis(model: Model, arm: Arm, drawn: Population) -> str:
    """Say whether what an arm comes to depends on a parameter that no data have informed."""
    exerted = {action for name in arm.drugs for action in model.drug(name).actions}
    needs = {q.name: q.needs for q in model.free}
    felt = [name for name in drawn.unlearnt if needs[name] is None or needs[name] in exerted]
    return "prior-driven" if felt else "posterior"


def assumptions(source: Fit | Model, plan: Plan) -> tuple[str, ...]:
    """Say what a reader must know before believing a number."""
    cohort = source.cohort if isinstance(source, Fit) else None
    what = "sizes are those of the target lesions"
    if cohort is not None:
        what = f"a size is the {SIZE_KINDS[cohort.size_kind]}"
    whose = "each virtual patient's own" if plan.own_kinetics else "the typical patient's"
    natural = plan.conduct == CONDUCTS["natural"]
    told = [(NATURAL if natural else CONDUCTED).format(what=what, how=plan.conduct.told)]
    told.append(_dosing(plan).format(whose=whose))
    told += CAVEATS
    if plan.drawn.unlearnt:
        told.append(f"Drawn from the prior, not learnt: {', '.join(plan.drawn.unlearnt)}.")
    if plan.drawn.traits and cohort is not None:
        told.append(
            f"Covariates ({', '.join(plan.drawn.traits)}) of a virtual patient are those of one of "
            f"the {len(cohort)} fitted patients, drawn at random; where one is missing it is a "
            "standard normal, as in the fit."
        )
    given = sorted({name for arm in plan.arms for name in arm.drugs})
    if cohort is not None and (new := [name for name in given if name not in cohort.drugs]):
        told.append(f"Nobody in the fitted cohort was given {', '.join(new)}.")
    if plan.n < 2 * plan.drawn.draws:
        told.append(
            f"{plan.n} virtual patients of {plan.drawn.draws} draws are too few to show what is "
            "uncertain about the population; intervals tell of the number of patients alone."
        )
    return tuple(told)


def _dosing(plan: Plan) -> str:
    """Say what decides of doses."""
    if reacting := [arm.name for arm in plan.arms if arm.reacts]:
        return (
            f"In {' and '.join(map(repr, reacting))} treatment changes with progression as scans "
            "show it; else doses are given as planned to the last visit; concentrations are "
            "{whose}."
        )
    return DOSED
