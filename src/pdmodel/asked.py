"""From what was typed to what functions take: several options that belong together."""

from math import isfinite
from typing import Any

import typer

from pdmodel.shell import CENTURY

EVERY_DAYS = 7.0
"""Between two predictions, where only the last day is given."""
NO_DRUG = "none"


def request(
    regimens: list[str] | None,
    layout: str,
    arms: list[str] | None,
    size_kind: str | None,
    *,
    units: list[str] | None = None,
    evaluator: str | None = None,
    drugs: list[str] | None = None,
    dv: str | None = None,
) -> dict[str, Any]:
    """Turn options into arguments of `pdmodel.read_cohort`."""
    from pdmodel import library

    texts = regimens or []
    pairs = [text.rpartition("=") for text in texts if "=" in text]
    by_arm = {arm.strip(): given for arm, _, given in pairs}
    if len(texts) > max(len(by_arm), 1):
        raise typer.BadParameter(
            "give one for all, or one ARM=... for each arm.", param_hint="'--regimen'"
        )
    return {
        "regimen": by_arm or (texts[0] if texts else None),
        "format": layout,
        "arms": tuple(arms or ()),
        "size_kind": size_kind,
        "labelled": library.labelled(),
        "known_drugs": library.names("drug"),
        "units": _pairs(units, "--unit", "size=cm"),
        "evaluator": evaluator,
        "drug": _drug(drugs),
        "dv": dv,
    }


def _pairs(texts: list[str] | None, option: str, example: str) -> dict[str, str]:
    """Split NAME=VALUE; each name may occur once."""
    pairs = [text.partition("=") for text in texts or ()]
    found = {name.strip(): value.strip() for name, _, value in pairs}
    if len(found) < len(pairs) or not all(name and mark and value for name, mark, value in pairs):
        raise typer.BadParameter(f"write {example}, each name once.", param_hint=f"'{option}'")
    return found


def influences(texts: list[str] | None) -> dict[str, list[str]]:
    """Covariates by the parameter that they move, from PARAMETER:COLUMN."""
    found: dict[str, list[str]] = {}
    for text in texts or ():
        name, mark, column = (part.strip() for part in text.partition(":"))
        if not (name and mark and column) or column in found.get(name, ()):
            raise typer.BadParameter(
                "write PARAMETER:COLUMN, as kill:tmb, each pair once.", param_hint="'--covariate'"
            )
        found.setdefault(name, []).append(column)
    return found


def _drug(drugs: list[str] | None) -> str | dict[str, str] | None:
    """One drug of all doses, or one for each compartment."""
    if drugs and len(drugs) == 1 and "=" not in drugs[0]:
        return drugs[0]
    return _pairs(drugs, "--drug", "2=nivolumab, or one drug alone") or None


def untreated(regimens: list[str] | None) -> bool:
    """Whether it was said that nobody was given a drug."""
    given = [text.rpartition("=")[2].strip().lower() for text in regimens or ()]
    return set(given) == {NO_DRUG}


def days_listed(days: str | None, until: float | None) -> list[float]:
    """Days to predict: those listed, or every week and the last."""
    if until is not None and days is None:
        return [EVERY_DAYS * k for k in range(int(until // EVERY_DAYS) + 1)] + [until]
    if days is None or until is not None:
        raise typer.BadParameter("give either --days or --until.", param_hint="'--days'")
    try:
        listed = [float(day) for day in days.split(",")]
    except ValueError:
        listed = []
    if not listed or not all(isfinite(day) and abs(day) <= CENTURY for day in listed):
        raise typer.BadParameter(
            f"write days, as 42,84,126, none beyond {CENTURY:g}.", param_hint="'--days'"
        )
    return listed
