"""Commands of the command line about virtual patients: simulate, gather, rescue."""

from pathlib import Path
from typing import Annotated

import typer

from pdmodel import asked, shell, startup
from pdmodel.progress import busy


def simulate(
    output: shell.Folder,
    arm: Annotated[list[str], typer.Option(help="What an arm is given; repeat for more arms.")],
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="Fit to learn from.")] = None,
    model: Annotated[str | None, typer.Option(help="In place of RUN: a model's prior.")] = None,
    residual: shell.Residual = "student_t",
    patients: Annotated[int, typer.Option("-n", min=1, help="Virtual patients.")] = 1000,
    until: shell.LastVisit = 730.0,
    seed: shell.Seed = 1,
    pharmacokinetics: shell.Kinetics = "drawn",
    conduct: shell.Conduct = "natural",
    chunk: shell.Chunk = None,
    workers: shell.Workers = None,
    scheduler: shell.Scheduler = None,
    overwrite: shell.Overwrite = False,
) -> None:
    """Simulate a trial: the same virtual patients in every arm.

    Arms: "A", "A + B from day 42", "A until progression", "A then B", "A then A + B". An
    interrupted run goes on where it was.
    """
    if (run is None) == (model is None):
        raise typer.BadParameter("give either RUN or --model NAME.", param_hint="'RUN'")
    startup.float64()
    import pdmodel as pdm
    from pdmodel.simulate.command import gathered, simulated

    prior = pdm.Model(pdm.mechanism(model), (), pdm.residual(residual)) if model else None
    source = prior or startup.fitted(run or Path())
    how = {"n": patients, "seed": seed, "until": until}
    how |= {"pharmacokinetics": pharmacokinetics, "conduct": conduct}
    where = {"chunk": chunk, "workers": workers, "scheduler": scheduler}
    with busy("Simulating"):
        told = simulated(source, arm, output, overwrite=overwrite, **where, **how)
    typer.echo("\n".join(told if chunk else gathered(output)))


def gather(trial: shell.TrialFolder) -> None:
    """Make the tables of a trial of its chunks."""
    from pdmodel.simulate.chunks import gather
    from pdmodel.simulate.command import gathered

    with busy("Gathering"):
        gather(trial)
    typer.echo("\n".join(gathered(trial)))


def rescue(
    run: shell.Run,
    output: shell.Table,
    add_on: Annotated[list[str], typer.Option(help="What might be added; repeat for more.")],
    after: Annotated[str, typer.Option(help="Days from the last scan to begin.")] = "0,42,84",
    until: Annotated[float, typer.Option(min=42, help="Days to follow from then.")] = 365.0,
    patient: shell.Patients = None,
    draws: shell.Draws = 200,
    seed: shell.Seed = 1,
    hide_ids: shell.HideIds = False,
    overwrite: shell.Overwrite = False,
) -> None:
    """Rank add-ons for each patient who resists."""
    shell.free(output, (".csv",), overwrite=overwrite)
    wanted = asked.days_listed(after, None)
    fitted = startup.fitted(run)
    from pdmodel.simulate.rescue import rescue, told
    from pdmodel.tables import write_table

    how = {"patients": patient or None, "draws": draws, "seed": seed}
    with busy("Comparing add-ons"):
        table = rescue(fitted, add_on, after=wanted, horizon=until, **how)
    write_table(table, output, hide_ids=hide_ids)
    typer.echo("\n".join([*told(table), f"Written to {output}."]))


COMMANDS = (simulate, gather, rescue)
