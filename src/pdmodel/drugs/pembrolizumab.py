"""Pembrolizumab, an anti-PD-1 antibody."""

from pdmodel.covariates import Effect
from pdmodel.drug import TISSUE_RATIO, Drug, block_pd1, half_pd1_block
from pdmodel.variability import CL, FLOWS, V1, V2, VOLUMES, Eta, PopulationModel, Q

AHAMADI_2017 = PopulationModel(
    name="Ahamadi 2017",
    source="doi:10.1002/psp4.12139, as transcribed in nlmixr2lib; a covariance of CL and V1 was "
    "estimated but not reported, and is 0 here",
    patients=2188,
    disease="melanoma, non-small cell lung cancer and other solid tumors",
    values={CL: 0.22, V1: 3.48, Q: 0.795, V2: 4.06},
    reference={"weight": 76.8, "albumin": 39.6, "tumor_size": 89.6, "egfr": 88.47},
    effects=(
        Effect(FLOWS, "power", {"weight": 0.595}),
        Effect((CL,), "power", {"albumin": -0.907, "tumor_size": 0.0872, "egfr": 0.135}),
        Effect(
            (CL,),
            "fraction",
            {
                "female": -0.152,
                "nsclc": 0.145,
                "ecog_1_or_worse": -0.0739,  # by table and text; a footnote has +
                "prior_ipilimumab": 0.140,
            },
        ),
        Effect(VOLUMES, "power", {"weight": 0.489}),
        Effect((V1,), "power", {"albumin": -0.208}),
        Effect((V1,), "fraction", {"female": -0.134, "prior_ipilimumab": 0.0736}),
    ),
    etas={"CL, Q": Eta(FLOWS, 0.134), "V1, V2": Eta(VOLUMES, 0.0417)},
    residual={"proportional": 0.272},
)

DRUG = Drug(
    name="pembrolizumab",
    about="anti-PD-1 antibody",
    populations=(AHAMADI_2017,),
    parameters=(TISSUE_RATIO, half_pd1_block("")),
    actions=("pd1_block",),
    engage=block_pd1,
    labelled=("200 mg q3w 30 min", "400 mg q6w 30 min"),
)
