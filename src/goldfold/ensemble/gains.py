"""Measure what a finished run gains from test-time views, from seeds and from folds together; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from goldfold.experiment import views_and_seeds
from goldfold.experiment.fits import Experiment, Fit
from goldfold.trust.comparisons import difference

PLAIN = "none"  # the set of views that others are compared with: the image as it is
Measured = dict[str, Any]


def gain_of_views(experiment: Experiment, run: Path, fits: Sequence[Fit], names: Sequence[str]) -> list[Measured]:
    """Score a run's fits with each set of views.

    names: sets of views, `none` among them. Each has `views`, `own` (the run was trained with it), its `cost` in
    multiples of `none`, `seconds_per_1000_rows` of its `clock` ("CPU time", or "time" on a GPU), and `metrics`: folds,
    mean and the difference to `none`.
    """
    seen = [views_and_seeds.score_views(experiment, run, fits, name) for name in names]
    plain = next(each for each in seen if each.views == PLAIN)
    parameter = views_and_seeds.views_parameter(experiment)
    assert parameter is not None, "the recipe has views"
    trained_with = getattr(experiment.params, parameter)
    return [
        {
            "views": each.views,
            "own": each.views == trained_with,
            "seconds_per_1000_rows": 1000 * each.seconds,
            "clock": each.clock,
            "cost": each.seconds / plain.seconds,
            "metrics": _compared(experiment, each.folds, plain.folds),
        }
        for each in seen
    ]


def gain_of_seeds(experiment: Experiment, fits: Sequence[Fit]) -> Measured:
    """Score the combination of all seeds of each fold against one seed.

    Returns `members`, the number of seeds; `alone`, each metric's folds with one seed; and `metrics`, its folds with
    all seeds and the difference.
    """
    found = views_and_seeds.score_seed_ensemble(experiment, fits)
    alone = {metric: _summary(experiment, found.alone, metric) for metric in found.alone[fits[0].fold]}
    return {"members": found.members, "alone": alone, "metrics": _compared(experiment, found.together, found.alone)}


def gain_of_folds(experiment: Experiment, fits: Sequence[Fit], grade: Callable[[Sequence[Fit]], float]) -> Measured:
    """Grade every fit alone and all fits together on rows that no fold trained on.

    grade: the score of the submission of some fits. Returns `members`, the number of fits; the scores `alone` with
    `mean` and `sd_ddof1`; the score `together`; and how many fits it is `better` than.
    """
    alone, together = [grade([fit]) for fit in fits], grade(fits)
    sign = 1 if experiment.competition.metric.higher_is_better else -1
    return {
        "members": len(fits),
        "alone": {f"fold{fit.fold}-seed{fit.seed}": score for fit, score in zip(fits, alone, strict=True)},
        "mean": fmean(alone),
        "sd_ddof1": stdev(alone),
        "together": together,
        "better": sum(sign * (together - score) > 0 for score in alone),
    }


def _compared(experiment: Experiment, own: views_and_seeds.ByFold, reference: views_and_seeds.ByFold) -> Measured:
    """metric -> its folds, their mean, and the difference to the reference paired over folds."""
    compared = {}
    for metric in next(iter(own.values())):
        summary, other = (_summary(experiment, each, metric) for each in (own, reference))
        compared[metric] = {**summary, "difference": asdict(difference(summary, other))}
    return compared


def _summary(experiment: Experiment, by_fold: views_and_seeds.ByFold, metric: str) -> Measured:
    folds = {str(fold): scores[metric] for fold, scores in by_fold.items()}
    measured = {each.name: each for each in (experiment.competition.metric, *experiment.competition.also)}
    base = measured.get(metric, experiment.competition.metric)  # the metric of another field of the predictions
    return {"higher_is_better": base.higher_is_better, "folds": folds, "mean": fmean(folds.values())}
