"""What follows the last fit of a run: predictions, metrics, findings, submission, pictures and the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.cli.score import table
from goldfold.data.fold_tables import folds_to_table
from goldfold.experiment import config as configs
from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.experiment.fits import Experiment, Fit, fold_numbers
from goldfold.experiment.outcome import Outcome, outcome
from goldfold.io.files import read_json, write_array, write_bytes, write_json, write_text
from goldfold.report.retrieval import page as retrieval
from goldfold.report.run import blends, figures, most_wrong
from goldfold.report.run.record import record
from goldfold.submission import writing as submissions
from goldfold.trust import audits
from goldfold.trust.audits import Finding

if TYPE_CHECKING:
    from pandas import DataFrame

CHECKED = (
    "rows, groups and file contents shared between the halves of a fold",
    "copies of training samples, and classes training never saw, among the test samples",
    "the competition's rules",
    "trainable parameters in no optimizer or without gradient",
    "loss terms that move nothing",
    "learning rates against what was configured and planned",
    "outputs, features and embeddings that collapsed, where the recipe watches them",
    "losses against what they are where nothing was learned, where the recipe knows",
    "near-duplicates, by their order in time, across the halves of a fold and among what is ranked",
    "scores against their range, their chance level and luck in small sets",
    "scores of self-made damage alone, and epochs chosen on the scored folds",
    "whether the code changed after the run was started",
)

CHECKED_OF_BLENDS = (
    "what was found in the runs it is made of, repeated here with their names",
    "whether their data, folds and protocols are the same",
    "scores against their range, their chance level and luck in small sets",
    "whether the blend beats the best single run",
)


def conclude(
    experiment: Experiment, fits: Sequence[Fit], run: Path, findings: list[Finding], whole: Outcome | None = None
) -> None:
    """Write everything a finished run holds, the record last, and say the result.

    whole: what the fits add up to, where it is not the recipe's combination of them.
    """
    whole = whole or outcome(experiment, fits)
    _save(experiment, whole, run)
    findings = findings + _audit(experiment, fits, whole)
    write_json(run / "findings.json", [vars(finding) for finding in findings])
    audits.refuse_errors(findings, experiment.protocol.accept)
    explored = any(finding.code == "rule_broken" for finding in findings)
    csv = None if explored else _submit(experiment, whole, run)
    _draw(experiment, fits, whole, run)
    if experiment.competition.metric.retrieval:
        _tell_retrieval(experiment, whole, run)
    write_record(run)
    print(table(whole.metrics))
    for finding in findings:
        print(finding)
    if not findings:
        print("no findings")
    if csv:
        print(f"submission {csv}: {len(experiment.tables.test):,} test rows, checked against the sample submission")
    else:
        print("no submission: a run that breaks a rule of its competition is an exploration")
    print(f"record {run / runs.FINISHED}")


def note(run: Path, findings: Sequence[Finding]) -> None:
    """Add to a finished run what was found when something was made of it; what was found there before is replaced."""
    if not findings:
        return
    places = {(finding.code, finding.where) for finding in findings}
    before = [each for each in read_json(run / "findings.json") if (each["code"], each["where"]) not in places]
    write_json(run / "findings.json", before + [vars(finding) for finding in findings])
    write_record(run)


def write_record(run: Path) -> None:
    """Write the page of a run whose other files are there."""
    name, config = run.parent.name, read_json(run / "config.json")
    blended = (run / blends.FACTS).exists()
    if blended:
        defaults = {**config, "runs": None, "method": "all"}
    else:
        recipes = workspace.competition(name).recipes
        defaults = configs.resolve(config["config"], {"recipe": config["recipe"]}, recipes).resolved()
    graded = read_json(run / "grade.json")["score"] if (run / "grade.json").exists() else None
    csv = workspace.SUBMISSIONS / name / f"{run.name}.csv"
    text = record(
        run,
        defaults=defaults,
        checked=CHECKED_OF_BLENDS if blended else CHECKED,
        hidden_score=graded,
        submission=str(csv) if csv.exists() else None,
    )
    write_text(run / runs.FINISHED, text)


def _draw(experiment: Experiment, fits: Sequence[Fit], whole: Outcome, run: Path) -> None:
    """The run's pictures: folds, learning curves where something was trained, the most wrong where there are images."""
    competition, train = experiment.competition, experiment.tables.train
    metric = competition.metric
    write_bytes(run / "fold_scores.png", figures.fold_scores(whole.metrics))
    histories = {(fit.fold, fit.seed): fit.history for fit in fits if fit.history}
    if histories:
        chance = whole.metrics[metric.name]["chance"]
        chosen = {(fit.fold, fit.seed): fit.epoch for fit in fits}
        write_bytes(run / "learning_curves.png", figures.learning_curves(histories, metric.name, chance, chosen))
    if "path" in train and metric.options.row_error and not metric.retrieval:
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


