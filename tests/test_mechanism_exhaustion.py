"""The core mechanism: published phenotypes, the steady state before treatment, its linear pair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdmodel.course import Courses
from pdmodel.mechanisms.exhaustion import MECHANISM, PARAMETERS
from pdmodel.solve import blocked, solve
from pdmodel.units import DAYS_PER_WEEK, per_day

LAST_WEEK = 104
WEEKS = (0, 6, 12, 18, 24, 30, 36, 45, 54, 63, 72)

# Sizes relative to the first scan at WEEKS, from an independent program (Runge-Kutta, 0.02 weeks);
# growth and waning per week, 1 mm at the start, full blockade unless said.
PHENOTYPES = {
    "durable": (
        {"growth": 0.03, "kill": 0.70, "waning": 0.002},
        (1, 0.9035, 0.7867, 0.6822, 0.5899, 0.5089, 0.4380, 0.3487, 0.2769, 0.2195, 0.1739),
    ),
    "stable": (
        {"growth": 0.02, "kill": 0.45, "waning": 0.005},
        (1, 1.0001, 0.9869, 0.9748, 0.9645, 0.9557, 0.9485, 0.9404, 0.9356, 0.9339, 0.9355),
    ),
    "primary, cold": (
        {"growth": 0.03, "kill": 0.10, "waning": 0.01},
        (1, 1.1508, 1.3203, 1.5180, 1.7493, 2.0202, 2.3378, 2.9199, 3.6595, 4.5997, 5.7959),
    ),
    "primary, fixed exhaustion": (
        {"growth": 0.03, "kill": 0.60, "waning": 0.01, "fixed_fraction": 0.9},
        (1, 1.0605, 1.1276, 1.2068, 1.2996, 1.4077, 1.5326, 1.7553, 2.0257, 2.3512, 2.7403),
    ),
    "acquired, waning": (
        {"growth": 0.06, "kill": 0.52, "waning": 0.05},
        (1, 0.9648, 0.9282, 0.9293, 0.9671, 1.0465, 1.1774, 1.5009, 2.0267, 2.8260, 4.0044),
    ),
    "acquired, waning, exhaustion without antigen": (
        {"growth": 0.05, "kill": 0.65, "waning": 0.05, "antigen_half": 0.0},
        (1, 0.8941, 0.8023, 0.7551, 0.7393, 0.7463, 0.7715, 0.8375, 0.9338, 1.0595, 1.2156),
    ),
    "no drug": (
        {"growth": 0.03, "kill": 0.33, "stop": 0},
        (1, 1.1306, 1.2853, 1.4679, 1.6819, 1.9318, 2.2224, 2.7478, 3.4021, 4.2154, 5.2251),
    ),
    "durable, stopped at week 24": (
        {"growth": 0.03, "kill": 0.70, "waning": 0.002, "stop": 24},
        (1, 0.9035, 0.7867, 0.6822, 0.5899, 0.5461, 0.5180, 0.4715, 0.4187, 0.3618, 0.3046),
    ),
}
# Size at week 104 after stopping at week 24, by kill: response persists only above a threshold.
AFTER_STOPPING = {0.70: 0.144, 0.60: 1.46, 0.55: 2.49, 0.50: 3.47}


def values_of(cases: list[dict[str, float]]) -> dict[str, jax.Array]:
    """Fill up with the constants of the core model, one value a patient, in days."""
    columns = {}
    for q in PARAMETERS:
        given = [case.get(q.name) for case in cases]
        weekly = [q.typical if v is None else per_day(v) if q.unit == "1/day" else v for v in given]
        columns[q.name] = jnp.asarray(weekly)
    return columns | {"baseline": jnp.ones(len(cases))}


def constant(
    stops: list[float], last_day: float, days: list[float], paired: tuple | None = None
) -> Courses:
    """Lay out patients in cells of a week, under full blockade until each one's stop."""
    begin = np.arange(0.0, last_day, DAYS_PER_WEEK)
    count, cells = len(stops), len(begin)
    blocked_at = np.concatenate([begin < stop for stop in stops]) * 1.0
    level = np.zeros((count * cells, 4))
    level[:, 1] = blocked_at
    slot = np.full(cells, -1)
    slot[(np.array(days) / DAYS_PER_WEEK).astype(int)[1:] - 1] = 1 + np.arange(len(days) - 1)
    return Courses(
        begin=np.tile(begin, count),
        length=np.full(count * cells, DAYS_PER_WEEK),
        actions={"pd1_block": level},
        slot=np.tile(slot, count),
        first=cells * np.arange(count),
        last=cells * (1 + np.arange(count)),
        read=np.tile(np.arange(len(days)), (count, 1)),
        visible=np.ones((count, len(days)), bool),
        tolerance=1e-7,
        paired=paired,
    )


