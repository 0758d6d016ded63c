"""Speed, memory and compile time for one patient to hundreds of thousands."""

from dataclasses import replace

import numpy as np
from peers import diffrax_peer, simd
from peers.problem import Problem, seconds_of
from surroundings import part

from solver import ours
from solver.ours import PATHS, Prepared

COUNTS = (1, 100, 1500, 20_000, 200_000)
OTHERS_TO = 20_000
CHUNK = 100
DIFFRAX, TSIT5 = 3e-4, 1e-3
"""Tolerances of about the same accuracy as the package's, see part (b)."""


def sizes(problem: Problem, *, quick: bool) -> None:
    part("(c) Sizes: gradient of the same patients again and again, standard class, one core")
    print(
        "memory: what XLA needs while it runs, beside arguments and results\n"
        f"{'who':24} {'patients':>9} {'us a patient':>13} {'patients/s':>11} {'memory':>10} "
        f"{'compile':>8}"
    )
    counts = (1, 1500) if quick else COUNTS
    laid = ours.courses(problem, "standard")
    for path in PATHS:
        for count in counts:
            one = Prepared(problem, "standard", ours.tiled(laid, count))
            seconds = seconds_of(one.again(ours.gradient, path), repeats(count))[0]
            ready = one.ready(ours.gradient, path)
            memory = f"{ready.temporary / 1e6:.1f} MB"
            show(path, count, seconds, memory, f"{ready.seconds:.1f} s")
    given = replace(problem, jump=True)
    if diffrax_peer.available() is None:
        for count in counts[:1] if quick else counts:
            if count <= OTHERS_TO:
                of_diffrax(given, count)
    if simd.available() is None:
        for count in counts:
            if count <= OTHERS_TO:
                many = again(given, count)
                how = {"sensitivities": True, "repeats": repeats(count)}
                show(f"C++ Tsit5, {TSIT5:.0e}", count, simd.timed(many, TSIT5, **how)[0])


def of_diffrax(given: Problem, count: int) -> None:
    many = given if count == given.patients else again(given, count)
    method = diffrax_peer.Method(CHUNK if count > CHUNK else None)
    how = {"sensitivities": True, "repeats": 3 if count <= CHUNK else 1, "method": method}
    seconds = diffrax_peer.timed(many, DIFFRAX, **how)[0]
    show(f"diffrax Tsit5, {DIFFRAX:.0e}", count, seconds)


def again(problem: Problem, count: int) -> Problem:
    return problem.only(np.arange(count) % problem.patients)


def repeats(count: int) -> int:
    return int(np.clip(30_000 // count, 3, 30))


def show(who: str, count: int, seconds: float, memory: str = "-", built: str = "-") -> None:
    print(
        f"{who:24} {count:9,} {1e6 * seconds / count:13.2f} {count / seconds:11,.0f} "
        f"{memory:>10} {built:>8}",
        flush=True,
    )
