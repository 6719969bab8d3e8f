"""Function calls in a forked process with limits of memory, CPU time and wall time."""

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

LONGEST = 2000  # characters of an error; the answer must fit into the buffer of a pipe


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a call. memory: bytes in addition to those in use; cpu_s, wall_s: whole seconds."""

    memory: int = 2 * 2**30
    cpu_s: int = 60
    wall_s: int = 120


def call(function: Callable[[], dict[str, Any]], limits: Limits) -> dict[str, Any]:
    """Call `function` in a forked process; returns its result, or {"error": message} if it failed or exceeded a limit.

    With the error come "late": True if the limit was wall time, and "internal": True if the function failed otherwise
    than by a GoldfoldError or a limit.

    The process must have no other threads. The message quotes only a GoldfoldError, since other errors may quote
    hidden data; their tracebacks go to stderr.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(function, limits, write)
    os.close(write)
    try:
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            late = {"late": True} if number == signal.SIGALRM else {}
            return {"error": _ended_by(number, limits), **late}
        return json.loads(os.read(read, 65536) or '{"error": "Scoring this file ended without a result."}')
    finally:
        os.close(read)


def _child(function: Callable[[], dict[str, Any]], limits: Limits, write: int) -> None:
    """Run the function and exit; never returns, so that the child does not continue the parent's work."""
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
        return {"error": f"Scoring this file needs more than {limits.memory / 2**30:g} GiB of memory."}
    except GoldfoldError as error:
        return {"error": _sentence(error)}
    except BaseException as error:
        traceback.print_exc()
        told = f"Scoring this file failed ({type(error).__name__}); see the terminal of the board."
        return {"error": told, "internal": True}


def _sentence(error: GoldfoldError) -> str:
    """Message on one line, with characters that cannot be printed replaced by ?."""
    text = " ".join(str(error).split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:LONGEST]


def _restrict(limits: Limits) -> None:
    """Set limits in the operating system, so that they also stop C code; memory only on Linux."""
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
        signal.SIGXCPU: f"took more than {limits.cpu_s} s of CPU time",
        signal.SIGALRM: f"took more than {limits.wall_s} s",
    }
    return f"Scoring this file {reasons.get(number, f'was ended by signal {number}')}."
