"""Residuals: processor time of log densities and gradients, for a scan of many series."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from surroundings import heading

from pdmodel.residual import Residual, Scans
from pdmodel.residuals import RESIDUALS

SERIES, VISITS, REPEATS = 2_000, 8, 25

jax.config.update("jax_enable_x64", True)


def drawn_scans() -> Scans:
    """Draw series of lesions of about 30 mm, a quarter of whose scans repeat the one before."""
    rng = np.random.default_rng(0)
    gaps = rng.choice([40.0, 42.0, 44.0, 63.0], (SERIES, VISITS))
    log_size = np.log(30.0) + 0.6 * rng.normal(size=(SERIES, 1))
    log_size = log_size + np.cumsum(0.1 * rng.normal(size=(SERIES, VISITS)), axis=1)
    size, same = np.maximum(np.round(np.exp(log_size)), 5.0), rng.random((SERIES, VISITS)) < 0.25
    for j in range(1, VISITS):
        size[:, j] = np.where(same[:, j], size[:, j - 1], size[:, j])
    return Scans(jnp.asarray(np.cumsum(gaps, 1)), jnp.log(size), jnp.asarray(size <= 5.0))


def microseconds(one: Residual, scans: Scans) -> list[float]:
    """Measure value, and value and gradient by course and all free parameters, for a scan."""
    fixed = {q.name: q.typical for q in one.parameters if q.fixed}
    shared = {q.name: q.typical for q in one.parameters if not (q.fixed or q.individual)}
    own = {q.name: jnp.full(SERIES, q.typical) for q in one.parameters if q.individual}
    course = jnp.broadcast_to(scans.log_size[:, :1], (SERIES, VISITS))

    def total(shared: dict, own: dict, course: jax.Array) -> jax.Array:
        def of(course: jax.Array, scans: Scans, own: dict) -> jax.Array:
            return jnp.sum(one.log_density(course, scans, fixed | shared | own))

        return jnp.sum(jax.vmap(of)(course, scans, own))

    found = []
    for function in (jax.jit(total), jax.jit(jax.value_and_grad(total, (0, 1, 2)))):
        times = []
        for _ in range(REPEATS + 1):  # the first compiles
            start = time.process_time()
            jax.block_until_ready(function(shared, own, course))
            times.append(time.process_time() - start)
        found.append(min(times[1:]) / SERIES / VISITS * 1e6)
    return found


if __name__ == "__main__":
    heading(f"Residuals: processor time for a scan, {SERIES} series of {VISITS} at once, least "
            f"of {REPEATS}")  # fmt: skip
    scans = drawn_scans()
    for name, one in RESIDUALS.items():
        value, both = microseconds(one, scans)
        print(f"{name:16s} value {value:.3f} us, with gradient {both:.3f} us", flush=True)
