"""Comparison of models: scores against SciPy, intervals against the known, runs that go on."""

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from typer.testing import CliRunner

import pdmodel as pdm
import straight_lines
from pdmodel import Cohort, Patient, cli
from pdmodel.compare import (
    DESIGNS,
    LEAST_PROBABILITY,
    Plan,
    bootstrapped,
    design,
    differences,
    efficiencies,
    held_out,
    leave_one_out,
    scored,
    side_by_side,
    summary,
)
from pdmodel.compare.folds import fold_of, folds_of
from pdmodel.compare.integrated import log_marginal
from pdmodel.compare.kept import place_of, read, taken
from pdmodel.compare.learning import (
    Learnt,
    as_treated,
    model_named,
)
from pdmodel.compare.tables import doubts, lines
from pdmodel.data.demo import demo_cohort
from pdmodel.errors import ModelError, OptionError, RunError

FLAT = pdm.Model(pdm.mechanism("flat"), (), pdm.residual("student_t"))
DRAWS = 300


def a_patient(name, sizes, days=None, study="S"):
    size = np.array(sizes, float)
    day = 42.0 * np.arange(len(size)) if days is None else np.array(days, float)
    return Patient(name, study, "a", day, size, size <= 5.0)


def patients(count, seed=0):
    rng = np.random.default_rng(seed)
    courses = np.exp(rng.normal(3.5, 0.5, (count, 1)) + 0.1 * rng.normal(size=(count, 7)).cumsum(1))
    sizes = np.maximum(np.round(courses), 5.0)
    return tuple(a_patient(f"p{k:02d}", row) for k, row in enumerate(sizes))


# --------------------------------------------------------------------------------------- designs


def test_the_last_scans_are_held_out_where_there_are_enough():
    four, six = a_patient("a", [40, 39, 38, 37]), a_patient("b", [40, 39, 38, 37, 36, 35])
    held = DESIGNS["last1"](four)
    assert held.seen.size_mm.tolist() == [40, 39, 38]
    assert (held.day.tolist(), held.size_mm.tolist()) == ([126.0], [37.0])
    assert DESIGNS["last1"](a_patient("c", [40, 39, 38])) is None
    assert DESIGNS["last3"](four) is None
    assert DESIGNS["last3"](six).size_mm.tolist() == [37, 36, 35]


@pytest.mark.parametrize(
    ("days", "seen", "ahead"),
    [
        ([0, 60, 61, 330, 331], [0, 60], [61, 330]),
        ([-5, 400], None, None),
        ([70, 90], None, None),
        ([0, 50], None, None),
    ],
)
def test_landmarks_hold_out_the_months_after(days, seen, ahead):
    held = DESIGNS["day60"](a_patient("a", [40] * len(days), days))
    if seen is None:
        assert held is None
        return
    assert held.seen.day.tolist() == seen
    assert held.day.tolist() == ahead


def test_doses_go_on_by_the_schedule_over_the_scans_ahead():
    cohort = demo_cohort()
    held = next(filter(None, map(DESIGNS["day60"], cohort)))
    (given,) = held.given.values()
    assert given.start.max() > held.seen.regimens["atezolizumab"].start.max()
    assert held.day[-1] - 21.0 < given.start.max() <= held.day[-1]


def test_an_unknown_design_is_refused_with_the_names():
    with pytest.raises(OptionError, match=r"no design 'last2'; known are last1, last3, day60"):
        design("last2")


# ---------------------------------------------------------------------------------------- scores


@pytest.fixture(scope="module")
def by_hand():
    """Flat courses under Student's t: every probability is known in closed form."""
    sizes = ([40, 41, 40, 42, 40, 37], [12, 10, 8, 6, 5, 5], [30, 30, 30, 30, 300, 30])
    held = [DESIGNS["last3"](a_patient(f"p{k}", row)) for k, row in enumerate(sizes)]
    rng = np.random.default_rng(1)
    values = {
        "baseline": np.exp(rng.normal(np.log([40.0, 8.0, 30.0]), 0.05, (DRAWS, 3))),
        "scatter": np.broadcast_to(np.exp(rng.normal(np.log(0.1), 0.2, (DRAWS, 1))), (DRAWS, 3)),
    }
    return held, values, scored(FLAT, held, values, seed=1)


