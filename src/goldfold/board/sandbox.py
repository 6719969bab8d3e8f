"""One function call in a forked process that may use only so much memory, processor time and time."""

from __future__ import annotations

import json
import os
import resource
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError

LONGEST = 2000  # characters of an error; what is written must fit into a pipe that nobody reads yet


@dataclass(frozen=True, kw_only=True)
class Limits:
    """memory: bytes beyond what the process has already; cpu_s, wall_s: whole seconds."""

    memory: int = 2 * 2**30
    cpu_s: int = 60
    wall_s: int = 120


def call(function: Callable[[], dict[str, Any]], limits: Limits) -> dict[str, Any]:
    """What `function` returned, in JSON's types; or {"error": one sentence} where it failed or was ended.

    The process must have no other threads. The sentence holds the text of a GoldfoldError and of nothing else, since
    other errors may quote anything the function saw; their tracebacks go to stderr.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(function, limits, write)
    os.close(write)
    try:
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            return {"error": _ended_by(os.WTERMSIG(status), limits)}
        return json.loads(os.read(read, 65536) or '{"error": "Scoring this file ended without a result."}')
    finally:
        os.close(read)


def _child(function: Callable[[], dict[str, Any]], limits: Limits, write: int) -> None:
    """Never returns: what the parent would do next is not the child's to do."""
    try:
        _restrict(limits)
        answer = _answer(function, limits)
        os.write(write, json.dumps(answer).encode())
    finally:
        os._exit(0)


def _answer(function: Callable[[], dict[str, Any]], limits: Limits) -> dict[str, Any]:
    try:
        return function()
    except MemoryError:
        return {"error": f"Scoring this file takes more than the {limits.memory / 2**30:g} GiB of memory there are."}
    except GoldfoldError as error:
        return {"error": _sentence(error)}
    except BaseException as error:
        traceback.print_exc()
        return {"error": f"Scoring this file failed ({type(error).__name__}); the host's terminal says where."}


def _sentence(error: GoldfoldError) -> str:
    """Its text on one line; what the file put into it is shown as far as it can be printed."""
    text = " ".join(str(error).split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:LONGEST]


def _restrict(limits: Limits) -> None:
    """Limits the kernel keeps, so that no loop in C escapes them; that of memory only on Linux."""
    used = Path("/proc/self/statm")
    if used.exists():
        memory = int(used.read_text().split()[0]) * resource.getpagesize() + limits.memory
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(limits.wall_s)


def _ended_by(number: int, limits: Limits) -> str:
    reasons: dict[int, str] = {
        signal.SIGXCPU: f"took more than {limits.cpu_s} s of processor time",
        signal.SIGALRM: f"took more than {limits.wall_s} s",
    }
    return f"Scoring this file {reasons.get(number, f'was ended by signal {number}')}."
