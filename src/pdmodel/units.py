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


MM = {"mm": 1.0, "cm": 10.0, "dm": 100.0, "m": 1000.0}
"""Lengths in mm, by unit."""

DAYS = {
    "day": 1.0,
    "week": DAYS_PER_WEEK,
    "month": DAYS_PER_MONTH,
    "year": DAYS_PER_YEAR,
    "hour": 1.0 / HOURS_PER_DAY,
    "min": 1.0 / MINUTES_PER_DAY,
}
"""Times in days, by unit."""

MG = {"mg": 1.0, "g": 1000.0, "ug": 0.001}
"""Amounts in mg, by unit."""

PER_KG = "mg/kg"
"""Unit of an amount for each kg of body weight, mg."""

ALIASES = {
    "millimeter": "mm",
    "millimetre": "mm",
    "centimeter": "cm",
    "centimetre": "cm",
    "d": "day",
    "days": "day",
    "w": "week",
    "wk": "week",
    "weeks": "week",
    "months": "month",
    "years": "year",
    "h": "hour",
    "hr": "hour",
    "hours": "hour",
    "minute": "min",
    "minutes": "min",
    "mcg": "ug",
    "µg": "ug",
    "μg": "ug",
    "gram": "g",
    "milligram": "mg",
    "mg_per_kg": "mg/kg",
    "mg per kg": "mg/kg",
}
"""Other spellings of units."""


def unit_named(text: str) -> str:
    """Bring the name of a unit into the spelling of the tables above; unknown ones stay.

    Examples
    --------
    >>> unit_named(" Weeks"), unit_named("MG/KG"), unit_named("furlong")
    ('week', 'mg/kg', 'furlong')
    """
    plain = " ".join(text.lower().split())
    return ALIASES.get(plain, plain)
