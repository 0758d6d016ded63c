"""Errors of scans: among those of new patients, and with each scan left out of the fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from four_patients import PATIENTS, a_patient
from pdmodel import Cohort
from pdmodel.compare import leave_one_out_pit, npde, one_step_pit
from pdmodel.compare.npde import from_population, summary
from pdmodel.errors import DataError, OptionError
from pdmodel.plot import plot_loo_pit, plot_npde, png
from pdmodel.plot.npde import percentiles
from pdmodel.predict import replicated

DAYS = [0.0, 42, 84, 126]


@pytest.fixture(scope="module")
def fit(fit_by_hand):
    return fit_by_hand(Cohort(PATIENTS))


@pytest.fixture(scope="module")
def many(fit_by_hand):
    return fit_by_hand(Cohort(tuple(a_patient(f"p{k}", DAYS, [40] * 4) for k in range(30))))


def seen_as(fit, size, limit=5.0):
    """The fit with other sizes (patients, visits), read in whole mm, too small below the limit."""
    small = size <= limit
    people = [
        replace(p, size_mm=np.where(one, limit, np.rint(mm)), censored=one)
        for p, mm, one in zip(fit.cohort, size, small, strict=True)
    ]
    return replace(fit, cohort=Cohort(tuple(people)))


def test_errors_of_new_patients_are_standard_normal_and_those_of_others_are_not(many):
    size = replicated(from_population(many, seed=5), draws=4, seed=5)["size_mm"][2].to_numpy()
    right = npde(seen_as(many, size.reshape(30, 4)), draws=300, seed=1)
    found = summary(right["npde"].to_numpy())
    assert found["mean"] == pytest.approx(0, abs=0.3)
    assert found["sd"] == pytest.approx(1, abs=0.2)
    assert min(found["p_mean"], found["p_variance"], found["p_normal"]) > 0.01
    within = right["npde"].to_numpy().reshape(30, 4)
    assert abs(np.corrcoef(within[:, :-1].ravel(), within[:, 1:].ravel())[0, 1]) < 0.3
    wrong = npde(seen_as(many, 4 * size.reshape(30, 4)), draws=300, seed=1)
    assert wrong["npde"].mean() > 0.3


def test_a_lesion_that_stays_too_small_is_no_surprise_each_time(many):
    size = np.tile([30.0, 5, 5, 5], (30, 1))
    table = npde(seen_as(many, size), draws=400, seed=1)
    last = table.loc[table["day"] == 126, "npde"]
    assert table.loc[table["day"] == 126, "censored"].all()
    assert last.abs().max() < 3.5
    assert last.std() < 1.5


def test_new_patients_have_the_spread_and_correlations_of_the_population(many):
    names = [f"{a}_{b}_correlation" for a, b in (("baseline", "growth"), ("baseline", "kill"),
                                                 ("growth", "kill"))]  # fmt: skip
    tree = many.tree.copy()
    half = {name: (("chain", "draw"), np.full((2, 600), 0.5)) for name in names}
    tree["posterior"] = xr.DataTree(many.posterior.assign(half))
    options = many.manifest["options"] | {"correlated": True}
    found = from_population(replace(many, tree=tree, manifest=many.manifest | {"options": options}))
    drawn = found.values()
    x = {q.name: np.asarray(q.unbounded(drawn[q.name])) for q in many.model.individual}
    for q in many.model.individual:
        assert x[q.name].std() == pytest.approx(q.iiv, rel=0.05)
    assert np.corrcoef(x["growth"].ravel(), x["kill"].ravel())[0, 1] == pytest.approx(0.5, abs=0.03)
    alone = np.asarray(from_population(many).values()["kill"])
    assert abs(np.corrcoef(alone[:, 0], alone[:, 1])[0, 1]) < 0.15


def test_patients_alone_have_no_population(fit):
    options = fit.manifest["options"] | {"pooling": "none"}
    alone = replace(fit, manifest=fit.manifest | {"options": options})
    with pytest.raises(OptionError, match=r"has no population .* fit with --pooling partial"):
        npde(alone)


def test_too_few_errors_are_told(fit):
    table = npde(fit, draws=50)
    assert table["npde"].isna().all()
    pd.testing.assert_frame_equal(table, npde(fit, draws=50))
    with pytest.raises(DataError, match="0 scans have a prediction error, and the plot needs 8"):
        plot_npde(fit, table=table)


def test_percentiles_of_normals_lie_in_their_bands():
    rng = np.random.default_rng(2)
    x, errors = rng.uniform(size=600), rng.normal(size=600)
    table = percentiles(x, errors)
    assert table["scans"].tolist() == [100] * 18
    inside = (table["observed"] > table["low"]) & (table["observed"] < table["high"])
    assert inside.mean() > 0.75
    assert (np.diff(table.loc[table["cut"] == 0.5, "at"]) > 0).all()


def test_where_draws_do_not_move_leaving_out_changes_nothing(fit):
    tree = fit.tree.copy()
    tree["posterior"] = fit.posterior.isel(draw=[0] * 100, chain=[0])
    still = replace(fit, tree=tree)
    left, all_ = leave_one_out_pit(still, seed=1), one_step_pit(still, seed=1)
    pd.testing.assert_frame_equal(left.drop(columns="k"), all_)


def test_a_scan_is_more_surprising_to_a_fit_that_did_not_see_it(fit):
    left, all_ = leave_one_out_pit(fit, seed=1), one_step_pit(fit, draws=400, seed=1)
    assert (left["at"] < all_["at"] + 1e-12).all()
    assert left["pit"].between(0, 1).all()
    assert left["k"].notna().all()
    with pytest.raises(OptionError, match="needs 100 draws or more, and there are 50"):
        leave_one_out_pit(fit, draws=50)


def test_both_are_drawn_on_their_page(fit, outside):
    for figure in (plot_loo_pit(fit, draws=100), plot_npde(fit, draws=200)):
        assert png(figure, 40).startswith(b"\x89PNG")
        assert not outside(figure)
        assert all(ax.get_xlabel() for ax in figure.axes)
