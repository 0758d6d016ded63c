"""Docetaxel, a cytotoxic drug whose effect outlasts its stay in plasma (K-PD)."""

from functools import partial

from pdmodel.drug import Drug, half_effect, saturating, virtual_compartment

DRUG = Drug(
    name="docetaxel",
    about="taxane, as a virtual compartment",
    populations=(virtual_compartment(7.0, "assumption: 5 to 10 days"),),
    parameters=(half_effect(67.5, "assumption: half of a usual dose of 135 mg (75 mg/m2)"),),
    actions=("tumor_kill",),
    engage=partial(saturating, "tumor_kill"),
    labelled=("135 mg q3w 60 min",),
)
