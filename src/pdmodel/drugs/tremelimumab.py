"""Tremelimumab, an anti-CTLA-4 antibody, given once or a few times with durvalumab."""

from pdmodel.covariates import Effect
from pdmodel.drug import TISSUE_RATIO, Drug, block_ctla4, half_occupancy
from pdmodel.units import mg_per_litre
from pdmodel.variability import CL, V1, V2, Eta, PopulationModel, Q

HALF_CTLA4_BLOCK = half_occupancy(
    mg_per_litre(18.2),
    "occupancy",
    "assumption: that of another CTLA-4 antibody, 18.2 nM (doi:10.3389/fphar.2023.1163432)",
)

HWANG_2022 = PopulationModel(
    name="Hwang 2022",
    source="doi:10.1111/bcp.15622, as transcribed in nlmixr2lib; a covariance of CL and V1 was "
    "estimated but not reported, and is 0 here",
    patients=956,
    disease="mesothelioma, lung and bladder cancer and other solid tumors, monotherapy or with "
    "durvalumab",
    values={
        CL: 0.276, V1: 3.64, Q: 0.357, V2: 2.40,
        "emax": 0.151, "t50": 95.1, "hill": 14.5,
    },
    reference={"weight": 71, "albumin": 39},
    effects=(
        Effect((CL,), "power", {"albumin": -0.996, "weight": 0.638}),
        Effect((V1,), "power", {"weight": 0.606}),
        Effect(("emax",), "shift", {"with_durvalumab": -0.187 - 0.151}),
        Effect(("hill",), "shift", {"with_durvalumab": 3.20 - 14.5}),
    ),
    etas={
        "CL": Eta((CL,), 0.113),
        "V1": Eta((V1,), 0.0536),
        "Emax": Eta(("emax",), 0.151, "natural"),
    },
    residual={"proportional": 0.306, "additive": 0.119},
)  # fmt: skip

DRUG = Drug(
    name="tremelimumab",
    about="anti-CTLA-4 antibody",
    populations=(HWANG_2022,),
    parameters=(TISSUE_RATIO, HALF_CTLA4_BLOCK),
    actions=("ctla4_block",),
    engage=block_ctla4,
    labelled=("300 mg q4w x1 60 min", "75 mg q3w x4 60 min"),
)
