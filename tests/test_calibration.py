"""Scores of probabilities against numbers computed by hand and formulas written out."""

import numpy as np
import pytest
from scipy import stats

from pdmodel.calibration import (
    auc,
    auc_interval,
    brier_scores,
    calibration_error,
    decision_curve,
    log_scores,
    mean_interval,
    net_benefits,
    reliability,
)
from pdmodel.errors import OptionError

P, YES = np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, True, False, True])


def test_brier_and_log_scores_are_those_of_each_patient():
    np.testing.assert_allclose(brier_scores(P, YES), [0.01, 0.36, 0.36, 0.01])
    np.testing.assert_allclose(log_scores(P, YES), np.log([0.9, 0.4, 0.4, 0.9]))
    np.testing.assert_allclose(log_scores([0, 1, 1], [1, 0, 1]), np.log([1e-3, 1e-3, 1]))


def test_the_auc_is_the_share_of_pairs_in_the_right_order():
    assert auc(P, YES) == 0.75  # 0.4 above 0.1 but not 0.6; 0.9 above both
    assert auc(np.full(4, 0.3), YES) == 0.5
    assert auc(1 - P, YES) == 0.25
    assert np.isnan(auc(P, np.ones(4)))
    rng = np.random.default_rng(2)
    p, yes = rng.integers(10, size=80) / 10, rng.random(80) < 0.4
    hits = yes.sum()
    ranks = stats.rankdata(p)[yes].sum() - hits * (hits + 1) / 2
    assert auc(p, yes) == pytest.approx(ranks / (hits * (~yes).sum()))


def test_its_interval_is_that_of_persons_drawn_one_by_one():
    rng = np.random.default_rng(3)
    yes = rng.random(30) < 0.5
    p = np.clip(0.3 * yes + 0.7 * rng.random(30), 0, 1)
    person = rng.integers(12, size=30)
    got = auc_interval(p, yes, person, seed=4, resamples=300)
    names = np.unique(person)
    chosen = np.random.default_rng(4).integers(len(names), size=(300, len(names)))
    rows = [np.concatenate([np.flatnonzero(person == names[k]) for k in one]) for one in chosen]
    each = [auc(p[row], yes[row]) for row in rows]
    np.testing.assert_allclose(got, (auc(p, yes), *np.nanquantile(each, [0.025, 0.975])))
    assert auc_interval([0.1, 0.9], [0, 1], ["a", "b"], seed=1) == (1, 1, 1)
    assert np.isnan(auc_interval(P, np.ones(4), range(4), seed=1)).all()


def test_lesions_of_one_person_are_no_more_than_one():
    value, person = np.array([0.1, 0.4, 0.2]), np.array(["a", "b", "c"])
    once = mean_interval(value, person, seed=1)
    twice = mean_interval(np.repeat(value, 2), np.repeat(person, 2), seed=1)
    np.testing.assert_allclose(once, twice)


def test_net_benefit_weighs_false_alarms_by_the_odds_of_the_threshold():
    np.testing.assert_allclose(net_benefits(P, YES, 0.2), [0, 1, -0.25, 1])
    mine, everybody = decision_curve(P, YES, [0.2, 0.5])
    np.testing.assert_allclose(mine, [1.75 / 4, 0])
    np.testing.assert_allclose(everybody, [1.5 / 4, 0])


def test_reliability_counts_what_happened_with_wilsons_interval():
    found = reliability(P, YES, bins=2)
    assert found.cases.tolist() == [2, 2]
    np.testing.assert_allclose(found.forecast, [0.25, 0.75])
    np.testing.assert_allclose(found.observed, [0.5, 0.5])
    z, n = stats.norm.ppf(0.975), 2
    half = z / (n + z**2) * np.sqrt(1 * 1 / n + z**2 / 4)
    np.testing.assert_allclose(found.low, 0.5 - half)
    np.testing.assert_allclose(found.high, 0.5 + half)
    assert calibration_error(P, YES, bins=2) == pytest.approx(0.25)
    edge = reliability([1.0, 0.0, 0.2], [1, 0, 0])
    assert edge.cases.tolist() == [1, 1, 1]  # 1 is in the last bin; empty bins are left out
    assert calibration_error([1.0, 0.0], [1, 0]) == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: auc([0.1], [1, 0]), r"probabilities of shape \(1,\) and outcomes of shape \(2,\)"),
        (lambda: brier_scores([], []), "one patient or more"),
        (lambda: log_scores([0.2, np.nan], [1, 0]), "A probability is nan; all must be from 0"),
        (lambda: net_benefits(P, YES, 1.0), "threshold is 1.0; it must be between 0 and 1"),
        (lambda: reliability(P, YES, 0), "bins is 0; it must be 1 or more"),
    ],
)
def test_what_cannot_be_scored_is_told(call, said):
    with pytest.raises(OptionError, match=said):
        call()
