"""Folds of patients by a hash, so that a patient's fold hangs on nobody else's being there."""

import hashlib

import numpy as np

from pdmodel.data import Cohort, Patient
from pdmodel.errors import OptionError


def fold_of(patient: Patient, folds: int, seed: int) -> int:
    """Give the fold of a patient, from 0; lesions of one person are in one."""
    person = f"{patient.study}/{patient.person}"
    digest = hashlib.sha256(f"{seed}:{person}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % folds


def folds_of(cohort: Cohort, folds: int, seed: int) -> np.ndarray:
    """Give the fold of every patient, from 0, (patients,).

    Raises
    ------
    OptionError
        If there are fewer than two folds, or one of them would be without patients.
    """
    if folds < 2:
        raise OptionError(f"There are {folds} folds; give 2 or more.")
    fold = np.array([fold_of(patient, folds, seed) for patient in cohort])
    held = np.bincount(fold, minlength=folds)
    if held.min() == 0 or len(fold) - held.max() < 2:
        raise OptionError(
            f"{len(cohort)} patients are too few for {folds} folds: they have "
            f"{', '.join(map(str, held))} of them. Give fewer folds, or another seed."
        )
    return fold
