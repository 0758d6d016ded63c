"""A fit of draws that were never sampled, with sds that are known relative to the priors."""

import numpy as np
import xarray as xr

from pdmodel import Cohort, Fit, Model, Patient, drug, mechanism, residual

MODEL = Model(mechanism("exhaustion"), (drug("atezolizumab"),), residual("lognormal"))
PATIENTS = ("p0", "p1", "p2")
COHORT = Cohort(
    tuple(
        Patient(name, "S", "a", np.array([0.0, 42.0]), np.array([50.0, 40.0]), np.zeros(2, bool))
        for name in PATIENTS
    )
)
KEYS = COHORT.keys
SHRUNK = 0.25
"""Posterior sd of every population parameter, relative to its prior, transformed scale."""


def natural(q, unbounded):
    return {"log": np.exp, "logit": lambda x: 1 / (1 + np.exp(-x)), "identity": np.asarray}[
        q.transform
    ](unbounded)


def posterior(rng, chains, draws, pooling):
    """Independent normal draws with sds that are known relative to the priors."""
    shape = (chains, draws)
    own, out = (*shape, len(PATIENTS)), {}
    for q in MODEL.free:
        if pooling == "none":
            out[q.name] = natural(q, q.centre + 0.5 * q.single_sd * rng.normal(size=own))
            continue
        out[q.name] = natural(q, q.centre + SHRUNK * q.prior_sd * rng.normal(size=shape))
        if q.individual:
            out[f"{q.name}_typical"] = out[q.name]
            spread = SHRUNK * q.between_spread * rng.normal(size=shape)
            out[f"{q.name}_sd"] = q.between * np.exp(spread)
            out[q.name] = natural(q, q.centre + 0.5 * q.between * rng.normal(size=own))
    return out


def statistics(rng, chains, draws):
    shape = (chains, draws)
    return {
        "diverging": np.zeros(shape, bool),
        "energy": rng.normal(100.0, 3.0, size=shape),
        "n_steps": np.full(shape, 15),
    }


def tree_of(cohort, values, rng, shape):
    """Values of draws that were never sampled beside the scans, as a fit holds them."""
    dims = ("chain", "draw", "patient")
    draws = {name: (dims[: x.ndim], x) for name, x in values.items()}
    stats = {
        "diverging": (dims[:2], np.zeros(shape, bool)),
        "energy": (dims[:2], rng.normal(size=shape)),
        "n_steps": (dims[:2], np.full(shape, 7)),
    }
    seen = {
        "size_mm": ("obs", np.concatenate([p.size_mm for p in cohort])),
        "censored": ("obs", np.concatenate([p.censored for p in cohort])),
    }
    scans = {
        "obs_patient": ("obs", np.repeat(cohort.keys, [len(p.day) for p in cohort])),
        "obs_day": ("obs", np.concatenate([p.day for p in cohort])),
    }
    groups = {
        "posterior": xr.Dataset(draws, {"patient": list(cohort.keys)}),
        "sample_stats": xr.Dataset(stats),
        "observed_data": xr.Dataset(seen, scans),
    }
    return xr.DataTree.from_dict(groups)


def a_fit(spoil=lambda values, stats: None, *, chains=4, draws=1000, pooling="partial", failed=0):
    """A fit of draws that were never sampled, spoilt in place by `spoil`."""
    rng = np.random.default_rng(5)
    values, stats = posterior(rng, chains, draws, pooling), statistics(rng, chains, draws)
    spoil(values, stats)
    dims = ("chain", "draw", "patient")

    def group(arrays, coords):
        return xr.Dataset({k: (dims[: v.ndim], v) for k, v in arrays.items()}, coords)

    groups = {
        "posterior": group(values, {"patient": list(KEYS)}),
        "sample_stats": group(stats, {}),
    }
    manifest = {
        "options": {"pooling": pooling, "max_depth": 8, "accuracy": "draft"},
        "failed_solves": {"posterior": f"{failed} of {chains * draws}"},
    }
    return Fit(MODEL, COHORT, xr.DataTree.from_dict(groups), manifest)
