"""Planted sick fits are all flagged, healthy ones are not; contraction is what was planted."""

import json
from math import exp, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from pdmodel import Cohort, Fit, Model, Patient, drug, mechanism, residual
from pdmodel.diagnose import diagnose
from pdmodel.nuts import Settings, sample

MODEL = Model(mechanism("exhaustion"), (drug("atezolizumab"),), residual("lognormal"))
PATIENTS = ("p0", "p1", "p2")
COHORT = Cohort(
    tuple(
        Patient(name, "S", "a", np.array([0.0, 42.0]), np.array([50.0, 40.0]), np.zeros(2, bool))
        for name in PATIENTS
    )
)
KEYS = COHORT.keys
SHRUNK = 0.25
"""Posterior sd of every population parameter, relative to its prior, transformed scale."""


def natural(q, unbounded):
    return {"log": np.exp, "logit": lambda x: 1 / (1 + np.exp(-x)), "identity": np.asarray}[
        q.transform
    ](unbounded)


def posterior(rng, chains, draws, pooling):
    """Independent normal draws with sds that are known relative to the priors."""
    shape = (chains, draws)
    own, out = (*shape, len(PATIENTS)), {}
    for q in MODEL.free:
        if pooling == "none":
            out[q.name] = natural(q, q.centre + 0.5 * q.single_sd * rng.normal(size=own))
            continue
        out[q.name] = natural(q, q.centre + SHRUNK * q.prior_sd * rng.normal(size=shape))
        if q.individual:
            out[f"{q.name}_typical"] = out[q.name]
            spread = SHRUNK * q.between_spread * rng.normal(size=shape)
            out[f"{q.name}_sd"] = q.between * np.exp(spread)
            out[q.name] = natural(q, q.centre + 0.5 * q.between * rng.normal(size=own))
    return out


def statistics(rng, chains, draws):
    shape = (chains, draws)
    return {
        "diverging": np.zeros(shape, bool),
        "energy": rng.normal(100.0, 3.0, size=shape),
        "n_steps": np.full(shape, 15),
    }


def a_fit(spoil=lambda values, stats: None, *, chains=4, draws=1000, pooling="partial", failed=0):
    """A fit of draws that were never sampled, spoilt in place by `spoil`."""
    rng = np.random.default_rng(5)
    values, stats = posterior(rng, chains, draws, pooling), statistics(rng, chains, draws)
    spoil(values, stats)
    dims = ("chain", "draw", "patient")

    def group(arrays, coords):
        return xr.Dataset({k: (dims[: v.ndim], v) for k, v in arrays.items()}, coords)

    groups = {
        "posterior": group(values, {"patient": list(KEYS)}),
        "sample_stats": group(stats, {}),
    }
    manifest = {
        "options": {"pooling": pooling, "max_depth": 8, "accuracy": "draft"},
        "failed_solves": {"posterior": f"{failed} of {chains * draws}"},
    }
    return Fit(MODEL, COHORT, xr.DataTree.from_dict(groups), manifest)


@pytest.mark.parametrize("pooling", ["partial", "none"])
def test_independent_normal_draws_are_trusted(pooling):
    found = diagnose(a_fit(pooling=pooling))
    assert found.trusted, found.reasons
    assert found.verdict == "The fit can be trusted: it passed every check."
    assert (found.patients_suspect, found.notes, found.doubt("S/p0")) == ((), (), "")
    assert found.sampler[:3] == (4, 1000, 0)
    assert len(found.population) == (0 if pooling == "none" else 2 * len(MODEL.individual) + 2)
    assert len(found.patients) == 3 * len(MODEL.free if pooling == "none" else MODEL.individual)


def shifted(values, _):
    values["waning"][0] *= 3.0


def bimodal(values, _):
    values["kill_typical"][:2] = 0.9


def stuck(values, _):
    values["growth_sd"][1] = values["growth_sd"][1, 0]


def constant(values, _):
    values["growth_sd"][:] = 1.0


def not_a_number(values, _):
    values["scatter"][2, 7] = np.nan


def infinite(values, _):
    values["scatter"][2, 7] = np.inf


def slow(values, _):
    steps = np.random.default_rng(1).normal(size=values["waning"].shape)
    for k in range(1, steps.shape[1]):
        steps[:, k] = 0.97 * steps[:, k - 1] + 0.24 * steps[:, k]
    values["waning"][:] = 0.003 * np.exp(0.2 * steps)


def funnel(_, stats):
    stats["diverging"][1, 3:9] = True


def energy_walks(_, stats):
    stats["energy"][2] = np.cumsum(np.random.default_rng(2).normal(size=1000))


def energy_frozen(_, stats):
    stats["energy"][2] = 1.0


