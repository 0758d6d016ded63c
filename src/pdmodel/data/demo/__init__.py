"""The embedded cohort: 60 patients made by a computer, with the truth beside what was measured."""

from dataclasses import replace
from pathlib import Path

from pdmodel.data.cohort import Cohort
from pdmodel.data.read import read_cohort

SIZES = Path(__file__).parent / "sizes.csv"
"""Sizes in the long layout, as untidy as tables are."""
TRUTH = Path(__file__).parent / "truth.csv"
"""Parameters and class of each patient, which no real table has."""
REGIMEN = "atezolizumab 1200 mg q3w"
"""What everybody was given, from day 0 on."""


def demo_cohort() -> Cohort:
    """Read the embedded cohort, marked as simulated."""
    return replace(read_cohort(SIZES, regimen=REGIMEN), simulated=True)
