"""One step: its order, its stability, the error it tells, and how its derivatives are found."""

from collections.abc import Callable
from functools import partial
from math import comb, factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from pdmodel.mechanism import Mechanism
from pdmodel.parameter import Parameter
from pdmodel.step import GAMMA, MOMENTS, dependence, factored, one_step, partials, solved


def mechanism(states: tuple[str, ...], rate: Callable, log_size: Callable) -> Mechanism:
    return Mechanism(
        name="own",
        about="a test",
        parameters=(Parameter("k", "1/day", 1.0, "a rate", source="assumption: a test"),),
        answers_to=("pd1_block",),
        initial=lambda p: dict.fromkeys(states, p["k"]),
        rate=rate,
        log_size=log_size,
        states=dict.fromkeys(states, "a test"),
        source="assumption: a test",
    )


def stepped(
    one: Mechanism, start: dict, length: float, action: Callable, begin: float = 0.0, p=None
) -> tuple[dict, jax.Array]:
    """Take one step under an action that is a function of time."""
    at = [{"pd1_block": action(jnp.asarray(begin + x * length))} for x in MOMENTS]
    drift = {"pd1_block": jax.grad(action)(jnp.asarray(begin))}
    s = {name: jnp.asarray(value, float) for name, value in start.items()}
    values = {"k": jnp.asarray(1.0)} if p is None else p
    begun, step = jnp.asarray(begin), jnp.asarray(length)
    return one_step(one, ("k",), begun, step, s, values, (tuple(at), drift))


def walked(one: Mechanism, start: dict, end: float, steps: int, action: Callable) -> dict:
    move = jax.jit(partial(stepped, one, length=end / steps, action=action))
    s = start
    for i in range(steps):
        s, _ = move(s, begin=i * end / steps)
    return s


def none(time: jax.Array) -> jax.Array:
    return 0.0 * time


# --------------------------------------------------------------------------------- linear systems

MATRIX = np.array([[-0.3, 0.2, 0.0], [0.1, -0.6, 0.4], [0.0, 0.3, -0.9]])
INFLOW = np.array([0.5, 0.0, 0.2])
NAMES = ("a", "b", "c")


def linear_rate(time, s, p, actions):
    x = jnp.stack([s[name] for name in NAMES])
    change = p["k"] * (jnp.asarray(MATRIX) @ x) + INFLOW
    return dict(zip(NAMES, change, strict=True))


LINEAR = mechanism(NAMES, linear_rate, lambda s, p: s["a"])


def exactly(start: np.ndarray, length: float) -> np.ndarray:
    whole = np.zeros((4, 4))
    whole[:3, :3], whole[:3, 3] = MATRIX, INFLOW
    return (expm(whole * length) @ np.append(start, 1.0))[:3]


@pytest.mark.parametrize("length", [0.01, 0.1, 0.4])
def test_a_step_of_a_linear_system_is_the_matrix_exponential_up_to_its_fifth_order(length):
    start = np.array([1.0, 2.0, -1.0])
    moved, _ = stepped(LINEAR, dict(zip(NAMES, start, strict=True)), length, none)
    got = np.array([moved[name] for name in NAMES])
    np.testing.assert_allclose(got, exactly(start, length), atol=0.1 * length**5)


DECAY = mechanism(("a",), lambda t, s, p, a: {"a": -p["k"] * s["a"]}, lambda s, p: s["a"])


def after_a_day(k: float) -> float:
    return float(stepped(DECAY, {"a": 1.0}, 1.0, none, p={"k": jnp.asarray(k)})[0]["a"])


