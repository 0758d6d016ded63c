"""Plots of what happened to a cohort: numbers, names and figures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from four_patients import PATIENTS, RULE, a_patient, replicates_of, seen_in
from pdmodel import Cohort
from pdmodel.dosing import parse_schedules, planned
from pdmodel.errors import OptionError, RunError
from pdmodel.plot import KINDS, plot_khat, plot_swimmer, plot_timeline, png
from pdmodel.plot.khat import k_table
from pdmodel.plot.swimmer import PER_PAGE
from pdmodel.plot.times import (
    doses_of,
    free_of_progression,
    observed_times,
    responses,
    simulated_times,
    survival_band,
    swum,
)
from pdmodel.plot.triangle import in_triangle, staggered


@pytest.fixture(scope="module")
def fit(fit_by_hand):
    return fit_by_hand(Cohort(PATIENTS))


@pytest.fixture(scope="module")
def weighed(fit):
    rng = np.random.default_rng(3)
    heights = rng.normal(size=(2, 600, 4)) * np.array([0.1, 0.3, 3.0, 0.2])
    tree = fit.tree.copy()
    tree["log_marginal"] = xr.Dataset({"scans": (("chain", "draw", "patient"), heights)})
    return replace(fit, tree=tree)


# ---------------------------------------------------------------- what happened, and when


def test_bars_end_with_the_last_scan_or_dose_and_hold_what_happened():
    table = swum(Cohort(PATIENTS), RULE).set_index("patient")
    assert table.index.tolist() == ["S/returns", "S/shrinks", "S/grows", "S/once"]
    assert table["start"].tolist() == [-10, 0, -7, 0]
    assert table["end"].tolist() == [180, 126, 84, 42]
    # 41 is 36 % above the nadir of 30, and 36 is 20 % and 6 mm above it
    assert table["progression"].tolist() == pytest.approx([130, np.nan, 42, np.nan], nan_ok=True)
    assert table["response"].tolist() == pytest.approx([40, 40, np.nan, np.nan], nan_ok=True)
    assert table["ongoing"].tolist() == [False, True, False, False]


def test_responses_are_told_scan_by_scan():
    table = responses(Cohort(PATIENTS), RULE)
    rows = {p.key: table[table["patient"] == p.key] for p in PATIENTS}
    assert rows["S/grows"]["response"].tolist() == ["", "PD", "PD"]
    assert rows["S/grows"]["counts"].tolist() == [False, True, False]
    assert rows["S/shrinks"]["response"].tolist() == ["", "PR", "PR", "CR"]
    assert rows["S/once"]["response"].tolist() == [""]
    assert rows["S/returns"]["response"].tolist() == ["", "PR", "PR", "PD", "PD"]
    assert rows["S/returns"].loc[rows["S/returns"]["counts"], "day"].tolist() == [130]


def test_a_timeline_names_every_patient_once_and_has_pages(fit):
    figure = plot_timeline(fit)
    (ax,) = figure.axes
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["returns", "shrinks", "grows", "once"]
    assert len(ax.patches) == sum(len(p.day) for p in PATIENTS)
    hidden = plot_timeline(fit, hide_ids=True).axes[0]
    assert sorted(text.get_text() for text in hidden.get_yticklabels()) == ["1", "2", "3", "4"]
    with pytest.raises(OptionError, match="page_number is 2; there are pages 1 to 1"):
        plot_timeline(fit, page_number=2)


def test_a_response_after_progression_is_none():
    late = a_patient("late", [0, 42, 84], [40, 52, 10])
    assert np.isnan(swum(Cohort((late,)), RULE)["response"].item())


def test_doses_of_nothing_are_not_listed():
    table = doses_of(Cohort(PATIENTS[:1]))
    assert table["day"].tolist() == [0, 42]
    assert set(table["drug"]) == {"atezolizumab"}


def test_times_are_those_of_the_response_module():
    table = observed_times(Cohort(PATIENTS), RULE)
    assert table.to_numpy().tolist() == [
        ["S/grows", 42.0, True], ["S/returns", 130.0, True], ["S/shrinks", 126.0, False],
    ]  # fmt: skip
    assert table.attrs["left_out"] == ["S/once"]


def test_the_estimate_is_that_of_kaplan_and_meier():
    days, event = np.array([2.0, 3, 5, 5, 6]), np.array([1, 0, 1, 1, 0], bool)
    found = free_of_progression(days, event, np.array([0.0, 2, 4, 5, 7]))
    assert found.tolist() == pytest.approx([1, 4 / 5, 4 / 5, 4 / 5 / 3, 4 / 5 / 3])
    assert free_of_progression(days, ~(days > 0), np.array([6.0])).item() == 1


def test_cohorts_simulated_as_they_were_seen_have_the_times_that_were_seen(fit):
    size = np.stack([seen_in(fit), seen_in(fit) + 0.3, np.full(13, np.nan)])
    days, event = simulated_times(fit.cohort, replicates_of(fit, size), RULE)
    assert days.tolist() == [[42, 130, 126]] * 2  # read in whole mm; the third was not solved
    assert event.tolist() == [[True, True, False]] * 2
    table = survival_band(observed_times(fit.cohort, RULE), (days, event)).set_index("day")
    assert table["at_risk"].loc[[0, 42, 43, 130]].tolist() == [3, 3, 2, 1]
    for column in ("observed", "low", "middle", "high"):
        assert table[column].loc[[0, 42, 129, 130]].tolist() == pytest.approx([1, 2 / 3, 2 / 3, 0])


def test_where_no_course_was_solved_there_is_no_band(fit):
    nothing = replicates_of(fit, np.full((2, 13), np.nan))
    found = simulated_times(fit.cohort, nothing, RULE)
    table = survival_band(observed_times(fit.cohort, RULE), found)
    assert table["low"].isna().all()
    assert table["observed"].notna().all()


def some_labels(*shares):
    columns = ("p_primary", "p_acquired", "p_early_loss", "p_durable", "p_not_determinable")
    table = pd.DataFrame(shares, columns=columns)
    return table.assign(patient_id=[f"p{k}" for k in range(len(table))], study="S", label="durable")


def test_patients_stand_where_their_probabilities_put_them():
    table = in_triangle(some_labels(
        (1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 0, 1, 0), (0.1, 0.1, 0.7, 0, 0.1),
        (0.01, 0, 0.99, 0, 0),
    ))  # fmt: skip
    assert table["x"].tolist() == pytest.approx([0, 1, 0.5, 0.5])
    assert table["y"].tolist() == pytest.approx([0, 0, np.sqrt(0.75), 0])
    assert table["inside"].tolist() == pytest.approx([1, 1, 1, 0.2])
    assert table.attrs["left_out"] == ["p4"]


def test_no_dot_hides_another():
    drawn = staggered(in_triangle(some_labels(*[(0, 0, 0, 1, 0)] * 20)))
    gaps = np.hypot(*(np.subtract.outer(drawn[c].to_numpy(), drawn[c].to_numpy()) for c in "xy"))
    assert gaps[~np.eye(20, dtype=bool)].min() > 0.015


def test_patients_stand_by_their_k(weighed, fit):
    table = k_table(weighed)
    assert table["patient"].iloc[0] == fit.cohort.keys[2]
    assert (np.diff(table["k"]) <= 0).all()
    assert table["refit"].tolist() == [True, False, False, False]
    assert table.attrs["limit"] == pytest.approx(1 - 1 / np.log10(1200))
    with pytest.raises(RunError, match="has no likelihood with patients integrated out"):
        plot_khat(fit)


# ---------------------------------------------------------------- drawing


def words(figure):
    texts = [x.get_text() for x in figure.findobj(lambda one: hasattr(one, "get_text"))]
    return " ".join(texts)


def test_leaving_out_draws_a_figure_that_stays_on_its_page(weighed, outside):
    figure = KINDS["khat"](weighed)
    assert png(figure, 50).startswith(b"\x89PNG")
    assert not outside(figure)


HOSTILE = ("$\\bad", "a$b$c", "x" * 300)


@pytest.mark.parametrize("kind", ["swimmer", "pairs", "khat", "waterfall", "trace"])
def test_names_are_drawn_as_they_are_or_as_numbers(kind, weighed, fit_by_hand):
    names = [*HOSTILE, "once"]
    patients = [replace(p, id=name) for p, name in zip(PATIENTS, names, strict=True)]
    made = fit_by_hand(Cohort(tuple(patients)))
    tree = made.tree.copy()
    tree["log_marginal"] = weighed.tree["log_marginal"].to_dataset()
    fit = replace(made, tree=tree)
    options = {"patient": HOSTILE[0]} if kind in ("pairs", "trace") else {}
    shown = KINDS[kind](fit, **options)
    png(shown, 30)
    assert r"\$\bad" in words(shown)
    hidden = KINDS[kind](fit, hide_ids=True, **options)
    png(hidden, 30)
    assert not any(name.replace("$", r"\$")[:20] in words(hidden) for name in HOSTILE)
    assert "1" in words(hidden)


def test_many_patients_are_paged_or_drawn_group_by_group(fit_by_hand, outside):
    many = tuple(replace(PATIENTS[k % 4], id=f"p{k}") for k in range(130))
    fit = fit_by_hand(Cohort(many), draws=2)
    everybody = plot_swimmer(fit)
    assert "Doses not shown" in words(everybody)
    assert not outside(everybody)
    last = plot_swimmer(fit, page_number=3)
    assert len(last.axes[0].get_yticklabels()) == 130 - 2 * PER_PAGE
    with pytest.raises(OptionError, match="pages 1 to 3"):
        plot_swimmer(fit, page_number=4)


def test_drugs_are_told_apart(fit_by_hand):
    doses = planned(parse_schedules("atezolizumab 1200 mg q3w + ipilimumab 240 mg q3w x4"), 84.0)
    both = a_patient("both", [0, 42, 84], [40, 35, 30], regimens=doses)
    said = words(plot_swimmer(fit_by_hand(Cohort((both,)))))
    assert "dose of atezolizumab" in said
    assert "dose of ipilimumab" in said
