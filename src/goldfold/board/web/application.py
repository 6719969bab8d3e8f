"""The board as an ASGI application: Kaggle's API methods, file transfers, web pages, and middleware."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, MutableMapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from goldfold.board import times, uploads
from goldfold.board.database import Board
from goldfold.board.refusals import of_storage
from goldfold.board.scoring import Scoring
from goldfold.board.web import pages, protocol, transfers
from goldfold.board.web.hosts import KnownHosts

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
ASGI = Callable[[Message, Receive, Callable[[Message], Awaitable[None]]], Awaitable[None]]
LARGEST_REQUEST = 2**20  # bytes of anything but an upload
ABANDONED = timedelta(days=1)
FORGET_S = 3600  # seconds between two removals of abandoned uploads

log = logging.getLogger(__name__)


def application(board: Board, scoring: Scoring, host_names: Collection[str] = ()) -> FastAPI:
    """Create the application for `board`; `scoring` runs while it serves. host_names: see `hosts.KnownHosts`."""

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        forgetting = asyncio.create_task(_forget_abandoned(board))
        scoring.start()
        yield
        forgetting.cancel()
        scoring.stop()

    app = FastAPI(lifespan=running, openapi_url=None, redirect_slashes=False)
    app.state.board, app.state.scoring = board, scoring
    for prefix in ("/v1", "/api/v1"):  # the client uses one for kaggle.com and the other for all other hosts
        app.include_router(protocol.router, prefix=prefix)
    app.include_router(transfers.router)
    app.include_router(pages.router)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(OSError, _not_stored)
    app.add_exception_handler(SQLAlchemyError, _not_stored)
    app.add_middleware(limited)
    app.add_middleware(origin_form)
    app.add_middleware(KnownHosts, names=host_names)  # the first to see a request
    return app


async def _forget_abandoned(board: Board) -> None:
    while True:
        try:
            await run_in_threadpool(uploads.forget_abandoned, board, times.before_now(ABANDONED))
        except (OSError, SQLAlchemyError) as error:
            log.warning("abandoned uploads stay for now: %s", error)
        await asyncio.sleep(FORGET_S)


def origin_form(app: ASGI) -> ASGI:
    """Middleware that serves `http://localhost/path`, as clients request it from a proxy, as `/path`."""

    async def serve(scope: Message, receive: Receive, send) -> None:
        path = scope.get("path", "")
        if path.startswith(("http://", "https://")):
            path = "/" + path.split("://", 1)[1].partition("/")[2]
            scope = {**scope, "path": path, "raw_path": path.encode("utf-8", "surrogateescape")}
        await app(scope, receive, send)

    return serve


def limited(app: ASGI) -> ASGI:
    """Middleware that limits the body of every request but uploads to LARGEST_REQUEST bytes."""

    async def serve(scope: Message, receive: Receive, send) -> None:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST_REQUEST:
                raise HTTPException(413, f"A request may have at most {LARGEST_REQUEST:,} bytes")
            return message

        upload = scope["type"] != "http" or scope["method"] == "PUT"
        await app(scope, receive if upload else counted, send)

    return serve


def _refused(request: Request, error: Exception) -> Response:
    """Answer a refused request: JSON for the client, a page for browsers."""
    assert isinstance(error, HTTPException)
    if not request.scope["path"].startswith(("/v1/", "/api/", "/data/", "/upload/")):
        return pages.refused(error)
    answer = {"code": error.status_code, "message": error.detail}
    return JSONResponse(answer, error.status_code, error.headers)


def _not_stored(request: Request, error: Exception) -> Response:
    """Answer where the disk or the database failed; the terminal of the board has the reason, on one line."""
    log.warning("%s %s: %s", request.method, request.scope["path"], str(error).splitlines()[0])
    return _refused(request, of_storage(error))


def _not_understood(request: Request, error: Exception) -> Response:
    """Answer a request with missing or wrong fields."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse({"code": 400, "message": f"{where}: {first['msg']}" if where else first["msg"]}, 400)
