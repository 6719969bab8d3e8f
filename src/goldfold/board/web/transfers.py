"""Uploads by token and downloads of public files; no path from a request is opened."""

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
    """Receive an upload; the token authorizes it, since the client sends no key here."""
    if "content-range" in request.headers:
        raise refusal(400, "Partial uploads are not supported: send the whole file")
    with suppress(ClientDisconnect):  # there is no client left to answer
        length = request.headers.get("content-length", "")
        await uploads.receive(board, token, request.stream(), int(length) if length.isdecimal() else 0)
    return Response()


@router.get("/data/{slug}/file/{name:path}")
def data_file(slug: str, name: str, board: CurrentBoard, user: CurrentUser) -> Response:
    """Send one public file; the name is looked up in the list of public files, never opened."""
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
