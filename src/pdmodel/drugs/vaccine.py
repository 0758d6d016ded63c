"""A tumor vaccine, which brings new T cells: a template."""

from functools import partial

from pdmodel.drug import Drug, half_effect, saturating, virtual_compartment

DRUG = Drug(
    name="vaccine",
    about="template: brings new T cells",
    populations=(virtual_compartment(14.0, "assumption: lasting of a response"),),
    parameters=(half_effect(1.0, "assumption"),),
    actions=("t_cell_supply",),
    engage=partial(saturating, "t_cell_supply"),
    labelled=("1 mg q3w x6 60 min",),
)
