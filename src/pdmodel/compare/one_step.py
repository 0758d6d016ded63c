"""Where each scan of a fit fell in its forecast from the scans before it.

A forecast that is right puts scans evenly between 0 and 1; within a bin of 1 mm, or at or below
the limit, the place is drawn at random (doi:10.1111/j.1541-0420.2009.01191.x).
"""

from collections.abc import Callable
from functools import partial
from itertools import batched

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from arviz_stats.base.array import array_stats
from scipy.special import softmax

from pdmodel.compare.loo import FEWEST_DRAWS
from pdmodel.data import Patient
from pdmodel.errors import DataError, OptionError
from pdmodel.fit import Fit
from pdmodel.keys import key_of
from pdmodel.likelihood import kinetics_of
from pdmodel.model import Model
from pdmodel.residual import Scans
from pdmodel.trajectory import TOGETHER, trajectories

LEAST_MM = 0.1
"""Of the size below which the probability of a smaller one is asked."""
LEAST_LOG = -300.0
"""Log probability of a scan from which it counts as impossible, so that weights stay finite."""

type Weigh = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From log probabilities of scans (draws, scans) to weights (draws, scans), and k (scans,)."""


def one_step_pit(fit: Fit, *, draws: int = 200, seed: int = 0) -> pd.DataFrame:
    """Place every scan from the second on in its forecast from the scans before it.

    Probabilities are those of `Residual.predictive`, averaged over draws. The parameters are those
    learnt from all scans of the cohort, the forecast ones included.

    Parameters
    ----------
    fit : Fit
    draws : int
        Draws of the posterior, evenly spaced; at most as many as there are.
    seed : int
        Of the places within bins. A patient's places depend on it and on the key alone.

    Returns
    -------
    DataFrame
        Columns ``patient`` (key), ``day, size_mm, censored``; ``below, at``, the probability of
        smaller sizes, and of the bin of the size (of "at or below the limit" where censored, with
        nothing below); and ``pit`` between the two. nan where no course could be solved.

    Raises
    ------
    DataError
        If no patient has two scans.
    """
    return _placed(fit, draws, seed, _alike).drop(columns="k")


def leave_one_out_pit(fit: Fit, *, draws: int = 400, seed: int = 0) -> pd.DataFrame:
    """Place every scan in its forecast, with parameters learnt from all other scans.

    As `one_step_pit`, but draws are weighed by one over the probability that each gives to the
    scan, smoothed by a generalised Pareto law (doi:10.1007/s11222-016-9696-4): the scan is taken
    out of the fit. Of residuals that carry a deviation from scan to scan, its step is taken out;
    later scans still stand on it.

    Parameters
    ----------
    fit : Fit
    draws, seed : int
        As for `one_step_pit`; 100 draws or more.

    Returns
    -------
    DataFrame
        As `one_step_pit` gives it, with a column ``k``: the shape of the tail of the weights. Above
        0.7 (less with few draws) the place is not to be trusted.

    Raises
    ------
    DataError
        If no patient has two scans.
    OptionError
        If there are fewer than 100 draws.
    """
    total = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    if min(draws, total) < FEWEST_DRAWS:
        raise OptionError(
            f"Leave-one-out needs {FEWEST_DRAWS} draws or more, and there are "
            f"{min(draws, total)}; fit with more draws, or ask for more."
        )
    return _placed(fit, draws, seed, _smoothed)


def _alike(log_at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.full(log_at.shape, 1.0 / len(log_at)), np.full(log_at.shape[1], np.nan)


def _smoothed(log_at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = [_one_smoothed(np.maximum(one, LEAST_LOG)) for one in log_at.T]
    return np.stack([w for w, _ in found], axis=1), np.array([k for _, k in found])


def _one_smoothed(log_at: np.ndarray) -> tuple[np.ndarray, float]:
    try:
        log_weight, k = array_stats.psislw(log_at)
    except ValueError:  # a tail without a slope has no shape, as where a scan is certain
        return softmax(-log_at), 0.0
    return np.exp(log_weight), float(k)


def _placed(fit: Fit, draws: int, seed: int, weigh: Weigh) -> pd.DataFrame:
    """Place the scans of all patients, as `one_step_pit` does, with a column ``k``."""
    if max(len(p.day) for p in fit.cohort) < 2:
        raise DataError(
            "No patient has two scans, so that none can be forecast from one before it; add scans."
        )
    place = {key: k for k, key in enumerate(fit.cohort.keys)}
    every, longest = fit.values(draws), max(len(p.day) for p in fit.cohort)
    tables = []
    for group in batched(fit.cohort, TOGETHER):
        mine = [place[p.key] for p in group]
        values = {name: value[:, mine] for name, value in every.items()}
        days = np.stack([np.pad(p.day, (0, longest - len(p.day)), mode="edge") for p in group])
        courses = trajectories(
            fit.model, values, [p.start_day for p in group], days, [p.regimens for p in group],
            fit.manifest["options"]["accuracy"], kinetics_of(fit.model, group, fit.kinetics_seed),
        )  # fmt: skip
        for k, p in enumerate(group):
            own = {name: value[:, k] for name, value in values.items()}
            sides = _sides(fit.model, p, courses.log_size[:, k], own, seed)
            tables.append(_of_one(p, [x[courses.ok[:, k]] for x in sides], seed, weigh))
    return pd.concat(tables, ignore_index=True)


def _sides(
    model: Model, p: Patient, expected: np.ndarray, values: dict, seed: int
) -> list[np.ndarray]:
    """Log probability of each scan and of smaller sizes, each (draws, visits - 1).

    `expected` is (draws, visits of all), the last visit of the patient repeated.
    """
    more = (0, expected.shape[1] - len(p.day))
    scans = Scans(
        *(np.pad(x, more, mode="edge") for x in (p.day, np.log(p.size_mm), p.censored))  # type: ignore[arg-type]  # NumPy's
    )
    course = jnp.nan_to_num(jnp.asarray(expected))
    sides = _forecast(model, key_of(seed, "one step", p.key), course, scans, values)
    return [np.asarray(x)[:, : len(p.day) - 1] for x in sides]


def _of_one(p: Patient, sides: list[np.ndarray], seed: int, weigh: Weigh) -> pd.DataFrame:
    """Places of one patient's scans, from what each draw that was solved gives them."""
    count = len(p.day) - 1
    at = below = k = np.full(count, np.nan)
    if len(sides[0]) and count:
        weight, k = weigh(sides[0])
        at, below = ((weight * np.exp(x)).sum(axis=0) for x in sides)
    below = np.where(p.censored[1:], 0.0, below)
    key = key_of(seed, "one step", p.key)
    chance = np.random.default_rng(jax.random.key_data(key).tolist()).uniform(size=count)
    table = {"day": p.day[1:], "size_mm": p.size_mm[1:], "censored": p.censored[1:]}
    table |= {"below": below, "at": at, "pit": np.clip(below + chance * at, 0.0, 1.0), "k": k}
    return pd.DataFrame({"patient": p.key} | table)


