"""How a simulated trial is conducted: when scans are made, which are missed, and why they end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdmodel.errors import OptionError
from pdmodel.keys import key_of
from pdmodel.simulate.virtual import keys_of

SHARES = ("missed_scan", "missed_dose", "stop_after_progression", "stop_otherwise")


@dataclass(frozen=True)
class Conduct:
    """What lies between the natural history under treatment and the table of a trial.

    Attributes
    ----------
    jitter : float
        Scans after baseline are up to so many days early or late, all days equally likely.
    missed_scan, missed_dose : float
        Probability that a planned scan after baseline, or a dose after the first, is left out.
    stop_after_progression, stop_otherwise : float
        Probability that a scan is the last one: once progression has been seen, and before.
    other_progression : float
        Hazard per day of a progression that sizes do not show (new lesions); the next scan sees it.
    death : float
        Hazard of death per day at the size of baseline.
    death_power : float
        The hazard of death goes with this power of the size relative to baseline.
    """

    jitter: float = 0.0
    missed_scan: float = 0.0
    missed_dose: float = 0.0
    stop_after_progression: float = 0.0
    stop_otherwise: float = 0.0
    other_progression: float = 0.0
    death: float = 0.0
    death_power: float = 0.0

    def __post_init__(self) -> None:
        for name, x in asdict(self).items():
            most = 1.0 if name in SHARES else np.inf
            if not (np.isfinite(x) and 0 <= x <= most):
                limit = "from 0 to 1" if name in SHARES else "0 or more"
                raise OptionError(f"The conduct of a trial has {name} {x}; it must be {limit}.")

    @property
    def told(self) -> str:
        """Say what is not 0."""
        return ", ".join(f"{name} {x:g}" for name, x in asdict(self).items() if x) or "natural"


CONDUCTS: Mapping[str, Conduct] = {
    # Everybody is scanned on the day, to the end, whatever happens.
    "natural": Conduct(),
    # Probability that a scan is the last, after progression and before: series of single lesions of
    # doi:10.1371/journal.pcbi.1009822 (own analysis). What ends there is not told apart.
    "observed": Conduct(stop_after_progression=0.38, stop_otherwise=0.13),
    # Windows of a week and 5 % of visits left out: assumptions. Death: 12-month survival of 0.547
    # under atezolizumab in OAK (doi:10.1038/s41591-018-0134-3); that it goes with size: assumption.
    "trial": Conduct(
        jitter=7.0, missed_scan=0.05, missed_dose=0.05, stop_after_progression=0.38,
        stop_otherwise=0.01, death=0.0016, death_power=0.5,
    ),
}  # fmt: skip


def conduct_named(said: str | Conduct) -> Conduct:
    """Find a conduct by name, with changes: "trial, missed_scan=0.1".

    Raises
    ------
    OptionError
        If there is no such name or entry; it lists those that there are.
    """
    if isinstance(said, Conduct):
        return said
    parts = [part.strip() for part in said.split(",")]
    name = "natural" if "=" in parts[0] else parts.pop(0)
    if name not in CONDUCTS:
        raise OptionError(f"There is no conduct {name!r}; known are {sorted(CONDUCTS)}.")
    known, changes = [field.name for field in fields(Conduct)], {}
    for part in filter(None, parts):
        entry, _, value = (word.strip() for word in part.partition("="))
        try:
            changes[entry] = float(value)
        except ValueError:
            raise OptionError(f"Cannot read {part!r}; write for example missed_scan=0.1.") from None
        if entry not in known:
            raise OptionError(f"The conduct of a trial has no {entry!r}; known are {known}.")
    return replace(CONDUCTS[name], **changes)


class Chances(NamedTuple):
    """What chance decides of each patient's scans, the same in every arm.

    Attributes
    ----------
    day : ndarray, shape (patients, visits)
    missed : ndarray of bool, shape (patients, visits)
    last : ndarray, shape (patients, visits)
        Uniform numbers; below the probability of stopping a scan is the last.
    other : ndarray, shape (patients,)
        Day of a progression that sizes do not show, inf for never.
    patience : ndarray, shape (patients,)
        Cumulative hazard at which the patient dies.
    """

    day: np.ndarray
    missed: np.ndarray
    last: np.ndarray
    other: np.ndarray
    patience: np.ndarray


def chances(conduct: Conduct, day: np.ndarray, index: np.ndarray, seed: int) -> Chances:
    """Draw what chance decides of patients; number i depends on the seed and i alone.

    Raises
    ------
    OptionError
        If jittered visits could change places.
    """
    gaps = np.diff(day)
    if conduct.jitter and 2 * conduct.jitter >= gaps.min():
        raise OptionError(
            f"A jitter of {conduct.jitter:g} days is too large for visits {gaps.min():g} days "
            "apart; it must be below half of that."
        )
    uniform = {name: uniforms(seed, name, index, len(day)) for name in ("jitter", "missed", "last")}
    single = uniforms(seed, "events", index, 2)
    shift = conduct.jitter * (2 * uniform["jitter"] - 1) * (day > 0)
    wait, never = -np.log1p(-single[:, 0]), np.full(len(index), np.inf)
    return Chances(
        day=day + shift,
        missed=(uniform["missed"] < conduct.missed_scan) & (day > 0),
        last=uniform["last"],
        other=wait / conduct.other_progression if conduct.other_progression else never,
        patience=-np.log1p(-single[:, 1]),
    )  # fmt: skip


def uniforms(seed: int, what: str, index: np.ndarray, count: int) -> np.ndarray:
    """Draw uniform numbers in [0, 1) for each patient by its number, (patients, count)."""
    found = np.asarray(_uniform(key_of(seed, "conduct", what), jnp.asarray(index), count))
    return found.astype(float)


def _uniform(key: jax.Array, index: jax.Array, count: int) -> jax.Array:
    return jax.vmap(lambda k: jax.random.uniform(k, (count,)))(keys_of(key, index))


class FollowUp(NamedTuple):
    """Which scans of each patient are seen, and what else happens.

    Attributes
    ----------
    seen : ndarray of bool, shape (patients, visits)
    other : ndarray, shape (patients,)
        Day of the scan that shows a progression that sizes do not, inf for none.
    death : ndarray, shape (patients,)
        inf if after the last planned visit.
    """

    seen: np.ndarray
    other: np.ndarray
    death: np.ndarray


def death_day(conduct: Conduct, chance: Chances, log_size: np.ndarray) -> np.ndarray:
    """Day of death of courses (patients, visits), inf if after the last; hazard between is linear.

    Parameters
    ----------
    conduct, chance
    log_size : ndarray, shape (patients, visits)
        Without errors of reading; nan counts as the size of baseline.
    """
    if not conduct.death:
        return np.full(len(log_size), np.inf)
    start = np.maximum(chance.day, 0.0)
    relative = np.nan_to_num(log_size - log_size[:, :1], neginf=-50.0)
    hazard = conduct.death * np.exp(np.clip(conduct.death_power * relative, -50, 50))
    pieces = 0.5 * (hazard[:, 1:] + hazard[:, :-1]) * np.diff(start, axis=1)
    sums = np.concatenate([np.zeros((len(start), 1)), np.cumsum(pieces, axis=1)], axis=1)
    at = (sums <= chance.patience[:, None]).sum(1) - 1
    rows, at = np.arange(len(at)), np.minimum(at, sums.shape[1] - 2)
    left = (chance.patience - sums[rows, at]) / pieces[rows, at]
    day = start[rows, at] + left * (start[rows, at + 1] - start[rows, at])
    return np.where(chance.patience < sums[:, -1], day, np.inf)


def follow_up(
    conduct: Conduct, chance: Chances, death: np.ndarray, progressed: np.ndarray
) -> FollowUp:
    """Say which scans are made, given the day of progression by size (inf if none)."""
    day = chance.day
    seen = ~chance.missed & (day <= death[:, None])
    seen[:, 0] = True
    other = first_seen(day, seen, chance.other)
    known = day >= np.minimum(progressed, other)[:, None]
    stop = np.where(known, conduct.stop_after_progression, conduct.stop_otherwise)
    ends = seen & (chance.last < stop) & (day > 0)
    gone = np.cumsum(ends, axis=1) - ends > 0
    seen &= ~gone
    reached = np.where(seen, day, -np.inf).max(1)
    return FollowUp(seen, np.where(other <= reached, other, np.inf), death)


def first_seen(day: np.ndarray, seen: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """Day of the first scan that is made on or after an onset; inf if none."""
    return np.where(seen & (day >= onset[:, None]), day, np.inf).min(1)
