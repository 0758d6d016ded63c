"""The command line's part for what people look at: plots and the report."""

from collections.abc import Mapping
from inspect import signature
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pdmodel import shell, startup
from pdmodel.errors import DataError, OptionError
from pdmodel.progress import busy

if TYPE_CHECKING:
    import pandas as pd

    from pdmodel.data import Cohort

PICTURES = (".png", ".svg", ".pdf")

Kind = Annotated[
    Literal[
        "patient", "history", "spider", "waterfall", "swimmer", "timeline", "km", "ppc", "vpc",
        "pcvpc", "pit", "loo-pit", "npde", "trace", "prior", "pairs", "khat", "classes", "triangle",
        "attribution", "rescue", "regimens", "arms", "sbc",
    ],
    typer.Argument(metavar="KIND", help="What to draw."),
]  # fmt: skip
Picture = Annotated[
    Path | None, typer.Option("-o", "--output", help="File to write: .png, .svg or .pdf.")
]
Whom = Annotated[str | None, typer.Option("--patient", help="Whom to draw.")]
Given = Annotated[
    Path | None,
    typer.Option(
        "--table",
        help="What to draw, where it is not made anew: a table of 'pdmodel attribute' or 'rescue', "
        "of schedules compared, or the file of ranks for 'sbc'.",
    ),
]
Arms = Annotated[
    list[str] | None,
    typer.Option("--arm", help="What to compare (arms, regimens); repeat for more, as 'simulate'."),
]
PageNumber = Annotated[
    int | None, typer.Option("--page", min=1, help="Which page, where patients fill several.")
]
Page = Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")]
Pdf = Annotated[bool, typer.Option("--pdf", help="Print it as PDF too, by a Chromium.")]
Question = Annotated[
    str | None, typer.Option(help="Question of interest, for the section on credibility.")
]
Context = Annotated[
    str | None, typer.Option(help="Context of use of the model, for the same section.")
]


def plot(
    run: shell.Run, kind: Kind, output: Picture = None, patient: Whom = None,
    table: Given = None, arm: Arms = None, page: PageNumber = None,
    hide_ids: shell.HideIds = False, overwrite: shell.Overwrite = False,
) -> None:  # fmt: skip
    """Draw a plot, into the folder of the run if no file is named."""
    if output is not None:
        shell.free(output, PICTURES, overwrite=overwrite)
    startup.float64()
    from pdmodel.plot import KINDS
    from pdmodel.run import whole

    takes = signature(KINDS[kind]).parameters
    options: dict[str, Any] = {"patient": patient, "table": table, "arms": arm, "page_number": page}
    options = {name: one for name, one in options.items() if one}
    for name in options:
        if name not in takes:
            raise OptionError(_refusal(kind, name))
    if table is not None:
        options["table"] = _read(kind, table)
    if "hide_ids" in takes:  # other kinds name nobody
        options["hide_ids"] = hide_ids
    fitted = startup.fitted(run)
    if table is not None:
        _of_the_run(options["table"], table, run, fitted.cohort)
    with busy("Drawing"):
        figure = KINDS[kind](fitted, **options)
    path = output or run / "plots" / f"{kind}.png"
    picture = BytesIO()
    figure.savefig(picture, format=path.suffix[1:].lower())
    if output is None:
        path.parent.mkdir(exist_ok=True)
    whole(path, picture.getvalue())
    typer.echo(f"Drawn into {path}.")


def report(
    run: shell.Run, output: Page, question: Question = None, context: Context = None,
    pdf: Pdf = False, hide_ids: shell.HideIds = False, overwrite: shell.Overwrite = False,
) -> None:  # fmt: skip
    """Write a report for people: one page that needs nothing else.

    With --pdf, the same printed beside it.
    """
    shell.free(output, (".html",), overwrite=overwrite)
    printed = output.with_suffix(".pdf")
    if pdf:
        shell.free(printed, (".pdf",), overwrite=overwrite)
    from pdmodel.report.printed import chromium, print_page

    program = chromium() if pdf else None
    fitted = startup.fitted(run)
    from pdmodel.report import write_report

    with busy("Drawing and writing"):
        write_report(fitted, output, question=question, context=context, hide_ids=hide_ids)
    typer.echo(f"Written to {output}.")
    if program:
        with busy("Printing"):
            print_page(output, printed, program)
        typer.echo(f"Printed to {printed}.")


def _refusal(kind: str, name: str) -> str:
    if name == "patient":
        return f"The plot {kind!r} is of all patients; leave --patient out."
    option = {"table": "--table", "arms": "--arm", "page_number": "--page"}[name]
    return f"The plot {kind!r} takes no {option}; leave it out."


def _of_the_run(table: "pd.DataFrame", path: Path, run: Path, cohort: "Cohort") -> None:
    """Refuse a table of other patients; where ids are hidden only their number can tell."""
    if "patient_id" not in table:
        return
    here = {(patient.study, patient.id) for patient in cohort}
    named = dict.fromkeys(zip(table["study"].fillna(""), table["patient_id"], strict=True))
    strange = [name for study, name in named if (study, name) not in here]
    hidden = all(name.isdecimal() and 0 < int(name) <= len(cohort) for _, name in named)
    if strange and not hidden:
        raise DataError(
            f"{path}: {len(strange)} of {len(named)} patients are not in {run}, first "
            f"{strange[0]!r}; give a table that was made from this run."
        )


def _read(kind: str, path: Path) -> "pd.DataFrame":
    """Read what a kind is drawn of."""
    from pdmodel.attribution import COLUMNS as ATTRIBUTED
    from pdmodel.simulate.decide import COLUMNS as COMPARED
    from pdmodel.simulate.rescue import COLUMNS as RESCUED
    from pdmodel.tables import read_ranks, read_table

    tables: Mapping[str, tuple[tuple[str, ...], str]] = {
        "attribution": (ATTRIBUTED, "'pdmodel attribute'"),
        "rescue": (RESCUED, "'pdmodel rescue'"),
        "regimens": (COMPARED, "pdmodel.simulate.decide.search"),
    }
    if kind in tables:
        columns, command = tables[kind]
        return read_table(path, columns, command)
    if kind != "sbc":
        raise OptionError(f"The plot {kind!r} takes a table in Python only; leave --table out.")
    return read_ranks(path)
