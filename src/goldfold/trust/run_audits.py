"""All audits of a run: while it trains, and after its last fit; `data_audits` has those before its first fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from goldfold.experiment.cross_validation import Outcome, rarest_class
from goldfold.experiment.fits import Experiment, Fit, FitObserver
from goldfold.io.progress import EpochProgress, Observer
from goldfold.optional_parts import LabelColumns
from goldfold.training.epoch_selection import patience_exhausted
from goldfold.trust import audits
from goldfold.trust.audits import Finding
from goldfold.trust.audits.scores import OWN_START
from goldfold.trust.permutations import permutation_test


def watching(observer: Observer, accepted: Sequence[str]) -> FitObserver:
    """An observer of fits that also stops a run whose loss terms do nothing in their first epoch."""

    def epoch(fold: int, seed: int, progress: EpochProgress) -> None:
        if progress.row and progress.epoch == 1:
            audits.refuse_errors(audits.dead_loss_terms([progress.row], f"fold {fold}"), accepted)
        observer.epoch(fold, seed, progress)

    return epoch


def after_training(experiment: Experiment, fits: Sequence[Fit], whole: Outcome, runs: int = 1) -> list[Finding]:
    """Audit the fits and the scores. runs: finished ones of the competition, this one included."""
    findings: list[Finding] = []
    embeddings = experiment.competition.metric.retrieval is not None
    for fit in fits:
        where = f"fold {fit.fold} seed {fit.seed}"
        findings += of_training(fit, where, embeddings)
        findings += audits.learning_rates(fit.facts, where, _stopped_early(experiment, fit))
        findings += audits.small_defects_missed(fit.probed, where) + audits.texts_cut(fit.probed, where)
    return audits.merge_places(findings + _of_scores(experiment, fits, whole, runs))


def _stopped_early(experiment: Experiment, fit: Fit) -> set[str]:
    """The stages of a fit that patience ended."""
    loop, higher = experiment.loop, experiment.competition.metric.higher_is_better
    return {stage for stage in fit.facts if patience_exhausted(fit.history, stage, loop.patience, loop.select, higher)}


def of_training(fit: Fit, where: str, embeddings: bool = False) -> list[Finding]:
    """Audit what one fit trained, whatever its planned length.

    where: the place of findings. embeddings: whether the fit predicts them.
    """
    facts, history = fit.facts or {}, fit.history
    findings = audits.orphan_parameters(facts, where) + audits.without_gradient(facts, history, where)
    findings += audits.outside_model(facts, where) + audits.never_stepped(facts, history, where)
    findings += audits.constant_loss_inputs(facts, where) + audits.one_loss_term(facts, where)
    findings += audits.dead_loss_terms(history, where)
    findings += audits.collapse(history, where, fit.epoch, fit.validation, embeddings)
    return findings + audits.did_not_learn(facts, history, where)


def _of_scores(experiment: Experiment, fits: Sequence[Fit], whole: Outcome, runs: int) -> list[Finding]:
    """Audit the scores against chance, selection on the scored folds, luck in small sets, and self-made defects."""
    metric, looked = experiment.competition.metric, 1
    findings = _against_chance(experiment, whole) + _against_untrained(whole)
    loop = experiment.loop
    by_hand = loop.select.isdecimal() or bool(loop.average and isinstance(loop.average, tuple))
    if by_hand or "best" in (loop.select, loop.average_by):
        trained = [(fit.history, fit.epoch) for fit in fits if fit.epoch]
        averaged = [fit.scores[metric.name] for fit in fits if fit.epoch] if loop.average else []
        findings += audits.selected_on_scored_fold(trained, metric.higher_is_better, by_hand, averaged)
        looked = sum(bool(row["scores"]) * len(row["scores"]) for row in fits[0].history)
    findings += audits.chosen_on_scored_fold([fit.chosen for fit in fits], metric.higher_is_better)
    findings += audits.first_epoch_best(metric.name, [fit.history for fit in fits], metric.higher_is_better)
    for each in experiment.competition.also:
        if each.name in whole.metrics:
            findings += audits.training_rows_in_database(each, whole.metrics[each.name])
    findings += _luck(experiment, whole, runs * max(1, looked)) + audits.proxy_only(metric)
    return findings + _doubtful(experiment, whole) + _unaligned(experiment, whole)


def _luck(experiment: Experiment, whole: Outcome, tries: int) -> list[Finding]:
    """Whether the pooled score rests on few rows."""
    metric = experiment.competition.metric
    pooled = whole.metrics[metric.name].get("pooled")
    if pooled is None or not experiment.recipe.pooled:
        return []
    rows = experiment.tables.train.iloc[whole.rows].reset_index(drop=True)
    smallest = rarest_class(experiment, metric, whole.rows) or len(rows)
    return audits.tiny_sample(metric.name, pooled, permutation_test(metric, rows, whole.oof, smallest), tries)


def _against_untrained(whole: Outcome) -> list[Finding]:
    """The competition's metric against that of the models before training, where they were scored."""
    summary = next(iter(whole.metrics.values()))
    start = {OWN_START: summary["untrained"]} if "untrained" in summary else {}
    return audits.below_untrained("all folds", summary, start)


def _against_chance(experiment: Experiment, whole: Outcome) -> list[Finding]:
    """Every metric against its chance level; nothing without labels, where a chance level means nothing."""
    competition, train = experiment.competition, experiment.tables.train
    labeled = any(train[target].astype(str).nunique() > 1 for target in competition.targets)
    if not labeled and not competition.metric.options.proxy:
        return []
    findings = [each for name, summary in whole.metrics.items() for each in audits.worse_than_chance(name, summary)]
    for metric in (competition.metric, *competition.also):
        if metric.options.p_value and metric.name in whole.metrics:  # average precision is higher in small sets anyway
            findings += audits.pooled_apart(metric.name, whole.metrics[metric.name])
    return findings


def _doubtful(experiment: Experiment, whole: Outcome) -> list[Finding]:
    """Labels that confident predictions contradict."""
    predicted = probabilities(experiment, whole)
    if predicted is None:
        return []
    return audits.doubtful_labels(*predicted, experiment.tables.train["id"].iloc[whole.rows])


def _unaligned(experiment: Experiment, whole: Outcome) -> list[Finding]:
    """Images of both tables that were not aligned with their reference."""
    if "aligned" not in (whole.oof.dtype.names or ()):
        return []
    train, test = experiment.tables.train["id"].iloc[whole.rows], experiment.tables.test["id"]
    found = audits.unaligned_references(whole.oof["aligned"], train, "train")
    return found + audits.unaligned_references(whole.test["aligned"], test, "test")


def probabilities(experiment: Experiment, whole: Outcome) -> tuple[np.ndarray, np.ndarray] | None:
    """Out-of-fold probabilities (n, classes) and the columns of the labels, int64 (n,); None without classes."""
    labels, classes, oof = experiment.recipe.labels, experiment.runtime.classes, whole.oof
    if labels is None or isinstance(labels, LabelColumns) or classes is None or oof.dtype.names:
        return None
    if oof.ndim == 1 and len(classes) == 2:
        oof = np.stack([1 - oof, oof], axis=1)
    known = pd.Index(classes).get_indexer(experiment.tables.train[labels.column].iloc[whole.rows])
    fits = oof.ndim == 2 and oof.shape[1] == len(classes) and (known >= 0).all()
    return (oof, known) if fits and oof.min() >= 0 and oof.max() <= 1 else None
