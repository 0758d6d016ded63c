"""A report with ids hidden names nobody; and priors of correlations and covariates are told."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import pdmodel.report as under_test
from made_report import PATIENTS, SURE, Page, a_fit, labels_of
from pdmodel.data import Note, ReadingLog
from pdmodel.diagnose import diagnose
from pdmodel.influence import population_scales
from pdmodel.report import write_report
from pdmodel.report.contents import HIDDEN, convergence, reading
from pdmodel.report.described import influences

IDS = ("QX-19", "QX-7", "QX-80", "QX-81")
NOTES = (
    Note("warning", "twice", "Patient 'QX-7' has two rows on day 42.", 2, patient="QX-7"),
    Note("info", "odd", "3 rows of (QX-80) were sorted.", 3),
    Note("info", "none", "2 rows have no size, as QX-800 tells.", 2),
)


@pytest.fixture(scope="module")
def fit():
    people = tuple(replace(p, id=name) for p, name in zip(PATIENTS, IDS, strict=True))
    return a_fit(patients=people, log=ReadingLog("sizes.csv", 16, 14, NOTES))


def test_hidden_ids_stand_nowhere_and_numbers_do(fit, tmp_path, monkeypatch):
    drawn = []

    def told(figure, **_):
        drawn.extend(x.get_text() for x in figure.findobj(lambda x: hasattr(x, "get_text")))
        return b""

    monkeypatch.setattr(under_test, "png", told)
    labels = labels_of(fit.cohort, SURE).assign(reason="because").iloc[::-1]
    path = write_report(fit, tmp_path / "r.html", labels=labels, hide_ids=True)
    text = path.read_text("utf-8")
    words = " ".join(drawn)
    assert not [name for name in IDS if name in text.replace("QX-800", "") or name in words]
    page = Page(text).text
    assert "Patients are numbered in the order of their ids" in page
    assert "as they are named in the table" not in page
    assert page.count(HIDDEN) == 2
    assert "4 : among the surest of “acquired”" in page
    assert "Patient 4" in words
    bars = list(dict.fromkeys(one for one in drawn if one in ("1", "2", "3", "4")))
    assert bars == ["1", "3", "4", "2"]  # by their class, whatever the order of the labels


def test_a_fit_is_diagnosed_without_names(fit):
    hidden, shown = diagnose(fit, hide_ids=True), diagnose(fit)
    assert set(hidden.patients["patient"]) == {"1", "2", "3", "4"}
    assert len(hidden.patients_suspect) == len(shown.patients_suspect) > 0
    assert "QX" in " ".join(map(str, shown.notes))
    assert "QX" not in " ".join(map(str, (*hidden.notes, *hidden.reasons)))


def test_notes_that_name_nobody_are_told(fit):
    told = [row["message"] for row in reading(fit.cohort.log, set(IDS))[1]]
    assert told == [HIDDEN, HIDDEN, NOTES[2].message]
    assert [row["message"] for row in reading(fit.cohort.log)[1]] == [n.message for n in NOTES]


# ---------------------------------------------------------------- correlations and covariates

CORRELATED = ("baseline_growth", "baseline_kill", "growth_kill")


@pytest.fixture(scope="module")
def asked(fit):
    """A fit that was asked for correlations and a covariate."""
    rng = np.random.default_rng(1)
    shape = fit.posterior["growth_sd"].shape
    more = {f"{name}_correlation": rng.uniform(-0.5, 0.5, shape) for name in CORRELATED}
    more["kill_by_tmb"] = rng.normal(0.2, 0.05, shape)
    tree = fit.tree.copy()
    tree["posterior"] = xr.DataTree(
        fit.posterior.assign({name: (("chain", "draw"), x) for name, x in more.items()})
    )
    options = {"correlated": True, "covariates": {"kill": ["tmb"]}, "scaling": {"tmb": [8.0, 5.0]}}
    manifest = fit.manifest | {"options": fit.manifest["options"] | options}
    return replace(fit, tree=tree, manifest=manifest)


def test_priors_of_correlations_and_effects_are_told_with_their_sources(asked):
    rows = {row["name"]: row for row in influences(asked, diagnose(asked))}
    assert list(rows) == [*(f"{name}_correlation" for name in CORRELATED), "kill_by_tmb"]
    one = rows["growth_kill_correlation"]
    half = 2 * stats.beta(2.5, 2.5).ppf(0.95) - 1  # three effects, order 2
    assert one["range"] == f"{-half:.3g} to {half:.3g}"
    assert "doi:10.1016/j.jmva.2009.04.008" in one["source"]
    effect = rows["kill_by_tmb"]
    assert (effect["scale"], effect["learnt"]) == ("logit", "learnt")
    assert "one sd of tmb (mean 8, sd 5)" in effect["about"]
    assert effect["source"].startswith("assumption")
    rng = np.random.default_rng(0)
    kill = next(q for q in asked.model.individual if q.name == "kill")
    drawn = kill.iiv * 0.3 * np.exp(0.7 * rng.normal(size=200_000)) * rng.normal(size=200_000)
    assert float(effect["range"].split()[-1]) == pytest.approx(np.quantile(drawn, 0.95), rel=0.02)


def test_the_spread_of_a_correlation_is_that_of_its_contraction(asked):
    scales = {name: sd for name, _, _, sd in population_scales(
        asked.model, asked.manifest["options"])}  # fmt: skip
    beta = stats.beta(2.5, 2.5)
    assert 2 * beta.std() == pytest.approx(scales["growth_kill_correlation"])


def test_a_fit_without_them_has_none_to_tell(fit):
    assert influences(fit, diagnose(fit)) == []


def test_each_is_told_by_its_meaning(asked):
    about = {row["parameter"]: row["about"] for row in convergence(diagnose(asked), asked.model)}
    assert about["growth_kill_correlation"] == "correlation of the two between patients"
    assert about["kill_by_tmb"] == "effect of the covariate, for each sd of it"
    assert about["kill_sd"] == "its spread between patients"
