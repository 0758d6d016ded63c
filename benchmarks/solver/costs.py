"""Where the time goes, and what single precision gains and loses."""

import jax
import numpy as np
from peers import scipy_peer
from peers.problem import Problem, seconds_of
from surroundings import part

from solver import ours
from solver.ours import ADAPTIVE, IDLE, MECHANISMS, PATHS, STEPS, Error, Prepared, Steps


def profile(problem: Problem, repeats: int) -> None:
    part(f"(g) Where the time goes: {problem.patients} simulated patients, one core")
    print(
        "ns: processor time an adaptive step, where all courses have such steps; idle: the "
        "general path with a right-hand side of 0,\nso that what remains is cells, queue, "
        "records\n" + ADAPTIVE
    )
    print(
        f"{'path':8} {'class':9} {STEPS} {'us value':>9} {'us gradient':>12} "
        f"{'ns value':>9} {'ns gradient':>12} {'sensitivities':>14} {'compile value, gradient':>24}"
    )
    per_step = {}
    for path in MECHANISMS:
        for accuracy in ours.CLASSES:
            laid = Prepared(problem, accuracy)
            tried = Steps.of(laid.run(ours.plainly, path)[1])
            each = {
                task: seconds_of(laid.again(task, path), repeats)[0] / problem.patients
                for task in (ours.value, ours.gradient)
            }
            value, both = each.values()
            built = [laid.ready(task, path).seconds for task in each]
            mean = tried.mean if tried.share > 0.99 else np.nan
            per_step[path, accuracy] = value / mean, both / mean
            print(
                f"{path:8} {accuracy:9} {tried} {1e6 * value:9.2f} {1e6 * both:12.2f} "
                f"{1e9 * value / mean:9.0f} {1e9 * both / mean:12.0f} "
                f"{1 - value / both:13.0%} {built[0]:16.1f}, {built[1]:4.1f} s"
            )
    shares = [per_step[IDLE, "standard"][k] / per_step["general", "standard"][k] for k in (0, 1)]
    print(f"an idle step over a general one: value {shares[0]:.0%}, gradient {shares[1]:.0%}")


def single_precision(problem: Problem, repeats: int) -> None:
    part(f"(e) float32: {problem.patients} simulated patients, value alone, one core")
    exact, _ = scipy_peer.exact(problem)
    print(
        f"{'path':8} {'class':9} {'us':>7} {'patients/s':>11} {'median':>7} {'99 %':>7} "
        f"{'max':>7} solved"
    )
    for path in PATHS:
        for accuracy in ("draft", "standard"):
            with jax.enable_x64(False):
                laid = Prepared(problem, accuracy)
                seconds = seconds_of(laid.again(ours.value, path), repeats)[0]
                size, taken = laid.run(ours.plainly, path)
            assert size.dtype == np.float32
            ok = taken >= 0
            error = Error.of(ours.apart_by(np.where(problem.visible, size, 0.0), exact)[ok])
            rate = problem.patients / seconds
            print(f"{path:8} {accuracy:9} {1e6 / rate:7.2f} {rate:11,.0f} {error} {ok.mean():.2%}")
