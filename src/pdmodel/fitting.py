"""The command line's part for a fit: begin, go on or refuse, and say what is kept of it."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from pdmodel import shell
from pdmodel.errors import DataError
from pdmodel.progress import shown
from pdmodel.writing import writing

if TYPE_CHECKING:
    from pdmodel.checkpoint import InFolder
    from pdmodel.data import Cohort
    from pdmodel.model import Model

Start = Literal["new", "overwrite", "resume"]


def start(*, overwrite: bool, resume: bool) -> Start:
    """Tell how a fit is to start, from two switches that exclude each other."""
    if overwrite and resume:
        raise typer.BadParameter(
            "--overwrite begins anew and --resume goes on; give one of them.",
            param_hint="'--resume'",
        )
    return "overwrite" if overwrite else "resume" if resume else "new"


def composed(
    cohort: "Cohort", sizes: Path, mechanism: str, residual: str, *, untreated: bool
) -> "Model":
    """Put a model together for a cohort, with the drugs that were given, and say what is fitted.

    Raises
    ------
    DataError
        If nobody was given a drug, and it was not said that this is so.
    """
    import pdmodel as pdm

    biology, scatter = pdm.mechanism(mechanism), pdm.residual(residual)
    typer.echo("\n".join(cohort.log.lines()))
    if not cohort.drugs and not untreated:
        raise DataError(
            f"Nobody in {sizes} was given a drug: add --doses TABLE, or --regimen "
            "'atezolizumab 1200 mg q3w', or --regimen none if nobody was treated."
        )
    model = pdm.Model(biology, tuple(map(pdm.drug, cohort.drugs)), scatter)
    own, shared = ([q.name for q in some] for some in (model.individual, model.shared))
    typer.echo(
        f"Fitting {mechanism} under {' + '.join(cohort.drugs) or 'no drug'} to {len(cohort)} "
        f"patients with {cohort.scans} scans: {', '.join(own)} of each; {', '.join(shared)} of all."
    )
    return model


def fit_into(
    output: Path, model: "Model", cohort: "Cohort", options: Mapping[str, Any], start: Start
) -> None:
    """Fit into a folder, keeping what is finished, and say whether the fit can be trusted."""
    import pdmodel as pdm
    from pdmodel.diagnose import diagnose
    from pdmodel.run import claim
    from pdmodel.unfinished import finished

    how = {"overwrite": start == "overwrite", "resume": start == "resume"}
    with writing(output), shell.no_empty(claim(output, **how)):
        if start == "resume" and finished(output, model, cohort, options):
            typer.echo(f"The fit in {output} is finished; nothing is to be done.")
            return
        with _kept(output, model, cohort, options, start) as checkpoints:
            with shown() as report:
                fitted = pdm.fit(model, cohort, **options, report=report, checkpoints=checkpoints)
            pdm.save(fitted, output)
    again = " since it went on" if checkpoints.resumed else ""
    typer.echo(f"Written to {output} after {fitted.manifest['seconds']['fit']:.0f} s{again}.")
    typer.echo("\n".join(diagnose(fitted).lines()))


@contextmanager
def _kept(
    output: Path, model: "Model", cohort: "Cohort", options: Mapping[str, Any], start: Start
) -> "Iterator[InFolder]":
    """Say what a fit goes on from, and what is kept of it where it does not finish."""
    from pdmodel.unfinished import kept_so_far, unfinished

    resume = start == "resume"
    if resume:
        before = kept_so_far(output)
        typer.echo(
            f"Going on: {before}." if before else f"Nothing to go on from in {output}; beginning."
        )
    try:
        with unfinished(
            output, model, cohort, options, resume=resume, tell=_warned()
        ) as checkpoints:
            yield checkpoints
    except BaseException:
        if left := kept_so_far(output):
            shell.complain(f"{left}. Go on with:\n  {again(sys.argv)}")
        raise


def _warned() -> Callable[[str], None]:
    return lambda line: shell.complain(f"Warning: {line}")


def again(argv: Sequence[str]) -> str:
    """Give the command that goes on, from the one that was typed."""
    words = [word for word in argv[1:] if word not in ("--overwrite", "--resume")]
    return shlex.join(["pdmodel", *words, "--resume"])
