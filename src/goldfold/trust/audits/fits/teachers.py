"""Audits of labels that came from a model: whether it saw the rows that score, and whether it labeled any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goldfold.trust.audits.findings import Finding, FindingKind, Level

if TYPE_CHECKING:
    from pandas import Series

PSEUDO_LABEL_LEAK = FindingKind(
    code="pseudo_label_leak",
    topic="Leakage",
    levels=("error", "warning"),
    found="labels from models that saw the rows that score",
    seen="Error if soft targets are a teacher's out-of-fold predictions: the model that held out a training row of "
    "fold k was trained on the validation rows of fold k. Error if the teacher run, or the run that `init_from` names, "
    "has this finding itself, and if files of `Tables.extra` are files of the test table, whose targets nobody knows "
    "but a model; a warning if they are equal table rows. Warning if epochs or boosting rounds of that run were "
    "selected on the fold that scores this one.",
    misleads="The labels carry what the teacher learned of the validation rows into the student's training, so the "
    "score is too high, while the leaderboard gains nothing. [Teachers](teachers.md#how-much-a-leak-flatters) has "
    "figures.",
    cure="Use `distill: {predictions: in_sample}` or `nested`; label test rows with `pseudo_labels: {teacher: ...}` "
    "instead of a file; train the teacher with `select: last`.",
    example="soft targets are out-of-fold predictions of 'titanic/baseline-r1', whose models were trained on ...: ...",
)

NO_PSEUDO_LABELS = FindingKind(
    code="no_pseudo_labels",
    topic="Training",
    levels=("warning",),
    found="no row that reaches the threshold of pseudo-labels",
    seen="In a fold, no unlabeled row has a predicted probability of at least `pseudo_labels.threshold`.",
    misleads="The fit of this fold is that of a run without pseudo-labels.",
    cure="Lower the threshold, or leave `pseudo_labels` out.",
    example="none of 418 unlabeled rows reaches the threshold 0.99: ...",
)

LEAKING = "the labels carry its validation labels into the training, so the score is too high"


def leaking_teachers(facts: Mapping[str, Any], predictions: str | None) -> list[Finding]:
    """Report teachers whose models saw rows that score the student, or were selected on them.

    facts: key of the config -> what is known of its teacher, or of the run that `init_from` names. predictions: those
    of a distillation, None without one.
    """
    findings = []
    for key, teacher in facts.items():
        run, role = teacher["run"], "the first weights' run" if key == "init_from" else "teacher"
        if key == "distill" and predictions == "out_of_fold":
            message = (
                f"soft targets are out-of-fold predictions of '{run}', whose models of other folds were trained on the "
                f"rows that score a fold: {LEAKING}. Set distill: {{predictions: in_sample}}, or nested"
            )
            findings.append(_leak(message, key))
        if teacher["leaks"]:
            message = (
                f"{role} '{run}' has the finding pseudo_label_leak itself: {LEAKING}, from one run to the next. Name "
                "another run"
            )
            findings.append(_leak(message, key))
        if teacher["selected"]:
            message = (
                f"the epochs or boosting rounds of {role} '{run}' were selected on the folds that score this run "
                "(selected_on_scored_fold): a little of the validation labels is in what it hands on. Train it with "
                "select=last, or stop_on=kept_back"
            )
            findings.append(_leak(message, key, "warning"))
    return findings


def labeled_test_rows(
    contents: Series, ids: Series, test_contents: Series, test_ids: Series, files: bool
) -> list[Finding]:
    """Report extra rows with a target and the content of a test row.

    contents: a hash for each extra row. files: whether it is of a file; equal table rows need not be copies.
    """
    seen = dict(zip(test_contents, test_ids, strict=True))
    copies = [(row, seen[each]) for row, each in zip(ids, contents, strict=True) if each in seen]
    if not copies:
        return []
    row, twin = copies[0]
    message = (
        f"{len(copies):,} of {len(ids):,} extra rows are test rows with a target, the first id {row!r} as {twin!r}, "
        "and nobody knows it but a model, perhaps one of all folds: its labels carry the validation rows into every "
        "fold. Leave them out, and name the model's run with pseudo_labels: {teacher: RUN}"
    )
    return [_leak(message, "extra", "error" if files else "warning")]


def no_pseudo_labels(counts: Mapping[int, int], rows: int, threshold: float | None) -> list[Finding]:
    """Report folds in which no row is sure enough. counts: fold -> rows that are. rows: that could be labeled."""
    message = (
        f"none of {rows:,} unlabeled rows reaches the threshold {threshold}: the fit is that of a run without "
        "pseudo-labels. Lower pseudo_labels.threshold"
    )
    return [NO_PSEUDO_LABELS(message, f"fold {fold}") for fold, count in counts.items() if not count]


def _leak(message: str, where: str, level: Level = "error") -> Finding:
    return PSEUDO_LABEL_LEAK(message, where, level)
