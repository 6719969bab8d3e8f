"""What a worker of a study does: claim a trial, carry it out, tell how it ended, until there is none left."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment import workspace
from goldfold.experiment.fits import Experiment, fold_numbers
from goldfold.experiment.setup import Prepared, prepare_experiment
from goldfold.io import memory
from goldfold.io.files import read_json
from goldfold.io.seeding import derive
from goldfold.training.settings import LoopOptions
from goldfold.tuning import objective, storages, studies
from goldfold.tuning.search_space import Space, parse_space
from goldfold.tuning.storages import UNREACHABLE
from goldfold.tuning.studies import Basis, Claim, Study
from goldfold.tuning.trials import TrialRecord
from goldfold.tuning.workers import Worker

IN_A_ROW = 5  # failed trials after which a study stops
WAIT_SECONDS = 1.0  # between two looks at whether another worker has left its trial


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `tune` was asked for, as its workers are told it.

    trials: of the whole study, those of earlier commands too. until: seconds since 1970 at which no trial is begun any
    more. prune: whether hopeless trials end early.
    """

    competition: str
    config: str
    overrides: tuple[str, ...]
    study: str
    trials: int
    storage: str | None = None
    until: float | None = None
    prune: bool = True
    device: str = "cpu"

    @property
    def folder(self) -> Path:
        return workspace.RUNS / self.competition / "studies" / self.study


def opened(asked: Asked) -> tuple[Prepared, Study]:
    """The study, and the experiment its trials are variations of."""
    recipes = workspace.competition(asked.competition).recipes
    config = configs.read_config(workspace.config_path(asked.competition, asked.config), asked.overrides, recipes)
    found = prepare_experiment(asked.competition, config, torch.device(asked.device))
    searched = searched_by(config, recipes)
    place = storages.open_storage(asked.storage, asked.folder)
    return found, studies.open_study(asked.study, searched, _basis(asked, found, searched), place, asked.folder)


def searched_by(config: configs.Config, recipes: Any) -> Space:
    """The search space of a config, checked."""
    models = (LoopOptions, type(config.params))
    annotations = {key: field.annotation for model in models for key, field in model.model_fields.items()}
    return parse_space(config.search, own_values(config), annotations, lambda values: varied(config, values, recipes))


def own_values(config: configs.Config) -> dict[str, Any]:
    """What a config says of every parameter, defaults included."""
    return {key: value for key, value in config.resolved().items() if key != "config"}


def varied(config: configs.Config, values: dict[str, Any], recipes: Any) -> configs.Config:
    """The config with other values."""
    return configs.resolve_config(config.name, own_values(config) | values, recipes)


def experiment_of(found: Prepared, params: dict[str, Any]) -> Experiment:
    """The experiment with a trial's parameters; of the test rows the first alone, since no trial is judged by them."""
    competition, tables = found.experiment.competition, found.experiment.tables
    config = varied(found.config, params, competition.recipes)
    for rule in competition.rules:
        if broken := rule.broken(config.params):
            raise GoldfoldError(f"it breaks a rule of the competition ({rule.text}): {broken}")
    tables = replace(tables, test=tables.test.iloc[:1])
    return replace(found.experiment, params=config.params, loop=config.loop, tables=tables)


def work(asked: Asked) -> int:
    """Carry out trials until all that the study was asked for have ended, or the time is over; returns how many.

    Raises:
        GoldfoldError: the config itself fails, trials fail in a row, or the storage does not answer.
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


def _carried_out(found: Prepared, study: Study, claim: Claim, asked: Asked) -> TrialRecord:
    """One trial, from its claim to its end in the storage; what is trained is kept also when that does not answer."""
    known, code = claim.known, found.hashes()["code_hash"]
    folder = study.trial_folder(known.params)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # two workers may have drawn the same parameters
        _drop_other_code(folder, code)
        study.keep(known, code)
        with study.heartbeat(claim):
            try:
                experiment = experiment_of(found, dict(known.params))
            except GoldfoldError as error:
                ended = replace(known, state="failed", reason=str(error))
            else:
                ended = objective.run_trial(experiment, folder, known, _surroundings(study, claim, asked, code))
        study.keep(ended, code)
        with study.storage.reached(str(asked.folder)):
            study.end(claim, ended)
        objective.remove_weights(folder)
    return ended


def _surroundings(study: Study, claim: Claim, asked: Asked, code: str) -> objective.TrialContext:
    seen: list[TrialRecord] = []

    def earlier() -> list[TrialRecord]:
        with suppress(*UNREACHABLE):
            seen[:] = [record for record in study.records() if record.number != claim.known.number]
        return seen

    def note(record: TrialRecord) -> None:
        study.keep(record, code)
        with suppress(*UNREACHABLE):  # the end of the trial says so
            study.note(claim, record)

    return objective.TrialContext(order=study.basis.order, earlier=earlier, note=note, prune=asked.prune)


def _drop_other_code(folder: Path, code: str) -> None:
    """Fits that other code made are made again."""
    if (folder / studies.TRIAL).exists() and read_json(folder / studies.TRIAL)["code"] != code:
        for fit in folder.glob("fold*-seed*"):
            shutil.rmtree(fit)


def _refuse_failures(ended: TrialRecord, failed: int) -> None:
    if ended.state == "failed" and ended.number == 0:
        raise GoldfoldError(f"trial 0, the config itself, fails, so there is nothing to improve: {ended.reason}")
    if failed == IN_A_ROW:
        raise GoldfoldError(
            f"{failed} trials in a row failed, the last one by this: {ended.reason}; narrow the search and begin a new "
            "study with STUDY=<another name>"
        )


def _basis(asked: Asked, found: Prepared, searched: Space) -> Basis:
    own = own_values(found.config)
    numbers = list(fold_numbers(found.experiment.protocol, found.experiment.folds))
    random.Random(derive(asked.study, "fold order")).shuffle(numbers)
    metric = found.experiment.competition.metric
    return Basis(
        competition=asked.competition,
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        search=dict(searched.written),
        config={key: value for key, value in own.items() if key not in ("debug", "accept")},
        data=found.hashes()["data_hash"],
        folds=hashlib.sha256(found.drawn.encode()).hexdigest(),
        order=numbers,
    )
