"""A blocker of VEGF, which relieves suppression: a template."""

from functools import partial

from pdmodel.drug import Drug, half_effect, saturating, virtual_compartment

DRUG = Drug(
    name="vegf_block",
    about="template: relieves suppression",
    populations=(virtual_compartment(20.0, "assumption: half-life of an antibody"),),
    parameters=(half_effect(1.0, "assumption"),),
    actions=("suppression_block",),
    engage=partial(saturating, "suppression_block"),
    labelled=("4 mg q3w 60 min",),
)
