"""One fit: a fold trained with one seed in its own folder, its predictions and scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from pandas import DataFrame
from pydantic import Field, field_validator
from torch import nn

from goldfold.competition import Competition, Fold, Plan, Recipe, Runtime, Tables
from goldfold.data.image_checks import OnBroken
from goldfold.errors import GoldfoldError
from goldfold.experiment import code_index
from goldfold.experiment.failures import explained
from goldfold.experiment.scoring import metrics_for, metrics_of_index, metrics_per_score, score_all, score_in_index
from goldfold.io.files import (
    read_array,
    read_arrays,
    read_json,
    sweep_partials,
    write_array,
    write_arrays,
    write_json,
)
from goldfold.io.progress import EpochProgress
from goldfold.io.random_states import preserved_states, seed_all
from goldfold.io.seeding import derive
from goldfold.params import Params
from goldfold.training import checkpoints, hard_examples
from goldfold.training.distributed import from_first, is_writer
from goldfold.training.epoch_selection import select_epoch
from goldfold.training.loop import train
from goldfold.training.predictor import Predictor, finish_plan
from goldfold.training.settings import LoopOptions
from goldfold.training.state import History

CHECKPOINTS = "checkpoints"  # subfolder of a fit's folder
UNTRAINED = "untrained_errors.npy"  # in a fit's folder
SEAL = "sha256"  # key of fit.json
OWN_SPLIT = "default"  # name of `Competition.split` beside those of `Competition.other_splits`


class Protocol(Params):
    """Keys of every config: which fits make the score."""

    split: str = Field(OWN_SPLIT, description="name of one of the competition's splits; default: its own")
    seed: int = Field(0, ge=0, description="seed that draws the folds")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds; every fold is fitted with each")
    folds: tuple[int, ...] | None = Field(
        None, description="numbers of the folds to fit, such as [0, 2]; all by default"
    )
    debug: bool = Field(False, description="keep the weights of every epoch")
    accept: tuple[str, ...] = Field((), description="codes of findings that must not stop the run")
    on_broken: OnBroken = Field(
        "refuse",
        description="images that cannot be decoded: stop; skip leaves training rows out of every fold and takes gray "
        "test images; grey takes gray images",
    )

    @field_validator("seeds", "folds")
    @classmethod
    def _once(cls, numbers: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if numbers == ():
            raise ValueError("an empty list fits nothing: give numbers such as [0]")
        if numbers and len(set(numbers)) < len(numbers):
            raise ValueError("each number may be given once, or its fits would count twice")
        return numbers


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is cross-validated, with which parameters and where.

    params: of the recipe. loop: of the training. protocol: which fits are made. runtime: its seed is set for each fit.
    """

    competition: Competition
    recipe: Recipe
    params: Any
    loop: LoopOptions
    protocol: Protocol
    tables: Tables
    folds: Sequence[Fold]
    runtime: Runtime


@dataclass(frozen=True)
class Fit:
    """One fold fitted with one seed.

    scores, chance: metric name -> score and chance level on the validation rows. epoch: number of the one that
        predicts; None without training. facts: for audits. validation: (rows of the fold, ...) and test: (test rows,
        ...) predictions. index: of codes of the training rows, see `code_index.of_fit`; empty without codes.
        untrained: metric name -> score of the model before its first step; only of embeddings. untrained_errors: (rows
        of the fold,) errors of that model, as the metric's `row_error` has them; empty if it has none. probed: what
        `Plan.probe` found, in the first fit of a run only.
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
    index: Mapping[str, np.ndarray] = field(default_factory=dict)
    untrained: dict[str, float] = field(default_factory=dict)
    untrained_errors: np.ndarray = field(default_factory=lambda: np.empty(0))
    probed: dict[str, Any] = field(default_factory=dict)


FitObserver = Callable[[int, int, EpochProgress], None]


def fit_keys(experiment: Experiment) -> list[tuple[int, int]]:
    """The (fold, seed) of every fit of an experiment, in order."""
    numbers = fold_numbers(experiment.protocol, experiment.folds)
    return [(fold, seed) for fold in numbers for seed in experiment.protocol.seeds]


def fit(experiment: Experiment, folder: Path, fold: int, seed: int, observe: FitObserver | None = None) -> Fit:
    """Read a complete fit, resume an interrupted one, or make a new one in its folder below `folder`."""
    place = fit_folder(folder, fold, seed)
    if not from_first(is_complete(place)):  # one answer for all: later processes may already see the first one's files
        watch = partial(observe, fold, seed) if observe else None
        with explained(f"fold {fold} seed {seed}", experiment.competition.slug):
            done = _fit(experiment, fold, seed, place, watch)
        save_fit(done, place)
    if dist.is_initialized():
        dist.barrier()  # until the first process has written it
    return load_fit(place)


def fit_folder(run: Path, fold: int, seed: int) -> Path:
    """The folder of a fit in a run folder."""
    return run / f"fold{fold}-seed{seed}"


def fold_numbers(protocol: Protocol, folds: Sequence[Fold]) -> Sequence[int]:
    """The numbers of the folds to fit.

    Raises:
        GoldfoldError: the config asks for a fold that does not exist.
    """
    known = range(len(folds))
    wanted = known if protocol.folds is None else protocol.folds
    absent = [fold for fold in wanted if fold not in known]
    if absent:
        raise GoldfoldError(
            "unknown_fold",
            f"folds are numbered 0 to {len(known) - 1}, and the config asks for fold {absent[0]}: change `folds`",
        )
    return wanted


def build_plan(experiment: Experiment, number: int, seed: int) -> tuple[Plan, DataFrame]:
    """Build one fit's plan from its training rows and seed; return it with the validation rows."""
    fold, train_rows = experiment.folds[number], experiment.tables.train
    rows, held_out = (train_rows.iloc[part].reset_index(drop=True) for part in (fold.train, fold.validation))
    return build_from(experiment, rows, derive(seed, "fold", number)), held_out


