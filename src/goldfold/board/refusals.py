"""Errors that the board answers with, using Kaggle's status codes and messages."""

from __future__ import annotations

import errno

from starlette.exceptions import HTTPException

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refusal(status: int, message: str) -> HTTPException:
    """Exception to raise; the client receives `{"code": status, "message": message}`."""
    return HTTPException(status, message)


def of_storage(error: Exception) -> HTTPException:
    """Refusal for an error of the disk or the database; its text is for the host, not for the client."""
    if isinstance(error, OSError) and error.errno in FULL:
        return refusal(507, "The board's disk is full: nothing was recorded, try again later")
    return refusal(503, "The board cannot store or read this now: nothing was recorded, try again later")
