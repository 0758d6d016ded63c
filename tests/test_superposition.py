"""One, two and three compartments agree with matrix exponentials, and lose no milligram."""

from itertools import pairwise
from time import perf_counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from pdmodel.errors import ModelError
from pdmodel.modes import modes
from pdmodel.pharmacokinetics import (
    BLOCK,
    Compartments,
    OneCompartment,
    ThreeCompartment,
    TwoCompartment,
    padded_doses,
)
from pdmodel.regimen import Regimen
from pdmodel.superposition import superposed

SECOND = 2.0**-16
"""Days: 1.3 s, without a rounding error when added to a whole day."""
ONE = OneCompartment(0.22, 3.48)
TWO = TwoCompartment(0.22, 3.48, 0.795, 4.06)
THREE = ThreeCompartment(0.22, 3.48, 0.795, 4.06, 0.05, 6.0)
ALL = pytest.mark.parametrize("model", [ONE, TWO, THREE], ids=["one", "two", "three"])

# ---------------------------------------------------------------- an independent reference


def matrix(model: Compartments) -> np.ndarray:
    clearance, volume, *others = (getattr(model, name) for name in model.flows)
    n = 1 + len(others) // 2
    a = np.zeros((n, n))
    a[0, 0] = -clearance / volume
    for j, (q, v) in enumerate(zip(others[::2], others[1::2], strict=True), 1):
        a[0, 0] -= q / volume
        a[j, 0], a[0, j], a[j, j] = q / volume, q / v, -q / v
    return a


def moved(a: np.ndarray, state: np.ndarray, rate: float, days: float) -> np.ndarray:
    """Move on by some days under an infusion of `rate` mg/day."""
    n = len(a)
    wide = np.zeros((n + 1, n + 1))
    wide[:n, :n], wide[0, n] = a, rate
    return (expm(wide * days) @ [*state, 1.0])[:n]


def before_steady(a: np.ndarray, amount: float, duration: float, every: float) -> np.ndarray:
    """Find the state that a dose repeated for ever comes back to, before it is given again."""
    nothing, push = np.zeros(len(a)), np.eye(len(a))[0] * amount
    if duration == 0:
        gained = moved(a, push, 0.0, every)
    else:
        running, part = divmod(duration, every)
        rate = amount / duration
        gained = moved(a, nothing, (running + 1) * rate, part)
        gained = moved(a, gained, running * rate, every - part)
    return np.linalg.solve(np.eye(len(a)) - expm(a * every), gained)


def walked(model: Compartments, regimen: Regimen, time: np.ndarray) -> np.ndarray:
    """Walk from edge to edge; give the mg in every compartment at some days."""
    a, found = matrix(model), {}
    doses = np.stack([regimen.start, regimen.amount, regimen.duration, regimen.interval], 1)
    state, infusions = np.zeros(len(a)), []  # each mg/day, and when it ends
    edges = np.unique(np.concatenate([regimen.edges, time]))
    for day, after in pairwise([*edges, edges[-1] + 1]):
        if day in regimen.resets:
            state, infusions = np.zeros(len(a)), []
        for start, amount, duration, every in doses:
            if start != day:
                continue
            if every:
                state = state + before_steady(a, amount, duration, every)
                k = np.arange(1, np.ceil(duration / every) + 1)
                infusions += [(amount / duration, e) for e in start + duration - k * every]
            if duration:
                infusions.append((amount / duration, start + duration))
            else:
                state = state + np.eye(len(a))[0] * amount
        found[day] = state
        middle = 0.5 * (day + after)
        state = moved(a, state, sum(rate for rate, end in infusions if middle < end), after - day)
    return np.array([found[day] for day in time])


def concentrations(model: Compartments, regimen: Regimen, time: np.ndarray) -> np.ndarray:
    return walked(model, regimen, time)[:, 0] / model.central_volume


# ---------------------------------------------------------------- accuracy

