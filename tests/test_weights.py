"""Virtual populations weighted to published numbers."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from pdmodel.errors import OptionError
from pdmodel.simulate.weights import Target, feature, weigh, weighted

N = 300


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(1)
    day = rng.exponential(200, N)
    change = rng.normal(-10, 30, N)
    one = pd.DataFrame({
        "arm": "a", "best_response": np.where(change < -30, "PR", np.where(day > 60, "SD", "PD")),
        "best_change_percent": change, "progression_day": day, "resistance_class": "primary",
        "event_day": day, "event": True, "death_day": day + 300,
        "latent_best_response": "SD", "latent_progression_day": day,
    })  # fmt: skip
    one.loc[0, ["progression_day", "event_day"]] = np.nan
    two = one.assign(arm="b", progression_day=2 * day, event_day=2 * day)
    return SimpleNamespace(
        arms={"a": "", "b": ""}, patients=pd.concat([one, two], ignore_index=True)
    )


def test_weights_meet_exact_targets_with_greatest_entropy(trial):
    targets = [Target("objective_response", 0.4, 0.0), Target("progression_free_day_182", 0.5, 0.0)]
    found = weigh(trial, "a", targets)
    np.testing.assert_allclose(found.table["after"], [0.4, 0.5], atol=1e-5)
    assert found.weight[0] == 0  # not solved
    assert found.weight.sum() == pytest.approx(1)
    assert found.effective == pytest.approx(1 / np.sum(found.weight**2))
    assert found.effective < N - 1
    # another program: entropy maximised over the weights themselves, with constraints
    x = np.stack([feature(trial, "a", t.endpoint, "measured")[1:] for t in targets], axis=1)
    same = [np.concatenate([row, [1.0]]) for row in x]
    must = np.array([0.4, 0.5, 1.0])
    start = np.full(N - 1, 1 / (N - 1))
    best = optimize.minimize(
        lambda w: np.sum(w * np.log(w)), start, jac=lambda w: np.log(w) + 1, method="SLSQP",
        bounds=[(1e-9, 1)] * (N - 1), options={"ftol": 1e-12, "maxiter": 200},
        constraints={"type": "eq", "fun": lambda w: np.array(same).T @ w - must,
                     "jac": lambda _: np.array(same).T},
    )  # fmt: skip
    np.testing.assert_allclose(found.weight[1:], best.x, atol=2e-5)


def test_a_target_as_it_is_leaves_the_weights_even(trial):
    here = np.nanmean(feature(trial, "a", "disease_control", "measured"))
    found = weigh(trial, "a", [Target("disease_control", here, 0.0)])
    assert found.effective == pytest.approx(N - 1, rel=1e-6)
    assert found.notes == (f"{N - 1} effective patients of {N - 1}.",)


def test_a_soft_target_is_approached_by_its_error(trial):
    exact, soft, none = (
        weigh(trial, "a", [Target("objective_response", 0.6, e)]).table["after"].iloc[0]
        for e in (0.0, 0.05, 10.0)
    )
    before = np.nanmean(feature(trial, "a", "objective_response", "measured"))
    assert exact == pytest.approx(0.6, abs=1e-5)
    assert before < soft < exact
    assert none == pytest.approx(before, abs=0.01)


def test_what_cannot_be_met_is_told(trial):
    with pytest.raises(OptionError, match=r"No weights .* meet alive_day_100 0\.5"):
        weigh(trial, "a", [Target("alive_day_100", 0.5, 0.0)])
    found = weigh(trial, "a", [Target("best_change_below_-70", 0.9, 0.01)])
    assert "hardly holds what was published" in " ".join(found.notes)


def test_weights_of_one_arm_are_shown_in_all(trial):
    found = weigh(trial, "a", [Target("progression_free_day_182", 0.6, 0.0)])
    table = weighted(trial, found.weight, ["progression_free_day_182"]).set_index("arm")
    assert table.loc["a", "after"] == pytest.approx(0.6, abs=1e-5)
    assert table.loc["b", "after"] > table.loc["b", "before"]


@pytest.mark.parametrize(
    ("arm", "targets", "words"),
    [
        ("x", [Target("objective_response", 0.1, 0)], "no arm 'x'"),
        ("a", [Target("survival", 0.1, 0)], "no endpoint 'survival'"),
        ("a", [Target("objective_response", 14, 0)], "shares from 0 to 1"),
        ("a", [], "no target"),
    ],
)
def test_what_is_not_there_is_refused(trial, arm, targets, words):
    with pytest.raises(OptionError, match=words):
        weigh(trial, arm, targets)
