"""Connections of the board: how many there may be, and how long one may keep the board waiting.

A connection waits while its request has not arrived whole, or while its client does not read the answer. Where there
are too many connections, the one that has waited longest is closed, so that a new client is always heard.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections import Counter
from collections.abc import Iterable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # seconds for the line and the headers of a request, and between two requests
STALL_S = 20.0  # seconds in which a body or an answer may stand still
GRACE_S = 60.0  # seconds after which a body must have come at SLOWEST
SLOWEST = 16 * 2**10  # bytes per second
SWEEP_S = 1.0
MOST = 512  # connections
OWN_FILES = 80  # descriptors for the database, judges, files and sockets that were just accepted
PER_CONNECTION = 2  # descriptors: its socket, and the file of its upload
AT_ONCE = 16  # sockets accepted in one turn of the event loop
QUEUE = 2048  # connections that may wait in the operating system

log = logging.getLogger(__name__)


class Connection(H11Protocol):
    """A connection that knows since when it waits. Times: seconds of the event loop's clock."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self.began = self.loop.time()
        self.received, self.unread = 0, False
        _make_room(self)

    def data_received(self, data: bytes) -> None:
        before, now = self.cycle, self.loop.time()
        super().data_received(data)
        if self.cycle is not before:  # the headers of a request are complete
            self.began, self.received = now, 0
        if self.cycle and not self.cycle.response_complete:  # a piece of headers is no progress
            self.since = now
        self.received += len(data)

    def on_response_complete(self) -> None:
        self.since = self.began = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self.unread, self.since = True, self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.unread, self.since = False, self.loop.time()
        super().resume_writing()

    @property
    def waits(self) -> bool:
        """Whether the board waits for this client, and not the client for the board."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body or self.unread

    def is_late(self, now: float) -> bool:
        """Whether the client has kept the board waiting for too long."""
        if not self.waits:
            return False
        if self.cycle is None or self.cycle.response_complete:
            return now - self.since > HEAD_S
        slow = now - self.began > GRACE_S and self.received < SLOWEST * (now - self.began)
        return now - self.since > STALL_S or (slow and not self.unread)

    def drop(self) -> None:
        """Close without an answer; what is running for it sees a disconnected client."""
        self.connections.discard(self)
        self.transport.abort()


class Server(uvicorn.Server):
    """Server that prints a line once it is ready, and closes connections that keep it waiting for too long."""

    def __init__(self, config: uvicorn.Config, sentence: str) -> None:
        super().__init__(config)
        self.sentence = sentence

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(QUEUE)  # asyncio would also accept that many at once, beyond the limit of descriptors
        asyncio.get_running_loop().set_exception_handler(_in_one_line)
        self.sweeping = asyncio.create_task(self._sweep())
        print(self.sentence, flush=True)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = asyncio.get_running_loop().time()
            for connection in _of(self.server_state.connections):
                if connection.is_late(now):
                    connection.drop()


def room() -> int:
    """Number of connections that the limit of open files leaves room for, at most MOST."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(AT_ONCE, min(MOST, (files - OWN_FILES) // PER_CONNECTION))


def _make_room(new: Connection) -> None:
    """Close the longest waiting connection if there are too many in all, or of the new one's address."""
    every = _of(new.connections)
    own = [each for each in every if _address(each) == _address(new)]
    if len(own) > room() // 2:
        _close_one(own, new)
    elif len(every) > room():
        (most, _), *_ = Counter(map(_address, every)).most_common(1)
        _close_one([each for each in every if _address(each) == most], new)


def _close_one(among: Iterable[Connection], new: Connection) -> None:
    waiting = [each for each in among if each.waits and each is not new]
    (min(waiting, key=lambda each: each.since) if waiting else new).drop()


def _of(connections: Iterable[object]) -> list[Connection]:
    return [each for each in connections if isinstance(each, Connection)]


def _address(connection: Connection) -> str:
    return connection.client[0] if connection.client else ""


def _in_one_line(loop: asyncio.AbstractEventLoop, context: dict) -> None:
    """Log what fails outside a request, such as an accept without a free descriptor, without its traceback."""
    log.warning("%s: %s", context.get("message"), context.get("exception"))