SICK = {
    shifted: r"1 of 8 population parameters have not converged \(R-hat up to 1\.\d+, .*waning\)",
    bimodal: r"1 of 8 population .*kill_typical\)",
    stuck: r"1 of 8 population .*growth_sd\)",
    constant: r"1 of 8 population .*R-hat unknown.*growth_sd\)",
    not_a_number: r"1 of 8 population .*R-hat unknown.*scatter\)",
    infinite: r"1 of 8 population .*R-hat unknown.*scatter\)",
    slow: r"1 of 8 population .*waning\)",
    funnel: r"^6 of 4000 draws diverged",
    energy_walks: r"E-BFMI is 0\.\d\d in the worst chain \(must be above 0\.3\)",
    energy_frozen: r"E-BFMI is nan",
}


@pytest.mark.parametrize(
    ("spoil", "reason"), SICK.items(), ids=lambda x: getattr(x, "__name__", "")
)
def test_planted_sickness_is_found_and_nothing_else(spoil, reason):
    found = diagnose(a_fit(spoil))
    assert not found.trusted
    assert len(found.reasons) == 1
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.reasons[0])
    assert found.doubt("S/p1") == found.reasons[0].partition(" (")[0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"chains": 1}, "only one chain"),
        ({"draws": 80}, "8 of 8 population parameters have not converged"),
        ({"failed": 3}, "3 courses of the posterior could not be solved"),
    ],
)
def test_too_little_is_not_trusted(options, reason):
    found = diagnose(a_fit(**options))
    assert not found.trusted
    assert found.reasons[0].startswith(reason)


def test_long_paths_are_a_note_not_a_reason():
    def deep(_, stats):
        stats["n_steps"][:, :50] = 255

    found = diagnose(a_fit(deep))
    assert found.trusted
    assert found.notes == ("5% of the draws took the longest path allowed",)


def spoil_p1(values, _):
    values["growth"][0, :, 1] *= 10.0


def test_one_patient_may_be_doubted_in_a_hierarchical_fit_that_is_trusted():
    found = diagnose(a_fit(spoil_p1))
    assert found.trusted
    assert found.patients_suspect == ("S/p1",)
    assert found.notes[0].startswith("1 of 3 patients have not converged (R-hat up to 1.")
    assert found.doubt("S/p1").startswith("this patient's draws have not converged (R-hat up to 1.")
    assert found.doubt("S/p0") == ""


def test_one_patient_alone_spoils_no_other_but_the_fit():
    found = diagnose(a_fit(spoil_p1, pooling="none"))
    assert not found.trusted
    assert "S/p1" in found.reasons[0]
    assert found.patients_suspect == ("S/p1",)
    assert found.doubt("S/p0") == ""
    assert found.doubt("S/p1").startswith("this patient's draws")


def test_contraction_of_the_population_is_against_its_prior():
    found = diagnose(a_fit()).population.set_index("parameter")
    np.testing.assert_allclose(found["contraction"], 1 - SHRUNK, atol=0.02)
    assert set(found["informed"]) == {"learnt"}
    row, q = found.loc["waning"], next(q for q in MODEL.shared if q.name == "waning")
    sd = SHRUNK * q.prior_sd
    assert row["median"] == pytest.approx(q.typical, rel=0.02)
    assert row["q95"] == pytest.approx(q.typical * exp(1.645 * sd), rel=0.03)
    assert row["mean"] == pytest.approx(q.typical * exp(sd**2 / 2), rel=0.02)
    assert row["unit"] == "1/day"
    assert found.loc["growth_sd", "unit"] == "1"


def test_contraction_of_a_patient_is_against_a_newcomer_to_the_learnt_population():
    found = diagnose(a_fit()).patients
    for q in MODEL.individual:
        spread = (SHRUNK * q.between_spread) ** 2  # of the log of the sd between patients
        newcomer = ((SHRUNK * q.prior_sd) ** 2 + q.between**2 * exp(2 * spread)) ** 0.5
        got = found.loc[found["parameter"] == q.name, "contraction"]
        np.testing.assert_allclose(got, 1 - 0.5 * q.between / newcomer, atol=0.03)


def test_contraction_of_a_patient_alone_is_against_the_prior():
    found = diagnose(a_fit(pooling="none")).patients
    np.testing.assert_allclose(found["contraction"], 0.5, atol=0.03)


