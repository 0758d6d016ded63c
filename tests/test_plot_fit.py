"""How well a fit foretells scans, and what they tell only together: the numbers that are drawn."""

from dataclasses import replace
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from four_patients import PATIENTS, a_patient, replicates_of, seen_in
from pdmodel import Cohort
from pdmodel.compare import one_step_pit
from pdmodel.errors import DataError, ModelError
from pdmodel.plot import plot_km, plot_pairs, plot_pit
from pdmodel.plot.calibration import ecdf_difference, pit_bars
from pdmodel.plot.quantity import Quantity
from pdmodel.plot.ridge import correlations, strongest
from pdmodel.plot.visits import by_bins, corrected_scans, time_edges
from pdmodel.predict import latent_courses
from pdmodel.residuals import residual


@pytest.fixture(scope="module")
def fit(fit_by_hand):
    return fit_by_hand(Cohort(PATIENTS))


# ---------------------------------------------------------------- how well it is foretold


def test_bins_of_time_end_where_there_are_gaps_and_hold_enough_scans():
    visits = [-5.0, 42, 84, 126, 168, 210, 400]
    day = np.repeat(visits, [20, 20, 20, 8, 9, 20, 3])
    assert time_edges(day).tolist() == [0, 42, 84, 168]
    running = np.arange(1.0, 101.0)
    assert time_edges(running).tolist() == pytest.approx([0, 25.75, 50.5, 75.25])
    assert time_edges(np.array([-3.0, 0.0])).tolist() == [0]


def test_percentiles_by_time_are_those_of_the_scans_in_the_bin(fit_by_hand):
    many = tuple(a_patient(f"p{k:02d}", [0, 42], [20 + k, 40 + k]) for k in range(21))
    fit = fit_by_hand(Cohort(many))
    table = by_bins(fit, replicates_of(fit, np.stack([seen_in(fit)] * 3)))
    assert table.groupby("day")[["first", "last", "scans"]].first().to_numpy().tolist() == [
        [0, 0, 21], [42, 42, 21],
    ]  # fmt: skip
    later = table[table["day"] == 42].set_index("statistic")
    assert later["observed"].to_dict() == {"q10": 42, "q50": 50, "q90": 58, "too_small": 0}
    assert later["low"].tolist() == later["high"].tolist() == later["observed"].tolist()


def test_prediction_correction_leaves_what_is_not_predicted(fit_by_hand):
    """Patients of any size, all foretold but for a tenth, are alike once corrected."""
    base = 20.0 * 1.1 ** np.arange(21)
    many = [a_patient(f"p{k:02d}", [0, 42], [x, 1.1 * x]) for k, x in enumerate(base)]
    fit = fit_by_hand(Cohort(tuple(many)))
    foretold = np.repeat(base, 2)
    table = by_bins(fit, replicates_of(fit, np.stack([foretold] * 3)), corrected=True)
    assert set(table["statistic"]) == {"q10", "q50", "q90"}
    middle = base[10]
    later = table[table["day"] == 42]
    np.testing.assert_allclose(later["observed"], 1.1 * middle)
    np.testing.assert_allclose(later[["low", "middle", "high"]], middle)
    day, size = corrected_scans(fit, replicates_of(fit, np.stack([foretold] * 3)))
    np.testing.assert_allclose(size, np.where(day == 42, 1.1 * middle, middle))


def test_places_are_those_of_the_distribution(fit):
    """Where the draws do not move, a place is a number that SciPy gives too."""
    still = fit.posterior.isel(draw=[0] * 5, chain=[0])
    tree = fit.tree.copy()
    tree["posterior"] = still
    one = replace(fit, tree=tree)
    table = one_step_pit(one, seed=1)
    assert table["patient"].tolist() == ["S/grows"] * 2 + ["S/returns"] * 4 + ["S/shrinks"] * 3
    course = latent_courses(one, [42.0, 84.0], patients=["grows"], draws=1)["size_mm"].to_numpy()[
        0, 0
    ]
    spread = np.hypot(float(still["scatter"].mean()), 2.0 / course)
    for row, middle, sd in zip(table.to_dict("records"), np.log(course), spread, strict=False):
        law = stats.t(4, middle, sd)
        ends = law.cdf(np.log(row["size_mm"] + np.array([-0.5, 0.5])))
        assert row["below"] == pytest.approx(ends[0], rel=1e-6)
        assert row["at"] == pytest.approx(ends[1] - ends[0], rel=1e-6)
        assert ends[0] <= row["pit"] <= ends[1]
    small = table.iloc[-1]
    assert (small["censored"], small["below"]) == (True, 0)
    assert 0 <= small["pit"] <= small["at"]


