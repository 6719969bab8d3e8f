"""`train`: from a competition's folder to folds, scores, a checked submission and the record."""

from __future__ import annotations

import hashlib
import json
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from pandas import DataFrame, Series

import goldfold
from goldfold import splits, tables
from goldfold.commands import project
from goldfold.commands.finish import conclude, submission_of
from goldfold.commands.progress import Bar
from goldfold.competition import Competition, Fold, Runtime, Tables
from goldfold.engine import config as configs
from goldfold.engine import memory, runs
from goldfold.engine.crossval import Experiment, Fit, cross_validate, fold_numbers
from goldfold.engine.training import from_first
from goldfold.errors import GoldfoldError
from goldfold.files import write_json, write_text
from goldfold.trust import audits, records


def run(arguments: Namespace) -> None:
    overrides = [*arguments.overrides, *(["debug=true"] if arguments.debug else [])]
    train(arguments.comp, arguments.config, overrides, _device(arguments.device), arguments.workers, arguments.quiet)


def train(
    name: str, config_name: str, overrides: Sequence[str], device: torch.device, workers: int = 0, quiet: bool = False
) -> Path:
    """Carry out one run from its start, or from where it was interrupted; returns its folder."""
    memory.keep_freed()
    competition = project.competition(name)
    config = configs.read(project.config_path(name, config_name), overrides, competition.recipes)
    data = project.load(name, competition)
    tables.check(competition, data)
    folds = project.carried_out(name, competition.split, data.train, config.protocol.seed)
    splits.check_positions(folds, len(data.train))
    contents = [tables.contents(rows, competition.targets) for rows in (data.train, data.test)]
    findings = _audit_data(competition, data, folds, *contents)
    findings += audits.stale_data(name) if project.stale(name) else []
    audits.refuse_errors(findings, config.protocol.accept)

    drawn = splits.folds_frame(data.train["id"], folds)
    data_hash = tables.data_hash(data, *contents)
    numbers = fold_numbers(config.protocol, folds)
    run = _started(name, config, data_hash, drawn)
    fits_in_all = len(config.protocol.seeds) * len(numbers)
    bar = Bar(fits_in_all, competition.metric.name, quiet or _rank() > 0, config.protocol.accept)
    experiment = Experiment(
        competition=competition,
        recipe=competition.recipes[config.recipe],
        params=config.params,
        loop=config.loop,
        protocol=config.protocol,
        tables=data,
        folds=folds,
        runtime=Runtime(seed=0, device=device, cache=project.CACHE, workers=workers, progress=bar.work),
    )
    fits = []
    for fit in cross_validate(experiment, run, bar):
        fits.append(fit)
        if _rank() == 0:
            if len(fits) == 1:
                submission_of(experiment, fits)  # what cannot be submitted is known before the other fits
            bar.fit_ended(_line(fit, competition.metric.name))
    bar.close()
    if _rank() == 0:
        conclude(experiment, fits, run, findings)
    return run


def _audit_data(
    competition: Competition, data: Tables, folds: Sequence[Fold], train_contents: Series, test_contents: Series
) -> list[audits.Finding]:
    ids = data.train["id"]
    findings = audits.shared_rows(folds) + audits.shared_contents(
        folds, train_contents, ids, files="path" in data.train
    )
    if competition.group:
        findings += audits.shared_groups(folds, data.train[competition.group])
    return findings + audits.copies_in_test(train_contents, ids, test_contents, data.test["id"])


def _started(name: str, config: configs.Config, data_hash: str, drawn: DataFrame) -> Path:
    """The run's folder, new or taken up again; every process of a distributed run gets the same."""
    folder = None
    if _rank() == 0:
        package = Path(goldfold.__file__).parent
        code = records.code_hash(package, project.ROOT / "competitions" / name, leaving_out=OUTSIDE_FITS)
        known = {"config": config.resolved(), "data": data_hash, "folds": drawn.to_csv(index=False), "code": code}
        identity = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
        hashes = {"data_hash": data_hash, "code_hash": code}
        started = runs.start(project.RUNS, name, config.name, identity, {**records.reproduce(project.ROOT), **hashes})
        print(f"{'going on with' if started.resumed else 'run'} {started.folder}: recipe {config.recipe}", flush=True)
        write_json(started.folder / "config.json", config.resolved())
        write_text(started.folder / "folds.csv", drawn.to_csv(index=False))
        _LOCKS.append(started.lock)
        folder = started.folder
    return from_first(folder)


OUTSIDE_FITS = ("commands/", "delivery/", "trust/")  # code that no fit depends on

_LOCKS: list = []  # a run is locked for as long as this process lives


def _line(fit: Fit, metric: str) -> str:
    line = f"fold {fit.fold} seed {fit.seed}  {metric} {fit.scores[metric]:.4f}"
    if not fit.history:
        return line
    seconds = sum(row["seconds"] for row in fit.history)
    return f"{line}  epoch {fit.epoch} of {len(fit.history)}, {seconds:.1f} s"


def _device(wanted: str | None) -> torch.device:
    """The device asked for, else the best there is; under torchrun also this process's place among the others."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        cuda = torch.cuda.is_available() and wanted != "cpu"
        dist.init_process_group("nccl" if cuda else "gloo")
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return _usable(wanted) if wanted else torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _usable(wanted: str) -> torch.device:
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise GoldfoldError(
            f"device '{wanted}' cannot be used here ({why}): try --device cpu, or leave it out"
        ) from error
    return device


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0
