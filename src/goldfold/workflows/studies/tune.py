"""Tune a config: search its parameters over the folds, re-evaluate the best trial, write its config and the record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Event, Thread

from goldfold.errors import GoldfoldError
from goldfold.experiment.executors import ExecutorRequest
from goldfold.experiment.workspace import Workspace
from goldfold.io.formatting import count
from goldfold.io.progress import Observer
from goldfold.report.study.numbers import Facts, trial_line
from goldfold.report.study.result import StudyResult
from goldfold.training.devices import choose_device
from goldfold.tuning.crew import run_workers
from goldfold.tuning.reevaluation import redrawn
from goldfold.tuning.storages import UNREACHABLE
from goldfold.tuning.studies import Study
from goldfold.tuning.work import Asked, opened
from goldfold.workflows.studies.record import conclude_study, study_facts

LOOK_SECONDS = 1.0  # between two looks at the storage for trials that ended


def tune(
    workspace: Workspace,
    competition: str,
    config: str = "baseline",
    overrides: Sequence[str] = (),
    *,
    trials: int = 50,
    hours: float | None = None,
    study: str | None = None,
    storage: str | None = None,
    redraws: int = 2,
    prune: bool = True,
    device: str | None = None,
    executor: ExecutorRequest | None = None,
    accept: Sequence[str] = (),
) -> StudyResult:
    """Search the config's `search:` block over the folds; an existing study is resumed.

    overrides: `key=value` words. trials: of the whole study. hours: after which no trial begins. study: its name, the
    config's by default. storage: a database URL; None: a journal file in the study's folder. redraws: draws of new
    folds for the re-evaluation. executor: its workers run the trials; None: this process does.
    accept: with `code_changed`, resume a study of other code.

    Raises:
        GoldfoldError: the search space or an argument is not valid, the study began with other data, folds, config or
            code, trials fail in a row, or the storage does not answer.
    """
    _check(trials, hours, storage, executor)
    asked = Asked(
        competition=competition,
        config=config,
        overrides=tuple(overrides),
        study=_checked_name(study or config),
        trials=trials,
        project=workspace.root,
        storage=storage,
        until=time.time() + 3600 * hours if hours else None,
        prune=prune,
        device=str(choose_device(device)),
        accept=tuple(accept),
    )
    workspace.prepare(competition)
    found, opened_study = opened(asked, workspace.observer)
    facts = study_facts(found, opened_study, asked)
    _greet(asked, facts, workspace.observer)
    with _reporting(opened_study, facts, trials, workspace.observer):
        run_workers(asked, executor, workspace.observer)
    return conclude_study(found, opened_study, asked, lambda winner: redrawn(found, opened_study, winner, redraws))


def _check(trials: int, hours: float | None, storage: str | None, executor: ExecutorRequest | None) -> None:
    if trials < 1:
        raise GoldfoldError(
            "no_trials", f"a study needs at least 1 trial and {trials} were asked for: give TRIALS=20 or so"
        )
    if hours is not None and hours <= 0:
        raise GoldfoldError(
            "hours_not_positive", f"hours must be more than 0 and {hours:g} were asked for: give HOURS=0.5 or so"
        )
    if executor and (storage or "").startswith("sqlite") and executor.at_once != 1:
        raise GoldfoldError(
            "sqlite_has_one_writer", "SQLite locks under several workers: leave STORAGE out, which uses a journal file"
        )


def _checked_name(study: str) -> str:
    if not study.replace("-", "").replace("_", "").isalnum():
        raise GoldfoldError(
            "study_name", f"a study's name has letters, digits, - and _ only, this is '{study}': choose another"
        )
    return study


def _greet(asked: Asked, facts: Facts, observer: Observer) -> None:
    known = f"{len(facts.trials)} trials are there" if facts.trials else "trial 0 is the config itself"
    folds = count(len(facts.order), "fold")
    observer.line(f"study {asked.study} of {asked.competition}: {asked.trials} trials over {folds}, {known}")
    observer.line(f"kept in {facts.storage}, fits in {asked.folder}")


@contextmanager
def _reporting(study: Study, facts: Facts, trials: int, observer: Observer) -> Iterator[None]:
    """Meanwhile, report each trial that ends, whichever worker ran it."""
    over, known = Event(), {trial.number for trial in facts.trials if trial.state != "running"}
    observer.work("trials", len(known), trials)

    def look() -> None:
        with suppress(*UNREACHABLE):
            now = replace(facts, trials=study.records())
            for trial in now.trials:
                if trial.state != "running" and trial.number not in known:
                    known.add(trial.number)
                    observer.line(trial_line(trial, now))
                    observer.work("trials", len(known), trials)

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
        observer.close()
