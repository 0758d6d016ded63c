"""Adoptive transfer of T cells, given once: a template."""

from functools import partial

from pdmodel.drug import Drug, half_effect, saturating, virtual_compartment

DRUG = Drug(
    name="adoptive_transfer",
    about="template: brings T cells once",
    populations=(virtual_compartment(42.0, "assumption: persistence of transferred cells"),),
    parameters=(half_effect(1.0, "assumption"),),
    actions=("t_cell_supply",),
    engage=partial(saturating, "t_cell_supply"),
    labelled=("4 mg q4w x1 60 min",),
)
