"""Where each scan of a fit fell in its forecast from the scans before it.

A forecast that is right puts scans evenly between 0 and 1; within a bin of 1 mm, or at or below
the limit, the place is drawn at random (doi:10.1111/j.1541-0420.2009.01191.x).
"""

from functools import partial
from itertools import batched

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from pdmodel.data import Patient
from pdmodel.errors import DataError
from pdmodel.fit import Fit
from pdmodel.keys import key_of
from pdmodel.likelihood import kinetics_of
from pdmodel.model import Model
from pdmodel.residual import Scans
from pdmodel.trajectory import TOGETHER, trajectories

LEAST_MM = 0.1
"""Of the size below which the probability of a smaller one is asked."""


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
            tables.append(
                _of_one(fit.model, p, courses.log_size[:, k], courses.ok[:, k], own, seed)
            )
    return pd.concat(tables, ignore_index=True)


def _of_one(
    model: Model, p: Patient, expected: np.ndarray, ok: np.ndarray, values: dict, seed: int
) -> pd.DataFrame:
    """Places of one patient's scans; `expected` is (draws, visits), the last visit repeated."""
    more = (0, expected.shape[1] - len(p.day))
    scans = Scans(
        *(np.pad(x, more, mode="edge") for x in (p.day, np.log(p.size_mm), p.censored))  # type: ignore[arg-type]  # NumPy's
    )
    key = key_of(seed, "one step", p.key)
    sides = _forecast(model, key, jnp.nan_to_num(jnp.asarray(expected)), scans, values)
    count, solved = len(p.day), int(ok.sum())
    shares = (np.exp(np.asarray(x))[ok, : count - 1].sum(axis=0) for x in sides)
    at, below = (x / solved if solved else np.full(count - 1, np.nan) for x in shares)
    below = np.where(p.censored[1:], 0.0, below)
    chance = np.random.default_rng(jax.random.key_data(key).tolist()).uniform(size=count - 1)
    table = {"day": p.day[1:], "size_mm": p.size_mm[1:], "censored": p.censored[1:]}
    table |= {"below": below, "at": at, "pit": np.clip(below + chance * at, 0.0, 1.0)}
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
