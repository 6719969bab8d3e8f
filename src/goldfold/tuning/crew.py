"""The workers of a study at once: in this process, on processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from threading import Event, Thread
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.executors import ExecutorRequest, make_executor
from goldfold.experiment.executors.processes import Processes
from goldfold.io.progress import Observer
from goldfold.tuning.work import Asked, work, work_elsewhere

CTRL_C_SECONDS = 0.5  # the terminal sends Ctrl-C to workers, too, and they may end before this process has noticed
JOIN_SECONDS = 0.1


def run_workers(asked: Asked, wanted: ExecutorRequest | None, observer: Observer) -> None:
    """Run trials until the study has as many as asked for, or time is up.

    wanted: who runs the trials; None: this process, one after the other. On processes, the trial of a worker that dies
    is resumed by another.

    Raises:
        GoldfoldError: a worker's own, or all workers died.
    """
    if wanted is None:
        work(asked)
        return
    asked = replace(asked, project=asked.project.resolve())
    chosen = make_executor(wanted, wanted.at_once or os.cpu_count() or 1, _gpus(asked), asked.project)
    count = chosen.share.at_once
    observer.line(f"{count} workers on {wanted.name}: {chosen.share}")
    asked.folder.mkdir(parents=True, exist_ok=True)  # workers look for it
    if not isinstance(chosen, Processes):
        list(chosen.run(work_elsewhere, [asked] * count))
        return
    alone = replace(chosen, share=replace(chosen.share, at_once=1))
    crew = [replace(alone, first=number) for number in range(count)]
    run_in_own_pools(crew, work_elsewhere, asked, observer.line)


def run_in_own_pools(
    crew: Sequence[Processes], function: Callable[[Any], Any], job: Any, tell: Callable[[str], None]
) -> None:
    """Run the job once by each worker in a pool of its own: a killed one does not end the others, an error of one does.

    tell: is told of a worker that died, unless Ctrl-C ended them all.
    """
    died: list[GoldfoldError] = []
    refused: list[Exception] = []
    strangers = set(multiprocessing.active_children())
    interrupted = Event()

    def end_workers() -> None:
        for child in set(multiprocessing.active_children()) - strangers:
            child.kill()

    def run(worker: Processes) -> None:
        try:
            list(worker.run(function, [job]))
        except Exception as error:
            if isinstance(error, GoldfoldError) and isinstance(error.__cause__, BrokenProcessPool):
                died.append(error)
                if not refused and not interrupted.wait(CTRL_C_SECONDS):
                    tell(f"a worker died, the others resume its trial: {error}")
            else:
                refused.append(error)
                end_workers()

    threads = [Thread(target=run, args=(worker,)) for worker in crew]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        interrupted.set()
        while any(thread.is_alive() for thread in threads):  # a worker may be starting only now
            end_workers()
            for thread in threads:
                thread.join(JOIN_SECONDS)
        raise  # not before its pools are closed: the interpreter's exit would write into a pipe as it is closed
    if refused or len(died) == len(crew):
        raise (refused or died)[0]


def _gpus(asked: Asked) -> int:
    import torch

    return torch.cuda.device_count() if asked.device.startswith("cuda") else 0
