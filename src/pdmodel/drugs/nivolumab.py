"""Nivolumab, an anti-PD-1 antibody."""

from pdmodel.covariates import Effect
from pdmodel.drug import TISSUE_RATIO, Drug, block_pd1, half_pd1_block
from pdmodel.variability import CL, FLOWS, V1, V2, VOLUMES, Eta, PopulationModel, Q

ZHANG_2019 = PopulationModel(
    name="Zhang 2019",
    source="doi:10.1002/psp4.12476, as transcribed in nlmixr2lib",
    patients=6468,
    disease="lung cancer, melanoma, renal cell carcinoma and other solid tumors, monotherapy or "
    "with ipilimumab or chemotherapy",
    values={
        CL: 0.2592, V1: 4.27, Q: 0.8376, V2: 2.70,
        "emax": -0.240, "t50": 91.7, "hill": 2.77,
    },
    reference={"weight": 80, "egfr": 90},
    effects=(
        Effect(FLOWS, "power", {"weight": 0.530}),
        Effect((CL,), "power", {"egfr": 0.202}),
        Effect(
            (CL,),
            "exponential",
            {
                "female": -0.181,
                "ecog_1_or_worse": 0.181,
                "black": 0.0374,
                "asian": -0.0354,
                "with_ipilimumab_3_q3w": 0.227,
                "with_ipilimumab_1_q6w": 0.159,
                "with_chemotherapy": -0.104,
            },
        ),
        Effect(VOLUMES, "power", {"weight": 0.534}),
        Effect((V1,), "exponential", {"female": -0.161}),
        Effect(("emax",), "shift", {"ecog_1_or_worse": -0.138, "with_ipilimumab": -0.0668}),
    ),
    etas={
        "CL": Eta((CL,), 0.157),
        "V1": Eta((V1,), 0.152),
        "Q": Eta((Q,), 0.157),
        "V2": Eta((V2,), 0.152),
        "Emax": Eta(("emax",), 0.0874, "natural"),
    },
    covariances={("CL", "V1"): 0.0596},
    residual={"proportional": 0.245},
)  # fmt: skip

BAJAJ_2017 = PopulationModel(
    name="Bajaj 2017",
    source="doi:10.1002/psp4.12143, as transcribed in nlmixr2lib",
    patients=1895,
    disease="lung cancer, melanoma and renal cell carcinoma, monotherapy",
    values={
        CL: 0.2256, V1: 3.63, Q: 0.7704, V2: 2.78,
        "emax": -0.295, "t50": 58.75, "hill": 3.15,
    },
    reference={"weight": 80, "egfr": 90, "female": 1},
    effects=(
        Effect((CL,), "power", {"weight": 0.566, "egfr": 0.186}),
        Effect(
            (CL,),
            "exponential",
            {"ecog_1_or_worse": 0.172, "female": -0.165, "asian": -0.125},
        ),
        Effect((V1,), "power", {"weight": 0.597}),
        Effect((V1,), "exponential", {"female": -0.152}),
    ),
    etas={
        "CL": Eta((CL,), 0.123),
        "V1": Eta((V1,), 0.123),
        "V2": Eta((V2,), 0.258),
        "Emax": Eta(("emax",), 0.0719, "natural"),
    },
    covariances={("CL", "V1"): 0.0432},
    residual={"proportional": 0.215},
)  # fmt: skip

DRUG = Drug(
    name="nivolumab",
    about="anti-PD-1 antibody",
    populations=(ZHANG_2019, BAJAJ_2017),
    parameters=(TISSUE_RATIO, half_pd1_block(", taken for other PD-1 antibodies too")),
    actions=("pd1_block",),
    engage=block_pd1,
    labelled=("240 mg q2w 30 min", "480 mg q4w 30 min"),
)
