"""Predict the test rows with the fits of a run or of a blend, in a notebook's unpacked data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from goldfold.competition import Tables
from goldfold.data import tables
from goldfold.data.tables import without_targets
from goldfold.ensemble.kept_blender import has_weights, kept_blender, member_folders
from goldfold.ensemble.members import alike
from goldfold.experiment import run_folders as runs
from goldfold.experiment.decisions.use import for_writer
from goldfold.experiment.fits import Experiment, build_plan, choose_again, fit_folder, fit_keys
from goldfold.experiment.setup import experiment_of_fits
from goldfold.experiment.workspace import Workspace
from goldfold.export import rows as exports
from goldfold.io.files import read_json
from goldfold.io.formatting import count
from goldfold.kaggle import notebooks
from goldfold.submission import writing as submissions
from goldfold.training import checkpoints
from goldfold.training.devices import choose_device
from goldfold.training.predictor import finish_plan


@dataclass
class Origins:
    """What predicted.

    fits: their number. kept: fits with kept weights of a network. refit: fits with parts that are fitted again on the
    training rows, in `seconds` of wall time. blends: how blends were made. exported: the model that took the
    place of all fits; empty without one.
    """

    fits: int = 0
    kept: int = 0
    refit: int = 0
    seconds: float = 0.0
    blends: tuple[str, ...] = ()
    exported: str = ""


def describe(origins: Mapping[str, Any]) -> str:
    """Say what predicts a notebook's test rows: kept weights, parts refit from the training data, blend weights."""
    if origins["exported"]:
        return f"an export: {origins['exported']}"
    told, fits = [], origins["fits"]
    if origins["kept"]:
        told.append(f"kept weights of networks: {origins['kept']} of {count(fits, 'fit')}")
    if origins["refit"]:
        told.append(
            f"refit from the training data (estimators, memory banks, scalers): {origins['refit']} of "
            f"{count(fits, 'fit')}, in {origins['seconds']:.1f} s"
        )
    return "; ".join([*told, *origins["blends"]])


def predict(name: str, run: str, source: Path | None, output: Path) -> str:
    """Write `output`/submission.csv with the fits of a run, in an unpacked data set as the current folder.

    source: the competition's files as Kaggle mounts them; None if the data set has the prepared data. Returns what
    became of it.

    Raises:
        GoldfoldError: the training rows are not those of the run, or the submission is not valid.
    """
    workspace = Workspace()
    if source:
        workspace.data(name).mkdir(parents=True)
        (workspace.data(name) / "raw").symlink_to(source)
    competition, data = workspace.competition(name), workspace.load(name)
    tables.check(competition, data)
    folder, origins = workspace.runs / name / run, Origins()
    predictions = _of_run(workspace, folder, data, choose_device(), origins)
    predictions = for_writer(competition, folder, data.test, predictions)
    frame = competition.submission.write(data.test, predictions)
    submissions.check(frame, data.sample_submission, data.test, competition.submission)
    path = output / "submission.csv"
    submissions.write(frame, path, {"run": runs.run_name(folder), **asdict(origins)})
    compared = notebooks.compare_submissions(path, workspace.submission_path(folder))
    return f"{path.name}: {len(frame):,} rows, checked; {compared}\n{describe(asdict(origins))}"


def _of_run(workspace: Workspace, run: Path, data: Tables, device: torch.device, origins: Origins) -> np.ndarray:
    """Predictions (test rows, ...) of a run, or of a blend from those of its runs; adds to `origins`."""
    if (run / runs.BLEND).exists():
        members = alike([_of_run(workspace, each, data, device, origins) for each in member_folders(run)])
        blender = kept_blender(workspace.competition(run.parent.name), data.train, run)
        origins.blends += (_told_of_blend(run),)
        return blender.apply(members)
    if exports.exported(run):
        origins.exported = exports.told(run)
        targets = workspace.competition(run.parent.name).targets
        return exports.predictions(run, without_targets(data.test, targets))
    experiment = experiment_of_fits(workspace, run, data, device)
    predictions = [_of_fit(experiment, run, *fit, origins) for fit in fit_keys(experiment)]
    return experiment.recipe.combine(np.stack(predictions))


def _told_of_blend(run: Path) -> str:
    kept = "kept weights" if has_weights(run) else "learned again from out-of-fold predictions"
    return f"blend by {read_json(run / runs.BLEND, dict)['method']}: {kept}"


def _of_fit(experiment: Experiment, run: Path, fold: int, seed: int, origins: Origins) -> np.ndarray:
    """Predictions (test rows, ...) of one fit; adds to `origins`."""
    began = perf_counter()
    plan, _ = build_plan(experiment, fold, seed)
    checkpoint = notebooks.chosen_checkpoint(fit_folder(run, fold, seed)) if plan.model is not None else None
    if plan.model is not None and checkpoint:
        checkpoints.load_weights(checkpoint, plan.model.to(experiment.runtime.device))
    predictor = finish_plan(plan, plan.model, experiment.competition.targets, experiment.loop.precision)
    predictor = choose_again(predictor, fit_folder(run, fold, seed))
    refit = _is_fitted(predictor.finished) or not checkpoint
    origins.fits += 1
    origins.kept += bool(checkpoint)
    origins.refit += refit
    origins.seconds += refit * (perf_counter() - began)
    return predictor(experiment.tables.test)


def _is_fitted(finished: Any) -> bool:
    """Whether `Plan.finish` made something; one that is made of several plans returns what each of them made."""
    if isinstance(finished, list | tuple):
        return any(map(_is_fitted, finished))
    return finished is not None
