"""Stan's Runge-Kutta 4(5) with its own sensitivities, through httpstan in a Python of its own."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from peers.problem import SENSITIVE, Problem, weights

PYTHON = "PEERS_STAN_PYTHON"
"""Environment variable with the path of a Python that has httpstan."""
PROGRAM, RUNNER = (Path(__file__).with_name(name) for name in ("course.stan", "stan_run.py"))
CONSTANTS = (
    "exhaustion", "exhausted_ratio", "reinvigoration", "loss", "antigen_half", "fixed_fraction",
    "tissue_ratio", "half_occupancy", "block",
)  # fmt: skip


def interpreter() -> str:
    return os.environ.get(PYTHON) or shutil.which("python3.10") or ""


def available() -> str | None:
    how = f"pip install httpstan setuptools in a Python 3.10 and set {PYTHON} to its path"
    if not Path(interpreter()).is_file():
        return f"no Stan; {how}"
    command = [interpreter(), "-c", "import httpstan.models"]
    found = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    return f"no Stan; {how}" if found.returncode else None


def ran(problem: Problem, rtol: float, wanted: str, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Results, flat, and seconds; the first call compiles for some minutes."""
    cut, p = problem.cut, problem.parameters
    data = {
        "P": problem.patients,
        "V": problem.day.shape[1],
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
    free = np.concatenate([p[name] for name in SENSITIVE]).tolist()
    task = {"program": PROGRAM.read_text(), "data": data, "free": free}
    task |= {"wanted": wanted, "repeats": repeats}
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(  # noqa: S603
        [interpreter(), str(RUNNER)],
        input=json.dumps(task), capture_output=True, text=True, check=False, env=clean,
    )  # fmt: skip
    if done.returncode:
        raise OSError(f"Stan failed:\n{done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return np.array(answer["found"]), np.array(answer["seconds"])


def gradient(problem: Problem, rtol: float) -> np.ndarray:
    """Gradient of ``sum(weights * log size)`` to growth, kill and waning, (P, 3)."""
    return ran(problem, rtol, "gradient", 0)[0].reshape(len(SENSITIVE), -1).T


def solve(
    problem: Problem, rtol: float, *, sensitivities: bool
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Solve one patient after another; Stan hands out no single sensitivities, see `gradient`."""
    columns = problem.day.shape[::-1]  # Stan writes arrays column by column
    log_size = ran(problem, rtol, "value", 0)[0].reshape(columns).T
    about = {"method": "Stan ode_rk45"}
    if sensitivities:
        about["gradient"] = gradient(problem, rtol)
    return np.where(problem.visible, log_size, 0.0), None, about


def timed(problem: Problem, rtol: float, *, sensitivities: bool, repeats: int) -> np.ndarray:
    """Seconds of each repeat, sorted; handing over the data, some 1 %, is not taken off."""
    return ran(problem, rtol, "gradient" if sensitivities else "value", repeats)[1]
