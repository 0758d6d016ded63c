"""A blocker of TGF-beta, which relieves suppression: a template."""

from functools import partial

from pdmodel.drug import Drug, half_effect, saturating, virtual_compartment

DRUG = Drug(
    name="tgfb_block",
    about="template: relieves suppression",
    populations=(virtual_compartment(10.0, "assumption"),),
    parameters=(half_effect(1.0, "assumption"),),
    actions=("suppression_block",),
    engage=partial(saturating, "suppression_block"),
    labelled=("4 mg q2w 60 min",),
)
