"""Avelumab, an anti-PD-L1 antibody that is cleared faster than its kin."""

from pdmodel.covariates import Effect
from pdmodel.drug import TISSUE_RATIO, Drug, block_pd1, half_pd1_block
from pdmodel.variability import CL, V1, V2, Eta, PopulationModel, Q

MASTERS_2022 = PopulationModel(
    name="Masters 2022",
    source="doi:10.1002/psp4.12771, as transcribed in nlmixr2lib; Q 0.03352 L/h from its own "
    "interval (0.02548 to 0.04157), the table misprints 0.3352; reference weight inferred",
    patients=2315,
    disease="Merkel cell, urothelial and renal cell carcinoma and other solid tumors",
    values={
        CL: 0.0269 * 24, V1: 3.196, Q: 0.03352 * 24, V2: 0.7278,
        "emax": -0.08533, "t50": 99.24, "hill": 2.086,
    },
    reference={"weight": 80},
    effects=(
        Effect((CL,), "power", {"weight": 0.4714}),
        Effect((V1,), "power", {"weight": 0.4694}),
        Effect((Q,), "power", {"weight": 1.0}),
        Effect((V2,), "power", {"weight": 0.5826}),
    ),
    etas={
        "CL": Eta((CL,), 0.09339),
        "V1": Eta((V1,), 0.03776),
        "V2": Eta((V2,), 1.204),
        "Imax": Eta(("emax",), 0.1052),
    },
    covariances={("CL", "V1"): 0.03048, ("CL", "V2"): 0.08418, ("V1", "V2"): 0.01799},
    residual={"proportional": 0.1742, "additive": 2.168},
    change="linear",
)  # fmt: skip

DRUG = Drug(
    name="avelumab",
    about="anti-PD-L1 antibody",
    populations=(MASTERS_2022,),
    parameters=(TISSUE_RATIO, half_pd1_block(", taken for PD-L1 antibodies too")),
    actions=("pd1_block",),
    engage=block_pd1,
    labelled=("800 mg q2w 60 min",),
)
