"""Draw the pictures of a finished run into its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from goldfold.audio.checks import are_sounds
from goldfold.data import csv_tables
from goldfold.data.fold_tables import folds_to_table
from goldfold.data.image_checks import are_images
from goldfold.experiment.cross_validation import Outcome
from goldfold.experiment.decisions.label_thresholds import label_columns
from goldfold.experiment.fits import Experiment, Fit, fold_numbers
from goldfold.experiment.run_folders import CALIBRATION, run_name
from goldfold.experiment.scoring import metrics_for
from goldfold.io.files import write_bytes, write_json, write_text
from goldfold.metrics.decisions.thresholds import probabilities_of
from goldfold.metrics.inputs import class_indices
from goldfold.optional_parts import ClassLabels, Retrieval
from goldfold.report.anomaly import defect_kinds, heat_maps
from goldfold.report.masks import page as masks
from goldfold.report.retrieval import hash_curves, pictures
from goldfold.report.retrieval import page as retrieval
from goldfold.report.run import classes, confusion, figures, hard_examples, mask_classes, most_wrong
from goldfold.report.tables import importances
from goldfold.trust.calibration import are_probabilities, reliability


def draw(experiment: Experiment, fits: Sequence[Fit], whole: Outcome, run: Path) -> None:
    """Draw fold scores, curves, classes, hash codes, hard examples, anomaly maps, largest errors or retrieval."""
    competition, train = experiment.competition, experiment.tables.train
    metric = competition.metric
    write_bytes(run / "fold_scores.png", figures.fold_scores(whole.metrics))
    histories = {(fit.fold, fit.seed): fit.history for fit in fits if fit.history}
    if histories:
        chance = whole.metrics[metric.name]["chance"]
        chosen = {(fit.fold, fit.seed): fit.epoch for fit in fits}
        facts = {(fit.fold, fit.seed): fit.facts for fit in fits}
        curves = figures.learning_curves(histories, metric.name, chance, chosen, facts)
        write_bytes(run / "learning_curves.png", curves)
    labels = label_columns(experiment, whole.oof)
    if labels:
        _draw_classes(experiment, whole, labels, run)
    else:
        _draw_confusion(experiment, whole, run)
        _write_calibration(experiment, whole, run)
    _write_mask_classes(experiment, whole, run)
    curves = hash_curves.table(experiment, fits)
    if len(curves):
        write_text(run / hash_curves.TABLE, csv_tables.to_text(curves))
        write_bytes(run / hash_curves.PICTURE, hash_curves.picture(curves))
    features = importances.table(fits)
    if len(features):
        write_text(run / importances.TABLE, csv_tables.to_text(features))
        write_bytes(run / importances.PICTURE, importances.picture(features))
    losses = hard_examples.losses(experiment, fits, run)
    if losses:
        examples = hard_examples.hardest(experiment, losses)
        write_text(run / hard_examples.TABLE, csv_tables.to_text(examples.drop(columns="row")))
        write_bytes(run / hard_examples.PICTURE, hard_examples.picture(experiment, losses, examples))
    if heat_maps.has_maps(whole.oof) and are_images(train):
        _draw_anomalies(experiment, whole, run)
    if metric.retrieval:
        _draw_retrieval(experiment, whole, metric.retrieval, run)
    elif (are_images(train) or are_sounds(train)) and metric.options.row_error:
        rows = train.iloc[whole.rows].reset_index(drop=True)
        errors = metric.options.row_error(rows, whole.oof)
        folds = _folds(experiment, whole).tolist()
        truths = masks.truths_of(competition, rows)
        wrong = most_wrong.most_wrong(
            rows,
            whole.oof,
            errors,
            folds=folds,
            targets=labels or competition.targets,
            private_images=competition.private_images,
            classes=next(filter(None, (each.options.classes for each in (metric, *competition.also))), None),
            truths=truths,
        )
        write_bytes(run / "most_wrong.png", wrong)
        if truths and masks.are_masks(whole.oof):
            names, private = masks.class_names(competition, whole.oof), competition.private_images
            shown = masks.page(
                rows, whole.oof, errors, folds=folds, classes=names, private_images=private, truths=truths
            )
            write_bytes(run / masks.PICTURE, shown)


def _folds(experiment: Experiment, whole: Outcome) -> np.ndarray:
    """The validation fold of each scored row."""
    ids = experiment.tables.train["id"].tolist()
    return folds_to_table(ids, experiment.folds)["fold"].to_numpy()[whole.rows]


def _draw_anomalies(experiment: Experiment, whole: Outcome, run: Path) -> None:
    """Write the heat maps of misses, false alarms and test images, and the score of each kind of defect."""
    competition, tables = experiment.competition, experiment.tables
    rows, folds = tables.train.iloc[whole.rows].reset_index(drop=True), _folds(experiment, whole)
    kinds = defect_kinds.by_kind(rows, whole.oof["score"], folds, competition.targets, competition.object_class)
    if len(kinds):
        write_text(run / defect_kinds.TABLE, csv_tables.to_text(kinds))
    shown = partial(heat_maps.Detected, targets=competition.targets, private=competition.private_images)
    scored = shown(rows=rows, predictions=whole.oof)
    pictures = heat_maps.out_of_fold(scored, folds)
    pictures[heat_maps.TEST] = heat_maps.of_test(shown(rows=tables.test, predictions=whole.test), scored.range)
    for name, picture in pictures.items():
        write_bytes(run / name, picture)


def _draw_classes(experiment: Experiment, whole: Outcome, labels: Sequence[str], run: Path) -> None:
    """Write the scores of each of several labels, and their picture."""
    rows, group = experiment.tables.train.iloc[whole.rows].reset_index(drop=True), experiment.competition.group
    scores = classes.per_class(rows, probabilities_of(whole.oof), labels, rows[group].to_numpy() if group else None)
    write_text(run / classes.CLASSES, csv_tables.to_text(scores))
    write_bytes(run / classes.PICTURE, classes.picture(scores))


def _write_mask_classes(experiment: Experiment, whole: Outcome, run: Path) -> None:
    """Write the scores of each class of masks, where metrics know such classes."""
    rows, group = experiment.tables.train.iloc[whole.rows].reset_index(drop=True), experiment.competition.group
    scored = metrics_for(experiment.competition, whole.oof)
    scores = mask_classes.per_class(scored, rows, whole.oof, rows[group].to_numpy() if group else None)
    if len(scores):
        write_text(run / mask_classes.TABLE, csv_tables.to_text(scores))


def _draw_confusion(experiment: Experiment, whole: Outcome, run: Path) -> None:
    """Write which classes are taken for which, if the predictions are probabilities of three or more classes."""
    order, guess = _class_order(experiment), probabilities_of(whole.oof)
    if len(order) < confusion.FEWEST or guess.shape[1:] != (len(order),):
        return
    counts = confusion.matrix(_true_classes(experiment, whole, order), guess.argmax(axis=1), len(order))
    write_text(run / confusion.CONFUSION, csv_tables.to_text(confusion.as_table(counts, order)))
    write_bytes(run / confusion.PICTURE, confusion.picture(counts, order))


def _write_calibration(experiment: Experiment, whole: Outcome, run: Path) -> None:
    """Write how often probabilities are right, where the recipe or a metric of single rows takes them as such."""
    competition, guess = experiment.competition, probabilities_of(whole.oof)
    known = [metric.options for metric in (competition.metric, *competition.also)]
    taken = any(each.classes and each.per_row and each.field is None for each in known)
    order = _class_order(experiment)
    if not (taken or isinstance(experiment.recipe.labels, ClassLabels)) or not are_probabilities(guess, len(order)):
        return
    table = reliability(_true_classes(experiment, whole, order), guess)
    write_text(run / CALIBRATION, csv_tables.to_text(table))


def _class_order(experiment: Experiment) -> Sequence[Any]:
    """The classes of one target, in the order of the probability columns; empty if there are none."""
    competition = experiment.competition
    named = (metric.options.classes for metric in (competition.metric, *competition.also))
    return experiment.runtime.classes or next(filter(None, named), ())


def _true_classes(experiment: Experiment, whole: Outcome, order: Sequence[Any]) -> np.ndarray:
    """The class index of each scored row."""
    labels = experiment.recipe.labels
    column = labels.column if isinstance(labels, ClassLabels) else experiment.competition.targets[0]
    return class_indices(experiment.tables.train[column].to_numpy()[whole.rows], order, f"target '{column}'")


def _draw_retrieval(experiment: Experiment, whole: Outcome, measured: Retrieval, run: Path) -> None:
    """Write retrieval results: a table of all queries, facts for the record, and pictures."""
    competition = experiment.competition
    held = list(_held_out(experiment, whole, measured))
    queries = retrieval.by_query(held)
    write_text(run / retrieval.QUERIES, queries.to_csv(index=False))
    metrics = (competition.metric, *competition.also)
    splits = retrieval.by_split(held, metrics)
    if len(splits):
        write_text(run / retrieval.SPLITS, csv_tables.to_text(splits))
    write_json(run / retrieval.FACTS, retrieval.facts(held, queries, splits, metrics))
    drawn = pictures.pictures(
        held,
        queries,
        title=run_name(run),
        targets=competition.targets[:1],
        private_images=competition.private_images,
        split=retrieval.of_first_split(measured),
    )
    for name, picture in drawn.items():
        write_bytes(run / name, picture)


def _held_out(experiment: Experiment, whole: Outcome, measured: Retrieval) -> Iterator[retrieval.HeldOut]:
    """The scored rows of each fold with their embeddings; embeddings of different folds are not comparable."""
    train = experiment.tables.train
    for number in fold_numbers(experiment.protocol, experiment.folds):
        positions = experiment.folds[number].validation
        rows = train.iloc[positions].reset_index(drop=True)
        embeddings = whole.oof[np.searchsorted(whole.rows, positions)]
        yield retrieval.HeldOut(fold=number, rows=rows, embeddings=embeddings, pairs=measured.pairs(rows))
