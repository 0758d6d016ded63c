"""What the commands have in common: options, where they may write, how they answer mistakes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from pdmodel.errors import PdmodelError, RunError

UNFIT, INTERRUPTED, TERMINATED = 1, 130, 143
"""Exit codes, beside 0 for done and 2 for wrong usage."""
CENTURY = 36525.0
"""The last day that may be asked for, as in tables."""
LARGEST_SEED = 2**32 - 1
WORDING = "Value error, "
"""What Typer's messages about a choice begin with."""


class Terminated(KeyboardInterrupt):  # as its base
    """The system asked the program to end (SIGTERM), as Ctrl-C does."""


class Shell(TyperGroup):
    """Commands that answer a mistake with a line on stderr and an exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        for stream in (sys.stdout, sys.stderr):
            if reconfigure := getattr(stream, "reconfigure", None):
                reconfigure(errors="replace")  # where a terminal lacks a character
        try:
            return super().invoke(ctx)
        except typer.BadParameter as problem:
            problem.message = problem.message.removeprefix(WORDING)
            raise
        except KeyboardInterrupt as stop:
            complain("Interrupted; what was not finished was not written.")
            ended = isinstance(stop, Terminated)
            raise typer.Exit(TERMINATED if ended else INTERRUPTED) from None
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except Exception as problem:
            if ctx.params["debug"]:
                raise
            complain(f"Error: {_said(problem)}")
            raise typer.Exit(UNFIT) from None


def _said(problem: Exception) -> str:
    if isinstance(problem, PdmodelError):
        return str(problem)
    if isinstance(problem, OSError) and problem.filename and problem.strerror:
        return f"{problem.filename}: {problem.strerror}."
    first = (str(problem).splitlines() or [""])[0]
    return (
        f"this should not have happened ({type(problem).__name__}: {first}). "
        "Run 'pdmodel --debug ...' to see where, and report it."
    )


def complain(line: str) -> None:
    """Say something on stderr."""
    typer.echo(line, err=True)


def say_version(asked: bool) -> None:  # noqa: FBT001  # what Typer calls
    """Say the version, if it was asked for, and do nothing else."""
    if asked:
        typer.echo(f"pdmodel {version('pdmodel')}")
        raise typer.Exit


# ---------------------------------------------------------------- options

Version = Annotated[
    bool, typer.Option("--version", callback=say_version, is_eager=True, help="Show the version.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Sizes = Annotated[Path, typer.Argument(metavar="SIZES", help="Table of tumor sizes.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that 'pdmodel fit' wrote.")]
Doses = Annotated[Path | None, typer.Option(help="Table of doses.")]
Regimens = Annotated[
    list[str] | None,
    typer.Option(
        "--regimen",
        help="In place of a table of doses: 'atezolizumab 1200 mg q3w' for everybody, "
        "'ARM=atezolizumab 1200 mg q3w' for one arm (may be repeated); 'none' is no drug.",
    ),
]
Layout = Annotated[
    Literal["long", "laleh2022", "nonmem", "sdtm", "adam"],
    typer.Option("--format", help="Layout of SIZES."),
]
Arms = Annotated[
    list[str] | None, typer.Option("--arm", help="Keep only this arm; may be repeated.")
]
SizeKind = Annotated[
    Literal["sld", "lesion"] | None,
    typer.Option(help="Sizes are sums of longest diameters, or one lesion's."),
]
Units = Annotated[
    list[str] | None,
    typer.Option("--unit", help="size=cm, time=week, amount=g, ... where names do not say it."),
]
Evaluator = Annotated[
    str | None, typer.Option(help="Whose readings to take (sdtm, adam), or 'accepted'.")
]
Drugs = Annotated[
    list[str] | None, typer.Option("--drug", help="Drug of the doses (nonmem), or CMT=DRUG.")
]
Observed = Annotated[
    str | None, typer.Option("--dv", help="Which observations are sizes (nonmem), as DVID=2.")
]
Pooling = Annotated[
    Literal["partial", "none"], typer.Option(help="A population, or each patient alone.")
]
Method = Annotated[
    Literal["nuts", "nuts-joint", "quick"],
    typer.Option(help="nuts-joint is exact and slow; quick is a first answer."),
]
Correlated = Annotated[
    bool, typer.Option("--correlated", help="Let patients' parameters be correlated.")
]
Influence = Annotated[
    list[str] | None,
    typer.Option(
        "--covariate",
        help="PARAMETER:COLUMN, as kill:tmb: the column (or arm, or study) moves the parameter; "
        "may be repeated.",
    ),
]
NewSizes = Annotated[
    Path | None,
    typer.Option(help="Sizes of new patients, to predict under the population of the fit."),
]
Instead = Annotated[
    list[str] | None,
    typer.Option(
        "--regimen",
        help="Give this instead from day 0 on; with --sizes, what new patients were given, as "
        "for 'fit'.",
    ),
]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")]
Table = Annotated[Path, typer.Option("-o", "--output", help="CSV file to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the fit that did not finish there.")
]
Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="The same seed gives the same numbers.")
]
Kept = Annotated[
    int | None,
    typer.Option("--draws", min=4, help="Draws of each chain to keep; or else 500, quick 200."),
]
Draws = Annotated[int, typer.Option(min=1, help="Draws of the posterior to use.")]
HideIds = Annotated[bool, typer.Option("--hide-ids", help="Write 1, 2, ... in place of ids.")]
Rule = Annotated[
    Literal[
        "sitc2020",
        "sitc2020_confirmed",
        "sitc2020_irecist",
        "sitc2020_day90",
        "sitc2023_chemo",
        "schoenfeld2021",
        "jitc2021",
    ],
    typer.Option(help="Rule of resistance."),
]
Compared = Annotated[
    list[str] | None,
    typer.Option("--compare", help="Rule to compare labels under; may be repeated; or else all."),
]
Robustness = Annotated[
    bool, typer.Option("--robustness", help="Show how many of the rules agree on labels.")
]
PatientTable = Annotated[
    Path | None, typer.Option("--patients", help="CSV file to write, one row a patient.")
]
Horizon = Annotated[
    float | None, typer.Option(min=0, max=CENTURY, help="Forecast courses to this day.")
]
Certainty = Annotated[
    float, typer.Option(min=0.5, max=1, help="Least probability for a label, above 0.5.")
]
Patients = Annotated[
    list[str] | None, typer.Option("--patient", help="Only this patient; may be repeated.")
]
Until = Annotated[
    float | None, typer.Option(min=0, max=CENTURY, help="Every week from day 0 to this day.")
]
Landmark = Annotated[
    float | None,
    typer.Option(
        min=0, max=CENTURY,
        help="Forecast progression and classes from what was known by this day, and score them.",
    ),
]  # fmt: skip
LandmarkFolds = Annotated[
    int | None,
    typer.Option(
        "--fold", min=2,
        help="With --landmark, of the fit's patients: learn the population anew without each of so "
        "many folds, and forecast its patients from that.",
    ),
]  # fmt: skip
LastVisit = Annotated[
    float, typer.Option(min=42, max=CENTURY, help="Day up to which visits go on.")
]
Kinetics = Annotated[
    Literal["drawn", "typical"],
    typer.Option(help="Concentrations: each virtual patient's own, or the typical patient's."),
]
Conduct = Annotated[
    str, typer.Option(help="Which scans are made: natural, observed or trial; or death=0.001, ...")
]
Chunk = Annotated[
    str | None,
    typer.Option(help="Only this share of the patients, as 3/8; then 'pdmodel gather TRIAL'."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes on this computer (needs Dask).")
]
Scheduler = Annotated[
    str | None, typer.Option(help="Dask scheduler to work with, as tcp://10.0.0.1:8786.")
]
TrialFolder = Annotated[
    Path, typer.Argument(metavar="TRIAL", help="Folder that 'pdmodel simulate' writes.")
]
Concentrations = Annotated[
    Literal["predicted", "drawn"],
    typer.Option(help="Concentrations: predicted from covariates, or drawn for each patient."),
]
Published = Annotated[Literal["laleh2022"], typer.Argument(metavar="NAME", help="Which sizes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Mechanism = Annotated[str, typer.Option(help="Mechanism or curve by name, or a file mine.py.")]
OwnFile = Annotated[Path, typer.Argument(metavar="FILE", help="mine.py, which is run.")]
Residual = Annotated[str, typer.Option(help="How sizes scatter, by name.")]


# ---------------------------------------------------------------- where to write


def free(path: Path, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
    """Make sure, before the work, that a file may be written.

    Raises
    ------
    RunError
        If it is there and must not be replaced, is a folder, has no folder to be in, or has a
        name that does not end as it should.
    """
    if path.is_dir():
        raise RunError(f"{path} is a folder; give the name of a file with -o.")
    if path.suffix.lower() not in suffixes:
        raise RunError(f"{path} must end in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise RunError(f"There is no folder {path.parent}; make it first, or choose another.")
    if path.exists() and not overwrite:
        raise RunError(f"{path} is there already; choose another with -o, or add --overwrite.")


@contextmanager
def no_empty(folder: Path) -> Iterator[None]:
    """Do not leave an empty folder behind where what was to fill it failed."""
    try:
        yield
    except BaseException:
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
