"""What a finished run's predictions gain from being several: views of an image, seeds of a fold; nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
from pandas import DataFrame

from goldfold.competition import Fold
from goldfold.errors import GoldfoldError
from goldfold.experiment.epochs import kept
from goldfold.experiment.fits import Experiment, Fit, fit_folder, fits_of, load, planned
from goldfold.experiment.scoring import all_scored, measures
from goldfold.params import Role, names
from goldfold.training import checkpoints
from goldfold.training.predicting import Predictor, finished

Scores = Mapping[str, float]  # metric name -> value
ByFold = Mapping[int, Scores]

FEW = 16  # training rows of a plan whose predictions are only timed
WARM_UP = 8  # rows predicted before any are timed
LONG_ENOUGH = 1.0  # seconds


@dataclass(frozen=True)
class Viewed:
    """A run's fits with one set of views.

    folds: each fold's scores, mean over seeds. seconds: of one row's prediction, from its file, nothing cached.
    """

    views: str
    folds: ByFold
    seconds: float


@dataclass(frozen=True)
class Together:
    """Each fold's scores with one of `members` seeds (mean over them), and with all their predictions combined."""

    members: int
    alone: ByFold
    together: ByFold


def fits_in(experiment: Experiment, run: Path) -> list[Fit]:
    """The fits of a finished run, in the order of folds."""
    return sorted((load(fit_folder(run, *key)) for key in fits_of(experiment)), key=lambda fit: fit.fold)


def sets_of_views(experiment: Experiment) -> tuple[str, ...]:
    """The values of the recipe's parameter of test-time views, in its order; empty if it has no such parameter."""
    name = views_key(experiment)
    return get_args(type(experiment.params).model_fields[name].annotation) if name else ()


def views_key(experiment: Experiment) -> str | None:
    """The recipe's parameter of test-time views; None if it has none."""
    return next(iter(names(type(experiment.params), Role.VIEWS)), None)


def viewed(experiment: Experiment, run: Path, fits: Sequence[Fit], views: str) -> Viewed:
    """A run's models on the rows they did not see, with the weights of the epochs they chose and another set of views.

    What was predicted with the run's own views is read and not made again. experiment: as the run was trained.

    Raises:
        GoldfoldError: a fit's weights are not there, or are those of another model.
    """
    other = replace(experiment, params=experiment.params.model_copy(update={views_key(experiment): views}))
    scores = []
    for done, fit in enumerate(fits):
        experiment.runtime.progress(f"views={views}, fits", done, len(fits))
        scores.append(fit.scores if other.params == experiment.params else _scores(other, run, fit))
    experiment.runtime.progress(f"views={views}, timed", len(fits), len(fits))
    return Viewed(views, _mean_over_seeds(fits, scores), _seconds_a_row(other, fits[0]))


def seeds(experiment: Experiment, fits: Sequence[Fit]) -> Together:
    """One seed of each fold against the recipe's combination of all its seeds, on the rows they did not see."""
    together = {}
    for fold, members in groupby(fits, key=lambda fit: fit.fold):
        rows = experiment.tables.train.iloc[experiment.folds[fold].validation].reset_index(drop=True)
        combined = experiment.recipe.combine(np.stack([fit.validation for fit in members]))
        together[fold] = all_scored(measures(experiment.competition, combined), rows, combined)
    alone = _mean_over_seeds(fits, [fit.scores for fit in fits])
    return Together(len(experiment.protocol.seeds), alone, together)


def again(experiment: Experiment, run: Path, fit: Fit) -> tuple[Predictor, DataFrame]:
    """A fit's model with the weights of the epoch it chose, ready to predict, and the rows it did not see."""
    plan, held_out = planned(experiment, fit.fold, fit.seed)
    model = plan.model.to(experiment.runtime.device)
    checkpoints.load_weights(_chosen(run, fit), model)
    return finished(plan, model, experiment.competition.targets, experiment.loop.precision), held_out


def _chosen(run: Path, fit: Fit) -> checkpoints.Checkpoint:
    folder = fit_folder(run, fit.fold, fit.seed)
    for checkpoint in kept(folder):
        if checkpoint.row["epoch"] == fit.epoch:
            return checkpoint
    raise GoldfoldError(f"{folder} lacks the weights of epoch {fit.epoch}, by which it predicts: train the run again")


def _scores(experiment: Experiment, run: Path, fit: Fit) -> Scores:
    predict, held_out = again(experiment, run, fit)
    predictions = predict(held_out)
    return all_scored(measures(experiment.competition, predictions), held_out, predictions)


def _mean_over_seeds(fits: Sequence[Fit], scores: Sequence[Scores]) -> ByFold:
    by_fold: dict[int, list[Scores]] = {}
    for fit, own in zip(fits, scores, strict=True):
        by_fold.setdefault(fit.fold, []).append(own)
    return {
        fold: {metric: float(np.mean([own[metric] for own in members])) for metric in members[0]}
        for fold, members in by_fold.items()
    }


def _seconds_a_row(experiment: Experiment, fit: Fit) -> float:
    """Timed on a model as it is built, for few training rows and with a cache of its own, which starts empty."""
    fold = experiment.folds[fit.fold]
    few = fold.train[np.unique(np.linspace(0, len(fold.train) - 1, FEW).astype(int))]
    folds = [Fold(few, fold.validation) if number == fit.fold else each for number, each in enumerate(experiment.folds)]
    with TemporaryDirectory() as cache:
        runtime = replace(experiment.runtime, cache=Path(cache))
        plan, held_out = planned(replace(experiment, folds=folds, runtime=runtime), fit.fold, fit.seed)
        model = plan.model.to(runtime.device)
        predict = finished(plan, model, experiment.competition.targets, experiment.loop.precision)
        return _timed(predict, held_out)


def _timed(predict: Predictor, rows: DataFrame) -> float:
    """Seconds a row over batches of growing size, until `LONG_ENOUGH` has passed; the first batch only warms up."""
    count, spent = 0, 0.0
    for place, batch in enumerate(_doubling(rows)):
        started = time.perf_counter()
        predict(batch)
        if place:
            count, spent = count + len(batch), spent + time.perf_counter() - started
        if spent > LONG_ENOUGH:
            break
    return spent / count


def _doubling(rows: DataFrame) -> Iterator[DataFrame]:
    """Batches of rows, each twice the one before, the last what is left; at least two, if need be of the same rows."""
    size = max(1, min(WARM_UP, len(rows) // 2))
    yield rows.iloc[:size].reset_index(drop=True)
    start = size if size < len(rows) else 0
    while start < len(rows):
        size *= 2
        yield rows.iloc[start : start + size].reset_index(drop=True)
        start += size