def bin_probability(size, censored, values, k):
    """Mean over draws of the probability of a bin, by SciPy."""
    middle = values["baseline"][:, k]
    spread = np.hypot(values["scatter"][:, k], 2.0 / np.maximum(middle, 5.0))
    law = stats.t(4, np.log(middle), spread)
    low = -np.inf if censored else np.log(size - 0.5)
    return np.mean(law.cdf(np.log(size + 0.5)) - law.cdf(low))


def test_log_scores_are_those_of_scipy(by_hand):
    held, values, scores = by_hand
    expected = [
        bin_probability(size, small, values, k)
        for k, one in enumerate(held)
        for size, small in zip(one.size_mm, one.censored, strict=True)
    ]
    floored = np.maximum(expected, LEAST_PROBABILITY)
    np.testing.assert_allclose(scores.log_score, np.log(floored), atol=1e-9)
    assert scores.floored.tolist() == [p < LEAST_PROBABILITY for p in expected]
    assert scores.floored.sum() == 1  # 300 mm after 30
    assert scores.patient.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert scores.ahead.tolist() == [1, 2, 3] * 3
    assert scores.censored.sum() == 2
    assert not scores.unsolved.any()


def test_medians_are_those_of_the_law_and_stand_beside_the_last_value(by_hand):
    _, _, scores = by_hand
    np.testing.assert_allclose(scores.median_mm[:3], 40.0, rtol=0.02)
    np.testing.assert_allclose(scores.median_mm[3:6], 8.0, rtol=0.06)
    np.testing.assert_allclose(scores.error_mm, np.abs(scores.median_mm - scores.size_mm))
    assert scores.last_error_mm.tolist() == [2, 0, 3, 2, 3, 3, 0, 270, 0]


def test_the_place_of_a_scan_is_that_of_the_law(by_hand):
    held, values, scores = by_hand
    low, high = [], []
    for k, one in enumerate(held):
        for size, small in zip(one.size_mm, one.censored, strict=True):
            up_to = bin_probability(size, True, values, k)
            high.append(up_to)
            low.append(0.0 if small else up_to - bin_probability(size, False, values, k))
    assert (scores.pit > np.array(low) - 0.06).all()
    assert (scores.pit < np.array(high) + 0.06).all()


def test_bins_of_all_sizes_add_up_to_one():
    values = {"baseline": np.full((20, 1), 9.0), "scatter": np.full((20, 1), 0.1)}
    every = np.arange(5.0, 61.0)
    seen = a_patient("a", [9, 9])
    held = DESIGNS["last1"](a_patient("a", [9, 9, 9, 9]))._replace(
        seen=seen, day=100.0 + np.arange(len(every)), size_mm=every, censored=every == 5.0
    )
    scores = scored(FLAT, [held], values, seed=1)
    beyond = stats.t.sf(np.log(60.5 / 9.0) / np.hypot(0.1, 2.0 / 9.0), 4)
    assert not scores.floored.any()
    assert np.exp(scores.log_score).sum() + beyond == pytest.approx(1.0, abs=1e-9)


def test_folds_that_cannot_be_trusted_are_told():
    table = pd.DataFrame({
        "model": ["a"] * 4 + ["b"] * 2, "fold": [1, 1, 2, 2, 1, 2],
        "pareto_k": [0.2, 0.2, 0.9, 0.9, 0.3, 0.3], "off_nats": [0.1, 0.1, 0.2, 0.2, 1.0, 0.4],
    })  # fmt: skip
    (said,) = doubts(table)
    assert said.startswith("a: 1 of 2 folds must not be trusted (Pareto k up to 0.90")
    assert len(doubts(table.assign(off_nats=np.nan))) == 2  # what is not known is not trusted


