"""`train`: from a competition's folder to folds, scores, a checked submission and the record."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from goldfold.cli.progress import Bar
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment import provenance as records
from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.executors import Wanted
from goldfold.experiment.fits import Experiment, Fit, fits_of, fold_numbers
from goldfold.experiment.setup import CODE_CHANGED, Prepared, accepting, changed_modules, code_changed, prepared
from goldfold.io import memory
from goldfold.io.files import read_json, write_json, write_text
from goldfold.training.loop import from_first
from goldfold.trust import audits
from goldfold.workflows.conclude import conclude, submission_of
from goldfold.workflows.parallel_fits import fan_out


def run(arguments: Namespace) -> None:
    overrides = [*arguments.overrides, *(["debug=true"] if arguments.debug else [])]
    wanted = wanted_of(arguments)
    device = device_of(arguments.device)
    if wanted and device.index is not None:
        raise GoldfoldError(f"an executor hands the GPUs out itself and --device is '{device}': say cuda or cpu")
    name, config, accept = arguments.comp, arguments.config, arguments.accept
    train(name, config, overrides, device, arguments.workers, arguments.quiet, wanted, accept)


def wanted_of(arguments: Namespace) -> Wanted | None:
    """The executor a command line asks for; how many fits at once, or what each gets, asks for processes."""
    shares = {"at_once": arguments.jobs, "threads": arguments.threads, "gpus": arguments.gpus}
    if not arguments.executor and all(share is None for share in shares.values()):
        return None
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise GoldfoldError("torchrun trains one fit at a time on all its processes: start without it, or no executor")
    return Wanted(name=arguments.executor or "processes", **shares)


def train(
    name: str,
    config_name: str,
    overrides: Sequence[str],
    device: torch.device,
    workers: int = 0,
    quiet: bool = False,
    wanted: Wanted | None = None,
    accept: Sequence[str] = (),
) -> Path:
    """Carry out one run from its start, or from where it was interrupted; returns its folder.

    accept: codes of findings that shall not stop it, beside those of the config.
    """
    memory.keep_freed_memory()
    competition = workspace.competition(name)
    config = configs.read(workspace.config_path(name, config_name), overrides, competition.recipes)
    return carry_out(prepared(name, accepting(config, accept), device, workers), quiet, wanted=wanted)


def carry_out(
    found: Prepared,
    quiet: bool = False,
    begin: Callable[[Path], None] = lambda folder: None,
    wanted: Wanted | None = None,
) -> Path:
    """Audit, fit and conclude an experiment.

    begin: told the run's folder before the first fit. wanted: by whom the fits are made; one after the other here
    where it is None.
    """
    accepted = found.config.protocol.accept
    findings = _audit(found)
    audits.refuse_errors(findings, accepted)
    experiment = found.experiment
    order = fits_of(experiment)
    run = _started(found)
    begin(run)
    metric = experiment.competition.metric.name
    bar = Bar(len(order), metric, quiet or _rank() > 0, accepted)
    experiment = replace(experiment, runtime=replace(experiment.runtime, progress=bar.work))
    fits = []
    spread = replace(found, experiment=experiment)
    with closing(fan_out(spread, run, wanted) if wanted else cross_validate(experiment, run, bar)) as ended:
        for fit in ended:
            fits.append(fit)
            if _rank() == 0:
                if len(fits) == 1:
                    submission_of(experiment, fits)  # what cannot be submitted is known before the other fits
                bar.fit_ended(_line(fit, metric))
    bar.close()
    if _rank() == 0:
        findings += code_changed(read_json(run / "reproduce.json").get("code_changes", ()), "all folds")
        conclude(experiment, sorted(fits, key=lambda fit: order.index((fit.fold, fit.seed))), run, findings)
    return run


def _audit(found: Prepared) -> list[audits.Finding]:
    """What can be said against data, folds and parameters before anything is fitted."""
    experiment = found.experiment
    competition, data, folds = experiment.competition, experiment.tables, experiment.folds
    (train_contents, test_contents), ids = found.contents, data.train["id"]
    findings = audits.rule_broken(competition.rules, experiment.params) + audits.shared_rows(folds)
    findings += audits.shared_contents(folds, train_contents, ids, files="path" in data.train)
    if competition.group:
        findings += audits.shared_groups(folds, data.train[competition.group])
    if competition.neighbors:
        findings += audits.neighbor_leakage(folds, data.train, competition.neighbors) + _ranked_neighbors(experiment)
    if column := competition.object_class:
        findings += audits.unseen_classes(data.train[column], data.test[column])
    findings += audits.copies_in_test(train_contents, ids, test_contents, data.test["id"])
    return findings + (audits.stale_data(found.name) if workspace.stale(found.name) else [])


def _ranked_neighbors(experiment: Experiment) -> list[audits.Finding]:
    """Near-duplicates that scored rows may find, where they are asked to find each other."""
    competition, findings = experiment.competition, []
    for number in fold_numbers(experiment.protocol, experiment.folds) if competition.metric.retrieval else ():
        rows = experiment.tables.train.iloc[experiment.folds[number].validation].reset_index(drop=True)
        pairs = competition.metric.retrieval.pairs(rows)
        findings += audits.neighbor_ranked(pairs, rows, competition.neighbors, f"fold {number}")
    return audits.merged(findings)


def _started(found: Prepared) -> Path:
    """The run's folder, new or taken up again; every process of a distributed run gets the same."""
    folder = None
    if _rank() == 0:
        hashes, config = found.hashes(), found.config
        facts = {**records.reproduce(workspace.ROOT), **hashes}
        facts |= {"code_changes": found.code_changes} if found.code_changes else {}
        mixes = CODE_CHANGED in config.protocol.accept
        started = runs.start(workspace.RUNS, found.name, config.name, hashes["identity"], facts, mixes)
        if started.other:
            _tell_other_code(started, facts)
        print(f"{'going on with' if started.resumed else 'run'} {started.folder}: recipe {config.recipe}", flush=True)
        write_json(started.folder / "config.json", config.resolved())
        write_text(started.folder / "folds.csv", found.drawn)
        _LOCKS.append(started.lock)
        folder = started.folder
    return from_first(folder)


def _tell_other_code(started: runs.Run, facts: Mapping[str, Any]) -> None:
    """Say that a run of other code was left unfinished, or write down that it is resumed and with which code."""
    then = read_json(started.other / "reproduce.json")
    modules, other = changed_modules(then, facts), f"{started.other.parent.name}/{started.other.name}"
    if not started.resumed:
        print(
            f"run {other} is unfinished and was started with other code{modules}: {started.name} is started anew; "
            f"--accept {CODE_CHANGED} resumes {started.other.name} instead"
        )
        return
    told = f"the code changed after the run was started{modules}, and it was resumed with the new code"
    changes = [*then.get("code_changes", ()), *facts.get("code_changes", ()), told]
    write_json(started.folder / "reproduce.json", {**facts, "code_changes": changes})


_LOCKS: list = []  # a run is locked for as long as this process lives


def _line(fit: Fit, metric: str) -> str:
    line = f"fold {fit.fold} seed {fit.seed}  {metric} {fit.scores[metric]:.4f}"
    if not fit.history:
        return line
    seconds = sum(row["seconds"] for row in fit.history)
    last = fit.history[-1]["stage"]
    epochs = sum(row["stage"] == last for row in fit.history)
    named = "" if epochs == len(fit.history) else f"{last} "  # epochs are counted from 1 in every stage
    return f"{line}  {named}epoch {fit.epoch} of {epochs}, {seconds:.1f} s"


def device_of(wanted: str | None) -> torch.device:
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
