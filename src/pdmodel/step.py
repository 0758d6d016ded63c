"""One step of one patient: exact where the mechanism's structure allows, general otherwise.

A mechanism that declares a linear pair is moved by an exponential midpoint step: half a step of
the third state, the exact exponential of the pair at that midpoint, a full step of the third with
the pair's exact mean. It is second order, never unstable, and keeps the pair non-negative. Any
other mechanism is moved by RODAS3, a stiffly accurate Rosenbrock method of third order with four
stages (Sandu et al. 1997, doi:10.1016/S1352-2310(97)83212-8).
"""

import jax
import jax.numpy as jnp
from jax import Array

from pdmodel.action import Actions
from pdmodel.mechanism import LinearPair, Mechanism, State
from pdmodel.parameter import Values


def exponential_step(
    pair: LinearPair, time: Array, step: Array, s: State, p: Values, a: Actions
) -> State:
    """Move one patient by one step, exact in the linear pair; second order in the rest."""
    first, second = pair.states
    here = {first: s[first], second: s[second]}
    middle = s | pair.flow(0.5 * step, s, here, p, a)
    now = time + 0.5 * step
    (minus_a, b), (c, minus_d) = pair.matrix(now, middle, p, a)
    s1, s2 = pair.inflow(now, middle, p, a)
    det = minus_a * minus_d - b * c
    rest1, rest2 = (b * s2 - minus_d * s1) / det, (c * s1 - minus_a * s2) / det
    w1, w2 = here[first] - rest1, here[second] - rest2
    mean, q = 0.5 * (minus_a + minus_d), 0.5 * (minus_a - minus_d)
    radius = jnp.sqrt(q * q + b * c + 1e-24)
    fast, slow = jnp.exp(step * (mean - radius)), jnp.exp(step * (mean + radius))
    even, odd = 0.5 * (slow + fast), -0.5 * slow * jnp.expm1(-2.0 * radius * step) / radius
    v1 = even * w1 + odd * (q * w1 + b * w2)
    v2 = even * w2 + odd * (c * w1 - q * w2)
    length = jnp.where(step > 0, step, 1.0)
    d1, d2 = v1 - w1, v2 - w2  # A^-1 (exp(A h) - 1) w is the integral of the deviation
    i1, i2 = (minus_d * d1 - b * d2) / det, (minus_a * d2 - c * d1) / det
    average = {first: rest1 + i1 / length, second: rest2 + i2 / length}
    moved = pair.flow(step, s, average, p, a)
    return {first: jnp.maximum(rest1 + v1, 0.0), second: jnp.maximum(rest2 + v2, 0.0)} | moved


GAMMA = 0.5
STAGE = ((), (0.0,), (2.0, 0.0), (2.0, 0.0, 1.0))
COUPLING = ((), (4.0,), (1.0, -1.0), (1.0, -1.0, -8.0 / 3.0))
MOMENT = (0.0, 0.0, 1.0 - 1e-9, 1.0 - 1e-9)  # a rate may jump at a step's end; this side counts
DRIFT = (0.5, 1.5, 0.0, 0.0)
TOO_COARSE = 0.05
"""Embedded error of one step, relative to 1 + |state|, beyond which a solution is not used."""


def solved(matrix: Array, right: Array) -> Array:
    """Solve a small linear system by elimination without pivoting; it fuses, LAPACK does not."""
    size = right.shape[0]
    rows = [[matrix[i, j] for j in range(size)] + [right[i]] for i in range(size)]
    for i in range(size):
        for k in range(i + 1, size):
            factor = rows[k][i] / rows[i][i]
            rows[k] = [x - factor * y for x, y in zip(rows[k], rows[i], strict=True)]
    x: list[Array] = [jnp.zeros(())] * size
    for i in reversed(range(size)):
        known = sum((rows[i][j] * x[j] for j in range(i + 1, size)), start=jnp.zeros(()))
        x[i] = (rows[i][size] - known) / rows[i][i]
    return jnp.stack(x)


def rosenbrock_step(
    mechanism: Mechanism, time: Array, step: Array, s: State, p: Values, a: Actions
) -> tuple[State, Array]:
    """Move one patient by one step of RODAS3; returns the state and the embedded error."""
    names = tuple(s)

    def rate(t: Array, y: Array) -> Array:
        change = mechanism.rate(t, dict(zip(names, y, strict=True)), p, a)
        return jnp.stack([change[name] for name in names])

    y = jnp.stack([s[name] for name in names])
    slope = jax.jvp(lambda t: rate(t, y), (time,), (jnp.ones_like(time),))[1]
    left = jnp.eye(len(names)) - GAMMA * step * jax.jacfwd(rate, 1)(time, y)
    stages: list[Array] = []
    for i in range(4):
        at = y + sum((c * k for c, k in zip(STAGE[i], stages, strict=True)), jnp.zeros_like(y))
        pull = sum((c * k for c, k in zip(COUPLING[i], stages, strict=True)), jnp.zeros_like(y))
        change = rate(time + MOMENT[i] * step, at) + step * DRIFT[i] * slope
        stages.append(solved(left, GAMMA * (step * change + pull)))
    moved = y + 2.0 * stages[0] + stages[2] + stages[3]
    error = jnp.max(jnp.abs(stages[3]) / (1.0 + jnp.abs(y)))
    return dict(zip(names, moved, strict=True)), error


def one_step(
    mechanism: Mechanism, time: Array, step: Array, s: State, p: Values, a: Actions
) -> tuple[State, Array]:
    """Move one patient by one step, by the best method the mechanism allows."""
    if mechanism.linear is not None:
        return exponential_step(mechanism.linear, time, step, s, p, a), jnp.zeros(())
    return rosenbrock_step(mechanism, time, step, s, p, a)
