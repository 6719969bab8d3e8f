"""A worker of a study: claim a trial, run it, store its result, until no trial is left."""

from __future__ import annotations

import gc
import hashlib
import random
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.failures import of_memory
from goldfold.experiment.fits import Experiment, fold_numbers
from goldfold.experiment.setup import CODE_CHANGED, Prepared, accepting, prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.io import memory
from goldfold.io.progress import Observer
from goldfold.io.seeding import derive
from goldfold.params import unused
from goldfold.training.settings import LoopOptions
from goldfold.tuning import objective, storages, studies
from goldfold.tuning.basis import Basis
from goldfold.tuning.search_space import Space, parse_space
from goldfold.tuning.storages import UNREACHABLE
from goldfold.tuning.studies import Claim, Study
from goldfold.tuning.trials import TrialRecord
from goldfold.tuning.workers import Worker

IN_A_ROW = 5  # failed trials after which a study stops
WAIT_SECONDS = 1.0  # between two checks whether another worker has left its trial


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The arguments of `tune` as its workers get them.

    trials: of the whole study, earlier commands included. project: the folder with competitions/, configs/ and runs/;
    absolute for workers in other processes. until: seconds since 1970 after which no trial begins. prune: end hopeless
    trials early.
    """

    competition: str
    config: str
    overrides: tuple[str, ...]
    study: str
    trials: int
    project: Path = Path()
    storage: str | None = None
    until: float | None = None
    prune: bool = True
    device: str = "cpu"
    accept: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return studies_folder(Workspace(self.project), self.competition) / self.study


def studies_folder(workspace: Workspace, competition: str) -> Path:
    """The folder of a competition's studies, each in a folder of its name."""
    return workspace.runs / competition / "studies"


def opened(asked: Asked, observer: Observer | None = None) -> tuple[Prepared, Study]:
    """The experiment whose parameters the study varies, and the study, new or resumed.

    observer: of long work outside the trials; None: nobody.
    """
    workspace = Workspace(asked.project, observer or Observer())
    recipes = workspace.competition(asked.competition).recipes
    path = workspace.config_path(asked.competition, asked.config)
    config = accepting(configs.read_config(path, asked.overrides, recipes), asked.accept)
    found = prepare_experiment(workspace, asked.competition, config, torch.device(asked.device))
    searched = searched_by(config, recipes)
    place = storages.open_storage(asked.storage, asked.folder)
    mixes, basis = CODE_CHANGED in config.protocol.accept, _basis(asked, found, searched)
    return found, studies.open_study(asked.study, searched, basis, place, asked.folder, mixes_code=mixes)


def searched_by(config: configs.Config, recipes: Any) -> Space:
    """The search space of a config, checked."""
    models = (LoopOptions, type(config.params))
    fields = {key: field for model in models for key, field in model.model_fields.items()}
    annotations = {key: field.annotation for key, field in fields.items() if key not in unused(type(config.params))}
    return parse_space(config.search, own_values(config), annotations, lambda values: varied(config, values, recipes))


def own_values(config: configs.Config) -> dict[str, Any]:
    """The value of every parameter of a config, defaults included."""
    return {key: value for key, value in config.resolved().items() if key != "config"}


def varied(config: configs.Config, values: Mapping[str, Any], recipes: Any) -> configs.Config:
    """The config with some values changed."""
    return configs.resolve_config(config.name, {**own_values(config), **values}, recipes)


def experiment_of(found: Prepared, params: dict[str, Any]) -> Experiment:
    """The experiment with a trial's parameters, and with one test row: no trial is scored on test rows.

    Raises:
        GoldfoldError: the parameters are not valid, or break a rule of the competition.
    """
    competition, tables = found.experiment.competition, found.experiment.tables
    config = varied(found.config, params, competition.recipes)
    for rule in competition.rules:
        if broken := rule.broken(config.params):
            raise GoldfoldError("rule_broken", f"it breaks a rule of the competition ({rule.text}): {broken}")
    tables = replace(tables, test=tables.test.iloc[:1])
    return replace(found.experiment, params=config.params, loop=config.loop, tables=tables)


def work(asked: Asked) -> int:
    """Run trials until the study has as many as asked for, or time is up; returns how many were run.

    Raises:
        GoldfoldError: trial 0 (the config itself) fails, five trials in a row fail, the machine fails, or the storage
            does not answer.
    """
    memory.keep_freed_memory()
    found, study = opened(asked)
    worker, done, failed = Worker.in_folder(asked.folder / "workers"), 0, 0
    try:
        while asked.until is None or time.time() < asked.until:
            with study.storage.reached(str(asked.folder)):
                claim = study.claim(worker, asked.trials)
                if claim is None and not study.has_running_trials():
                    break
            if claim is None:  # until the others' trials have ended, or one of them has died
                time.sleep(WAIT_SECONDS)
                continue
            ended = _carried_out(found, study, claim, asked)
            done, failed = done + 1, failed + 1 if ended.state == "failed" else 0
            _refuse_failures(ended, failed)
    finally:
        worker.leave()
    return done


