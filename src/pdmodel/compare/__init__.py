"""Which model forecasts best: held-out scans, and patients left out, of several models."""

from pdmodel.compare.designs import DESIGNS, HORIZON_DAYS, Held, design
from pdmodel.compare.folded import MODELS, NULLS, Plan, held_out
from pdmodel.compare.loo import LeftOut, efficiencies, leave_one_out
from pdmodel.compare.npde import npde
from pdmodel.compare.one_step import leave_one_out_pit, one_step_pit
from pdmodel.compare.runs import left_out, side_by_side
from pdmodel.compare.scores import LEAST_PROBABILITY, Room, Scores, scored
from pdmodel.compare.tables import bootstrapped, differences, summary

__all__ = [
    "DESIGNS",
    "HORIZON_DAYS",
    "LEAST_PROBABILITY",
    "MODELS",
    "NULLS",
    "Held",
    "LeftOut",
    "Plan",
    "Room",
    "Scores",
    "bootstrapped",
    "design",
    "differences",
    "efficiencies",
    "held_out",
    "leave_one_out",
    "leave_one_out_pit",
    "left_out",
    "npde",
    "one_step_pit",
    "scored",
    "side_by_side",
    "summary",
]