def test_what_is_known_is_said_in_words():
    def words(values, _):
        rng = np.random.default_rng(3)
        z = rng.normal(size=values["growth"].shape[:2])
        q = next(q for q in MODEL.individual if q.name == "growth")
        newcomer = ((SHRUNK * q.prior_sd) ** 2 + q.between**2) ** 0.5
        for k, share in enumerate((0.9, 0.65, 0.3)):
            values["growth"][:, :, k] = np.exp(log(q.typical) + share * newcomer * z)
        values["kill"][:, :, 2] = 0.5

    found = diagnose(a_fit(words))
    rows = found.patients.set_index(["parameter", "patient"])["informed"]
    assert list(rows["growth"]) == ["prior-driven", "partly", "learnt"]
    assert rows["kill", "S/p2"] == "unknown"
    assert found.prior_driven("S/p0") == ("growth",)
    assert found.prior_driven("S/p1") == ()
    assert "  growth of single patients: 1 prior-driven, 1 partly, 1 learnt" in found.lines()


@pytest.mark.parametrize("spoil", [shifted, constant, not_a_number, energy_frozen])
def test_it_can_be_written_as_json_and_as_lines(spoil):
    found = diagnose(a_fit(spoil))
    back = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert back["trusted"] is False
    assert back["reasons"] == list(found.reasons)
    assert len(back["patients"]) == 9
    assert back["sampler"]["chains"] == 4
    assert found.lines()[:2] == [
        "The fit must not be trusted: 1 of its checks failed.",
        f"  failed: {found.reasons[0]}",
    ]


# ------------------------------------------------------ sick models that are really sampled

CHAINS, HOW = 4, Settings(warmup=300, draws=500, max_depth=8, chunk=100)
STANDS_FOR = ("waning", "scatter")


def healthy(z):
    return 0.5 * jnp.sum(z**2)


def funnel(z):
    """Neal's, with eight narrow directions (doi:10.1214/aos/1056562461)."""
    return 0.5 * (z[0] / 3.0) ** 2 + 0.5 * jnp.sum(z[1:] ** 2) * jnp.exp(-z[0]) + 4.0 * z[0]


def two_modes(z):
    return -jnp.logaddexp(-2.0 * jnp.sum((z - 4.0) ** 2), -2.0 * jnp.sum((z + 4.0) ** 2))


def stuck(z):
    """A normal with a narrow hole far out, where one chain starts."""
    return 0.5 * jnp.sum(z**2) + jnp.where(z[0] > 6.0, 1e4 * (z[0] - 8.0) ** 2 - 500.0, 0.0)


def not_a_number(z):
    return jnp.where(z[0] > 0.3, jnp.nan, 0.5 * jnp.sum(z**2))


def unidentified(z):
    """Only the sum is known, to a thousandth of what the priors leave open."""
    return 0.5 * ((z[0] + z[1]) / 1e-3) ** 2 + 0.5 * jnp.sum(z**2)


def started(potential, size):
    starts = [np.random.default_rng(k).normal(size=size) for k in range(CHAINS)]
    if potential is two_modes:
        starts = [4.0 * (-1) ** k + 0.1 * z for k, z in enumerate(starts)]
    if potential is stuck:
        starts[2] = np.array([8.0, 0.0])
    if potential is not_a_number:
        starts = [-np.abs(z) - 0.5 for z in starts]
    return [{"z": jnp.asarray(z)} for z in starts]


def diagnosed(potential):
    size = 9 if potential is funnel else 2
    keys = list(jax.random.split(jax.random.key(1), CHAINS))
    drawn = sample(
        lambda _: lambda z: potential(z["z"]), (), started(potential, size), keys, HOW,
        lambda _: None,
    )  # fmt: skip

    def planted(values, stats):
        for name, column in zip(STANDS_FOR, (0, 1), strict=True):
            q = next(q for q in MODEL.shared if q.name == name)
            z = drawn.positions["z"][..., column]
            values[name] = natural(q, q.centre + SHRUNK * q.prior_sd * z)
        stats.update({name: drawn.statistics[name] for name in stats})

    return diagnose(a_fit(planted, chains=CHAINS, draws=HOW.draws))


def test_a_healthy_model_is_trusted():
    found = diagnosed(healthy)
    assert found.trusted, found.reasons
    assert found.notes == ()


@pytest.mark.parametrize(
    ("potential", "word"),
    [
        (funnel, r"diverged|E-BFMI"),
        (two_modes, "have not converged"),
        (stuck, "have not converged"),
        (not_a_number, r"diverged|have not converged"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_sick_model_is_flagged(potential, word):
    found = diagnosed(potential)
    assert not found.trusted
    with pytest.raises(AssertionError, match=word):
        raise AssertionError("; ".join(found.reasons))


def test_an_unidentified_model_is_named():
    found = diagnosed(unidentified)
    ridge = [note for note in found.notes if "ridge" in note]
    assert len(ridge) == 1
    assert ridge[0].startswith("waning and scatter lie on a ridge: only a combination of them is")
    assert "rank correlation -1.00" in ridge[0]
