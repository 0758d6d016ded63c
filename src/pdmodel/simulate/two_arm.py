"""Two arms against each other as a trial would see them: hazard ratio, probability of success.

Each draw of the population makes one trial: half of its virtual patients are in one arm, the other
half in the other. How the trials differ has two parts: what is uncertain of the population, and
the chance of who is in a trial. A success is a trial with a one-sided p value below a limit; their
share is the probability of success (assurance, doi:10.1002/pst.175).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from pdmodel.errors import OptionError
from pdmodel.simulate.means import LEVEL, Z
from pdmodel.simulate.survival import hazard_ratio
from pdmodel.simulate.trial import Trial

FEWEST = 10
"""Patients in an arm of the smallest trial."""


class TwoArms(NamedTuple):
    """What trials of two arms would show of progression-free survival.

    Attributes
    ----------
    control, treatment : str
    per_arm : int
        Patients in each arm of each trial.
    trials : DataFrame
        ``population_draw, log_hazard_ratio, error, p`` (one-sided), a row for each trial.
    hazard_ratio, low, high : float
        Of the treatment over the control: geometric mean over the trials, and the 90 % interval of
        the ratio in a population of unlimited size.
    from_parameters, from_sampling : float
        Standard deviations of its log: between the populations that are possible, and between
        trials of this size in one population.
    success, success_low, success_high : float
        Share of trials that succeed, and its 90 % interval for the number of trials (Jeffreys).
    """

    control: str
    treatment: str
    per_arm: int
    trials: pd.DataFrame
    hazard_ratio: float
    low: float
    high: float
    from_parameters: float
    from_sampling: float
    success: float
    success_low: float
    success_high: float

    def lines(self) -> list[str]:
        """Say it in words."""
        ratio = f"hazard ratio {self.hazard_ratio:.2f} (90 % {self.low:.2f} to {self.high:.2f})"
        parts = f"{self.from_parameters:.2f}, from sampling {self.from_sampling:.2f}"
        share, low, high = (
            f"{100 * x:.0f}" for x in (self.success, self.success_low, self.success_high)
        )
        who = f"{self.treatment!r} over {self.control!r}"
        size = f"{len(self.trials)} trials of {self.per_arm} patients in each arm"
        return [
            f"{who}: {ratio}; sd of its log from parameters {parts}.",
            f"{size}: {share} % succeed (90 % {low} to {high} %).",
        ]


def two_arms(
    trial: Trial, control: str | None = None, treatment: str | None = None, *, limit: float = 0.025
) -> TwoArms:
    """Compare two arms of a simulated trial, as many trials as there are draws of the population.

    For trials of m patients in each arm, simulate ``n = 2 * m * draws`` patients.

    Parameters
    ----------
    trial : Trial
    control, treatment : str, optional
        Names of arms; by default the first and the second.
    limit : float
        One-sided p value below which a trial succeeds.

    Returns
    -------
    TwoArms

    Raises
    ------
    OptionError
        If an arm is unknown, or too few patients are in a draw.
    """
    names = list(trial.arms)
    chosen = [control or names[0], treatment or (names[1] if len(names) > 1 else "")]
    for name in chosen:
        if name not in trial.arms:
            raise OptionError(f"There is no arm {name!r} to compare; the trial has {names}.")
    draws = trial.manifest["draws"]
    per_arm = trial.manifest["n"] // draws // 2
    if per_arm < FEWEST:
        raise OptionError(
            f"{trial.manifest['n']} patients of {draws} draws make trials of {per_arm} patients in "
            f"each arm; simulate {2 * FEWEST * draws} or more, or fewer draws."
        )
    rank = trial.patients["virtual_patient"] // draws
    arm = trial.patients["arm"]
    old = (arm == chosen[0]) & (rank < per_arm)
    new = (arm == chosen[1]) & (rank >= per_arm) & (rank < 2 * per_arm)
    table = trial.patients[old | new].assign(treated=new)
    rows = [_one(int(str(draw)), part) for draw, part in table.groupby("population_draw")]
    found = pd.DataFrame(rows, columns=["population_draw", "log_hazard_ratio", "error", "p"])
    return TwoArms(chosen[0], chosen[1], per_arm, found, *_together(found, limit))


def _one(draw: int, part: pd.DataFrame) -> tuple:
    known = part.dropna(subset=["event_day"])
    columns = ("event_day", "event", "treated")
    return draw, *hazard_ratio(*(known[name].to_numpy() for name in columns))


def _together(
    found: pd.DataFrame, limit: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """Ratio with its interval, both parts of its spread, share of successes with its interval."""
    logs, errors = (found[name].dropna().to_numpy() for name in ("log_hazard_ratio", "error"))
    middle, noise = np.mean(logs), np.mean(errors**2)
    between = max(np.var(logs, ddof=1) - noise, 0.0) if len(logs) > 1 else np.nan
    spread = np.sqrt(between + np.var(logs, ddof=1) / len(logs)) if len(logs) > 1 else np.nan
    won, count = int((found["p"] < limit).sum()), len(found)
    tail = 0.5 - LEVEL / 2
    ends = stats.beta.ppf([tail, 1 - tail], won + 0.5, count - won + 0.5)
    far = np.exp(Z * spread)
    return (
        float(np.exp(middle)), float(np.exp(middle) / far), float(np.exp(middle) * far),
        float(np.sqrt(between)), float(np.sqrt(noise)),
        won / count, float(ends[0]), float(ends[1]),
    )  # fmt: skip
