"""Whether two drugs do more together than apart: effects against three null models.

An effect is a share from 0 (none) to 1 (all), as the share of patients who respond. No null model
is the truth; they answer different questions (doi:10.1002/prp2.149).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pdmodel.errors import OptionError


class Interaction(NamedTuple):
    """Effect of a combination beyond what each null model expects.

    Attributes
    ----------
    bliss : ndarray
        Beyond independent action, ``a + b - a b``.
    hsa : ndarray
        Beyond the better drug alone.
    """

    bliss: np.ndarray
    hsa: np.ndarray


def interaction(first: ArrayLike, second: ArrayLike, both: ArrayLike) -> Interaction:
    """Compare effects of two drugs with that of their combination, draw by draw.

    Parameters
    ----------
    first, second, both : array_like, of one shape
        Effects, from 0 to 1; for example by draw of the population.

    Raises
    ------
    OptionError
        If an effect is none.
    """
    a, b, together = (_share(x) for x in (first, second, both))
    return Interaction(together - (a + b - a * b), together - np.maximum(a, b))


def combination_index(
    doses: tuple[float, float], both: float, first: ArrayLike, second: ArrayLike
) -> float:
    """Loewe's combination index: below 1 is synergy, 1 is additivity of doses.

    It is ``d1 / D1 + d2 / D2``, with D1 and D2 the doses of each alone that have the effect of
    both (doi:10.1007/BF01952257); these are interpolated linearly in the log of the dose.

    Parameters
    ----------
    doses : tuple of float
        In the combination.
    both : float
        Effect of the combination.
    first, second : array_like, shape (doses, 2)
        Doses above 0 and effects of each alone, both rising.

    Returns
    -------
    float
        nan where a drug alone does not reach the effect, or exceeds it at its lowest dose.

    Raises
    ------
    OptionError
        If doses or effects do not rise.
    """
    return float(sum(d / _alone(both, x) for d, x in zip(doses, (first, second), strict=True)))


def _alone(effect: float, table: ArrayLike) -> float:
    dose, seen = np.asarray(table, float).T
    if not ((dose > 0).all() and (np.diff(dose) > 0).all() and (np.diff(_share(seen)) > 0).all()):
        raise OptionError("Doses and effects of a drug alone must rise, with doses above 0.")
    if not seen[0] <= effect <= seen[-1]:
        return np.nan
    return float(np.exp(np.interp(effect, seen, np.log(dose))))


def _share(x: ArrayLike) -> np.ndarray:
    found = np.asarray(x, float)
    if not ((found >= 0) & (found <= 1)).all():
        raise OptionError("Effects must be shares from 0 to 1.")
    return found
