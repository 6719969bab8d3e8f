"""The resources of a job, and how its result or error is sent back from its process."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.io.formatting import count

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@dataclass(frozen=True, kw_only=True)
class Share:
    """Resources of jobs: at_once, the number that run at the same time; threads and GPUs (in [0, 1]) of each."""

    at_once: int
    threads: int
    gpus: float = 0

    def environment(self) -> dict[str, str]:
        """Environment variables that limit the threads of libraries; set them before any is imported."""
        return dict.fromkeys(THREADS, str(self.threads))

    def __str__(self) -> str:
        """Describe the share in words.

        >>> str(Share(at_once=4, threads=2, gpus=0.5))
        '4 at once, each with 2 threads and 0.5 GPU'
        """
        threads = count(self.threads, "thread")
        return f"{self.at_once} at once, each with {threads}" + (f" and {self.gpus:g} GPU" if self.gpus else "")


@dataclass(frozen=True)
class JobResult:
    """The result of a job, or the error it raised."""

    result: Any = None
    error: Exception | None = None


def pack(function: Callable[[Any], Any], job: Any) -> bytes:
    """Pickle a job for `run_packed`, which unpickles it, so that a failing import is an error of the job."""
    return pickle.dumps((function, job))


def run_packed(told: bytes) -> JobResult:
    """Run a packed job and return its result or error in a form that can be sent."""
    try:
        function, job = pickle.loads(told)
        return JobResult(function(job))
    except Exception as error:
        return JobResult(error=_sendable(error))


def unpack_result(ended: JobResult) -> Any:
    """Return the result of a job, or raise its error."""
    if ended.error is not None:
        raise ended.error
    return ended.result


def _sendable(error: Exception) -> Exception:
    """`error` with its traceback as a note; a RuntimeError with the same text if it cannot be pickled."""
    if isinstance(error, GoldfoldError):  # a message for the user, who needs no traceback
        return GoldfoldError(error.code, error.message)
    told = "".join(traceback.format_exception(error))
    try:
        error = pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"in the process of the job:\n{told}")
    return error
