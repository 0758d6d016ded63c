"""The command line's part for single patients: why they resist, and their likeliest parameters."""

from typing import Annotated

import typer

from pdmodel import shell, startup
from pdmodel.progress import busy

Share = Annotated[float, typer.Option(help="Least share of a cause for it to be named.")]
Draws = Annotated[int, typer.Option(min=1, help="Draws of each patient.")]


def attribute(
    run: shell.Run, output: shell.Table, rule: shell.Rule = "sitc2020",
    horizon: shell.Horizon = None, certainty: Share = 0.6, draws: Draws = 200,
    hide_ids: shell.HideIds = False, overwrite: shell.Overwrite = False,
) -> None:  # fmt: skip
    """Say why each patient resists.

    A cause is one change that would undo the resistance: a responder's value of a parameter, no
    exhaustion, larger doses. Written is how often each does, over the posterior of each patient.
    """
    shell.free(output, (".csv",), overwrite=overwrite)
    fitted = startup.fitted(run)
    from pdmodel.attribution import attribute as attributed
    from pdmodel.tables import write_table

    with busy("Attributing"):
        table = attributed(fitted, rule=rule, horizon=horizon, certainty=certainty, draws=draws)
    write_table(table, output, hide_ids=hide_ids)
    said = table["attribution"].replace("", "does not resist")
    for name, count in said.value_counts().items():
        typer.echo(f"{count:5d} {name}")
    typer.echo(f"Written to {output}.")


def estimate(
    run: shell.Run, output: shell.Table, seed: shell.Seed = 1,
    hide_ids: shell.HideIds = False, overwrite: shell.Overwrite = False,
) -> None:  # fmt: skip
    """Write each patient's most probable parameters.

    Empirical Bayes estimates given the population, with intervals by Laplace's approximation and a
    Pareto k that judges these; shrinkage is told.
    """
    shell.free(output, (".csv",), overwrite=overwrite)
    fitted = startup.fitted(run)
    from pdmodel.estimates import estimate as estimated
    from pdmodel.estimates import told
    from pdmodel.tables import write_table

    with busy("Searching"):
        table = estimated(fitted, seed=seed)
    write_table(table, output, hide_ids=hide_ids)
    typer.echo("\n".join([*told(table), f"Written to {output}."]))
