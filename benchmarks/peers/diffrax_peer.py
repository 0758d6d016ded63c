"""diffrax as a user would write it: Tsit5, one `vmap` over patients, stops at every edge."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np

from peers.problem import LOG_BURDEN_LIMIT, SENSITIVE, Problem, seconds_of, weights
from peers.scipy_peer import finished

MOST_STEPS, REJECTED = 4096, 64


@dataclass(frozen=True)
class Method:
    """How derivatives are taken, and how many patients are solved in lockstep.

    Attributes
    ----------
    chunk : int or None
        Patients in lockstep, alike in follow-up; None for all at once, in their own order.
    forward : bool
        Forward mode, one tangent for each parameter; if not, the default adjoint, which goes
        back over recursive checkpoints.
    """

    chunk: int | None = 32
    forward: bool = False


DEFAULT = Method()
METHODS = {
    "all at once": Method(None),
    "chunks of 100": Method(100),
    "chunks of 32": Method(32),
    "forward mode, chunks of 32": Method(32, forward=True),
}


def available() -> str | None:
    if find_spec("diffrax") is None:
        return "no diffrax; pip install diffrax"
    return None if jax.config.jax_enable_x64 else "JAX is not in float64"


def rate(day, y, arguments):
    p, row, decay = arguments
    log_burden, e, x = y
    i = jnp.maximum(jnp.searchsorted(row["edge"], day, side="right") - 1, 0)
    c = row["level"][i] + row["moving"][i] @ jnp.exp(-decay * (day - row["edge"][i]))
    free = p["tissue_ratio"] * c
    reversible = (1.0 - p["fixed_fraction"]) * jnp.exp(-p["waning"] * jnp.maximum(day, 0.0))
    act = free / (free + p["half_occupancy"]) * reversible
    burden = jnp.exp(jnp.clip(log_burden, -LOG_BURDEN_LIMIT, LOG_BURDEN_LIMIT))
    antigen = burden * (1.0 + p["antigen_half"]) / (burden + p["antigen_half"])
    exhausting = p["exhaustion"] * antigen * (1.0 - p["block"] * act) * e
    back = p["reinvigoration"] * act * x
    return jnp.stack([
        3.0 * p["growth"] * (1.0 - p["kill"] * e),
        p["loss"] + p["exhaustion"] - p["loss"] * e - exhausting + back,
        exhausting - p["exhaustion"] / p["exhausted_ratio"] * x - back,
    ])  # fmt: skip


class Prepared:
    """Compiled functions of the three free parameters of all patients."""

    def __init__(self, problem: Problem, method: Method = DEFAULT) -> None:
        self.problem, self.method = problem, method
        cut = problem.cut
        far = np.where(np.arange(cut.edge.shape[1]) < cut.count[:, None], cut.edge, 1e6)
        self.rows = {
            "edge": jnp.asarray(far),
            "level": jnp.asarray(cut.level),
            "moving": jnp.asarray(cut.moving),
            "start": jnp.asarray(problem.start),
            "day": jnp.asarray(problem.day),
            "weight": jnp.asarray(weights(problem)),
        }
        self.known = {name: jnp.asarray(x) for name, x in problem.parameters.items()}
        self.free = {name: self.known.pop(name) for name in SENSITIVE}
        self.order = np.argsort(problem.last - problem.start, kind="stable")

    def course(self, free: dict, known: dict, row: dict) -> tuple[jax.Array, jax.Array]:
        """Log burden of one patient at the scans, and the steps taken."""
        import diffrax as dx

        p = known | free
        adjoint = dx.ForwardMode() if self.method.forward else dx.RecursiveCheckpointAdjoint()
        control = dx.ClipStepSizeController(
            dx.PIDController(rtol=row["rtol"], atol=row["rtol"]),
            jump_ts=row["edge"], store_rejected_steps=REJECTED,
        )  # fmt: skip
        solution = dx.diffeqsolve(
            dx.ODETerm(rate), dx.Tsit5(), row["start"], row["day"][-1], 0.05,
            jnp.stack([0.0, 1.0, p["exhausted_ratio"]]),
            (p, row, jnp.asarray(self.problem.cut.decay)), saveat=dx.SaveAt(ts=row["day"]),
            stepsize_controller=control, adjoint=adjoint, max_steps=MOST_STEPS, throw=False,
        )  # fmt: skip
        return solution.ys[:, 0], solution.stats["num_steps"]

    def everyone(self, one: Callable, free: dict, known: dict, rows: dict) -> jax.Array:
        """Map over patients in chunks, in the order of their follow-up."""
        if self.method.chunk is None:
            return jax.vmap(one)(free, known, rows)
        back = np.argsort(self.order)
        ordered = jax.tree.map(lambda x: x[self.order], (free, known, rows))
        found = jax.lax.map(lambda row: one(*row), ordered, batch_size=self.method.chunk)
        return jax.tree.map(lambda x: x[back], found)

    def scalar(self, free: dict, known: dict, row: dict) -> jax.Array:
        """Weighted sum of the log sizes of one patient."""
        log_burden = self.course(free, known, row)[0]
        return jnp.log(known["baseline"]) * row["weight"].sum() + row["weight"] @ log_burden / 3.0

    def value(self, free: dict, known: dict, rows: dict) -> jax.Array:
        """Sum over patients."""
        return jnp.sum(self.everyone(self.scalar, free, known, rows))

    def value_and_gradient(self, free: dict, known: dict, rows: dict) -> tuple[jax.Array, dict]:
        """Sum over patients, and its gradient to each parameter of each patient."""
        if not self.method.forward:
            return jax.value_and_grad(self.value)(free, known, rows)

        def both(free, known, row):
            held = lambda free: (self.scalar(free, known, row),) * 2  # noqa: E731
            slope, value = jax.jacfwd(held, has_aux=True)(free)
            return value, slope

        values, slopes = self.everyone(both, free, known, rows)
        return jnp.sum(values), slopes


def solve(
    problem: Problem, rtol: float, *, sensitivities: bool, method: Method = DEFAULT
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Solve the patients; sensitivities are by forward mode, whatever the method."""
    found, steps = compiled(problem, method, "course")(rtol)
    slopes = None
    if sensitivities:
        by_name = compiled(problem, Method(method.chunk, forward=True), "slopes")(rtol)
        slopes = np.stack([by_name[name] for name in SENSITIVE], axis=-1)
    about = {"method": f"diffrax Tsit5 {method}", "steps": float(np.mean(steps))}
    about |= {"most_steps": int(np.max(steps))}
    return *finished(problem, np.asarray(found), slopes), about


