"""Durvalumab, an anti-PD-L1 antibody."""

from pdmodel.covariates import Effect
from pdmodel.drug import TISSUE_RATIO, Drug, block_pd1, half_pd1_block
from pdmodel.variability import CL, V1, V2, Eta, PopulationModel, Q

ABEGESAH_2025 = PopulationModel(
    name="Abegesah 2025",
    source="doi:10.1007/s00280-024-04743-8, as transcribed in nlmixr2lib; that emax varies "
    "additively is taken from the same group's doi:10.1111/bcp.15622",
    patients=3141,
    disease="lung and biliary tract cancer and other solid tumors",
    values={
        CL: 0.298, V1: 3.42, Q: 0.452, V2: 1.99,
        "emax": -0.498, "t50": 61.3, "hill": 1.0,
    },
    reference={"weight": 69.4, "albumin": 39, "creatinine_clearance": 85.66, "ldh": 247},
    effects=(
        Effect(
            (CL,),
            "power",
            {"albumin": -0.589, "creatinine_clearance": 0.136, "ldh": 0.0515, "weight": 0.338},
        ),
        Effect(
            (CL,),
            "fraction",
            {
                "ecog_1_or_worse": -0.0501,  # by text and table; the figure has it the other way
                "female": -0.161,
                "with_chemotherapy": -0.163,
                "with_tremelimumab_chemotherapy": -0.0929,
                "bladder_cancer": 0.0698,
                "biliary_cancer": 0.166,
            },
        ),
        Effect((V1,), "power", {"weight": 0.515}),
        Effect((V1,), "fraction", {"female": -0.140}),
    ),
    etas={
        "CL": Eta((CL,), 0.0795),
        "V1": Eta((V1,), 0.0593),
        "Emax": Eta(("emax",), 0.0623, "natural"),
    },
    covariances={("CL", "V1"): 0.0390},
    residual={"proportional": 0.255, "additive": 4.75},
)  # fmt: skip

DRUG = Drug(
    name="durvalumab",
    about="anti-PD-L1 antibody",
    populations=(ABEGESAH_2025,),
    parameters=(TISSUE_RATIO, half_pd1_block(", taken for PD-L1 antibodies too")),
    actions=("pd1_block",),
    engage=block_pd1,
    labelled=("1500 mg q4w 60 min", "1500 mg q3w 60 min"),
)
