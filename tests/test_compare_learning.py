"""Folds of one layout: hidden patients count for nothing, hidden scans are not known."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import pdmodel as pdm
from pdmodel import Cohort, Patient
from pdmodel.compare import DESIGNS, LeftOut, scored
from pdmodel.compare.folded import visits
from pdmodel.compare.learning import courses, laid_out, learnt, values_given
from pdmodel.compare.refits import fitted_again
from pdmodel.compare.scores import room_for, scored_on
from pdmodel.data.demo import demo_cohort
from pdmodel.errors import FitError, OptionError, RunError
from pdmodel.fit import quiet
from pdmodel.nodes import Nodes
from pdmodel.nuts import Draws, Settings
from pdmodel.quadrature.effort import EFFORTS, Effort
from pdmodel.quadrature.integrand import weighed
from pdmodel.quadrature.series import seeing

pytestmark = pytest.mark.usefixtures("broadcasting")

MODEL = pdm.Model(pdm.mechanism("flat"), (), pdm.residual("student_t"))
COUNTS = (3, 5, 7, 4, 6, 2)


def some(seed=0):
    rng = np.random.default_rng(seed)
    people = []
    for k, count in enumerate(COUNTS):
        size = np.round(rng.uniform(15, 80) * np.exp(0.1 * rng.standard_normal(count)))
        day = 42.0 * np.arange(count)
        people.append(Patient(f"p{k}", "S", "a", day, size, size <= 5.0))
    return Cohort(tuple(people))


@pytest.fixture(scope="module")
def laid():
    return laid_out(MODEL, some())


def test_patients_that_are_hidden_count_for_nothing(laid):
    keep = np.array([True, False, True, True, False, True])
    cohort = some()
    alone = laid_out(MODEL, cohort.subset(tuple(np.array(cohort.keys)[keep])))
    rng = np.random.default_rng(1)
    effects = jnp.asarray(3.5 + 0.5 * rng.standard_normal((16, len(COUNTS), 1)))
    nodes = Nodes(effects, jnp.zeros((16, len(COUNTS))))
    hidden = seeing(laid.it, np.broadcast_to(keep[:, None], laid.it.data.visible.shape))
    assert hidden.seen.tolist() == keep.tolist()
    fewer = Nodes(effects[:, keep], nodes.log_drawn[:, keep])
    for x in rng.standard_normal((3, len(laid.of))):
        found, _ = weighed(laid.of, hidden, nodes, jnp.asarray(x))
        expected, _ = weighed(alone.of, alone.it, fewer, jnp.asarray(x))
        assert float(found) == pytest.approx(float(expected), abs=1e-9)
        every, _ = weighed(laid.of, laid.it, nodes, jnp.asarray(x))
        assert abs(float(found) - float(every)) > 0.1


def posterior_mean(of, x, patient, seen):
    """Mean of the log of a patient's size given the first scans, by a grid and SciPy."""
    named = {name: float(value) for name, value in of.named(jnp.asarray(x)).items()}
    z = np.linspace(-2.0, 12.0, 4001)
    spread = np.hypot(named["scatter"], 2.0 / np.maximum(np.exp(z), 5.0))
    height = stats.norm.logpdf(z, np.log(named["baseline_typical"]), named["baseline_sd"])
    for size in patient.size_mm[:seen]:
        height += stats.t.logpdf(np.log(size), 4, z, spread)
    weight = np.exp(height - height.max())
    weight /= weight.sum()
    mean = weight @ z
    return mean, np.sqrt(weight @ (z - mean) ** 2)


def test_patients_are_drawn_given_their_own_population_and_the_scans_they_show(laid):
    seen = np.array([1, 3, 7, 2, 0, 2])
    x = np.zeros((2, len(laid.of)))
    x[:, [laid.of.names.index("baseline_typical_z")]] = [[-1.0], [1.0]]
    whose = np.array([0, 1, 0, 1, 0, 1])
    found = values_given(laid, seen, np.repeat(x[whose][None], 3, 0), draws=1200, seed=1)
    assert found["baseline"].shape == found["scatter"].shape == (1200, 6)
    shared = laid.of.named(jnp.asarray(x[0]))["scatter"]
    np.testing.assert_allclose(found["scatter"], float(shared))
    for k, patient in enumerate(some()):
        drawn = np.log(found["baseline"][:, k])
        mean, sd = posterior_mean(laid.of, x[whose[k]], patient, seen[k])
        assert drawn.mean() == pytest.approx(mean, abs=0.15 * sd)
        assert drawn.std() == pytest.approx(sd, rel=0.15)


def test_scores_on_the_courses_of_all_scans_are_those_on_courses_solved_anew():
    drug = pdm.drug("atezolizumab")
    model = pdm.Model(pdm.mechanism("exhaustion"), (drug,), pdm.residual("student_t"))
    whole = demo_cohort()
    cohort = whole.subset(whole.keys[:6])
    held = {k: one for k, p in enumerate(cohort) if (one := DESIGNS["last1"](p)) is not None}
    place, every = np.array(list(held)), list(held.values())
    laid, rng = laid_out(model, cohort), np.random.default_rng(2)
    values = {}
    for q in model.free:
        spread = 0.1 * q.iiv if q in model.individual else 0.0
        z = float(q.unbounded(q.typical)) + spread * rng.standard_normal((12, len(cohort)))
        values[q.name] = np.asarray(q.natural(z))
    log_size, ok = courses(laid, values)
    room = room_for(every)
    mine = {name: value[:, place] for name, value in values.items()}
    quick = scored_on(
        model, every, mine, log_size[:, place[:, None], visits(every, room)], ok[:, place],
        seed=1, room=room,
    )  # fmt: skip
    anew = scored(model, every, mine, seed=1, room=room)
    np.testing.assert_allclose(quick.log_score, anew.log_score, atol=0.02)
    np.testing.assert_allclose(quick.median_mm, anew.median_mm, rtol=0.01)
    np.testing.assert_array_equal(quick.size_mm, anew.size_mm)


