"""What lies between the course of a model and the sizes in a table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from jax import Array

from pdmodel.parameter import Parameter, Values

SMALLEST_MM = 5.0
"""RECIST 1.1 records a lesion too small to measure as 5 mm (doi:10.1016/j.ejca.2008.10.026)."""
ROUNDED_MM = 0.5
"""Half of the millimetre to which sizes are rounded."""


class Scans(NamedTuple):
    """One patient's scans, each of shape (visits,)."""

    day: Array
    log_size: Array
    """Log of the size in mm, or of the limit where censored."""
    censored: Array
    """Whether the size is only known to be at or below the limit."""


class Drawn(NamedTuple):
    """A course with all that lies between it and the mechanism's, and scans of it to come.

    Attributes
    ----------
    latent : Array, shape (visits + days,)
        Log size without errors of reading, at the scans that were made and those to come.
    measured : Array, shape (days,)
        Sizes in mm as they would be measured, before rounding and censoring.
    """

    latent: Array
    measured: Array


class Start(NamedTuple):
    """How a residual deals with a first size that is normal on the log scale, not known.

    Attributes
    ----------
    log_density : callable
        ``(expected log size (visits,), Scans, values, sd) -> (visits,)``, as that of `Residual`,
        the first size integrated out: normal around the first expected one.
    draw : callable
        ``(key, expected log size (visits,), Scans, visible (visits,), values, sd) -> number``: one
        draw of the first log size given all scans.
    """

    log_density: Callable[[Array, Scans, Values, Array], Array]
    draw: Callable[[Array, Array, Scans, Array, Values, Array], Array]


@dataclass(frozen=True)
class Residual:
    """What lies between the course of the mechanism and the numbers in a table.

    A residual sees all scans of a patient at once, so that it may carry noise from one scan to
    the next; one that does not is a function of each scan alone.

    Attributes
    ----------
    name, about : str
        What users call it; one sentence for the report.
    parameters : tuple of Parameter
        What the functions read from the values.
    log_density : callable
        ``(expected log size (visits,), Scans, values) -> (visits,)`` log density per mm of each
        scan given the scans before it; log probability where censored, or of a bin of 1 mm.
    draw : callable
        ``(key, expected log size (visits + days,), Scans, visible (visits,), day (days,), values)
        -> Drawn``: one draw given the scans that are visible, at these and at later days, which
        rise. Where none is visible, from the first scan's day on, with nothing known.
    read : callable
        ``(key, latent log size (days,), values) -> (days,)`` sizes in mm as `Drawn.measured`.
    predictive : callable
        ``(key, expected log size (visits + days,), Scans, visible (visits,), ahead (Scans of
        shape (days,), later and rising), values) -> (days,)`` log probability of each scan ahead,
        by itself, given those that are visible: of its bin of 1 mm, or of "at or below the limit",
        which goes up to half a mm above it. Where a scan is not the next one, of one drawn path
        to it: the mean over keys of the probabilities is that of the scan.
    carried : bool
        Whether deviations last from one scan to the next, so that what is to come depends on the
        scans by more than the values.
    start : Start, optional
        Lets inference integrate the first size out, where a mechanism names its anchor.
    """

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    log_density: Callable[[Array, Scans, Values], Array]
    draw: Callable[[Array, Array, Scans, Array, Array, Values], Drawn]
    read: Callable[[Array, Array, Values], Array]
    predictive: Callable[[Array, Array, Scans, Array, Scans, Values], Array]
    carried: bool = False
    start: Start | None = None
