"""Covariates that move a population: numbers and words, missing ones, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import pdmodel as pdm
from pdmodel.errors import OptionError
from pdmodel.influence import coordinates as coordinates_of
from pdmodel.influence import scaling, spread_out, traits
from random_walks import walked

ONE = pdm.Model(pdm.mechanism("flat"), (), pdm.residual("walk"))


@pytest.fixture(scope="module")
def cohort():
    return walked(12, 1)


REFUSED = [
    ({"volatility": ["grade"]}, "Patient 'P1': covariate 'grade' is 'high', not a number as in"),
    ({"volatility": ["site"]}, "Covariate 'site' is here in every patient who has it; leave it"),
    ({"volatility": ["arm"]}, "Covariate 'arm' is a in every patient who has it; leave it out"),
    ({"volatility": ["room"]}, "Covariate 'room' has 16 different values; a covariate of words"),
    ({"volatility": ["same"]}, "Covariate 'same' is 1 in every patient who has it; leave it out"),
    ({"volatility": ["age"]}, "No patient has the covariate 'age'; the table has arm, grade, room"),
    ({"quiet": ["tmb"]}, "Covariates cannot move 'quiet', which is no parameter with an own"),
    ({"size": ["tmb"]}, "Covariates cannot move 'size', .* those are baseline, volatility"),
]


@pytest.mark.parametrize(("covariates", "words"), REFUSED)
def test_covariates_that_cannot_be_used_are_refused(covariates, words):
    people = []
    for k, one in enumerate(walked(16, 1)):
        about = {"grade": 2.0 if k % 2 == 0 else "high", "site": "here", "room": f"R{k}"}
        people.append(replace(one, covariates={**one.covariates, **about}))
    with pytest.raises(OptionError, match=words):
        pdm.fit(ONE, pdm.Cohort(tuple(people)), seed=1, covariates=covariates)


@pytest.mark.parametrize("how", [{"method": "nuts-joint"}, {"pooling": "none"}])
@pytest.mark.parametrize("what", [{"correlated": True}, {"covariates": {"volatility": "tmb"}}])
def test_what_moves_a_population_needs_one(cohort, how, what):
    with pytest.raises(OptionError, match="'nuts' or 'quick' only; leave them out"):
        pdm.fit(ONE, cohort, seed=1, **how, **what)


def test_covariates_are_standardised_over_those_who_have_them(cohort):
    of = coordinates_of(ONE, {"covariates": {"volatility": ["tmb"], "baseline": ["tmb"]}})
    assert of.covariates == ("tmb",)
    scales = scaling(cohort, of.covariates)
    found = traits(of, cohort, {"scaling": scales})
    known = np.array(["tmb" in patient.covariates for patient in cohort])
    assert (known.sum(), len(known)) == (8, 12)
    seen = np.array([p.covariates["tmb"] for p in cohort if "tmb" in p.covariates], float)
    assert scales == {"tmb": (pytest.approx(seen.mean()), pytest.approx(seen.std()))}
    np.testing.assert_array_equal(found.missing[:, 0], ~known)
    expected = (seen - seen.mean()) / seen.std()
    np.testing.assert_allclose(np.asarray(found.value)[known, 0], expected)
    np.testing.assert_array_equal(np.asarray(found.value)[~known, 0], 0.0)


def test_arms_and_other_words_are_contrasts_with_the_most_frequent(cohort):
    arms = ["b", "b", "a", "c", "", *["b"] * 7]
    people = [replace(p, arm=arm) for p, arm in zip(cohort, arms, strict=True)]
    moved, levels = spread_out({"volatility": ["arm", "tmb"], "baseline": ["sex"]},
                               pdm.Cohort(tuple(people)))  # fmt: skip
    assert levels == {"arm": ["b", "a", "c"], "sex": ["F", "M"]}
    assert moved == {"volatility": ["arm=a", "arm=c", "tmb"], "baseline": ["sex=M"]}
    of = coordinates_of(ONE, {"covariates": moved})
    mine = pdm.Cohort(tuple(people))
    options = {"levels": levels, "scaling": scaling(mine, of.covariates, levels)}
    assert options["scaling"]["arm=a"] == (pytest.approx(1 / 11), 1.0)
    found = traits(of, mine, options)
    np.testing.assert_array_equal(found.missing[:, 0], np.arange(12) == 4)
    expected = np.where(np.array(arms) == "c", 10 / 11, -1 / 11)
    np.testing.assert_allclose(found.value[:, 1], np.where(np.array(arms) == "", 0, expected))
    numbered = [replace(p, study=str(k % 2 + 1)) for k, p in enumerate(people)]
    assert spread_out({"volatility": ["study"]}, pdm.Cohort(tuple(numbered)))[1] == {
        "study": ["1", "2"]
    }
    new = pdm.Cohort((replace(people[0], id="N", arm="d"),))
    with pytest.raises(OptionError, match=r"Patient 'N': arm is 'd', and the fit knows b, a, c"):
        traits(of, new, options)
