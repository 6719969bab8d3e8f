"""Score a finished run with other test-time views, and with its seeds combined; nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
from pandas import DataFrame

from goldfold.competition import Fold
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import Experiment, Fit, build_plan, choose_again, fit_folder, fit_keys, load_fit
from goldfold.experiment.saved_epochs import last_stage_checkpoints
from goldfold.experiment.scoring import metrics_for, score_all
from goldfold.params import Role, names
from goldfold.training import checkpoints
from goldfold.training.predictor import Predictor, finish_plan

Scores = Mapping[str, float]  # metric name -> value
ByFold = Mapping[int, Scores]

FEW = 16  # training rows of a plan that is only timed
WARM_UP = 8  # rows predicted before timing starts
TIMING_SECONDS = 1.0


@dataclass(frozen=True)
class ViewScores:
    """The scores of a run's fits with one set of views.

    folds: each fold's scores, mean over seeds. seconds: to predict one row from its file, without a cache: time of the
    processor (`clock` is "CPU time"), which other work on the machine does not change; on a GPU time of the clock.
    """

    views: str
    folds: ByFold
    seconds: float
    clock: str


@dataclass(frozen=True)
class SeedEnsemble:
    """Each fold's scores with one of `members` seeds (mean over them), and with all their predictions combined."""

    members: int
    alone: ByFold
    together: ByFold


def load_fits(experiment: Experiment, run: Path) -> list[Fit]:
    """Load the fits of a finished run, in order of folds."""
    return sorted((load_fit(fit_folder(run, *key)) for key in fit_keys(experiment)), key=lambda fit: fit.fold)


def view_options(experiment: Experiment) -> tuple[str, ...]:
    """The values of the recipe's parameter of test-time views, in its order; empty if it has none."""
    name = views_parameter(experiment)
    return get_args(type(experiment.params).model_fields[name].annotation) if name else ()


def views_parameter(experiment: Experiment) -> str | None:
    """The name of the recipe's parameter of test-time views; None if it has none."""
    return next(iter(names(type(experiment.params), Role.VIEWS)), None)


def score_views(experiment: Experiment, run: Path, fits: Sequence[Fit], views: str) -> ViewScores:
    """Score a run's models on their validation rows with another set of views.

    The weights are those of the selected epochs. Scores with the run's own views are read, not computed again.
    experiment: as the run was trained.

    Raises:
        GoldfoldError: the weights of a fit are missing, or belong to another model.
    """
    other = replace(experiment, params=experiment.params.model_copy(update={views_parameter(experiment): views}))
    scores = []
    for done, fit in enumerate(fits):
        experiment.runtime.progress(f"views={views}, fits", done, len(fits))
        scores.append(fit.scores if other.params == experiment.params else _scores(other, run, fit))
    experiment.runtime.progress(f"views={views}, timed", len(fits), len(fits))
    clock = "CPU time" if experiment.runtime.device.type == "cpu" else "time"
    return ViewScores(views, _mean_over_seeds(fits, scores), _seconds_per_row(other, fits[0]), clock)


def score_seed_ensemble(experiment: Experiment, fits: Sequence[Fit]) -> SeedEnsemble:
    """Score one seed of each fold and the recipe's combination of all its seeds, on the validation rows."""
    together = {}
    for fold, members in groupby(fits, key=lambda fit: fit.fold):
        rows = experiment.tables.train.iloc[experiment.folds[fold].validation].reset_index(drop=True)
        combined = experiment.recipe.combine(np.stack([fit.validation for fit in members]))
        together[fold] = score_all(metrics_for(experiment.competition, combined), rows, combined)
    alone = _mean_over_seeds(fits, [fit.scores for fit in fits])
    return SeedEnsemble(len(experiment.protocol.seeds), alone, together)


