"""What a job gets of a machine, and how its end travels from the process it ran in."""

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
    """at_once: jobs at the same time. threads: of each, for torch, BLAS and OpenCV. gpus: of each, in [0, 1]."""

    at_once: int
    threads: int
    gpus: float = 0

    def environment(self) -> dict[str, str]:
        """The variables by which libraries learn of their threads, to be set before any of them is imported."""
        return dict.fromkeys(THREADS, str(self.threads))

    def __str__(self) -> str:
        """
        >>> str(Share(at_once=4, threads=2, gpus=0.5))
        '4 at once, each with 2 threads and 0.5 GPU'
        """
        threads = count(self.threads, "thread")
        return f"{self.at_once} at once, each with {threads}" + (f" and {self.gpus:g} GPU" if self.gpus else "")


@dataclass(frozen=True)
class Ended:
    """A job's result, or the error it ended with."""

    result: Any = None
    error: Exception | None = None


def packed(function: Callable[[Any], Any], job: Any) -> bytes:
    """What `carried_out` is told; unpacked there, so that an import that fails is an error of the job."""
    return pickle.dumps((function, job))


def carried_out(told: bytes) -> Ended:
    """How a packed job ended, in a form that can be sent."""
    try:
        function, job = pickle.loads(told)
        return Ended(function(job))
    except Exception as error:
        return Ended(error=_sendable(error))


def result_of(ended: Ended) -> Any:
    """The result of a job; raises its error where it ended with one."""
    if ended.error is not None:
        raise ended.error
    return ended.result


def _sendable(error: Exception) -> Exception:
    """`error` with its traceback as a note, as a RuntimeError of the same text where it does not survive pickling."""
    if isinstance(error, GoldfoldError):  # a sentence for the user, who needs no traceback
        return GoldfoldError(*error.args)
    told = "".join(traceback.format_exception(error))
    try:
        error = pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"in the process of the job:\n{told}")
    return error
