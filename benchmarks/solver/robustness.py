"""Draws far outside the prior: what is flagged, what is not finite, what is wrong unnoticed."""

import numpy as np
from peers import scipy_peer
from surroundings import part

from solver import ours
from solver.ours import ADAPTIVE, PATHS, STEPS, Prepared, Steps
from solver.report import Figures

SPREADS = (1.0, 2.0, 3.0, 5.0, 8.0)
WRONG = 1e-2
FAR = 5.0
"""Spread of the goals."""


def robustness(count: int, spot: int, *, quick: bool) -> Figures:
    part(f"(d) Robustness: {count} draws, every spread of the prior multiplied, to day 714")
    print(
        "wrong: log size off by more than 1e-2 (relative beyond 10) from the fine class of the "
        "general path, not flagged;\nunknown: not judged, since the fine class was not solved\n"
        + ADAPTIVE
    )
    print(
        f"{'path':8} {'class':9} {'spread':>6} {'flagged':>8} {'value not':>10} {'gradient':>11} "
        f"{'wrong':>7} {'unknown':>8} {STEPS}"
    )
    print(f"{'':25} {'':>8} {'finite':>10} {'not finite':>11}")
    found: Figures = {}
    for wider in (FAR,) if quick else SPREADS:
        problem = ours.two_years(count, seed=int(100 * wider), wider=wider)
        true, known, _ = Prepared(problem, "fine").run(ours.all_of_it, "general")
        for path in PATHS:
            for name in ("draft", "standard"):
                laid = Prepared(problem, name)
                log_size, ok, slopes = laid.run(ours.all_of_it, path)
                tried = Steps.of(laid.run(ours.plainly, path)[1])
                strange = ~np.all([np.isfinite(x) for x in slopes.values()], axis=0)
                off = ours.apart_by(log_size, true)
                wrong = ok & known & (off > WRONG)
                shares = (
                    ~ok,
                    ~np.isfinite(log_size).all(axis=1),
                    strange,
                    wrong,
                    ok & ~known,
                )
                flagged, value, slope, missed, unknown = (100.0 * np.mean(x) for x in shares)
                print(
                    f"{path:8} {name:9} {wider:5.0f}x {flagged:7.2f}% {value:9.2f}% "
                    f"{slope:10.2f}% {missed:6.2f}% {unknown:7.2f}% {tried}",
                    flush=True,
                )
                if wider == FAR and name == "standard":
                    found |= {f"{path}/flagged": flagged, f"{path}/wrong": missed}
    spot_check(spot)
    return found


def spot_check(count: int) -> None:
    """Hold the fine class itself against the exact course."""
    problem = ours.two_years(count, seed=int(100 * FAR), wider=FAR)
    exact, _ = scipy_peer.exact(problem, 1e-10)
    for path in PATHS:
        log_size, taken = Prepared(problem, "fine").run(ours.plainly, path)
        ok = taken >= 0
        off = ours.apart_by(log_size, exact)[ok]
        print(
            f"fine class, {path}, against DOP853 (rtol 1e-10), {count} draws at {FAR:.0f} x: "
            f"{ok.sum()} solved, error at most {off.max():.0e}"
        )
