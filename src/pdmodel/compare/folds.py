"""Folds of patients by a hash, so that a patient's fold hangs on nobody else's being there."""

import hashlib

from pdmodel.data import Cohort, Patient
from pdmodel.errors import OptionError


def fold_of(patient: Patient, folds: int, seed: int) -> int:
    """Give the fold of a patient, from 0; lesions of one person are in one."""
    person = f"{patient.study}/{patient.person}"
    digest = hashlib.sha256(f"{seed}:{person}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % folds


def split(cohort: Cohort, folds: int, seed: int) -> list[tuple[Cohort, tuple[Patient, ...]]]:
    """Split a cohort into those learnt from and those held out, for each fold.

    Raises
    ------
    OptionError
        If there are fewer than two folds, or one of them would be without patients.
    """
    if folds < 2:
        raise OptionError(f"There are {folds} folds; give 2 or more.")
    fold = [fold_of(patient, folds, seed) for patient in cohort]
    out = []
    for k in range(folds):
        held = tuple(p for p, mine in zip(cohort, fold, strict=True) if mine == k)
        rest = tuple(p.key for p, mine in zip(cohort, fold, strict=True) if mine != k)
        if not held or len(rest) < 2:
            raise OptionError(
                f"{len(cohort)} patients are too few for {folds} folds: one has {len(held)} of "
                "them. Give fewer folds, or another seed."
            )
        out.append((cohort.subset(rest), held))
    return out
