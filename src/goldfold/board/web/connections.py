"""Connections of the board: how many there may be, and how long one may keep the board waiting.

A connection waits while its request has not arrived whole, or while its client does not read the answer. Where there
are too many connections, the one that has waited longest is closed, so that a new client is always heard. New ones are
accepted one by one, once there is room: asyncio would accept them beyond the limit of open files.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections import Counter
from collections.abc import Callable, Iterable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # seconds for the line and the headers of a request, and between two requests
STALL_S = 20.0  # seconds in which a body or an answer may stand still
GRACE_S = 60.0  # seconds after which a body must have come at SLOWEST
SLOWEST = 16 * 2**10  # bytes per second
SWEEP_S = 1.0
MOST = 512  # connections
FEWEST = 16
OWN_FILES = 80  # descriptors for the database, judges and files
PER_CONNECTION = 2  # descriptors: its socket, and the file of its upload
HEARD_S = 0.2  # seconds that a connection is kept at least, so that a new client can send its request
FULL_S = 0.02  # seconds between two looks for room
QUEUE = 2048  # connections that may wait in the operating system

log = logging.getLogger(__name__)


class Connection(H11Protocol):
    """A connection that knows since when it waits. Times: seconds of the event loop's clock."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self.began = self.loop.time()
        self.received, self.unread = 0, False

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
    """Server that calls `ready` once it is, and closes connections that keep it waiting for too long."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        for listening in sockets or ():
            listening.setblocking(False)
            listening.listen(QUEUE)
        self.working = [asyncio.create_task(self._accept(listening)) for listening in sockets or ()]
        self.working.append(asyncio.create_task(self._sweep()))
        asyncio.get_running_loop().set_exception_handler(_in_one_line)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        *accepting, sweeping = self.working
        for task in accepting:
            task.cancel()
        await super().shutdown(sockets)
        sweeping.cancel()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not _make_room(self.server_state.connections, loop.time()):
                await asyncio.sleep(FULL_S)
                continue
            try:
                client, _ = await loop.sock_accept(listening)
                await loop.connect_accepted_socket(self._connection, client)
            except OSError as error:
                log.warning("no connection is accepted for a second: %s", error)
                await asyncio.sleep(1)

    def _connection(self) -> Connection:
        return Connection(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = asyncio.get_running_loop().time()
            for connection in _of(self.server_state.connections):
                if connection.is_late(now):
                    connection.drop()


def room() -> int:
    """Number of connections that the limit of open files leaves room for; one address may have half of them."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(FEWEST, min(MOST, (files - OWN_FILES) // PER_CONNECTION))


def _make_room(connections: Iterable[object], now: float) -> bool:
    """Whether one more connection has room; the longest waiting one of the address with the most may be closed."""
    every = _of(connections)
    (most, own), *_ = Counter(map(_address, every)).most_common(1) or [("", 0)]
    if own < room() // 2 and len(every) < room():
        return True
    waiting = [each for each in every if _address(each) == most and each.waits and now - each.since > HEARD_S]
    if waiting:
        min(waiting, key=lambda each: each.since).drop()
    return bool(waiting) or len(every) < room()


def _of(connections: Iterable[object]) -> list[Connection]:
    return [each for each in connections if isinstance(each, Connection)]


def _address(connection: Connection) -> str:
    return connection.client[0] if connection.client else ""


def _in_one_line(loop: asyncio.AbstractEventLoop, context: dict) -> None:
    """Log what fails outside a request, such as an accept without a free descriptor, without its traceback."""
    log.warning("%s: %s", context.get("message"), context.get("exception"))
