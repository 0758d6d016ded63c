"""Planted sick fits are all flagged, healthy ones are not; contraction is what was planted."""

import json
from math import exp, log

import numpy as np
import pytest

from made_draws import MODEL, SHRUNK, a_fit
from pdmodel.diagnose import INDEPENDENT, diagnose


@pytest.mark.parametrize("pooling", ["partial", "none"])
def test_independent_normal_draws_are_trusted(pooling):
    found = diagnose(a_fit(pooling=pooling))
    assert found.trusted, found.reasons
    assert found.verdict == "The fit can be trusted: it passed every check."
    assert (found.patients_suspect, found.notes, found.doubt("S/p0")) == ((), (INDEPENDENT,), "")
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
    assert found.notes == ("5% of the draws took the longest path allowed", INDEPENDENT)


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
