"""Effects of combinations against null models."""

import numpy as np
import pytest

from pdmodel.errors import OptionError
from pdmodel.simulate.interaction import combination_index, interaction


def hill(dose, half):
    return dose / (dose + half)


def test_independent_drugs_have_no_bliss_excess():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(size=(2, 200000)) < np.array([[0.3], [0.5]])
    found = interaction(a.mean(), b.mean(), (a | b).mean())
    assert found.bliss == pytest.approx(0, abs=5e-3)
    assert found.hsa == pytest.approx((a | b).mean() - b.mean())
    assert interaction([0.1], [0.2], [0.5]).bliss[0] == pytest.approx(0.22)


def test_a_drug_with_itself_is_additive_for_loewe_though_not_for_bliss():
    dose = np.geomspace(0.01, 100, 400)
    table = np.column_stack([dose, hill(dose, 2.0)])
    both = hill(1.0 + 3.0, 2.0)
    assert combination_index((1.0, 3.0), both, table, table) == pytest.approx(1, abs=1e-4)
    assert interaction(hill(1.0, 2.0), hill(3.0, 2.0), both).bliss < -0.05
    assert combination_index((0.5, 1.5), both, table, table) == pytest.approx(0.5, abs=1e-4)
    assert np.isnan(combination_index((1.0, 1.0), 0.999, table, table))


def test_what_is_no_effect_is_refused():
    with pytest.raises(OptionError, match="shares from 0 to 1"):
        interaction(0.1, 0.2, 1.5)
    with pytest.raises(OptionError, match="must rise"):
        combination_index((1, 1), 0.5, [[1, 0.5], [2, 0.4]], [[1, 0.1], [2, 0.9]])
