"""Speed on simulated patients, beside other integrators at the same accuracy."""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from peers import cvodes, diffrax_peer, lsoda, native, scipy_peer, simd, simd_core, stan
from peers.problem import Problem, seconds_of
from surroundings import part

from solver import ours
from solver.ours import CLASSES, PATHS, Error, Prepared
from solver.report import Figures

TOLERANCES = 10.0 ** -np.arange(0.5, 9.1, 0.5)
"""That are tried, from the loosest."""
TRIED_ON = 300
"""Patients on whom the tolerance of a slow contender is chosen."""
CORE, GENERAL = PATHS
VALUE, GRADIENT = "value", "gradient"


class Line(NamedTuple):
    """One contender at one task in one class."""

    who: str
    how: str
    task: str
    accuracy: str
    rate: float
    """Patients per second."""
    error: Error
    compiling: float = np.nan
    """Seconds."""


class Contender(NamedTuple):
    """A peer, and on how many patients, how often, and at what it is timed."""

    who: str
    module: Any
    patients: int
    repeats: int
    tasks: tuple[str, ...] = (VALUE, GRADIENT)
    methods: dict[str, Any] = {"": None}  # noqa: RUF012
    jumps: tuple[bool, ...] = (True, False)


def contenders(repeats: int) -> list[Contender]:
    kinds = {
        "Adams": cvodes.Method("Adams"),
        "BDF": cvodes.Method("BDF"),
        "Adams, sensitivities checked": cvodes.Method("Adams", checked=True),
    }
    often = 5 * repeats
    return [
        Contender("C++ Tsit5", simd, 10**6, often),
        Contender("C++ midpoint", simd_core, 10**6, often, jumps=(False,)),
        Contender("LSODA, C", lsoda, 10**6, repeats),
        Contender("CVODES", cvodes, TRIED_ON, 2, methods=kinds),
        Contender("SciPy LSODA", scipy_peer, 8, 1, (VALUE,)),
        Contender("Stan ode_rk45", stan, 16, 2, jumps=(False,)),
    ]


# ------------------------------------------------------------------------------------ the package


def of_ours(problem: Problem, exact: np.ndarray, repeats: int) -> Iterator[Line]:
    """Both paths in every class."""
    for path in PATHS:
        for accuracy in CLASSES:
            laid = Prepared(problem, accuracy)
            size, taken = laid.run(ours.plainly, path)
            size = np.where(problem.visible & (taken >= 0)[:, None], size, 0.0)
            error = Error.of(ours.apart_by(size, exact))
            for task, function in ((VALUE, ours.value), (GRADIENT, ours.gradient)):
                seconds = seconds_of(laid.again(function, path), repeats)[0]
                built = laid.ready(function, path).seconds
                rate = problem.patients / seconds
                yield Line(path, "", task, accuracy, rate, error, built)


# ------------------------------------------------------------------------------------- the others


def loosest(solve: Callable[[float], np.ndarray], exact: np.ndarray, limit: float) -> float:
    """Find the loosest tolerance at which no patient is wrong by more than the limit."""
    for rtol in TOLERANCES:
        if ours.apart_by(solve(rtol), exact).max() <= limit:
            break
    return float(rtol)


def of_others(problem: Problem, exact: np.ndarray, one: Contender) -> Iterator[Line]:
    """Give the fastest of a contender's settings for each task and class, and cut of infusions."""
    some = np.arange(min(one.patients, problem.patients))
    tried = some[:TRIED_ON]
    for task in one.tasks:
        asked = {"sensitivities": task == GRADIENT}
        for accuracy in ("draft", "standard"):
            for jump in one.jumps:
                lines = []
                given = replace(problem, jump=jump)
                few, all_of_them = given.only(tried), given.only(some)
                for name, method in one.methods.items():
                    if task == VALUE and getattr(method, "checked", False):
                        continue
                    how = asked if method is None else asked | {"method": method}
                    solve = partial(solved, one.module, how)
                    limit = CLASSES[accuracy]
                    rtol = loosest(partial(solve, few), exact[tried], limit)
                    off = ours.apart_by(solve(all_of_them, rtol), exact[some])
                    seconds = one.module.timed(all_of_them, rtol, **how, repeats=one.repeats)[0]
                    words = [name, f"{rtol:.0e}", "jumps" if jump else ""]
                    described = ", ".join(word for word in words if word)
                    rate = len(some) / seconds
                    lines.append(Line(one.who, described, task, accuracy, rate, Error.of(off)))
                yield max(lines, key=lambda line: line.rate)


def solved(module: Any, how: dict, problem: Problem, rtol: float) -> np.ndarray:
    """Log sizes, not finite for everybody where the run failed."""
    log_size, _, about = module.solve(problem, rtol, **how)
    return np.where(about.get("failed", 0), np.nan, log_size)


