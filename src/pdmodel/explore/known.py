"""What was known of a patient after its first scans."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import xarray as xr

from pdmodel.data import Cohort, Patient
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.newcomers import joined


class Known(NamedTuple):
    """What was known of a patient.

    Attributes
    ----------
    fit : Fit
        With a posterior of this patient alone, as known.
    patient : Patient
        With the scans that were known.
    whole : Patient
        With all scans and doses.
    """

    fit: Fit
    patient: Patient
    whole: Patient

    @property
    def treated(self) -> Patient:
        """The patient as known, with all doses that were given or are planned."""
        given = {"regimens": self.whole.regimens, "schedules": self.whole.schedules}
        return replace(self.patient, **given)


def known_of(
    fit: Fit, patient: str, scans: int | None = None, *, draws: int = 400, seed: int = 0
) -> Known:
    """Give what was known of a patient after its first scans.

    With all scans it is the posterior of the fit; with fewer, that under the population of the
    fit (`pdmodel.newcomers.joined`), which has seen this patient's later scans too.

    Parameters
    ----------
    fit : Fit
    patient : str
        Key, or id where unique.
    scans : int, optional
        How many of the first scans; all by default.
    draws, seed : int, int
        Of `pdmodel.newcomers.joined`, where scans are left out.

    Returns
    -------
    Known

    Raises
    ------
    DataError
        If the patient is unknown.
    OptionError
        If there are not so many scans, or the fit has no population.
    """
    whole = fit.cohort[patient]
    count = len(whole.day)
    if scans is not None and not 1 <= scans <= count:
        raise OptionError(f"scans is {scans}; it must be 1 to {count}, which this patient has.")
    if scans is None or scans == count:
        return Known(_alone(fit, whole), whole, whole)
    if fit.pooling != "partial":
        raise OptionError(
            "This fit has no population (--pooling none), so that scans cannot be left out; fit "
            "with --pooling partial."
        )
    part = whole.known_by(float(whole.day[scans - 1]))
    cohort = replace(fit.cohort, patients=(part,))
    found = joined(fit, cohort, draws=draws, seed=seed, room=_room(fit.cohort))
    return Known(found, part, whole)


def _alone(fit: Fit, patient: Patient) -> Fit:
    """Give the fit's posterior of one patient."""
    posterior = fit.posterior.sel(patient=[patient.key])
    tree = xr.DataTree.from_dict({"posterior": posterior})
    return replace(fit, cohort=replace(fit.cohort, patients=(patient,)), tree=tree)


def _room(cohort: Cohort) -> list[Patient]:
    """Choose patients whose arrays are as long as any's, or nearly."""
    longest: tuple[Callable[[Patient], float], ...] = (
        lambda p: len(p.day),
        lambda p: p.last_day - p.start_day,
        lambda p: sum(len(one.start) for one in p.regimens.values()),
    )
    return list({p.key: p for p in (max(cohort, key=by) for by in longest)}.values())
