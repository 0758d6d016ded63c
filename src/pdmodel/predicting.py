"""The command line's part for predictions: of whom, given what, of which days or a landmark."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from pdmodel import asked
from pdmodel.errors import DataError
from pdmodel.progress import busy, shown

if TYPE_CHECKING:
    from pdmodel.data import Cohort
    from pdmodel.fit import Fit

LEAST = 4
"""Draws that new patients need."""


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


def _read(fit: "Fit", new: New) -> "Cohort":
    """Read new patients, and say what was read."""
    from pdmodel import read_cohort

    cohort = read_cohort(new.sizes, doses=new.doses, **new.how)
    typer.echo("\n".join(cohort.log.lines()))
    if fit.model.drugs and not cohort.drugs and not new.untreated:
        raise DataError(
            f"Nobody in {new.sizes} was given a drug: add --doses TABLE, or --regimen "
            "'atezolizumab 1200 mg q3w', or --regimen none if nobody was treated."
        )
    return cohort


def _joined(fit: "Fit", new: New, options: Mapping[str, Any]) -> "Fit":
    """Read new patients and give them a posterior."""
    from pdmodel.newcomers import joined

    cohort = _read(fit, new)
    with busy("Joining"):
        found = joined(fit, cohort, draws=max(options["draws"], LEAST), seed=options["seed"])
    typer.echo(
        f"{len(cohort)} new patients with {cohort.scans} scans, under the population that the fit "
        f"learnt from {len(fit.cohort)} patients."
    )
    return found


def refused_with_landmark(
    days: str | None, until: float | None, patients: Any, whom: Any, fold: int | None
) -> None:
    """Refuse what has no meaning beside a landmark."""
    if fold is not None and isinstance(whom, New):
        raise typer.BadParameter(
            "folds are of the fit's patients; new ones (--sizes) were in no fit. Leave one out.",
            param_hint="'--fold'",
        )
    instead = whom if isinstance(whom, str) else None
    told = {"--days": days, "--until": until, "--patient": patients, "--regimen": instead}
    for option, value in told.items():
        if value is not None and value != []:
            raise typer.BadParameter(
                "it does not go with --landmark, which forecasts all patients by the next scan, 6 "
                "and 12 months, under what they are given; leave one of them out.",
                param_hint=f"'{option}'",
            )


def figures_beside(output: Path) -> Path:
    """Path of the table of figures beside that of the forecasts."""
    return output.with_name(f"{output.stem}_figures.csv")


def landmark_into(
    output: Path, fit: "Fit", day: float, whom: New | None,
    options: Mapping[str, Any], *, hide_ids: bool,
) -> None:  # fmt: skip
    """Forecast from a landmark into a table, and say how good it was."""
    from pdmodel.landmark import figures, forecasts, forecasts_by_folds, happened, lines
    from pdmodel.tables import write_table

    cohort = None if whom is None else _read(fit, whom)
    how = {"draws": max(options["draws"], LEAST), "seed": options["seed"]}
    if options["fold"] is not None:
        with shown() as report:
            table = forecasts_by_folds(fit, day, folds=options["fold"], report=report, **how)
    else:
        with busy("Forecasting"):
            table = forecasts(fit, day, cohort, **how)
    found = figures(table, happened(fit.cohort, day), seed=options["seed"])
    write_table(table, output, hide_ids=hide_ids)
    write_table(found, figures_beside(output))
    typer.echo("\n".join(lines(table, found, len(fit.cohort))))
    typer.echo(f"Written to {output} and {figures_beside(output)}.")
