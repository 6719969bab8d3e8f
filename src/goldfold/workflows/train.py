"""Train a config of a competition: from its folder to folds, scores, a checked submission and the record."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError, way_on
from goldfold.experiment import config as configs
from goldfold.experiment import run_folders
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.executors import ExecutorRequest
from goldfold.experiment.fits import Fit, fit_folder, fit_keys, initial_weights
from goldfold.experiment.identity import provenance
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.setup import CODE_CHANGED, Prepared, accepting, changed_modules, prepare_experiment
from goldfold.experiment.teachers import find as teachers
from goldfold.experiment.workspace import Workspace
from goldfold.images import resized_images
from goldfold.io import memory
from goldfold.io.clock import CLOCK
from goldfold.io.files import read_json, write_json, write_text
from goldfold.io.progress import Observer
from goldfold.report.capacity import RECORD
from goldfold.trackers.observer import Tracking
from goldfold.training.devices import choose_device, rank, under_torchrun
from goldfold.training.distributed import from_first
from goldfold.trust import audits
from goldfold.trust.audits.code import code_changed
from goldfold.trust.data_audits import of_data
from goldfold.trust.run_audits import watching
from goldfold.workflows.capacity.adopt import Choice, adopt
from goldfold.workflows.conclude import conclude, submission_of
from goldfold.workflows.cost import Costs, refuse_small_disk, rest_bytes
from goldfold.workflows.parallel_fits import fan_out
from goldfold.workflows.track import tracked, trackers_of


def train(
    workspace: Workspace,
    name: str,
    config_name: str = "baseline",
    overrides: Sequence[str] = (),
    *,
    device: str | None = None,
    workers: int = 0,
    executor: ExecutorRequest | None = None,
    accept: Sequence[str] = (),
) -> Path:
    """Carry out one run from its start, or resume it; returns its folder.

    overrides: `key=value` words. workers: processes that load data. executor: fits run in parallel on it.
    accept: codes of findings that do not stop the run, beside those of the config.
    """
    CLOCK.forget(kept="import")  # what this process did before is no part of the run
    memory.keep_freed_memory()
    chosen = choose_device(device)
    _check_executor(executor, device)
    with CLOCK.phase("prepare"):
        recipes = workspace.competition(name, edited=True).recipes
        config = configs.read_config(workspace.config_path(name, config_name), overrides, recipes)
        trackers_of(config)
        if rank() == 0:
            workspace.prepare(name)
        config = accepting(config, accept)
        choice = adopt(workspace, name, config, chosen) if config.automatic else None
        found = prepare_experiment(workspace, name, choice.config if choice else config, chosen, workers)
    return carry_out(found, _recording(choice), executor)


def _recording(choice: Choice | None) -> Callable[[Path], None]:
    """What writes into the run's folder how its batch size was found."""
    return lambda folder: write_json(folder / RECORD, choice.record) if choice else None


def carry_out(
    found: Prepared, begin: Callable[[Path], None] = lambda folder: None, executor: ExecutorRequest | None = None
) -> Path:
    """Audit, fit and conclude an experiment; returns the run's folder.

    begin: called with the run's folder before the first fit. executor: fits run in parallel on it; None: one after
    the other in this process.
    """
    settings = trackers_of(found.config) if rank() == 0 else {}
    if rank() > 0:
        found = replace(found, workspace=replace(found.workspace, observer=Observer()))
    with CLOCK.phase("audits"):
        checks, order = of_data(found), fit_keys(found.experiment)
    audits.refuse_errors(audits.findings_of(checks), found.config.protocol.accept)
    with _started(found) as run, resized_images.keeping(found.workspace.cache):
        for finding in audits.findings_of(checks):
            if finding.level != "note":
                found.workspace.observer.line(str(finding))  # hours before the record has it
        begin(run)
        with tracked(found.workspace, run, settings) as trackers:
            fits = sorted(_fit_all(found, run, executor, trackers), key=lambda fit: order.index((fit.fold, fit.seed)))
            if rank() == 0:
                changes = code_changed(read_json(run / "reproduce.json").get("code_changes", ()), "all folds")
                checks.append(audits.made("changes of the code since the run was started", ["code_changed"], changes))
                conclude(found.workspace, found.experiment, fits, run, checks)
    return run


