"""What the page says: each class, each rule, and what the numbers mean, in plain words."""

from collections.abc import Mapping

CLASSES: Mapping[str, tuple[str, str]] = {
    "primary": ("Primary resistance", "the disease grows early, without a response before"),
    "acquired": ("Acquired resistance", "it grows late, after a response or six stable months"),
    "early_loss": ("Response lost early", "it shrinks, and grows again within six months"),
    "durable": ("Durable control", "no progression for a year or more"),
    "not_determinable": ("Not determinable", "too short or too little to tell"),
}
"""Name and meaning, by class."""

RULES: Mapping[str, str] = {
    "sitc2020": "SITC 2020",
    "sitc2020_confirmed": "SITC 2020, progression confirmed by a second scan",
    "sitc2020_irecist": "SITC 2020, progression by iRECIST",
    "sitc2020_day90": "SITC 2020, early means before day 90",
    "sitc2023_chemo": "SITC 2023, with chemotherapy",
    "schoenfeld2021": "Schoenfeld 2021 (lung cancer)",
    "jitc2021": "JITC 2021 (a melanoma cohort)",
}
HORIZONS: Mapping[str, str] = {
    "182": "day 182 (6 months)",
    "365": "day 365 (1 year)",
    "545": "day 545 (18 months)",
    "730": "day 730 (2 years)",
    "1095": "day 1095 (3 years)",
}
FORMATS: Mapping[str, str] = {
    "long": "one row a scan (patient_id, day, size_mm)",
    "laleh2022": "the public workbook of 2022 (laleh2022)",
    "nonmem": "NONMEM",
    "sdtm": "SDTM (TR, and TU, RS, EX beside it)",
    "adam": "ADaM (ADTR, and ADSL, ADRS beside it)",
}
NOT_A_DEVICE = "Research software, no medical device: no treatment should be chosen by it."
SATURATED = (
    "Antibodies at labelled doses block their target almost wholly, so that more adds little; see "
    "the lower panel."
)
FROM_TABLE = "Doses came from a table: none is assumed after the last one in it, day {day:g}."
HINDSIGHT = (
    "The forecast uses the first {known} scans of this patient and what the fit learnt of all "
    "patients, this one's later scans among them. Doses are those that were given later too."
)
ASSUMED = (
    "What {drug} adds was not learnt from these data. It rests on what is assumed of: {about}."
)
SAME = "What {drug} does has no unknown of its own here: its strength is assumed, see its source."
