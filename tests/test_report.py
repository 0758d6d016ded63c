"""The report: that it says what it must, holds all it needs, and runs nothing from the data."""

from dataclasses import replace

import numpy as np
import pytest

from made_report import MODEL, PATIENTS, SURE, Page, a_fit, a_patient, labels_of
from pdmodel import Cohort, drug
from pdmodel.data import Note, ReadingLog
from pdmodel.diagnose import diagnose
from pdmodel.dosing import Regimen
from pdmodel.errors import RunError
from pdmodel.parameter import Parameter
from pdmodel.report import visible, write_report
from pdmodel.report.contents import (
    MOST_PAGES,
    chosen_patients,
    cohort_facts,
    convergence,
    flat,
    label_counts,
    limits,
    percent,
    reading,
    short,
    spread,
    treatment,
)
from pdmodel.report.described import drugs, equations, parameters, prior
from pdmodel.simulate import simulate


@pytest.fixture(scope="module")
def partial():
    return a_fit()


@pytest.fixture(scope="module")
def written(partial, tmp_path_factory):
    """The text of a report with everything in it."""
    trial = simulate(
        partial, ["atezolizumab", "atezolizumab + ipilimumab"], n=60, seed=1, until=400.0
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(partial, path, trial=trial, labels=labels_of(partial.cohort, SURE)) == path
    return path.read_text("utf-8")


# ---------------------------------------------------------------- what it says


def test_sections_stand_in_order(written):
    page = Page(written)
    asked = [value for tag, name, value in page.attributes if (tag, name) == ("h2", "id")]
    links = [value[1:] for tag, name, value in page.attributes if name == "href"]
    assert asked == [
        "asked", "cohort", "labels", "trust", "limits", "patients", "checks", "trial", "each",
        "model", "credibility", "provenance",
    ]  # fmt: skip
    assert set(links) <= set(asked)


def test_a_fit_that_is_not_trusted_is_called_so_at_the_top(partial, written):
    text = Page(written).text
    verdict = diagnose(partial).verdict
    assert "must not be trusted" in verdict
    assert text.index(verdict) < text.index("What was asked")
    for reason in diagnose(partial).reasons:
        assert reason in text


def test_every_part_of_the_model_is_written_out(written):
    text = Page(written).text
    for q in (*MODEL.parameters, *MODEL.drugs[0].parameters):
        assert q.about in text
        assert " ".join(q.source.split()) in text
    assert "d ln V = 3 growth (1 - kill e)" in text
    assert MODEL.drugs[0].pharmacokinetics.source in text
    assert MODEL.residual.about in text


def test_a_simulation_is_called_so_and_what_rests_on_the_prior_too(written):
    text = Page(written).text
    assert "This is a simulation, not a trial." in text
    assert "no data informed priming_gain" in text
    assert "atezolizumab + ipilimumab (prior-driven)" in text
    assert "atezolizumab (prior-driven)" not in text


def test_provenance_and_reading_are_told(written):
    text = Page(written).text
    for said in ("options: seed", "abc123", "a machine", "2 rows have no size.", "16 rows read"):
        assert said in text


def test_simulated_patients_are_called_so(tmp_path):
    fit = a_fit("none", simulated=True, size_kind="lesion")
    path = write_report(fit, tmp_path / "r.html", max_patients=3)
    text = Page(path.read_text("utf-8")).text
    assert "Simulated data" in text
    assert "made by a computer" in text
    assert "Left out of this table: 1 of 4 patients" in text
    assert "each fitted alone" in text
    assert "longest diameter of one target lesion" in text
    assert "None was asked for." in text


def test_a_file_that_cannot_be_written_is_told(partial, tmp_path):
    with pytest.raises(RunError, match="could not be written"):
        write_report(partial, tmp_path / "no" / "r.html", labels=labels_of(partial.cohort, SURE))


def test_an_old_report_stays_if_the_new_one_fails(partial, tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(RunError, match="no space left"):
        write_report(partial, path, labels=labels_of(partial.cohort, SURE))
    assert path.read_text() == "old"


def test_what_speaks_against_all_labels_is_said_once(partial, tmp_path):
    shared = diagnose(partial).doubt("")
    labels = labels_of(partial.cohort, SURE)
    labels["reason"] = [f"fit not trusted: {shared}; scans: of {k}." for k in range(4)]
    labels.loc[3, "reason"] = f"fit not trusted: {shared}; this patient's draws; scans: of 3."
    text = Page(write_report(partial, tmp_path / "r.html", labels=labels).read_text("utf-8")).text
    assert f"None of these labels must be relied on: {shared}." in text
    assert "fit not trusted" not in text
    assert "Scans: of 0." in text
    assert "This patient's draws; scans: of 3." in text


def test_what_arms_are_given_is_said_in_full(written):
    assert "atezolizumab 1200 mg q3w 60 min; ipilimumab 240 mg q3w x4 60 min" in Page(written).text


# ---------------------------------------------------------------- its contents


def test_files_are_named_without_their_folders():
    notes = (
        Note("warning", "x", "/home/p/sizes.csv, column day: odd.", 2, "/home/p/sizes.csv"),
        Note("info", "y", "/home/p/doses.csv: sorted.", 0, "/home/p/doses.csv"),
    )
    name, rows = reading(ReadingLog("/home/p/sizes.csv", 3, 2, notes))
    assert name == "sizes.csv"
    assert [row["message"] for row in rows] == ["sizes.csv, column day: odd.", "doses.csv: sorted."]
    assert [row["rows"] for row in rows] == [2, ""]


def test_population_parameters_are_told_by_name_and_meaning(partial):
    rows = {row["parameter"]: row["about"] for row in convergence(diagnose(partial), MODEL)}
    about = {q.name: q.about for q in MODEL.parameters}
    assert rows["growth_typical"] == about["growth"]
    assert rows["growth_sd"] == "its spread between patients"
    assert rows["waning"] == about["waning"]


def test_labels_are_counted(partial):
    counts = {row["label"]: row["count"] for row in label_counts(labels_of(partial.cohort, SURE))}
    assert counts == {
        "primary": 1, "acquired": 1, "early_loss": 0, "durable": 1, "not_determinable": 0,
        "undecided": 1,
    }  # fmt: skip


def test_shown_are_the_surest_of_each_class_and_the_least_decided():
    rng = np.random.default_rng(1)
    patients = tuple(replace(PATIENTS[0], id=f"p{k:02d}") for k in range(40))
    kinds = ["primary"] * 20 + ["durable"] * 10 + ["undecided"] * 10
    sure = [("undecided", rng.uniform(0.4, 0.7)) if kind == "undecided" else
            (kind, rng.uniform(0.8, 1)) for kind in kinds]  # fmt: skip
    labels = labels_of(Cohort(patients), sure)
    chosen = dict(chosen_patients(labels))
    assert len(chosen) == MOST_PAGES
    keys = "S/" + labels["patient_id"]
    surest = labels.loc[labels["label"] == "durable", "confidence"].idxmax()
    open_ = labels.loc[labels["label"] == "undecided", "confidence"].idxmin()
    assert chosen[keys[surest]] == "among the surest of “durable”"
    assert chosen[keys[open_]] == "among the least decided"
    shown = [kinds[int(key[3:])] for key in chosen]
    assert {kind: shown.count(kind) for kind in set(kinds)} == {
        "primary": 4, "durable": 4, "undecided": 4,
    }  # fmt: skip


def test_few_patients_are_all_shown(partial):
    assert len(chosen_patients(labels_of(partial.cohort, SURE))) == 4


def test_doses_are_told_as_they_were_given(partial):
    said = treatment(partial)
    assert said[0] == "atezolizumab 1200 mg q3w 60 min (1 of 4 patients, by schedule)"
    assert said[1] == "atezolizumab: 3 of 4 patients, median 5 (2 to 9) doses, median dose 1200 mg"
    none = a_fit(patients=(a_patient("p", [0, 42], [9, 9], regimens={}),))
    assert treatment(none) == ["no drug is recorded"]
    empty = a_fit(
        patients=(a_patient("p", [0, 42], [9, 9], regimens={"atezolizumab": Regimen.none()}),)
    )
    assert treatment(empty) == ["no drug is recorded"]


def test_the_cohort_is_told_in_numbers(partial):
    facts = dict(cohort_facts(partial))
    assert facts["Scans"] == "14"
    assert facts["Scans of a patient, median (range)"] == "3.5 (2 to 5)"
    assert facts["Day of the last scan, median (range)"] == "105 (40 to 180)"


def test_limits_depend_on_the_fit(partial):
    told = " ".join(limits(partial, diagnose(partial)))
    assert "New lesions, other lesions and deaths" in " ".join(told.split())
    assert "RECIST judges the sum" not in told
    assert "by schedule" in told
    assert "Doses from a table" in told
    one = a_fit(size_kind="lesion")
    assert "RECIST judges the sum" in " ".join(limits(one, diagnose(one)))


def test_the_worst_patient_stands_for_patients_fitted_alone():
    diagnosis = diagnose(a_fit("none"))
    rows = {row["parameter"]: row for row in convergence(diagnosis, MODEL)}
    assert set(rows) == {q.name for q in MODEL.free}
    own = diagnosis.patients
    assert rows["kill"]["r_hat"] == own.loc[own["parameter"] == "kill", "r_hat"].max()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ("0.3", "fixed", "", "", "")),
        ({"prior_sd": 1.0}, ("0.3", "0.0579 to 1.55", "shared", "log", "")),
        (
            {"prior_sd": 1.0, "between": 0.5},
            ("0.3", "0.0579 to 1.55", "0.0477 to 1.89", "log", "0.5 (0.259 to 0.965)"),
        ),
    ],
)
def test_priors_are_told_by_median_and_range(change, told):
    q = Parameter("x", "1", 0.3, "x", source="assumption: a test", **change)
    columns = ("median", "range", "single", "scale", "between")
    assert prior(q) == dict(zip(columns, told, strict=True))