def test_places_do_not_depend_on_who_else_is_there_and_follow_the_seed(fit):
    table = one_step_pit(fit, draws=5, seed=1)
    pd.testing.assert_frame_equal(table, one_step_pit(fit, draws=5, seed=1))
    assert (table["pit"] != one_step_pit(fit, draws=5, seed=2)["pit"]).all()
    assert table["pit"].between(0, 1).all()


def test_a_walk_goes_on_from_the_scans_before(fit):
    """Of a walk the forecast is of the next step: its middle follows the scan before."""
    walking = replace(fit.model, residual=residual("walk"))
    extra = {
        q.name: (("chain", "draw"), np.full((2, 600), q.natural(jnp.array(q.centre))))
        for q in walking.residual.parameters
        if not q.fixed and q.name not in fit.posterior
    }
    tree = fit.tree.copy()
    tree["posterior"] = fit.posterior.assign(extra)
    table = one_step_pit(replace(fit, model=walking, tree=tree), draws=5, seed=1)
    assert table[["below", "at", "pit"]].notna().all(axis=None)
    assert (table["below"] + table["at"] <= 1 + 1e-9).all()


def test_nobody_with_two_scans_is_told(fit_by_hand):
    alone = fit_by_hand(Cohort(PATIENTS[2:3]))
    with pytest.raises(DataError, match="No patient has two scans, so that none can be forecast"):
        one_step_pit(alone)
    with pytest.raises(DataError, match="No patient has a scan after baseline"):
        plot_km(alone)


def test_courses_that_were_never_solved_have_no_places(fit):
    tree = fit.tree.copy()
    tree["posterior"] = fit.posterior.assign(growth=fit.posterior["growth"] * np.nan)
    broken = replace(fit, tree=tree)
    table = one_step_pit(broken, draws=5)
    assert table["pit"].isna().all()
    with pytest.raises(DataError, match="No course of the fit could be solved"):
        plot_pit(broken, table=table)


def test_even_places_stay_inside_the_bands_and_uneven_ones_leave_them():
    even = (np.arange(200) + 0.5) / 200
    inside = ecdf_difference(even)
    assert inside["difference"].abs().max() <= 1 / 200
    assert (inside["low"] <= inside["difference"]).all()
    assert (inside["difference"] <= inside["high"]).all()
    off = ecdf_difference(even**3)
    assert (off["difference"] > off["high"]).any()
    bars = pit_bars(even)
    assert (len(bars), bars["share"].tolist()) == (20, [1.0] * 20)
    assert (bars["low"] < 1).all()
    low, high = stats.binom.ppf([0.05 / 20, 1 - 0.05 / 20], 200, 0.05) / 10
    assert bars[["low", "high"]].iloc[0].tolist() == pytest.approx([low, high])
    assert pit_bars(even**3)["share"].max() > bars["high"].max()


def a_quantity(name, u):
    draws = np.exp(np.asarray(u, float))[None]
    return Quantity(name, name, name, "1/day", "log", 0.0, 1.0, draws)


def test_the_strongest_ridge_is_named():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 500))
    kept = [a_quantity("a", x), a_quantity("b", y), a_quantity("c", 0.1 * y - x)]
    table = correlations([*kept, a_quantity("still", np.zeros(500))])
    assert table[["first", "second"]].iloc[0].tolist() == ["a", "c"]
    expected = np.corrcoef(x, 0.1 * y - x)[0, 1]
    assert table["correlation"].iloc[0] == pytest.approx(expected)
    assert table["correlation"].isna().sum() == 3
    both = [q._replace(draws=np.stack([q.draws, rng.permuted(q.draws, axis=1)], -1)) for q in kept]
    found = strongest(both, ("p", "q"))
    assert found["patient"].tolist() == ["p", "q"]
    assert found["correlation"].iloc[0] == pytest.approx(expected)


def test_a_pair_needs_two_parameters(fit):
    alone = replace(fit, model=SimpleNamespace(individual=fit.model.individual[:1]))
    with pytest.raises(ModelError, match="Patients have 1 parameter of their own"):
        plot_pairs(alone)
