"""Stan's Runge-Kutta 4(5) with its own sensitivities, through the package httpstan."""

import asyncio
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np

from peers import native
from peers.problem import SENSITIVE, Problem, seconds_of, weights

PROGRAM = Path(__file__).with_name("course.stan")
CONSTANTS = (
    "exhaustion", "exhausted_ratio", "reinvigoration", "loss", "antigen_half", "fixed_fraction",
    "tissue_ratio", "half_occupancy", "block",
)  # fmt: skip


def available() -> str | None:
    if find_spec("httpstan") is None:
        return "no Stan; pip install httpstan"
    return native.missing_compiler("course.cpp")


def compiled() -> ModuleType:
    """Compile the program, some minutes, unless httpstan has it in its cache."""
    from httpstan import models

    text = PROGRAM.read_text()
    name = models.calculate_model_name(text)
    try:
        return models.import_services_extension_module(name)
    except KeyError:
        asyncio.run(models.build_services_extension_module(text))
        return models.import_services_extension_module(name)


class Prepared:
    """The compiled program, and the data and the parameters as it takes them."""

    def __init__(self, problem: Problem, rtol: float) -> None:
        cut, p = problem.cut, problem.parameters
        self.program, self.shape = compiled(), problem.day.shape
        self.data = {
            "P": problem.patients,
            "V": self.shape[1],
            "E": cut.edge.shape[1],
            "visits": problem.visits.tolist(),
            "edges": cut.count.tolist(),
            "day": problem.day.tolist(),
            "weight": weights(problem).tolist(),
            "edge": cut.edge.tolist(),
            "level": cut.level.tolist(),
            "moving": cut.moving.tolist(),
            "decay": cut.decay.tolist(),
            "constants": np.stack([p[name] for name in CONSTANTS], axis=1).tolist(),
            "baseline": p["baseline"].tolist(),
            "tolerance": rtol,
        }
        self.free = np.concatenate([p[name] for name in SENSITIVE]).tolist()

    def sizes(self) -> np.ndarray:
        """Log sizes (P, V), without derivatives."""
        flat = self.program.write_array(self.data, self.free, True, False)
        # Stan writes arrays row by row
        return np.reshape(flat[len(self.free) :], self.shape)

    def gradient(self) -> np.ndarray:
        """Gradient of ``sum(weights * log size)``, (P, 3)."""
        found = self.program.log_prob_grad(self.data, self.free, False)
        return np.reshape(found, (len(SENSITIVE), -1)).T


def solve(
    problem: Problem, rtol: float, *, sensitivities: bool
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Solve one patient after another; Stan does not hand out single sensitivities.

    With `sensitivities`, the last entry has the ``"gradient"`` of ``sum(weights * log size)``.
    """
    ready = Prepared(problem, rtol)
    about = {"method": "Stan ode_rk45"}
    log_size = np.where(problem.visible, ready.sizes(), 0.0)
    if sensitivities:
        about["gradient"] = ready.gradient()
    return log_size, None, about


def timed(problem: Problem, rtol: float, *, sensitivities: bool, repeats: int) -> np.ndarray:
    """Seconds of each repeat, sorted; handing over the data, some 1 %, is not taken off."""
    ready = Prepared(problem, rtol)
    return seconds_of(ready.gradient if sensitivities else ready.sizes, repeats)
