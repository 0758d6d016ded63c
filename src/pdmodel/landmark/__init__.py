"""What a fit foretells from a landmark day on, what really happened, and how good it was."""

from pdmodel.landmark.ahead import forecasts
from pdmodel.landmark.folded import forecasts_by_folds
from pdmodel.landmark.outcomes import CLASS_DAYS, COLUMNS, WITHIN_DAYS, happened
from pdmodel.landmark.scoring import figures, lines, reliability_of

__all__ = [
    "CLASS_DAYS",
    "COLUMNS",
    "WITHIN_DAYS",
    "figures",
    "forecasts",
    "forecasts_by_folds",
    "happened",
    "lines",
    "reliability_of",
]
