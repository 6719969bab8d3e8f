"""Draw the pictures of a finished run into its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from goldfold.data.fold_tables import folds_to_table
from goldfold.experiment.fits import Experiment, Fit, fold_numbers
from goldfold.experiment.outcome import Outcome
from goldfold.experiment.run_folders import run_name
from goldfold.io.files import write_bytes, write_json, write_text
from goldfold.report.retrieval import page as retrieval
from goldfold.report.run import figures, most_wrong


def draw(experiment: Experiment, fits: Sequence[Fit], whole: Outcome, run: Path) -> None:
    """Draw fold scores, learning curves if something was trained, the most wrong images, and retrieval results."""
    competition, train = experiment.competition, experiment.tables.train
    metric = competition.metric
    write_bytes(run / "fold_scores.png", figures.fold_scores(whole.metrics))
    histories = {(fit.fold, fit.seed): fit.history for fit in fits if fit.history}
    if histories:
        chance = whole.metrics[metric.name]["chance"]
        chosen = {(fit.fold, fit.seed): fit.epoch for fit in fits}
        write_bytes(run / "learning_curves.png", figures.learning_curves(histories, metric.name, chance, chosen))
    if metric.retrieval:
        _draw_retrieval(experiment, whole, run)
    elif "path" in train and metric.options.row_error:
        rows = train.iloc[whole.rows].reset_index(drop=True)
        wrong = most_wrong.most_wrong(
            rows,
            whole.oof,
            metric.options.row_error(rows, whole.oof),
            folds=folds_to_table(train["id"], experiment.folds)["fold"].to_numpy()[whole.rows],
            targets=competition.targets,
            classes=next(filter(None, (each.options.classes for each in (metric, *competition.also))), None),
        )
        write_bytes(run / "most_wrong.png", wrong)


def _draw_retrieval(experiment: Experiment, whole: Outcome, run: Path) -> None:
    """What each fold's embeddings retrieve: a table of all queries, facts for the record, pictures."""
    competition = experiment.competition
    held = list(_held_out(experiment, whole))
    queries = retrieval.by_query(held)
    write_text(run / retrieval.QUERIES, queries.to_csv(index=False))
    write_json(run / retrieval.FACTS, retrieval.facts(held, queries, (competition.metric, *competition.also)))
    title = run_name(run)
    for name, picture in retrieval.pictures(held, queries, title=title, targets=competition.targets[:1]).items():
        write_bytes(run / name, picture)


def _held_out(experiment: Experiment, whole: Outcome) -> Iterator[retrieval.HeldOut]:
    """The scored rows of each fold with their embeddings; every fold has a space of its own."""
    train, pairs_of = experiment.tables.train, experiment.competition.metric.retrieval.pairs
    for number in fold_numbers(experiment.protocol, experiment.folds):
        positions = experiment.folds[number].validation
        rows = train.iloc[positions].reset_index(drop=True)
        embeddings = whole.oof[np.searchsorted(whole.rows, positions)]
        yield retrieval.HeldOut(fold=number, rows=rows, embeddings=embeddings, pairs=pairs_of(rows))
