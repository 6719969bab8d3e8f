"""Keeps the tests, and every Python process they start, on this machine: nobody's server is asked by accident."""

from __future__ import annotations

import os
from pathlib import Path

GUARD = """
import socket

def _refuse(host):
    if str(host) not in ("127.0.0.1", "localhost", "::1"):
        raise OSError(f"the guard of the tests refuses {host}")

_connect, _look_up = socket.socket.connect, socket.getaddrinfo

def connect(self, address):
    if isinstance(address, tuple):
        _refuse(address[0])
    return _connect(self, address)

def getaddrinfo(host, *rest, **more):
    _refuse(host)
    return _look_up(host, *rest, **more)

socket.socket.connect, socket.getaddrinfo = connect, getaddrinfo
"""


def stand(folder: Path) -> None:
    """Refuse every address but this machine's, here and in all interpreters that inherit PYTHONPATH."""
    (folder / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it would ask for its newest version, and warn where it cannot
    exec(GUARD, {})
