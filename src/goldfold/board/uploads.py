"""Uploads: announce a file, receive it, submit it; each step is on disk before the board answers."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from goldfold.board import times
from goldfold.board.database import ERROR, Board, Hosted, Submission, Upload, User
from goldfold.board.refusals import refusal

LARGEST = 256 * 2**20  # bytes of one submission
OPEN_UPLOADS = 200  # per user, announced and not yet submitted
OPEN_BYTES = 4 * LARGEST  # of these
TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")


def allowance(session: Session, hosted: Hosted, user: User, now: str) -> tuple[int, int, int]:
    """Number of a user's valid submissions since midnight UTC, in total, and how many are left today.

    As on Kaggle, submissions with an error are not among the valid ones. They use up the day's allowance all the same:
    scoring them costs as much.
    """
    own = (Submission.slug == hosted.slug, Submission.user_id == user.id)
    count = select(func.count()).select_from(Submission).where(*own)
    valid, today = count.where(Submission.status != ERROR), Submission.date >= times.midnight(now)
    left = 0 if hosted.is_over(now) else max(hosted.daily - session.scalars(count.where(today)).one(), 0)
    return session.scalars(valid.where(today)).one(), session.scalars(valid).one(), left


def refuse_closed(session: Session, hosted: Hosted, user: User, now: str) -> None:
    """Raise Kaggle's error if a user cannot submit now."""
    if hosted.is_over(now):
        raise refusal(400, "Submission not allowed: The competition deadline has passed.")
    if hosted.daily == 0:
        raise refusal(400, "Submission not allowed: This competition is not accepting submissions.")
    if allowance(session, hosted, user, now)[2] == 0:
        used = f"Your team has used its daily Submission allowance ({hosted.daily}) today"
        raise refusal(400, f"Submission not allowed: {used}, please try again tomorrow UTC.")


def start(board: Board, slug: str, user: User, file_name: str, size: int) -> str:
    """Announce a file of `size` bytes; returns the token of the upload."""
    if not file_name:
        raise refusal(400, "A file name is required")
    if not 0 <= size <= LARGEST:
        raise refusal(400, f"A submission may have at most {LARGEST:,} bytes, this one has {size:,}")
    token = secrets.token_urlsafe(24)
    with board.writing() as session:
        now = times.now()
        refuse_closed(session, find_hosted(session, slug), user, now)
        waiting = select(func.count(), func.coalesce(func.sum(Upload.size), 0)).where(Upload.user_id == user.id)
        number, announced = session.execute(waiting).one()
        if number >= OPEN_UPLOADS or announced + size > OPEN_BYTES:
            told = f"{number:,} uploads of {announced:,} bytes are not submitted"
            raise refusal(429, f"{told}: submit them, or wait a day")
        session.add(Upload(token=token, user_id=user.id, slug=slug, file_name=file_name, size=size, created=now))
    return token


async def receive(board: Board, token: str, body: AsyncIterator[bytes], length: int = 0) -> None:
    """Store the bytes of an announced file; a second upload replaces the first.

    length: bytes of the body if they are known; too many are refused before they come.
    """
    size = await run_in_threadpool(_announced, board, token)
    if length > size:
        raise refusal(400, f"The upload has more than the announced {size:,} bytes")
    partial = path(board, f"{token}.{secrets.token_hex(4)}.partial")
    try:
        partial.parent.mkdir(exist_ok=True)
        with partial.open("xb") as file:
            await _write(file, body, size)
        await run_in_threadpool(_take, board, token, partial)
    finally:
        partial.unlink(missing_ok=True)


def submit(board: Board, slug: str, user: User, token: str, description: str) -> tuple[int, str]:
    """Turn a received file into a pending submission; returns its reference number and the competition's title."""
    with board.writing() as session:
        now, hosted = times.now(), find_hosted(session, slug)
        upload = session.get(Upload, token)
        if upload is None or (upload.user_id, upload.slug) != (user.id, slug):
            raise refusal(400, "There is no such upload, or it was submitted before")
        if not upload.received:
            raise refusal(400, f"The upload is not complete: {upload.size:,} bytes were announced")
        refuse_closed(session, hosted, user, now)
        of_upload = {"token": token, "file_name": upload.file_name, "size": upload.size}
        submission = Submission(slug=slug, user_id=user.id, date=now, description=description, **of_upload)
        session.add(submission)
        session.delete(upload)
    return submission.ref, hosted.title


def find_hosted(session: Session, slug: str) -> Hosted:
    """Hosted competition with this slug; raises Kaggle's error if there is none."""
    hosted = session.scalar(select(Hosted).where(Hosted.slug == slug))
    if hosted is None:
        raise refusal(403, "Permission 'competitions.participate' was denied")
    return hosted


def path(board: Board, token: str) -> Path:
    """File of an upload."""
    return board.folder / "uploads" / token


def forget_abandoned(board: Board, before: str) -> None:
    """Remove uploads started before this time and never submitted, and files left by crashes."""
    with board.writing() as session:
        session.execute(delete(Upload).where(Upload.created < before))
        wanted = {*session.scalars(select(Upload.token)), *session.scalars(select(Submission.token))}
        for file in path(board, "").glob("*"):
            if file.name not in wanted:
                file.unlink()


def _announced(board: Board, token: str) -> int:
    with board.reading() as session:
        upload = session.get(Upload, token) if TOKEN.fullmatch(token) else None
    if upload is None:
        raise refusal(404, "There is no such upload, or it was submitted before")
    return upload.size


def _take(board: Board, token: str, partial: Path) -> None:
    """Move the file to its place, unless the upload was submitted meanwhile: a submission never changes."""
    with board.writing() as session:
        upload = session.get(Upload, token)
        if upload is None:
            raise refusal(404, "There is no such upload, or it was submitted before")
        os.replace(partial, path(board, token))
        folder = os.open(partial.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        upload.received = True


async def _write(file: BinaryIO, body: AsyncIterator[bytes], size: int) -> None:
    """Write `body` to disk; raises if it does not have `size` bytes."""
    async for chunk in body:
        file.write(chunk)
        if file.tell() > size:
            raise refusal(400, f"The upload has more than the announced {size:,} bytes")
    if file.tell() < size:
        raise refusal(308, f"{file.tell():,} of {size:,} bytes arrived: send the whole file again")
    file.flush()
    await run_in_threadpool(os.fsync, file.fileno())
