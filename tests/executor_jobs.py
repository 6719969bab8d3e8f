"""Functions that tests let executors carry out: of a module that every process can import by its name."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from goldfold.errors import GoldfoldError

PATIENCE = 60  # seconds after which whoever waits for somebody is red instead of stuck


class UnpicklableError(Exception):
    """Survives being pickled and not being unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def reading(fifo: str | None) -> str:
    """The text somebody writes into a fifo; a job without one ends at once."""
    signal.alarm(PATIENCE)
    return Path(fifo).read_text() if fifo else "at once"


def raising(error: Exception) -> None:
    raise error


def blocked(address: str) -> None:
    """Tell a socket that a job is at work, and stay at it until the other side hangs up."""
    with calling(address) as line:
        while line.recv(1):
            pass


def failing_or_blocked(job: tuple[str, str]) -> None:
    """One fails once the other side has answered, the other stays at work."""
    address, part = job
    if part == "blocked":
        blocked(address)
    with calling(address) as line:
        assert line.recv(1) == b"!"
        raise GoldfoldError("job_impossible", "this job cannot be done: do another")


def calling(address: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.connect(address)
    line.sendall(b"here")
    return line


def killing(job: int) -> int:
    if job == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def threads(job: int) -> tuple[int, str]:
    import torch  # here alone, since it is slow

    return torch.get_num_threads(), os.environ["OPENBLAS_NUM_THREADS"]


def device_where_both_are(job: tuple[str, str]) -> str:
    """The GPUs this process sees, told only once a second process is at its own job."""
    signal.alarm(PATIENCE)
    with open(*job):
        return os.environ["CUDA_VISIBLE_DEVICES"]


def unpicklable(job: int) -> None:
    raise UnpicklableError("this", "that")
