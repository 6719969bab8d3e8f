"""Cross-validation: every fit, out-of-fold and test predictions, and scores with their protocol."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.competition import Competition, Metric
from goldfold.experiment.fits import OWN_SPLIT, Experiment, Fit, FitObserver, PlanObserver, fit_keys
from goldfold.experiment.fits import fit as fit_one
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import Sampling, ScoredRows
from goldfold.experiment.scoring import metrics_for, metrics_of_index, score
from goldfold.io.formatting import count

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Outcome:
    """The combined result of all fits.

    rows: positions in the train table that were out of fold, ascending. oof: their predictions, mean over seeds. test:
        the recipe's combination of all fits' test predictions. metrics: metric name -> its summary, the competition's
        own first.
    """

    rows: np.ndarray
    oof: np.ndarray
    test: np.ndarray
    metrics: dict[str, dict[str, Any]]


def cross_validate(
    experiment: Experiment, folder: Path, observe: FitObserver | None = None, planned: PlanObserver | None = None
) -> Generator[Fit, None, None]:
    """Fit every fold with every seed in `folder/fold<k>-seed<s>`; complete fits are read, not fitted again.

    observe: called with fold, seed and progress of the training. planned: called with each plan before it is trained.
    """
    for fold, seed in fit_keys(experiment):
        yield fit_one(experiment, folder, fold, seed, observe, planned)


def combine_fits(experiment: Experiment, fits: Sequence[Fit]) -> Outcome:
    """Combine the fits of an experiment."""
    combine = experiment.recipe.combine
    by_fold: dict[int, list[np.ndarray]] = {}
    for fit in fits:
        by_fold.setdefault(fit.fold, []).append(fit.validation)
    positions = np.concatenate([experiment.folds[number].validation for number in by_fold])
    parts = [parts[0] if len(parts) == 1 else combine(np.stack(parts)) for parts in by_fold.values()]
    order = np.argsort(positions, kind="stable")
    oof = np.concatenate(parts)[order]
    test = combine(np.stack([fit.test for fit in fits]))
    rows = positions[order]
    metrics = {
        metric.name: _summary(experiment, metric, fits, rows, oof)
        for metric in _scored(experiment.competition, fits, oof)
    }
    return Outcome(rows, oof, test, metrics)


def _scored(competition: Competition, fits: Sequence[Fit], oof: np.ndarray) -> list[Metric]:
    """The metrics that the fits were scored by."""
    of_index = metrics_of_index(competition, oof) if all(fit.index for fit in fits) else []
    return [*metrics_for(competition, oof), *of_index]


def fold_scores(fits: Sequence[Fit], metric: str) -> dict[int, float]:
    """Fold number, ascending -> mean of a metric over the seeds of that fold."""
    folds = sorted({fit.fold for fit in fits})
    return {fold: float(np.mean([fit.scores[metric] for fit in fits if fit.fold == fold])) for fold in folds}


def _summary(
    experiment: Experiment, metric: Metric, fits: Sequence[Fit], rows: np.ndarray, oof: np.ndarray
) -> dict[str, Any]:
    """Summarize one metric: fits, mean over folds, pooled score, intervals, chance level and protocol."""
    by_fold = fold_scores(fits, metric.name)
    chance = float(np.mean([fit.chance[metric.name] for fit in fits]))
    scores = list(by_fold.values())
    over = _sampling(experiment, metric, fits)
    summary = {
        "protocol": describe_protocol(experiment, metric, fits),
        "higher_is_better": metric.higher_is_better,
        "bounds": list(metric.bounds),
        "chance": chance,
        **_best_possible(experiment, metric, fits),
        **_untrained(experiment, metric, fits),
        "validation_per_training_row": _validation_share(experiment, list(by_fold)),
        "folds": {str(fold): score for fold, score in by_fold.items()},
        **limits.fold_statistics(scores, metric.bounds),
        "interval_95": limits.of_mean(scores, metric.bounds, over),
        "interval_95_within_folds": limits.of_mean([float(np.mean(scores))], metric.bounds, over),
        "interval_rows": over.rows,
        "interval_groups": over.groups,
    }
    if metric.options.training_database is None and (experiment.recipe.pooled or len(by_fold) == 1):
        known, groups = _known(experiment, rows)
        pooled = score(metric, known, oof)
        over = jackknife.sampling(metric, [ScoredRows(known, [oof], groups)], rarest_class(experiment, metric, rows))
        summary["pooled"], summary["pooled_interval_95"] = pooled, limits.of_mean([pooled], metric.bounds, over)
    return summary


def _known(experiment: Experiment, positions: np.ndarray) -> tuple[DataFrame, np.ndarray | None]:
    """Train rows and their groups, None if the competition has none."""
    rows, group = experiment.tables.train.iloc[positions].reset_index(drop=True), experiment.competition.group
    return rows, rows[group].to_numpy() if group else None


def _sampling(experiment: Experiment, metric: Metric, fits: Sequence[Fit]) -> Sampling:
    """How far the mean over folds varies with the validation rows."""
    parts: dict[int, ScoredRows] = {}
    for fit in fits:
        known, groups = _known(experiment, experiment.folds[fit.fold].validation)
        parts.setdefault(fit.fold, ScoredRows(known, [], groups)).predictions.append(fit.validation)
    if metric.options.training_database is not None:  # each fold has another database, which predictions do not tell
        return Sampling(None, len(parts) - 1, sum(len(part.rows) for part in parts.values()))
    validation = np.concatenate([experiment.folds[fold].validation for fold in parts])
    return jackknife.sampling(metric, list(parts.values()), rarest_class(experiment, metric, validation))


def rarest_class(experiment: Experiment, metric: Metric, positions: np.ndarray) -> int | None:
    """Train rows of the rarest class among `positions`; None if the metric is not of the classes of one target."""
    targets = experiment.competition.targets
    if not metric.options.classes or len(targets) != 1:
        return None
    counts = experiment.tables.train[targets[0]].iloc[positions].value_counts()
    return int(counts.min())


def _validation_share(experiment: Experiment, fitted: Sequence[int]) -> float:
    """Validation rows per training row, mean over the fitted folds; comparisons correct their intervals by it."""
    folds = [experiment.folds[number] for number in fitted]
    return float(np.mean([len(fold.validation) / len(fold.train) for fold in folds]))


def _best_possible(experiment: Experiment, metric: Metric, fits: Sequence[Fit]) -> dict[str, float]:
    """The best score that the rows of the folds allow, mean over fits; empty if it is the metric's bound."""
    if metric.retrieval is None or metric.retrieval.best_possible is None:
        return {}
    train, folds = experiment.tables.train, experiment.folds
    scored = [train.iloc[folds[fit.fold].validation].reset_index(drop=True) for fit in fits]
    return {"best_possible": float(np.mean([metric.retrieval.best_possible(rows) for rows in scored]))}