def build_from(experiment: Experiment, rows: DataFrame, seed: int) -> Plan:
    """Build a plan from training rows; all random generators are seeded with `seed` before."""
    seed_all(seed)
    return experiment.recipe.build(experiment.params, rows, replace(experiment.runtime, seed=seed))


def _fit(
    experiment: Experiment, number: int, seed: int, place: Path, observe: Callable[[EpochProgress], None] | None
) -> Fit:
    """Build, train and finish a plan, then predict and score."""
    sweep_partials(place)
    plan, held_out = build_plan(experiment, number, seed)
    keep(plan, place)
    train_rows = experiment.tables.train.iloc[experiment.folds[number].train]
    examples = hard_examples.of_plan(plan, train_rows, experiment.loop.hard_examples, place)
    history: History = []
    facts: dict[str, Any] = {}
    epoch, untrained = None, {}
    if plan.stages:
        untrained = _untrained(experiment, plan, held_out)
        history, facts = train(
            plan,
            loop=experiment.loop,
            device=experiment.runtime.device,
            folder=place / CHECKPOINTS,
            keep_every=experiment.protocol.debug,
            validate=_validation(experiment, plan, held_out),
            higher_is_better=experiment.competition.metric.higher_is_better,
            observe=observe,
            examples=examples,
        )
    if history:
        epoch = _select(plan, history, experiment, place / CHECKPOINTS)
    predict = finish_plan(plan, plan.model, experiment.competition.targets, experiment.loop.precision)
    index = code_index.of_fit(predict, train_rows, experiment.recipe.labels, experiment.runtime.classes)
    known = {"fold": number, "seed": seed, "epoch": epoch, "history": history, "facts": facts}
    known |= {"index": index, **untrained}
    scored = predict_and_score(experiment, predict, held_out, known)
    return replace(scored, probed=_probed(experiment, predict, held_out, scored))


def _probed(experiment: Experiment, predict: Predictor, held_out: DataFrame, scored: Fit) -> dict[str, Any]:
    """What the plan of a run's first fit finds out about itself; random states are restored."""
    if (scored.fold, scored.seed) != fit_keys(experiment)[0]:
        return {}
    numbers = fold_numbers(experiment.protocol, experiment.folds)
    validated = sum(len(experiment.folds[number].validation) for number in numbers)
    with preserved_states():
        return dict(predict.probe(held_out, scored.validation, validated + len(experiment.tables.test)))


def _untrained(experiment: Experiment, plan: Plan, held_out: DataFrame) -> dict[str, Any]:
    """Scores and errors of a plan's model before its first step, which training has to beat; only of embeddings.

    Other models predict nothing before they are trained. Random states are restored.
    """
    competition = experiment.competition
    trains = any(stage.epochs for stage in plan.stages)
    if competition.metric.retrieval is None or plan.model is None or not trains:
        return {}
    with preserved_states():
        model = plan.model.to(experiment.runtime.device)
        predictions = finish_plan(plan, model, competition.targets, experiment.loop.precision)(held_out)
        found: dict[str, Any] = {"untrained": score_all(metrics_for(competition, predictions), held_out, predictions)}
        if error := competition.metric.options.row_error:
            found["untrained_errors"] = error(held_out, predictions)
        return found


