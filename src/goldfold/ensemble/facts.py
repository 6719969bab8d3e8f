"""The figures of a blend, as blend.json holds them: scores of runs and methods, weights, correlations of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from goldfold.ensemble import blending
from goldfold.ensemble.blending import Blend, Members, MethodResult
from goldfold.ensemble.methods import METHODS


def blend_facts(
    members: Members, trials: Sequence[MethodResult], result: Blend, named: bool, left_out: Mapping[str, str]
) -> dict[str, Any]:
    """Every figure of a blend's report, in the competition's own metric.

    named: whether the user named the method. left_out: method -> why it could not blend these runs.
    """
    metric = members.competition.metric
    singles = [_own(metric.name, blending.score_by_fold(members, each)) for each in members.oof]
    elsewhere = blending.best_on_other_folds(members, singles)
    best = blending.best_index(metric, [fmean(scores.values()) for scores in singles])
    correlated = blending.error_correlations(members)
    return {
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "bounds": list(metric.bounds),
        "runs": {name: _summary(scores) for name, scores in zip(members.names, singles, strict=True)},
        "best_run": members.names[best],
        "best_elsewhere": _summary({fold: singles[at][fold] for fold, at in elsewhere.items()}),
        "methods": {trial.method: _of_trial(metric.name, trial) for trial in trials},
        "left_out": dict(left_out),
        "named": named,
        "too_few_folds": len(members.folds) < blending.FEWEST_TO_CHOOSE,
        "method": result.method,
        "by_fold": {str(fold): method for fold, method in result.by_fold.items()},
        "blend": _summary(_own(metric.name, result.scores)),
        "correlations": correlated and {"of": correlated[0], "matrix": _plain(correlated[1])},
    }


def _own(metric: str, scores: Mapping[int, blending.Scores]) -> dict[int, float]:
    return {fold: by_metric[metric] for fold, by_metric in scores.items()}


def _summary(folds: Mapping[int, float]) -> dict[str, Any]:
    return {"folds": {str(fold): value for fold, value in folds.items()}, "mean": fmean(folds.values())}


def _of_trial(metric: str, trial: MethodResult) -> dict[str, Any]:
    """Nested and in-sample scores of one method, and the weights it learned if it has any."""
    blenders = {"all" if fold is None else str(fold): blender for fold, blender in trial.blenders.items()}
    weights = None
    if blenders["all"].weights is not None:
        values = {fold: blender.weights.tolist() for fold, blender in blenders.items() if blender.weights is not None}
        learned = trial.method in METHODS and METHODS[trial.method].learns  # given weights are none of the methods
        weights = {"all": values.pop("all"), "folds": values, "learned": learned}
    own, in_sample = _summary(_own(metric, trial.scores)), fmean(trial.in_sample.values())
    return {**own, "in_sample": in_sample, "weights": weights, "told": blenders["all"].description}


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    return [[float(value) if np.isfinite(value) else None for value in row] for row in matrix]
