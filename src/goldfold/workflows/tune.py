"""`tune`: parameters searched over the folds by as many workers as there are, and what came out of it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Event, Thread

from tqdm import tqdm

from goldfold.errors import GoldfoldError
from goldfold.experiment import workspace
from goldfold.experiment.executors import ExecutorRequest, make_executor
from goldfold.experiment.executors.processes import Processes
from goldfold.io.formatting import shown
from goldfold.tuning.reevaluation import redrawn
from goldfold.tuning.storages import UNREACHABLE
from goldfold.tuning.studies import Study
from goldfold.tuning.trials import TrialRecord
from goldfold.tuning.work import Asked, opened, work
from goldfold.workflows.study_record import conclude
from goldfold.workflows.train import device_of, wanted_of

LOOK_SECONDS = 1.0  # between two looks at the storage, for the lines that are printed


def run(arguments: Namespace) -> None:
    asked, wanted = _asked(arguments), _crew_wanted(arguments)
    found, study = opened(asked)
    _greet(asked, study)
    with _told(study, asked.trials, arguments.quiet):
        _work(asked, wanted)
    ended = sum(record.state != "running" for record in study.records())
    if ended < asked.trials:
        print(f"{ended} of {asked.trials} trials ended; the same command goes on")
    conclude(found, study, asked, lambda winner: redrawn(found, study, winner, arguments.redraws, arguments.quiet))


def _asked(arguments: Namespace) -> Asked:
    if arguments.trials < 1:
        raise GoldfoldError(f"a study needs at least 1 trial, {arguments.trials} were asked for: give TRIALS=20 or so")
    if arguments.hours is not None and arguments.hours <= 0:
        raise GoldfoldError(f"hours must be more than 0, {arguments.hours:g} were asked for: give HOURS=0.5 or so")
    return Asked(
        competition=arguments.comp,
        config=arguments.config,
        overrides=tuple(arguments.overrides),
        study=_named(arguments.study or arguments.config),
        trials=arguments.trials,
        storage=arguments.storage,
        until=time.time() + 3600 * arguments.hours if arguments.hours else None,
        prune=not arguments.unpruned,
        device=str(device_of(arguments.device)),
    )


def _crew_wanted(arguments: Namespace) -> ExecutorRequest | None:
    wanted = wanted_of(arguments)
    if wanted and (arguments.storage or "").startswith("sqlite") and wanted.at_once != 1:
        raise GoldfoldError("SQLite locks under several writers: leave STORAGE out, which takes a journal file")
    return wanted


def _named(study: str) -> str:
    if not study.replace("-", "").replace("_", "").isalnum():
        raise GoldfoldError(f"a study's name is made of letters, digits, - and _, this is '{study}': choose another")
    return study


def _greet(asked: Asked, study: Study) -> None:
    known = study.records()
    begun = f"{len(known)} trials are there" if known else "trial 0 is the config itself"
    folds = len(study.basis.order)
    print(f"study {asked.study} of {asked.competition}: {asked.trials} trials over {folds} folds, {begun}")
    print(f"kept in {study.storage.shown}, fits in {asked.folder}", flush=True)


def _work(asked: Asked, wanted: ExecutorRequest | None) -> None:
    """Carry the study on, in this process or by workers; one that dies leaves its trial to the others."""
    if wanted is None:
        work(asked)
        return
    chosen = make_executor(wanted, wanted.at_once or os.cpu_count() or 1, _gpus(asked), workspace.ROOT.resolve())
    print(f"{chosen.share.at_once} workers on {wanted.name}: {chosen.share}", flush=True)
    if not isinstance(chosen, Processes):
        list(chosen.run(work, [asked] * chosen.share.at_once))
        return
    alone = replace(chosen, share=replace(chosen.share, at_once=1))
    _run_workers([replace(alone, first=number) for number in range(chosen.share.at_once)], asked)


def _run_workers(crew: list[Processes], asked: Asked) -> None:
    """Each worker in a pool of its own, so that one which is killed does not end the others; what it refuses does."""
    died: list[GoldfoldError] = []
    refused: list[GoldfoldError] = []

    def carry_on(worker: Processes) -> None:
        try:
            list(worker.run(work, [asked]))
        except GoldfoldError as error:
            if isinstance(error.__cause__, BrokenProcessPool):
                died.append(error)
                if not refused:
                    tqdm.write(f"a worker ended, the others go on with its trial: {error}")
            else:
                refused.append(error)
                _end_workers()

    threads = [Thread(target=carry_on, args=(worker,)) for worker in crew]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        _end_workers()
        raise
    if refused or len(died) == len(crew):
        raise (refused or died)[0]


def _end_workers() -> None:
    for child in multiprocessing.active_children():
        child.kill()


def _gpus(asked: Asked) -> int:
    import torch

    return torch.cuda.device_count() if asked.device.startswith("cuda") else 0


@contextmanager
def _told(study: Study, trials: int, quiet: bool) -> Iterator[None]:
    """A line for every trial that ends meanwhile, whoever carries it out, and a bar where there is a terminal."""
    over, known = Event(), {record.number for record in study.records() if record.state != "running"}
    silent = quiet or bool(os.environ.get("CI")) or not sys.stderr.isatty()
    bar = tqdm(total=trials, initial=len(known), disable=silent, leave=False, desc="trials")

    def look() -> None:
        with suppress(*UNREACHABLE):
            records = study.records()
            for record in records:
                if record.state != "running" and record.number not in known:
                    known.add(record.number)
                    tqdm.write(line(record, study, best_of(records, study.basis.higher_is_better)))
                    bar.update()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            look()

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        look()
        bar.close()


def best_of(records: list[TrialRecord], higher_is_better: bool) -> TrialRecord | None:
    """The complete trial with the best value, the first of equals."""
    complete = [record for record in records if record.state == "complete"]
    sign = -1 if higher_is_better else 1
    return min(complete, key=lambda record: (sign * record.value, record.number), default=None)


def line(record: TrialRecord, study: Study, best: TrialRecord | None) -> str:
    """What one trial came to."""
    params = " ".join(f"{key}={shown(value)}" for key, value in record.params.items())
    if record.state == "complete":
        told = f"{study.basis.metric} {record.value:.4f}{'  best so far' if record is best else ''}"
    else:
        told = f"{record.state}: {record.reason};"
    return f"trial {record.number}  {told}  {params}"
