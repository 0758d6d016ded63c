"""The package as a contender: the same patients, laid out and solved by its own integrator."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from peers.problem import SENSITIVE, Problem, from_cohort, weights

import pdmodel as pdm
from pdmodel.course import Accuracy, Courses, lay_out
from pdmodel.dosing import Regimen, parse_schedules, planned
from pdmodel.mechanism import Mechanism
from pdmodel.mechanisms.exhaustion import MECHANISM
from pdmodel.solve import Blocks, blocked, log_sizes
from pdmodel.solve import _marched as marched
from pdmodel.solve import _size as size_alone

DRUG = "atezolizumab"
MODEL = pdm.Model(MECHANISM, (pdm.drug(DRUG),), pdm.residual("student_t"))
PATHS: dict[str, Mechanism] = {"core": MECHANISM, "general": replace(MECHANISM, linear=None)}
"""The core model with what it declares of its structure, and as any right-hand side."""
IDLE = "idle"


def still(time: Any, s: Mapping, p: Mapping, a: Mapping) -> dict:
    """Change nothing, but look at the doses."""
    return dict.fromkeys(s, 0.0 * (time + p["waning"] * a["pd1_block"]))


MECHANISMS = PATHS | {IDLE: replace(PATHS["general"], rate=still)}
"""Idle is the general path with a right-hand side of 0: cells, queue and records alone."""
CLASSES: dict[Accuracy, float] = {"draft": 1e-3, "standard": 1e-4, "fine": 1e-6}
"""Largest error of log size that each class promises."""
FREE = (*SENSITIVE, "baseline")
CONSTANTS = {q.name: MODEL.constants[q.name] for q in MECHANISM.parameters if q.fixed}
VISITS = np.arange(0.0, 720.0, 42.0)
LARGE = 10.0
"""Log size, 22 m, beyond which its error is judged relative to it."""


# ---------------------------------------------------------------------------------- the patients


def from_prior(count: int, seed: int, wider: float = 1.0) -> dict[str, np.ndarray]:
    """Draw patients, each with a population of its own; every spread `wider` times the prior's."""
    rng = np.random.default_rng(seed)
    values = {}
    for q in MODEL.free:
        z = rng.normal(size=(3, count))
        centre = q.centre + wider * q.sd * z[0]
        between = wider * (q.between or 0.0) * np.exp(q.between_spread * z[1])
        values[q.name] = np.asarray(q.natural(centre + between * z[2]))
    return values


def two_years(count: int, seed: int, wider: float = 1.0) -> Problem:
    """Patients drawn from the prior, dosed every three weeks and scanned every six, to day 714."""
    given = planned(parse_schedules("atezolizumab 1200 mg q3w"), VISITS[-1])
    seen = np.ones(len(VISITS))
    one = pdm.Patient("one", "", "", VISITS, seen, seen < 0.0, given)
    typical = {q.name: np.array([q.typical]) for q in MODEL.free}
    same = from_cohort(MODEL, pdm.Cohort((one,)), typical).only(np.zeros(count, int))
    return replace(same, parameters=same.parameters | given_names(same, seed, wider))


def given_names(problem: Problem, seed: int, wider: float) -> dict[str, np.ndarray]:
    drawn = from_prior(problem.patients, seed, wider)
    return {name: value for name, value in drawn.items() if name in problem.parameters}


def courses(problem: Problem, accuracy: Accuracy) -> Courses:
    """Lay out the courses of a problem."""
    people = range(problem.patients)
    columns = (problem.dose_start, problem.dose_mg, problem.dose_length)
    given = [Regimen(*(column[k, : problem.doses[k]] for column in columns)) for k in people]
    days = [problem.day[k, : problem.visits[k]] for k in people]
    regimens = [{DRUG: regimen} for regimen in given]
    return lay_out(MODEL, list(problem.start), days, regimens, accuracy)


def tiled(laid: Courses, count: int) -> Courses:
    """As many patients as wanted: the same ones, again and again."""
    rows = np.arange(count) % len(laid.first)
    names = ("first", "last", "read", "visible")
    return replace(laid, **{name: getattr(laid, name)[rows] for name in names})


# ------------------------------------------------------------------------------------- the errors


