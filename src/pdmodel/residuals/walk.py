"""Patients who change course: heavy-tailed steps between scans around the mechanism's drift.

The log size L moves from one scan to the next by what the mechanism says and a step S::

    L_next = L + (expected_next - expected) + S

A lesion may vanish (and, rarely, come back), may stay exactly as it is, reading and all, or
moves: by a quiet, a usual or a wide step, in units of the patient's own volatility, or by an
escape jump that is the same for everybody. The variance of steps grows with a power of the days
between scans. A reading is L with a reader's error, rounded to whole mm, or "too small"; its
probability is that of the interval.

The density of each scan given those before it comes from a filter: after every scan what is
known of L is one normal beside the probability that the lesion is gone, with the exact mean and
variance under the normal before. At the first scan L is the expected size itself.
"""

import jax
import jax.numpy as jnp
from jax import Array

from pdmodel.parameter import Parameter, Values
from pdmodel.residual import Residual, Scans, Start
from pdmodel.residuals.filter import USUAL, filtered, reader_variance
from pdmodel.residuals.paths import draw, predictive

OWN = "order of magnitude in single lesions of doi:10.1371/journal.pcbi.1009822 (own analysis)"

PARAMETERS = (
    Parameter(
        "volatility", "1", USUAL, "sd of the usual step of the log size over 42 days",
        prior_sd=0.5, between=0.6, between_spread=0.3, source=f"assumption: {OWN}",
    ),
    Parameter(
        "quiet", "1", 0.3, "share of steps that are quiet", transform="logit",
        prior_sd=0.7, source=f"assumption: {OWN}",
    ),
    Parameter(
        "wide", "1", 0.15, "share of wide steps among the rest", transform="logit",
        prior_sd=0.7, source=f"assumption: {OWN}",
    ),
    Parameter(
        "time_power", "1", 0.6, "power of the days between scans with which the variance grows",
        prior_sd=0.4, source=f"assumption: between per scan (0) and Brownian (1); {OWN}",
    ),
    Parameter(
        "jump", "1/day", 0.5 / 365.25, "rate of escape jumps",
        prior_sd=0.7, source=f"assumption: {OWN}",
    ),
    Parameter(
        "unchanged", "1", 0.2, "probability of an unchanged lesion at a volatility of 0.08",
        transform="logit", prior_sd=0.7, source=f"assumption: {OWN}",
    ),
    Parameter(
        "unchanged_slope", "1", 2.0, "fall of the logit of it with the log of the volatility",
        prior_sd=0.4, source=f"assumption: {OWN}",
    ),
    Parameter(
        "vanish", "1", 0.03, "probability that a lesion of 10 mm has vanished at the next scan",
        transform="logit", prior_sd=0.7, source=f"assumption: {OWN}",
    ),
    Parameter(
        "comeback", "1/day", 0.001, "rate at which vanished lesions come back",
        prior_sd=0.5, source=f"assumption: {OWN}",
    ),
    Parameter(
        "quiet_scale", "1", 0.2, "sd of a quiet step, in usual ones",
        source=f"assumption: fixed; {OWN}",
    ),
    Parameter(
        "wide_scale", "1", 3.0, "sd of a wide step, in usual ones",
        source=f"assumption: fixed; {OWN}",
    ),
    Parameter(
        "jump_mean", "1", 0.2, "mean jump of the log size", transform="identity",
        source=f"assumption: fixed; {OWN}",
    ),
    Parameter(
        "jump_sd", "1", 0.3, "sd of jumps of the log size", source=f"assumption: fixed; {OWN}"
    ),
    Parameter(
        "vanish_slope", "1", 1.2, "fall of the logit of `vanish` with the log of the size",
        source=f"assumption: fixed; {OWN}",
    ),
    Parameter(
        "comeback_size", "mm", 8.0, "size with which vanished lesions come back",
        source=f"assumption: fixed; {OWN}",
    ),
    Parameter(
        "comeback_sd", "1", 0.5, "sd of its log", source=f"assumption: fixed; {OWN}"
    ),
    Parameter(
        "reader_share", "1", 0.015, "relative error of readers",
        source="assumption: fixed; with the error in mm, 1.6 % to 3.6 % between 60 and 10 mm, "
        "where reading twice on one scan differs as much (own analysis)",
    ),
    Parameter(
        "reader_mm", "mm", 0.3, "error of readers in mm", source="assumption: fixed, as above"
    ),
)  # fmt: skip


def _log_density(expected: Array, scans: Scans, p: Values) -> Array:
    return filtered(expected, scans, jnp.ones(scans.day.shape, bool), p)[1]


def _first_unknown(expected: Array, scans: Scans, p: Values, spread: Array) -> Array:
    every = jnp.ones(scans.day.shape, bool)
    return filtered(expected, scans, every, p, spread=spread)[1]


def _first_size(
    key: Array, expected: Array, scans: Scans, visible: Array, p: Values, spread: Array
) -> Array:
    return draw(key, expected, scans, visible, jnp.zeros(0), p, spread=spread).latent[0]


def _read(key: Array, latent: Array, p: Values) -> Array:
    error = jax.random.normal(key, latent.shape, latent.dtype)
    return jnp.exp(latent + jnp.sqrt(reader_variance(latent, p)) * error)


WALK = Residual(
    "walk",
    "heavy-tailed steps between scans around the drift of the mechanism, with a volatility of "
    "each patient's own, escape jumps, unchanged and vanished lesions, the reader's error, "
    "rounding to whole mm and left-censoring at the limit",
    PARAMETERS, _log_density, draw, _read, predictive, carried=True,
    start=Start(_first_unknown, _first_size),
)  # fmt: skip