def test_calibrated_forecasts_have_uniform_places():
    rng, count = np.random.default_rng(3), 128
    baseline = np.exp(rng.normal(3.0, 0.6, count))
    spread = np.hypot(0.1, 2.0 / np.maximum(baseline, 5.0))
    ahead = np.exp(np.log(baseline)[:, None] + spread[:, None] * rng.standard_t(4, (count, 3)))
    sizes = np.where(ahead < 5.5, 5.0, np.round(ahead))
    held = [DESIGNS["last3"](a_patient(f"p{k}", [50, 50, 50, *row])) for k, row in enumerate(sizes)]
    values = {
        "baseline": np.tile(baseline, (100, 1)),
        "scatter": np.full((100, count), 0.1),
    }
    pit = scored(FLAT, held, values, seed=2).pit
    assert stats.kstest(pit, "uniform").pvalue > 0.01
    wrong = scored(FLAT, held, values | {"scatter": np.full((100, count), 0.5)}, seed=2).pit
    assert stats.kstest(wrong, "uniform").pvalue < 1e-6


def test_courses_that_fail_give_no_probability(monkeypatch, by_hand):
    held, values, scores = by_hand
    real = pdm.trajectory.trajectories

    def half(*args):
        courses = real(*args)
        ok = courses.ok & (np.arange(DRAWS)[:, None] >= DRAWS // 2)
        return courses._replace(ok=ok)

    monkeypatch.setattr("pdmodel.compare.scores.trajectories", half)
    found = scored(FLAT, held, values, seed=1)
    np.testing.assert_allclose(found.unsolved, 0.5)
    lost = scores.log_score - found.log_score
    np.testing.assert_allclose(lost[~scores.floored], np.log(2.0), atol=0.1)


# ----------------------------------------------------------------------------------------- folds


def test_a_fold_hangs_on_seed_and_person_alone():
    cohort = Cohort(patients(40))
    fold = folds_of(cohort, 5, seed=1)
    assert fold.shape == (40,)
    assert set(fold) == set(range(5))
    some = cohort.subset(cohort.keys[7:29])
    assert folds_of(some, 5, seed=1).tolist() == fold[7:29].tolist()
    digest = hashlib.sha256(b"1:S/p07").digest()
    assert fold_of(cohort["p07"], 5, 1) == int.from_bytes(digest[:8], "big") % 5
    lesion = replace(a_patient("p07:T1", [40, 40]), lesion="T1")
    assert fold_of(lesion, 5, 1) == fold_of(cohort["p07"], 5, 1)


def test_too_few_patients_for_the_folds_are_refused():
    with pytest.raises(OptionError, match=r"3 patients are too few for 5 folds"):
        folds_of(Cohort(patients(3)), 5, seed=1)
    with pytest.raises(OptionError, match=r"1 folds; give 2 or more"):
        folds_of(Cohort(patients(3)), 1, seed=1)


# ---------------------------------------------------------------------------------------- tables


def test_the_interval_of_a_known_difference():
    rng = np.random.default_rng(5)
    patient = np.repeat(np.arange(400), 2)
    value = 0.1 + np.repeat(rng.normal(0.0, 0.3, 400), 2)
    found = bootstrapped(value, patient, seed=1)
    half = 1.96 * np.std(value[::2], ddof=1) / np.sqrt(400)
    assert found.mean == pytest.approx(value.mean())
    assert found.low == pytest.approx(value.mean() - half, abs=0.003)
    assert found.high == pytest.approx(value.mean() + half, abs=0.003)
    assert bootstrapped(value, patient, seed=1) == found


def a_table(shifts, count=30):
    rng = np.random.default_rng(6)
    base = pd.DataFrame({
        "design": "last1", "patient": np.repeat([f"p{k}" for k in range(count)], 2),
        "ahead": np.tile([1, 2], count), "day": np.tile([42.0, 84.0], count),
        "log_score": rng.normal(-3.0, 1.0, 2 * count), "floored": False,
        "error_mm": rng.exponential(3.0, 2 * count), "last_error_mm": 3.0,
        "pit": rng.uniform(size=2 * count), "unsolved": 0.0,
    })  # fmt: skip
    parts = [
        base.assign(model=name, log_score=base["log_score"] + by, error_mm=base["error_mm"] - by)
        for name, by in shifts.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_paired_differences_leave_out_what_is_common():
    pairs = differences(a_table({"a": 0.0, "b": 0.25}), seed=1).set_index(["model", "against"])
    better = pairs.loc["b", "a"]
    assert better[["difference", "low", "high"]].to_numpy() == pytest.approx([0.25] * 3)
    assert better[["mae_difference", "mae_low"]].to_numpy() == pytest.approx([-0.25] * 2)
    assert pairs.loc[("a", "b"), "difference"] == pytest.approx(-0.25)
    assert (better["patients"], better["scans"]) == (30, 60)


def test_models_of_different_scans_are_not_compared():
    table = a_table({"a": 0.0, "b": 0.25}).drop(index=0)
    with pytest.raises(OptionError, match=r"a and b were not scored on the same .* 'p0' has one"):
        differences(table, seed=1)


def test_a_summary_tells_coverage_and_errors():
    table = a_table({"a": 0.0})
    row = summary(table, seed=1).iloc[0]
    within = table["pit"].between(0.25, 0.75)
    assert row["cover50"] == pytest.approx(within.mean())
    assert row["cover50_2"] == pytest.approx(within[table["ahead"] == 2].mean())
    assert np.isnan(row["cover90_3"])
    assert row["mae_difference"] == pytest.approx(table["error_mm"].mean() - 3.0)
    said = lines(summary(table, seed=1), differences(table, seed=1), ("a",))
    assert said[0].startswith("last1: 30 patients, 60 scans ahead")
    assert said[2].split()[:3] == ["a", f"{table['log_score'].mean():.3f}", "-"]


# ------------------------------------------------------------------------------ the whole table

PLAN = Plan(models=("flat:student_t", "flat:lognormal"), designs=("last1", "day60"), folds=2)


@pytest.fixture
def no_sampling(monkeypatch):
    """Put values by hand in place of fits; gives who learnt, and whose scans were seen."""
    fitted = []

    def learnt(laid, learns, *, seed, method, report):
        fitted.append((laid.of.model.residual.name, learns.copy()))
        x = np.full((10, len(laid.of)), float(len(fitted)))
        return Learnt(x, 0.2, 5.0, 0.3)

    def given(laid, seen, populations, *, draws, seed):
        count = laid.it.data.patients
        assert populations.shape == (10, count, len(laid.of))
        sizes = np.exp(np.asarray(laid.it.data.scans.log_size))
        last = sizes[np.arange(count), np.maximum(seen - 1, 0)]
        around = np.random.default_rng(seed).normal(0.0, 0.02, (50, count))
        return {"baseline": last * np.exp(around), "scatter": np.full((50, count), 0.1)}

    monkeypatch.setattr("pdmodel.compare.folded.learnt", learnt)
    monkeypatch.setattr("pdmodel.compare.folded.values_given", given)
    return fitted


def test_the_table_is_the_same_when_it_is_kept(tmp_path, no_sampling):
    cohort, said = Cohort(patients(12)), []
    first = held_out(cohort, PLAN, taken(tmp_path, overwrite=False), tell=said.append)
    assert len(no_sampling) == 4
    assert len(said) == 8  # two folds and two designs of each model
    again = held_out(cohort, PLAN, taken(tmp_path, overwrite=False), tell=said.append)
    assert len(no_sampling) == 4
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert set(first["patient"]) == set(cohort.keys)
    counts = first.groupby(["model", "design"]).size()
    assert counts["flat:student_t", "last1"] == 12
    assert counts["flat:student_t", "day60"] == 12 * 5
    _, learns = no_sampling[0]
    held = first[(first["model"] == "flat:student_t") & (first["fold"] == 1)]
    assert set(held["patient"]) == set(np.array(cohort.keys)[~learns])
    assert (first["pareto_k"] == 0.2).all()
    pairs = differences(first, seed=1)
    assert len(pairs) == 4


def test_an_interrupted_comparison_goes_on_where_it_was(tmp_path, no_sampling, monkeypatch):
    cohort, told = Cohort(patients(12)), []
    whole = held_out(cohort, PLAN, taken(tmp_path / "a", overwrite=False), tell=told.append)

    def interrupt(line):
        told.append(line)
        if len(told) == 8 + 6:  # a design of the second model
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        held_out(cohort, PLAN, taken(tmp_path / "b", overwrite=False), tell=interrupt)
    assert len(no_sampling) == 6 + 2
    rest = held_out(cohort, PLAN, taken(tmp_path / "b", overwrite=False), tell=told.append)
    assert len(no_sampling) == 8
    pd.testing.assert_frame_equal(whole, rest, check_exact=True)


def test_a_damaged_table_is_made_again_and_said(tmp_path, no_sampling):
    cohort, said = Cohort(patients(12)), []
    plan = replace(PLAN, models=("flat:student_t",))
    first = held_out(cohort, plan, taken(tmp_path, overwrite=False), tell=said.append)
    path = place_of(tmp_path, "flat:student_t", "day60")
    path.write_bytes(path.read_bytes().replace(b"42.0", b"43.0", 1))
    again = held_out(cohort, plan, taken(tmp_path, overwrite=False), tell=said.append)
    assert said[4] == f"{path} is damaged; it is made again."
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_scores_of_something_else_are_refused_naming_it(tmp_path, no_sampling):
    cohort = Cohort(patients(12))
    plan = replace(PLAN, models=("flat:student_t",))
    held_out(cohort, plan, taken(tmp_path, overwrite=False), tell=str)
    with pytest.raises(RunError, match=r"of another comparison: draws .* was 400 and is now 80"):
        held_out(cohort, replace(plan, draws=80), tmp_path, tell=str)
    other = Cohort(patients(12, seed=9))
    with pytest.raises(RunError, match=r"data was 12 patients .* --overwrite"):
        held_out(other, plan, tmp_path, tell=str)
    held_out(other, plan, taken(tmp_path, overwrite=True), tell=str)


def test_what_cannot_be_compared_is_refused(tmp_path, no_sampling):
    cohort = Cohort(patients(12))
    with pytest.raises(OptionError, match=r"'flat:student_t' stands twice"):
        held_out(cohort, replace(PLAN, models=("flat:student_t",) * 2), tmp_path)
    for options in ({"chains": 2}, {"method": "nuts-joint"}):
        with pytest.raises(OptionError, match=r"takes no .*; it takes method: quick, nuts"):
            held_out(cohort, replace(PLAN, options=options), tmp_path)
    short = Cohort(tuple(a_patient(f"p{k}", [40, 40]) for k in range(9)))
    with pytest.raises(OptionError, match=r"enough scans for the design last1"):
        held_out(short, PLAN, tmp_path)
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(RunError, match="holds other things"):
        taken(tmp_path, overwrite=True)
    with pytest.raises(RunError, match="is a file"):
        taken(tmp_path / "thesis.doc", overwrite=True)


def test_scores_are_read_back_to_the_bit():
    table = pd.DataFrame({
        "design": ["last1"] * 2, "patient": ["NA", "007"], "ahead": [1, 2],
        "censored": [True, False], "floored": [False, True], "pit": [1 / 3, np.nan],
    })  # fmt: skip
    back = read(table.to_csv(index=False).encode())
    pd.testing.assert_frame_equal(back, table, check_exact=True)


# --------------------------------------------------------------------------------------- learning


def test_models_by_name():
    assert model_named("flat", ["atezolizumab"]).drugs == ()
    assert model_named("flat", []).residual.name == "walk"
    whole = model_named("exhaustion:student_t", ["atezolizumab"])
    assert ([one.name for one in whole.drugs], whole.residual.name) == (
        ["atezolizumab"],
        "student_t",
    )
    with pytest.raises(ModelError, match="no residual 'wlak'"):
        model_named("flat:wlak", [])


def test_curves_see_no_doses():
    cohort = demo_cohort().patients[:2]
    assert all(not one.regimens and not one.schedules for one in as_treated(cohort, FLAT))
    assert as_treated(cohort, model_named("exhaustion", ["atezolizumab"])) == cohort


# ------------------------------------------------------------------------- leaving out a patient


def test_leaving_out_a_patient_of_a_normal_with_unknown_mean():
    rng, n = np.random.default_rng(7), 12
    y = rng.normal(0.0, 1.0, n)
    mean, sd = y.sum() / (n + 0.01), 1 / np.sqrt(n + 0.01)  # prior sd 10, noise sd 1
    draws = rng.normal(mean, sd, 4000)
    found = leave_one_out(stats.norm.logpdf(y, draws[:, None], 1.0))
    rest = (y.sum() - y) / (n - 1 + 0.01)
    exact = stats.norm.logpdf(y, rest, np.sqrt(1 + 1 / (n - 1 + 0.01)))
    np.testing.assert_allclose(found.log_score, exact, atol=0.02)
    assert found.elpd == pytest.approx(exact.sum(), abs=0.05)
    assert found.standard_error == pytest.approx(np.sqrt(n) * exact.std(ddof=1), rel=0.02)
    assert not found.refit.any()


def test_patients_who_decide_the_fit_are_named():
    rng = np.random.default_rng(8)
    harmless = rng.normal(-5.0, 0.1, (1000, 2))
    heavy = -3.0 * rng.standard_exponential((1000, 1))  # weights of a Pareto tail with k = 3
    found = leave_one_out(np.hstack([harmless, heavy]))
    assert found.refit.tolist() == [False, False, True]
    assert found.limit == pytest.approx(1 - 1 / 3)


def test_leaving_out_needs_draws_and_numbers():
    with pytest.raises(OptionError, match=r"100 draws or more, and there are 50"):
        leave_one_out(np.zeros((50, 2)))
    bad = np.zeros((200, 3))
    bad[7, 1] = np.nan
    with pytest.raises(OptionError, match=r"of 1 of 3 patients is not finite"):
        leave_one_out(bad)


def test_draws_that_hang_together_count_less():
    rng = np.random.default_rng(9)
    free, tied = rng.normal(size=(2, 2, 1000))
    for before, k in pairwise(range(1000)):
        tied[:, k] = 0.9 * tied[:, before] + 0.44 * tied[:, k]
    found = efficiencies(np.stack([0.1 * free, 0.1 * tied], axis=2))
    assert found[0] > 0.8
    assert found[1] == pytest.approx(0.1 / 1.9, rel=0.6)


def a_run(fit_by_hand, cohort, shift=0.0):
    fit = fit_by_hand(cohort, draws=200)
    rng = np.random.default_rng(11)
    marginal = -20.0 + shift + 0.1 * rng.normal(size=(2, 200, len(cohort)))
    group = xr.Dataset({"scans": (("chain", "draw", "patient"), marginal)})
    tree = fit.tree.copy()
    tree["log_marginal"] = xr.DataTree(group)
    return replace(fit, tree=tree)


def test_runs_side_by_side(fit_by_hand):
    cohort = demo_cohort()
    cohort = cohort.subset(cohort.keys[:4])
    fits = {"a": a_run(fit_by_hand, cohort), "b": a_run(fit_by_hand, cohort, shift=0.5)}
    table, each = side_by_side(fits)
    assert table["run"].tolist() == ["b", "a"]
    assert table["difference"].to_numpy() == pytest.approx([0.0, 2.0])
    assert table["difference_se"].to_numpy() == pytest.approx([0.0, 0.0], abs=1e-9)
    assert len(each) == 8
    alone = fit_by_hand(cohort)
    options = alone.manifest["options"] | {"pooling": "none"}
    bare = {"a": fits["a"], "c": replace(alone, manifest={"options": options})}
    with pytest.raises(RunError, match=r"c has no likelihood with patients integrated out"):
        side_by_side(bare)


def test_patients_are_integrated_out_of_a_fit_that_did_not_keep_it(broadcasting):
    fit = straight_lines.the_fit(straight_lines.the_cohort(), moved=False)
    typical = np.linspace(-0.001, 0.003, 6).reshape(2, 3)
    drawn = fit.posterior.assign(net_growth_typical=(("chain", "draw"), typical))
    options = fit.manifest["options"] | {"seed": 1}
    tree = xr.DataTree.from_dict({"posterior": drawn})
    fit = replace(fit, tree=tree, manifest={"options": options})
    exact = np.array([
        [straight_lines.log_marginal(one, [np.log(straight_lines.LARGE), x]) for one in fit.cohort]
        for x in typical.ravel()
    ])  # fmt: skip
    found = log_marginal(fit)
    assert found.shape == (2, 3, len(fit.cohort))
    np.testing.assert_allclose(found.reshape(exact.shape), exact, atol=0.1)
    bare = replace(fit, manifest={"options": options | {"pooling": "none"}})
    with pytest.raises(RunError, match="has no population under which"):
        log_marginal(bare)


def test_runs_on_different_data_are_refused_naming_what_differs(fit_by_hand):
    cohort = demo_cohort()
    two = cohort.subset(cohort.keys[:2])
    mine = a_run(fit_by_hand, two)
    fewer = a_run(fit_by_hand, cohort.subset(cohort.keys[:3]))
    with pytest.raises(RunError, match=r"patient .* is in the second only \(2 and 3 patients\)"):
        side_by_side({"a": mine, "b": fewer})
    first = two.patients[0]
    size = first.size_mm + np.eye(len(first.day))[1]
    changed = replace(two, patients=(replace(first, size_mm=size), *two.patients[1:]))
    with pytest.raises(RunError, match=r"scan 2 of patient .* has size_mm .* in one and .* in the"):
        side_by_side({"a": mine, "b": a_run(fit_by_hand, changed)})


# ------------------------------------------------------------------------------ the command line


def run_command(*words):
    runner = CliRunner(env={"COLUMNS": "80"})
    result = runner.invoke(cli.app, ["compare", *map(str, words)], prog_name="pdmodel")
    assert "Traceback" not in result.output
    return result


def test_one_command_writes_the_tables(tmp_path, no_sampling, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        f"p{k},{day:g},{size:g}"
        for k, one in enumerate(patients(12))
        for day, size in zip(one.day, one.size_mm, strict=True)
    ]
    (tmp_path / "sizes.csv").write_text("\n".join(["patient_id,day,size_mm", *rows]))
    asked = ["sizes.csv", "--regimen", "none", "--size-kind", "sld", "--fold", 2, "-o", "out"]
    asked += [word for name in PLAN.models for word in ("--model", name)]
    asked += ["--design", "last1"]
    result = run_command(*asked)
    assert result.exit_code == 0, result.output
    assert "last1: 12 patients, 12 scans ahead" in result.stdout
    assert len(pd.read_csv("out/scores.csv")) == 24
    assert len(pd.read_csv("out/summary.csv")) == len(pd.read_csv("out/differences.csv")) == 2
    tables = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.csv")}
    assert run_command(*asked).exit_code == 0
    assert len(no_sampling) == 4
    assert tables == {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.csv")}
    other = run_command(*asked, "--seed", 2)
    assert other.exit_code == 1
    assert "seed was 1 and is now 2" in other.stderr


def test_two_runs_are_compared(tmp_path, fit_by_hand):
    cohort = demo_cohort()
    cohort = cohort.subset(cohort.keys[:3])
    folders = [tmp_path / name for name in ("a", "b")]
    for folder, shift in zip(folders, (0.0, 1.0), strict=True):
        pdm.save(a_run(fit_by_hand, cohort, shift), folder)
    result = run_command(*folders)
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{folders[1]} (exhaustion:student_t): elpd -57.")
    assert second.endswith("; 3.0 (se 0.0) behind the best")
    again = run_command(*folders, "--refit")  # nobody has to be
    assert again.stdout == result.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["sizes.csv"], 2, "a comparison on sizes needs a folder: -o DIR"),
        (
            ["sizes.csv", "--regimen", "none", "-o", "out", "--design", "last2"],
            1,
            "known are last1",
        ),
        (["a", "a"], 2, "a run stands twice"),
        (["sizes.csv", "-o", "out", "--refit"], 2, "it is of RUNs; a table is compared by folds"),
        (["a", "b"], 1, "There is no run folder a"),
    ],
)
def test_mistakes_are_answered_in_a_line(words, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sizes.csv").write_text(
        "patient_id,day,size_mm\np,0,40\nq,0,40\nq,42,40\nr,0,9\ns,0,9\n"
    )
    result = run_command(*words)
    assert result.exit_code == code
    assert said in " ".join(result.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["sizes.csv"]
