"""A cohort of random walks, made by a seed."""

import numpy as np

import pdmodel as pdm


def walked(patients, seed):
    """A cohort of random walks on whole mm, with covariates, some of them missing."""
    rng, people = np.random.default_rng(seed), []
    for k in range(patients):
        scans = 4 + k % 2
        step = 0.1 * np.exp(0.4 * rng.normal()) * rng.normal(size=scans)
        step[0] = 0.2 * rng.normal()
        size = np.maximum(np.round(50 * np.exp(np.cumsum(step))), 6.0)
        about = {"tmb": float(k), "sex": "F", "same": 1.0} if k % 3 else {"sex": "M", "same": 1.0}
        day = 42.0 * np.arange(scans)
        people.append(pdm.Patient(f"P{k}", "s", "a", day, size, size < 0.0, {}, about))
    return pdm.Cohort(tuple(people))
