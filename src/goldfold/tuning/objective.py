"""Run one trial: fit its parameters fold by fold, until all folds are fitted or the trial is pruned."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.experiment.cross_validation import fold_scores
from goldfold.experiment.failures import of_machine
from goldfold.experiment.fits import CHECKPOINTS, Experiment, Fit, FitObserver, fit
from goldfold.io.progress import EpochProgress
from goldfold.tuning import pruning
from goldfold.tuning.trials import TrialRecord

Curve = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class TrialContext:
    """What a trial needs from its study.

    order: numbers of the folds, as this study fits them. earlier: returns the current records of the other trials.
        note: receives the trial after every fold. observe: of the training, as for any fit. prune: whether trials that
        cannot win end early.
    """

    order: Sequence[int]
    earlier: Callable[[], Sequence[TrialRecord]]
    note: Callable[[TrialRecord], None]
    observe: FitObserver | None = None
    prune: bool = True


class _Pruned(BaseException):
    """Ends a trial at any point of training; the checkpoints of the current fit are complete.

    A BaseException, as asyncio.CancelledError is, so that nothing in between takes it for a failure.
    """

    def __init__(self, trial: TrialRecord, reason: str) -> None:
        super().__init__(reason)
        self.trial = replace(trial, state="pruned", reason=reason)


def run_trial(experiment: Experiment, folder: Path, trial: TrialRecord, context: TrialContext) -> TrialRecord:
    """Fit the folds of a trial in `folder`, resuming an earlier attempt, and return the trial's final record.

    The value of a complete trial is the mean over folds of the mean over seeds, as `score` prints it for a run. If
    training fails (a loss that is not finite), the trial ends as failed with the message as reason.

    Raises:
        GoldfoldError, OSError, MemoryError: the machine failed (`failures.of_machine`), which says nothing of the
            parameters; the trial is not ended, so that another command or worker resumes it.
    """
    trial = replace(trial, state="running", folds={}, fits=0.0)
    try:
        for fold in context.order:
            trial = _with_fold(experiment, folder, trial, fold, context)
            context.note(trial)
            if len(trial.folds) < len(context.order):
                _judge(experiment, trial, context)
    except _Pruned as pruned:
        return pruned.trial
    except GoldfoldError as error:
        if of_machine(error):
            raise
        return replace(trial, state="failed", reason=str(error))
    return replace(trial, state="complete", value=float(np.mean([trial.folds[fold] for fold in sorted(trial.folds)])))


def remove_weights(folder: Path) -> None:
    """Remove the weights of a finished trial, which nothing reads again; scores and predictions stay."""
    for weights in folder.glob(f"fold*/{CHECKPOINTS}"):
        shutil.rmtree(weights)


def _with_fold(
    experiment: Experiment, folder: Path, trial: TrialRecord, fold: int, context: TrialContext
) -> TrialRecord:
    """The trial with one more fold, fitted with every seed."""
    seeds, curve, fits = experiment.protocol.seeds, list(trial.curves.get(fold, ())), []
    for seed in seeds:
        watch = context.observe
        if seed == seeds[0] and not curve:
            watch = _watch(experiment, trial, curve, context)
        fits.append(fit(experiment, folder, fold, seed, watch))
    score = fold_scores(fits, experiment.competition.metric.name)[fold]
    curves = {**trial.curves, fold: curve or _curve(fits[0])}
    return replace(trial, folds={**trial.folds, fold: score}, curves=curves, fits=trial.fits + 1)


def _watch(experiment: Experiment, trial: TrialRecord, curve: Curve, context: TrialContext) -> FitObserver:
    """An observer that records the fit's learning curve and ends the trial if it should be pruned."""
    higher, seeds = experiment.competition.metric.higher_is_better, len(experiment.protocol.seeds)

    def watch(fold: int, seed: int, progress: EpochProgress) -> None:
        if context.observe:
            context.observe(fold, seed, progress)
        if not progress.row or progress.row["metric"] is None:
            return
        curve.append((progress.done, progress.row["metric"]))
        reason = None
        if context.prune and progress.done < 1:
            reason = pruning.prune_within_fold(fold, curve, trial.folds, context.order, context.earlier(), higher)
        if reason:
            spent = trial.fits + progress.done / seeds
            raise _Pruned(replace(trial, curves={**trial.curves, fold: list(curve)}, fits=spent), reason)

    return watch


def _judge(experiment: Experiment, trial: TrialRecord, context: TrialContext) -> None:
    """End the trial if it should be pruned after its last fold."""
    higher = experiment.competition.metric.higher_is_better
    reason = context.prune and pruning.prune_after_fold(trial.folds, context.order, context.earlier(), higher)
    if reason:
        raise _Pruned(trial, reason)


def _curve(read: Fit) -> Curve:
    """The learning curve of a fit that was read instead of trained."""
    rows = read.history
    return [(number / len(rows), row["metric"]) for number, row in enumerate(rows, 1) if row["metric"] is not None]
