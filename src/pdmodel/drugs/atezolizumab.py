"""Atezolizumab, an anti-PD-L1 antibody."""

from pdmodel.covariates import Effect
from pdmodel.drug import TISSUE_RATIO, Drug, block_pd1, half_pd1_block
from pdmodel.variability import CL, V1, V2, Eta, PopulationModel, Q

STROH_2017 = PopulationModel(
    name="Stroh 2017",
    source="doi:10.1002/cpt.587, as tabulated in PMC6584248 and reprinted in "
    "doi:10.1002/psp4.13310 (covariances)",
    patients=472,
    disease="urothelial and non-small cell lung cancer and other solid tumors",
    values={CL: 0.200, V1: 3.28, Q: 0.546, V2: 3.63},
    reference={"weight": 77, "albumin": 40, "tumor_size": 63},
    effects=(
        Effect((CL,), "power", {"albumin": -1.12, "weight": 0.808, "tumor_size": 0.125}),
        Effect((CL,), "fraction", {"antidrug_antibodies": 0.159}),
        Effect((V1,), "power", {"albumin": -0.350, "weight": 0.559}),
        Effect((V1,), "fraction", {"female": -0.129}),
        Effect((V2,), "fraction", {"female": -0.272}),
    ),
    etas={"CL": Eta((CL,), 0.0867), "V1": Eta((V1,), 0.0328), "V2": Eta((V2,), 0.114)},
    covariances={("CL", "V1"): 0.0182, ("CL", "V2"): -0.0234, ("V1", "V2"): 0.0265},
)

DRUG = Drug(
    name="atezolizumab",
    about="anti-PD-L1 antibody",
    populations=(STROH_2017,),
    parameters=(TISSUE_RATIO, half_pd1_block(", taken for PD-L1 antibodies too")),
    actions=("pd1_block",),
    engage=block_pd1,
    labelled=("1200 mg q3w", "840 mg q2w", "1680 mg q4w"),
)
