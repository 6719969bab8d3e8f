"""One fit: a fold trained from a seed in a folder of its own, what it predicts for the rows it did not see."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pandas import DataFrame
from pydantic import Field, field_validator
from torch import nn

from goldfold.competition import Competition, Fold, Plan, Recipe, Runtime, Tables
from goldfold.errors import GoldfoldError
from goldfold.experiment.scoring import all_scored, measures, of_each_score
from goldfold.io.files import read_array, read_json, write_array, write_json
from goldfold.io.seeding import derive
from goldfold.params import Params
from goldfold.training import checkpoints
from goldfold.training.epoch_selection import chosen
from goldfold.training.loop import Progress, from_first, is_writer, train
from goldfold.training.predicting import Predictor, finished
from goldfold.training.settings import Loop
from goldfold.training.state import History

CHECKPOINTS = "checkpoints"  # folder below a fit's


class Protocol(Params):
    """Which fits make the score: keys of every config."""

    seed: int = Field(0, ge=0, description="draws the folds")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="one fit of every fold for each")
    folds: tuple[int, ...] | None = Field(None, description="numbers of the folds to run; all by default")
    debug: bool = Field(False, description="keep every epoch's weights")
    accept: tuple[str, ...] = Field((), description="codes of findings that would stop the run and shall not")

    @field_validator("seeds", "folds")
    @classmethod
    def _once(cls, numbers: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if numbers == ():
            raise ValueError("a list of numbers such as [0] is needed, an empty one runs nothing")
        if numbers and len(set(numbers)) < len(numbers):
            raise ValueError("each number may be given once, or its fits would count twice")
        return numbers


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is cross-validated, and where.

    params: of the recipe; loop: of the training; runtime: with the seed still to be set for each fit.
    """

    competition: Competition
    recipe: Recipe
    params: Any
    loop: Loop
    protocol: Protocol
    tables: Tables
    folds: Sequence[Fold]
    runtime: Runtime


@dataclass(frozen=True)
class Fit:
    """One fold trained from one seed.

    scores: metric name -> value on the fold's validation rows. epoch: whose weights predict, None without training.
    validation: (rows of the fold, ...) and test: (test rows, ...) predictions.
    """

    fold: int
    seed: int
    scores: dict[str, float]
    chance: dict[str, float]
    epoch: int | None
    history: History
    facts: dict[str, Any]
    validation: np.ndarray
    test: np.ndarray


FitObserver = Callable[[int, int, Progress], None]


def fits_of(experiment: Experiment) -> list[tuple[int, int]]:
    """The (fold, seed) of every fit of an experiment, in order."""
    numbers = fold_numbers(experiment.protocol, experiment.folds)
    return [(fold, seed) for fold in numbers for seed in experiment.protocol.seeds]


def fit(experiment: Experiment, folder: Path, fold: int, seed: int, observe: FitObserver | None = None) -> Fit:
    """Read a complete fit, resume an interrupted one, or make it from the start."""
    place = fit_folder(folder, fold, seed)
    if not from_first(is_whole(place)):  # a later process would already see what the first has written
        watch = partial(observe, fold, seed) if observe else None
        save(_fit(experiment, fold, seed, place, watch), place)
    if dist.is_initialized():
        dist.barrier()  # the other processes read what the first has written
    return load(place)


def fit_folder(run: Path, fold: int, seed: int) -> Path:
    return run / f"fold{fold}-seed{seed}"


def fold_numbers(protocol: Protocol, folds: Sequence[Fold]) -> Sequence[int]:
    """The folds to run, by number."""
    known = range(len(folds))
    wanted = known if protocol.folds is None else protocol.folds
    absent = [fold for fold in wanted if fold not in known]
    if absent:
        raise GoldfoldError(
            f"folds are numbered 0 to {len(known) - 1} and the config asks for {absent[0]}: change `folds`"
        )
    return wanted


