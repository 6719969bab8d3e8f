"""One trial: parameters tried on the folds in the study's order, until all are done or the rest is hopeless."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import CHECKPOINTS, Experiment, Fit, FitObserver, fit
from goldfold.experiment.outcome import fold_scores
from goldfold.io.progress import EpochProgress
from goldfold.tuning import pruning
from goldfold.tuning.trials import TrialRecord

Curve = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class TrialContext:
    """What a trial is carried out in.

    order: the folds' numbers as this study fits them. earlier: the other trials as they stand now. note: told the trial
    after every fold. observe: of training, as for any fit. prune: whether hopeless trials end early.
    """

    order: Sequence[int]
    earlier: Callable[[], Sequence[TrialRecord]]
    note: Callable[[TrialRecord], None]
    observe: FitObserver | None = None
    prune: bool = True


class _HopelessError(Exception):
    """Ends a trial from wherever it is; the checkpoints of a fit in progress are whole."""

    def __init__(self, trial: TrialRecord, reason: str) -> None:
        super().__init__(reason)
        self.trial = replace(trial, state="pruned", reason=reason)


def run_trial(experiment: Experiment, folder: Path, trial: TrialRecord, around: TrialContext) -> TrialRecord:
    """Fit the folds in `folder`, going on where an earlier attempt stopped; returns the trial with its end.

    The value of a complete trial is the mean over folds of the mean over seeds, the number `score` prints of a run. A
    trial whose training is refused (a loss that is not finite, no memory) ends as failed, with the sentence as reason.
    """
    trial = replace(trial, state="running", folds={}, fits=0.0)
    try:
        for fold in around.order:
            trial = _with_fold(experiment, folder, trial, fold, around)
            around.note(trial)
            if len(trial.folds) < len(around.order):
                _judge(experiment, trial, around)
    except _HopelessError as hopeless:
        return hopeless.trial
    except (GoldfoldError, MemoryError) as error:
        return replace(trial, state="failed", reason=str(error) or "memory ran out")
    return replace(trial, state="complete", value=float(np.mean([trial.folds[fold] for fold in sorted(trial.folds)])))


def remove_weights(folder: Path) -> None:
    """Remove a finished trial's weights, which nothing reads again; scores and predictions stay."""
    for weights in folder.glob(f"fold*/{CHECKPOINTS}"):
        shutil.rmtree(weights)


def _with_fold(
    experiment: Experiment, folder: Path, trial: TrialRecord, fold: int, around: TrialContext
) -> TrialRecord:
    """The trial with one more fold, every seed of it."""
    seeds, curve, fits = experiment.protocol.seeds, list(trial.curves.get(fold, ())), []
    for seed in seeds:
        watch = around.observe
        if seed == seeds[0] and not curve:
            watch = _watch(experiment, trial, curve, around)
        fits.append(fit(experiment, folder, fold, seed, watch))
    score = fold_scores(fits, experiment.competition.metric.name)[fold]
    curves = {**trial.curves, fold: curve or _curve(fits[0])}
    return replace(trial, folds={**trial.folds, fold: score}, curves=curves, fits=trial.fits + 1)


def _watch(experiment: Experiment, trial: TrialRecord, curve: Curve, around: TrialContext) -> FitObserver:
    """An observer that takes down the fit's curve and ends a trial whose curve is hopeless."""
    higher, seeds = experiment.competition.metric.higher_is_better, len(experiment.protocol.seeds)

    def watch(fold: int, seed: int, progress: EpochProgress) -> None:
        if around.observe:
            around.observe(fold, seed, progress)
        if not progress.row or progress.row["metric"] is None:
            return
        curve.append((progress.done, progress.row["metric"]))
        reason = None
        if around.prune and progress.done < 1:
            reason = pruning.prune_within_fold(fold, curve, trial.folds, around.order, around.earlier(), higher)
        if reason:
            spent = trial.fits + progress.done / seeds
            raise _HopelessError(replace(trial, curves={**trial.curves, fold: list(curve)}, fits=spent), reason)

    return watch


def _judge(experiment: Experiment, trial: TrialRecord, around: TrialContext) -> None:
    higher = experiment.competition.metric.higher_is_better
    reason = around.prune and pruning.prune_after_fold(trial.folds, around.order, around.earlier(), higher)
    if reason:
        raise _HopelessError(trial, reason)


def _curve(read: Fit) -> Curve:
    """The curve of a fit that was read instead of trained."""
    rows = read.history
    return [(number / len(rows), row["metric"]) for number, row in enumerate(rows, 1) if row["metric"] is not None]
