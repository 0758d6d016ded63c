"""Four patients that plots meet: one grows, one shrinks out of sight, one is seen once."""

import numpy as np
import xarray as xr

from pdmodel import Patient
from pdmodel.dosing import Regimen
from pdmodel.response import RULES

RULE = RULES["sitc2020"]
SHOTS = Regimen([0, 21, 42], [1200, 0, 1200], [0.04] * 3)


def a_patient(name, day, size, censored=(), **more):
    day = np.array(day, float)
    mark = np.isin(np.arange(len(day)), censored)
    given = {"regimens": {"atezolizumab": SHOTS}} | more
    return Patient(name, "S", "a", day, np.array(size, float), mark, **given)


PATIENTS = (
    a_patient("grows", [-7, 42, 84], [40, 52, 70]),
    a_patient("shrinks", [0, 40, 85, 126], [50, 30, 12, 5], censored=[3]),
    a_patient("once", [0], [30]),
    a_patient("returns", [-10, 40, 85, 130, 180], [60, 36, 30, 36, 41]),
)


def replicates_of(fit, size):
    seen = fit.tree["observed_data"].to_dataset()
    return xr.Dataset({"size_mm": (("draw", "obs"), size)}, seen.coords)


def seen_in(fit):
    return fit.tree["observed_data"]["size_mm"].to_numpy()
