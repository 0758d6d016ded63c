"""Cemiplimab, an anti-PD-1 antibody."""

from pdmodel.covariates import Effect
from pdmodel.drug import TISSUE_RATIO, Drug, block_pd1, half_pd1_block
from pdmodel.variability import CL, FLOWS, V1, V2, VOLUMES, Eta, PopulationModel, Q

YANG_2021 = PopulationModel(
    name="Yang 2021",
    source="doi:10.1007/s10928-021-09739-y, as transcribed in nlmixr2lib",
    patients=548,
    disease="advanced solid tumors, among them cutaneous squamous cell carcinoma",
    values={
        CL: 0.290, V1: 3.32, Q: 0.638, V2: 1.65,
        "emax": -0.410, "t50": 28.9, "hill": 2.79,
    },
    reference={"weight": 76.2, "albumin": 38, "igg": 9.65, "alt": 20, "bmi": 26.5},
    effects=(
        Effect(FLOWS, "power", {"weight": 0.477, "albumin": -0.926, "igg": 0.184, "alt": -0.0795}),
        Effect(VOLUMES, "power", {"weight": 0.970, "bmi": -0.560}),
    ),
    etas={
        "CL, Q": Eta(FLOWS, 0.0870),
        "V1, V2": Eta(VOLUMES, 0.0432),
        "Emax": Eta(("emax",), 0.228),
        "T50": Eta(("t50",), 0.610),
    },
    covariances={("CL, Q", "V1, V2"): 0.0422},
    residual={"proportional": 0.188, "additive": 1.48},
)  # fmt: skip

NGUYEN_2022 = PopulationModel(
    name="Nguyen 2022",
    source="doi:10.1002/psp4.12855, Table 1; its covariates are left out, for want of their "
    "reference values and of the form of their effects",
    patients=1062,
    disease="solid tumors, skin and non-small cell lung cancer",
    values={
        CL: 0.254, V1: 3.35, Q: 0.652, V2: 2.52,
        "emax": -0.174, "t50": 73.7, "hill": 2.50,
    },
    etas={"CL, Q": Eta(FLOWS, 0.0892), "V1, V2": Eta(VOLUMES, 0.0709)},
    residual={"proportional": 0.241},
)  # fmt: skip

DRUG = Drug(
    name="cemiplimab",
    about="anti-PD-1 antibody",
    populations=(YANG_2021, NGUYEN_2022),
    parameters=(TISSUE_RATIO, half_pd1_block(", taken for other PD-1 antibodies too")),
    actions=("pd1_block",),
    engage=block_pd1,
    labelled=("350 mg q3w 30 min",),
)
