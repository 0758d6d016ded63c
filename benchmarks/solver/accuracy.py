"""How far log sizes and gradients of draws of the prior are from the exact ones."""

import jax.numpy as jnp
import numpy as np
from peers import scipy_peer
from peers.problem import SENSITIVE
from surroundings import part

from solver import ours
from solver.ours import ADAPTIVE, CLASSES, FREE, PATHS, STEPS, Error, Prepared, Steps

CHANGE = 1e-5
"""Of the log of a parameter, for central differences."""


def accuracy(count: int) -> None:
    part(f"(a) Accuracy: {count} draws of the prior, doses and scans to day 714")
    problem = ours.two_years(count, seed=7)
    exact, slopes = scipy_peer.exact(problem)
    print(
        "reference: SciPy DOP853, rtol 1e-12, restarted at scans and at starts and ends of "
        "infusions\nerror of log size, largest of a patient: absolute up to |log size| 10 (22 m), "
        "relative beyond\nslopes: of a weighted sum of a patient's log sizes with the log of each "
        "parameter; error |difference| / (1 + |slope|)\n" + ADAPTIVE
    )
    print(
        f"{'path':8} {'class':9} {'median':>7} {'99 %':>7} {'max':>7} {'solved':>8} "
        f"{STEPS}   {'slope against differences':>25}   "
        f"{'slope against exact':>23}"
    )
    print(f"{'':62}   {'median':>9} {'99 %':>7} {'max':>7}   {'median':>7} {'99 %':>7} {'max':>7}")
    for path in PATHS:
        for name in CLASSES:
            laid = Prepared(problem, name)
            log_size, ok, found = laid.run(ours.all_of_it, path)
            tried = Steps.of(laid.run(ours.plainly, path)[1])
            error = Error.of(ours.apart_by(log_size, np.where(laid.weight, exact, log_size))[ok])
            mine = np.stack([found[n] * np.asarray(laid.free[n]) for n in FREE])
            near = relative(mine, by_differences(laid, path))[ok]
            there = np.stack([problem.parameters[n] for n in SENSITIVE])
            true = np.einsum("pv,pvk->kp", np.asarray(laid.weight), slopes) * there
            far = relative(mine[: len(SENSITIVE)], true)[ok]
            print(
                f"{path:8} {name:9} {error} {np.mean(ok):8.2%} {tried}   "
                f"{'':2}{Error.of(near)}   {Error.of(far)}"
            )


def relative(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Largest over parameters of a patient."""
    return np.max(np.abs(found - true) / (1.0 + np.abs(true)), axis=0)


def by_differences(laid: Prepared, path: str) -> np.ndarray:
    """Slope with the log of each free parameter, (parameters, patients)."""
    weight = np.asarray(laid.weight)

    def total(name: str, factor: float) -> np.ndarray:
        moved = laid.free | {name: jnp.asarray(laid.free[name]) * factor}
        return np.sum(weight * laid.run(ours.plainly, path, moved)[0], axis=1)

    grown = [total(name, np.exp(CHANGE)) - total(name, np.exp(-CHANGE)) for name in FREE]
    return np.stack(grown) / (2.0 * CHANGE)
