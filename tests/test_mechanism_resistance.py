"""Mechanisms of resistance: against SciPy, closed forms, and what each is to look like."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pdmodel.contract.course import CYCLE, CYCLES, FIRST, treated
from pdmodel.contract.numbers import drawn
from pdmodel.library import mechanism
from pdmodel.marginal import integrable
from pdmodel.mechanisms.clone import NONE, log_clone
from pdmodel.model import Model
from pdmodel.residuals import residual
from pdmodel.solve import blocked, solve
from pdmodel.step import LARGE

NAMES = ("suppression", "intrinsic", "antigen_loss", "clone", "fixation")
DAYS = FIRST + CYCLE * np.arange(CYCLES + 1)
LAST_DAY = DAYS[-1]


def drive(volume: float, p: dict) -> float:
    """Exhaustion by antigen, 1 at a volume of 1."""
    return volume * (1 + p["antigen_half"]) / (volume + p["antigen_half"])


def exchange(e: float, x: float, b: float, u: float, ctla4: float, p: dict) -> tuple[float, float]:
    """Effector and exhausted cells of the core model, at drive b and reversible blockade u."""
    to_x = p["exhaustion"] * b * (1 - p["block"] * u) * e
    back, old = p["reinvigoration"] * u * x, p["exhaustion"] / p["exhausted_ratio"] * x
    arriving = (p["loss"] + p["exhaustion"]) * (1 + p["priming_gain"] * ctla4)
    return arriving - p["loss"] * e - to_x + back, to_x - old - back


def suppression(t, y, p, pd1, ctla4):
    volume, e, x, r = np.exp(y[0]), *y[1:]
    u = pd1 * np.exp(-p["waning"] * max(t, 0))
    de, dx = exchange(e, x, drive(volume, p), u, ctla4, p)
    kill = p["potential"] * e / (1 + p["suppression"] * r)
    return [3 * p["growth"] * (1 - kill), de, dx,
            p["turnover"] * (e - r) - p["depletion"] * ctla4 * r]  # fmt: skip


def intrinsic(t, y, p, pd1, ctla4):
    volume, e, x = np.exp(y[0]), *y[1:]
    u, seen = pd1 * np.exp(-p["waning"] * max(t, 0)), p["antigenicity"]
    to_x = p["exhaustion"] * drive(seen * volume, p) * (1 - p["block"] * u) * e
    back, old = p["reinvigoration"] * u * x, p["exhaustion"] / p["exhausted_ratio"] * x
    arriving = p["loss"] + p["exhaustion"] * drive(seen, p)
    de = arriving * (1 + p["priming_gain"] * ctla4) - p["loss"] * e - to_x + back
    return [3 * p["growth"] * (1 - p["potential"] * seen * e), de, to_x - old - back]


def antigen_loss(t, y, p, pd1, ctla4):
    e, x = y[2:]
    killed = 3 * p["growth"] * p["kill"] * np.exp(y[1]) * e
    b, u = drive(np.exp(y[0] + y[1]), p), pd1 * (1 - p["fixed_fraction"])
    return [3 * p["growth"] - killed, -p["diversity"] * killed, *exchange(e, x, b, u, ctla4, p)]


def clone(t, y, p, pd1, ctla4):
    e, x = y[2:]
    b, u = drive(np.exp(y[0]) + np.exp(y[1]), p), pd1 * (1 - p["fixed_fraction"])
    kill, growth = p["kill"] * e, 3 * p["growth"]
    return [growth * (1 - kill), growth * (1 - p["sensitivity"] * kill),
            *exchange(e, x, b, u, ctla4, p)]  # fmt: skip


def fixation(t, y, p, pd1, ctla4):
    volume, e, young, terminal, q = np.exp(y[0]), *y[1:]
    b, k, old = drive(volume, p), p["exhaustion"], p["exhaustion"] / p["exhausted_ratio"]
    spared = (1 - q) * k * b * (1 - p["block"] * pd1) * e
    fixed, ripe, back = q * k * b * e, p["ripening"] * b * young, p["reinvigoration"] * pd1 * young
    terminal_0 = p["exhausted_ratio"] - (1 - p["fixed_fraction"]) * k / (p["ripening"] + old)
    power = (e + p["terminal_kill"] * terminal) / (1 + p["terminal_kill"] * terminal_0)
    arriving = (p["loss"] + k) * (1 + p["priming_gain"] * ctla4)
    de = arriving - p["loss"] * e - spared - fixed + back
    return [3 * p["growth"] * (1 - p["kill"] * power), de,
            spared - ripe - old * young - back, fixed + ripe - old * terminal,
            p["fixation"] * b * pd1 * (1 - q)]  # fmt: skip


def courses(name: str, p: dict, pd1: float = 0.9, ctla4: float = 0.0):
    """Solve patients under constant actions from day 0 on."""
    one, count = mechanism(name), len(next(iter(p.values())))
    laid = treated(one, count, 1.0)
    level = laid.actions["pd1_block"]
    laid = replace(laid, actions={"pd1_block": pd1 * level, "ctla4_block": ctla4 * level})
    return solve(one, p, blocked(laid))


def by_scipy(name: str, p: dict, pd1: float, ctla4: float) -> np.ndarray:
    """Give every state at DAYS, before and after day 0, to ten digits."""
    one = mechanism(name)
    start = one.initial({q: jnp.asarray(v) for q, v in p.items()})
    y, seen = np.array([float(start[state]) for state in one.states]), []
    for ends, given in (((FIRST, 0.0), (0.0, 0.0)), ((0.0, LAST_DAY), (pd1, ctla4))):
        inside = DAYS[(ends[0] <= DAYS) & (ends[1] >= DAYS)]
        end = np.nextafter(ends[1], FIRST)  # rates of day 0 belong to what follows
        found = solve_ivp(globals()[name], (ends[0], end), y, args=(p, *given), method="DOP853",
                          rtol=1e-10, atol=1e-12, t_eval=np.minimum(inside, end))  # fmt: skip
        y = found.y[:, -1]
        seen.append(found.y[:, bool(seen) :])
    return np.concatenate(seen, axis=1)


COUNT = 6


@pytest.fixture(scope="module", params=NAMES)
def sets(request):
    """Draws of the prior and of one five times as wide, solved under both kinds of blockade."""
    one = mechanism(request.param)
    near, wide = drawn(one, COUNT, 3), drawn(one, 200, 4, 5.0)
    p = {q: jnp.concatenate([near[q], wide[q]]) for q in near}
    return request.param, p, courses(request.param, p, 0.9, 0.5)


def test_courses_of_the_prior_are_those_of_scipy(sets):
    name, p, solution = sets
    one = mechanism(name)
    for i in range(COUNT):
        values = {q: float(v[i]) for q, v in p.items()}
        states = by_scipy(name, values, 0.9, 0.5)
        size = one.log_size(dict(zip(one.states, states, strict=True)), values)
        seen = size < LARGE  # 22 m; beyond, the error is relative to the log size
        np.testing.assert_allclose(solution.log_size[i][seen], size[seen], rtol=0, atol=1e-4)
        np.testing.assert_allclose(solution.log_size[i][~seen], size[~seen], rtol=1e-4)


def test_none_of_the_prior_and_few_of_one_five_times_as_wide_fail(sets):
    _, _, solution = sets
    assert solution.ok[:COUNT].all()
    assert solution.ok[COUNT:].sum() >= 198


@pytest.mark.parametrize("name", NAMES)
def test_before_treatment_t_cells_are_steady(name):
    one = mechanism(name)
    p = {q: v[0] for q, v in drawn(one, 1, 5).items()}
    none = {action: jnp.asarray(0.0) for action in one.answers_to}
    change = one.rate(jnp.asarray(-10.0), one.initial(p), p, none)
    moving = {"log_burden", "log_antigenicity", "log_sensitive", "log_resistant"}
    for state in one.states.keys() - moving:
        assert float(change[state]) == pytest.approx(0.0, abs=1e-15), state


@pytest.mark.parametrize("name", NAMES)
def test_patients_can_be_integrated_out(name):
    assert integrable(Model(mechanism(name), (), residual("student_t")))


# ------------------------------------------------------------------ what each is to look like

WEEK = 1 / 7


def shapes(name: str, cases: list[dict[str, float]], **given: float) -> np.ndarray:
    """Sizes relative to day 0 at every three weeks from then on, a row for each case."""
    one = mechanism(name)
    p = {q.name: jnp.array([case.get(q.name, q.typical) for case in cases]) for q in one.parameters}
    size = np.exp(courses(name, p, **given).log_size)
    return size[:, 1:] / size[:, 1:2]


def progressed(sizes: np.ndarray) -> np.ndarray:
    """Day of a rise by a fifth above the smallest size so far; infinite if there is none."""
    rises = sizes >= 1.2 * np.minimum.accumulate(sizes, axis=1)
    return np.where(rises.any(axis=1), CYCLE * rises.argmax(axis=1), np.inf)


def test_suppression_is_primary_resistance_that_ctla4_blockade_may_overcome():
    cases = [{"suppression": s} for s in (0.1, 1.0, 6.0)]
    alone, both = shapes("suppression", cases), shapes("suppression", cases, ctla4=0.7)
    assert progressed(alone)[0] == np.inf
    assert alone[0].min() < 0.3
    assert (progressed(alone)[1:] < 182).all()
    assert progressed(both)[1] > 365  # a moderately suppressed one is held
    assert progressed(both)[2] < 182  # a strongly suppressed one is not


def test_a_tumor_that_is_hardly_seen_gains_nothing_from_blockade():
    cases = [{"antigenicity": a} for a in (0.05, 0.3, 0.9)]
    on, off = shapes("intrinsic", cases), shapes("intrinsic", cases, pd1=0.0)
    gained = np.log(off / on)[:, 8]
    assert gained[0] < 0.05 < gained[1] < gained[2]
    assert progressed(on)[0] < 182
    assert progressed(on)[2] == np.inf
    fast = shapes("intrinsic", [{"antigenicity": 0.5, "growth": g * WEEK} for g in (0.03, 0.12)])
    assert progressed(fast)[1] < progressed(fast)[0] / 2


def test_antigens_are_lost_after_a_response_and_sooner_with_more_diversity():
    cases = [{"kill": 0.85, "growth": 0.06 * WEEK, "diversity": d} for d in (1e-4, 0.03, 0.1, 0.3)]
    sizes = shapes("antigen_loss", cases)
    assert progressed(sizes)[0] == np.inf
    assert (np.diff(progressed(sizes)[1:]) < 0).all()
    assert sizes[2].min() < 0.6  # a response ...
    assert 182 < progressed(sizes)[2] < 700  # ... then escape


def test_survivors_of_a_constant_attack_are_those_of_a_gamma_distribution():
    """In cells that T cells kill at a constant rate, K = 3 growth kill t."""
    p = {q.name: jnp.array([q.typical]) for q in mechanism("antigen_loss").parameters}
    p |= {"kill": jnp.array([0.6]), "diversity": jnp.array([0.4]), "growth": jnp.array([0.02]),
          "exhaustion": jnp.array([1e-12]), "loss": jnp.array([1.0])}  # fmt: skip
    solution = courses("antigen_loss", p, pd1=0.0)
    t = DAYS - FIRST
    killed = 3 * 0.02 * 0.6 * t
    expected = np.log(50.0) + 0.02 * t - np.log1p(0.4 * killed) / 0.4 / 3
    np.testing.assert_allclose(solution.log_size[0], expected, atol=1e-4)
    left = np.exp(solution.state["log_antigenicity"][0])
    np.testing.assert_allclose(left, 1 / (1 + 0.4 * killed), rtol=3e-4)


def test_a_clone_grows_through_a_response_and_the_larger_the_sooner():
    cases = [{"kill": 0.75, "clone_score": z} for z in (-1.0, 0.5, 1.5, 4.0)]
    sizes = shapes("clone", cases)
    assert progressed(sizes)[0] == np.inf
    assert (np.diff(progressed(sizes)[1:]) < 0).all()
    assert sizes[1].min() <= 0.7
    assert 182 < progressed(sizes)[1] < 365
    assert progressed(sizes)[3] < 182  # most of it is the clone: primary
    jak = shapes("clone", [{"kill": 0.75, "clone_score": 0.5, "sensitivity": 0.5}])
    assert progressed(jak)[0] > progressed(sizes)[1]


def test_the_course_of_a_clone_is_the_one_of_section_3():
    """The reference vector: growth 0.03, kill 0.75 per week, a clone of 0.005, full blockade."""
    one = mechanism("clone")
    p = {q.name: jnp.array([q.typical]) for q in one.parameters}
    z = jnp.linspace(0.0, 1.0, 100_001)
    score = z[jnp.argmin(jnp.abs(log_clone(z) - jnp.log(0.005)))]
    p |= {"growth": jnp.array([0.03 * WEEK]), "kill": jnp.array([0.75]),
          "clone_score": score[None]}  # fmt: skip
    laid = replace(treated(one, 1, 1.0), begin=np.arange(CYCLES) * CYCLE)
    size = np.exp(solve(one, p, blocked(replace(laid, actions={
        "pd1_block": np.eye(6)[1] * np.ones((CYCLES, 1)), "ctla4_block": np.zeros((CYCLES, 6)),
    }))).log_size)[0] / 50.0  # fmt: skip
    # weeks 0, 6, 12, 18, 24, 30, 36, 45, 54; the reference also wanes, by 0.002 a week
    expected = (1, 0.8876, 0.7604, 0.6567, 0.5833, 0.5510, 0.5680, 0.6790, 0.8697)
    np.testing.assert_allclose(size[[0, 2, 4, 6, 8, 10, 12, 15, 18]], expected, rtol=0.02)


def test_the_clone_is_a_switch():
    score = jnp.array([-3.0, -1.0, -0.5, 0.5, 1.0, 2.0, 5.0, 40.0])
    share = np.exp(log_clone(score))
    assert (share[:3] < 1.2e-11).all()
    assert share[0] == pytest.approx(NONE)
    np.testing.assert_allclose(share[3:6], 0.005 * np.exp(1.5 * score[3:6]), rtol=0.2)
    assert (np.diff(share) >= 0).all()
    assert share[-1] == pytest.approx(1.0)


def test_fixation_ends_a_shallow_response_and_what_is_fixed_before_prevents_it():
    base = {"kill": 0.7, "growth": 0.06 * WEEK}
    cases = [base | {"fixation": f * WEEK} for f in (0.03, 0.045)]
    cases += [{"kill": 0.65, "fixed_fraction": f} for f in (0.0, 0.9)]
    sizes = shapes("fixation", cases)
    assert progressed(sizes)[0] == np.inf  # it shrinks so far that little more is fixed
    assert sizes[0].min() < 0.2
    assert sizes[1].min() < 0.85
    assert 182 < progressed(sizes)[1] < 600
    assert progressed(sizes)[2] > 500
    assert progressed(sizes)[3] < 182


def test_a_tumor_that_shrinks_fixes_fewer_lineages():
    cases = [{"kill": k, "growth": 0.05 * WEEK} for k in (0.3, 0.9)]
    one = mechanism("fixation")
    p = {q.name: jnp.array([case.get(q.name, q.typical) for case in cases]) for q in one.parameters}
    committed = courses("fixation", p).state["committed"][:, -1]
    assert committed[1] < committed[0] - 0.1
