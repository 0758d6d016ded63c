"""The examples run; their fit is replaced by one made by hand, but for one slow test."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import pdmodel as pdm
from pdmodel.data.demo import demo_cohort
from pdmodel.keys import key_of
from pdmodel.population import prior_draws

EXAMPLES = Path(__file__).parent.parent / "examples"
MODEL = pdm.Model(
    pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), pdm.residual("student_t")
)
CHAINS, DRAWS, PATIENTS = 2, 20, 3


def example(name):
    return runpy.run_path(str(EXAMPLES / name))["main"]


def prior_fit(cohort):
    """A fit whose posterior is the prior."""
    shared, own = ("chain", "draw"), ("chain", "draw", "patient")
    prior = {
        name: np.asarray(x).reshape(CHAINS, DRAWS)
        for name, x in prior_draws(MODEL, key_of(1, "prior"), CHAINS * DRAWS).items()
    }
    rng = np.random.default_rng(1)
    values = {name: (shared, x) for name, x in prior.items()}
    for q in MODEL.individual:
        noise = 0.05 * rng.normal(size=(CHAINS, DRAWS, len(cohort)))
        values[q.name] = (own, np.asarray(q.natural(q.centre + noise)))
    posterior = xr.Dataset(values, {"patient": list(cohort.keys)})
    posterior = posterior.assign_coords(chain=range(CHAINS), draw=range(DRAWS))
    z = (shared, rng.normal(size=(CHAINS, DRAWS)))
    stats = {"energy": z, "lp": z, "acceptance_rate": (shared, np.full((CHAINS, DRAWS), 0.9))}
    stats |= {"diverging": (shared, np.zeros((CHAINS, DRAWS), bool))}
    stats |= {"n_steps": (shared, np.full((CHAINS, DRAWS), 7))}
    lines = [(p.key, d, s, c) for p in cohort
             for d, s, c in zip(p.day, p.size_mm, p.censored, strict=True)]  # fmt: skip
    key, day, size, censored = map(np.array, zip(*lines, strict=True))
    observed = xr.Dataset(
        {"size_mm": ("obs", size), "censored": ("obs", censored)},
        {"obs_patient": ("obs", key), "obs_day": ("obs", day)},
    )
    groups = {
        "posterior": posterior,
        "sample_stats": xr.Dataset(stats),
        "observed_data": observed,
        "prior": xr.Dataset({name: (shared, x) for name, x in prior.items()}),
    }
    options = {
        "pooling": "partial", "method": "nuts", "seed": 1, "chains": CHAINS, "warmup": 20,
        "draws": DRAWS, "target_accept": 0.85, "max_depth": 8, "accuracy": "draft",
    }  # fmt: skip
    manifest = {"options": options, "failed_solves": {"posterior": "0 of 1", "prior": "0 of 1"}}
    manifest |= {"seconds": {"fit": 1.0, "likelihood": 1.0}}
    return pdm.Fit(MODEL, cohort, xr.DataTree.from_dict(groups), manifest)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    cohort = demo_cohort()
    fit = prior_fit(cohort.subset(cohort.keys[:PATIENTS]))
    return pdm.save(fit, tmp_path_factory.mktemp("run"))


def test_patients_are_fitted_judged_and_classified(monkeypatch, tmp_path, capsys):
    asked = {}

    def fit(model, cohort, **options):
        asked.update(options, model=model, cohort=cohort)
        return prior_fit(cohort)

    monkeypatch.setattr(pdm, "fit", fit)
    small = "--draws 50 --warmup 50 --chains 1 --patients 3 --seed 4"
    example("fit_patients.py")([*small.split(), "-o", str(tmp_path / "run")])
    assert (asked["draws"], asked["warmup"], asked["chains"], asked["seed"]) == (50, 50, 1, 4)
    assert [q.name for q in asked["model"].drugs] == ["atezolizumab"]
    said = capsys.readouterr().out
    assert "P01" in said
    assert "P04" not in said
    assert pdm.load(tmp_path / "run").cohort.keys == ("P01", "P02", "P03")


@pytest.mark.slow
def test_patients_are_fitted_in_earnest(tmp_path):
    """As users start it: a process of its own."""
    small = ["--draws", "50", "--warmup", "50", "--chains", "1", "--patients", "6"]
    command = [sys.executable, EXAMPLES / "fit_patients.py", *small, "-o", tmp_path / "run"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    assert "must not be trusted" in told  # one short chain
    assert len(pdm.load(tmp_path / "run").cohort) == 6


@pytest.mark.parametrize("of_a_run", [True, False])
def test_a_combination_is_simulated_from_a_run_or_the_prior(of_a_run, run, tmp_path, capsys):
    source = ["--run", str(run)] if of_a_run else []
    example("simulate_combination.py")([*source, "-n", "20", "-o", str(tmp_path / "trial")])
    said = capsys.readouterr().out
    assert "prior-driven" in said
    assert ("posterior" in said) == of_a_run
    assert (tmp_path / "trial" / "trial.json").exists()


def test_a_run_is_drawn(run, tmp_path, capsys):
    example("plot_posterior.py")([str(run), "--patients", "1", "-o", str(tmp_path / "plots")])
    assert "4 figures" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"spider.png", "waterfall.png", "prior_posterior.png", "patient_1.png"}
    for path in (tmp_path / "plots").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_examples_are_short():
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 40, path.name
        assert re.match(r'""".+\."""', path.read_text("utf-8").splitlines()[0])
