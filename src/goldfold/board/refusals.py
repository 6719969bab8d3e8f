"""Errors that the board answers with, using Kaggle's status codes and messages."""

from __future__ import annotations

from starlette.exceptions import HTTPException


def refusal(status: int, message: str) -> HTTPException:
    """Exception to raise; the client receives `{"code": status, "message": message}`."""
    return HTTPException(status, message)
