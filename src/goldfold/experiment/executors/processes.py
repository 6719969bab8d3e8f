"""Run jobs in processes of this machine that end with the process that started them."""

from __future__ import annotations

import ast
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.executors.jobs import Share, pack, run_packed, unpack_result
from goldfold.io import garbage


@dataclass(frozen=True)
class Processes:
    """Spawned processes, so that none inherits threads or a CUDA context.

    devices: number of GPUs that they are spread over, in turn. first: index of the first process in that turn.
    """

    share: Share
    devices: int = 0
    first: int = 0

    def run(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Generator[tuple[int, Any], None, None]:
        """See `Executor.run`; the script that Python runs must have a main guard."""
        _check_main_guard()
        context = multiprocessing.get_context("spawn")
        watched, life = context.Pipe(duplex=False)  # the system also closes `life` if this process is killed
        places = context.SimpleQueue()
        for number in range(self.share.at_once):
            places.put(_device(self.first + number, self.devices) if self.share.gpus else None)
        pool = ProcessPoolExecutor(
            self.share.at_once, context, initializer=_begin, initargs=(watched, self.share.environment(), places)
        )
        try:
            numbers = {pool.submit(run_packed, pack(function, job)): number for number, job in enumerate(jobs)}
            for future in as_completed(numbers):
                yield numbers[future], unpack_result(future.result())
            pool.shutdown()  # all jobs are done: let the processes end by themselves and free their memory
        except BrokenProcessPool as error:
            raise GoldfoldError(
                "worker_process_died",
                "a worker process died, since memory ran out or somebody killed it: ask for fewer jobs at once. Run "
                "the same command again to resume",
            ) from error
        finally:
            life.close()
            pool.shutdown(cancel_futures=True)
            watched.close()


def _check_main_guard() -> None:
    """Refuse a script without a main guard: each spawned process would import the script and run it again."""
    script = sys.modules["__main__"]
    path = getattr(script, "__file__", None)
    if getattr(script, "__spec__", None) or not path or not os.path.isfile(path):  # python -m, a notebook, a prompt
        return
    tests = [node.test for node in ast.parse(Path(path).read_bytes()).body if isinstance(node, ast.If)]
    if not any(isinstance(name, ast.Name) and name.id == "__name__" for test in tests for name in ast.walk(test)):
        raise GoldfoldError(
            "no_main_guard",
            f"{path} starts worker processes, each of which imports it and would run it again: move its code below "
            'a line `if __name__ == "__main__":`, or do not set `workers`',
        )


def _device(number: int, devices: int) -> str:
    """The CUDA_VISIBLE_DEVICES of the process `number`, one of the GPUs that this process sees.

    >>> [_device(number, devices=2) for number in range(3)]
    ['0', '1', '0']
    """
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (seen.split(",") if seen else [str(each) for each in range(devices)])[number % devices]


def _begin(watched: Connection, environment: dict[str, str], places: Any) -> None:
    """Set up a process before its first job, and before it imports torch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group, and only the parent handles it
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    garbage.leave_at_once()
    os.environ.update(environment)
    device = places.get()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device


def _end_with(watched: Connection) -> None:
    """End this process as soon as the other end of the pipe is closed, whatever it is doing."""
    with suppress(EOFError, OSError):
        watched.recv_bytes()
    os._exit(1)