EVENTS = {
    "bolus": Regimen([0], [100], [0]),
    "infusion": Regimen([0], [100], [1 / 32]),
    "one second": Regimen([0, 21], [100, 100], [SECOND, SECOND]),
    "overlapping": Regimen([0, 1, 2], [100, 50, 25], [4, 0.5, 10]),
    "longer than the interval": Regimen(np.arange(0, 70, 7), np.ones(10), np.full(10, 30.0)),
    "before day 0": Regimen([-42, -21, 0], [10, 20, 30], [0.25, 0, 0.25]),
    "two-year gap": Regimen([0, 730], [100, 100], [0.125, 0]),
    "reset": Regimen([0, 21, 30], [100, 50, 9], [0, 20, 0.5], resets=[35]),
    "reset and dose": Regimen([0, 21, 42], [100, 50, 25], [0, 0.25, 0], resets=[21, 42]),
    "steady boluses": Regimen([0], [100], [0], [21]),
    "steady infusions": Regimen([7, 28], [100, 50], [0.25, 0.25], [21, 0]),
    "steady, longer": Regimen([0], [100], [30], [7]),
    "steady, as long": Regimen([0], [100], [21], [21]),
    "steady, twice as long": Regimen([0], [100], [14], [7]),
    "steady, replacing": Regimen([0, 21], [100, 50], [0, 30], [0, 7], resets=[21]),
    "steady, added": Regimen([0, 21, 21], [100, 50, 10], [3, 1, 2], [0, 14, 7]),
    "steady, then reset": Regimen([0, 40], [100, 50], [30, 0.5], [7, 0], resets=[14]),
}


@ALL
@pytest.mark.parametrize("name", EVENTS)
def test_each_kind_of_event_equals_matrix_exponentials(model, name):
    regimen = EVENTS[name]
    days = np.concatenate([regimen.edges, np.linspace(-5, 900, 181), regimen.start + 0.01])
    found = model.concentration(regimen, days)
    np.testing.assert_allclose(found, concentrations(model, regimen, days), rtol=1e-10, atol=1e-300)


