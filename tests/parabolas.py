"""Fits whose courses are parabolas, for which each class can be computed."""

import jax.numpy as jnp
import numpy as np
import xarray as xr

from pdmodel import Cohort, Fit, Model, Patient, drug, residual
from pdmodel.mechanism import Mechanism
from pdmodel.parameter import Parameter
from pdmodel.resistance import (
    classify,
)

CHAINS, DRAWS = 4, 500
BASELINE = 50.0


def own(name, unit, typical, transform, sd):
    return Parameter(name, unit, typical, name, transform, sd, sd, source="assumption: a test")


PARABOLA = Mechanism(
    name="parabola",
    about="log size = log baseline + slope day + bend day^2 / 2, whatever is given",
    parameters=(
        own("baseline", "mm", BASELINE, "log", 0.5),
        own("slope", "1/day", 0.0, "identity", 0.01),
        own("bend", "1/day^2", 0.0, "identity", 1e-4),
    ),
    answers_to=("pd1_block",),
    initial=lambda p: {"log_ratio": jnp.zeros_like(p["baseline"])},
    rate=lambda t, s, p, a: {"log_ratio": p["slope"] + p["bend"] * t},
    log_size=lambda s, p: jnp.log(p["baseline"]) + s["log_ratio"],
    states={"log_ratio": "log of the size relative to the start"},
    source="assumption: a test",
)
MODEL = Model(PARABOLA, (drug("atezolizumab"),), residual("lognormal"))

GROWS = (0.01, 0.0)  # 52 % in 42 days: progression at the first scan
SHRINKS = (-0.005, 0.0)
LATE = (-0.01, 8e-5)  # smallest, -46 %, on day 125; 20 % above that on day 192.5
EARLY = (-0.01, 1e-4)  # smallest, -39 %, on day 100; 20 % above that on day 160.4


def size_at(slope, bend, day):
    return BASELINE * np.exp(slope * day + bend * day**2 / 2)


def a_patient(name, course, last, **more):
    day = np.arange(0.0, last + 1, 42)
    size = np.maximum(size_at(*course, day), 5.0)
    return Patient(name, "S", "a", day, size, size_at(*course, day) < 5.0, **more)


def a_fit(courses, patients, spoil=lambda values, stats: None, other=SHRINKS, share=()):
    """A healthy fit; of patient k a share of the draws follows its course, and the rest `other`."""
    rng = np.random.default_rng(3)
    cohort = Cohort(tuple(patients))
    shape = (CHAINS, DRAWS, len(cohort))
    values = {"baseline": BASELINE * np.exp(1e-3 * rng.normal(size=shape))}
    values["slope"], values["bend"] = 1e-6 * rng.normal(size=shape), 1e-9 * rng.normal(size=shape)
    for k, patient in enumerate(cohort):
        total = CHAINS * DRAWS
        count = round(dict(share).get(patient.id, 1.0) * total)
        mine = rng.permutation(np.arange(total) < count).reshape(shape[:2])
        for name, here, there in zip(("slope", "bend"), courses[patient.id], other, strict=True):
            values[name][..., k] += np.where(mine, here, there)
    values["scatter"] = 0.05 * np.exp(0.05 * rng.normal(size=shape[:2]))
    for q in MODEL.individual:
        values[f"{q.name}_typical"] = q.typical + 0.3 * q.prior_sd * rng.normal(size=shape[:2])
        values[f"{q.name}_sd"] = q.between * np.exp(0.1 * rng.normal(size=shape[:2]))
    stats = {
        "diverging": np.zeros(shape[:2], bool),
        "energy": rng.normal(size=shape[:2]),
        "n_steps": np.full(shape[:2], 15),
    }
    spoil(values, stats)
    dims = ("chain", "draw", "patient")
    groups = {
        name: xr.Dataset({k: (dims[: v.ndim], v) for k, v in group.items()})
        for name, group in (("posterior", values), ("sample_stats", stats))
    }
    manifest = {
        "options": {"pooling": "partial", "max_depth": 8, "accuracy": "draft"},
        "failed_solves": {"posterior": "0 of 2000"},
    }
    return Fit(MODEL, cohort, xr.DataTree.from_dict(groups), manifest)


CASES = {
    # name: (course, last scan, class by then, class by day 400)
    "grows": (GROWS, 84, "primary", "primary"),
    "shrinks": (SHRINKS, 378, "durable", "durable"),
    "shrinks, short": (SHRINKS, 84, "not_determinable", "durable"),
    "late": (LATE, 252, "acquired", "acquired"),
    "late, short": (LATE, 126, "not_determinable", "acquired"),
    "early": (EARLY, 210, "early_loss", "early_loss"),
    "early, short": (EARLY, 126, "not_determinable", "early_loss"),
    "vanishes": ((-0.02, 0.0), 378, "durable", "durable"),
    "one scan": (GROWS, 0, "not_determinable", "primary"),
}
PATIENTS = tuple(a_patient(name, case[0], case[1]) for name, case in CASES.items())
COURSES = {name: case[0] for name, case in CASES.items()}
FIT = a_fit(COURSES, PATIENTS)
LABELS = classify(FIT)


def label_of(labels, column="label"):
    return dict(zip(labels["patient_id"], labels[column], strict=True))


def mixed_fit():
    """Four patients of whom more, fewer or no draws progress at the first scan."""
    names = {"most": 0.8, "less": 0.795, "even": 0.5, "none": 0.0}
    patients = [a_patient(name, GROWS, 84) for name in names]
    return a_fit(dict.fromkeys(names, GROWS), patients, share=names)
