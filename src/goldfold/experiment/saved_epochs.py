"""Outputs of the saved epochs of a fit, and the epoch that every selection rule would choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from pandas import DataFrame

from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import CHECKPOINTS, Experiment, build_plan, fit_folder
from goldfold.training import checkpoints
from goldfold.training.epoch_selection import select_epoch
from goldfold.training.predictor import finish_plan
from goldfold.training.state import History


@dataclass(frozen=True)
class EpochOutput:
    """One saved epoch: its row of the history, its predictions for some rows, and its pictures of them."""

    row: dict[str, Any]
    predictions: np.ndarray
    pictures: Mapping[str, np.ndarray]


def last_stage_checkpoints(folder: Path) -> list[checkpoints.Checkpoint]:
    """The checkpoints of the last stage, in order of training; raises as `all_checkpoints`."""
    found = all_checkpoints(folder)
    return [checkpoint for checkpoint in found if checkpoint.row["stage"] == found[-1].row["stage"]]


def all_checkpoints(folder: Path) -> list[checkpoints.Checkpoint]:
    """The checkpoints of every stage, in order of training.

    folder: of the fit.

    Raises:
        GoldfoldError: there is none.
    """
    found = checkpoints.list_checkpoints(folder / CHECKPOINTS)
    if not found:
        raise GoldfoldError(
            "fit_without_weights",
            f"{folder} holds no weights: only recipes trained by epochs save them, once their first epoch is over",
        )
    return found


def epoch_outputs(experiment: Experiment, run: Path, fold: int, seed: int, rows: DataFrame) -> Iterator[EpochOutput]:
    """Yield the output of every saved epoch of a fit for `rows`; nothing is trained."""
    plan, _ = build_plan(experiment, fold, seed)
    assert plan.model is not None, "a fit with checkpoints has a model"
    model = plan.model.to(experiment.runtime.device)
    for checkpoint in all_checkpoints(fit_folder(run, fold, seed)):
        checkpoints.load_weights(checkpoint, model)
        predictor = finish_plan(plan, model, experiment.competition.targets, experiment.loop.precision)
        yield EpochOutput(checkpoint.row, predictor(rows), predictor.pictures(rows))


def epochs_by_rule(history: History, higher_is_better: bool) -> dict[str, dict[str, Any]]:
    """Selection rule -> the history row it chooses, for 'last', every monitored value that ranks epochs, and 'best'.

    'best' uses the metric on the scored fold itself, which the other rules do not.
    """
    monitored = history[-1]["monitored"]
    rules = ["last", *(name for name, value in monitored.items() if value["higher_is_better"] is not None), "best"]
    return {rule: select_epoch(history, rule, higher_is_better) for rule in rules}


@dataclass(frozen=True)
class RuleCost:
    """A selection rule over all fits: the chosen epochs, the metric there, and how much worse than 'best' it is."""

    select: str
    epochs: Sequence[int]
    metric: float
    cost: float


def rule_costs(histories: Sequence[History], higher_is_better: bool) -> list[RuleCost]:
    """Compare the selection rules over the histories of all fits; metric and cost are means over fits."""
    tables = [epochs_by_rule(history, higher_is_better) for history in histories]
    best = fmean(table["best"]["metric"] for table in tables)
    found = []
    for rule in tables[0]:
        rows = [table[rule] for table in tables]
        metric = fmean(row["metric"] for row in rows)
        found.append(RuleCost(rule, [row["epoch"] for row in rows], metric, abs(best - metric)))
    return found
