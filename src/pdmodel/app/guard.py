"""Who may see the page: only this computer, and only who knows the token in the address."""

import re
import secrets
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
TOKEN_BYTES = 24
LARGEST = 20_000_000
"""Bytes of a file that may be sent."""
REFUSED, TOO_LARGE = 403, 413
POLICY_VIOLATED = 1008
"""Code with which a websocket is closed."""
WRONG = "This page needs the whole address that 'pdmodel app' printed, with its token."
TOO_LARGE_TOLD = f"The file is larger than {LARGEST // 1_000_000} MB; nothing of it was kept."
POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Of every answer: nothing is loaded or sent elsewhere, and no other page may hold this one."""


class TooLargeError(Exception):
    """More was sent than is taken."""


def new_token() -> str:
    """Make a token that cannot be guessed."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class Guard:
    """Lets requests through to an application whose path begins with the token.

    A request must also name this computer as its host, so that no name on the network leads here,
    and, where a browser says which page it comes from, come from this one.

    Parameters
    ----------
    app : ASGI application
    token : str
    port : int
    html : str
        The page; scripts in it may run, and no other that is not a file of the application.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, html: str = "") -> None:
        self.app, self.token = app, token
        policy = POLICY.format(scripts="".join(f" '{one}'" for one in script_hashes(html)))
        self.headers = HEADERS | {"content-security-policy": policy}
        self.hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif (inside := self._admitted(scope)) is None:
            await self._refuse(scope, receive, send)
        elif scope["type"] == "websocket":
            await self.app(inside, receive, send)
        else:
            await self._answer(inside, receive, send)

    def _admitted(self, scope: Scope) -> Scope | None:
        """Give the scope without the token, or None where it must be refused."""
        host, origin = _header(scope, b"host"), _header(scope, b"origin")
        _, token, *rest = [*scope["path"].split("/", 2), "", ""]
        ours = secrets.compare_digest(token.encode(), self.token.encode())
        if not ours or host not in self.hosts or origin not in {"", f"http://{host}"}:
            return None
        if scope["type"] == "websocket" and not origin:
            return None
        path = "/" + rest[0]
        return {**scope, "path": path, "raw_path": path.encode(), "root_path": ""}

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken, begun = 0, False

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST:
                raise TooLargeError
            return message

        async def with_headers(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._with(message["headers"])}
            await send(message)

        said = _header(scope, b"content-length")
        try:
            if said.isdigit() and int(said) > LARGEST:
                raise TooLargeError
            await self.app(scope, bounded, with_headers)
        except TooLargeError:
            if not begun:
                answer = PlainTextResponse(TOO_LARGE_TOLD, TOO_LARGE, headers=self.headers)
                await answer(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATED})
            return
        await PlainTextResponse(WRONG, REFUSED, headers=self.headers)(scope, receive, send)

    def _with(self, headers: Iterable[Any]) -> list[Any]:
        """Put our headers in the place of an answer's own."""
        others = [pair for pair in headers if pair[0].decode("latin-1").lower() not in self.headers]
        return [*others, *((name.encode(), x.encode()) for name, x in self.headers.items())]


def _header(scope: Scope, name: bytes) -> str:
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def script_hashes(html: str) -> list[str]:
    """Give the checksums of scripts that stand in a page, as a policy names them."""
    found = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    return [f"sha256-{b64encode(sha256(one.encode()).digest()).decode()}" for one in found]