@pytest.fixture(scope="module", params=[None, (1.75, 1.0)], ids=["general", "pairs"])
def courses(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """Solve every case at once, on either path of the integrator: sizes at each week."""
    stopped = [
        {"growth": 0.03, "kill": kill, "waning": 0.002, "stop": 24} for kill in AFTER_STOPPING
    ]
    cases = [case for case, _ in PHENOTYPES.values()] + stopped
    stops = [case.get("stop", np.inf) * DAYS_PER_WEEK for case in cases]
    weeks = [week * DAYS_PER_WEEK for week in range(LAST_WEEK + 1)]
    laid = constant(stops, LAST_WEEK * DAYS_PER_WEEK, weeks, request.param)
    solution = solve(MECHANISM, values_of(cases), blocked(laid))
    assert solution.ok.all()
    names = [*PHENOTYPES, *(f"stopped {kill}" for kill in AFTER_STOPPING)]
    return dict(zip(names, np.exp(np.asarray(solution.log_size)), strict=True))


@pytest.mark.parametrize("name", PHENOTYPES)
def test_each_phenotype_runs_its_published_course(courses, name):
    np.testing.assert_allclose(courses[name][list(WEEKS)], PHENOTYPES[name][1], rtol=3e-4)


@pytest.mark.parametrize("kill", AFTER_STOPPING)
def test_response_outlasts_treatment_only_above_a_threshold_of_kill(courses, kill):
    # the numbers were rounded to three digits, and stopped up to one step of theirs later
    assert courses[f"stopped {kill}"][-1] == pytest.approx(AFTER_STOPPING[kill], rel=7e-3)


def some_values(seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {
        q.name: jnp.asarray(
            rng.uniform(0.05, 0.95) if q.transform == "logit" or q.name == "fixed_fraction"
            else q.typical * np.exp(rng.normal())
        )
        for q in PARAMETERS
    }  # fmt: skip


def some_state(seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {
        "log_burden": jnp.asarray(rng.normal(0, 3)),
        "effector": jnp.asarray(np.exp(rng.normal())),
        "exhausted": jnp.asarray(np.exp(rng.normal())),
    }


def acting(pd1: float, ctla4: float = 0.0) -> dict[str, jax.Array]:
    none = {name: jnp.asarray(0.0) for name in MECHANISM.answers_to}
    return none | {"pd1_block": jnp.asarray(pd1), "ctla4_block": jnp.asarray(ctla4)}


@pytest.mark.parametrize("seed", range(5))
def test_before_treatment_the_t_cells_are_steady_and_the_tumor_grows_by_what_is_not_killed(seed):
    p = some_values(seed)
    change = MECHANISM.rate(jnp.asarray(-20.0), MECHANISM.initial(p), p, acting(0.0))
    assert float(change["effector"]) == pytest.approx(0.0, abs=1e-15)
    assert float(change["exhausted"]) == pytest.approx(0.0, abs=1e-15)
    assert float(change["log_burden"]) == pytest.approx(3 * p["growth"] * (1 - p["kill"]))


@pytest.mark.parametrize("seed", range(20))
def test_the_linear_pair_is_the_rate_written_otherwise(seed):
    p, s, now = some_values(seed), some_state(seed), jnp.asarray(30.0 * seed - 100.0)
    a = acting(*np.random.default_rng(seed).uniform(size=2))
    change, pair = MECHANISM.rate(now, s, p, a), MECHANISM.linear
    w = np.array([s[name] for name in pair.states])
    matrix = np.array(pair.matrix(now, s, p, a))
    inflow = np.array(pair.inflow(now, s, p, a))
    assert (matrix[[0, 1], [1, 0]] >= 0).all()
    assert (inflow >= 0).all()
    expected = [change[name] for name in pair.states]
    np.testing.assert_allclose(matrix @ w + inflow, expected, rtol=1e-12, atol=1e-15)
    moved = pair.flow(jnp.asarray(0.5), s, s, p, a)
    assert moved.keys() == {"log_burden"}
    by_rate = s["log_burden"] + 0.5 * change["log_burden"]
    assert float(moved["log_burden"]) == pytest.approx(float(by_rate), rel=1e-13)


def test_fixed_exhaustion_leaves_nothing_for_blockade_to_do():
    p, s = some_values(1) | {"fixed_fraction": jnp.asarray(1.0)}, some_state(1)
    with_drug = MECHANISM.rate(jnp.asarray(5.0), s, p, acting(1.0))
    assert with_drug == MECHANISM.rate(jnp.asarray(5.0), s, p, acting(0.0))


def test_exhaustion_becomes_irreversible_from_the_first_dose_on_not_before():
    p, s = some_values(2), some_state(2)
    before, first, later = (
        MECHANISM.rate(jnp.asarray(day), s, p, acting(0.9)) for day in (-60.0, 0.0, 60.0)
    )
    assert before == first
    assert later["effector"] < first["effector"]


def test_full_lasting_blockade_leads_to_the_steady_state_of_the_formula():
    """In a tumor that stands still: e = s (dX + rho) / ((dE + k')(dX + rho) - rho k')."""
    p = values_of([{"growth": 1e-12, "kill": 0.5, "waning": 1e-12}])
    laid = constant([np.inf], 700.0, [0.0, 700.0])
    effector = solve(MECHANISM, p, blocked(laid)).state["effector"]
    assert float(effector[0, 1]) == pytest.approx(2.5306, abs=5e-5)


def test_ctla4_blockade_brings_in_effectors():
    p, s, now = some_values(3), some_state(3), jnp.asarray(10.0)
    alone, both = (MECHANISM.rate(now, s, p, acting(0.9, ctla4)) for ctla4 in (0.0, 0.5))
    gained = (p["loss"] + p["exhaustion"]) * p["priming_gain"] * 0.5
    assert float(both["effector"] - alone["effector"]) == pytest.approx(float(gained))
    assert both["exhausted"] == alone["exhausted"]
    core = {name: value for name, value in p.items() if name != "priming_gain"}
    assert MECHANISM.rate(now, s, core, acting(0.9, 0.5)) == alone


def test_the_diameter_goes_with_the_cube_root_of_the_volume():
    p = {"baseline": jnp.asarray(50.0)}
    size = MECHANISM.log_size({"log_burden": jnp.log(jnp.asarray(8.0))}, p)
    assert float(jnp.exp(size)) == pytest.approx(100.0)
