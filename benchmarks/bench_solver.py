"""The integrator against others: accuracy, speed of the log-likelihood, and failures."""

import argparse
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from patients import REGIMEN, made
from scipy.integrate import solve_ivp
from surroundings import USED, heading, part

import pdmodel as pdm
from pdmodel.course import LONGEST_STEP, lay_out
from pdmodel.dosing import Regimen, parse_schedule
from pdmodel.likelihood import Evidence, evidence, expected_sizes, log_likelihood, scan_terms
from pdmodel.mechanisms.exhaustion import LOG_BURDEN_LIMIT, MECHANISM
from pdmodel.solve import blocked, solve

jax.config.update("jax_enable_x64", True)

DRUG = pdm.drug("atezolizumab")
MODEL = pdm.Model(MECHANISM, (DRUG,), pdm.residual("student_t"))
GENERAL = replace(MODEL, mechanism=replace(MECHANISM, linear=None))
METHODS = {"exponential (default)": MODEL, "RODAS3 (any mechanism)": GENERAL}
VISITS = np.arange(0.0, 731.0, 42.0)
PATIENTS = 281
NEVER_CUT = LOG_BURDEN_LIMIT / 3.0 - 0.1
"""Change of log size up to which the package does not cut courses, and they can be compared."""


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


def everything(p: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Add the constants to free values, each of shape (patients,)."""
    count = len(p["growth"])
    return {name: np.full(count, value) for name, value in MODEL.constants.items()} | dict(p)


# ------------------------------------------------------------------- the same equations, in NumPy


class Blockade:
    """Occupancy of PD-1, with concentrations as two exponentials written out once more."""

    def __init__(self, given: Regimen) -> None:
        pk = DRUG.pharmacokinetics
        k10, k12 = pk.clearance / pk.central_volume, pk.intercompartmental / pk.central_volume
        k21 = pk.intercompartmental / pk.peripheral_volume
        a, b = np.roots([1.0, -(k10 + k12 + k21), k10 * k21])
        self.k = np.array([a, b])
        self.share = np.array([(a - k21) / (a - b), (k21 - b) / (a - b)]) / pk.central_volume
        self.given = given
        self.edges = np.unique(np.concatenate([given.start, given.start + given.duration]))

    def pieces(self, start: float) -> tuple[float, np.ndarray]:
        """Parts of ``c = level + sum(moving exp(-k (day - start)))``, up to the next edge."""
        given, k = self.given, self.k
        begun = given.start <= start
        on = begun & (given.start + given.duration > start)
        rate = np.sum(given.amount[on] / given.duration[on])
        held = np.zeros(2)
        for at, mg, length in zip(
            given.start[begun], given.amount[begun], given.duration[begun], strict=True
        ):
            during = min(length, start - at)
            held += mg / length / k * -np.expm1(-k * during) * np.exp(-k * (start - at - during))
        return float(np.sum(self.share * rate / k)), self.share * (held - rate / k)

    def after(self, start: float) -> Callable[[float], float]:
        """Occupancy as a function of the day, up to the next start or end of an infusion."""
        (level, moving), k = self.pieces(start), self.k

        def occupancy(day: float) -> float:
            c = level + moving @ np.exp(-k * (day - start))
            return 0.2 * c / (0.2 * c + 0.54)

        return occupancy


def by_scipy(
    p: Mapping[str, np.ndarray], start: float, days: np.ndarray, given: Regimen, **options: object
) -> np.ndarray:
    """Log sizes (patients, days) by SciPy, restarted at every start and end of an infusion."""
    count = len(p["growth"])
    limit = LOG_BURDEN_LIMIT
    shares = Blockade(given)
    y = np.concatenate([np.zeros(count), np.ones(count), p["exhausted_ratio"]])
    edges = np.unique(np.concatenate([[start, 0.0], days, shares.edges]))
    edges = edges[(edges >= start) & (edges <= days[-1])]
    seen = {start: y[:count]}
    for a, b in pairwise(edges):
        occupancy = shares.after(a)

        def rate(day: float, y: np.ndarray, occupancy: Callable = occupancy) -> np.ndarray:
            log_burden, e, x = y.reshape(3, count)
            burden = np.exp(np.minimum(np.maximum(log_burden, -limit), limit))
            antigen = burden * (1.0 + p["antigen_half"]) / (burden + p["antigen_half"])
            act = occupancy(day) * np.exp(-p["waning"] * max(day, 0.0))
            exhausting = p["exhaustion"] * antigen * (1.0 - p["block"] * act) * e
            back = p["reinvigoration"] * act * x
            return np.concatenate([
                3.0 * p["growth"] * (1.0 - p["kill"] * e),
                p["loss"] + p["exhaustion"] - p["loss"] * e - exhausting + back,
                exhausting - p["exhaustion"] / p["exhausted_ratio"] * x - back,
            ])  # fmt: skip

        y = solve_ivp(rate, (a, b), y, **options).y[:, -1]
        seen[b] = y[:count]
    grown = np.stack([seen[day] for day in days], axis=1)
    return np.log(p["baseline"])[:, None] + grown / 3.0


EXACT = {"method": "DOP853", "rtol": 1e-10, "atol": 1e-10}


# -------------------------------------------------------------------------------------- accuracy


QUARTERS = 4
"""Parts of the draws whose 99 % are compared, to show how far that number is chance."""


def spread_of(error: np.ndarray) -> str:
    parts = [np.quantile(one, 0.99) for one in np.array_split(error, QUARTERS)]
    return (
        f"{np.median(error):8.1e} {np.quantile(error, 0.99):8.1e} "
        f"({min(parts):.1e} to {max(parts):.1e}) {error.max():8.1e} {np.mean(error < 2e-3):8.2%}"
    )


def accuracy(count: int) -> None:
    part(f"(a) Accuracy of log size: {count} draws of the prior, scans every 42 days to day 714")
    given = parse_schedule(REGIMEN).regimen(VISITS[-1])
    p = everything(from_prior(count, seed=7))
    exact = by_scipy(p, 0.0, VISITS, given, **EXACT)
    some = {name: value[:16] for name, value in p.items()}
    tighter = by_scipy(some, 0.0, VISITS, given, method="DOP853", rtol=1e-12, atol=1e-12)
    print(
        f"reference: SciPy DOP853, rtol 1e-10, restarted at every start and end of an infusion; "
        f"16 draws differ from rtol 1e-12 by {np.abs(exact[:16] - tighter).max():.0e} at most"
    )
    moved = np.abs(exact - np.log(p["baseline"])[:, None])
    comparable = np.maximum.accumulate(moved, axis=1) < NEVER_CUT
    print(
        f"error: largest of {len(VISITS)} scans of a patient; "
        f"{np.mean(~comparable):.1%} of the scans are beyond where courses are cut, left out"
    )
    print(
        f"{'method':24} {'longest step':>12} {'median':>8} {'99 %':>8} "
        f"{'(in quarters)':22} {'max':>8} {'< 2e-3':>8} {'solved':>7}"
    )
    for name, model in METHODS.items():
        for step in (10.5, LONGEST_STEP, 2.625):
            regimens = [{"atezolizumab": given}] * count
            blocks = blocked(lay_out(MODEL, [0.0] * count, [VISITS] * count, regimens, step))
            mine = {q.name: p[q.name] for q in model.mechanism.parameters if q.name in p}
            solution = solve(model.mechanism, mine, blocks)
            ok = np.asarray(solution.ok)
            off = np.where(comparable, np.abs(np.asarray(solution.log_size) - exact), 0.0)
            print(f"{name:24} {step:10.3f} d {spread_of(off.max(axis=1)[ok])} {np.mean(ok):7.1%}")


# ----------------------------------------------------------------------------------------- speed


def compiled(function: Callable, *arguments: object) -> tuple[Callable, float]:
    """Compile for these arguments; the function, and seconds."""
    began = time.perf_counter()
    ready = jax.jit(function).lower(*arguments).compile()
    return ready, time.perf_counter() - began


def timed(function: Callable, *arguments: object, repeats: int) -> np.ndarray:
    """Seconds of each repeat, sorted."""
    jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - began)
    return np.sort(seconds)


def total(model: pdm.Model, values: dict, data: Evidence) -> jax.Array:
    return jnp.sum(log_likelihood(model, values, data)[0])


def line(
    name: str, seconds: np.ndarray, patients: int, compile_s: float | None, best: float
) -> None:
    """Print one contender; `best` is patients per second of the package at the same task."""
    rate = patients / seconds[0]
    built = f"{compile_s:7.1f} s" if compile_s is not None else "        -"
    print(
        f"{name:34} {1e3 * seconds[0] / patients:9.4f} {rate:11,.0f} "
        f"{100 * (np.median(seconds) / seconds[0] - 1):6.0f} % {built} {best / rate:9.3g}"
    )


def speed(count: int, repeats: int) -> None:
    part(f"(b) Speed: log-likelihood of {count} simulated patients, one core")
    cohort = made(MODEL, count, seed=5).cohort
    data = evidence(MODEL, cohort)
    values = {name: jnp.asarray(x) for name, x in from_prior(count, seed=11).items()}
    steps = int(np.sum(np.asarray(data.blocks.track.steps))) * data.blocks.patient.shape[1]
    print(
        f"{cohort.scans} scans; last scan on day {np.median([p.last_day for p in cohort]):.0f} "
        f"(median); {steps / count:.0f} steps a patient on average; parameters from the prior; "
        f"gradient to {len(values)} parameters of each patient"
    )
    print(f"{'':34} {'ms/patient':>9} {'patients/s':>11} {'median':>8} {'compile':>9} {'times':>9}")
    print(f"{'':34} {'(minimum)':>9} {'':>11} {'above':>8} {'':>9} {'slower':>9}")
    rates = {}
    for name, model in METHODS.items():
        forward = lambda v, d, m=model: total(m, v, d)  # noqa: E731
        for task, function in (
            ("value", forward),
            ("value + gradient", jax.value_and_grad(forward)),
        ):
            ready, built = compiled(function, values, data)
            seconds = timed(ready, values, data, repeats=repeats)
            best = rates.setdefault(task, count / seconds[0])
            line(f"{name.partition(' ')[0]}, {task}", seconds, count, built, best)
    some = np.linspace(0, count - 1, 12).astype(int)
    exact = peers_in_scipy(cohort, values, some, rates["value"])
    mine, _ = compiled(lambda v, d: expected(MODEL, v, d), values, data)
    report_error("pdmodel", np.asarray(mine(values, data)), cohort, exact)
    if find_spec("diffrax") is None:
        print("diffrax: not installed, not measured")
        return
    peers_in_diffrax(cohort, values, data, exact, rates, repeats)


def expected(model: pdm.Model, values: dict, data: Evidence) -> jax.Array:
    return expected_sizes(model, values, data)[0]


def peers_in_scipy(
    cohort: pdm.Cohort, values: dict, some: np.ndarray, best: float
) -> dict[int, np.ndarray]:
    """Time SciPy on a few patients; give their exact log sizes."""
    exact, p = {}, everything({name: np.asarray(x) for name, x in values.items()})

    def one(k: int, **options: object) -> np.ndarray:
        patient = list(cohort)[k]
        mine = {name: x[k : k + 1] for name, x in p.items()}
        given = patient.regimens["atezolizumab"]
        return by_scipy(mine, patient.start_day, patient.day, given, **options)[0]

    for k in some:
        exact[int(k)] = one(k, **EXACT)
    for method, rtol in (("LSODA", 1e-6), ("RK45", 1e-4)):
        began, found = time.perf_counter(), {}
        for k in some:
            found[int(k)] = one(k, method=method, rtol=rtol, atol=rtol)
        seconds = np.array([time.perf_counter() - began])
        name = f"SciPy {method} {rtol:.0e}, value"
        line(name, seconds, len(some), None, best)
        error = np.array([np.abs(found[k] - exact[k]).max() for k in exact])
        print(
            f"    right-hand side in NumPy, {len(some)} patients, once; "
            f"error of log size: median {np.median(error):.0e}, max {error.max():.0e}"
        )
    return exact


def report_error(name: str, log_size: np.ndarray, cohort: pdm.Cohort, exact: dict) -> None:
    people = list(cohort)
    error = np.array([
        np.abs(log_size[k, : len(people[k].day)] - size).max() for k, size in exact.items()
    ])  # fmt: skip
    print(
        f"    {name}: error of log size of the same {len(exact)} patients: "
        f"median {np.median(error):.0e}, max {error.max():.0e}"
    )


# --------------------------------------------------------------------------------------- diffrax


CHUNK = 32
"""Patients that diffrax solves in lockstep, alike in follow-up; 94, or all, were slower."""


def tabulated(cohort: pdm.Cohort) -> dict[str, jax.Array]:
    """Lay out concentrations for diffrax, a row a patient, padded beyond the end of follow-up."""
    rows = []
    for patient in cohort:
        blockade = Blockade(patient.regimens["atezolizumab"])
        edges = np.unique(np.append(blockade.edges, 0.0))
        levels, moving = zip(*(blockade.pieces(edge) for edge in edges), strict=True)
        rows.append((edges, np.array(levels), np.array(moving)))
    longest = max(len(edges) for edges, _, _ in rows)
    far = 1e4 + np.arange(longest)
    more = [longest - len(edges) for edges, _, _ in rows]
    return {
        "edge": jnp.asarray([np.append(r[0], far[:n]) for r, n in zip(rows, more, strict=True)]),
        "level": jnp.asarray([np.pad(r[1], (0, n)) for r, n in zip(rows, more, strict=True)]),
        "moving": jnp.asarray(
            [np.pad(r[2], ((0, n), (0, 0))) for r, n in zip(rows, more, strict=True)]
        ),
    }


def diffrax_sizes(data: Evidence, cohort: pdm.Cohort, rtol: float) -> Callable:
    """Log sizes by diffrax's Tsit5 with stops at every start and end of an infusion."""
    import diffrax as dx

    k = Blockade(next(iter(cohort)).regimens["atezolizumab"]).k
    order = np.argsort([p.last_day for p in cohort], kind="stable")
    back = np.argsort(order)
    rows = {
        **tabulated(cohort),
        "begin": jnp.asarray([p.start_day for p in cohort]),
        "day": data.scans.day,
    }

    def rate(day, y, arguments):
        p, row = arguments
        i = jnp.searchsorted(row["edge"], day, side="right") - 1
        at = jnp.maximum(i, 0)
        c = row["level"][at] + row["moving"][at] @ jnp.exp(-k * (day - row["edge"][at]))
        c = jnp.where(i < 0, 0.0, c)
        state = {"log_burden": y[0], "effector": y[1], "exhausted": y[2]}
        actions = {"pd1_block": 0.2 * c / (0.2 * c + 0.54), "ctla4_block": 0.0}
        change = MECHANISM.rate(day, state, p, actions)
        return jnp.stack([change["log_burden"], change["effector"], change["exhausted"]])

    def one(arguments):
        p, row = arguments
        y = jnp.stack([0.0, 1.0, p["exhausted_ratio"]])
        control = dx.ClipStepSizeController(
            dx.PIDController(rtol=rtol, atol=rtol), jump_ts=row["edge"], store_rejected_steps=64
        )
        solution = dx.diffeqsolve(
            dx.ODETerm(rate), dx.Tsit5(), row["begin"], row["day"][-1], 0.05, y, arguments,
            saveat=dx.SaveAt(ts=row["day"]), stepsize_controller=control, max_steps=4096,
            throw=False,
        )  # fmt: skip
        return jnp.log(p["baseline"]) + solution.ys[:, 0] / 3.0, solution.stats["num_steps"]

    def sizes(values, rows):
        constants = {name: jnp.full(len(cohort), x) for name, x in MODEL.constants.items()}
        sorted_ = jax.tree.map(lambda x: x[order], ({**constants, **values}, rows))
        solved = jax.lax.map(one, sorted_, batch_size=CHUNK)
        return jax.tree.map(lambda x: x[back], solved)

    return sizes, rows


def peers_in_diffrax(
    cohort: pdm.Cohort, values: dict, data: Evidence, exact: dict, rates: dict, repeats: int
) -> None:
    for rtol in (1e-3, 1e-5):
        sizes, rows = diffrax_sizes(data, cohort, rtol)

        def forward(v, rows, sizes=sizes):
            solved = jnp.ones(data.patients, bool)
            return jnp.sum(scan_terms(MODEL, v, data, sizes(v, rows)[0], solved))

        for task, best in rates.items():
            function = forward if task == "value" else jax.value_and_grad(forward)
            ready, built = compiled(function, values, rows)
            seconds = timed(ready, values, rows, repeats=max(3, repeats // 10))
            line(f"diffrax Tsit5 {rtol:.0e}, {task}", seconds, len(cohort), built, best)
        log_size, steps = jax.jit(sizes)(values, rows)
        print(
            f"    steps: mean {np.mean(steps):.0f}, largest {np.max(steps)}; sorted by follow-up, "
            f"{CHUNK} patients in lockstep, checkpointed adjoint"
        )
        report_error("diffrax", np.asarray(log_size), cohort, exact)


# -------------------------------------------------------------------------------------- failures


def failures(count: int, times: int) -> None:
    part("(c) Failures over draws of the prior with every spread multiplied")
    data = evidence(MODEL, made(MODEL, count, seed=5).cohort)
    print(
        f"log-likelihood and its gradient of {count} x {times} draws against scans of simulated "
        "patients; a flagged solve is reported as such, with a gradient of 0"
    )
    print(
        f"{'method':24} {'spread':>6} {'flagged':>9} {'value not':>10} {'gradient':>10} {'cut':>7}"
    )
    print(f"{'':24} {'':>6} {'':>9} {'finite':>10} {'not finite':>10}")
    for name, model in METHODS.items():

        def both(v, d, m=model):
            terms, pull, ok = jax.vjp(lambda v: log_likelihood(m, v, d), v, has_aux=True)
            return terms, pull(jnp.ones_like(terms))[0], ok, expected(m, v, d)

        ready = jax.jit(both)
        for wider in (1.0, 2.0, 3.0, 5.0, 8.0):
            found = []
            for k in range(times):
                p = from_prior(count, seed=100 + k, wider=wider)
                terms, slope, ok, size = ready({n: jnp.asarray(x) for n, x in p.items()}, data)
                lost = np.any([~np.isfinite(x) for x in slope.values()], axis=0)
                moved = np.abs(np.asarray(size) - np.log(p["baseline"])[:, None])
                cut = np.asarray(ok) & (moved.max(axis=1) > NEVER_CUT)
                found.append([~np.asarray(ok), ~np.isfinite(terms).all(axis=1), lost, cut])
            shares = np.mean(np.concatenate(found, axis=1), axis=1)
            print(
                f"{name:24} {wider:5.0f}x {shares[0]:9.2%} {shares[1]:10.2%} "
                f"{shares[2]:10.2%} {shares[3]:7.2%}"
            )
    print("cut: courses held where the volume has changed by 26 decades, beyond any scan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2048, help="for the accuracy")
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    heading("The integrator: accuracy, speed, failures", (*USED, "diffrax"))
    accuracy(options.draws)
    speed(PATIENTS, options.repeats)
    failures(PATIENTS, times=4)


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):  # one core, before JAX counts them
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main()