@partial(jax.jit, static_argnums=0)
def _forecast(
    model: Model, key: jax.Array, expected: jax.Array, scans: Scans, values: dict[str, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Log probability of each bin and of all below it, each (draws, visits - 1)."""
    constants = {k: jnp.asarray(v) for k, v in model.constants.items()}
    count = scans.day.shape[0]
    lower = jnp.log(jnp.maximum(jnp.exp(scans.log_size) - 1.0, LEAST_MM))
    smaller = Scans(scans.day, lower, jnp.ones_like(scans.censored))

    def one(key: jax.Array, expected: jax.Array, p: dict) -> tuple[jax.Array, jax.Array]:
        def step(k: jax.Array) -> tuple[jax.Array, jax.Array]:
            seen = jnp.minimum(jnp.arange(count), k - 1)  # the last one seen stands for later ones
            before = jax.tree.map(lambda x: x[seen], scans)
            course = jnp.append(expected[seen], expected[k])
            found = [
                model.residual.predictive(
                    key, course, before, jnp.arange(count) < k,
                    jax.tree.map(lambda x: x[k][None], side), constants | p,
                )[0]
                for side in (scans, smaller)
            ]  # fmt: skip
            return found[0], found[1]

        return jax.vmap(step)(jnp.arange(1, count))

    return jax.vmap(one)(jax.random.split(key, len(expected)), expected, values)
