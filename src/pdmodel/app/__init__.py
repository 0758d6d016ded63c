"""The page to explore a fit: it is served to this computer alone, under an address with a token."""

import errno
import socket
from collections.abc import Callable

import uvicorn
from shiny import App

from pdmodel.app.guard import HOST, Guard, new_token
from pdmodel.app.page import whole_page
from pdmodel.app.server import server_of
from pdmodel.app.source import Source, source_of
from pdmodel.errors import RunError
from pdmodel.fit import Fit


def application(source: Source, token: str, port: int, *, hide_ids: bool = False) -> Guard:
    """Make the application that answers requests.

    Parameters
    ----------
    source : Source
        What is shown first.
    token : str
        First part of every path.
    port : int
        Where it is served.
    hide_ids : bool
        Call patients 1, 2, ... in place of their ids.
    """
    shiny = App(whole_page(), server_of(source, hide_ids=hide_ids), test_mode=False)
    shiny.sanitize_errors = True
    return Guard(shiny, token, port, str(shiny.ui["html"]))  # type: ignore[index]  # not a function


def serve(
    fit: Fit,
    title: str,
    *,
    port: int = 0,
    hide_ids: bool = False,
    ready: Callable[[str], None],
) -> None:
    """Serve the page until the program is stopped.

    Parameters
    ----------
    fit : Fit
    title : str
        What to call the fit.
    port : int
        Of this computer; 0 takes one that is free.
    hide_ids : bool
        Call patients 1, 2, ... in place of their ids.
    ready : callable
        Told the address once it can be opened.

    Raises
    ------
    RunError
        If the port cannot be had.
    """
    taken = listening(port)
    with taken:
        port, token = taken.getsockname()[1], new_token()
        app = application(source_of(fit, title), token, port, hide_ids=hide_ids)
        config = uvicorn.Config(
            app, log_level="error", access_log=False, lifespan="on", ws="websockets-sansio",
            server_header=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        ready(f"http://{HOST}:{port}/{token}/")
        uvicorn.Server(config).run(sockets=[taken])


def listening(port: int) -> socket.socket:
    """Take a port of this computer, which others on the network cannot reach.

    Raises
    ------
    RunError
        If it is taken, or may not be had.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()
    except OSError as problem:
        found.close()
        why = "is taken by another program" if problem.errno == errno.EADDRINUSE else "is refused"
        raise RunError(
            f"Port {port} {why}; choose another with --port, or leave it out for a free one."
        ) from None
    return found
