"""Memory: what a fit needs is estimated from shapes, and refused where there is too little."""

import pytest

import pdmodel as pdm
from pdmodel import memory
from pdmodel.data.demo import demo_cohort
from pdmodel.errors import FitError
from pdmodel.likelihood import evidence
from pdmodel.memory import at_once, available, fits, needed
from pdmodel.nuts import Settings

MODEL = pdm.Model(
    pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), pdm.residual("student_t")
)


@pytest.fixture(scope="module")
def data():
    cohort = demo_cohort()
    return evidence(MODEL, cohort.subset(cohort.keys[:5]))


def test_arrays_of_draws_grow_with_draws_and_the_program_does_not(data):
    few, many = (needed(MODEL, data, Settings(draws=n, chains=2), "levels") for n in (100, 1000))
    for name in ("the draws", "the log-likelihood of every scan"):
        assert many[name] == pytest.approx(10 * few[name])
    for name in ("the program", "stored nodes", "solving nodes", "choosing nodes"):
        assert many[name] == few[name]
    scans = data.visible.size
    assert few["the log-likelihood of every scan"] == 2 * 8 * 200 * scans


def test_only_the_method_that_stores_nodes_counts_them(data):
    assert "stored nodes" not in needed(MODEL, data, Settings(), "nuts-joint")
    assert "stored nodes" not in needed(MODEL, data, Settings(), "alone")


def test_nodes_are_solved_before_there_are_draws():
    parts = {"the program": 1, "stored nodes": 2, "solving nodes": 40, "the draws": 10,
             "the log-likelihood of every scan": 20, "choosing nodes": 5}  # fmt: skip
    assert at_once(parts) == 43
    assert at_once(parts | {"solving nodes": 4}) == 38


def test_a_fit_that_needs_more_than_is_free_is_refused_before_it_begins(data, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: int(2e9))
    assert fits(MODEL, data, Settings(), "levels")["free_bytes"] == int(2e9)
    with pytest.raises(FitError) as told:
        fits(MODEL, data, Settings(draws=1_000_000), "nuts-joint")
    assert str(told.value).startswith("This fit needs about ")
    assert "and 2.0 GB are free; most is for the" in str(told.value)
    assert "4000000 draws of 5 patients). Ask for fewer draws or chains, or f" in str(told.value)


def test_a_fit_is_refused_by_the_public_function_too(monkeypatch):
    cohort = demo_cohort()
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(FitError, match=r"and 0\.0 GB are free"):
        pdm.fit(MODEL, cohort.subset(cohort.keys[:2]), seed=1)


MEASURED = {(12, 1000): 1792e6, (60, 4000): 2044e6}
"""Peak resident bytes of fits of the embedded cohort, by patients and draws of two chains."""


@pytest.mark.parametrize(("patients", "draws"), MEASURED)
def test_the_estimate_is_near_what_was_measured(monkeypatch, patients, draws):
    monkeypatch.setattr(memory, "cores", lambda: 2)
    cohort = demo_cohort()
    data = evidence(MODEL, cohort.subset(cohort.keys[:patients]), "draft")
    parts = needed(MODEL, data, Settings(draws=draws // 2, chains=2), "levels")
    assert at_once(parts) == pytest.approx(MEASURED[patients, draws], rel=0.1)


def test_where_the_system_does_not_say_a_fit_is_not_refused(data, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: None)
    assert fits(MODEL, data, Settings(draws=10**9), "levels")["free_bytes"] is None


def test_limits_of_control_groups_are_seen(tmp_path):
    for name, limit, used in (("a", "3000", "1000"), ("b", "max", "5"), ("c", "10", "900")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
    found = {name: list(memory._of_groups(tmp_path / name)) for name in "abc"}
    assert {name: set(some) for name, some in found.items()} == {"a": {2000}, "b": set(), "c": {0}}


def test_something_is_free_here():
    assert 1e8 < available() < 1e15
