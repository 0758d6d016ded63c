"""The package counts in days, mm, mg and mg/L; whatever comes in other units is converted here."""

DAYS_PER_WEEK = 7.0
DAYS_PER_YEAR = 365.25
DAYS_PER_MONTH = DAYS_PER_YEAR / 12.0
HOURS_PER_DAY = 24.0
MINUTES_PER_DAY = 1440.0
IGG_KDA = 149.0
"""Molar mass of an IgG antibody, kDa: 1 mg/L is 1000 / 149 = 6.71 nM."""


def per_day(per_week: float) -> float:
    """Convert a rate per week to a rate per day."""
    return per_week / DAYS_PER_WEEK


def mg_per_litre(nanomolar: float) -> float:
    """Convert an antibody concentration from nM to mg/L, at 149 kDa."""
    return nanomolar * IGG_KDA / 1000.0
