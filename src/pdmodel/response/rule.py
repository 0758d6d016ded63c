"""Every threshold of response and resistance in one frozen rule, and the published rules by name.

Sources are quoted by a letter: R, RECIST 1.1 (10.1016/j.ejca.2008.10.026); I, iRECIST
(10.1016/S1470-2045(17)30074-8); S, SITC 2020 for monotherapy (10.1136/jitc-2019-000398, Table 1);
C, SITC 2023 for combinations with chemotherapy (10.1136/jitc-2022-005920, Table 3); N, acquired
resistance in lung cancer (10.1016/j.annonc.2021.08.2151); J, a melanoma cohort that applied S (JITC
2021, jitc.bmj.com/highwire/markup/34998).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from pdmodel.errors import OptionError

RESPONSES = ("CR", "PR", "SD", "PD")
CR, PR, SD, PD = range(4)
SLACK = 1e-9  # relative; floats this close to a threshold have reached it


class ResistanceClass(StrEnum):
    """What a course under treatment is called, in the order of `CLASSES`."""

    PRIMARY = "primary"
    ACQUIRED = "acquired"
    EARLY_LOSS = "early_loss"
    DURABLE = "durable"
    NOT_DETERMINABLE = "not_determinable"


CLASSES = tuple(ResistanceClass)


@dataclass(frozen=True)
class Rule:
    """Every threshold of a response and resistance rule; a variant is a `dataclasses.replace`.

    Attributes
    ----------
    name : str
        Name under which results quote the rule.
    partial_response, progression, progression_mm : float
        Relative change that is PR, from baseline, or PD, from the nadir, reached at equality, and
        growth over the nadir (mm) that PD needs as well (R).
    disappeared_mm : float
        Sizes up to this (mm) are one bin, gone or too small to measure: they are CR, and this size
        in the nadir, so that a lesion is back (PD) at 10 mm. This project's choice for tables that
        do not tell the two apart. With 0, as in R, only 0 is gone, and any size after 0 is PD.
    back_is_progression : bool
        Whether a lesion seen again after CR is PD whatever its size (R).
    node_mm, too_small_mm : float
        Short axis (mm) below which a node is no disease, and size that a lesion too small to
        measure counts with (R).
    criteria : {"recist", "irecist"}
        Whether progression is PD (R), or iCPD dated by the iUPD that it confirms (I).
    further_mm : float
        Growth (mm) after iUPD, of targets or of new lesions, that confirms it (I).
    needs_confirmation, confirm_after_day : bool, float
        Whether PD counts only if it stands on every scan for that many days: four weeks (S). PD
        that reverses is then pseudoprogression; PD without such a later scan is left open. Under
        "irecist" iUPD is confirmed no sooner than that (four to eight weeks, I).
    response_needs_confirmation, response_confirm_after_day : bool, float
        Whether a response counts for the class only if confirmed, and days until a scan confirms
        it: four weeks (R).
    missed_allowed : int
        Assessments in a row that may be missing or not evaluable between a response and its
        confirmation, and before a progression or death that is to count as an event.
    stable_after_day : float
        Day before which SD is no best response: a protocol's choice (R), here six weeks.
    visit_interval_day : float, optional
        Days from one planned assessment to the next, so that visits never made count as missed.
    primary_before_day, durable_at_day : float
        Progression before the first day is early: six months (S). None up to the second is
        durable: 12 months, this project's choice.
    minimum_exposure_day, acquired_exposure_day : float, float or None
        Least exposure (days) for resistance, six weeks (S), and for acquired resistance, six
        months (S); None is the same as `primary_before_day`.
    cycle_day : float
        Days that the last dose covers where the patient's own interval is not known: exposure ends
        with the cycle of the last dose. Three weeks, the commonest interval.
    off_treatment_after_day : float
        Most days from the last dose to a progression under treatment: 12 weeks (J), six months (N).
    early_loss : {"early_loss", "primary", "acquired"}
        Class of a response lost early: one of its own, as S puts it nowhere; primary (C, J);
        acquired (N).
    stable_is_control : bool
        Whether late progression after stable disease, without a response, is acquired (S); where
        not (N), it is left open.
    """

    name: str
    partial_response: float = -0.30
    progression: float = 0.20
    progression_mm: float = 5.0
    disappeared_mm: float = 5.0
    back_is_progression: bool = False
    node_mm: float = 10.0
    too_small_mm: float = 5.0
    criteria: Literal["recist", "irecist"] = "recist"
    further_mm: float = 5.0
    needs_confirmation: bool = False
    confirm_after_day: float = 28
    response_needs_confirmation: bool = False
    response_confirm_after_day: float = 28
    missed_allowed: int = 1
    stable_after_day: float = 42
    visit_interval_day: float | None = None
    primary_before_day: float = 182
    durable_at_day: float = 365
    minimum_exposure_day: float = 42
    acquired_exposure_day: float | None = None
    cycle_day: float = 21
    off_treatment_after_day: float = 84
    early_loss: Literal["early_loss", "primary", "acquired"] = "early_loss"
    stable_is_control: bool = True

    def __post_init__(self) -> None:
        least = (self.progression_mm, self.disappeared_mm, self.node_mm, self.too_small_mm)
        if not -1 < self.partial_response < 0 < self.progression or min(least) < 0:
            raise ValueError(f"{self} needs -1 < partial_response < 0 < progression, and mm >= 0.")
        if self.criteria not in ("recist", "irecist"):
            raise ValueError(f"{self} has criteria {self.criteria!r}; write 'recist' or 'irecist'.")
        if self.early_loss not in ("early_loss", "primary", "acquired"):
            raise ValueError(
                f"{self} has early_loss {self.early_loss!r}; write 'early_loss', 'primary' or "
                "'acquired'."
            )
        if self.visit_interval_day is not None and not self.visit_interval_day > 0:
            raise ValueError(f"{self} needs visit_interval_day > 0, or None.")

    @property
    def late_exposure_day(self) -> float:
        """Exposure (days) that acquired resistance needs."""
        own = self.acquired_exposure_day
        return self.primary_before_day if own is None else own


# sitc2020 is for noise-free courses, which need no second look; scans take sitc2020_confirmed.
# Under C early is <= 6 months, whatever came before. Of the tables for combinations of checkpoint
# inhibitors (10.1136/jitc-2022-005921) and with targeted drugs (10.1136/jitc-2022-005923) this
# project has no text; they are not among the rules.
RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("sitc2020"),
        Rule("sitc2020_confirmed", needs_confirmation=True),
        Rule("sitc2020_irecist", criteria="irecist"),
        Rule("sitc2020_day90", primary_before_day=90),
        Rule("sitc2023_chemo", primary_before_day=183, early_loss="primary"),
        Rule(
            "schoenfeld2021",
            minimum_exposure_day=0,
            acquired_exposure_day=0,
            off_treatment_after_day=182,
            early_loss="acquired",
            stable_is_control=False,
        ),
        Rule("jitc2021", primary_before_day=180, early_loss="primary"),
    )
}


def rule_named(name: str) -> Rule:
    """Find a rule of `RULES`; OptionError says which there are."""
    if name not in RULES:
        raise OptionError(f"There is no rule {name!r}; known are {sorted(RULES)}.")
    return RULES[name]


def strict(rule: Rule) -> Rule:
    """Take RECIST's own measures: only 0 is gone, and a lesion seen again after CR is PD.

    For tables that tell a lesion that is gone from one that is too small to measure.
    """
    return replace(rule, disappeared_mm=0.0, back_is_progression=True)
