"""Patients on straight lines of log size under normal scatter: all about them has a closed form."""

import numpy as np
import xarray as xr
from scipy import stats

from pdmodel import Cohort, Fit, Model, Patient, mechanism, residual

MODEL = Model(mechanism("exponential"), (), residual("lognormal"))
LARGE = 1e6
"""In mm; scatter in mm is nothing beside it, and log sizes are normal around a straight line."""
SCATTER, SDS, SLOPE = 0.1, np.array([0.3, 0.002]), 0.004
DAYS = np.array([0.0, 42.0, 84.0, 126.0])
LDH = (100.0, 300.0, 100.0, 300.0, None)


def the_cohort():
    rng = np.random.default_rng(3)
    people = []
    for k, ldh in enumerate(LDH):
        day = DAYS[: 2 + k % 3]
        size = np.exp(np.log(LARGE) + 0.3 * rng.normal() + 0.003 * rng.normal() * day
                      + SCATTER * rng.normal(size=len(day)))  # fmt: skip
        own = {} if ldh is None else {"ldh": ldh}
        nothing = np.zeros(len(day), bool)
        people.append(Patient(f"P{k}", "", "", day, size, nothing, {}, covariates=own))
    return Cohort(tuple(people))


def the_fit(cohort, moved):
    """A fit whose every draw is the same population."""
    values = {"baseline_typical": LARGE, "baseline_sd": SDS[0], "net_growth_typical": 0.001,
              "net_growth_sd": SDS[1], "scatter": SCATTER}  # fmt: skip
    options = {"pooling": "partial", "accuracy": "fine"}
    if moved:
        values["net_growth_by_ldh"] = SLOPE
        options |= {"covariates": {"net_growth": ["ldh"]}, "levels": {}}
        options |= {"scaling": {"ldh": (200.0, 100.0)}}
    draws = {name: (("chain", "draw"), np.full((2, 3), value)) for name, value in values.items()}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws)})
    return Fit(MODEL, cohort, tree, {"options": options})


def by_hand(patient, moved):
    """Mean and sds of a patient's posterior: regression with a normal prior."""
    ldh = patient.covariates.get("ldh")
    shift = SLOPE * (ldh - 200.0) / 100.0 if moved and ldh is not None else 0.0
    wide = SLOPE if moved and ldh is None else 0.0
    centre = np.array([np.log(LARGE), 0.001 + shift])
    precision = np.diag(1.0 / np.array([SDS[0] ** 2, SDS[1] ** 2 + wide**2]))
    design = np.column_stack([np.ones(len(patient.day)), patient.day])
    covariance = np.linalg.inv(precision + design.T @ design / SCATTER**2)
    off = covariance @ design.T @ (np.log(patient.size_mm) - design @ centre) / SCATTER**2
    return centre + off, np.sqrt(np.diag(covariance)), off


def log_marginal(patient, centre):
    """Log density of all sizes in mm, parameters integrated out; centre without covariates."""
    design = np.column_stack([np.ones(len(patient.day)), patient.day])
    covariance = design @ np.diag(SDS**2) @ design.T + SCATTER**2 * np.eye(len(patient.day))
    y = np.log(patient.size_mm)
    return stats.multivariate_normal.logpdf(y, design @ centre, covariance) - y.sum()