def _tell_retrieval(experiment: Experiment, whole: Outcome, run: Path) -> None:
    """What each fold's rows find by their embeddings: a table of all queries, facts for the record, pictures."""
    competition = experiment.competition
    held = list(_held_out(experiment, whole))
    queries = retrieval.by_query(held)
    write_text(run / retrieval.QUERIES, queries.to_csv(index=False))
    write_json(run / retrieval.FACTS, retrieval.facts(held, queries, (competition.metric, *competition.also)))
    title = runs.run_name(run)
    for name, picture in retrieval.pictures(held, queries, title=title, targets=competition.targets[:1]).items():
        write_bytes(run / name, picture)


def _held_out(experiment: Experiment, whole: Outcome) -> Iterator[retrieval.HeldOut]:
    """The scored rows of each fold with their embeddings, which share a space with no other fold's."""
    train = experiment.tables.train
    for number in fold_numbers(experiment.protocol, experiment.folds):
        positions = experiment.folds[number].validation
        rows = train.iloc[positions].reset_index(drop=True)
        embeddings = whole.oof[np.searchsorted(whole.rows, positions)]
        yield retrieval.HeldOut(
            fold=number, rows=rows, embeddings=embeddings, pairs=experiment.competition.metric.retrieval.pairs(rows)
        )


def _save(experiment: Experiment, whole: Outcome, run: Path) -> None:
    """Out-of-fold and test predictions with their ids, and the metrics."""
    train, test = experiment.tables.train, experiment.tables.test
    write_array(run / "oof.npy", whole.oof)
    write_text(run / "oof_ids.csv", train[["id"]].iloc[whole.rows].to_csv(index=False))
    write_array(run / "test.npy", whole.test)
    write_text(run / "test_ids.csv", test[["id"]].to_csv(index=False))
    write_json(run / "metrics.json", whole.metrics)


def _audit(experiment: Experiment, fits: Sequence[Fit], whole: Outcome) -> list[Finding]:
    """What the fits and the scores say against themselves."""
    findings = []
    for fit in fits:
        where = f"fold {fit.fold} seed {fit.seed}"
        findings += audits.orphan_parameters(fit.facts, where) if fit.facts else []
        findings += audits.dead_loss_terms(fit.history, where) + audits.learning_rates(fit.facts, where)
        findings += audits.collapse(fit.history, where, fit.epoch) + audits.did_not_learn(fit.facts, fit.history, where)
    metric = experiment.competition.metric
    findings += audits.worse_than_chance(metric.name, whole.metrics[metric.name])
    by_hand, looked = experiment.loop.select.isdecimal(), 1
    if by_hand or experiment.loop.select == "best":
        trained = [(fit.history, fit.epoch) for fit in fits if fit.epoch]
        findings += audits.selected_on_scored_fold(trained, metric.higher_is_better, by_hand)
        looked = sum(bool(row["scores"]) * len(row["scores"]) for row in fits[0].history)
    rows = experiment.tables.train.iloc[whole.rows].reset_index(drop=True)
    test_of = metric.options.p_value if experiment.recipe.pooled else None
    tested = test_of(rows, whole.oof) if test_of else None
    findings += audits.tiny_sample(metric.name, whole.metrics[metric.name]["mean"], tested, max(1, looked))
    findings += audits.proxy_only(metric)
    return audits.merged(findings)


def submission_of(experiment: Experiment, fits: Sequence[Fit]) -> DataFrame:
    """The checked submission of some fits alone."""
    return _checked_submission(experiment, experiment.recipe.combine(np.stack([fit.test for fit in fits])))


def _checked_submission(experiment: Experiment, predictions: np.ndarray) -> DataFrame:
    submission, data = experiment.competition.submission, experiment.tables
    frame = submission.write(data.test, predictions)
    submissions.check(frame, data.sample_submission, data.test, submission)
    return frame


def _submit(experiment: Experiment, whole: Outcome, run: Path) -> Path:
    """Write the checked submission; returns its path."""
    competition, frame = experiment.competition, _checked_submission(experiment, whole.test)
    own = whole.metrics[competition.metric.name]
    provenance: dict[str, Any] = {
        "competition": competition.slug,
        "run": runs.run_name(run),
        "cv": {key: own[key] for key in ("protocol", "mean", "sd_ddof1", "n", "chance")},
        "identity": read_json(run / "reproduce.json")["identity"],
    }
    path = workspace.SUBMISSIONS / run.parent.name / f"{run.name}.csv"
    submissions.write(frame, path, provenance)
    return path