def _fit_all(found: Prepared, run: Path, executor: ExecutorRequest | None, trackers: Tracking) -> list[Fit]:
    """Make or read every fit of the run, and report each that ends; returns them in the order they ended."""
    experiment, observer = found.experiment, found.workspace.observer
    metric, fits = experiment.competition.metric.name, []
    observer.fits_begin(len(fit_keys(experiment)), metric)
    costs = Costs(observer, experiment, run)
    watch = trackers.after(costs.telling(watching(observer, found.config.protocol.accept)))
    one_by_one = cross_validate(experiment, run, watch, costs.planned)
    with closing(fan_out(found, run, executor) if executor else one_by_one) as ended:
        for fit in ended:
            fits.append(fit)
            if len(fits) == 1 and rank() == 0:
                _tell_start(run, observer)
                place = fit_folder(run, fit.fold, fit.seed)
                refuse_small_disk(run, rest_bytes(run, place, fit_keys(experiment)), shutil.disk_usage(run).free)
                submission_of(experiment, fits)  # what cannot be submitted is known before the other fits
            observer.fit_ended(_line(fit, metric))
            trackers.fitted(fit_folder(run, fit.fold, fit.seed))
    observer.close()
    return fits


def _tell_start(run: Path, observer: Observer) -> None:
    """Report which weights the fits of a run start from, if they are another run's."""
    if told := initial_weights.describe(run):
        observer.line(told)


def _check_executor(executor: ExecutorRequest | None, device: str | None) -> None:
    if executor and under_torchrun():
        raise GoldfoldError(
            "executor_under_torchrun",
            "torchrun trains one fit at a time on all its processes: start without torchrun, or without an executor",
        )
    if executor and ":" in (device or ""):
        raise GoldfoldError(
            "executor_assigns_gpus",
            f"an executor assigns GPUs itself and the device is '{device}': use cuda or cpu",
        )


@contextmanager
def _started(found: Prepared) -> Iterator[Path]:
    """The run's folder, new or resumed and locked meanwhile; every process of a distributed run gets the same."""
    if rank() > 0:
        yield from_first(None)
        return
    workspace, hashes, config = found.workspace, found.hashes(), found.config
    facts = {**provenance.reproduce(workspace.root), **hashes}
    facts |= {"code_changes": found.code_changes} if found.code_changes else {}
    mixes = CODE_CHANGED in config.protocol.accept
    with run_folders.start_run(
        workspace, found.name, config.name, hashes["identity"], facts, other_code=mixes
    ) as started:
        if started.other:
            _tell_other_code(started, started.other, facts, workspace.observer)
        elif started.resumed and found.code_changes:
            write_json(started.folder / "reproduce.json", read_json(started.folder / "reproduce.json") | facts)
        verb = "resuming" if started.resumed else "run"
        workspace.observer.line(f"{verb} {started.folder}: recipe {config.recipe}")
        write_json(started.folder / "config.json", config.resolved())
        write_text(started.folder / "folds.csv", found.drawn)
        teachers.keep(found.experiment, found.loaded, started.folder)
        yield from_first(started.folder)


def _tell_other_code(started: run_folders.Run, other: Path, facts: Mapping[str, Any], observer: Observer) -> None:
    """Report an unfinished run of other code; where it is resumed, write down with which code."""
    then = read_json(other / "reproduce.json")
    modules = changed_modules(then, facts)
    if not started.resumed:
        observer.line(
            f"run {run_name(other)} is unfinished and was started with other code{modules}: {started.name} is started "
            f"anew; to resume {other.name} instead: {way_on(CODE_CHANGED)}"
        )
        return
    told = f"the code changed after the run was started{modules}, and it was resumed with the new code"
    changes = [*then.get("code_changes", ()), *facts.get("code_changes", ()), told]
    write_json(started.folder / "reproduce.json", {**facts, "code_changes": changes})


def _line(fit: Fit, metric: str) -> str:
    line = f"fold {fit.fold} seed {fit.seed}  {metric} {fit.scores[metric]:.4f}"
    if not fit.history:
        return line
    seconds = sum(row["seconds"] for row in fit.history)
    last = fit.history[-1]["stage"]
    epochs = sum(row["stage"] == last for row in fit.history)
    named = "" if epochs == len(fit.history) else f"{last} "  # epochs are counted from 1 in every stage
    return f"{line}  {named}epoch {fit.epoch} of {epochs}, {seconds:.1f} s"
