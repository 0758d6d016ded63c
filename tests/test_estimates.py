"""Most probable parameters of each patient, beside the closed form of a linear normal model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pdmodel import Cohort, cli
from pdmodel.errors import OptionError
from pdmodel.estimates import estimate, told
from straight_lines import SDS, by_hand, the_cohort, the_fit

pytestmark = pytest.mark.usefixtures("broadcasting")


@pytest.mark.parametrize("moved", [False, True])
def test_a_straight_line_under_normal_scatter_has_its_closed_form(moved):
    cohort = the_cohort()
    table = estimate(the_fit(cohort, moved), seed=1)
    mean, sd, off = map(np.array, zip(*(by_hand(one, moved) for one in cohort), strict=True))
    np.testing.assert_allclose(np.log(table["baseline"]), mean[:, 0], atol=1e-4)
    np.testing.assert_allclose(table["net_growth"], mean[:, 1], atol=1e-6)
    half = np.log(table["baseline_high"] / table["baseline_low"]) / (2 * 1.959964)
    np.testing.assert_allclose(half, sd[:, 0], rtol=1e-3)
    half = (table["net_growth_high"] - table["net_growth_low"]) / (2 * 1.959964)
    np.testing.assert_allclose(half, sd[:, 1], rtol=1e-3)
    assert table["converged"].all()
    assert (table["pareto_k"] < 0.5).all()  # the approximation is exact
    assert table.attrs["shrinkage"]["baseline"] == pytest.approx(
        1.0 - np.std(off[:, 0]) / SDS[0], abs=1e-3
    )


def test_others_are_estimated_as_if_they_were_alone():
    cohort = the_cohort()
    fit = the_fit(cohort, moved=False)
    whole, one = estimate(fit), estimate(fit, Cohort((cohort["P3"],)))
    np.testing.assert_allclose(one["net_growth"][0], whole["net_growth"][3], atol=1e-9)


def test_a_fit_of_patients_alone_is_refused():
    fit = the_fit(the_cohort(), moved=False)
    fit = replace(fit, manifest={"options": fit.manifest["options"] | {"pooling": "none"}})
    with pytest.raises(OptionError, match="no population"):
        estimate(fit)


def test_what_must_not_be_used_is_counted():
    table = pd.DataFrame({"pareto_k": [0.9, 0.2, 0.8], "converged": [True, False, True]})
    table.attrs["shrinkage"] = {"kill": 0.42, "growth": 0.1}
    said = "\n".join(told(table))
    assert "Shrinkage of kill: 0.42: estimates say little" in said
    assert "Shrinkage of growth: 0.10." in said
    assert "2 of 3 patients have a Pareto k above 0.7" in said
    assert "1 of 3 searches did not converge" in said


def test_estimates_are_written_as_a_table(tmp_path, monkeypatch):
    fit = the_fit(the_cohort(), moved=False)
    monkeypatch.setattr("pdmodel.startup.fitted", lambda _: fit)
    out = tmp_path / "estimates.csv"
    done = CliRunner().invoke(cli.app, ["estimate", str(tmp_path), "-o", str(out), "--hide-ids"])
    assert done.exit_code == 0, done.output
    assert "Shrinkage of net_growth" in done.output
    written = pd.read_csv(out)
    assert len(written) == len(fit.cohort)
    assert list(written["patient_id"]) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(written["net_growth"], estimate(fit)["net_growth"], rtol=1e-6)
