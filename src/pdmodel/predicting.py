"""The command line's part for predictions: of whom, and of what they were or are to be given."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from pdmodel import asked
from pdmodel.errors import DataError
from pdmodel.progress import busy

if TYPE_CHECKING:
    from pdmodel.fit import Fit

LEAST = 4
"""Draws of the population that new patients need."""


class New(NamedTuple):
    """Tables of new patients, how to read them, and whether it was said that nobody was treated."""

    sizes: Path
    doses: Path | None
    how: dict[str, Any]
    untreated: bool


def asked_for(
    sizes: Path | None, doses: Path | None, regimen: list[str] | None, layout: str,
    arms: list[str] | None, size_kind: str | None, how: Mapping[str, Any],
) -> New | str | None:  # fmt: skip
    """Tell new patients, who have tables, from the fit's, who may be given another regimen.

    Returns
    -------
    New, or the regimen in words, or None
    """
    if sizes is not None:
        request = asked.request(regimen, layout, arms, size_kind, **how)
        return New(sizes, doses, request, asked.untreated(regimen))
    told = {"--doses": doses, "--arm": arms, "--size-kind": size_kind, "--unit": how["units"],
            "--evaluator": how["evaluator"], "--drug": how["drugs"], "--dv": how["dv"],
            "--format": layout != "long"}  # fmt: skip
    for option, value in told.items():
        if value:
            raise typer.BadParameter(
                "it is about tables of new patients; name theirs with --sizes.",
                param_hint=f"'{option}'",
            )
    if regimen and len(regimen) > 1:
        raise typer.BadParameter("give one for all.", param_hint="'--regimen'")
    return regimen[0] if regimen else None


def predict_into(
    output: Path, fit: "Fit", days: Sequence[float], whom: New | str | None,
    options: Mapping[str, Any], *, hide_ids: bool,
) -> None:  # fmt: skip
    """Predict sizes into a table, and say of how many patients under whose population."""
    from pdmodel.predict import predict
    from pdmodel.tables import write_table

    regimen = whom if isinstance(whom, str) else None
    if isinstance(whom, New):
        fit = _joined(fit, whom, options)
    with busy("Predicting"):
        table = predict(fit, days, regimen=regimen, **options)
    write_table(table, output, hide_ids=hide_ids)
    typer.echo(f"{len(table)} predictions written to {output}.")


def _joined(fit: "Fit", new: New, options: Mapping[str, Any]) -> "Fit":
    """Read new patients and give them a posterior."""
    from pdmodel import read_cohort
    from pdmodel.newcomers import joined

    cohort = read_cohort(new.sizes, doses=new.doses, **new.how)
    typer.echo("\n".join(cohort.log.lines()))
    if fit.model.drugs and not cohort.drugs and not new.untreated:
        raise DataError(
            f"Nobody in {new.sizes} was given a drug: add --doses TABLE, or --regimen "
            "'atezolizumab 1200 mg q3w', or --regimen none if nobody was treated."
        )
    with busy("Joining"):
        found = joined(fit, cohort, draws=max(options["draws"], LEAST), seed=options["seed"])
    typer.echo(
        f"{len(cohort)} new patients with {cohort.scans} scans, under the population that the fit "
        f"learnt from {len(fit.cohort)} patients."
    )
    return found