@pytest.mark.parametrize("k", [0.05, 0.5, 3.0, 10.0, 1e3])
def test_a_step_of_one_state_is_the_rational_function_of_order_4(k):
    """R(z) is exp(z) (1 - gamma z)^4 up to z^4, divided by (1 - gamma z)^4."""
    above = [
        sum(comb(4, j) * (-GAMMA) ** j / factorial(i - j) for j in range(i + 1)) for i in range(5)
    ]
    expected = np.polynomial.polynomial.polyval(-k, above) / (1.0 + GAMMA * k) ** 4
    assert after_a_day(k) == pytest.approx(expected, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("k", [1e6, 1e9, 1e12])
def test_what_decays_far_faster_than_a_step_is_gone_after_it(k):
    assert abs(after_a_day(k)) < 2e-5  # not 0: gamma has five digits


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("by", ["time", "action"])
def test_changes_that_are_cubic_in_time_are_added_up_exactly(degree, by):
    def power(time: jax.Array) -> jax.Array:
        return (time - 0.4) ** degree + 0.0 * time

    rates = {"time": lambda t, s, p, a: {"a": p["k"] * power(t)},
             "action": lambda t, s, p, a: {"a": p["k"] * a["pd1_block"]}}  # fmt: skip
    adding = mechanism(("a",), rates[by], lambda s, p: s["a"])
    moved, _ = stepped(adding, {"a": 0.0}, 1.3, power, begin=0.2)
    exact = ((1.5 - 0.4) ** (degree + 1) - (0.2 - 0.4) ** (degree + 1)) / (degree + 1)
    assert float(moved["a"]) == pytest.approx(exact, rel=1e-12)


# ---------------------------------------------------------- a problem neither linear nor autonomous


def waves(time: jax.Array) -> jax.Array:
    return 0.5 + 0.4 * jnp.cos(3.0 * time)


def wavy_rate(time, s, p, a):
    """y is logistic at a rate that changes with time and action; z goes with y squared."""
    rise = p["k"] * (a["pd1_block"] + jnp.sin(time)) * (1.0 - s["y"])
    return {"y": rise * s["y"], "z": 2.0 * rise * s["z"]}


WAVY = mechanism(("y", "z"), wavy_rate, lambda s, p: jnp.log(s["z"]))
BEGIN = {"y": 0.1, "z": 3.0}


def wavy(end: float) -> dict[str, float]:
    risen = 0.5 * end + 0.4 / 3.0 * np.sin(3.0 * end) + 1.0 - np.cos(end)
    y = 1.0 / (1.0 + (1.0 / 0.1 - 1.0) * np.exp(-risen))
    return {"y": y, "z": 3.0 * (y / 0.1) ** 2}


def test_the_error_falls_with_the_fourth_power_of_the_step():
    exact = wavy(4.0)
    counts = (16, 32, 64, 128)
    for name in ("y", "z"):
        off = [
            abs(float(walked(WAVY, BEGIN, 4.0, n, waves)[name]) / exact[name] - 1) for n in counts
        ]
        orders = np.log2(np.array(off[:-1]) / off[1:])
        assert orders[-1] == pytest.approx(4.0, abs=0.25), orders
        assert off[-1] < 2e-6


def test_the_error_told_is_of_the_third_order_and_above_the_true_one():
    told, true = [], []
    for length in (0.2, 0.1, 0.05):
        moved, error = stepped(WAVY, BEGIN, length, waves)
        told.append(float(error))
        true.append(abs(np.log(float(moved["z"]) / wavy(length)["z"])))
    assert np.log2(told[1] / told[2]) == pytest.approx(4.0, abs=0.4)
    assert (np.array(told) > true).all()


def test_an_error_of_what_drives_the_size_later_counts_and_of_the_rest_hardly():
    def rate(time, s, p, a):
        return {"size": s["driver"], "driver": -(s["driver"] ** 2), "other": -(s["other"] ** 2)}

    whole = {"size": 0.0, "driver": 0.0, "other": 0.0}
    read = mechanism(("size", "driver", "other"), rate, lambda s, p: s["size"])
    told = {name: float(stepped(read, whole | {name: 1.0}, 0.5, none)[1])
            for name in ("driver", "other")}  # fmt: skip
    assert told["driver"] > 1000.0 * told["other"] > 0.0


def test_an_error_of_a_log_size_far_from_1_mm_is_relative_to_it():
    def rate(time, s, p, a):
        return {"size": jnp.sin(time)}

    read = mechanism(("size",), rate, lambda s, p: s["size"])
    near, far = (float(stepped(read, {"size": x}, 1.0, none)[1]) for x in (1.0, 1000.0))
    assert far == pytest.approx(near / 100.0, rel=0.05)


def test_a_step_is_differentiated_as_by_differences():
    def after(k: float) -> float:
        return stepped(WAVY, BEGIN, 0.3, waves, p={"k": jnp.asarray(k)})[0]["z"]

    slope, h = float(jax.jacfwd(after)(1.0)), 1e-5
    differences = float(after(1.0 + h) - after(1.0 - h)) / (2 * h)
    assert slope == pytest.approx(differences, rel=1e-8)


def test_the_error_has_no_derivative():
    def error(k: float) -> jax.Array:
        return stepped(WAVY, BEGIN, 0.3, waves, p={"k": jnp.asarray(k)})[1]

    assert float(jax.jacfwd(error)(1.0)) == 0.0


# --------------------------------------------------------------------------- the parts of a step


def test_only_what_depends_on_each_other_is_differentiated():
    def function(x, rest):
        return {"p": x["a"] * rest["r"], "q": x["a"] * x["b"], "r": 0.0 * rest["r"] + 2.0}

    x, rest = {name: jnp.asarray(3.0) for name in "ab"}, {"r": jnp.asarray(5.0)}
    assert dependence(function, x, rest) == {"p": {"a"}, "q": {"a", "b"}, "r": set()}
    entries = {pair: float(v) for pair, v in partials(function, x, rest).items()}
    assert entries == {("p", "a"): 5.0, ("q", "a"): 3.0, ("q", "b"): 3.0}


@pytest.mark.parametrize("seed", range(5))
def test_elimination_solves_systems_with_absent_entries(seed):
    rng = np.random.default_rng(seed)
    names = tuple("abcde")
    full = np.where(rng.uniform(size=(5, 5)) < 0.4, rng.normal(size=(5, 5)), 0.0) + 5.0 * np.eye(5)
    right = rng.normal(size=5)
    sparse = {(names[i], names[j]): jnp.asarray(full[i, j]) for i, j in np.argwhere(full != 0.0)}
    x = solved(factored(sparse, names), names, dict(zip(names, right, strict=True)))
    expected = np.linalg.solve(full, right)
    np.testing.assert_allclose([x[name] for name in names], expected, rtol=1e-12)