def load_predictor(experiment: Experiment, run: Path, fit: Fit) -> tuple[Predictor, DataFrame]:
    """Load a fit's model with the weights of its selected epoch; return the predictor and the validation rows."""
    plan, held_out = build_plan(experiment, fit.fold, fit.seed)
    assert plan.model is not None, "a fit with checkpoints has a model"
    model = plan.model.to(experiment.runtime.device)
    checkpoints.load_weights(_selected_checkpoint(run, fit), model)
    return finish_plan(plan, model, experiment.competition.targets, experiment.loop.precision), held_out


def predictor_of(experiment: Experiment, run: Path, fit: Fit) -> tuple[Predictor, DataFrame]:
    """The predictor of a fit and its validation rows; a fit without epochs is made again, with what it had chosen."""
    if fit.epoch is not None:
        return load_predictor(experiment, run, fit)
    plan, held_out = build_plan(experiment, fit.fold, fit.seed)
    predict = finish_plan(plan, plan.model, experiment.competition.targets, experiment.loop.precision)
    return choose_again(predict, fit_folder(run, fit.fold, fit.seed)), held_out


def _selected_checkpoint(run: Path, fit: Fit) -> checkpoints.Checkpoint:
    folder = fit_folder(run, fit.fold, fit.seed)
    for checkpoint in last_stage_checkpoints(folder):
        if checkpoint.row["epoch"] == fit.epoch:
            return checkpoint
    raise GoldfoldError(
        "epoch_weights_missing", f"{folder} lacks the weights of epoch {fit.epoch}, which predicts: train the run again"
    )


def _scores(experiment: Experiment, run: Path, fit: Fit) -> Scores:
    predict, held_out = load_predictor(experiment, run, fit)
    predictions = predict(held_out)
    return score_all(metrics_for(experiment.competition, predictions), held_out, predictions)


def _mean_over_seeds(fits: Sequence[Fit], scores: Sequence[Scores]) -> ByFold:
    by_fold: dict[int, list[Scores]] = {}
    for fit, own in zip(fits, scores, strict=True):
        by_fold.setdefault(fit.fold, []).append(own)
    return {
        fold: {metric: float(np.mean([own[metric] for own in members])) for metric in members[0]}
        for fold, members in by_fold.items()
    }


def _seconds_per_row(experiment: Experiment, fit: Fit) -> float:
    """Time a newly built model with few training rows and an empty cache of its own."""
    fold = experiment.folds[fit.fold]
    few = fold.train[np.unique(np.linspace(0, len(fold.train) - 1, FEW).astype(int))]
    folds = [Fold(few, fold.validation) if number == fit.fold else each for number, each in enumerate(experiment.folds)]
    with TemporaryDirectory() as cache:
        runtime = replace(experiment.runtime, cache=Path(cache))
        plan, held_out = build_plan(replace(experiment, folds=folds, runtime=runtime), fit.fold, fit.seed)
        assert plan.model is not None, "a fit with checkpoints has a model"
        model = plan.model.to(runtime.device)
        predict = finish_plan(plan, model, experiment.competition.targets, experiment.loop.precision)
        return _timed(predict, held_out, time.process_time if runtime.device.type == "cpu" else time.perf_counter)


def _timed(predict: Predictor, rows: DataFrame, clock: Callable[[], float]) -> float:
    """Seconds per row over batches of growing size, until `TIMING_SECONDS` have passed; the first batch warms up."""
    count, spent = 0, 0.0
    for place, batch in enumerate(_doubling(rows)):
        started = clock()
        predict(batch)
        if place:
            count, spent = count + len(batch), spent + clock() - started
        if spent > TIMING_SECONDS:
            break
    return spent / count


def _doubling(rows: DataFrame) -> Iterator[DataFrame]:
    """Batches of rows, each twice as large as the one before; at least two, of the same rows if need be."""
    size = max(1, min(WARM_UP, len(rows) // 2))
    yield rows.iloc[:size].reset_index(drop=True)
    start = size if size < len(rows) else 0
    while start < len(rows):
        size *= 2
        yield rows.iloc[start : start + size].reset_index(drop=True)
        start += size
