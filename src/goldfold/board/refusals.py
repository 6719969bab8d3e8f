"""What the board answers when it does not do what was asked: Kaggle's status codes and words."""

from __future__ import annotations

from starlette.exceptions import HTTPException


def refusal(status: int, message: str) -> HTTPException:
    """To be raised; the client is told `{"code": status, "message": message}`."""
    return HTTPException(status, message)
