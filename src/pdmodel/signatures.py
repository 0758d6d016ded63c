"""IPRES: how strongly a tumor expresses the signatures of innate resistance to PD-1 blockade.

Each of 26 gene sets (doi:10.1016/j.cell.2016.02.065) is scored in each sample by single-sample
enrichment (doi:10.1038/nature08460), standardized over the cohort, and averaged. The enrichment is
a few lines of ranks, checked against its running sum, and needs no further dependency. Gene sets
are read from a file of the user's; none come with the package.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pdmodel.errors import DataError

type Sets = Mapping[str, Sequence[str]]
"""Genes of each set, by its name."""

NAMES = (
    "ANASTASSIOU_MULTICANCER_INVASIVENESS_SIGNATURE",
    "CHARAFE_BREAST_CANCER_BASAL_VS_MESENCHYMAL_DN",
    "EP_BLOOD_VESS_DEVEL_DN_IN_R",
    "HARRIS_HYPOXIA",
    "JAEGER_METASTASIS_UP",
    "JEON_SMAD6_TARGETS_DN",
    "KARAKAS_TGFB1_SIGNALING",
    "LEF1_UP.V1_UP",
    "LIEN_BREAST_CARCINOMA_METAPLASTIC",
    "LU_TUMOR_ANGIOGENESIS_UP",
    "LU_TUMOR_ENDOTHELIAL_MARKERS_UP",
    "LU_TUMOR_VASCULATURE_UP",
    "MAHADEVAN_GIST_MORPHOLOGICAL_SWITCH",
    "MAPKI_INDUCED_ANGIOGENESIS",
    "MAPKI_INDUCED_EMT",
    "MISHRA_CARCINOMA_ASSOCIATED_FIBROBLAST_UP",
    "MS_RESP_TO_HYPOXIA_UP_IN_MAPKI_APDL1_NR",
    "MS_RESP_TO_WOUNDING_UP_IN_MAPKI_APDL1_NR",
    "POOLA_INVASIVE_BREAST_CANCER_UP",
    "POST_OP_WOUNDHEALING",
    "ROY_WOUND_BLOOD_VESSEL_UP",
    "VECCHI_GASTRIC_CANCER_ADVANCED_VS_EARLY_UP",
    "WESTON_VEGFA_TARGETS_6HR",
    "WESTON_VEGFA_TARGETS_12HR",
    "YE_METASTATIC_LIVER_CANCER",
)
"""25 of the 26, in capitals; several are the authors' own and in no public collection."""
DOUBTFUL = ("MAINA_VHL_TARGETS_DN", "MAINA_VHL_TARGETS_UP")
"""The 26th is one of these: copies of the list disagree, so the user's file decides."""
CUT = 0.35
"""Mean z above which a tumor counts as enriched; from memory of the paper, unverified."""
POWER = 0.25
"""Of the rank, as a gene's weight in the enrichment."""
LEAST_FOUND = 0.5
"""Share of a set's genes that the expression must have."""


def read_gmt(path: Path | str) -> dict[str, tuple[str, ...]]:
    """Read gene sets: a line each, with name, description and genes between tabs.

    Raises
    ------
    DataError
        If the file cannot be read, or a line has no gene, or a name stands twice.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as a text file of gene sets: {problem}.") from None
    sets: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *rest = (cell.strip() for cell in line.split("\t"))
        genes = tuple(dict.fromkeys(gene for gene in rest[1:] if gene))
        if not genes:
            raise DataError(
                f"{path}, line {number}: {name!r} has no gene; write name, description and genes "
                "between tabs."
            )
        if name in sets:
            raise DataError(f"{path}, line {number}: the set {name!r} stands twice; remove one.")
        sets[name] = genes
    return sets


def enrichment(expression: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Score one gene set in each sample.

    With r the rank of a gene in its sample (1 the lowest; ties share their mean), the sum over
    genes of the difference of the two running sums is the mean rank of the members, weighted by
    ``r^0.25``, less the mean rank of all other genes.

    Parameters
    ----------
    expression : ndarray, shape (genes, samples)
        In any unit; only the order within a sample counts.
    members : ndarray of bool, shape (genes,)
        Some, but not all.

    Returns
    -------
    ndarray, shape (samples,)
    """
    rank = rankdata(expression, axis=0)
    inside, outside = rank[members], rank[~members]
    return np.average(inside, axis=0, weights=inside**POWER) - outside.mean(axis=0)


def ipres(expression: pd.DataFrame, sets: Sets) -> pd.Series:
    """Score the samples of a cohort: the mean of 26 standardized enrichments.

    Parameters
    ----------
    expression : DataFrame, genes by samples
        Index: gene symbols as in the sets.
    sets : mapping of str to sequence of str
        From `read_gmt`; names of the 26 in any case, others are left aside.

    Returns
    -------
    Series, by sample
        Relative to the cohort: its mean is 0, and scores of two cohorts cannot be compared.

    Raises
    ------
    DataError
        If there is one sample only, values or genes are missing or stand twice, a set is missing
        or mostly not measured, or all samples have the same score of one.
    """
    _usable(expression)
    upper = {name.upper(): sets[name] for name in sets}
    given = [name for name in DOUBTFUL if name in upper]
    missing = [name for name in NAMES if name not in upper]
    if missing or len(given) != 1:
        asked = ", ".join(
            [*missing, *([] if len(given) == 1 else [f"one of {' and '.join(DOUBTFUL)}"])]
        )
        raise DataError(
            f"The gene sets lack {asked}. Take them from the paper "
            "(doi:10.1016/j.cell.2016.02.065); none come with the package."
        )
    scores = {name: _standard(name, upper[name], expression) for name in (*NAMES, given[0])}
    return pd.DataFrame(scores, index=expression.columns).mean(axis=1).rename("ipres")


def enriched(scores: pd.Series, cut: float = CUT) -> pd.Series:
    """Tell which samples of a cohort are above a cut.

    Parameters
    ----------
    scores : Series
        From `ipres`, of the whole cohort.
    cut : float

    Returns
    -------
    Series of bool

    Raises
    ------
    DataError
        If there is only one score: it is relative to its cohort, and says nothing alone.
    """
    if len(scores) < 2:
        raise DataError(
            "One sample cannot be told enriched or not: scores are relative to their cohort. Give "
            "the scores of the whole cohort."
        )
    return (scores > cut).rename("ipres_enriched")


def _usable(expression: pd.DataFrame) -> None:
    if expression.shape[1] < 2:
        raise DataError(
            f"The expression has {expression.shape[1]} sample; scores are standardized over a "
            "cohort, so give two or more, as columns."
        )
    for what, labels in (("gene", expression.index), ("sample", expression.columns)):
        if not labels.is_unique:
            twice = labels[labels.duplicated()][0]
            raise DataError(
                f"The {what} {twice!r} stands twice in the expression; join its values."
            )
    if not np.isfinite(expression.to_numpy(float)).all():
        raise DataError("The expression has missing or infinite values; leave those genes out.")


def _standard(name: str, genes: Sequence[str], expression: pd.DataFrame) -> np.ndarray:
    members = expression.index.isin(list(genes))
    if members.sum() < LEAST_FOUND * len(genes) or members.all():
        raise DataError(
            f"Of the {len(genes)} genes of {name} the expression has {members.sum()}, among "
            f"{len(members)}; at least half of them and other genes are needed. Are the symbols "
            "of one kind?"
        )
    score = enrichment(expression.to_numpy(float), members)
    spread = score.std(ddof=1)
    if not spread > 0:
        raise DataError(f"All samples have the same enrichment of {name}; are they copies?")
    return (score - score.mean()) / spread
