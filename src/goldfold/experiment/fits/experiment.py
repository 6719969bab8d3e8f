"""What is cross-validated, which fits that makes, where their folders are, and the plan of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame
from pydantic import Field, field_validator

from goldfold.competition import Competition, Fold, Plan, Recipe, Runtime, Tables
from goldfold.data.image_checks import OnBroken
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import lessons as lessons_of
from goldfold.experiment.fits.lessons import Distillation, Lessons, PseudoLabels
from goldfold.io.random_states import seed_all
from goldfold.io.seeding import derive
from goldfold.params import Params
from goldfold.training.settings import LoopOptions

CHECKPOINTS = "checkpoints"  # subfolder of a fit's folder
OWN_SPLIT = "default"  # name of `Competition.split` beside those of `Competition.other_splits`


class Protocol(Params):
    """Keys of every config: which rows train, and which fits make the score."""

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
    extra: bool = Field(True, description="train on the rows of the competition's `Tables.extra`, too, in every fold")
    pseudo_labels: PseudoLabels | None = Field(
        None, description="train on rows that a teacher run labels; keys in teachers.md"
    )
    distill: Distillation | None = Field(
        None, description="train on a teacher run's probabilities beside the labels; keys in teachers.md"
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
    tables: the train table ends with the extra rows that have targets, which all folds train on. lessons: of teachers.
    decide: the config's block, as written; empty if it has none.
    starts_from: folder of the run that `init_from` names; None if there is none.
    """

    competition: Competition
    recipe: Recipe
    params: Any
    loop: LoopOptions
    protocol: Protocol
    tables: Tables
    folds: Sequence[Fold]
    runtime: Runtime
    lessons: Lessons | None = None
    decide: Mapping[str, Any] = field(default_factory=dict)
    starts_from: Path | None = None


def fit_keys(experiment: Experiment) -> list[tuple[int, int]]:
    """The (fold, seed) of every fit of an experiment, in order."""
    numbers = fold_numbers(experiment.protocol, experiment.folds)
    return [(fold, seed) for fold in numbers for seed in experiment.protocol.seeds]


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
    fold = experiment.folds[number]
    held_out = experiment.tables.train.iloc[fold.validation].reset_index(drop=True)
    rows = training_rows(experiment, fold.train, number)
    return build_from(experiment, rows, derive(seed, "fold", number)), held_out


def training_rows(experiment: Experiment, positions: np.ndarray, number: int) -> DataFrame:
    """The rows that a fit trains on: those at these positions of the train table, then what its teachers add.

    number: of the fold, or `lessons.NO_FOLD`.
    """
    rows = experiment.tables.train.iloc[positions].reset_index(drop=True)
    if experiment.lessons is None:
        return rows
    return lessons_of.taught(rows, positions, experiment.lessons, number, targets_of(experiment))


def targets_of(experiment: Experiment) -> lessons_of.Targets:
    """What the labels of an experiment are."""
    return lessons_of.Targets(
        experiment.recipe.labels, experiment.runtime.classes, tuple(experiment.competition.targets)
    )


def build_from(experiment: Experiment, rows: DataFrame, seed: int) -> Plan:
    """Build a plan from training rows; all random generators are seeded with `seed` before."""
    seed_all(seed)
    return experiment.recipe.build(experiment.params, rows, replace(experiment.runtime, seed=seed))
