"""The names under which the board may be asked for."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HERE = ("127.0.0.1", "localhost", "::1")


class KnownHosts:
    """Middleware that refuses requests for a name that is not the board's.

    Any web page can give its own name the address of this machine (DNS rebinding), and its visitor's browser would
    then read the board to it. It cannot make the browser send another name than its own.

    names: allowed beside HERE and the address that the client has connected to.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self.app = app
        self.names = {*HERE, *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._knows(scope):
            await self.app(scope, receive, send)
            return
        message = "This board is not served under that name: use its address, or start it with HOST_NAMES=..."
        await JSONResponse({"code": 421, "message": message}, 421)(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        asked = [Headers(scope=scope).get("host", "")]
        if scope["path"].startswith(("http://", "https://")):  # as clients ask a proxy
            asked.append(scope["path"].split("://", 1)[1].partition("/")[0])
        own = scope["server"][0] if scope["server"] else ""
        return all(name(host) in self.names | {own} for host in asked)


def name(host: str) -> str:
    """Name or address in a Host header, without its port and in lower case; empty if it is none.

    >>> name("Board.example:8321"), name("[::1]:8321"), name("[")
    ('board.example', '::1', '')
    """
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
