"""What a request brings along: the board it is for, who sends it, and the address it was sent to."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from goldfold.board import users
from goldfold.board.database import Board, User
from goldfold.board.refusals import refusal


def board_of(request: Request) -> Board:
    return request.app.state.board


def address_of(request: Request) -> str:
    """`http://127.0.0.1:8321`: this server as the client calls it, so that the way back leads through its tunnels too.

    A client that takes this server for its proxy calls it `localhost`, without a port, which no browser finds.
    """
    host = request.headers.get("host", "")
    if host not in ("", "localhost"):
        return f"http://{host}"
    server, port = request.scope["server"]
    return f"http://[{server}]:{port}" if ":" in server else f"http://{server}:{port}"


def user_of(request: Request) -> User:
    """Whose key came along, as HTTP's Basic (name and key) or Bearer (key)."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    with board_of(request).reading() as session:
        user = _user(session, scheme.lower(), secret.strip())
    if user is None:
        raise refusal(401, "Unauthenticated: the user name or the key is not one of this board's")
    return user


def _user(session: Session, scheme: str, secret: str) -> User | None:
    if scheme == "bearer":
        return users.by_key(session, secret)
    if scheme != "basic":
        return None
    try:
        name, _, key = base64.b64decode(secret, validate=True).decode("utf-8").partition(":")
    except ValueError:  # neither base64 nor text
        return None
    return users.by_login(session, name, key)


CurrentBoard = Annotated[Board, Depends(board_of)]
ServerAddress = Annotated[str, Depends(address_of)]
CurrentUser = Annotated[User, Depends(user_of)]