def spread(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(np.log(low), np.log(high)).map(lambda x: float(np.exp(x)))


@st.composite
def models(draw: st.DrawFn) -> Compartments:
    """Draw flows over orders of magnitude; often one return rate is, or nearly is, another rate."""
    flow = [draw(spread(0.01, 5)), draw(spread(0.5, 20))]
    n = draw(st.sampled_from([1, 2, 3]))
    for _ in range(n - 1):
        flow += draw(spread(1e-3, 20)), draw(spread(0.5, 50))
    off = 1.0 + draw(st.sampled_from([0.0, 1e-14, 1e-10, 1e-5]))
    if n == 3 and draw(st.booleans()):
        flow[5] = flow[4] / (flow[2] / flow[3]) * off
    if n > 1 and draw(st.booleans()):
        flow[3] = flow[2] / (flow[0] / flow[1]) * off
    return (OneCompartment, TwoCompartment, ThreeCompartment)[n - 1](*flow)


rows = st.lists(
    st.tuples(
        st.integers(0, 400).map(lambda n: n / 8),
        st.integers(0, 1200),
        st.sampled_from([0.0, SECOND, 1 / 32, 1.0, 7.0, 30.0]),
        st.sampled_from([0.0, 0.0, 7.0, 21.0]),
    ),
    min_size=1,
    max_size=5,
)
resets = st.lists(st.integers(0, 400).map(lambda n: n / 8), max_size=2)


@given(models(), rows, resets)
@settings(max_examples=300)
def test_any_model_and_regimen_equal_matrix_exponentials(model, rows, resets):
    regimen = Regimen(*np.array(rows).T, resets=resets)
    days = np.unique(np.concatenate([regimen.edges, regimen.edges + 0.125, [75.0, 150.0]]))
    expected = concentrations(model, regimen, days)
    # a matrix exponential is exact relative to the largest compartment
    floor = 1e-13 * walked(model, regimen, days).max(axis=1) / model.central_volume
    error = np.abs(np.asarray(model.concentration(regimen, days)) - expected)
    assert (error <= 1e-10 * expected + floor).all()


@given(models(), rows, st.floats(1, 120))
@settings(max_examples=100)
def test_what_was_given_is_in_the_body_or_eliminated(model, rows, until):
    """The body from matrix exponentials, what left it from the area under the closed form."""
    regimen = Regimen(*np.array(rows).T[:3])
    lasts = regimen.duration > 0
    part = np.clip((until - regimen.start) / np.where(lasts, regimen.duration, 1), 0, 1)
    given_mg = np.where(lasts, part, regimen.start <= until) @ regimen.amount
    body = walked(model, regimen, np.array([until])).sum()
    fast = -np.diagonal(matrix(model)).min()
    edges = np.unique(np.append(regimen.edges[regimen.edges < until], until))
    steps = 2.0 ** np.arange(-10, 12) / fast  # dense behind each edge
    dense = np.unique(np.append((edges[:, None] + steps).ravel(), edges))
    ends = dense[dense <= until]
    node, weight = np.polynomial.legendre.leggauss(12)
    half = np.diff(ends)[:, None] / 2
    days = (ends[:-1, None] + half * (node + 1)).ravel()
    area = np.asarray(model.concentration(regimen, days)) @ (half * weight).ravel()
    assert body + model.clearance * area == pytest.approx(given_mg, rel=1e-8, abs=1e-9)


@given(models())
@settings(max_examples=300)
def test_shares_add_up_and_time_in_the_body_is_volume_over_clearance(model):
    k10, out, back = model.rates()
    rate, share = (np.asarray(x) for x in jax.jit(modes)(k10, out, back))
    assert (np.diff(rate) >= 0).all()
    assert (share >= 0).all()
    np.testing.assert_allclose(share.sum(), 1, rtol=1e-9)
    np.testing.assert_allclose((share / rate).sum(), 1 / k10, rtol=1e-9)
    np.testing.assert_allclose((share * rate).sum(), k10 + out.sum(), rtol=1e-9)
    np.testing.assert_allclose(rate.prod(), k10 * back.prod(), rtol=1e-12)


# ---------------------------------------------------------------- steady states and resets


@ALL
@pytest.mark.parametrize("duration", [0.0, 0.25, 7.0, 30.0])
def test_a_steady_state_is_what_many_doses_come_to(model, duration):
    start = np.arange(-4200.0, 1, 7)
    many = Regimen(start, np.full(len(start), 100.0), np.full(len(start), duration))
    steady = Regimen([0], [100], [duration], [7])
    days = np.linspace(0, 60, 121)
    np.testing.assert_allclose(
        model.concentration(steady, days), model.concentration(many, days), rtol=1e-9
    )
    assert model.concentration(steady, [-1e-9, -7.0]).tolist() == [0, 0]
    area = model.exposure(Regimen([0, 7], [100, 100], [duration] * 2, [7, 0]), 0, 7).auc
    assert area == pytest.approx(100 / model.clearance, rel=1e-9)


def test_numbers_by_hand():
    one = OneCompartment(np.log(2.0), 1.0)  # half is left after a day
    at = one.concentration(Regimen([0], [8], [0], [1]), [0.0, 1.0, 2.0])
    np.testing.assert_allclose(at, [16, 8, 4], rtol=1e-14)  # 8 + 4 + 2 + ...
    infused = one.concentration(Regimen([0], [2 * np.log(2.0)], [2]), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(infused, [0.5, 0.75, 0.375], rtol=1e-14)
    reset = one.concentration(Regimen([0, 1], [8, 2], [0, 0], resets=[1, 3]), [0.5, 1, 2, 3])
    np.testing.assert_allclose(reset, [8 / 2**0.5, 2, 1, 0], rtol=1e-14)


@ALL
def test_a_reset_stops_infusions_and_spares_the_doses_of_its_day(model):
    regimen = Regimen([0, 10], [100, 20], [30, 0], resets=[10])
    found = model.concentration(regimen, [9.0, 10.0, 20.0])
    alone = model.concentration(Regimen([10], [20], [0]), [9.0, 10.0, 20.0])
    assert found[0] > 0
    np.testing.assert_array_equal(found[1:], alone[1:])
    exposure = model.exposure(regimen, 0, 10)
    left = float(model.concentration(Regimen([0], [100], [30]), [10.0])[0])
    assert exposure.trough == pytest.approx(left, rel=1e-12)
    assert exposure.peak == pytest.approx(left, rel=1e-12)


# ---------------------------------------------------------------- models


def test_models_of_rates():
    assert OneCompartment.from_rates(4.0, 0.5) == OneCompartment(2.0, 4.0)
    falling = {"emax": -0.2, "t50": 60.0, "hill": 2.0}
    two = TwoCompartment.from_rates(4.0, 0.5, 0.25, 0.5, **falling)
    assert two == TwoCompartment(2.0, 4.0, 1.0, 2.0, **falling)
    three = ThreeCompartment.from_rates(4.0, 0.5, 0.25, 0.5, 2.0, 0.125, source="doi:x")
    assert three == ThreeCompartment(2.0, 4.0, 1.0, 2.0, 8.0, 64.0, source="doi:x")
    with pytest.raises(ValueError, match="zip"):
        TwoCompartment.from_rates(4.0, 0.5, 0.25)


def test_a_far_or_idle_compartment_changes_nothing():
    days, regimen = np.linspace(0, 300, 31), Regimen([0, 7], [10, 5], [0, 1])
    idle = ThreeCompartment(0.22, 3.48, 0.795, 4.06, 1e-14, 6.0)
    np.testing.assert_allclose(
        idle.concentration(regimen, days), TWO.concentration(regimen, days), rtol=1e-10
    )
    swapped = ThreeCompartment(0.22, 3.48, 0.05, 6.0, 0.795, 4.06)
    np.testing.assert_allclose(
        swapped.concentration(regimen, days), THREE.concentration(regimen, days), rtol=1e-13
    )


@pytest.mark.parametrize(("make", "name"), [(ONE, "OneCompartment"), (THREE, "ThreeCompartment")])
def test_only_two_compartments_follow_a_clearance(make, name):
    flow = [getattr(make, one) for one in make.flows]
    with pytest.raises(ModelError, match=f"{name} has emax -0.3, .* Use that, or emax=0"):
        type(make)(*flow, emax=-0.3)
    with pytest.raises(ModelError, match=r"have clearance -1\.0; it must be above 0"):
        type(make)(-1.0, *flow[1:])


# ---------------------------------------------------------------- JAX


@ALL
def test_gradients_equal_finite_differences(model):
    k10, out, back = model.rates()
    n = len(out)
    doses = padded_doses(Regimen([0, 7, 20], [9, 5, 2], [0, 1, 30], [0, 0, 7], resets=[20]))
    days = jnp.array([0.5, 7.25, 21.0, 60.0])
    at = jnp.array([k10, *out, *back])

    def amount(p):
        return superposed(modes(p[0], p[1 : 1 + n], p[1 + n :]), days, doses)

    found = jax.jit(jax.jacrev(amount))(at)
    step = 1e-4 * jnp.diag(at)
    all_near = jnp.concatenate([at[None] + k * step for k in (1, -1, 2, -2)])
    near = jnp.split(jax.jit(jax.vmap(amount))(all_near), 4)
    expected = (8 * (near[0] - near[1]) - (near[2] - near[3])).T / (12e-4 * at[None])
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(amount))(at), found, rtol=1e-9, atol=1e-12)


