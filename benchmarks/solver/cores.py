"""The same gradient on one core and on two: run as ``python -m solver.cores FILE CORE ...``."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from peers.problem import Problem
from surroundings import part

from solver.report import Figures

REPEATS = 15
FREE = "C++"
"""The hand-written solver, whose threads share nothing: what two cores give at this moment."""
PARAMETER = "parameter "
"""Before the names of parameters in the file that a problem is kept in."""


def cores(problem: Problem, allowed: set[int]) -> Figures:
    part(f"(f) Both cores: the gradient of {problem.patients} patients, standard class")
    if len(allowed) < 2:
        print("only one core may be used; not measured")
        return {}
    two = sorted(allowed)[:2]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        keep(problem, path)
        alone, together = (measured(path, some) for some in (two[:1], two))
    found = {}
    print(
        "one thread on one core; two threads, each with half of the patients, on two; wall time\n"
        "C++: the hand-written solver, whose threads share nothing; below 2 x, other work was on "
        "these cores"
    )
    for name, seconds in alone.items():
        ratio = seconds / together[name]
        found[f"{name}/cores"] = ratio
        print(
            f"{name:8} {1e3 * seconds:8.2f} ms on one core, {1e3 * together[name]:8.2f} ms on two: "
            f"{ratio:.2f} x"
        )
    return found


def measured(path: Path, some: list[int]) -> dict[str, float]:
    """Measure in a process of its own, whose threads know of these cores only."""
    command = [sys.executable, "-m", "solver.cores", str(path), *map(str, some)]
    here = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)  # noqa: S603
    if done.returncode:
        raise OSError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def keep(problem: Problem, path: Path) -> None:
    whole = {f.name: getattr(problem, f.name) for f in fields(problem) if f.name != "parameters"}
    named = {PARAMETER + name: value for name, value in problem.parameters.items()}
    np.savez(path, **whole, **named)


def kept(path: Path) -> Problem:
    with np.load(path) as found:
        whole = {n: found[n][()] for n in found.files if not n.startswith(PARAMETER)}
        named = {n.removeprefix(PARAMETER): found[n] for n in found.files if n not in whole}
    return Problem(parameters=named, **whole)


def together(runs: list[Callable]) -> float:
    """Wall time of functions side by side, each in its own thread: the least of the repeats."""
    barrier = threading.Barrier(len(runs))
    begun, ended = np.zeros((2, len(runs), REPEATS + 1))

    def repeated(k: int) -> None:
        for i in range(REPEATS + 1):
            barrier.wait()
            begun[k, i] = time.perf_counter()
            runs[k]()
            ended[k, i] = time.perf_counter()

    threads = [threading.Thread(target=repeated, args=(k,)) for k in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return float(np.min(ended.max(axis=0) - begun.min(axis=0)))


def main() -> None:
    path, *some = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in some})
    import jax

    jax.config.update("jax_enable_x64", True)
    from peers import simd

    from solver import ours

    problem = kept(Path(path))
    people = np.arange(problem.patients)
    shares = [problem.only(people[k :: len(some)]) for k in range(len(some))]
    parts = [ours.Prepared(one, "standard") for one in shares]
    seconds = {
        name: together([one.again(ours.gradient, name) for one in parts]) for name in ours.PATHS
    }
    if simd.available() is None:
        ready = [simd.Prepared(one, 1e-5, sensitivities=True) for one in shares]
        seconds[FREE] = together([one.run for one in ready])
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
