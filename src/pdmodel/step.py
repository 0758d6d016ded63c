"""One step of one patient: a Rosenbrock method, stable however fast cells come and go.

ROS4 of Hairer and Wanner (doi:10.1007/978-3-642-05221-7, section IV.7): four stages, three
evaluations of the rate, fourth order, L-stable, with an embedded solution of third order that
measures the error. What this error does to the size is what counts. Derivatives are found by
automatic differentiation, entry by entry: what a mechanism does not couple costs nothing, and
entries that several directions need are computed once.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import Literal

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Values

type Forcing = tuple[tuple[Actions, ...], Actions]
"""Actions at the moments `MOMENTS` of a step, and their change per day at its beginning."""
type Matrix = dict[tuple[str, str], Array]
"""Entries by row and column; those that are always zero are absent."""

GAMMA = 0.57282
MOMENTS = (0.0, 1.14564, 0.65521686381559)
STAGES = ((), (2.0,), (1.867943637803922, 0.2344449711399156))
COUPLINGS = (
    (),
    (-7.137615036412310,),
    (2.580708087951457, 0.6515950076447975),
    (-2.137148994382534, -0.3214669691237626, -0.6949742501781779),
)
DRIFTS = (0.57282, -1.769193891319233, 0.7592633437920482, -0.1049021087100450)
MOVES = (2.255570073418735, 0.2870493262186792, 0.4353179431840180, 1.093502252409163)
ERRORS = (-0.2815431932141155, -0.07276199124934920, -0.1082196201495311, -1.093502252409163)

FORESEEN = 30.0
"""Days for which an error of another state is followed to what it does to the size."""
LEAST_WEIGHT = 0.01
"""Of an error that does nothing to the size, relative to 1 + all states: they are drawn, too."""
LARGE = 10.0
"""Log size beyond which its error is relative to it; 22 m."""

apart = lax.optimization_barrier
"""Keeps the compiler from computing a quantity again in each of the operations that use it."""


def dependence(function: Callable, x: Mapping, rest: object) -> dict[str, set[str]]:
    """List on which entries of `x` each entry of ``function(x, rest)`` depends, as traced."""
    single = partial(jax.tree.map, lambda _: jnp.ones(()))
    with jax.ensure_compile_time_eval():
        traced, out = jax.make_jaxpr(function, return_shape=True)(single(x), single(rest))
    reached = {v: {name} for v, name in zip(traced.jaxpr.invars, sorted(x), strict=False)}
    for equation in traced.jaxpr.eqns:
        read = [reached.get(v, set()) for v in equation.invars if not isinstance(v, Literal)]
        reached |= dict.fromkeys(equation.outvars, set().union(*read))
    return {
        name: set() if isinstance(v, Literal) else reached.get(v, set())
        for name, v in zip(sorted(out), traced.jaxpr.outvars, strict=True)
    }


def partials(function: Callable, x: State, rest: object) -> Matrix:
    """Differentiate each entry of ``function(x, rest)`` by each entry of `x` it depends on."""
    known = dependence(function, x, rest)
    entries: Matrix = {}
    for column, value in x.items():
        rows = [row for row, columns in known.items() if column in columns]
        if rows:
            alone = partial(lambda v, column: function(x | {column: v}, rest), column=column)
            change = jax.jvp(alone, (value,), (jnp.ones_like(value),))[1]
            entries |= {(row, column): change[row] for row in rows}
    return entries


def entrywise(function: Callable, x: State, rest: object) -> State:
    """Apply a function of scalars whose derivative is found once for all directions."""

    @jax.custom_jvp
    def call(x: State, rest: object) -> State:
        return function(x, rest)

    @call.defjvp
    def push(primals: tuple, tangents: tuple) -> tuple[State, State]:
        x, rest = primals
        out, entries = function(x, rest), apart(partials(function, x, rest))
        change = {name: jnp.zeros_like(value) for name, value in out.items()}
        for (row, column), entry in entries.items():
            change[row] = change[row] + entry * tangents[0][column]
        return out, change

    return call(x, rest)


def factored(matrix: Matrix, names: tuple[str, ...]) -> Matrix:
    """Eliminate without pivoting: the upper triangle, multipliers below it, 1/pivots in it."""
    m = dict(matrix)
    for i, pivot in enumerate(names):
        later = names[i + 1 :]
        m[pivot, pivot] = 1.0 / m[pivot, pivot]
        for row in (row for row in later if (row, pivot) in m):
            m[row, pivot] = m[row, pivot] * m[pivot, pivot]
            for column in (column for column in later if (pivot, column) in m):
                cut = m[row, pivot] * m[pivot, column]
                m[row, column] = m[row, column] - cut if (row, column) in m else -cut
    return m


def solved(m: Matrix, names: tuple[str, ...], right: Mapping[str, Array]) -> State:
    """Solve with the factors from `factored`."""
    x = dict(right)
    for i, column in enumerate(names):
        for row in (row for row in names[i + 1 :] if (row, column) in m):
            x[row] = x[row] - m[row, column] * x[column]
    for i in reversed(range(len(names))):
        row = names[i]
        for column in (column for column in names[i + 1 :] if (row, column) in m):
            x[row] = x[row] - m[row, column] * x[column]
        x[row] = x[row] * m[row, row]
    return x


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def stage(names: tuple[str, ...], matrix: Matrix, factors: Matrix, right: State) -> State:
    """Solve ``matrix x = right`` with the matrix' factors, which carry no derivative."""
    return apart(solved(factors, names, right))


