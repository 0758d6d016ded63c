"""Targeted therapy against an oncogene's signal: a template."""

from functools import partial

from pdmodel.drug import Drug, half_effect, saturating, virtual_compartment

DRUG = Drug(
    name="targeted_therapy",
    about="template: blocks signals for growth",
    populations=(virtual_compartment(3.5, "assumption: the dose of a week, given at once"),),
    parameters=(half_effect(1.0, "assumption"),),
    actions=("growth_block",),
    engage=partial(saturating, "growth_block"),
    labelled=("4 mg q1w 60 min",),
)