def test_gradients_are_finite_where_compartments_are_alike():
    jacobian = jax.jit(jax.jacrev(lambda p: modes(p[0], p[1:3], p[3:])))
    for p in ([0.1, 0.2, 0.2, 0.1, 0.1], [0.1, 1e-9, 0.3, 0.1, 0.1], [0.1, 0.2, 1e-12, 0.4, 0.1]):
        assert all(np.isfinite(x).all() for x in jacobian(jnp.array(p)))


@ALL
def test_float32_follows_its_inputs_to_five_digits(model):
    regimen = Regimen([0, 7, 40], [100, 50, 10], [0, 14, 9], [0, 7, 0], resets=[40])
    days = np.linspace(1, 200, 60)
    single = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), padded_doses(regimen))
    rates = (jnp.asarray(x, jnp.float32) for x in model.rates())
    found = jax.jit(superposed)(jax.jit(modes)(*rates), jnp.asarray(days, jnp.float32), single)
    assert found.dtype == jnp.float32
    expected = model.concentration(regimen, days) * model.central_volume
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_batch_equals_one_by_one():
    regimens = [EVENTS["reset"], EVENTS["reset and dose"]]
    doses = jax.tree.map(lambda *x: jnp.stack(x), *map(padded_doses, regimens))
    found, days = jax.jit(modes)(*THREE.rates()), jnp.linspace(0.0, 60.0, 50)
    batch = (
        jax.jit(jax.vmap(superposed, (None, None, 0)))(found, days, doses) / THREE.central_volume
    )
    single = [THREE.concentration(one, days) for one in regimens]
    np.testing.assert_allclose(batch, single, rtol=1e-12)


def test_more_days_than_a_block():
    regimen, days = EVENTS["steady, longer"], np.linspace(-1, 100, 9001)
    found = THREE.concentration(regimen, days)
    np.testing.assert_array_equal(found[::500], THREE.concentration(regimen, days[::500]))


@pytest.mark.parametrize("model", [THREE, TwoCompartment(0.22, 3.48, 0.795, 4.06, -0.3, 60.0, 2.0)])
def test_a_thousand_doses_on_a_thousand_days_are_nothing_to_wait_for(model):
    regimen = Regimen(np.arange(1000.0), np.ones(1000), np.full(1000, 1 / 24))
    days = np.linspace(0, 1100, 1000)
    model.concentration(regimen, days)
    seconds = []
    for _ in range(5):
        begun = perf_counter()
        model.concentration(regimen, days)
        seconds.append(perf_counter() - begun)
    assert min(seconds) < 0.3  # takes 0.03 where nothing else is running


def test_the_largest_block_takes_little_memory():
    regimen = Regimen(np.arange(1000.0), np.ones(1000), np.full(1000, 1 / 24))
    found, days = jax.jit(modes)(*THREE.rates()), jnp.linspace(0.0, 1100.0, BLOCK)
    compiled = jax.jit(superposed).lower(found, days, padded_doses(regimen)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 1e8
