"""Ipilimumab, an anti-CTLA-4 antibody, in its induction with a PD-1 antibody."""

from pdmodel.covariates import Effect
from pdmodel.drug import TISSUE_RATIO, Drug, block_ctla4, half_occupancy
from pdmodel.units import mg_per_litre
from pdmodel.variability import CL, FLOWS, V1, V2, VOLUMES, Eta, PopulationModel, Q

HALF_CTLA4_BLOCK = half_occupancy(
    mg_per_litre(18.2),
    "occupancy",
    "fixed: binding constant of anti-CTLA-4, 18.2 nM (doi:10.3389/fphar.2023.1163432)",
)

SANGHAVI_2020 = PopulationModel(
    name="Sanghavi 2020",
    source="doi:10.1002/psp4.12477, as transcribed in nlmixr2lib",
    patients=3411,
    disease="melanoma, lung and renal cell carcinoma and other solid tumors, monotherapy or with "
    "nivolumab",
    values={
        CL: 0.3384, V1: 3.95, Q: 0.6696, V2: 3.18,
        "emax": -0.0644, "t50": 105.8, "hill": 7.43,
    },
    reference={"weight": 80, "ldh": 217},
    effects=(
        Effect(FLOWS, "power", {"weight": 0.694}),
        Effect(VOLUMES, "power", {"weight": 0.600}),
        Effect((CL,), "log power", {"ldh": 0.703}),
        Effect(
            (CL,),
            "exponential",
            {
                "sclc": -0.124,
                "first_line": -0.0949,
                "with_nivolumab_1_q3w": 0.0950,
                "with_nivolumab_3_q2w": 0.191,
            },
        ),
        Effect(("emax",), "shift", {"with_nivolumab": -0.202}),
    ),
    etas={
        "CL": Eta((CL,), 0.112),
        "V1": Eta((V1,), 0.0884),
        "Emax": Eta(("emax",), 0.0158, "natural"),
    },
    covariances={("CL", "V1"): 0.0404},
    residual={"proportional": 0.223, "additive": 0.607},
)  # fmt: skip

DRUG = Drug(
    name="ipilimumab",
    about="anti-CTLA-4 antibody",
    populations=(SANGHAVI_2020,),
    parameters=(TISSUE_RATIO, HALF_CTLA4_BLOCK),
    actions=("ctla4_block",),
    engage=block_ctla4,
    labelled=("240 mg q3w x4", "80 mg q3w x4"),
)
