"""Tables of sizes and doses, read and checked into cohorts."""

from pdmodel.data.cohort import (
    SIZE_KINDS,
    Assessment,
    Cohort,
    CovariateNote,
    Note,
    Patient,
    ReadingLog,
    SizeKind,
    Targets,
)
from pdmodel.data.fetch import fetch_laleh2022, laleh2022_path
from pdmodel.data.read import FORMATS, check_tables, read_cohort

__all__ = [
    "FORMATS",
    "SIZE_KINDS",
    "Assessment",
    "Cohort",
    "CovariateNote",
    "Note",
    "Patient",
    "ReadingLog",
    "SizeKind",
    "Targets",
    "check_tables",
    "fetch_laleh2022",
    "laleh2022_path",
    "read_cohort",
]