def planned(experiment: Experiment, number: int, seed: int) -> tuple[Plan, DataFrame]:
    """One fit's plan, as its training rows and its seed make it each time, and the rows it does not see."""
    fold = experiment.folds[number]
    rows = experiment.tables.train.iloc[fold.train].reset_index(drop=True)
    held_out = experiment.tables.train.iloc[fold.validation].reset_index(drop=True)
    fit_seed = derive(seed, "fold", number)
    seed_everything(fit_seed)
    return experiment.recipe.build(experiment.params, rows, replace(experiment.runtime, seed=fit_seed)), held_out


def _fit(
    experiment: Experiment, number: int, seed: int, place: Path, observe: Callable[[Progress], None] | None
) -> Fit:
    for cut_off in place.rglob("*.partial"):  # left by a process that was killed while it wrote
        cut_off.unlink()
    plan, held_out = planned(experiment, number, seed)
    history, facts, epoch = [], {}, None
    if plan.stages:
        history, facts = train(
            plan,
            loop=experiment.loop,
            device=experiment.runtime.device,
            folder=place / CHECKPOINTS,
            keep_every=experiment.protocol.debug,
            validate=_validation(experiment, plan, held_out),
            higher_is_better=experiment.competition.metric.higher_is_better,
            observe=observe,
        )
    if history:
        epoch = _select(plan, history, experiment, place / CHECKPOINTS)
    predict = finished(plan, plan.model, experiment.competition.targets, experiment.loop.precision)
    known = {"fold": number, "seed": seed, "epoch": epoch, "history": history, "facts": facts}
    return fit_of(experiment, predict, held_out, known)


def _validation(experiment: Experiment, plan: Plan, held_out: DataFrame) -> Callable[[nn.Module], dict[str, float]]:
    """A function that scores a model in training on the held-out rows."""
    competition, precision = experiment.competition, experiment.loop.precision

    def validate(model: nn.Module) -> dict[str, float]:
        predictions = finished(plan, model, competition.targets, precision)(held_out)
        return all_scored(of_each_score(competition, predictions), held_out, predictions)

    return validate


def fit_of(experiment: Experiment, predict: Predictor, held_out: DataFrame, known: Mapping[str, Any]) -> Fit:
    """What a finished plan predicts and how that scores, with what is `known`: fold, seed, epoch, history, facts."""
    competition, validation = experiment.competition, predict(held_out)
    metrics = measures(competition, validation)
    scores = all_scored(metrics, held_out, validation)
    chance = {metric.name: float(metric.chance(held_out)) for metric in metrics}
    test = predict(experiment.tables.test)
    return Fit(**known, scores=scores, chance=chance, validation=validation, test=test)


def _select(plan: Plan, history: History, experiment: Experiment, folder: Path) -> int:
    """Put the chosen epoch's weights into the plan's model; returns its number."""
    row = chosen(history, experiment.loop.select, experiment.competition.metric.higher_is_better)
    if row is not history[-1]:
        saved = {(c.row["stage"], c.row["epoch"]): c for c in checkpoints.listed(folder)}
        checkpoints.load_weights(saved[row["stage"], row["epoch"]], plan.model)
    return row["epoch"]


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def save(fit: Fit, place: Path) -> None:
    """Write a fit into its folder, fit.json last."""
    if not is_writer():
        return
    write_array(place / "validation.npy", fit.validation)
    write_array(place / "test.npy", fit.test)
    write_json(place / "history.json", fit.history)
    plain = {name: value for name, value in vars(fit).items() if name not in ("history", "validation", "test")}
    write_json(place / "fit.json", plain)


def is_whole(place: Path) -> bool:
    """Whether a fit is there and can be read; a damaged one is made again, from its checkpoints where it has any."""
    try:
        load(place)
    except GoldfoldError:
        return False
    return True


def load(place: Path) -> Fit:
    """The fit in a folder; raises GoldfoldError where it is absent, cut or damaged."""
    arrays = {name: read_array(place / f"{name}.npy") for name in ("validation", "test")}
    return Fit(**read_json(place / "fit.json"), history=read_json(place / "history.json"), **arrays)
