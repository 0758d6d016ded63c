"""Ipilimumab, an anti-CTLA-4 antibody, in its induction with a PD-1 antibody."""

from collections.abc import Mapping

from jax import Array

from pdmodel.action import Actions
from pdmodel.drug import Drug
from pdmodel.parameter import Parameter
from pdmodel.pharmacokinetics import TwoCompartment
from pdmodel.units import mg_per_litre

PARAMETERS = (
    Parameter(
        "tissue_ratio",
        "1",
        0.2,
        "free antibody in tumor interstitium per plasma concentration",
        source="assumption: fixed working value, range 0.1 to 0.3; no measurement found",
    ),
    Parameter(
        "half_occupancy",
        "mg/L",
        mg_per_litre(18.2),
        "free concentration at half occupancy",
        source="fixed: binding constant of anti-CTLA-4, 18.2 nM (doi:10.3389/fphar.2023.1163432)",
    ),
)


def engage(concentration: Array, p: Mapping[str, float]) -> Actions:
    """Blockade of CTLA-4 at a plasma concentration in mg/L."""
    free = p["tissue_ratio"] * concentration
    return {"ctla4_block": free / (free + p["half_occupancy"])}


DRUG = Drug(
    name="ipilimumab",
    about="anti-CTLA-4 antibody",
    pharmacokinetics=TwoCompartment(
        clearance=0.3384,
        central_volume=3.95,
        intercompartmental=0.6696,
        peripheral_volume=3.18,
        emax=-0.0644,
        t50=105.8,
        hill=7.43,
        source="doi:10.1002/psp4.12477",
        population="3411 patients; reference 80 kg, monotherapy",
    ),
    parameters=PARAMETERS,
    actions=("ctla4_block",),
    engage=engage,
    labelled=("240 mg q3w x4", "80 mg q3w x4"),
)
