"""Fits: what comes back, the same again for the same seed, and both samplers on one posterior."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import pdmodel as pdm
from pdmodel import levels
from pdmodel.data.demo import demo_cohort
from pdmodel.errors import FitError, OptionError
from pdmodel.integration import against_integration, integration_error
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.placing import AWAY
from pdmodel.unfinished import unfinished

MODEL = pdm.Model(pdm.mechanism("claret_bruno"), (), pdm.residual("student_t"))
"""A curve in closed form, whose programs are compiled in half the time."""
CORE = pdm.Model(
    pdm.mechanism("exhaustion"), (pdm.drug("atezolizumab"),), pdm.residual("student_t")
)
SMALL = {"seed": 3, "chains": 2, "warmup": 30, "draws": 20}

pytestmark = pytest.mark.usefixtures("broadcasting")


def short_cohort(patients, scans):
    """The first scans of the first patients of the embedded cohort."""
    cohort = demo_cohort()

    def cut(patient):
        parts = {name: getattr(patient, name)[:scans] for name in ("day", "size_mm", "censored")}
        return replace(patient, **parts)

    return replace(cohort, patients=tuple(map(cut, cohort.patients[:patients])))


@pytest.fixture(scope="module")
def cohort():
    few = short_cohort(4, 4)
    untreated = [replace(one, regimens={}, schedules=()) for one in few]
    return replace(few, patients=tuple(untreated))


@pytest.fixture(scope="module")
def fewer_nodes():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"RAW": 512, "FRESH": 512, "CLOSER": 256, "LEVELS": 5}.items():
            patch.setattr(levels, name, value)
        patch.setattr("pdmodel.design.FRESH", 512)
        yield


@pytest.fixture(scope="module")
def fitted(broadcasting, fewer_nodes, cohort):
    told = []
    fit = pdm.fit(MODEL, cohort, report=told.append, **SMALL)
    return fit, told


def test_a_fit_is_labelled(fitted, cohort):
    fit, _ = fitted
    posterior = fit.posterior
    for q in MODEL.individual:
        assert posterior[q.name].dims == ("chain", "draw", "patient")
        assert posterior[q.name].attrs["unit"] == q.unit
        assert posterior[f"{q.name}_typical"].dims == ("chain", "draw")
        assert posterior[f"{q.name}_sd"].dims == ("chain", "draw")
    for q in MODEL.shared:
        assert posterior[q.name].dims == ("chain", "draw")
    assert posterior.sizes == {"chain": 2, "draw": 20, "patient": 4}
    assert list(posterior["patient"].values) == list(cohort.keys)
    assert all(np.isfinite(posterior[name]).all() for name in posterior)
    assert fit.tree["log_likelihood"]["size_mm"].sizes["obs"] == cohort.scans
    assert fit.tree["sample_stats"]["energy"].shape == (2, 20)
    assert fit.manifest["options"]["method"] == "nuts"
    assert fit.manifest["failed_solves"]["posterior"] == "0 of 160"


def test_progress_is_told_to_the_end(fitted):
    _, told = fitted
    stages = list(dict.fromkeys(one.stage for one in told))
    assert stages[:2] == ["climbing", "solving nodes"]
    assert stages[-2:] == ["patients", "checking"]
    last = [one for one in told if one.stage == "sampling"][-1]
    assert last.done == last.total == 2 * 50


def test_the_same_seed_gives_the_same_draws(fitted, fewer_nodes, cohort):
    again = pdm.fit(MODEL, cohort, **SMALL)
    for name, drawn in fitted[0].posterior.items():
        np.testing.assert_array_equal(drawn, again.posterior[name])
    other = pdm.fit(MODEL, cohort, **(SMALL | {"seed": 4}))
    assert not np.array_equal(other.posterior["fade"], again.posterior["fade"])


class StoppedError(Exception):
    """Stands for whatever ends a program."""


def stopped_and_gone_on(folder, cohort, options, stops, model=MODEL):
    """Fit into a folder, stopped at each of some stages in turn, and then to the end."""
    for stop in (*stops, None):

        def report(progress, stop=stop):
            if (progress.stage, progress.done) == stop:
                raise StoppedError

        asked = options | {"report": report}
        with (
            pytest.raises(StoppedError) if stop else nullcontext(),
            unfinished(folder, model, cohort, options, resume=True) as keep,
        ):
            keep._every = 0.0
            fit = pdm.fit(model, cohort, **asked, checkpoints=keep)
    assert list(folder.iterdir()) == []
    assert fit.manifest["resumed"] == len(stops)
    return fit


def equal_to_the_bit(one, two):
    assert set(one.children) == set(two.children)
    for group, node in one.children.items():
        for name, mine in node.to_dataset().variables.items():
            theirs = two[group].to_dataset().variables[name]
            assert (mine.dims, mine.dtype, mine.attrs) == (theirs.dims, theirs.dtype, theirs.attrs)
            if mine.dtype.kind in "fib":
                assert mine.to_numpy().tobytes() == theirs.to_numpy().tobytes(), name
            else:
                assert mine.to_numpy().tolist() == theirs.to_numpy().tolist()


def test_a_fit_that_was_stopped_goes_on_to_the_bit(fitted, fewer_nodes, cohort, tmp_path):
    stops = (("solving nodes", 6), ("warm-up", 40), ("sampling", 80), ("checking", 0))
    fit = stopped_and_gone_on(tmp_path, cohort, SMALL, stops)
    equal_to_the_bit(fit.tree, fitted[0].tree)
    assert fit.manifest["memory"]["at_once_bytes"] > 1e8


@pytest.mark.slow
@pytest.mark.parametrize("method", ["nuts", "quick"])
def test_a_fit_over_nodes_that_was_stopped_goes_on_to_the_bit(
    broadcasting, fewer_nodes, cohort, tmp_path, method
):
    model = pdm.Model(pdm.mechanism("flat"), (), pdm.residual("lognormal"))
    options = SMALL | {"method": method, "correlated": True}
    weighing = tuple(("weighing populations", done) for done in (64, 192, 448))
    stops = (("laying nodes", 0), *weighing[: 3 if method == "nuts" else 2],
             ("patients", 0), ("checking", 0))  # fmt: skip
    fit = stopped_and_gone_on(tmp_path, cohort, options, stops, model)
    whole = pdm.fit(model, cohort, **options)
    equal_to_the_bit(fit.tree, whole.tree)
    assert "integration" in whole.tree


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"method": "nuts-joint"}, {"pooling": "none"}])
def test_other_fits_that_were_stopped_go_on_to_the_bit(cohort, tmp_path, how):
    options = SMALL | how
    fit = stopped_and_gone_on(tmp_path, cohort, options, (("warm-up", 40), ("sampling", 80)))
    equal_to_the_bit(fit.tree, pdm.fit(MODEL, cohort, **options).tree)


def test_the_error_of_the_stored_likelihood_is_kept(fitted):
    error, noise = integration_error(fitted[0])
    assert 0 <= error < 1.5
    assert 0 < noise < 0.5
    assert against_integration(fitted[0])[0] == ()


def test_a_coarse_store_is_a_reason_against_the_fit(fitted):
    fit = fitted[0]
    tree = fit.tree.copy()
    worse = tree["integration"].to_dataset()
    worse["error_nats"] = 20 * worse["error_nats"] + 5 * np.arange(len(worse["error_nats"]))
    worse["outside_grid"] = 0.02
    tree["integration"] = xr.DataTree(worse)
    reasons, notes = against_integration(replace(fit, tree=tree))
    assert "nuts-joint" in reasons[0]
    assert "2% of the draws lie outside" in reasons[1]
    assert notes == ()


def test_nodes_beside_the_posterior_are_a_reason_against_the_fit(fitted):
    fit = fitted[0]
    assert fit.manifest["nodes_away_sds"] <= AWAY
    beside = replace(fit, manifest=fit.manifest | {"nodes_away_sds": 2.34})
    (reason,), _ = against_integration(beside)
    assert reason.startswith("nodes were laid 2.3 posterior sds beside the posterior (must be at ")
    assert "nuts-joint" in reason
    steep = replace(fit, manifest=fit.manifest | {"too_steep_nats": 1.6})
    (reason,), _ = against_integration(steep)
    assert reason.startswith(
        "the stored likelihood falls off 1.6 nats too fast along what courses "
    )
    first = steep.manifest["options"] | {"method": "quick"}
    (reason,), _ = against_integration(replace(fit, manifest=steep.manifest | {"options": first}))
    assert reason.endswith("(fit again with method='nuts')")


def test_an_upper_tail_that_may_be_too_short_is_told_with_its_name(fitted):
    fit = fitted[0]
    found = [1.8 * (q.name == "shrink") for q in Coordinates(fit.model).effects]
    few = replace(fit, manifest=fit.manifest | {"too_steep_sd_nats": found})
    reasons, notes = against_integration(few)
    assert reasons == ()
    (note,) = notes[1:]
    assert note == (
        "where patients differ more in shrink the stored likelihood falls off 1.8 nats too fast: "
        "the upper tail of shrink_sd may be too short"
    )


def test_a_fit_without_stored_likelihoods_says_nothing_of_them(fitted):
    fit = fitted[0]
    tree = fit.tree.copy()
    del tree["integration"]
    assert against_integration(replace(fit, tree=tree)) == ((), ())


@pytest.mark.slow
def test_patients_alone_do_not_depend_on_who_else_is_there(cohort):
    short = {"seed": 3, "chains": 1, "warmup": 30, "draws": 10, "pooling": "none"}
    both = pdm.fit(MODEL, cohort.subset(cohort.keys[:2]), **short)
    alone = pdm.fit(MODEL, cohort.subset(cohort.keys[1:2]), **short)
    key = cohort.keys[1]
    np.testing.assert_allclose(
        both.posterior["grow"].sel(patient=key), alone.posterior["grow"].sel(patient=key),
        rtol=1e-3,  # two programs round differently, and a chain carries it on
    )  # fmt: skip


def test_everything_can_be_sampled_in_one_program(cohort):
    fit = pdm.fit(MODEL, cohort, method="nuts-joint", **SMALL)
    assert fit.manifest["options"]["method"] == "nuts-joint"
    assert "integration" not in fit.tree
    assert np.isfinite(fit.posterior["grow"]).all()


@pytest.mark.slow
def test_both_samplers_give_one_posterior():
    """Means within four standard errors, spreads within 15 %."""
    cohort = short_cohort(8, 5)
    stored = pdm.fit(CORE, cohort, seed=1, draws=1000)
    joint = pdm.fit(CORE, cohort, seed=2, draws=1500, warmup=800, method="nuts-joint")
    table = pdm.diagnose(joint).population.set_index("parameter")
    for q in (*CORE.individual, *CORE.shared):
        for name in [f"{q.name}_typical", f"{q.name}_sd"] if q.individual else [q.name]:
            one, two = (np.log(fit.posterior[name].to_numpy().ravel()) for fit in (stored, joint))
            effective = min(table.loc[name, "ess_bulk"], 4000)
            allowed = 4 * two.std() / np.sqrt(effective) + 0.05 * two.std()
            assert abs(one.mean() - two.mean()) < allowed, name
            assert 0.85 < one.std() / two.std() < 1.15, name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 2}, "draws is 2; it must be >= 4"),
        ({"warmup": 3}, "warmup is 3; it must be >= 20"),
        ({"chains": 0}, "chains is 0; it must be >= 1"),
        ({"target_accept": 1.2}, "target_accept is 1.2"),
        ({"pooling": "complete"}, "pooling is 'complete'"),
        ({"method": "gibbs"}, "method is 'gibbs'"),
        ({"pharmacokinetics": "mine"}, "pharmacokinetics is 'mine'"),
    ],
)
def test_options_that_cannot_be_used_are_refused(cohort, options, words):
    with pytest.raises(OptionError, match=words):
        pdm.fit(MODEL, cohort, seed=1, **options)


def test_one_patient_is_no_population(cohort):
    with pytest.raises(FitError, match="--pooling none"):
        pdm.fit(MODEL, cohort.subset(cohort.keys[:1]), seed=1)
