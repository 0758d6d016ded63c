"""Most probable parameters of each patient, beside the closed form of a linear normal model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from pdmodel import Cohort, Fit, Model, Patient, cli, mechanism, residual
from pdmodel.errors import OptionError
from pdmodel.estimates import estimate, told

pytestmark = pytest.mark.usefixtures("broadcasting")
MODEL = Model(mechanism("exponential"), (), residual("lognormal"))
LARGE = 1e6
"""In mm; scatter in mm is nothing beside it, and log sizes are normal around a straight line."""
SCATTER, SDS, SLOPE = 0.1, np.array([0.3, 0.002]), 0.004
DAYS = np.array([0.0, 42.0, 84.0, 126.0])
LDH = (100.0, 300.0, 100.0, 300.0, None)


def the_cohort():
    rng = np.random.default_rng(3)
    people = []
    for k, ldh in enumerate(LDH):
        day = DAYS[: 2 + k % 3]
        size = np.exp(np.log(LARGE) + 0.3 * rng.normal() + 0.003 * rng.normal() * day
                      + SCATTER * rng.normal(size=len(day)))  # fmt: skip
        own = {} if ldh is None else {"ldh": ldh}
        nothing = np.zeros(len(day), bool)
        people.append(Patient(f"P{k}", "", "", day, size, nothing, {}, covariates=own))
    return Cohort(tuple(people))


def the_fit(cohort, moved):
    """A fit whose every draw is the same population."""
    values = {"baseline_typical": LARGE, "baseline_sd": SDS[0], "net_growth_typical": 0.001,
              "net_growth_sd": SDS[1], "scatter": SCATTER}  # fmt: skip
    options = {"pooling": "partial", "accuracy": "fine"}
    if moved:
        values["net_growth_by_ldh"] = SLOPE
        options |= {"covariates": {"net_growth": ["ldh"]}, "levels": {}}
        options |= {"scaling": {"ldh": (200.0, 100.0)}}
    draws = {name: (("chain", "draw"), np.full((2, 3), value)) for name, value in values.items()}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws)})
    return Fit(MODEL, cohort, tree, {"options": options})


def by_hand(patient, moved):
    """Mean and sds of a patient's posterior: regression with a normal prior."""
    ldh = patient.covariates.get("ldh")
    shift = SLOPE * (ldh - 200.0) / 100.0 if moved and ldh is not None else 0.0
    wide = SLOPE if moved and ldh is None else 0.0
    centre = np.array([np.log(LARGE), 0.001 + shift])
    precision = np.diag(1.0 / np.array([SDS[0] ** 2, SDS[1] ** 2 + wide**2]))
    design = np.column_stack([np.ones(len(patient.day)), patient.day])
    covariance = np.linalg.inv(precision + design.T @ design / SCATTER**2)
    off = covariance @ design.T @ (np.log(patient.size_mm) - design @ centre) / SCATTER**2
    return centre + off, np.sqrt(np.diag(covariance)), off


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
