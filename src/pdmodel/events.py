"""Doses from event records as pharmacometric tables hold them (EVID, AMT, RATE, ADDL, II, SS).

What each column does is NONMEM's rule, but for two things. A lag moves a steady state with its
dose; NONMEM sets it on the day of the record, and gives the dose later. And what it would ignore
is refused.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdmodel.errors import DoseError
from pdmodel.regimen import Regimen

OBSERVED, DOSE, OTHER, RESET, RESET_AND_DOSE = range(5)
"""Kinds of event (EVID)."""
ALONE, STEADY, STEADY_ADDED = range(3)
"""Kinds of dose (SS)."""
TOLERANCE = 1e-6
"""Relative; how far amount, rate and duration of one record may disagree."""


def regimen_from_events(
    time: ArrayLike,
    amount: ArrayLike,
    *,
    rate: ArrayLike | None = None,
    duration: ArrayLike | None = None,
    evid: ArrayLike | None = None,
    addl: ArrayLike | None = None,
    interval: ArrayLike | None = None,
    steady_state: ArrayLike | None = None,
    lag: ArrayLike = 0.0,
    bioavailability: ArrayLike = 1.0,
) -> Regimen:
    """Make a regimen of one patient's event records.

    Parameters
    ----------
    time : (records,) array_like
        TIME, days, in order.
    amount : array_like
        AMT, mg; like all that follow, one number for each record or one for all.
    rate : array_like, optional
        RATE, mg/day. An infusion then lasts ``bioavailability * amount / rate``; 0 is a bolus.
    duration : array_like, optional
        Days that an infusion lasts; its rate is then ``bioavailability * amount / duration``.
    evid : array_like, optional
        EVID: 0 and 2 are passed over, 1 (the default) a dose, 3 a reset, 4 a reset and a dose.
    addl, interval : array_like, optional
        ADDL, so many further doses, and II, days from one to the next.
    steady_state : array_like, optional
        SS: 1 puts the system to the steady state of this dose every `interval` days, 2 adds that
        to what is there. Doses of ADDL come after it and are ordinary.
    lag : array_like
        ALAG, days by which doses come later: with them their further doses and their steady
        state, but not the reset of EVID 4.
    bioavailability : array_like
        F, above 0; what arrives of each amount.

    Returns
    -------
    Regimen
        A reset, and SS 1, end running infusions and cancel what was still to come of earlier
        records, the reset also doses of earlier records on its own day.

    Raises
    ------
    DoseError
        If a record is impossible or contradicts itself; it says which, its day, and what to do.

    Examples
    --------
    >>> regimen_from_events([0, 70], [240, 80], rate=[3840, 0], addl=[3, 0], interval=21)
    ... # doctest: +NORMALIZE_WHITESPACE
    Regimen(start=array([ 0., 21., 42., 63., 70.]),
            amount=array([240., 240., 240., 240., 80.]),
            duration=array([0.0625, 0.0625, 0.0625, 0.0625, 0. ]),
            interval=array([0., 0., 0., 0., 0.]), resets=array([], dtype=float64))
    """
    records = _records(
        time=time, amount=amount, rate=rate, duration=duration, evid=DOSE if evid is None else evid,
        addl=addl, interval=interval, steady_state=steady_state, lag=lag,
        bioavailability=bioavailability,
    )  # fmt: skip
    _check(records)
    return _expanded(records)


@dataclass(frozen=True)
class _Records:
    """The columns, all of one length; what was not given is 0."""

    time: NDArray[np.float64]
    amount: NDArray[np.float64]
    rate: NDArray[np.float64]
    duration: NDArray[np.float64]
    evid: NDArray[np.float64]
    addl: NDArray[np.float64]
    interval: NDArray[np.float64]
    steady_state: NDArray[np.float64]
    lag: NDArray[np.float64]
    bioavailability: NDArray[np.float64]

    @property
    def doses(self) -> NDArray[np.bool_]:
        return np.isin(self.evid, (DOSE, RESET_AND_DOSE))


def _records(**given: ArrayLike | None) -> _Records:
    size = np.shape(np.atleast_1d(np.asarray(given["time"])))
    columns = {}
    for name, values in given.items():
        try:
            column = np.asarray(0.0 if values is None else values, dtype=np.float64)
            columns[name] = np.broadcast_to(column, size)
        except (TypeError, ValueError) as error:
            raise DoseError(
                f"Event records have {name} {values!r}, which is not a list of {size[0]} numbers "
                f"({error}); give one for each record, or one for all."
            ) from None
    if len(size) != 1:
        raise DoseError(f"Event records have times of shape {size}; give a list of days.")
    return _Records(**columns)


def _check(r: _Records) -> None:
    """Refuse the first record that is impossible, or contradicts itself."""
    for column in fields(r):
        ask = "It must be finite; correct it, or write 0 where there is none (rate 0 is a bolus)"
        _refuse(~np.isfinite(getattr(r, column.name)), r, column.name, ask)
    _refuse(np.diff(r.time, prepend=-np.inf) < 0, r, "time", "Records must be in order of time")
    _refuse(~np.isin(r.evid, range(5)), r, "evid", "Known are 0, 1, 2, 3 and 4")
    known = np.isin(r.steady_state, range(3))
    _refuse(~known, r, "steady_state", "Known are 0, 1 and 2")
    for name in ("rate", "duration", "amount", "addl", "interval", "lag"):
        ask = "a modelled one must be worked out first" if name == "rate" else "correct this record"
        _refuse(getattr(r, name) < 0, r, name, f"It must be >= 0; {ask}")
    _refuse(r.bioavailability <= 0, r, "bioavailability", "It must be above 0")
    _refuse(r.addl % 1 != 0, r, "addl", "It must be a whole number")
    _check_kinds(r)


def _check_kinds(r: _Records) -> None:
    """Refuse what does not go together in one record."""
    for name in ("amount", "rate", "addl", "steady_state"):
        idle = ~r.doses & (getattr(r, name) != 0)
        _refuse(idle, r, name, "Only doses (evid 1 or 4) have one; correct evid, or write 0")
    for name in ("addl", "steady_state"):
        endless = (getattr(r, name) > 0) & (r.interval == 0)
        _refuse(endless, r, name, "It needs an interval above 0; give the days between the doses")
    nothing = (r.amount == 0) & (r.rate > 0)
    ask = "A rate needs an amount; write how many mg were given, or drop the rate"
    _refuse(nothing, r, "amount", f"{ask} (a constant infusion at steady state is not supported)")
    arrives = r.bioavailability * r.amount
    both = (r.rate > 0) & (r.duration > 0)
    off = np.abs(r.rate * r.duration - arrives) > TOLERANCE * arrives
    ask = "Rate x duration must be bioavailability x amount; give only one of rate and duration"
    _refuse(both & off, r, "duration", ask)


def _refuse(bad: np.ndarray, r: _Records, name: str, ask: str) -> None:
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise DoseError(
            f"Event record {i + 1} of {len(bad)} (day {r.time[i]:g}) has {name} "
            f"{getattr(r, name)[i]:g}. {ask}."
        )


def _expanded(r: _Records) -> Regimen:
    """List every dose that is given, and every reset."""
    begins = r.time + r.lag
    resets, empties = r.evid >= RESET, r.steady_state == STEADY
    wiped = np.where(resets, r.time, np.where(empties, begins, np.inf))
    # of later records: what is still to come is cancelled by the earliest
    later = np.append(np.minimum.accumulate(wiped[::-1])[::-1][1:], np.inf)[: len(wiped)]
    count = np.where(r.doses, r.addl + 1, 0).astype(int)
    i = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count)
    start = begins[i] + nth * r.interval[i]
    amount = (r.bioavailability * r.amount)[i]
    rate = r.rate[i]
    lasts = np.where(rate > 0, amount / np.where(rate > 0, rate, 1.0), r.duration[i])
    steady = np.where((r.steady_state[i] > 0) & (nth == 0), r.interval[i], 0.0)
    given = start < later[i]
    return Regimen(
        start[given], amount[given], lasts[given], steady[given],
        np.concatenate([r.time[resets], begins[empties]]),
    )  # fmt: skip
