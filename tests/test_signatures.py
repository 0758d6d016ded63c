"""IPRES scores: the enrichment against its running sum, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from pdmodel.errors import DataError
from pdmodel.signatures import DOUBTFUL, NAMES, enriched, enrichment, ipres, read_gmt

GENES = [f"G{i}" for i in range(400)]
SETS = {name: GENES[7 * i : 7 * i + 12] for i, name in enumerate((*NAMES, DOUBTFUL[0]))}


def cohort(samples: int = 6, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(len(GENES), samples))
    return pd.DataFrame(values, GENES, [f"s{i}" for i in range(samples)])


def running_sum(values: np.ndarray, members: np.ndarray) -> float:
    """The published score: from the highest gene on, the sum of differences of two sums."""
    order = np.argsort(-values)
    rank = np.arange(len(values), 0, -1)
    inside = members[order]
    weight = np.where(inside, rank**0.25, 0.0)
    return float(np.sum(np.cumsum(weight) / weight.sum() - np.cumsum(~inside) / (~inside).sum()))


@pytest.mark.parametrize("size", [1, 5, 60, 399])
def test_the_enrichment_is_the_published_running_sum(size):
    table = cohort(3, seed=size).to_numpy()
    members = np.isin(np.arange(len(GENES)), np.random.default_rng(size).permutation(400)[:size])
    expected = [running_sum(column, members) for column in table.T]
    np.testing.assert_allclose(enrichment(table, members), expected, rtol=1e-10)


def test_only_the_order_within_a_sample_counts():
    table, members = cohort().to_numpy(), np.arange(400) < 20
    np.testing.assert_allclose(
        enrichment(np.exp(3 * table + 1), members), enrichment(table, members)
    )


def test_a_sample_that_expresses_the_sets_stands_out_and_the_mean_is_0():
    table = cohort()
    table.loc[[gene for genes in SETS.values() for gene in genes], "s2"] += 3.0
    scores = ipres(table, {name.lower(): genes for name, genes in SETS.items()})
    assert len(SETS) == 26
    assert scores.idxmax() == "s2"
    assert scores.mean() == pytest.approx(0.0, abs=1e-12)
    assert enriched(scores).loc["s2"]
    assert enriched(scores).sum() == (scores > 0.35).sum()
    by_hand = pd.DataFrame({name: enrichment(table.to_numpy(), table.index.isin(genes))
                            for name, genes in SETS.items()})  # fmt: skip
    expected = ((by_hand - by_hand.mean()) / by_hand.std()).mean(axis=1)
    np.testing.assert_allclose(scores, expected)


def without(name: str) -> dict:
    return {key: genes for key, genes in SETS.items() if key != name}


REFUSED = {
    "one sample": (cohort(1), SETS, "The expression has 1 sample; .* two or more"),
    "a set missing": (cohort(), without("HARRIS_HYPOXIA"), "The gene sets lack HARRIS_HYPOXIA"),
    "no 26th": (cohort(), without(DOUBTFUL[0]), "lack one of MAINA_VHL_TARGETS_DN and MAINA_VHL"),
    "two for the 26th": (cohort(), SETS | {DOUBTFUL[1]: GENES[:9]}, "lack one of MAINA_VHL"),
    "other symbols": (cohort().rename(index=lambda g: f"ENS{g}"), SETS,
                      "Of the 12 genes of ANASTASSIOU.* the expression has 0, among 400"),
    "a gene twice": (pd.concat([cohort(), cohort().iloc[:1]]), SETS, "The gene 'G0' stands twice"),
    "a gap": (cohort().where(cohort() < 2), SETS, "missing or infinite values"),
    "copies": (pd.concat([cohort(1)] * 3, axis=1).set_axis(list("abc"), axis=1), SETS,
               "All samples have the same enrichment of ANASTASSIOU"),
}  # fmt: skip


@pytest.mark.parametrize(("table", "sets", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_scored_is_refused(table, sets, message):
    with pytest.raises(DataError, match=message):
        ipres(table, sets)


def test_one_score_is_never_put_against_a_cut():
    with pytest.raises(DataError, match="One sample cannot be told enriched or not"):
        enriched(pd.Series({"a": 2.0}))


def test_gene_sets_are_read_and_their_mistakes_told(tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_text("A\tabout\tG1\tG2\tG1\n\nB\t\tG3\n")
    assert read_gmt(path) == {"A": ("G1", "G2"), "B": ("G3",)}
    path.write_text("A\tabout\tG1\nB\tabout\n")
    with pytest.raises(DataError, match=r"sets\.gmt, line 2: 'B' has no gene"):
        read_gmt(path)
    path.write_text("A\tabout\tG1\nA\tabout\tG2\n")
    with pytest.raises(DataError, match=r"line 2: the set 'A' stands twice"):
        read_gmt(path)
    with pytest.raises(DataError, match=r"none\.gmt cannot be read"):
        read_gmt(tmp_path / "none.gmt")
