"""The command line: what a clinician types is handed on to the public functions."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pdmodel import (
    asked,
    attributing,
    comparing,
    exploring,
    fitting,
    predicting,
    published,
    shell,
    showing,
    startup,
    trials,
)
from pdmodel.errors import ModelError
from pdmodel.progress import busy, shown

app = typer.Typer(
    cls=shell.Shell, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with 'pdmodel demo'. 'pdmodel COMMAND -h' tells more of a command.",
)  # fmt: skip
app.add_typer(published.app, name="data")


@app.callback()
def everywhere(told: shell.Version = False, debug: shell.Debug = False) -> None:
    """Tell who resists PD-1 blockade, and how, from tumor sizes."""
    del told, debug  # `say_version` and `Shell` look at them


@app.command()
def demo(output: shell.Folder = Path("demo"), seed: shell.Seed = 1) -> None:
    """Go the whole way on an embedded, simulated cohort (minutes)."""
    startup.float64()
    from pdmodel.demo import run

    run(output, seed=seed, report=typer.echo, watch=shown)


@app.command()
def check(
    sizes: shell.Sizes, doses: shell.Doses = None, regimen: shell.Regimens = None,
    layout: shell.Layout = "long", arm: shell.Arms = None, size_kind: shell.SizeKind = None,
    unit: shell.Units = None, evaluator: shell.Evaluator = None, drug: shell.Drugs = None,
    dv: shell.Observed = None, as_json: shell.AsJson = False,
) -> None:  # fmt: skip
    """List every problem of the tables; exit 1 if any is an error."""
    from pdmodel.data import check_tables

    how = {"units": unit, "evaluator": evaluator, "drugs": drug, "dv": dv}
    notes = check_tables(sizes, doses, **asked.request(regimen, layout, arm, size_kind, **how))
    if as_json:
        typer.echo(json.dumps([note._asdict() for note in notes], indent=1))
    for note in () if as_json else notes:
        named = note.rows != 1 or not note.patient or repr(note.patient) in note.message
        who = "" if named else f" [patient {note.patient}]"
        typer.echo(f"{note.severity}: {note.message}{who}")
    if any(note.severity == "error" for note in notes):
        shell.complain("Error: the tables cannot be used as they are; mend the errors listed.")
        raise typer.Exit(shell.UNFIT)
    if not as_json:
        typer.echo(f"{sizes} can be used.")


@app.command()
def check_model(file: shell.OwnFile) -> None:
    """Check a mechanism or drug of your own; exit 1 if it is unfit."""
    startup.float64()
    from pdmodel.contract import told

    with busy("Checking"):
        lines, usable = told(file)
    typer.echo("\n".join(lines))
    if not usable:
        raise ModelError("it cannot be used as it is; mend the errors listed.")


@app.command()
def response(
    sizes: shell.Sizes, output: shell.Table, patients: shell.PatientTable = None,
    doses: shell.Doses = None, regimen: shell.Regimens = None, layout: shell.Layout = "long",
    arm: shell.Arms = None, size_kind: shell.SizeKind = None, compare: shell.Compared = None,
    rule: shell.Rule = "sitc2020_confirmed", robustness: shell.Robustness = False,
    hide_ids: shell.HideIds = False, overwrite: shell.Overwrite = False,
) -> None:  # fmt: skip
    """Tell response and resistance from the scans, without a model."""
    from pdmodel.assess.command import respond

    for file in filter(None, (output, patients)):
        shell.free(file, (".csv",), overwrite=overwrite)
    how = {"rule": rule, "compare": compare, "robustness": robustness, "hide_ids": hide_ids}
    respond(sizes, doses, output, patients, **how, **asked.request(regimen, layout, arm, size_kind))


@app.command()
def fit(
    sizes: shell.Sizes, output: shell.Folder, doses: shell.Doses = None,
    regimen: shell.Regimens = None, layout: shell.Layout = "long", arm: shell.Arms = None,
    size_kind: shell.SizeKind = None, unit: shell.Units = None,
    evaluator: shell.Evaluator = None, drug: shell.Drugs = None, dv: shell.Observed = None,
    model: shell.Mechanism = "exhaustion", residual: shell.Residual = "student_t",
    pooling: shell.Pooling = "partial", method: shell.Method = "nuts", seed: shell.Seed = 1,
    chains: Annotated[int, typer.Option(min=1, help="Chains.")] = 4,
    warmup: Annotated[int, typer.Option(min=20, help="Iterations that tune each chain.")] = 300,
    draws: shell.Kept = None,
    correlated: shell.Correlated = False, covariate: shell.Influence = None,
    pharmacokinetics: shell.Concentrations = "predicted",
    overwrite: shell.Overwrite = False, resume: shell.Resume = False,
) -> None:  # fmt: skip
    """Fit a model to a cohort, with the drugs that were given."""
    start = fitting.start(overwrite=overwrite, resume=resume)
    startup.float64()
    from pdmodel import read_cohort
    from pdmodel.fit import DRAWS

    how = {"units": unit, "evaluator": evaluator, "drugs": drug, "dv": dv}
    wanted = asked.request(regimen, layout, arm, size_kind, **how)
    options = {
        "seed": seed, "pooling": pooling, "method": method, "chains": chains, "warmup": warmup,
        "draws": draws or DRAWS[method], "pharmacokinetics": pharmacokinetics,
        "correlated": correlated, "covariates": asked.influences(covariate),
    }  # fmt: skip
    cohort = read_cohort(sizes, doses=doses, **wanted)
    untreated = asked.untreated(regimen)
    whole = fitting.composed(cohort, sizes, model, residual, untreated=untreated)
    fitting.fit_into(output, whole, cohort, options, start)


@app.command()
def diagnose(run: shell.Run, as_json: shell.AsJson = False) -> None:
    """Say whether a fit can be trusted; exit 1, and why, if not."""
    fitted = startup.fitted(run, warn=False)
    from pdmodel.diagnose import diagnose

    found = diagnose(fitted)
    typer.echo(json.dumps(found.to_json(), indent=1) if as_json else "\n".join(found.lines()))
    if not found.trusted:
        shell.complain(f"Error: {startup.distrust(found.reasons)}")
        raise typer.Exit(shell.UNFIT)


@app.command()
def classify(
    run: shell.Run, output: shell.Table, rule: shell.Rule = "sitc2020",
    horizon: shell.Horizon = None, certainty: shell.Certainty = 0.8,
    draws: shell.Draws = 1000, seed: shell.Seed = 1,
    hide_ids: shell.HideIds = False, overwrite: shell.Overwrite = False,
) -> None:  # fmt: skip
    """Label each patient: how it resists, if it does.

    Labels are primary, acquired, early loss, durable, not determinable and undecided.
    """
    shell.free(output, (".csv",), overwrite=overwrite)
    fitted = startup.fitted(run)
    from pdmodel.resistance import classify, write_labels

    with busy("Labelling"):
        how = {"certainty": certainty, "draws": draws, "seed": seed}
        labels = classify(fitted, rule=rule, horizon=horizon, **how)
    write_labels(labels, output, hide_ids=hide_ids)
    for label, count in labels["label"].value_counts().items():
        typer.echo(f"{count:5d} {label}")
    typer.echo(f"Written to {output}.")


@app.command()
def predict(
    run: shell.Run, output: shell.Table,
    days: Annotated[str | None, typer.Option(help="Days, as 42,84,126.")] = None,
    until: shell.Until = None, landmark: shell.Landmark = None,
    fold: shell.LandmarkFolds = None, patient: shell.Patients = None,
    sizes: shell.NewSizes = None, doses: shell.Doses = None, regimen: shell.Instead = None,
    layout: shell.Layout = "long", arm: shell.Arms = None, size_kind: shell.SizeKind = None,
    unit: shell.Units = None, evaluator: shell.Evaluator = None, drug: shell.Drugs = None,
    dv: shell.Observed = None, draws: shell.Draws = 1000, seed: shell.Seed = 1,
    hide_ids: shell.HideIds = False, overwrite: shell.Overwrite = False,
) -> None:  # fmt: skip
    """Predict sizes of the fit's patients, or of new ones (--sizes).

    With --landmark, progression and classes from that day on, beside what happened.
    """
    wanted = asked.days_listed(days, until) if landmark is None else []
    how = {"units": unit, "evaluator": evaluator, "drugs": drug, "dv": dv}
    table = predicting.asked_for(sizes, doses, regimen, layout, arm, size_kind, how)
    shell.free(output, (".csv",), overwrite=overwrite)
    if landmark is not None:
        predicting.refused_with_landmark(days, until, patient, table, fold)
        shell.free(predicting.figures_beside(output), (".csv",), overwrite=overwrite)
    elif fold is not None:
        raise typer.BadParameter("it is of forecasts with --landmark.", param_hint="'--fold'")
    fitted = startup.fitted(run)
    options = {"patients": patient or None, "draws": draws, "seed": seed}
    if landmark is not None and not isinstance(table, str):
        predicting.landmark_into(
            output, fitted, landmark, table, options | {"fold": fold}, hide_ids=hide_ids
        )
        return
    predicting.predict_into(output, fitted, wanted, table, options, hide_ids=hide_ids)


for command in trials.COMMANDS:
    app.command()(command)


app.command()(comparing.compare)
app.command()(attributing.attribute)
app.command()(attributing.estimate)
app.command()(showing.plot)
app.command()(showing.report)
app.command()(exploring.app)


def main() -> None:
    """Run the command line; once it is interrupted, do not wait for what still computes."""
    try:
        app(prog_name="pdmodel")
    except SystemExit as end:
        if end.code not in (shell.INTERRUPTED, shell.TERMINATED):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(end.code))
