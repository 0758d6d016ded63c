"""Residuals by name."""

from collections.abc import Mapping

from pdmodel.errors import ModelError
from pdmodel.residual import Residual
from pdmodel.residuals.last_value import LAST_VALUE, LAST_VALUE_FLAT
from pdmodel.residuals.scatter import LOGNORMAL, STUDENT_T
from pdmodel.residuals.walk import WALK
from pdmodel.residuals.walk_slope import WALK_SLOPE

RESIDUALS: Mapping[str, Residual] = {
    one.name: one for one in (LOGNORMAL, STUDENT_T, WALK, WALK_SLOPE, LAST_VALUE, LAST_VALUE_FLAT)
}


def residual(name: str) -> Residual:
    """Find a residual by name; ModelError lists the names if there is none."""
    if name not in RESIDUALS:
        raise ModelError(f"There is no residual {name!r}; known are {sorted(RESIDUALS)}.")
    return RESIDUALS[name]
