"""Labelling: here, and only here, arrays of a fit get names, dimensions and units."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from pdmodel.data import Cohort
from pdmodel.keys import key_of
from pdmodel.likelihood import Evidence, log_likelihood
from pdmodel.model import Model
from pdmodel.nuts import Draws
from pdmodel.parallel import side_by_side
from pdmodel.parameter import Parameter
from pdmodel.population import prior_draws

PRIOR_DRAWS = 4000
TOGETHER = 64
"""Draws solved at a time."""
TRIED_DRAWS = 512
"""Draws from the prior whose courses are solved, to count failures."""


def labelled_tree(
    model: Model,
    cohort: Cohort,
    data: Evidence,
    values: Mapping[str, np.ndarray],
    drawn: Draws,
    figures: Mapping[str, np.ndarray],
    seed: int,
) -> tuple[xr.DataTree, dict[str, str]]:
    """Label the draws and compute the log-likelihood of every scan.

    Returns
    -------
    tree : xarray.DataTree
        Groups ``posterior``, ``sample_stats``, ``log_likelihood``, ``observed_data``, ``prior``,
        and ``integration`` where patients were integrated out.
    failed : dict of str to str
        Courses that could not be solved, of how many, in the posterior and in the prior.
    """
    names = {q.name for q in model.free}
    terms, lost = _terms(model, data, {k: v for k, v in values.items() if k in names})
    patient, visit = np.nonzero(np.asarray(data.visible))
    prior = prior_draws(model, key_of(seed, "prior"), PRIOR_DRAWS)
    tried = {
        name: jnp.asarray(prior[name][:TRIED_DRAWS, None] * np.ones(len(cohort))) for name in names
    }
    _, ok = _solved(model, data, tried)
    sampled = ("chain", "draw")
    scans = {
        "obs_patient": ("obs", np.array(cohort.keys)[patient]),
        "obs_day": ("obs", np.asarray(data.scans.day)[patient, visit], {"unit": "day"}),
    }
    seen = np.exp(np.asarray(data.scans.log_size))[patient, visit]
    groups = {
        "posterior": _dataset(values, (*sampled, "patient"), {"patient": list(cohort.keys)}),
        "sample_stats": _dataset(_statistics(drawn), sampled),
        "log_likelihood": _dataset(
            {"size_mm": terms[:, :, patient, visit]}, (*sampled, "obs"), scans
        ),
        "observed_data": _dataset(
            {"size_mm": seen, "censored": np.asarray(data.scans.censored)[patient, visit]},
            ("obs",), scans,
        ),
        "prior": _dataset({k: np.asarray(v)[None] for k, v in prior.items()}, sampled),
    }  # fmt: skip
    if "log_marginal" in figures:
        marginal = {"scans": figures["log_marginal"]}
        groups["log_marginal"] = _dataset(
            marginal, (*sampled, "patient"), {"patient": list(cohort.keys)}
        )
        figures = {name: value for name, value in figures.items() if name != "log_marginal"}
    if figures:
        names = ("error_nats", "noise_nats")
        checks = {name: ("check", figures[name], {"unit": "nat"}) for name in names}
        rest = {name: value for name, value in figures.items() if name not in checks}
        integration = _dataset(rest, ("patient",), {"patient": list(cohort.keys)})
        groups["integration"] = integration.assign(checks)
    for group in ("posterior", "prior"):
        _describe(groups[group], model.free)
    groups["observed_data"]["size_mm"].attrs["unit"] = "mm"
    tree = xr.DataTree.from_dict(groups)
    failed = {
        "posterior": f"{lost} of {terms.shape[0] * terms.shape[1] * len(cohort)}",
        "prior": f"{int(np.sum(~np.asarray(ok)))} of {np.size(ok)}",
    }
    return tree, failed


def _dataset(
    values: Mapping[str, np.ndarray], dims: tuple[str, ...], coords: Mapping | None = None
) -> xr.Dataset:
    """Name the leading dimensions of arrays, and count chains and draws."""
    named = {name: (dims[: np.ndim(value)], value) for name, value in values.items()}
    dataset = xr.Dataset(named, coords)
    counted = {d: np.arange(n) for d, n in dataset.sizes.items() if d not in dataset.coords}
    return dataset.assign_coords(counted)


def _solved(model: Model, data: Evidence, values: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Terms and whether solved of draws, in parts of one size, so that one program serves all."""
    count = len(next(iter(values.values())))
    rows = np.minimum(np.arange(count + -count % TOGETHER), count - 1).reshape(-1, TOGETHER)
    host = {name: np.asarray(value) for name, value in values.items()}

    def part(k: int) -> tuple[np.ndarray, np.ndarray]:
        terms, ok = _some(model, data, {name: value[rows[k]] for name, value in host.items()})
        return np.asarray(terms), np.asarray(ok)

    terms, ok = zip(*side_by_side(part, len(rows)), strict=True)
    return np.concatenate(terms)[:count], np.concatenate(ok)[:count]


@partial(jax.jit, static_argnums=0)
def _some(model: Model, data: Evidence, values: dict) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(lambda p: log_likelihood(model, p, data))(values)


def _terms(
    model: Model, data: Evidence, values: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, int]:
    shape = next(iter(values.values())).shape[:2]
    flat = {
        name: jnp.asarray(value).reshape(-1, *value.shape[2:]) for name, value in values.items()
    }
    flat = {name: value if value.ndim > 1 else value[:, None] for name, value in flat.items()}
    terms, ok = _solved(model, data, flat)
    return np.asarray(terms).reshape(*shape, *terms.shape[1:]), int(np.sum(~np.asarray(ok)))


def _statistics(drawn: Draws) -> dict[str, np.ndarray]:
    """Give sampler statistics chain by draw; over separate samplers the worst or the sum."""
    joined = {
        "diverging": np.any, "acceptance_rate": np.mean, "n_steps": np.max,
        "lp": np.sum, "energy": np.sum,
    }  # fmt: skip
    return {
        name: value if value.ndim == 2 else joined[name](value, axis=2)
        for name, value in drawn.statistics.items()
    }


def _describe(group: xr.Dataset, parameters: tuple[Parameter, ...]) -> None:
    for q in parameters:
        for suffix, about, unit in (
            ("", q.about, q.unit),
            ("_typical", f"typical value: {q.about}", q.unit),
            ("_sd", f"standard deviation between patients, {q.transform} scale: {q.about}", "1"),
        ):
            if q.name + suffix in group:
                group[q.name + suffix].attrs |= {"about": about, "unit": unit}