@pytest.mark.slow
def test_a_fold_learns_from_those_it_is_shown(laid, monkeypatch):
    shown = np.array([True, True, True, True, False, False])
    few = Effort(64, 16, 1, 1, 64, 1, 64, 0, 2, 64, wider=False)
    monkeypatch.setitem(EFFORTS, "quick", few)
    found = learnt(laid, shown, seed=1, method="quick", report=quiet)
    assert found.x.shape == (800, len(laid.of))
    assert found.pareto_k < 0.7
    typical = jax.vmap(laid.of.named)(jnp.asarray(found.x))["baseline_typical"]
    sizes = [p.size_mm[0] for p, yes in zip(some(), shown, strict=True) if yes]
    assert 0.4 < float(np.median(typical)) / np.exp(np.mean(np.log(sizes))) < 2.5


def log_marginal(of, x, patient):
    """Log density of all scans of a patient, its size integrated out on a grid by SciPy."""
    named = {name: float(value) for name, value in of.named(jnp.asarray(x)).items()}
    z = np.linspace(-2.0, 12.0, 8001)
    spread = np.hypot(named["scatter"], 2.0 / np.maximum(np.exp(z), 5.0))
    height = stats.norm.logpdf(z, np.log(named["baseline_typical"]), named["baseline_sd"])
    for size in patient.size_mm:  # per mm
        height += stats.t.logpdf(np.log(size), 4, z, spread) - np.log(size)
    return float(logsumexp(height) + np.log(z[1] - z[0]))


@pytest.mark.slow
def test_patients_are_left_out_by_fitting_again(laid, monkeypatch):
    """The fit without the patient is put by hand; its score is that of a grid by SciPy."""
    cohort, asked = some(), []
    x = 0.5 * np.random.default_rng(3).standard_normal((40, len(laid.of)))

    def settled(of, it, seed, settings, effort, report, checkpoints):
        asked.append((np.asarray(it.seen), settings.draws))
        return SimpleNamespace(at=SimpleNamespace(x=x.reshape(4, 10, -1)))

    monkeypatch.setattr("pdmodel.compare.refits.settled", settled)
    fit = SimpleNamespace(
        model=MODEL, cohort=cohort, kinetics_seed=None,
        manifest={"design": "quick", "options": {
            "accuracy": "draft", "draws": 10, "chains": 4, "seed": 1, "method": "quick",
            "warmup": 20, "target_accept": 0.9, "max_depth": 8}},
    )  # fmt: skip
    never = np.zeros(6, bool)
    refit = np.arange(6) == 2
    before = LeftOut(np.full(6, -7.0), np.where(refit, 0.9, 0.1), refit, 0.7, never)
    found = fitted_again(fit, before)
    assert [(seen.tolist(), draws) for seen, draws in asked] == [((~refit).tolist(), 10)]
    each = [log_marginal(laid.of, one, cohort.patients[2]) for one in x]
    assert found.log_score[2] == pytest.approx(logsumexp(each) - np.log(40), abs=0.05)
    np.testing.assert_array_equal(np.delete(found.log_score, 2), -7.0)
    assert found.exact.tolist() == refit.tolist()
    assert not found.refit.any()


def test_fits_over_levels_are_made_again_over_levels(laid, monkeypatch):
    cohort, asked = some(), []
    x = 0.5 * np.random.default_rng(3).standard_normal((40, len(laid.of)))

    def over_levels(model, others, data, seed, settings, report):
        asked.append((others.keys, data.patients, settings))
        positions = {name: x[:, k].reshape(4, 10) for k, name in enumerate(laid.of.names)}
        return None, Draws(positions, {})

    monkeypatch.setattr("pdmodel.compare.refits.over_levels", over_levels)
    options = {
        "accuracy": "draft", "draws": 10, "chains": 4, "seed": 1, "method": "nuts",
        "warmup": 20, "target_accept": 0.9, "max_depth": 8,
    }  # fmt: skip
    fit = SimpleNamespace(
        model=MODEL, cohort=cohort, kinetics_seed=None,
        manifest={"design": "levels", "options": options},
    )  # fmt: skip
    refit = np.arange(6) == 2
    before = LeftOut(np.full(6, -7.0), np.where(refit, 0.9, 0.1), refit, 0.7, np.zeros(6, bool))
    found = fitted_again(fit, before)
    kept = tuple(key for k, key in enumerate(cohort.keys) if k != 2)
    assert asked == [(kept, 5, Settings(20, 10, 4, 0.9, 8))]
    each = [log_marginal(laid.of, one, cohort.patients[2]) for one in x]
    assert found.log_score[2] == pytest.approx(logsumexp(each) - np.log(40), abs=0.05)
    fit.manifest["design"] = "nuts-joint"
    with pytest.raises(RunError, match="Only fits by the methods nuts and quick can be made again"):
        fitted_again(fit, before)


def test_what_cannot_be_learnt_is_refused(laid):
    with pytest.raises(OptionError, match="method is 'map'; it must be one of quick, nuts"):
        learnt(laid, np.ones(6, bool), seed=1, method="map", report=quiet)
    fixed = [replace(q, between=None) for q in MODEL.mechanism.parameters]
    alike = pdm.Model(replace(MODEL.mechanism, parameters=tuple(fixed)), (), MODEL.residual)
    with pytest.raises(FitError, match="no parameter of a patient's own"):
        laid_out(alike, some())
