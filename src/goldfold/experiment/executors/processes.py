"""Run jobs in processes of this machine that end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.executors.jobs import Share, pack, run_packed, unpack_result


@dataclass(frozen=True)
class Processes:
    """Spawned processes, so that none inherits threads or a CUDA context.

    devices: number of GPUs that they are spread over, in turn. first: index of the first process in that turn.
    """

    share: Share
    devices: int = 0
    first: int = 0

    def run(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Generator[tuple[int, Any], None, None]:
        """See `Executor.run`."""
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
    os.environ.update(environment)
    device = places.get()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device


def _end_with(watched: Connection) -> None:
    """End this process as soon as the other end of the pipe is closed, whatever it is doing."""
    with suppress(EOFError, OSError):
        watched.recv_bytes()
    os._exit(1)
