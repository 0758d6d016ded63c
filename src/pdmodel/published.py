"""The command line's part for published sizes: where they are, and how to get them."""

import typer

from pdmodel import shell

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None,
    help="Fetch the published sizes, or say where they are.",
)  # fmt: skip


@app.command()
def fetch(name: shell.Published = "laleh2022") -> None:
    """Download published tumor sizes (doi:10.1371/journal.pcbi.1009822)."""
    from pdmodel.data import fetch_laleh2022

    typer.echo({"laleh2022": fetch_laleh2022}[name]())


@app.command()
def path() -> None:
    """Say where the published tumor sizes are."""
    from pdmodel.data import laleh2022_path

    typer.echo(laleh2022_path())