def _validation(experiment: Experiment, plan: Plan, held_out: DataFrame) -> Callable[[nn.Module], dict[str, float]]:
    """A function that scores a model in training on the validation rows."""
    competition, precision = experiment.competition, experiment.loop.precision

    def validate(model: nn.Module) -> dict[str, float]:
        predictions = finish_plan(plan, model, competition.targets, precision)(held_out)
        return score_all(metrics_per_score(competition, predictions), held_out, predictions)

    return validate


def predict_and_score(experiment: Experiment, predict: Predictor, held_out: DataFrame, known: Mapping[str, Any]) -> Fit:
    """Predict with a finished plan, score it, and return the fit.

    known: the other fields of the fit: fold, seed, epoch, history, facts, index.
    """
    competition, validation = experiment.competition, predict(held_out)
    metrics = metrics_for(competition, validation)
    scores = score_all(metrics, held_out, validation)
    chance = {metric.name: float(metric.chance(held_out)) for metric in metrics}
    training = experiment.tables.train.iloc[experiment.folds[known["fold"]].train].reset_index(drop=True)
    for metric in metrics_of_index(competition, validation) if known["index"] else ():
        found = score_in_index(metric, held_out, validation, training, known["index"])
        scores[metric.name], chance[metric.name] = found
    test = predict(experiment.tables.test)
    return Fit(**known, scores=scores, chance=chance, validation=validation, test=test)


def _select(plan: Plan, history: History, experiment: Experiment, folder: Path) -> int:
    """Load the weights of the selected epoch into the plan's model; returns its number."""
    row = select_epoch(history, experiment.loop.select, experiment.competition.metric.higher_is_better)
    if row is not history[-1]:
        saved = {(c.row["stage"], c.row["epoch"]): c for c in checkpoints.list_checkpoints(folder)}
        assert plan.model is not None, "a fit with a history has a model"
        checkpoints.load_weights(saved[row["stage"], row["epoch"]], plan.model)
    return row["epoch"]


def keep(plan: Plan, place: Path) -> None:
    """Write what a plan keeps as JSON into the folder of its fit; of a distributed run the first process writes."""
    for name, value in plan.kept.items() if is_writer() else ():
        write_json(place / f"{name}.json", value)


def save_fit(fit: Fit, place: Path) -> None:
    """Write a fit into its folder, fit.json last with a hash of all; only the first of distributed processes writes."""
    if not is_writer():
        return
    write_array(place / "validation.npy", fit.validation)
    write_array(place / "test.npy", fit.test)
    write_json(place / "history.json", fit.history)
    if fit.index:
        write_arrays(place / code_index.FILE, fit.index)
    if len(fit.untrained_errors):
        write_array(place / UNTRAINED, fit.untrained_errors)
    apart = ("history", "validation", "test", "index", "untrained_errors")
    facts = {name: value for name, value in vars(fit).items() if name not in apart}
    write_json(place / "fit.json", {**facts, SEAL: _seal(place, facts)})


def is_complete(place: Path) -> bool:
    """Whether a fit exists and can be read; a damaged one is made again, from its checkpoints if it has any."""
    try:
        load_fit(place)
    except GoldfoldError:
        return False
    return True


def load_fit(place: Path) -> Fit:
    """Load the fit in a folder.

    Raises:
        GoldfoldError: a file of it is missing or damaged, or is not the one that the fit wrote (`fit_changed`).
    """
    facts = read_json(place / "fit.json", dict)
    seal = facts.pop(SEAL, None)  # fits of older versions have none
    if seal and seal != _seal(place, facts):
        raise GoldfoldError(
            "fit_changed", f"{place} is not as the fit wrote it: delete {place / 'fit.json'} and train again"
        )
    validation, test = (read_array(place / f"{name}.npy") for name in ("validation", "test"))
    index = read_arrays(place / code_index.FILE) if (place / code_index.FILE).exists() else {}
    known: dict[str, Any] = {"history": read_json(place / "history.json", list), "index": index}
    if (place / UNTRAINED).exists():
        known["untrained_errors"] = read_array(place / UNTRAINED)
    try:
        return Fit(**facts, **known, validation=validation, test=test)
    except TypeError as error:
        raise GoldfoldError(
            "file_damaged", f"{place / 'fit.json'} holds no fit ({error}): delete it and train again"
        ) from error


def _seal(place: Path, facts: Mapping[str, Any]) -> str:
    """A SHA-256 of what fit.json holds and of the other files of a fit."""
    seal = hashlib.sha256(json.dumps(facts).encode())
    for name in ("validation.npy", "test.npy", "history.json", code_index.FILE, UNTRAINED):
        if (place / name).exists():
            seal.update(hashlib.sha256((place / name).read_bytes()).digest())
    return seal.hexdigest()
