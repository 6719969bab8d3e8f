"""Thresholds per label learned out of fold, and scores at thresholds that the scored fold did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from goldfold import metrics
from goldfold.data.columns import binary_columns
from goldfold.experiment.cross_validation import Outcome
from goldfold.experiment.decisions.nested import each_fold
from goldfold.experiment.fits import Experiment, Fit
from goldfold.experiment.intervals.limits import fold_statistics
from goldfold.experiment.run_folders import THRESHOLDS
from goldfold.experiment.scoring import score
from goldfold.io.files import read_json
from goldfold.metrics.decisions.thresholds import at_one_half, best_f1, probabilities_of, shifted
from goldfold.optional_parts import LabelColumns


def label_columns(experiment: Experiment, predictions: np.ndarray) -> Sequence[str]:
    """The label columns that are predicted, as the recipe or, for a blend, a metric names them; else empty."""
    competition, labels = experiment.competition, experiment.recipe.labels
    named = [labels.columns] if isinstance(labels, LabelColumns) else []
    named += [metric.options.classes or () for metric in (competition.metric, *competition.also)]
    of_targets = (each for each in named if len(each) > 1 and set(each) <= set(competition.targets))
    columns = next(of_targets, ())
    return columns if probabilities_of(predictions).shape[1:] == (len(columns),) else ()


def facts(experiment: Experiment, whole: Outcome) -> dict[str, Any]:
    """What thresholds.json holds; empty without several labels whose predictions are probabilities.

    thresholds: label -> threshold with the highest F1 on all out-of-fold rows, for test rows. nested: metric -> folds,
    mean, sd_ddof1 of the predictions of each fold at the thresholds of the other folds, and `at_one_half`, the mean
    over folds at 0.5; empty for one fold.
    """
    labels = label_columns(experiment, whole.oof)
    whole = replace(whole, oof=probabilities_of(whole.oof))
    if not labels or whole.oof.min() < 0 or whole.oof.max() > 1:
        return {}
    learned = _learned(experiment, labels, whole.rows, whole.oof)
    return {
        "thresholds": dict(zip(labels, learned.tolist(), strict=True)),
        "nested": _nested(experiment, labels, whole),
    }


def _learned(experiment: Experiment, labels: Sequence[str], rows: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return best_f1(binary_columns(experiment.tables.train.iloc[rows], labels), predictions)


def _nested(experiment: Experiment, labels: Sequence[str], whole: Outcome) -> dict[str, dict[str, Any]]:
    train = experiment.tables.train
    fitted = list(each_fold(experiment, whole.rows))
    if len(fitted) < 2:
        return {}
    f1 = metrics.multilabel_f1
    scored = [f1(labels), f1(labels, average="micro")]
    scored += [
        each(labels)
        for each in (
            metrics.multilabel_precision,
            metrics.multilabel_recall,
            metrics.hamming_loss,
            metrics.subset_accuracy,
        )
    ]
    plain: dict[str, list[float]] = {metric.name: [] for metric in scored}
    nested: dict[str, list[float]] = {metric.name: [] for metric in scored}
    for _, own, others in fitted:
        learned = _learned(experiment, labels, whole.rows[others], whole.oof[others])
        rows, decided = train.iloc[whole.rows[own]].reset_index(drop=True), at_one_half(whole.oof[own], learned)
        for metric in scored:
            plain[metric.name].append(score(metric, rows, whole.oof[own]))
            nested[metric.name].append(score(metric, rows, decided))
    return {
        f"{metric.name}_nested_thresholds": {
            "folds": {str(each.fold): value for each, value in zip(fitted, nested[metric.name], strict=True)},
            **{key: fold_statistics(nested[metric.name], metric.bounds)[key] for key in ("mean", "sd_ddof1")},
            "at_one_half": float(np.mean(plain[metric.name])),
            "higher_is_better": metric.higher_is_better,
        }
        for metric in scored
    }


def for_submission(experiment: Experiment, fits: Sequence[Fit], predictions: np.ndarray) -> np.ndarray:
    """Test predictions as the submission's writer gets them, at thresholds learned on the validation rows of fits."""
    labels = label_columns(experiment, predictions)
    if not experiment.competition.submission.at_thresholds or not labels:
        return predictions
    rows = np.concatenate([experiment.folds[fit.fold].validation for fit in fits])
    known = np.concatenate([probabilities_of(fit.validation) for fit in fits])
    learned = _learned(experiment, labels, rows, known)
    return shifted(predictions, lambda found: at_one_half(found, learned))


def of_run(run: Path, predictions: np.ndarray) -> np.ndarray:
    """Test predictions as the submission's writer gets them, at the thresholds that a run keeps; unchanged if none."""
    if not (run / THRESHOLDS).exists():
        return predictions
    kept = np.array(list(read_json(run / THRESHOLDS, dict)["thresholds"].values()))
    return shifted(predictions, lambda found: at_one_half(found, kept))
