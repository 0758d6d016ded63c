"""Which of several options is best, when what each would come to is uncertain.

The same draw of what is unknown stands behind every option, so that options are compared draw by
draw. The expected utility decides; regret is what the best option of each draw would have brought
beyond this one (its expectation for the best option is the expected value of perfect information).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.model import Model
from pdmodel.simulate import simulate
from pdmodel.simulate.means import LEVEL, mean

TIE = 1e-9
COLUMNS = (
    "schedule", "utility", "gain", "gain_low", "gain_high", "regret", "p_best", "mc_error", "basis",
)  # fmt: skip
"""Of a comparison of schedules."""


class Decision(NamedTuple):
    """What is known of each option, each of shape (options,).

    Attributes
    ----------
    utility, gain : ndarray
        Expected utility, and expected gain over the first option.
    gain_low, gain_high : ndarray
        Interval that holds 90 % of the draws of the gain.
    regret : ndarray
        Expected.
    p_best : ndarray
        Probability of being best; options that are equal share it.
    """

    utility: np.ndarray
    gain: np.ndarray
    gain_low: np.ndarray
    gain_high: np.ndarray
    regret: np.ndarray
    p_best: np.ndarray


def decide(utility: np.ndarray) -> Decision:
    """Compare options by utilities (draws, options), of which more is better; nan is left out.

    A draw in which an option is nan counts for none.
    """
    known = utility[np.isfinite(utility).all(axis=1)]
    if not len(known):
        return Decision(*np.full((6, utility.shape[1]), np.nan))
    gain = known - known[:, :1]
    most = known.max(axis=1, keepdims=True)
    best = known >= most - TIE
    low, high = np.quantile(gain, (0.5 - LEVEL / 2, 0.5 + LEVEL / 2), axis=0)
    return Decision(
        known.mean(0), gain.mean(0), low, high, (most - known).mean(0),
        (best / best.sum(axis=1, keepdims=True)).mean(0),
    )  # fmt: skip


def search(
    source: Fit | Model,
    schedules: Mapping[str, str] | Sequence[str],
    *,
    n: int = 1000,
    seed: int,
    draws: int = 50,
    cost: Mapping[str, float] | None = None,
    seen: str = "latent",
    **how: object,
) -> pd.DataFrame:
    """Compare schedules for a population by expected utility over draws of it.

    The utility of a draw is the mean of days without progression of its virtual patients up to the
    last visit, less the cost of the schedule in days.

    Parameters
    ----------
    source, schedules, n, seed, draws
        As for `pdmodel.simulate.simulate`; the first schedule is what the others are compared to.
    cost : mapping of str to float, optional
        Days of life without progression that a schedule is held to cost each patient (toxicity,
        visits), by its name; 0 for those that are not named.
    seen : {"latent", "measured"}
        By the course free of errors, or by what scans show.
    **how
        Further options of `pdmodel.simulate.simulate`.

    Returns
    -------
    DataFrame
        ``schedule, utility, gain, gain_low, gain_high, regret, p_best, mc_error, basis``, the best
        first. ``mc_error`` is the error of the gain for the finite number of virtual patients;
        differences within it are none.

    Raises
    ------
    OptionError
        If a cost is of no schedule.
    """
    trial = simulate(source, schedules, n=n, seed=seed, draws=draws, **how)  # type: ignore[arg-type]  # as told
    names, cost = list(trial.arms), dict(cost or {})
    if unknown := sorted(set(cost) - set(names)):
        raise OptionError(f"There is a cost of {unknown}; the schedules are {names}.")
    last = trial.manifest["visit_days"][-1]
    column = "latent_progression_day" if seen == "latent" else "progression_day"
    table = trial.patients.assign(days=trial.patients[column].clip(upper=last))
    days = table.pivot_table(
        index="virtual_patient", columns="arm", values="days", dropna=False, sort=False
    )
    days = days[names] - [cost.get(name, 0.0) for name in names]
    group = days.index.to_numpy() % trial.manifest["draws"]
    found = decide(days.groupby(group).mean().to_numpy())
    errors = [mean((days[name] - days[names[0]]).to_numpy(), group).from_sampling for name in names]
    return (
        pd.DataFrame({"schedule": names, **found._asdict(), "mc_error": errors})
        .assign(basis=[trial.manifest["basis"][name] for name in names])
        .sort_values("utility", ascending=False, ignore_index=True)
    )
