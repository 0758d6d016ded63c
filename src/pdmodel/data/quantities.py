"""Units of the columns: declared by a column's name or by the caller, converted while read."""

from collections.abc import Mapping
from typing import NamedTuple

from pdmodel.data.cohort import Note
from pdmodel.data.table import Table, listed, meant, place, quoted, unusable
from pdmodel.units import DAYS, MG, MM, PER_KG, unit_named


class Quantity(NamedTuple):
    """What a column may hold, and in which units."""

    column: str
    """Name with the unit that the package counts in."""
    stem: str
    """The name before the unit."""
    units: Mapping[str, float]
    """Factors to that unit."""
    asked: str
    """Name under which a caller declares the unit."""


QUANTITIES = (
    Quantity("size_mm", "size", MM, "size"),
    Quantity("limit_mm", "limit", MM, "size"),
    Quantity("day", "", DAYS, "time"),
    Quantity("duration_day", "duration", DAYS, "duration"),
    Quantity("amount_mg", "amount", {**MG, PER_KG: 1.0}, "amount"),
)

DECLARED: Mapping[str, Mapping[str, float]] = {q.asked: q.units for q in QUANTITIES}
"""Units that a caller may declare, by what they are of."""


def checked_units(units: Mapping[str, str] | None) -> dict[str, str]:
    """Bring declared units into one spelling, or say which there are."""
    found = {}
    for what, unit in (units or {}).items():
        if what not in DECLARED:
            message = f"There is no unit of {quoted(what)} to declare; there is one of "
            raise unusable("unit", f"{message}{listed(DECLARED, 9)}.{meant(what, DECLARED)}")
        found[what] = unit_named(unit)
        if found[what] not in DECLARED[what]:
            message = f"There is no unit {quoted(unit)} of {what}; known are "
            raise unusable("unit", f"{message}{listed(DECLARED[what], 9)}.")
    return found


def in_own_units(table: Table, units: Mapping[str, str]) -> Table:
    """Give columns the names with the package's units, and note the factor that turns them.

    A column ``size_cm``, ``week`` or ``amount_g`` says its unit by its name; `units` says it for
    the columns ``size_mm``, ``day``, ``amount_mg`` and ``duration_day`` in its place.

    Parameters
    ----------
    table : Table
    units : mapping of str to str
        As `checked_units` gives them.

    Returns
    -------
    Table
        With `scales`, which `cells.numbers` multiplies by, and an info for every conversion.

    Raises
    ------
    UnusableError
        If a quantity stands in two columns, or a declared unit contradicts the column's name.
    """
    for quantity in QUANTITIES:
        table = _one(table, quantity, units.get(quantity.asked))
    return table


def _one(table: Table, quantity: Quantity, declared: str | None) -> Table:
    own = quantity.column in table.columns
    named = {quantity.column: ""} if own else _named(table, quantity)
    if len(named) > 1:
        message = f"columns {listed(named)} hold the same; keep one of them."
        raise unusable("unit-twice", message, table.file)
    if not named:
        return table
    ((column, unit),) = named.items()
    if unit and declared and unit != declared:
        message = f"column {quoted(column)} says {unit}, but {declared} was declared; correct one."
        raise unusable("unit-against-name", message, table.file)
    unit = unit or declared or ""
    factor = quantity.units.get(unit, 1.0)
    table = _renamed(table, column, quantity.column)
    own = quantity.column.rpartition("_")[2]
    if unit in ("", own):
        return table
    if unit == PER_KG:
        message = f"{place(table.file, column=column)}: {unit}, times the patient's weight."
        note = Note("info", "converted", message, 0, table.file, None, column)
        return table._replace(notes=(*table.notes, note), per_kg=True)
    message = (
        f"{place(table.file, column=column)}: {unit}, converted to {own} (times {factor:.6g})."
    )
    note = Note("info", "converted", message, 0, table.file, None, column)
    scales = {**table.scales, quantity.column: factor}
    return table._replace(scales=scales, notes=(*table.notes, note))


def _named(table: Table, quantity: Quantity) -> dict[str, str]:
    """Find columns such as size_cm, with the unit that each says."""
    found = {}
    for column in table.columns:
        name = column.lower()
        stem, _, unit = name.partition("_") if quantity.stem else ("", "", name)
        if stem == quantity.stem and unit_named(unit) in quantity.units:
            found[column] = unit_named(unit)
    return {c: unit for c, unit in found.items() if c.lower() != quantity.column}


def _renamed(table: Table, old: str, new: str) -> Table:
    if old == new:
        return table
    frame = table.frame.rename(columns={old: new})
    return table._replace(frame=frame, names={**table.names, new: old})
