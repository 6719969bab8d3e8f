"""The epochs a fit kept: what each made of some rows, and which one every rule of selection would have chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from pandas import DataFrame

from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import CHECKPOINTS, Experiment, fit_folder, planned
from goldfold.training import checkpoints
from goldfold.training.epoch_selection import chosen
from goldfold.training.predicting import finished
from goldfold.training.state import History


@dataclass(frozen=True)
class Look:
    """One kept epoch: its row of history, what it predicts for some rows, and how it pictures them."""

    row: dict[str, Any]
    predictions: np.ndarray
    pictures: Mapping[str, np.ndarray]


def kept(folder: Path) -> list[checkpoints.Checkpoint]:
    """The epochs of the last stage whose weights are there, in the order of training; raises as `of_all_stages`."""
    found = of_all_stages(folder)
    return [checkpoint for checkpoint in found if checkpoint.row["stage"] == found[-1].row["stage"]]


def of_all_stages(folder: Path) -> list[checkpoints.Checkpoint]:
    """The epochs of every stage whose weights are there, in the order of training.

    Raises:
        GoldfoldError: there is none.
    """
    found = checkpoints.listed(folder / CHECKPOINTS)
    if not found:
        raise GoldfoldError(
            f"{folder} holds no weights: only recipes that are trained by epochs keep them, and the fit must have begun"
        )
    return found


def looks(experiment: Experiment, run: Path, fold: int, seed: int, rows: DataFrame) -> Iterator[Look]:
    """Every kept epoch of every stage of one fit on `rows`; nothing is trained, the plan is built again."""
    plan, _ = planned(experiment, fold, seed)
    model = plan.model.to(experiment.runtime.device)
    for checkpoint in of_all_stages(fit_folder(run, fold, seed)):
        checkpoints.load_weights(checkpoint, model)
        predictor = finished(plan, model, experiment.competition.targets, experiment.loop.precision)
        yield Look(checkpoint.row, predictor(rows), predictor.pictures(rows))


def by_rule(history: History, higher_is_better: bool) -> dict[str, dict[str, Any]]:
    """What to select by -> the row of history it chooses: 'last', every monitored value that ranks epochs, and 'best'.

    'best' is chosen by the metric on the scored fold itself, which no other rule sees.
    """
    monitored = history[-1]["monitored"]
    rules = ["last", *(name for name, value in monitored.items() if value["higher_is_better"] is not None), "best"]
    return {rule: chosen(history, rule, higher_is_better) for rule in rules}


@dataclass(frozen=True)
class Cost:
    """A rule over all fits: the epochs it chooses, the metric there, and how much worse than the best ones that is."""

    select: str
    epochs: Sequence[int]
    metric: float
    cost: float


def costs(histories: Sequence[History], higher_is_better: bool) -> list[Cost]:
    """Each rule's choice in every fit; metric and cost are means over fits."""
    tables = [by_rule(history, higher_is_better) for history in histories]
    best = fmean(table["best"]["metric"] for table in tables)
    found = []
    for rule in tables[0]:
        rows = [table[rule] for table in tables]
        metric = fmean(row["metric"] for row in rows)
        found.append(Cost(rule, [row["epoch"] for row in rows], metric, abs(best - metric)))
    return found
