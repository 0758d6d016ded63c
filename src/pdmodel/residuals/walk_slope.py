"""The walk with a slope of its own: what a mechanism must beat.

As `walk`, and the log size also rises and falls by a slope v that differs between patients and
comes and goes, an Ornstein-Uhlenbeck process::

    dL = (drift of the mechanism + trend + v) dt,    dv = -v / slope_days dt + noise

The noise gives v a long-run sd `slope`; at the first scan v is normal with mean `slope_mean` and
sd `slope_start`. An unchanged lesion keeps its size, and its slope goes on; one that comes back
has a new slope, of sd `slope`. The filter keeps one normal of log size and slope together.
"""

import jax.numpy as jnp
from jax import Array

from pdmodel.parameter import Parameter, Values
from pdmodel.residual import Drawn, Residual, Scans, Start
from pdmodel.residuals import filter as walking
from pdmodel.residuals import paths
from pdmodel.residuals.slope import begun
from pdmodel.residuals.walk import OWN, WALK

SLOPES = (
    Parameter(
        "slope_start", "1/day", 0.0016, "sd between patients of the slope at the first scan",
        prior_sd=0.7,
        source="assumption: as rates of shrinkage and growth of 0.3 a year that differ by a log-sd "
        f"of 1 make it; {OWN}",
    ),
    Parameter(
        "slope_mean", "1/day", 0.0, "mean of the slope at the first scan", transform="identity",
        prior_sd=0.001, source=f"assumption: shrinkage or growth of up to 0.7 a year; {OWN}",
    ),
    Parameter(
        "slope", "1/day", 0.0008, "long-run sd of the slope", prior_sd=0.7,
        source=f"assumption: half of that at the first scan; {OWN}",
    ),
    Parameter(
        "slope_days", "day", 120.0, "time over which a slope is forgotten", prior_sd=0.7,
        source="assumption: about three intervals of 42 days, within a factor of two; "
        f"{OWN}",
    ),
    Parameter(
        "trend", "1/day", 0.0, "growth of the log size that all share", transform="identity",
        prior_sd=0.0005, source=f"assumption: growth or shrinkage of up to 0.4 a year; {OWN}",
    ),
)  # fmt: skip


def _log_density(expected: Array, scans: Scans, p: Values) -> Array:
    return walking.filtered(expected, scans, jnp.ones(scans.day.shape, bool), p, begun(p))[1]


def _draw(
    key: Array, expected: Array, scans: Scans, visible: Array, day: Array, p: Values
) -> Drawn:
    return paths.draw(key, expected, scans, visible, day, p, begun(p))


def _first_unknown(expected: Array, scans: Scans, p: Values, spread: Array) -> Array:
    every = jnp.ones(scans.day.shape, bool)
    return walking.filtered(expected, scans, every, p, begun(p), spread)[1]


def _first_size(
    key: Array, expected: Array, scans: Scans, visible: Array, p: Values, spread: Array
) -> Array:
    nothing = jnp.zeros(0)
    return paths.draw(key, expected, scans, visible, nothing, p, begun(p), spread).latent[0]


def _predictive(
    key: Array, expected: Array, scans: Scans, visible: Array, ahead: Scans, p: Values
) -> Array:
    return paths.predictive(key, expected, scans, visible, ahead, p, begun(p))


WALK_SLOPE = Residual(
    "walk_slope",
    "the walk with a slope of each patient's own that comes and goes (an Ornstein-Uhlenbeck "
    "process): with a course that stays as it is, what a mechanism must beat",
    (*WALK.parameters, *SLOPES), _log_density, _draw, WALK.read, _predictive, carried=True,
    start=Start(_first_unknown, _first_size),
)  # fmt: skip
