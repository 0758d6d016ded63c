"""The embedded cohort: made by its script, readable as any table, with the truth beside it."""

import csv
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pdmodel import library, read_cohort
from pdmodel.data.demo import REGIMEN, SIZES, TRUTH, demo_cohort
from pdmodel.response import RULES, resistance_class

SCRIPT = Path(__file__).parent.parent / "scripts" / "make_demo_cohort.py"
FIRST = 12


@pytest.fixture(scope="module")
def truth():
    return pd.read_csv(TRUTH).set_index("patient_id")


def test_the_script_makes_the_first_patients_again():
    sizes, truth = runpy.run_path(str(SCRIPT))["tables"](FIRST)
    assert sizes == "".join(SIZES.read_text("utf-8").splitlines(True)[: sizes.count("\n")])
    ours, theirs = (list(csv.reader(text.splitlines())) for text in (truth, TRUTH.read_text()))
    assert [row[0] for row in ours] == [row[0] for row in theirs[: FIRST + 1]]
    for mine, kept in zip(ours[1:], theirs[1:], strict=False):
        assert mine[5:] == kept[5:]
        np.testing.assert_allclose(np.array(mine[1:5], float), np.array(kept[1:5], float))


def test_it_is_read_by_the_name_of_the_regimen_and_what_is_untidy_is_told():
    cohort = read_cohort(SIZES, regimen="atezolizumab", labelled=library.labelled())
    notes = {note.code: note for note in cohort.log.notes}
    assert notes["not-evaluable"].rows == 5
    assert notes["blank-size"].rows == 2
    assert notes["duplicate-row"].rows == 1
    assert notes["censored"].rows > 0
    assert not any(note.severity == "error" for note in cohort.log.notes)
    assert cohort.log.rows_dropped == 8
    assert cohort.keys == demo_cohort().keys


def test_it_says_that_it_is_simulated(truth):
    cohort = demo_cohort()
    assert cohort.simulated
    assert "SIMULATED" in (SIZES.parent / "README.md").read_text("utf-8").splitlines()[0]
    assert cohort.keys == tuple(truth.index) == tuple(f"P{k:02d}" for k in range(1, 61))
    assert cohort.arms == ("atezolizumab",)
    assert {str(s) for p in cohort for s in p.schedules} == {f"{REGIMEN} 60 min"}


def test_scans_are_as_in_a_trial():
    for patient in demo_cohort():
        assert -21 <= patient.day[0] <= -1
        assert patient.last_day <= 730
        gaps = np.diff(patient.day[1:])
        assert np.all((gaps >= 32) & (gaps <= 2 * 42 + 10))  # a scan may be missing
        assert np.all(patient.size_mm == np.rint(patient.size_mm))
        assert np.all(patient.censored == (patient.size_mm <= 5))


def test_every_class_occurs_in_truth_and_scans(truth):
    readme = (SIZES.parent / "README.md").read_text("utf-8")
    counts = truth["true_class"].value_counts()
    for label in ("primary", "acquired", "durable"):
        assert counts[label] >= 9
        assert f"{counts[label]} {label}" in readme or f"{counts[label]} are {label}" in readme
    seen = pd.Series(
        {p.id: str(resistance_class(p.day, p.size_mm, RULES["sitc2020"])[0]) for p in demo_cohort()}
    )
    assert (seen.value_counts()[["primary", "acquired", "durable", "not_determinable"]] >= 5).all()
    primary = truth.index[truth["true_class"] == "primary"]
    assert (seen[primary] == "primary").mean() > 0.8