def test_parameters_and_drugs_come_from_the_model(partial):
    rows = parameters(MODEL, diagnose(partial))
    assert [row["name"] for row in rows] == [q.name for q in MODEL.parameters]
    by_name = {row["name"]: row for row in rows}
    assert by_name["block"]["learnt"] == "fixed"
    assert by_name["kill"]["learnt"].startswith("typical: ")
    assert by_name["growth"]["unit"] == "1/day"
    one = drugs(MODEL)[0]
    assert ("central volume", "3.28 L") in one["rows"]
    both = drugs(replace(MODEL, drugs=(*MODEL.drugs, drug("ipilimumab"))))
    assert both[1]["rows"][-1][0] == "change of clearance"


def test_equations_are_those_of_the_code():
    told = equations(MODEL)
    assert "size    = baseline V^(1/3)" in told["Mechanism “exhaustion”"]
    assert "dA1/dt" in told["Concentration of a drug"]
    assert "`" not in "".join(told.values())

    def rate(time, state, values, actions):
        return state

    rate.__module__ = "nowhere"
    by_hand = replace(MODEL, mechanism=replace(MODEL.mechanism, rate=rate), drugs=())
    assert equations(by_hand) == {"Mechanism “exhaustion”": "not written out by its author"}


def test_numbers_are_told_briefly():
    assert flat({"a": 1, "b": {"c": [1, 2], "d": {"e": None}}}) == [
        ("a", "1"), ("b: c", "1, 2"), ("b: d: e", "None"),
    ]  # fmt: skip
    assert (percent(0.254), percent(np.nan)) == ("25 %", "–")
    assert (short(0.0012345), short(np.inf)) == ("0.00123", "–")
    assert spread([3, 1, 2]) == "2 (1 to 3)"
    assert visible("a\tb") == "a\N{REPLACEMENT CHARACTER}b"
    assert visible(3) == 3