def of_diffrax(problem: Problem, exact: np.ndarray, repeats: int, *, quick: bool) -> Iterator[Line]:
    """Every method, since each is somebody's way of using it; if `quick`, two that compile fast."""
    methods = dict(diffrax_peer.METHODS)
    if quick:
        methods = {name: how for name, how in methods.items() if how.chunk is None or how.forward}
    for jump, accuracy in product((False, True), ("draft", "standard")):
        given = replace(problem, jump=jump)
        solve = partial(sizes_of_diffrax, given)
        rtol = loosest(solve, exact, CLASSES[accuracy])
        error = Error.of(ours.apart_by(solve(rtol), exact))
        for task, (name, method) in product((VALUE, GRADIENT), methods.items()):
            if task == VALUE and method.forward:
                continue
            began = time.perf_counter()
            diffrax_peer.compiled(given, method, "gradient" if task == GRADIENT else "value")
            built = time.perf_counter() - began if accuracy == "draft" else np.nan
            how = {"sensitivities": task == GRADIENT, "repeats": repeats, "method": method}
            seconds = diffrax_peer.timed(given, rtol, **how)[0]
            described = f"{name}, {rtol:.0e}" + (", jumps" if jump else "")
            rate = problem.patients / seconds
            yield Line("diffrax Tsit5", described, task, accuracy, rate, error, built)


def sizes_of_diffrax(problem: Problem, rtol: float) -> np.ndarray:
    return diffrax_peer.solve(problem, rtol, sensitivities=False)[0]


# -------------------------------------------------------------------------------------- the table


def speed(problem: Problem, repeats: int, *, quick: bool) -> Figures:
    part(f"(b) Speed: {problem.patients} simulated patients, float64, one core")
    exact, _ = scipy_peer.exact(problem)
    print(
        f"{int(problem.visits.sum())} scans, last scan on day {np.median(problem.last):.0f} "
        f"(median), {problem.doses.mean():.1f} doses a patient\n"
        "value: weighted sum of log sizes; gradient: value and sensitivities to growth, kill and "
        "waning (the package's also to baseline)\n"
        "other integrators: the loosest tolerance, in half decades, at which no log size is wrong "
        "by more than 1e-3 (draft) or 1e-4 (standard), and the fastest of their settings\n"
        "jumps: each infusion is put before them as one jump, as the package does for itself; us: "
        "processor time a patient, minimum of repeats; core, general: times slower than these at "
        "the same task and class\n" + built_by()
    )
    head = f"{'who':14} {'settings':45} {'us':>9} {'patients/s':>11}"
    head += f" {'median':>7} {'99 %':>7} {'max':>7} {'compile':>8} {CORE:>8} {GENERAL:>8}"
    lines = list(of_ours(problem, exact, 3 * repeats))
    best = {(line.task, line.accuracy, line.who): line.rate for line in lines}
    missing = []
    for one in contenders(repeats):
        if (why := one.module.available()) is not None:
            missing.append(f"{one.who}: {why}; not measured")
        else:
            lines += of_others(problem, exact, one)
    if (why := diffrax_peer.available()) is not None:
        missing.append(f"diffrax: {why}; not measured")
    else:
        lines += of_diffrax(problem, exact, repeats, quick=quick)
    for task in (VALUE, GRADIENT):
        for accuracy in CLASSES:
            print(f"\n{task}, {accuracy} ({CLASSES[accuracy]:.0e})\n{head}")
            for line in lines:
                if (line.task, line.accuracy) == (task, accuracy):
                    show(line, best)
    print("\n".join(missing))
    return figures(lines)


def built_by() -> str:
    """Name the compiler of the contenders in C++."""
    found = native.compiler("simd.cpp")
    if found is None:
        return "no C++"
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return f"C++: {told.stdout.partition(chr(10))[0]}"


def show(line: Line, best: dict) -> None:
    built = f"{line.compiling:6.1f} s" if np.isfinite(line.compiling) else f"{'-':>8}"
    slower = [best[line.task, line.accuracy, path] / line.rate for path in PATHS]
    print(
        f"{line.who:14} {line.how:45} {1e6 / line.rate:9.2f} {line.rate:11,.0f} {line.error} "
        f"{built} {slower[0]:8.3g} {slower[1]:8.3g}"
    )


def figures(lines: list[Line]) -> Figures:
    """Measure the goals."""
    rates: dict[tuple, float] = {}
    for line in lines:
        key = (line.who, line.task, line.accuracy, "jumps" in line.how)
        rates[key] = max(rates.get(key, 0.0), line.rate)

    def times(
        path: str, who: str, task: str = GRADIENT, accuracy: str = "standard", *, jump: bool = False
    ) -> float:
        return rates[path, task, accuracy, False] / rates.get((who, task, accuracy, jump), np.nan)

    found = {"core/warm-up": 1.0}
    for jump, tail in ((False, ""), (True, "/jumps")):
        for path in PATHS:
            found[f"{path}/diffrax/standard{tail}"] = times(path, "diffrax Tsit5", jump=jump)
            found[f"{path}/lsoda{tail}"] = times(path, "LSODA, C", jump=jump)
            found[f"{path}/simd{tail}"] = 1.0 / times(path, "C++ Tsit5", jump=jump)
        draft = times(CORE, "diffrax Tsit5", accuracy="draft", jump=jump)
        found[f"core/diffrax/draft{tail}"] = draft
        found[f"core/cvodes{tail}"] = times(CORE, "CVODES", jump=jump)
        found[f"core/diffrax/value{tail}"] = times(CORE, "diffrax Tsit5", VALUE, jump=jump)
        found[f"core/scipy/value{tail}"] = times(CORE, "SciPy LSODA", VALUE, jump=jump)
    found = {name: x for name, x in found.items() if np.isfinite(x)}
    built = {
        f"{line.who}/compile": line.compiling
        for line in lines
        if line.who in PATHS and (line.task, line.accuracy) == (GRADIENT, "standard")
    }
    return found | built