@stage.defjvp
def _stage_pushed(names: tuple[str, ...], primals: tuple, tangents: tuple) -> tuple[State, State]:
    (matrix, factors, right), (d_matrix, _, d_right) = primals, tangents
    x = stage(names, matrix, factors, right)
    change = dict(d_right)
    for row, column in matrix:
        change[row] = change[row] - d_matrix[row, column] * x[column]
    return x, stage(names, matrix, factors, change)


def one_step(
    mechanism: Mechanism,
    moving: tuple[str, ...],
    time: Array,
    step: Array,
    s: State,
    p: Values,
    forcing: Forcing,
) -> tuple[State, Array]:
    """Move one patient by one step.

    Parameters
    ----------
    mechanism : Mechanism
    moving : tuple of str
        Parameters by which the step may be differentiated.
    time, step : Array
        Day on which it begins, and its length in days.
    s : dict of str to Array
        State at its beginning.
    p : mapping of str to Array
        Every parameter.
    forcing : Forcing

    Returns
    -------
    state, error : dict of str to Array, and Array
        The state at its end, and its error as a change of the log size, without a derivative.
    """
    names = tuple(s)
    moments, drift = forcing
    a_step = apart(1.0 / step)
    rest = {"values": {name: v for name, v in p.items() if name not in moving}, "drift": drift}

    def joined(s: State) -> State:
        return s | {name: p[name] for name in moving}

    def rate(x: State, rest: Mapping) -> State:
        values = {name: x[name] for name in moving} | rest["values"]
        return mechanism.rate(rest["time"], {n: x[n] for n in names}, values, rest["actions"])

    def linearized(x: State, rest: Mapping) -> State:
        state = {name: x[name] for name in names}
        entries = partials(lambda s, rest: rate(x | s, rest), state, rest)
        change, slope = jax.jvp(
            lambda time, actions: rate(x, {**rest, "time": time, "actions": actions}),
            (rest["time"], rest["actions"]),
            (jnp.ones_like(rest["time"]), rest["drift"]),
        )
        matrix = {f"{row}/{column}": entry for (row, column), entry in entries.items()}
        return matrix | {f"{n}'": change[n] for n in names} | {f"{n}''": slope[n] for n in names}

    begun = entrywise(linearized, joined(s), rest | {"time": time, "actions": moments[0]})
    change, slope = {n: begun[f"{n}'"] for n in names}, {n: begun[f"{n}''"] for n in names}
    pairs = ((row, column) for row in names for column in names if f"{row}/{column}" in begun)
    jacobian = {(row, column): begun[f"{row}/{column}"] for row, column in pairs}
    left = {pair: -entry for pair, entry in jacobian.items()}
    for name in names:
        left[name, name] = left.get((name, name), 0.0) + a_step / GAMMA
    change, slope, left = apart((change, slope, left))
    factors = apart(factored(lax.stop_gradient(left), names))
    stages: list[State] = []
    for i, drifting in enumerate(DRIFTS):
        if 0 < i < len(MOMENTS):
            moved = apart({name: s[name] + _mixed(STAGES[i], stages, name) for name in names})
            then = {"time": time + MOMENTS[i] * step, "actions": moments[i]}
            change = entrywise(rate, joined(moved), rest | then)
        right = {
            name: change[name]
            + _mixed(COUPLINGS[i], stages, name) * a_step
            + drifting * step * slope[name]
            for name in names
        }
        stages.append(stage(names, left, factors, apart(right)))
    moved = {name: s[name] + _mixed(MOVES, stages, name) for name in names}
    error = {name: _mixed(ERRORS, stages, name) for name in names}
    return moved, in_size(mechanism, *lax.stop_gradient((s, p, jacobian, error)))


def _mixed(weights: tuple[float, ...], stages: list[State], name: str) -> Array | float:
    return sum((w * k[name] for w, k in zip(weights, stages, strict=True)), start=0.0)


def in_size(
    mechanism: Mechanism, s: State, p: Values, jacobian: Matrix, error: Mapping[str, Array | float]
) -> Array:
    """Bound what an error of the state does to the log size, at once and in the days foreseen."""
    zero = jnp.zeros_like(next(iter(s.values())))
    slopes = partials(lambda x, p: {"size": mechanism.log_size(x, p)}, s, p)
    weight = {name: jnp.abs(slopes.get(("size", name), zero)) for name in s}
    total = dict(weight)
    for order in (1, 2):
        later = dict.fromkeys(s, zero)
        for (row, column), entry in jacobian.items():
            if row != column:
                later[column] = later[column] + FORESEEN / order * jnp.abs(entry) * weight[row]
        weight = later
        total = {name: total[name] + weight[name] for name in s}
    scale = jnp.maximum(1.0, jnp.abs(mechanism.log_size(s, p)) / LARGE)
    off = sum((total[name] * jnp.abs(error[name]) for name in s), start=zero) / scale
    any_error = sum((jnp.abs(error[name]) for name in s), start=zero)
    return off + LEAST_WEIGHT * any_error / sum((jnp.abs(v) for v in s.values()), start=zero + 1.0)
