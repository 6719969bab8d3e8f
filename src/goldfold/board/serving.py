"""Serve the local leaderboard to the kaggle client and to browsers."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from goldfold.board import users
from goldfold.board.database import Board, open_board
from goldfold.board.scoring import Scoring
from goldfold.board.web.application import application
from goldfold.board.web.connections import Connection, Server
from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_json, write_text
from goldfold.kaggle import service

JUDGE = (sys.executable, "-m", "goldfold.board.judge")


def serve(folder: Path, bind: str, port: int, host_names: Collection[str] = ()) -> None:
    """Serve the board in `folder` until it is interrupted; prints its address once it is ready.

    port: 0 takes any. host_names: names of this machine under which clients may ask for the board, such as board.lan.

    Raises:
        GoldfoldError: it is served already (`board_served_already`), the port is taken (`port_taken`), or other
            machines could reach it and no user has a key (`board_without_keys`).
    """
    board = open_board(folder)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise GoldfoldError(
            "board_served_already", f"{folder} is already served: open its address, or stop that process first"
        ) from None
    _refuse_strangers(board, bind)
    listening = _listen(bind, port)
    address = _address(listening)
    _write_client(board, folder, address)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # uvicorn has its own handlers; a second signal must not interrupt it
    app = application(board, Scoring(board, JUDGE), host_names)
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="asyncio",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    Server(config, lambda: print(f"board at {address}", flush=True)).run(sockets=[listening])


def _refuse_strangers(board: Board, bind: str) -> None:
    """Raise GoldfoldError if other machines could reach the board and no user has a key."""
    try:
        loopback = bind == "localhost" or ip_address(bind).is_loopback
    except ValueError:
        raise GoldfoldError(
            "not_an_address", f"'{bind}' is not an IP address: use 127.0.0.1, or another address of this machine"
        ) from None
    with board.reading() as session:
        if not loopback and not users.invited(session):
            raise GoldfoldError(
                "board_without_keys",
                f"{bind} can be reached from other machines, and no user has a key: run make host-user NAME=... first",
            )


def _listen(bind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((bind, port))
    except (OSError, OverflowError) as error:
        raise GoldfoldError(
            "port_taken", f"port {port} of {bind} is not free ({error}): choose another with --port, 0 takes any"
        ) from None
    listening.set_inheritable(False)
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if ip_address(host).is_unspecified:  # all addresses of this machine: print the loopback address
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serving(board: Path) -> str | None:
    """Address of the board in a folder, or None if it is not served."""
    lock = FileLock(board / ".lock", timeout=0)
    try:
        with lock:
            return None
    except Timeout:
        return read_json(board / "client.json", dict).get("url")


def _write_client(board: Board, folder: Path, address: str) -> None:
    """Write address and key of the owner for submissions of this project and for shells; a valid key is kept."""
    path = folder / "client.json"
    known = read_json(path, dict) if path.exists() else {}
    with board.reading() as session:
        valid = users.by_login(session, known.get("username", ""), known.get("key", "")) is not None
    if not valid:
        user, key = users.register(board, users.OWNER, replace=True)
        known = {"username": user.name, "key": key}
    known["url"] = address
    before = os.umask(0o077)
    try:
        write_json(path, known)
        write_text(path.with_suffix(".env"), shell(known, path.parent))
    finally:
        os.umask(before)


def shell(client: Mapping[str, str], board: Path) -> str:
    """Shell script that sets `service.client_environment`."""
    own = board.resolve() / "client"
    home = {"HOME": str(own), "KAGGLE_CONFIG_DIR": str(own)}  # the client would prefer a token in the user's own folder
    exported = {**home, **service.client_environment(client)}
    return (
        "# For one command, in a shell of its own: ( . board/client.env && kaggle competitions list )\n"
        "unset KAGGLE_API_TOKEN NO_PROXY no_proxy ALL_PROXY all_proxy VERBOSE VERBOSE_OUTPUT\n"
        f"mkdir -p {shlex.quote(str(own))}\n"
        + "".join(f"export {name}={shlex.quote(value)}\n" for name, value in exported.items())
    )
