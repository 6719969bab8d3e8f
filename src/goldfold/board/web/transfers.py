"""Files in both directions: uploads under their tokens, and the public data; no path of a request meets the disk."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from goldfold.board import catalogue, uploads
from goldfold.board.refusals import refusal
from goldfold.board.web.access import CurrentBoard, CurrentUser

router = APIRouter()


@router.put("/upload/{token}")
async def put(token: str, request: Request, board: CurrentBoard) -> Response:
    """The client sends no key here: whoever has the token may fill it."""
    if "content-range" in request.headers:
        raise refusal(400, "Uploads are not taken in parts: send the whole file")
    with suppress(ClientDisconnect):  # nobody is left to be answered
        await uploads.receive(board, token, request.stream())
    return Response()


@router.get("/data/{slug}/file/{name:path}")
def data_file(slug: str, name: str, board: CurrentBoard, user: CurrentUser) -> Response:
    """The name is looked up among those of the competition's public files, never opened."""
    with board.reading() as session:
        hosted = uploads.find_hosted(session, slug)
    file = catalogue.data_files(board, hosted.slug).get(name)
    if file is None:
        raise refusal(404, "There is no such file in this competition")
    return FileResponse(file)


@router.get("/data/{slug}/{archive}.zip")
def all_data(slug: str, archive: str, board: CurrentBoard, user: CurrentUser) -> Response:
    with board.reading() as session:
        hosted = uploads.find_hosted(session, slug)
    if archive != hosted.slug:
        raise refusal(404, "There is no such file in this competition")
    return FileResponse(catalogue.archive(board, hosted.slug))
