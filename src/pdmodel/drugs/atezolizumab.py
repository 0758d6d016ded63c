"""Atezolizumab, an anti-PD-L1 antibody."""

from collections.abc import Mapping

from jax import Array

from pdmodel.action import Actions
from pdmodel.drug import Drug
from pdmodel.parameter import Parameter
from pdmodel.pharmacokinetics import TwoCompartment

TISSUE_RATIO = Parameter(
    "tissue_ratio",
    "1",
    0.2,
    "free antibody in tumor interstitium per plasma concentration",
    source="assumption: fixed working value, range 0.1 to 0.3; no measurement found",
)
HALF_OCCUPANCY = Parameter(
    "half_occupancy",
    "mg/L",
    0.54,
    "free concentration at half of the maximal PD-1 blockade",
    source="fixed: functional engagement of pembrolizumab, IC50 0.535 mg/L "
    "(doi:10.1002/psp4.12132), taken for PD-L1 antibodies too; labelled doses saturate it, so "
    "sizes cannot inform it (doi:10.1002/psp4.12140)",
)


def engage(concentration: Array, p: Mapping[str, float]) -> Actions:
    """Blockade of PD-1 signalling at a plasma concentration in mg/L."""
    free = p["tissue_ratio"] * concentration
    return {"pd1_block": free / (free + p["half_occupancy"])}


DRUG = Drug(
    name="atezolizumab",
    about="anti-PD-L1 antibody",
    pharmacokinetics=TwoCompartment(
        clearance=0.200,
        central_volume=3.28,
        intercompartmental=0.546,
        peripheral_volume=3.63,
        source="doi:10.1002/cpt.587, as tabulated in PMC6584248",
        population="472 patients; reference 77 kg, albumin 40 g/L, tumor 63 mm, male, "
        "no anti-drug antibodies",
    ),
    parameters=(TISSUE_RATIO, HALF_OCCUPANCY),
    actions=("pd1_block",),
    engage=engage,
    labelled=("1200 mg q3w", "840 mg q2w", "1680 mg q4w"),
)
