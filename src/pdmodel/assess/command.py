"""What the command `pdmodel response` does: read, judge, write, and say how many of what."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from pdmodel.assess.cases import read_cases
from pdmodel.assess.clinical import agreement
from pdmodel.assess.tables import RESPONSES, counts, patient_table, robust_counts, scan_table
from pdmodel.errors import OptionError
from pdmodel.response import CLASSES, NO_TARGET_STABLE, RULES, rule_named
from pdmodel.tables import write_table

WIDE = 200
"""Columns of a summary that is not on a terminal, so that no name is cut."""


def respond(
    sizes: Path,
    doses: Path | None,
    output: Path,
    patients: Path | None,
    *,
    rule: str,
    compare: Sequence[str] | None,
    robustness: bool,
    hide_ids: bool,
    **options: Any,
) -> None:
    """Write the tables of response, and print their counts by arm.

    Parameters
    ----------
    sizes, doses, output, patients : Path
        Tables to read; CSV to write, one row a scan; CSV with one row a patient. The second and
        the last may be None.
    rule : str
        Of `pdmodel.response.RULES`, for responses, times and the class.
    compare : sequence of str, optional
        Rules to compare labels under; all where none is named.
    robustness : bool
        Whether to print on how many labels how many rules agree.
    hide_ids : bool
        Whether to write numbers in place of ids.
    **options
        Of `pdmodel.read_cohort`.
    """
    if patients is not None and patients.resolve() == output.resolve():
        raise OptionError(f"{output} cannot be both tables; give --patients another file.")
    chosen, rules = rule_named(rule), {name: rule_named(name) for name in compare or RULES}
    read = read_cases(sizes, doses=doses, **options)
    scans = scan_table(read.cases, chosen)
    table = patient_table(read.cases, chosen, rules)
    write_table(scans, output, hide_ids=hide_ids)
    if patients is not None:
        write_table(table, patients, hide_ids=hide_ids)
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDE
    for line in read.log.lines():
        console.print(line, markup=False, highlight=False)
    best = counts(table, "best_confirmed", RESPONSES)
    if not best[NO_TARGET_STABLE].any():
        best = best.drop(columns=NO_TARGET_STABLE)
    classes = counts(table, "class", [str(label) for label in CLASSES])
    _show(console, "Best confirmed response (RECIST 1.1), patients", best)
    _show(console, f"Class of resistance under {rule}, patients", classes)
    for line in agreement(scans):
        console.print(line, markup=False, highlight=False)
    if robustness:
        title = f"Label, and share of {len(rules)} rules that agree on it, patients"
        _show(console, title, robust_counts(table))
    written = [output] if patients is None else [output, patients]
    console.print(f"Written to {' and '.join(map(str, written))}.", markup=False, highlight=False)


def _show(console: Console, title: str, table: pd.DataFrame) -> None:
    shown = Table(title=title, title_justify="left")
    shown.add_column(str(table.index.name), overflow="fold")
    for name in table.columns:
        shown.add_column(str(name).replace("_", " "), justify="right")
    for name, row in table.iterrows():
        shown.add_row(_plain(name), *map(str, row))
    console.print(shown)


def _plain(name: object) -> str:
    """Keep brackets in a name from being read as markup."""
    return str(name).replace("[", r"\[")