def apart_by(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Largest error of log size of each patient; not finite counts as infinite."""
    off = np.abs(found - exact) / np.maximum(1.0, np.abs(exact) / LARGE)
    return np.where(np.isfinite(off), off, np.inf).max(axis=1)


class Error(NamedTuple):
    """Of log size, over patients."""

    median: float
    most: float
    largest: float

    @classmethod
    def of(cls, off: np.ndarray) -> "Error":
        """Summarize the largest error of each patient."""
        return cls(float(np.median(off)), float(np.quantile(off, 0.99)), float(off.max()))

    def __str__(self) -> str:
        return f"{self.median:7.0e} {self.most:7.0e} {self.largest:7.0e}"


class Steps(NamedTuple):
    """Steps that adapt; a course that the core's fixed grids solved has none."""

    share: float
    """Of the courses that had such steps."""
    mean: float
    """Tried in these courses."""
    most: int

    @classmethod
    def of(cls, tried: np.ndarray) -> "Steps":
        """Summarize the steps tried by each patient, below 0 where the course failed."""
        some = np.abs(tried[tried != 0])
        if not len(some):
            return cls(0.0, 0.0, 0)
        return cls(len(some) / len(tried), float(some.mean()), int(some.max()))

    def __str__(self) -> str:
        return f"{self.share:8.2%} {self.mean:5.0f} {self.most:4d}"


STEPS = f"{'adaptive':>8} {'steps':>5} {'most':>4}"
"""Heading over `Steps`."""
ADAPTIVE = "adaptive: courses with adaptive steps; of the core's, those that its fixed grids left"


# -------------------------------------------------------------------------------------- the tasks


def plainly(mechanism: Mechanism, free: Mapping, blocks: Blocks, weight: jax.Array) -> tuple:
    """Log sizes, and adaptive steps tried by each patient, below 0 where the course failed."""
    del weight
    output = partial(size_alone, ())
    seen, steps = marched(mechanism, (), output, {**_constants(), **free}, blocks)
    return seen[..., 0], steps


def value(mechanism: Mechanism, free: Mapping, blocks: Blocks, weight: jax.Array) -> jax.Array:
    """Weighted sum of log sizes."""
    return jnp.sum(weight * log_sizes(mechanism, dict(free), _constants(), blocks)[0])


def gradient(mechanism: Mechanism, free: Mapping, blocks: Blocks, weight: jax.Array) -> tuple:
    """Weighted sum of log sizes, and its gradient to the free parameters of each patient."""
    return jax.value_and_grad(value, 1)(mechanism, free, blocks, weight)


def all_of_it(mechanism: Mechanism, free: Mapping, blocks: Blocks, weight: jax.Array) -> tuple:
    """Log sizes, whether solved, and the gradient of the weighted sum."""

    def solved(free: Mapping) -> tuple:
        return log_sizes(mechanism, dict(free), _constants(), blocks)

    log_size, pull, ok = jax.vjp(solved, dict(free), has_aux=True)
    return log_size, ok, pull(weight)[0]


def _constants() -> dict[str, jax.Array]:
    return {name: jnp.asarray(x, float) for name, x in CONSTANTS.items()}


class Ready(NamedTuple):
    """A task compiled for one layout of patients."""

    run: Callable
    seconds: float
    """Of tracing and compiling."""
    temporary: float
    """Bytes that it needs while it runs."""


_known: dict[tuple, Ready] = {}


def compiled(task: Callable, path: str, *arguments: Any) -> Ready:
    """Compile once for every task, path, and shape of arguments."""
    flat, tree = jax.tree.flatten(arguments)
    key = (task, path, tree, tuple((x.shape, x.dtype) for x in flat))
    if key not in _known:
        began = time.perf_counter()
        run = jax.jit(partial(task, MECHANISMS[path])).lower(*arguments).compile()
        seconds = time.perf_counter() - began
        memory = run.memory_analysis()
        _known[key] = Ready(run, seconds, getattr(memory, "temp_size_in_bytes", np.nan))
    return _known[key]


class Prepared:
    """A problem laid out in one class."""

    def __init__(self, problem: Problem, accuracy: Accuracy, laid: Courses | None = None) -> None:
        self.problem = problem
        self.blocks = blocked(laid or courses(problem, accuracy))
        rows = np.arange(self.blocks.patients) % problem.patients
        self.free = {n: jnp.asarray(problem.parameters[n][rows], float) for n in FREE}
        self.weight = jnp.asarray(weights(problem)[rows], float)

    def ready(self, task: Callable, path: str) -> Ready:
        """Compile a task for this layout."""
        return compiled(task, path, self.free, self.blocks, self.weight)

    def run(self, task: Callable, path: str, free: Mapping | None = None) -> Any:
        """Run a task, for other values if they are given; arrays of NumPy."""
        given = self.free if free is None else free
        found = self.ready(task, path).run(given, self.blocks, self.weight)
        return jax.tree.map(np.asarray, found)

    def again(self, task: Callable, path: str) -> Callable[[], Any]:
        """A function that runs a task and waits for it."""
        run = self.ready(task, path).run
        return lambda: jax.block_until_ready(run(self.free, self.blocks, self.weight))