def _untrained(experiment: Experiment, metric: Metric, fits: Sequence[Fit]) -> dict[str, dict[str, Any]]:
    """The scores of the models before their first step, with their mean over folds; empty if not all were scored.

    `row_gain_interval_95` is of how much training lowered the error of a row, where the metric has such errors.
    """
    if not all(metric.name in fit.untrained for fit in fits):
        return {}
    folds = sorted({fit.fold for fit in fits})
    by_fold = {
        str(fold): float(np.mean([fit.untrained[metric.name] for fit in fits if fit.fold == fold])) for fold in folds
    }
    found: dict[str, Any] = {"folds": by_fold, "mean": float(np.mean(list(by_fold.values())))}
    if metric is experiment.competition.metric and (gain := _gain_by_rows(experiment, fits)):
        found["row_gain_interval_95"] = gain
    return {"untrained": found}


def _gain_by_rows(experiment: Experiment, fits: Sequence[Fit]) -> list[float] | None:
    """95 % interval of how much training lowered the error of a row: Student's t over rows, or over whole groups.

    Errors are those of the metric's `row_error`, such as 1 - average precision. None if a fit lacks those of its
    untrained model, or if there are fewer than two rows or groups.
    """
    error = experiment.competition.metric.options.row_error
    if error is None or not all(len(fit.untrained_errors) for fit in fits):
        return None
    gains, units = [], []
    for fit in fits:
        rows, groups = _known(experiment, experiment.folds[fit.fold].validation)
        gains.append(fit.untrained_errors - error(rows, fit.validation))
        units.append(rows["id"].to_numpy() if groups is None else groups)
    return paired_interval(np.concatenate(gains), np.concatenate(units))


def paired_interval(gains: np.ndarray, units: np.ndarray) -> list[float] | None:
    """Return the 95 % t interval of the mean gain over units, each the mean of its rows; None for a single unit.

    >>> low, high = paired_interval(np.array([0.1, 0.3, 0.2, 0.2]), np.array(["a", "a", "b", "c"]))
    >>> round(low, 4), round(high, 4)
    (0.2, 0.2)
    """
    from pandas import Series

    return limits.over_folds(Series(gains).groupby(Series(units)).mean().tolist(), (-np.inf, np.inf))


def describe_protocol(experiment: Experiment, metric: Metric, fits: Sequence[Fit]) -> str:
    """Describe how a score was measured; scores with different protocols are never ranked together."""
    seeds, folds, split = len(experiment.protocol.seeds), len({fit.fold for fit in fits}), experiment.protocol.split
    parts = [
        f"{metric.name}, out of fold",
        *_empty_classes(experiment, metric),
        *([metric.retrieval.protocol] if metric.retrieval and metric.retrieval.protocol else []),
        f"{folds} of {len(experiment.folds)} folds{f' of split {split}' if split != OWN_SPLIT else ''} drawn with seed "
        f"{experiment.protocol.seed}",
        f"{count(seeds, 'seed')} a fold",
    ]
    if any(fit.epoch for fit in fits):
        rules = {"last": "last epoch", "best": "best epoch on the scored fold"}
        select = experiment.loop.select
        other = f"epoch {select} by hand" if select.isdecimal() else f"best epoch by {select} on kept back rows"
        parts.append(rules.get(select, other))
    return ", ".join(parts)


def _empty_classes(experiment: Experiment, metric: Metric) -> list[str]:
    """How many classes a mean leaves out in the fold that lacks most; the same whichever folds are fitted."""
    classes, per_class = metric.options.classes, metric.options.per_class
    if per_class is None or classes is None:
        return []
    scored = [experiment.tables.train.iloc[fold.validation].reset_index(drop=True) for fold in experiment.folds]
    most = max(int(np.isnan(per_class(rows, np.zeros((len(rows), len(classes))))).sum()) for rows in scored)
    return [f"up to {most} of {len(classes)} classes empty in a fold"] if most else []
