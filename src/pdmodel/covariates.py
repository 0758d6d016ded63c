"""What of a patient changes how fast an antibody is cleared: covariates, and the forms of effects.

With x the patient's value and the reference that of the reference patient, an effect is ::

    power        (x / reference)^size
    log power    (ln x / ln reference)^size
    fraction     1 + size (x - reference)
    exponential  exp(size (x - reference))
    shift        + size (x - reference)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

import numpy as np

from pdmodel.errors import OptionError

type Covariates = Mapping[str, float | np.ndarray]
"""One patient's values, or those of many, by covariate."""


@dataclass(frozen=True)
class Covariate:
    """What is known of a patient before treatment, or given along with the drug.

    Attributes
    ----------
    name, unit, about : str
    low, high : float
        Values outside are taken for a mistake in the unit. 0 and 1 are the only values of what
        is there or not.
    needs : str, optional
        Another covariate that must be 1 where this one is.
    """

    name: str
    unit: str
    about: str
    low: float = 0.0
    high: float = 1.0
    needs: str | None = None

    @property
    def binary(self) -> bool:
        """Whether it is there (1) or not (0)."""
        return self.unit == "0 or 1"


def _yes_or_no(name: str, about: str, needs: str | None = None) -> Covariate:
    return Covariate(name, "0 or 1", about, needs=needs)


COVARIATES = {
    one.name: one
    for one in (
        Covariate("weight", "kg", "body weight", 20, 300),
        Covariate("bmi", "kg/m2", "body mass index", 8, 100),
        Covariate("albumin", "g/L", "serum albumin", 8, 70),
        Covariate("egfr", "mL/min/1.73 m2", "estimated glomerular filtration rate", 3, 500),
        Covariate("creatinine_clearance", "mL/min", "creatinine clearance", 3, 600),
        Covariate("ldh", "U/L", "lactate dehydrogenase", 10, 30000),
        Covariate("alt", "U/L", "alanine aminotransferase", 1, 5000),
        Covariate("igg", "g/L", "immunoglobulin G of the patient", 0.3, 100),
        Covariate("tumor_size", "mm", "sum of longest diameters of the target lesions", 2, 1500),
        _yes_or_no("female", "female sex"),
        _yes_or_no("asian", "Asian race, as recorded in the trials"),
        _yes_or_no("black", "Black race, as recorded in the trials"),
        _yes_or_no("ecog_1_or_worse", "ECOG performance status of 1 or worse"),
        _yes_or_no("antidrug_antibodies", "antibodies against the drug"),
        _yes_or_no("nsclc", "non-small cell lung cancer"),
        _yes_or_no("sclc", "small cell lung cancer"),
        _yes_or_no("bladder_cancer", "urothelial cancer of the bladder"),
        _yes_or_no("biliary_cancer", "biliary tract cancer"),
        _yes_or_no("first_line", "no systemic treatment of the advanced disease before"),
        _yes_or_no("prior_ipilimumab", "ipilimumab before"),
        _yes_or_no("with_chemotherapy", "chemotherapy along with it, and no tremelimumab"),
        _yes_or_no("with_tremelimumab_chemotherapy", "tremelimumab and chemotherapy with it"),
        _yes_or_no("with_durvalumab", "durvalumab along with it"),
        _yes_or_no("with_nivolumab", "nivolumab along with it"),
        _yes_or_no("with_nivolumab_1_q3w", "nivolumab 1 mg/kg q3w with it", "with_nivolumab"),
        _yes_or_no("with_nivolumab_3_q2w", "nivolumab 3 mg/kg q2w with it", "with_nivolumab"),
        _yes_or_no("with_ipilimumab", "ipilimumab along with it"),
        _yes_or_no("with_ipilimumab_3_q3w", "ipilimumab 3 mg/kg q3w with it", "with_ipilimumab"),
        _yes_or_no("with_ipilimumab_1_q6w", "ipilimumab 1 mg/kg q6w with it", "with_ipilimumab"),
    )
}
"""Every covariate of every drug, so that one table of patients serves all."""

Form = Literal["power", "log power", "fraction", "exponential", "shift"]
_FORMS: Mapping[Form, Callable[..., np.ndarray]] = {
    "power": lambda x, reference, size: (x / reference) ** size,
    "log power": lambda x, reference, size: (np.log(x) / np.log(reference)) ** size,
    "fraction": lambda x, reference, size: 1.0 + size * (x - reference),
    "exponential": lambda x, reference, size: np.exp(size * (x - reference)),
    "shift": lambda x, reference, size: size * (x - reference),
}


@dataclass(frozen=True)
class Effect:
    """What some covariates do to some parameters, all in one form.

    Attributes
    ----------
    on : tuple of str
        Parameters that are multiplied by it (in the form ``"shift"``: to which it is added).
    form : {"power", "log power", "fraction", "exponential", "shift"}
    sizes : mapping of str to float
        By covariate.
    """

    on: tuple[str, ...]
    form: Form
    sizes: Mapping[str, float] = field(hash=False)

    def of(self, covariate: str, x: np.ndarray, reference: float) -> np.ndarray:
        """Give what a covariate at `x` multiplies by, or adds; of the shape of `x`."""
        return _FORMS[self.form](x, reference, self.sizes[covariate])


def checked(given: Covariates, reference: Mapping[str, float], model: str) -> dict[str, np.ndarray]:
    """Look whether covariates are known to a model, and possible.

    Parameters
    ----------
    given : mapping of str to float or ndarray
    reference : mapping of str to float
        Covariates that the model knows.
    model : str
        Its name, for messages.

    Returns
    -------
    dict of str to ndarray
        All that the model knows: those that are not given are the reference's.

    Raises
    ------
    OptionError
        If a covariate is unknown, or has a value that none has.
    """
    for name in given:
        if name not in reference:
            known = ", ".join(f"{k} ({COVARIATES[k].unit})" for k in reference) or "none"
            close = get_close_matches(name, reference, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise OptionError(f"{model} has no covariate {name!r}; known are {known}.{hint}")
    found = {name: np.asarray(given.get(name, x), np.float64) for name, x in reference.items()}
    for name in given:
        _check_values(COVARIATES[name], found[name], reference[name])
        needed = COVARIATES[name].needs
        if needed and needed in reference and np.any(found[name] > found[needed]):
            raise OptionError(f"Covariate {name!r} is 1 but {needed!r} is not; give both.")
    return found


def _check_values(one: Covariate, x: np.ndarray, reference: float) -> None:
    fits = np.isin(x, (0.0, 1.0)) if one.binary else (x >= one.low) & (x <= one.high)
    if not fits.all():
        span = "0 or 1" if one.binary else f"{one.low:g} to {one.high:g} {one.unit}"
        raise OptionError(
            f"Covariate {one.name!r} ({one.about}) is {x[~fits].flat[0]:g}; it must be {span}. "
            f"Leave it out for that of the reference patient, {reference:g}."
        )
