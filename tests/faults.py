"""A proxy between the kaggle client and the local board that goes wrong on demand; for tests alone.

Requests reach it as to any HTTP proxy. Each is an operation: the name of its RPC, `PUT` for an upload, `GET` for a
download. Faults wait in a list; the first one of an operation applies to it, `times` times after letting `skip` pass.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["answer", "drop", "lose", "cut", "stall", "late"]
HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Fault:
    """What happens instead of passing on and answering.

    answer: `status` with `body` without any work. drop: the connection ends before the work. lose: the work is done and
    the connection ends instead of an answer. cut: the connection ends after `length` bytes of the request's body.
    stall: nothing happens until the proxy is released. late: the same, and then the work is done after all.
    """

    operation: str
    kind: Kind
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    length: int = 0
    skip: int = 0
    times: int = 1


def says(operation: str, status: int, message: str, **when: int) -> Fault:
    """A refusal in the form of Kaggle's."""
    body = json.dumps({"code": status, "message": message}).encode()
    return Fault(operation, "answer", status, body, **when)


def answers(operation: str, reply: dict, **when: int) -> Fault:
    return Fault(operation, "answer", 200, json.dumps(reply).encode(), **when)


def page(operation: str, status: int = 200, **when: int) -> Fault:
    """What a gateway between the two may answer."""
    return Fault(operation, "answer", status, b"<html><body>Welcome</body></html>", "text/html", **when)


class Proxy:
    """Listens on a free port of this machine and passes on to `board`, http://127.0.0.1:PORT."""

    def __init__(self, board: str) -> None:
        self.board = urlsplit(board).netloc
        self.faults: list[Fault] = []
        self.log: list[str] = []
        self.released = threading.Event()
        self.active = 0
        self.lock = threading.Condition()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Request,), {"proxy": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def fault(self, operation: str) -> Fault | None:
        """The fault of this request, counted."""
        with self.lock:
            self.log.append(operation)
            self.lock.notify_all()
            for each in self.faults:
                if each.operation != operation or each.times <= 0:
                    continue
                if each.skip:
                    each.skip -= 1
                    continue
                each.times -= 1
                return each
        return None

    def wait_until(self, operation: str) -> None:
        """Until a request of that operation has come."""
        with self.lock:
            assert self.lock.wait_for(lambda: operation in self.log, timeout=60), f"{operation} never came"

    def settle(self) -> None:
        """Let everything that waits go on, until nothing is on its way."""
        self.released.set()
        with self.lock:
            assert self.lock.wait_for(lambda: self.active == 0, timeout=60), "requests do not end"

    def reset(self) -> None:
        """No faults, an empty log; what waits goes on."""
        self.released.set()
        with self.lock:
            self.faults, self.log, self.released = [], [], threading.Event()


@contextmanager
def proxy(board: str) -> Iterator[Proxy]:
    running = Proxy(board)
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.released.set()
        running.server.shutdown()
        running.server.server_close()
        thread.join()


class _Request(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self._handle(urlsplit(self.path).path.rpartition("/")[2])

    def do_PUT(self) -> None:
        self._handle("PUT")

    def do_GET(self) -> None:
        self._handle("GET")

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self, operation: str) -> None:
        with self.proxy.lock:
            self.proxy.active += 1
        try:
            self._carry_out(operation)
        finally:
            with self.proxy.lock:
                self.proxy.active -= 1
                self.proxy.lock.notify_all()

    def _carry_out(self, operation: str) -> None:
        released, fault = self.proxy.released, self.proxy.fault(operation)
        with suppress(ConnectionError):
            if fault is None:
                self._reply(*self._passed_on(self._body()))
            else:
                self.close_connection = True
                getattr(self, f"_{fault.kind}")(fault, released)

    def _answer(self, fault: Fault, _: threading.Event) -> None:
        self._body()
        self._reply(fault.status, [("Content-Type", fault.content_type)], fault.body)

    def _drop(self, fault: Fault, _: threading.Event) -> None:
        self._body()

    def _lose(self, fault: Fault, _: threading.Event) -> None:
        self._passed_on(self._body())

    def _cut(self, fault: Fault, _: threading.Event) -> None:
        self.rfile.read(fault.length)

    def _stall(self, fault: Fault, released: threading.Event) -> None:
        self._body()
        released.wait(60)

    def _late(self, fault: Fault, released: threading.Event) -> None:
        body = self._body()
        released.wait(60)
        self._passed_on(body)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        parts = urlsplit(self.path)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        board = http.client.HTTPConnection(self.proxy.board, timeout=60)
        try:
            board.request(self.command, target, body, headers)
            reply = board.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            board.close()

    def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
