"""Plots: the numbers that are drawn, and that every kind draws, odd patients and names too."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

from made_draws import tree_of
from pdmodel import Cohort, Fit, Model, Patient, drug, mechanism, residual
from pdmodel.data import ReadingLog
from pdmodel.dosing import parse_schedules, planned
from pdmodel.errors import DataError, OptionError
from pdmodel.plot import KINDS, patient_pages, plot_arms, plot_classes, plot_patient, png
from pdmodel.plot.arms import ENDPOINTS, endpoint_table
from pdmodel.plot.change import best_responses, label_of, percent_change, thresholds, waterfall
from pdmodel.plot.classes import PER_PAGE, counted, in_order
from pdmodel.plot.quantity import (
    common,
    density,
    natural,
    own,
    prior_density,
    ticks,
    transformed,
    window,
)
from pdmodel.plot.style import CLASSES, RESPONSES, names_of, plain
from pdmodel.plot.trace import rank_shares
from pdmodel.plot.visits import by_visit, coverage
from pdmodel.response import CLASSES as NAMES
from pdmodel.response import RULES
from pdmodel.simulate import simulate

MODEL = Model(mechanism("exhaustion"), (drug("atezolizumab"),), residual("student_t"))
RULE = RULES["sitc2020"]
CHAINS, DRAWS = 2, 40
ELSEWHERE = ("history", "khat", "loo-pit", "npde", "attribution", "rescue", "regimens", "sbc")
"""Kinds that are drawn in other files of tests."""
DOSED = parse_schedules("atezolizumab 1200 mg q3w")


def a_patient(name, day, size, censored=(), **more):
    day = np.array(day, float)
    mark = np.isin(np.arange(len(day)), censored)
    given = {"regimens": planned(DOSED, day[-1])} | more
    return Patient(name, "S", "a", day, np.array(size, float), mark, **given)


PATIENTS = (
    a_patient("grows", [-7, 42, 84], [40, 52, 70]),
    a_patient("shrinks", [0, 42, 84, 126], [50, 30, 12, 5], censored=[3], schedules=DOSED),
    a_patient("once", [0], [30]),
    a_patient("returns", [-10, 40, 85, 130, 180], [60, 36, 30, 36, 41]),
)


def a_fit(pooling="partial", patients=PATIENTS):
    """A fit whose draws are made by hand, near typical values."""
    rng = np.random.default_rng(5)
    cohort = Cohort(patients, "sld", ReadingLog("sizes.csv", 14, 13))
    sampled, own_shape = (CHAINS, DRAWS), (CHAINS, DRAWS, len(patients))
    values = {}
    for q in MODEL.free:
        lasting = q.individual or pooling == "none"
        u = q.centre + 0.2 * rng.normal(size=own_shape if lasting else sampled)
        values[q.name] = natural(u, q.transform)
        if q.individual and pooling == "partial":
            u = q.centre + 0.1 * rng.normal(size=sampled)
            values[f"{q.name}_typical"] = natural(u, q.transform)
            values[f"{q.name}_sd"] = q.between * np.exp(0.1 * rng.normal(size=sampled))
    tree = tree_of(cohort, values, rng, sampled)
    manifest = {
        "options": {"pooling": pooling, "max_depth": 8, "accuracy": "draft"},
        "failed_solves": {"posterior": "0 of 320"},
    }
    return Fit(MODEL, cohort, tree, manifest)


def some_labels(n):
    """Labels of `n` patients, with probabilities of all kinds."""
    share = np.random.default_rng(2).dirichlet(np.full(len(NAMES), 0.3), n)
    top = share.argmax(axis=1)
    sure = share.max(axis=1) >= 0.8
    return pd.DataFrame(
        {f"p_{name}": share[:, k] for k, name in enumerate(NAMES)}
        | {
            "patient_id": [f"p{k}" for k in range(n)],
            "study": "S",
            "observed_label": "primary",
            "label": [str(NAMES[k]) if s else "undecided" for k, s in zip(top, sure, strict=True)],
            "confidence": share.max(axis=1),
        }
    )


@pytest.fixture(scope="module")
def partial():
    return a_fit()


@pytest.fixture(scope="module")
def trial(partial):
    return simulate(partial, ["none", "atezolizumab + ipilimumab"], n=60, seed=1, until=400.0)


# ---------------------------------------------------------------- numbers


def test_change_is_from_the_last_scan_before_treatment(partial):
    table = percent_change(partial.cohort)
    grows = table[table["patient"] == "S/grows"]
    assert grows["change"].tolist() == pytest.approx([0, 30, 75])
    shrinks = table[table["patient"] == "S/shrinks"]
    assert shrinks["change"].tolist() == pytest.approx([0, -40, -76, -90])
    assert shrinks["at_most"].tolist() == [False, False, False, True]


def test_scans_before_the_baseline_are_no_change():
    twice = a_patient("twice", [-30, -2, 40], [20, 40, 30])
    table = percent_change(Cohort((twice,)))
    assert table["day"].tolist() == [-2, 40]
    assert table["change"].tolist() == pytest.approx([0, -25])


def test_the_waterfall_is_sorted_and_tells_whom_it_leaves_out(partial):
    table = waterfall(partial.cohort)
    assert table["patient"].tolist() == ["S/grows", "S/returns", "S/shrinks"]
    assert table["change"].tolist() == pytest.approx([30, -50, -90])
    assert table["at_most"].tolist() == [False, False, True]
    assert table.attrs["left_out"] == ["S/once"]


def test_a_baseline_of_nothing_has_no_change():
    gone = a_patient("gone", [0, 42], [0, 10])
    cohort = Cohort((gone, PATIENTS[0]))
    assert percent_change(cohort).attrs["left_out"] == ["S/gone"]
    assert waterfall(cohort).attrs["left_out"] == ["S/gone"]


def test_too_small_to_measure_is_a_response_whatever_its_limit():
    seen = a_patient("seen", [0, 42], [50, 10])
    small = a_patient("small", [0, 42], [50, 10], censored=[1])
    assert best_responses(Cohort((seen, small)), RULE) == {"S/seen": "PR", "S/small": "CR"}


def test_thresholds_follow_baseline_and_nadir():
    table = thresholds(PATIENTS[3], RULE)
    assert table["day"].tolist() == [40, 85, 130, 180]
    assert table["response_mm"].tolist() == pytest.approx([42] * 4)
    assert table["progression_mm"].tolist() == pytest.approx([72, 43.2, 36, 36])


def test_a_small_nadir_needs_five_mm_and_counts_as_five():
    table = thresholds(a_patient("p", [0, 42, 84], [12, 2, 3], censored=[1]), RULE)
    assert table["progression_mm"].tolist() == pytest.approx([17, 10])


def test_labels_are_found_by_key():
    labels = pd.DataFrame({"study": ["S", ""], "patient_id": ["p", "q"], "label": ["a", "b"]})
    assert label_of(labels) == {"S/p": "a", "q": "b"}


def replicates_of(fit, size):
    seen = fit.tree["observed_data"].to_dataset()
    return xr.Dataset({"size_mm": (("draw", "obs"), size)}, seen.coords)


def test_visits_compare_like_with_like(partial):
    seen = partial.tree["observed_data"]["size_mm"].to_numpy()
    table = by_visit(partial, replicates_of(partial, np.stack([seen, 0.5 * seen, 2 * seen])))
    assert table.groupby("visit", sort=False)["scans"].first().to_dict() == {
        "baseline": 4, "1–63": 3, "64–105": 3, "106–147": 2, "148–210": 1,
    }  # fmt: skip
    middle = table[table["statistic"] == "q50"]
    assert (middle["observed"] == middle["middle"]).all()
    small = table[(table["statistic"] == "too_small") & (table["visit"] == "106–147")]
    assert small["observed"].item() == 0.5
    assert small["high"].item() == pytest.approx(0.5)


def test_quantiles_are_compared_where_there_are_scans_enough():
    patients = tuple(a_patient(f"p{k}", [0, 42], [20 + k, 30 + k]) for k in range(11))
    fit = a_fit(patients=patients)
    seen = fit.tree["observed_data"]["size_mm"].to_numpy()
    table = by_visit(fit, replicates_of(fit, seen[None] + np.zeros((3, 1))))
    first = table[table["visit"] == "baseline"].set_index("statistic")["observed"]
    assert first.to_dict() == pytest.approx({"q10": 21, "q50": 25, "q90": 29, "too_small": 0})


def test_draws_that_failed_are_left_out_of_the_check(partial):
    seen = partial.tree["observed_data"]["size_mm"].to_numpy()
    both = np.stack([seen, seen])
    both[1, 3] = np.nan
    table = by_visit(partial, replicates_of(partial, both))
    assert np.isfinite(table[["low", "middle", "high"]]).all(axis=None)


def test_coverage_counts_scans_inside_their_own_intervals(partial, outside):
    seen = partial.tree["observed_data"]["size_mm"].to_numpy()
    even = np.linspace(0.5, 1.5, 101)[:, None]
    inside = coverage(partial, replicates_of(partial, even * seen))
    assert inside == {0.5: 1.0, 0.9: 1.0}
    off = coverage(partial, replicates_of(partial, even * seen * 1.4))
    # 1 / 1.4 is 0.71, outside of 0.75 to 1.25 and inside of 0.55 to 1.45; too small is still small
    assert off[0.9] == 1.0
    assert off[0.5] < 0.2


def test_even_chains_have_even_ranks():
    draws = np.arange(400.0).reshape(200, 2).T
    assert rank_shares(draws, 10) == pytest.approx(0.1)
    apart = np.stack([np.arange(100.0), np.arange(100.0) + 1000])
    assert rank_shares(apart, 4)[0].tolist() == [0.5, 0.5, 0, 0]


def test_every_transform_comes_back():
    x = np.array([0.1, 0.5, 0.9])
    for kind in ("log", "logit", "identity"):
        assert natural(transformed(x, kind), kind) == pytest.approx(x)


def test_the_prior_is_that_of_the_contraction(partial):
    known = {q.name: q for q in common(partial)}
    kill, spread = known["kill_typical"], known["kill_sd"]
    assert (kill.prior_centre, kill.prior_sd) == (pytest.approx(np.log(0.25 / 0.75)), 1.0)
    assert (spread.prior_centre, spread.transform) == (pytest.approx(np.log(1.2)), "log")
    at = np.linspace(*window(kill)[[0, -1]], 2000)
    assert np.trapezoid(prior_density(kill, at), at) == pytest.approx(1, abs=0.01)


def test_patients_fitted_alone_have_no_population():
    fit = a_fit("none")
    assert common(fit) == []
    assert {q.name for q in own(fit)} == {q.name for q in MODEL.free}
    mine = own(fit, "grows")[0]
    assert mine.draws.shape == (CHAINS, DRAWS)
    assert (mine.draws == fit.posterior["baseline"].sel(patient="S/grows").to_numpy()).all()


def test_the_density_of_draws_that_do_not_move_is_not_known():
    at = np.linspace(-1, 1, 5)
    assert density(np.full(100, 0.3), at) is None
    assert density(np.array([np.nan, 1.0]), at) is None


@pytest.mark.parametrize(
    ("low", "high", "kind", "expected"),
    [
        (8.0, 130.0, "log", [10, 20, 50, 100]),
        (0.02, 0.9, "logit", [0.05, 0.2, 0.5, 0.8]),
        (-2.5, 2.5, "identity", [-2, -1, 0, 1, 2]),
        (21.0, 23.0, "log", []),
    ],
)
def test_ticks_are_round(low, high, kind, expected):
    assert ticks(low, high, kind).tolist() == pytest.approx(expected)


def test_patients_stand_by_class_and_certainty():
    table = in_order(some_labels(50))
    share = table[[f"p_{name}" for name in NAMES]].to_numpy()
    top = share.argmax(axis=1)
    assert (np.diff(top) >= 0).all()
    for k in set(top):
        assert (np.diff(share[top == k].max(axis=1)) <= 0).all()
    counts = counted(table)
    assert counts.sum() == 50
    assert list(counts.index) == [*map(str, NAMES), "undecided"]


def test_endpoints_are_those_of_the_trial(trial):
    table = endpoint_table(trial, "measured")
    assert set(table["endpoint"]) == set(ENDPOINTS)
    row = table[(table["arm"] == "none") & (table["endpoint"] == "class_primary")]
    people = trial.patients[trial.patients["arm"] == "none"]
    expected = (people["resistance_class"] == "primary").mean()
    assert row["estimate"].item() == pytest.approx(expected)


def test_groups_differ_without_colour():
    for looks in (RESPONSES, CLASSES):
        marks = [look.marker for look in looks.values()]
        letters = [look.letter for look in looks.values()]
        assert len(set(marks)) == len(marks)
        assert len(set(letters)) == len(letters)


# ---------------------------------------------------------------- drawing


def drawn_well(figure, outside):
    assert isinstance(figure, Figure)
    assert png(figure, 50).startswith(b"\x89PNG")
    assert all(ax.get_xlabel() or ax.get_ylabel() for ax in figure.axes if ax.axison)
    assert not outside(figure)


DRAWN = [kind for kind in KINDS if kind not in ELSEWHERE]


@pytest.mark.parametrize("kind", DRAWN)
def test_every_kind_draws_a_figure(kind, partial, trial, outside):
    drawn_well(KINDS[kind](partial, **({"trial": trial} if kind == "arms" else {})), outside)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind == "prior" else pytest.mark.slow) for kind in DRAWN],
)
def test_every_kind_is_drawn_of_patients_fitted_alone(kind, trial, outside):
    drawn_well(KINDS[kind](a_fit("none"), **({"trial": trial} if kind == "arms" else {})), outside)


@pytest.mark.parametrize("kind", ["spider", "waterfall", "classes"])
@pytest.mark.parametrize("n", [60, 200])
def test_no_words_leave_the_page_of_many_patients(kind, n, outside):
    many = tuple(replace(PATIENTS[k % 4], id=f"p{k}") for k in range(n))
    figure = KINDS[kind](a_fit(patients=many), labels=some_labels(n))
    assert not outside(figure)


def test_doses_that_are_only_planned_are_pale(partial):
    sizes = plot_patient(partial, "shrinks", draws=10).axes[0]
    ticks = [line for line in sizes.lines if line.get_marker() == 2]
    seen, planned = (list(line.get_xdata()) for line in ticks)
    assert seen == [0, 21, 42, 63, 84, 105, 126]
    assert planned == [147, 168, 189, 210]
    assert ticks[1].get_alpha() < ticks[0].get_alpha()
    ended = plot_patient(
        partial, "grows", draws=10, hide_ids=True
    )  # doses from a table: none after the last
    assert not any("assumed" in x.get_text() for x in ended.legends[0].get_texts())
    assert ended.axes[0].get_title(loc="left") == "Patient 1 (S, a)"


@pytest.mark.parametrize("name", ["grows", "shrinks", "once", "S/returns"])
def test_every_patient_has_a_page(partial, name):
    figure = plot_patient(partial, name, draws=20)
    sizes, cells, blockade = figure.axes
    assert sizes.get_title(loc="left").startswith(f"Patient {name.removeprefix('S/')}")
    assert "mm" in sizes.get_ylabel()
    assert "T cells" in cells.get_ylabel()
    assert "fraction" in blockade.get_ylabel()
    png(figure, 40)


def test_a_size_too_small_to_measure_is_an_arrow_with_its_limit(partial):
    sizes = plot_patient(partial, "shrinks", draws=10).axes[0]
    said = [text.get_text() for text in sizes.texts]
    assert "≤ 5 mm" in said
    marks = [line for line in sizes.lines if line.get_marker() == "o"]
    assert len(marks[0].get_xdata()) == 3


def test_an_unknown_patient_is_told(partial):
    with pytest.raises(DataError, match="There is no patient 'p99'"):
        plot_patient(partial, "p99")


def test_a_course_that_was_never_solved_leaves_the_scans(partial):
    broken = partial.tree.copy()
    growth = broken["posterior"]["growth"] * np.nan
    broken["posterior"] = broken["posterior"].to_dataset().assign(growth=growth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot_patient(replace(partial, tree=broken), "returns", draws=10)
        png(figure, 40)
    assert [len(x.get_xdata()) for x in figure.axes[0].lines if x.get_marker() == "o"] == [5]


def test_many_patients_are_paged(partial):
    labels = some_labels(150)
    everybody = plot_classes(partial, labels=labels)
    assert len(everybody.axes) == 2
    assert everybody.axes[1].get_title(loc="left") == "Labels"
    last = plot_classes(partial, labels=labels, page_number=3)
    assert len(last.axes[0].get_yticklabels()) == 150 - 2 * PER_PAGE
    with pytest.raises(OptionError, match="pages 1 to 3"):
        plot_classes(partial, labels=labels, page_number=4)


def test_more_patients_than_can_be_told_apart_have_a_panel_or_a_row_for_each_group():
    many = tuple(replace(PATIENTS[k % 4], id=f"p{k}") for k in range(200))
    fit = a_fit(patients=many)
    panels = [ax.get_title(loc="left") for ax in KINDS["spider"](fit).axes if ax.axison]
    assert panels == [
        "complete response (50)", "partial response (50)", "progressive disease (50)",
        "no scan to compare (50)",
    ]  # fmt: skip
    bars, rows = KINDS["waterfall"](fit).axes
    assert "150 patients; 50 without a size to compare" in bars.get_title(loc="left")
    assert len(rows.get_yticklabels()) == 3


def test_an_arm_that_rests_on_the_prior_says_so(trial):
    figure = plot_arms(trial)
    titles = [ax.get_title(loc="left").replace("\n", " ") for ax in figure.axes]
    assert titles[:2] == ["no drug", "atezolizumab + ipilimumab (prior-driven)"]
    assert "rests on priming_gain" in figure.legends[0].get_title().get_text()


HOSTILE = (
    r"$\bad",
    "$x^$",
    "a$b$c",
    "<script>alert(1)</script>",
    "é\n\x00\u202e",
    "x" * 300,
    "患者",
)


def test_hostile_names_are_drawn_as_they_are(outside):
    patients = tuple(replace(PATIENTS[3], id=name, arm=name) for name in HOSTILE)
    fit = a_fit(patients=patients)
    labels = some_labels(len(HOSTILE)).assign(patient_id=HOSTILE)
    for name in HOSTILE:
        figure = plot_patient(fit, name, draws=5)
        png(figure, 30)
        assert not outside(figure)
    assert not any(map(outside, patient_pages(fit, HOSTILE, draws=5, small=True)))
    for kind in ("waterfall", "spider", "classes"):
        png(KINDS[kind](fit, labels=labels), 30)
    png(KINDS["trace"](fit, patient=HOSTILE[0]), 30)


def test_names_are_cleaned_but_told_apart():
    assert plain("a\nb\x00") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    assert plain("$1$") == r"\$1\$"
    assert len(plain("x" * 300)) < 40
    one = Cohort((PATIENTS[0], replace(PATIENTS[0], study="T")))
    assert names_of(one) == {"S/grows": "S/grows", "T/grows": "T/grows"}


def test_figures_are_known_to_no_window(partial):
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    KINDS["spider"](partial)
    assert plt.get_fignums() == before
