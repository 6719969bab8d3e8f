"""The honest number of a study: its winner and the config it began with, on folds that chose neither."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from goldfold.cli.progress import Bar
from goldfold.data import fold_checks, fold_tables
from goldfold.experiment import workspace
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.fits import Experiment, fit_keys
from goldfold.experiment.outcome import fold_scores
from goldfold.experiment.setup import Prepared
from goldfold.tuning import objective
from goldfold.tuning.studies import Study
from goldfold.tuning.trials import TrialRecord
from goldfold.tuning.work import experiment_of

Scores = dict[int, dict[int, float]]  # seed the folds were drawn with -> fold -> score


def redrawn(
    found: Prepared, study: Study, winner: TrialRecord, draws: int, quiet: bool = False
) -> tuple[Scores, Scores] | None:
    """The winner's and trial 0's scores on `draws` other draws of the folds.

    None where there are none: the winner is trial 0 itself, no draws were asked for, or the competition's folds do not
    depend on the seed they are drawn with.
    """
    first = found.experiment.protocol.seed
    baseline = next(record for record in study.records() if record.number == 0)
    drawn = [_drawn(found, seed) for seed in range(first + 1, first + 1 + draws)]
    if winner.number == 0 or not drawn or any(text == found.drawn for _, text in drawn):
        return None
    scores: tuple[Scores, Scores] = ({}, {})
    for other, _ in drawn:
        for record, into in zip((winner, baseline), scores, strict=True):
            into[other.experiment.protocol.seed] = _scored(other, study, record, quiet)
    return scores


def _drawn(found: Prepared, seed: int) -> tuple[Prepared, str]:
    """The experiment on folds drawn with another seed, and those folds as text."""
    experiment = found.experiment
    competition, train = experiment.competition, experiment.tables.train
    folds = workspace.carried_out(found.name, competition.split, train, seed)
    fold_checks.check_positions(folds, len(train))
    protocol = experiment.protocol.model_copy(update={"seed": seed})
    config = replace(found.config, protocol=protocol)
    text = fold_tables.folds_to_table(train["id"], folds).to_csv(index=False)
    return replace(found, config=config, experiment=replace(experiment, protocol=protocol, folds=folds)), text


def _scored(other: Prepared, study: Study, record: TrialRecord, quiet: bool) -> dict[int, float]:
    experiment = experiment_of(other, dict(record.params))
    metric, seed = experiment.competition.metric.name, experiment.protocol.seed
    folder = study.trial_folder(record.params) / f"folds-drawn-with-{seed}"
    bar = Bar(len(fit_keys(experiment)), metric, quiet)
    bar.work(f"trial {record.number} on folds drawn with seed {seed}, fit", 0, len(fit_keys(experiment)))
    fits = []
    for fit in cross_validate(_telling(experiment, bar), folder, bar):
        fits.append(fit)
        bar.fit_ended()
    bar.close()
    objective.remove_weights(folder)
    return fold_scores(fits, metric)


def _telling(experiment: Experiment, bar: Bar) -> Experiment:
    return replace(experiment, runtime=replace(experiment.runtime, progress=partial(bar.work)))
