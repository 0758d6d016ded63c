"""Leave-one-patient-out from one fit: importance sampling with patients integrated out.

A patient's scans, all of them together, are forecast from the others. The weights are one over
the patient's marginal likelihood at each draw of the population, smoothed by a generalised Pareto
law (doi:10.1007/s11222-016-9696-4); its shape k says whether that can be trusted.
"""

from typing import NamedTuple

import numpy as np
from arviz_stats.base.array import array_stats
from scipy.special import logsumexp

from pdmodel.errors import OptionError

LARGEST_K = 0.7
FEWEST_DRAWS = 100


class LeftOut(NamedTuple):
    """Each patient's scans forecast from all others.

    Attributes
    ----------
    log_score : ndarray, shape (patients,)
        Log density (log probability where censored, or of a bin) of all scans of the patient.
    k : ndarray, shape (patients,)
        Shape of the Pareto tail of its weights.
    refit : ndarray of bool, shape (patients,)
        Whether the fit has to be made again without the patient, as k is above `limit`.
    limit : float
    exact : ndarray of bool, shape (patients,)
        Whether the score is of a fit that was made again without the patient.
    """

    log_score: np.ndarray
    k: np.ndarray
    refit: np.ndarray
    limit: float
    exact: np.ndarray

    @property
    def elpd(self) -> float:
        """Sum over patients."""
        return float(self.log_score.sum())

    @property
    def standard_error(self) -> float:
        """Standard error of the sum."""
        return float(np.sqrt(len(self.log_score) * np.var(self.log_score, ddof=1)))


def leave_one_out(log_marginal: np.ndarray, efficiency: np.ndarray | float = 1.0) -> LeftOut:
    """Forecast every patient from the others.

    Parameters
    ----------
    log_marginal : ndarray, shape (draws, patients)
        Log of the density of all scans of a patient given the population, its effects integrated
        out, at draws of the population given all patients.
    efficiency : ndarray or float
        Effective draws per draw, of each patient; see `efficiencies`.

    Raises
    ------
    OptionError
        If there are fewer than `FEWEST_DRAWS` draws, or a value is not finite.
    """
    draws, patients = log_marginal.shape
    if draws < FEWEST_DRAWS:
        raise OptionError(
            f"Leave-one-out needs {FEWEST_DRAWS} draws or more, and there are {draws}; fit with "
            "more draws."
        )
    if not np.isfinite(log_marginal).all():
        bad = int(np.sum(~np.isfinite(log_marginal).all(axis=0)))
        raise OptionError(
            f"The marginal likelihood of {bad} of {patients} patients is not finite at some draw; "
            "fit again, and look at 'pdmodel diagnose'."
        )
    each = np.broadcast_to(efficiency, patients)
    found = [_one(log_marginal[:, i], float(each[i])) for i in range(patients)]
    log_score, k = np.array(found).T
    limit = min(1.0 - 1.0 / np.log10(draws), LARGEST_K)
    return LeftOut(log_score, k, ~(k <= limit), limit, np.zeros(patients, bool))


def _one(log_marginal: np.ndarray, efficiency: float) -> tuple[float, float]:
    """Log score and k of one patient."""
    # it takes the log of what the weights are one over
    log_weight, k = array_stats.psislw(log_marginal, r_eff=efficiency)  # type: ignore[arg-type]  # a share
    return np.asarray(logsumexp(log_weight + log_marginal)).item(), float(k)


def efficiencies(log_marginal: np.ndarray) -> np.ndarray:
    """Give effective draws per draw of the likelihood of each patient.

    Parameters
    ----------
    log_marginal : ndarray, shape (chains, draws, patients)

    Returns
    -------
    ndarray, shape (patients,)
        At most 1.
    """
    likelihood = np.exp(log_marginal - log_marginal.max(axis=(0, 1)))
    each = np.moveaxis(likelihood, 2, 0)
    found = np.array([array_stats.ess(one, method="mean", relative=True) for one in each])
    return np.clip(np.nan_to_num(found, nan=1.0), 1e-3, 1.0)
