"""The report's section on credibility, its sorted table, and its size with many patients."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import pdmodel.report as under_test
from pdmodel import Cohort, Patient
from pdmodel.diagnose import diagnose
from pdmodel.dosing import parse_schedules, planned
from pdmodel.errors import OptionError
from pdmodel.report import Picture, write_report
from pdmodel.report.contents import MOST_PAGES, MOST_SCHEDULES, chosen_patients, treatment
from pdmodel.report.credibility import LONGEST, OPEN, credibility, stated
from pdmodel.resistance import COLUMNS, PROBABILITIES

DOSED = parse_schedules("atezolizumab 1200 mg q3w")
NAMES = ("spider", "classes", "waterfall", "ppc", "prior", "trace", "arms")
PIXELS = "data:image/png;base64," + "A" * 1000
LABELS = ("primary", "acquired", "durable", "undecided")
REASON = "Scans: progression on day 84 after a best change of -12 %. " * 8


def patient(name, schedules=DOSED):
    day = np.array([0.0, 42, 84])
    given = {"regimens": planned(schedules, 84.0), "schedules": schedules}
    return Patient(name, "S", "a", day, np.array([40.0, 35, 50]), np.zeros(3, bool), **given)


@pytest.fixture(scope="module")
def fit(fit_by_hand):
    return fit_by_hand(Cohort((patient("p1"), patient("p2"))), draws=100)


def labels(count):
    rows = [
        {"patient_id": f"p{k + 1}", "study": "S", "arm": "a", "observed_label": "primary"}
        | dict.fromkeys(PROBABILITIES, 0.2)
        | {"label": LABELS[k % 4], "confidence": 0.9, "reason": REASON}
        for k in range(count)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture
def drawn(monkeypatch):
    """Pictures that cost nothing; the pages of patients remember whom they were asked for."""
    asked = []

    def pages(_, labels, names):
        asked[:] = chosen_patients(labels)
        return [Picture(PIXELS, "words", why, key) for key, why in asked]

    pictures = dict.fromkeys(NAMES, Picture(PIXELS, "words", "caption"))
    monkeypatch.setattr(under_test, "_pages", pages)
    monkeypatch.setattr(under_test, "_pictures", lambda *_: pictures)
    return asked


def items(fit, **words):
    found = credibility(fit, diagnose(fit), labels(2), **words)
    return {one.name: one for one in found}


def test_headings_stand_in_order(fit):
    assert list(items(fit)) == [
        "Question of interest", "Context of use", "Model influence",
        "Consequence of a wrong decision", "Assumptions", "Verification", "Validation",
        "Applicability", "Limits",
    ]  # fmt: skip


def test_what_the_run_knows_is_filled_in(fit):
    known = {name: " ".join(one.known) for name, one in items(fit).items()}
    assert "In 1 of 2 patients the label is not the class" in known["Model influence"]
    assert "mechanism exhaustion, atezolizumab, residual student_t" in known["Assumptions"]
    assert "block" in known["Assumptions"].partition("Fixed, so not learnt: ")[2]
    assert "Method nuts, pooling partial, seed 1" in known["Verification"]
    assert diagnose(fit).verdict in known["Verification"]
    for reason in diagnose(fit).reasons:
        assert reason in known["Verification"]
    assert "Of 2 patients with a label, 1 have" in known["Validation"]
    assert "Data log: the cohort was made in memory" in known["Applicability"]
    assert "Patients: 2" in known["Applicability"]


def test_the_error_of_integration_is_told(fit):
    checks = xr.Dataset(
        {"error_nats": ("check", [0.0, 2.0]), "noise_nats": ("check", [1.0, 1.0]),
         "outside_grid": 0.0}
    )  # fmt: skip
    fit = replace(fit, tree=fit.tree.copy())
    fit.tree["integration"] = xr.DataTree(checks)
    known = " ".join(items(fit)["Verification"].known)
    assert "the log likelihood is off by 1.0 nats, checked to 1.0" in known


def test_what_only_the_user_knows_is_left_open_until_it_is_said(fit):
    bare = items(fit)
    assert [name for name, one in bare.items() if one.open] == [
        name for name in bare if name != "Verification"
    ]
    said = items(fit, question="Who resists?", context="To plan a trial.")
    assert said["Question of interest"].known == ("Who resists?",)
    assert said["Context of use"].known == ("To plan a trial.",)
    assert not said["Question of interest"].open
    assert not said["Context of use"].open
    assert said["Consequence of a wrong decision"].open


def test_words_of_the_user_are_looked_at():
    assert stated("question", None) == ""
    assert stated("question", " Who\n resists? ") == "Who resists?"
    with pytest.raises(OptionError, match="question is blank; say it in a sentence, or leave it"):
        stated("question", " \n")
    with pytest.raises(OptionError, match=r"context has 2001 characters; say it in at most 2000"):
        stated("context", "x" * (LONGEST + 1))


def test_the_section_stands_in_the_page(fit, drawn, tmp_path):
    path = write_report(fit, tmp_path / "r.html", labels=labels(2), question="Is a<b?")
    text = path.read_text("utf-8")
    assert "Is a&lt;b?" in text
    assert f"{OPEN}: the role and scope of the model" in text
    assert f"{OPEN}: the question" not in text


def test_rows_of_a_patient_move_together(fit, drawn, tmp_path):
    text = write_report(fit, tmp_path / "r.html", labels=labels(6)).read_text("utf-8")
    table = text[text.index('class="labels sortable"') :].partition("</table>")[0]
    bodies = table.split("<tbody>")[1:]
    assert len(bodies) == 6
    assert all(one.count("<tr") == 2 for one in bodies)
    heads = re.findall(r"<th scope=\"col\"", table)
    assert all(
        len(re.findall(r"<t[hd]", one.partition("</tr>")[0])) == len(heads) for one in bodies
    )
    assert "<button" not in text.partition("<script>")[0]  # without a script no button does nothing


def test_the_page_stays_small_with_many_patients(fit, drawn, tmp_path):
    small, large, larger = (
        len(
            write_report(fit, tmp_path / "r.html", labels=labels(n), max_patients=1500).read_bytes()
        )
        for n in (12, 1500, 3000)
    )
    assert large - small < 1500 * 1300
    assert abs(larger - large) < 1000  # the table ends, and says so


def test_few_patients_have_a_picture_and_the_page_says_how_to_get_others(
    fit, drawn, tmp_path, monkeypatch
):
    known = diagnose(fit)
    monkeypatch.setattr(under_test, "diagnose", lambda _, **__: known)
    many = replace(fit, cohort=Cohort(tuple(patient(f"p{k + 1}") for k in range(200))))
    text = write_report(many, tmp_path / "r.html", labels=labels(200)).read_text("utf-8")
    assert len(drawn) == MOST_PAGES
    assert f"<p>{MOST_PAGES} of 200 patients: the surest of each class" in text
    assert "<code>pdmodel plot RUN patient --patient ID</code>" in text


def test_schedules_that_are_written_out_are_few(fit):
    many = tuple(
        patient(f"p{k}", parse_schedules(f"atezolizumab {1000 + k} mg q3w")) for k in range(30)
    )
    told = treatment(replace(fit, cohort=Cohort(many)))
    assert len(told) == MOST_SCHEDULES + 1
    assert told[-1] == "10 other schedules, each of as many patients or fewer"