def gradient(problem: Problem, rtol: float, method: Method = DEFAULT) -> np.ndarray:
    """Gradient of ``sum(weights * log size)`` to growth, kill and waning, (P, 3)."""
    _, slopes = compiled(problem, method, "gradient")(rtol)
    return np.stack([slopes[name] for name in SENSITIVE], axis=-1)


def timed(
    problem: Problem, rtol: float, *, sensitivities: bool, repeats: int, method: Method = DEFAULT
) -> np.ndarray:
    """Seconds of each repeat, sorted: the weighted sum, or that and its gradient."""
    task = "gradient" if sensitivities else "value"
    run = compiled(problem, method, task)
    return seconds_of(lambda: jax.block_until_ready(run(rtol)), repeats)


@cache
def compiled(problem: Problem, method: Method, task: str) -> Callable[[float], tuple]:
    """Compile one task for the problem's own parameters; a function of the tolerance."""
    ready = Prepared(problem, method)

    def slopes(*given):
        size = lambda *mine: ready.course(*mine)[0]  # noqa: E731
        return ready.everyone(jax.jacfwd(size), *given)

    tasks = {
        "course": lambda *given: ready.everyone(ready.course, *given),
        "slopes": slopes,
        "value": ready.value,
        "gradient": ready.value_and_gradient,
    }

    def given(rtol: float) -> tuple:
        same = jnp.full(problem.patients, rtol)
        return ready.free, ready.known, ready.rows | {"rtol": same}

    run = jax.jit(tasks[task]).lower(*given(1.0)).compile()
    return lambda rtol: run(*given(rtol))
