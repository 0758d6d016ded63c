"""An epigenetic drug, which undoes the fixation of exhausted T cells: a template."""

from functools import partial

from pdmodel.drug import Drug, half_effect, saturating, virtual_compartment

DRUG = Drug(
    name="epigenetic_drug",
    about="template: undoes fixation of exhaustion",
    populations=(virtual_compartment(7.0, "assumption: lasts beyond plasma"),),
    parameters=(half_effect(1.0, "assumption"),),
    actions=("fixation_block",),
    engage=partial(saturating, "fixation_block"),
    labelled=("2 mg q1w 60 min",),
)
