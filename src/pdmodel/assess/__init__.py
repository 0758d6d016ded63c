"""Response of patients as their tables tell it: one row a scan, one row a patient."""

from pdmodel.assess.cases import Case, read_cases
from pdmodel.assess.tables import counts, patient_table, scan_table

__all__ = ["Case", "counts", "patient_table", "read_cases", "scan_table"]
