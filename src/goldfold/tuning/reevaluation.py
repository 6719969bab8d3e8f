"""Re-evaluate a study's best trial and the config it started from on newly drawn folds."""

from __future__ import annotations

from dataclasses import replace

from goldfold.data import csv_tables, fold_tables
from goldfold.data.training_rows import extra
from goldfold.experiment.cross_validation import cross_validate, fold_scores
from goldfold.experiment.fits import fit_keys
from goldfold.experiment.setup import Prepared, draw_folds
from goldfold.trust.run_audits import watching
from goldfold.tuning import objective
from goldfold.tuning.studies import Study
from goldfold.tuning.trials import TrialRecord
from goldfold.tuning.work import experiment_of

Scores = dict[int, dict[int, float]]  # seed the folds were drawn with -> fold -> score


def redrawn(found: Prepared, study: Study, winner: TrialRecord, draws: int) -> tuple[Scores, Scores] | None:
    """The scores of `winner` and of trial 0 on `draws` other draws of the folds.

    None if there is nothing to compare: the winner is trial 0 itself, no draws were asked for, the competition's folds
    do not depend on the seed, or a teacher has fits of the study's folds alone.
    """
    if found.experiment.lessons is not None:
        found.workspace.observer.line(
            "newly drawn folds are not scored: the teacher's fits saw their validation rows, so train it on them first"
        )
        return None
    first = found.experiment.protocol.seed
    baseline = next(record for record in study.records() if record.number == 0)
    drawn = [_drawn(found, seed) for seed in range(first + 1, first + 1 + draws)]
    if winner.number == 0 or not drawn or any(text == found.drawn for _, text in drawn):
        return None
    scores: tuple[Scores, Scores] = ({}, {})
    for other, _ in drawn:
        for record, into in zip((winner, baseline), scores, strict=True):
            into[other.experiment.protocol.seed] = _scored(other, study, record)
    return scores


def _drawn(found: Prepared, seed: int) -> tuple[Prepared, str]:
    """The experiment on folds drawn with another seed, and those folds as text."""
    experiment = found.experiment
    competition, train = experiment.competition, experiment.tables.train.iloc[: len(found.loaded.train)]
    protocol = experiment.protocol.model_copy(update={"seed": seed})
    own = draw_folds(found.name, competition, train, protocol, found.images or found.sounds)
    folds = extra.everywhere(own, len(train), len(experiment.tables.train))
    config = replace(found.config, protocol=protocol)
    text = csv_tables.to_text(fold_tables.folds_to_table(train["id"], own))
    return replace(found, config=config, experiment=replace(experiment, protocol=protocol, folds=folds)), text


def _scored(other: Prepared, study: Study, record: TrialRecord) -> dict[int, float]:
    """Fold -> score of a trial's parameters; complete fits are read instead of fitted again."""
    experiment, observer = experiment_of(other, dict(record.params)), other.workspace.observer
    metric, seed, count = experiment.competition.metric.name, experiment.protocol.seed, len(fit_keys(experiment))
    folder = study.trial_folder(record.params) / f"folds-drawn-with-{seed}"
    observer.fits_begin(count, metric)
    observer.work(f"trial {record.number} on folds drawn with seed {seed}, fit", 0, count)
    fits = []
    try:
        for fit in cross_validate(experiment, folder, watching(observer, experiment.protocol.accept)):
            fits.append(fit)
            observer.fit_ended()
    finally:
        observer.close()
    objective.remove_weights(folder)
    return fold_scores(fits, metric)
