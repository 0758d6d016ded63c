"""The command line's part for comparisons: a table of models on sizes, or runs side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pdmodel import asked, shell, startup
from pdmodel.progress import busy, shown
from pdmodel.writing import writing

if TYPE_CHECKING:
    import pandas as pd

    from pdmodel.data import Cohort

TABLES = ("scores.csv", "summary.csv", "differences.csv")
"""What is written into the folder: of each scan, of each model, and of each two models."""

Compared = Annotated[
    list[Path],
    typer.Argument(
        metavar="SIZES | RUN RUN ...",
        help="A table of sizes, or two or more folders that 'pdmodel fit' wrote.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", help="MECHANISM:RESIDUAL, as stein_fojo:walk; may be repeated; or else eleven."
    ),
]
Designs = Annotated[
    list[str] | None,
    typer.Option(
        "--design",
        help="Scans to hold out: last1, last3, day60, day100, day150; may be repeated; or else "
        "all five.",
    ),
]
Folds = Annotated[int, typer.Option("--fold", min=2, help="Folds of patients.")]
PatientDraws = Annotated[int, typer.Option(min=4, help="Draws of each patient forecast.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Folder to write (SIZES).")]
Anew = Annotated[bool, typer.Option("--overwrite", help="Make scores that are there anew.")]
Again = Annotated[
    bool,
    typer.Option(
        "--refit",
        help="Fit RUNs again without each patient whose weights cannot be trusted (Pareto k).",
    ),
]
How = Annotated[Literal["quick", "nuts"], typer.Option(help="How models are fitted.")]


def compare(
    what: Compared, output: Output = None, doses: shell.Doses = None,
    regimen: shell.Regimens = None, layout: shell.Layout = "long", arm: shell.Arms = None,
    size_kind: shell.SizeKind = None, model: Models = None, design: Designs = None,
    fold: Folds = 5, method: How = "quick", draws: PatientDraws = 400, seed: shell.Seed = 1,
    hide_ids: shell.HideIds = False, overwrite: Anew = False, refit: Again = False,
) -> None:  # fmt: skip
    """Tell which model forecasts best.

    Of SIZES, all models are fitted to some patients and forecast held-out scans of the others;
    what is finished is kept in the folder, and the same command goes on from there. RUNs of one
    table are compared by leaving out one patient at a time.
    """
    startup.float64()
    if len(what) > 1:
        _runs(what, refit=refit)
        return
    if refit:
        raise typer.BadParameter(
            "it is of RUNs; a table is compared by folds.", param_hint="'--refit'"
        )
    if (what[0] / "manifest.json").is_file():
        raise typer.BadParameter("give two runs or more, or one table.", param_hint="'RUN'")
    if output is None:
        raise typer.BadParameter("a comparison on sizes needs a folder: -o DIR.", param_hint="'-o'")
    import pdmodel as pdm
    from pdmodel.compare import DESIGNS, MODELS, Plan

    cohort = pdm.read_cohort(what[0], doses=doses, **asked.request(regimen, layout, arm, size_kind))
    typer.echo("\n".join(cohort.log.lines()))
    plan = Plan(
        tuple(model or MODELS), tuple(design or DESIGNS), fold, seed, draws, {"method": method}
    )
    how = {"hide_ids": hide_ids, "overwrite": overwrite}
    with writing(output):
        typer.echo("\n".join([*_table(cohort, plan, output, **how), f"Written to {output}."]))


def _table(
    cohort: "Cohort", plan: Any, output: Path, *, hide_ids: bool, overwrite: bool
) -> list[str]:
    """Score all, write the tables, and say them in lines."""
    from pdmodel.compare import NULLS, differences, held_out, summary
    from pdmodel.compare.kept import taken
    from pdmodel.compare.tables import doubts, lines
    from pdmodel.tables import write_table

    with shell.no_empty(taken(output, overwrite=overwrite)):
        scores = held_out(cohort, plan, output, tell=shell.complain, watch=shown)
    summed, pairs = (part(scores, seed=plan.seed) for part in (summary, differences))
    named = _with_ids(scores, cohort)
    for name, table in zip(TABLES, (named, summed, pairs), strict=True):
        write_table(table, output / name, hide_ids=hide_ids and table is named)
    return [*lines(summed, pairs, NULLS), *(f"Beware: {one}" for one in doubts(scores))]


def _with_ids(scores: "pd.DataFrame", cohort: "Cohort") -> "pd.DataFrame":
    """Give ids and studies in place of keys."""
    known = {patient.key: patient for patient in cohort}
    out = scores.drop(columns="patient")
    out.insert(0, "patient_id", [known[key].id for key in scores["patient"]])
    out.insert(1, "study", [known[key].study for key in scores["patient"]])
    return out


def _runs(folders: list[Path], *, refit: bool) -> None:
    """Say how runs compare."""
    from pdmodel.compare import side_by_side
    from pdmodel.compare.runs import lines

    if len(set(folders)) < len(folders):
        raise typer.BadParameter("a run stands twice; name each once.", param_hint="'RUN'")
    fits = {str(folder): startup.fitted(folder) for folder in folders}
    with shown() if refit else busy("Leaving out patients") as report:
        again = {"refit": True, "report": report} if refit else {}
        table, patients = side_by_side(fits, **again)
    typer.echo("\n".join(lines(table, patients)))
