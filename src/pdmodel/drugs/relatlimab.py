"""Relatlimab, an anti-LAG-3 antibody (K-PD: a virtual compartment, no published model is used)."""

from functools import partial

from pdmodel.drug import Drug, half_effect, saturating, virtual_compartment

DRUG = Drug(
    name="relatlimab",
    about="anti-LAG-3 antibody, as a virtual compartment",
    populations=(virtual_compartment(26.0, "assumption: half-life of an antibody"),),
    parameters=(half_effect(16.0, "assumption: labelled doses saturate the target"),),
    actions=("lag3_block",),
    engage=partial(saturating, "lag3_block"),
    labelled=("160 mg q4w 30 min",),
)
