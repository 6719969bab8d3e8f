"""The fits of a run as independent jobs: what is sent to an executor, what is done there, and what comes back."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from filelock import FileLock

from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.executors import ExecutorRequest, make_executor, relay
from goldfold.experiment.fits import Fit, fit, fit_folder, fit_keys, is_complete, load_fit, save_fit
from goldfold.experiment.setup import Prepared, prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.images import resized_images
from goldfold.io import memory
from goldfold.io.files import read_json
from goldfold.io.formatting import count
from goldfold.io.progress import Observer
from goldfold.trust.run_audits import watching


@dataclass(frozen=True, kw_only=True)
class Job:
    """One fit, as it can be told to another process or machine.

    name: of the competition's folder. values: the resolved config, as JSON. identity: of the run. project, run: their
    absolute folders. device: cpu, cuda. workers: processes that load data.
    """

    name: str
    values: str
    identity: str
    fold: int
    seed: int
    project: Path
    run: Path
    device: str
    workers: int = 0


def fan_out(found: Prepared, run: Path, wanted: ExecutorRequest) -> Generator[Fit, None, None]:
    """Every fit of an experiment, in the order they end, made by an executor where the run's folder has it not whole.

    Raises:
        GoldfoldError: a fit's own, or what the executor met; the other fits are stopped, their checkpoints stay.
    """
    places = {each: fit_folder(run, *each) for each in fit_keys(found.experiment)}
    left = [each for each, place in places.items() if not is_complete(place)]
    yield from (load_fit(places[each]) for each in places if each not in left)
    if not left:
        return
    runtime = found.experiment.runtime
    devices = torch.cuda.device_count() if runtime.device.type == "cuda" else 0
    chosen = make_executor(wanted, len(left), devices, found.workspace.root.resolve())
    found.workspace.observer.line(f"{count(len(left), 'fit')} on {wanted.name}: {chosen.share}")
    jobs = _jobs(found, run, left, _device(runtime.device.type, chosen.share.gpus))
    runtime.progress("fits", 0, len(left))
    unfinished = {each: places[each] for each in left}
    with closing(chosen.run(make, jobs)) as ended, relay.relayed(unfinished, found.workspace.observer):
        for done, (number, made) in enumerate(ended, 1):
            place = places[left[number]]
            if made is not None:
                save_fit(made, place)
            yield load_fit(place)
            runtime.progress("fits", done, len(left))


def _jobs(found: Prepared, run: Path, left: list[tuple[int, int]], device: str) -> list[Job]:
    values, identity = json.dumps(found.config.resolved()), found.hashes()["identity"]
    folders = {"project": found.workspace.root.resolve(), "run": run.resolve()}
    told = {"name": found.name, "values": values, "identity": identity, "device": device, **folders}
    return [Job(fold=fold, seed=seed, workers=found.experiment.runtime.workers, **told) for fold, seed in left]


def _device(own: str, gpus: float) -> str:
    """The device of a job: the first of the GPUs it is shown, or, without one, what this process has beside them."""
    return "cuda" if gpus else "cpu" if own == "cuda" else own


def make(job: Job) -> Fit | None:
    """Carry a job out: the fit itself, or None where it is in the run's own folder, which this machine sees.

    Raises:
        GoldfoldError: code, data or folds are not the run's here, or the fit's own.
    """
    memory.keep_freed_memory()
    sees = _sees(job)
    if sees:
        os.chdir(job.project)
    found, identity = _prepared(job.name, job.values, job.device, job.workers, Path.cwd())
    if identity != job.identity:
        raise GoldfoldError(
            "other_code_on_worker",
            f"code, data or folds where fold {job.fold} seed {job.seed} was to be fitted are not those of the run: "
            "wait until nobody changes them, bring them there, and run the same command again",
        )
    if not sees:
        with tempfile.TemporaryDirectory() as folder:
            return _fit(found, Path(folder), job, Observer())
    place = fit_folder(job.run, job.fold, job.seed)
    place.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(place / ".lock"),  # a worker of an earlier start may be still at it, on another machine
        closing(relay.Writing(place)) as told,
    ):
        _fit(found, job.run, job, told)
    return None


def _fit(found: Prepared, folder: Path, job: Job, observer: Observer) -> Fit:
    return fit(found.experiment, folder, job.fold, job.seed, watching(observer, found.experiment.protocol.accept))


@lru_cache(maxsize=1)
def _prepared(name: str, values: str, device: str, workers: int, here: Path) -> tuple[Prepared, str]:
    """The experiment of the project `here` and its identity, once for all jobs of a process that belong to one run."""
    known = json.loads(values)
    workspace = Workspace()
    resized_images.keep(workspace.cache)
    config = configs.resolve_config(known.pop("config"), known, workspace.competition(name).recipes)
    found = prepare_experiment(workspace, name, config, torch.device(device), workers)
    return found, found.hashes()["identity"]


def _sees(job: Job) -> bool:
    """Whether the run's folder is visible here, and not another of the same path."""
    told = job.run / "reproduce.json"
    return told.exists() and read_json(told, dict).get("identity") == job.identity
