"""Dependencies of request handlers: the board, the user, and the address of the server."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from goldfold.board import users
from goldfold.board.database import Board, User
from goldfold.board.refusals import refusal


def board_of(request: Request) -> Board:
    """Board that the application serves."""
    return request.app.state.board


def address_of(request: Request) -> str:
    """Address of this server as the client sees it, such as `http://127.0.0.1:8321`; links then work through tunnels.

    A client that uses this server as its proxy sends the host `localhost` without a port; then the socket's address is
    used.
    """
    host = request.headers.get("host", "")
    if host not in ("", "localhost"):
        return f"http://{host}"
    server, port = request.scope["server"]
    return f"http://[{server}]:{port}" if ":" in server else f"http://{server}:{port}"


def user_of(request: Request) -> User:
    """User of the key in the request, from HTTP Basic (name and key) or Bearer (key); raises 401 if there is none."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    with board_of(request).reading() as session:
        user = _user(session, scheme.lower(), secret.strip())
    if user is None:
        raise refusal(401, "Unauthenticated: user name or key is not valid on this board")
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
