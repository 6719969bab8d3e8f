"""Refit: train on every training row, as long as the folds did. No row is held out, so it has no score of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import floor
from pathlib import Path
from statistics import fmean, median
from typing import Any, NoReturn

import numpy as np

from goldfold.competition import Stage
from goldfold.errors import GoldfoldError
from goldfold.experiment.failures import explained
from goldfold.experiment.fits import (
    CHECKPOINTS,
    Experiment,
    Fit,
    build_from,
    is_complete,
    keep,
    load_fit,
    save_fit,
    training_rows,
)
from goldfold.experiment.fits.lessons import NO_FOLD
from goldfold.io.progress import EpochProgress
from goldfold.io.seeding import derive
from goldfold.training.averaging import Averaging, average
from goldfold.training.loop import train
from goldfold.training.predictor import finish_plan


def used_rows(experiment: Experiment) -> np.ndarray:
    """Positions of the train rows that any fold trains or validates on, ascending."""
    return np.unique(np.concatenate([np.concatenate([fold.train, fold.validation]) for fold in experiment.folds]))


def row_share(experiment: Experiment, fits: Sequence[Fit]) -> float:
    """Training rows of a fit, mean over fits, divided by those of a refit; in (0, 1]."""
    return fmean(len(experiment.folds[fit.fold].train) for fit in fits) / len(used_rows(experiment))


def stage_epochs(fits: Sequence[Fit], share: float = 1.0) -> dict[str, int]:
    """Stage -> number of epochs to train: the median over fits, times `share`, at least 1; empty without training.

    Of the last stage the selected epoch counts, of earlier ones all that were trained.
    """
    epochs: dict[str, list[int]] = {}
    for fit in fits:
        own = {row["stage"]: row["epoch"] for row in fit.history}  # the last row of a stage stays
        if own and fit.epoch is not None:
            own[fit.history[-1]["stage"]] = fit.epoch
        for stage, number in own.items():
            epochs.setdefault(stage, []).append(number)
    return {stage: max(1, floor(share * median(numbers) + 0.5)) for stage, numbers in epochs.items()}


def refit(
    experiment: Experiment,
    place: Path,
    seed: int,
    epochs: Mapping[str, int],
    observe: Callable[[EpochProgress], None] | None = None,
) -> Fit:
    """Read a complete refit, resume an interrupted one, or make a new one in `place`; it has no scores.

    epochs: of each stage, as `stage_epochs` gives them. Schedules keep the length that the config plans, so that a
    stage ends at the learning rate at which its selected epoch ended in the folds. Where the folds predict with the
    average of several epochs, so does the refit.
    """
    if not is_complete(place):
        with explained(f"refit seed {seed}", experiment.competition.slug):
            save_fit(_refit(experiment, place, seed, epochs, observe), place)
    return load_fit(place)


def _refit(
    experiment: Experiment,
    place: Path,
    seed: int,
    epochs: Mapping[str, int],
    observe: Callable[[EpochProgress], None] | None,
) -> Fit:
    rows = training_rows(experiment, used_rows(experiment), NO_FOLD)
    plan = build_from(experiment, rows, derive(seed, "refit"))
    keep(plan, place)
    plan = replace(plan, stages=[_shortened(stage, epochs.get(stage.name, stage.epochs)) for stage in plan.stages])
    history: list[dict[str, Any]] = []
    facts: dict[str, Any] = {}
    if plan.stages:
        history, facts = train(
            plan,
            loop=experiment.loop.model_copy(update={"select": "last", "patience": None}),
            device=experiment.runtime.device,
            folder=place / CHECKPOINTS,
            observe=observe,
        )
        if experiment.loop.average:
            higher = experiment.competition.metric.higher_is_better
            averaging = Averaging(plan, experiment.loop, place / CHECKPOINTS, _no_scored_fold, higher)
            average(averaging, history[-1]["epoch"])
    predict = finish_plan(plan, plan.model, experiment.competition.targets, experiment.loop.precision)
    epoch = history[-1]["epoch"] if history else None
    return Fit(NO_FOLD, seed, {}, {}, epoch, history, facts, np.empty(0), predict(experiment.tables.test))


def _no_scored_fold(_: Any) -> NoReturn:
    raise AssertionError("a refit averages all epochs, none by a score")


def _shortened(stage: Stage, epochs: int) -> Stage:
    """The stage with fewer epochs, its learning rates those of the stage as planned."""
    planned, schedule = stage.epochs, stage.schedule
    if not 1 <= epochs <= planned:
        raise GoldfoldError(
            "refit_epochs",
            f"a refit trains 1 to {planned} epochs of stage '{stage.name}', as its config plans, not {epochs}: choose "
            "one of them, or train a run of more epochs",
        )
    if epochs == planned:
        return stage
    if schedule is None:
        return replace(stage, epochs=epochs)
    return replace(stage, epochs=epochs, schedule=lambda optimizer, _, steps: schedule(optimizer, planned, steps))