def work_elsewhere(asked: Asked) -> int:
    """As `work`, in another process, here or on another machine; `asked.project` is absolute.

    A machine that does not see the study's folder works in its current folder, where a cluster puts the project's code.

    Raises:
        GoldfoldError: as `work`, or the study's storage is a file that this machine does not see.
    """
    if asked.folder.exists():
        return work(asked)
    if not asked.storage or asked.storage.startswith("sqlite"):
        raise GoldfoldError(
            "storage_not_shared",
            f"a worker on {socket.gethostname()} does not see {asked.folder}, where the study is stored: use a storage "
            "that all machines reach, STORAGE=postgresql://user:password@host/database",
        )
    return work(replace(asked, project=Path.cwd()))


def _carried_out(found: Prepared, study: Study, claim: Claim, asked: Asked) -> TrialRecord:
    """Run a claimed trial and store its result; its fits are kept on disk even if the storage does not answer."""
    known, code = claim.known, found.hashes()["code_hash"]
    folder = study.trial_folder(known.params)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # two workers may have sampled the same parameters
        _drop_other_code(folder, code)
        study.keep(known, code)
        with study.heartbeat(claim):
            try:
                experiment = experiment_of(found, dict(known.params))
            except GoldfoldError as error:
                ended = replace(known, state="failed", reason=str(error))
            else:
                ended = _run(experiment, folder, study, claim, _surroundings(study, claim, asked, code))
        study.keep(ended, code)
        with study.storage.reached(str(asked.folder)):
            study.end(claim, ended)
        objective.remove_weights(folder)
    return ended


def _run(
    experiment: Experiment, folder: Path, study: Study, claim: Claim, context: objective.TrialContext
) -> TrialRecord:
    """Run a trial; where memory runs out it is tried again, from its checkpoints, and fails after `ATTEMPTS`.

    Raises:
        GoldfoldError, OSError, MemoryError: the machine failed, or memory ran out for the config itself; the trial
            stays open for the next worker or command.
    """
    for attempt in range(1, studies.ATTEMPTS + 1):
        try:
            return objective.run_trial(experiment, folder, claim.known, context)
        except (GoldfoldError, OSError, MemoryError) as error:
            last = attempt == studies.ATTEMPTS
            if not of_memory(error) or (last and claim.known.number == 0):
                study.release(claim)
                raise
            if last:
                told = f"memory ran out {attempt} times, which may be this machine's: {str(error) or 'no details'}"
                return replace(claim.known, state="failed", reason=told)
            gc.collect()
    raise AssertionError("the last attempt returns or raises")


def _surroundings(study: Study, claim: Claim, asked: Asked, code: str) -> objective.TrialContext:
    seen: list[TrialRecord] = []

    def earlier() -> list[TrialRecord]:
        with suppress(*UNREACHABLE):
            seen[:] = [record for record in study.records() if record.number != claim.known.number]
        return seen

    def note(record: TrialRecord) -> None:
        study.keep(record, code)
        with suppress(*UNREACHABLE):  # reported at the end of the trial
            study.note(claim, record)

    return objective.TrialContext(order=study.basis.order, earlier=earlier, note=note, prune=asked.prune)


def _drop_other_code(folder: Path, code: str) -> None:
    """Remove fits that were made with other code; the record of which code may be damaged."""
    if (folder / studies.TRIAL).exists() and studies.kept_record(folder / studies.TRIAL).get("code") != code:
        for fit in folder.glob("fold*-seed*"):
            shutil.rmtree(fit)


def _refuse_failures(ended: TrialRecord, failed: int) -> None:
    if ended.state == "failed" and ended.number == 0:
        raise GoldfoldError(
            "baseline_trial_failed", f"trial 0, the config itself, fails, so there is no baseline: {ended.reason}"
        )
    if failed == IN_A_ROW:
        raise GoldfoldError(
            "trials_failed",
            f"{failed} trials in a row failed, the last one with: {ended.reason}; narrow the search and start a new "
            "study with STUDY=<another name>",
        )


def _basis(asked: Asked, found: Prepared, searched: Space) -> Basis:
    own = own_values(found.config)
    numbers = list(fold_numbers(found.experiment.protocol, found.experiment.folds))
    random.Random(derive(asked.study, "fold order")).shuffle(numbers)
    metric, hashes = found.experiment.competition.metric, found.hashes()
    return Basis(
        competition=asked.competition,
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        search=dict(searched.written),
        config={key: value for key, value in own.items() if key not in ("debug", "accept")},
        data=hashes["data_hash"],
        folds=hashlib.sha256(found.drawn.encode()).hexdigest(),
        order=numbers,
        code=hashes["code"],
    )
