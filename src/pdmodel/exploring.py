"""The command line's part for the page to explore a fit."""

import webbrowser
from importlib.util import find_spec
from typing import Annotated

import typer

from pdmodel import shell, startup
from pdmodel.errors import RunError

MISSING = (
    'The page needs Shiny, which is not installed: pip install "pdmodel[app]". Or draw with '
    "'pdmodel plot' and 'pdmodel report', which do without."
)

Port = Annotated[
    int, typer.Option(min=0, max=65535, help="Port of this computer; 0 takes a free one.")
]
Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


def app(
    run: shell.Run, port: Port = 0, browse: Open = False, hide_ids: shell.HideIds = False
) -> None:
    """Explore a fit in the browser.

    Leave scans out to see what was known when, move the dose, add a drug, fit a table. The page
    is served to this computer alone, at an address with a token, until Ctrl-C.
    """
    if find_spec("shiny") is None:
        raise RunError(MISSING)
    fitted = startup.fitted(run)
    from pdmodel.app import serve

    def ready(address: str) -> None:
        typer.echo(f"Open {address}\nIt is for this computer only. Ctrl-C ends it.")
        if browse:
            webbrowser.open(address)

    try:
        serve(fitted, str(run), port=port, hide_ids=hide_ids, ready=ready)
    except KeyboardInterrupt:
        typer.echo("The page is closed.")
        raise typer.Exit(shell.INTERRUPTED) from None  # without waiting for what still computes
