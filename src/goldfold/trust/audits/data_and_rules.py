"""Audits of the data and the config: stale data, classes only in the test rows, missing texts, broken rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pandas import DataFrame

from goldfold.data.column_values import count_without_text
from goldfold.trust.audits.findings import Finding, FindingKind, Level, first_three

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from pydantic import BaseModel

    from goldfold.competition import Fold
    from goldfold.optional_parts import Rule

STALE_DATA = FindingKind(
    code="stale_data",
    topic="Data and rules",
    levels=("warning",),
    found="prepared data of an older `data.py` or other raw files",
    seen="The code of `data.py` or a raw file changed after the rows were prepared, and they could not be "
    "prepared again, since the raw files are gone. `make train` and `make tune` prepare again by "
    "themselves where they can.",
    misleads="The rows may not be what `data.py` would make now.",
    cure="Bring the raw files back (`make download COMP=<name>`), then `make prepare COMP=<name> FORCE=1`.",
    example="data.py changed after these rows were prepared, so they may not be what data.py would make now: ...",
)

UNSEEN_CLASS = FindingKind(
    code="unseen_class",
    topic="Data and rules",
    levels=("warning",),
    found="test classes without a training row",
    seen="Test rows have classes of objects (`object_class`) without any training row.",
    misleads="Each is predicted as the nearest known class, and no fold measures how well.",
    cure="Check the class names, or add training rows.",
    example="14 of 80 test rows have 2 classes without any training row, 'cable', 'pill': ...",
)

MISSING_TEXTS = FindingKind(
    code="missing_texts",
    topic="Data and rules",
    levels=("warning",),
    found="rows without text in a column that the recipe reads",
    seen="Rows of the train or the test table have no text, or only spaces, in a column that the recipe reads.",
    misleads="All of them get the features of the empty text. Where they are more frequent in the test table, the "
    "cross-validation score is too high.",
    cure="Fill the texts in, or choose a column that every row has.",
    example="12 of 300 train rows and 40 of 100 test rows have no text in 'caption': ...",
)

UNTRAINED_CLASS = FindingKind(
    code="untrained_class",
    topic="Data and rules",
    levels=("warning", "error"),
    found="target classes without a training row in a fold",
    seen="Warning; an error if only one class is left. The training rows of a fold lack a class of the target.",
    misleads="The fold predicts the class with probability 0 (`tabular`) or nearly so, and each of its validation "
    "rows counts as wrong; in log loss one such row can outweigh all others. With several labels per row, "
    "all such label columns are named with their positives in all rows.",
    cure="Stratify the split (`multilabel_stratified` for several labels), or merge rare classes.",
    example="no training row has the class 'pill' of 12 classes: ...",
)

ROWS_WITHOUT_LABELS = FindingKind(
    code="rows_without_labels",
    topic="Data and rules",
    levels=("note",),
    found="train rows that have none of several labels",
    seen="Some train rows have a 0 in every column of several labels.",
    misleads="They are negatives of every label in training, and `label_ranking_average_precision` counts each of "
    "them as 1.",
    cure="Drop them in `load()` if their labels are unknown rather than none.",
    example="9 of 300 train rows have none of the 20 labels: ...",
)

RULE_BROKEN = FindingKind(
    code="rule_broken",
    topic="Data and rules",
    levels=("error",),
    found="parameters that break a competition rule",
    seen="The parameters break a rule of the competition, such as one model for all classes.",
    misleads="A score that breaks the rules is not comparable with the leaderboard.",
    cure="Change the config. A run that accepts this code is an exploration and writes no submission.",
    example="the rule 'one model for all classes' is broken, since models is per_class: ...",
)


def stale_data(name: str, changed: str) -> list[Finding]:
    """Report data whose code or raw files changed after it was prepared; name: of the competition's folder."""
    if not changed:
        return []
    message = (
        f"{changed} after these rows were prepared, so they may not be what data.py would make now: prepare them again "
        f"with make prepare COMP={name} FORCE=1"
    )
    return [STALE_DATA(message, "data")]


def unseen_classes(train_classes: Series, test_classes: Series) -> list[Finding]:
    """Report classes of test rows that no training row has; missing classes and "?" are ignored."""
    known = set(train_classes.dropna()) - {"?"}
    strange = test_classes[~test_classes.isin(known | {"?"})].dropna()
    if strange.empty or not known:
        return []
    names = [repr(name) for name in sorted(strange.unique(), key=str)]
    message = (
        f"{len(strange)} of {len(test_classes)} test rows have {len(names)} classes without any training row, "
        f"{first_three(names)}: each is predicted as the nearest known class, and no fold measures how well. Check "
        "the class names, or add training rows"
    )
    return [UNSEEN_CLASS(message, "test")]


def missing_texts(column: str, train: DataFrame, test: DataFrame) -> list[Finding]:
    """Report rows without text in `column`, which are used as if their text were empty.

    Raises GoldfoldError `unknown_column` if a table lacks the column.
    """
    absent = {part: count_without_text(rows, column) for part, rows in (("train", train), ("test", test))}
    if not any(absent.values()):
        return []
    message = (
        f"{absent['train']} of {len(train)} train rows and {absent['test']} of {len(test)} test rows have no text in "
        f"'{column}': all of them get the features of the empty text, so only their other inputs tell them apart"
    )
    return [MISSING_TEXTS(message, "data")]


def untrained_classes(folds: Sequence[Fold], labels: Series | DataFrame, classes: Sequence) -> list[Finding]:
    """Report classes that the training rows of a fold lack; an error if they are all of one class.

    labels: of the train table; a column of 0 and 1 per class if a row may have several. classes: all that are
        predicted.
    """
    several = isinstance(labels, DataFrame)
    findings = []
    for number, fold in enumerate(folds):
        if isinstance(labels, DataFrame):
            known = labels.iloc[fold.train].any().to_numpy(bool)
            total = labels.sum().astype(int).tolist()
            absent = [f"{name!r} ({total[at]} in all rows)" for at, name in enumerate(classes) if not known[at]]
        else:
            present = set(labels.iloc[fold.train])
            absent = [repr(label) for label in classes if label not in present]
        if absent:
            message = (
                f"no training row has the class {', '.join(absent) if several else first_three(absent)} of "
                f"{len(classes)} classes: it is predicted with probability 0 or nearly so, which log loss punishes. "
                "Stratify the split, or merge rare classes"
            )
            level: Level = "warning" if several or len(classes) - len(absent) > 1 else "error"
            findings.append(UNTRAINED_CLASS(message, f"fold {number}", level))
    return findings


def rows_without_labels(labels: DataFrame) -> list[Finding]:
    """Report train rows that have none of several labels; labels: a column of 0 and 1 per label."""
    count = int((~labels.any(axis=1)).sum())
    if not count:
        return []
    message = (
        f"{count} of {len(labels)} train rows have none of the {labels.shape[1]} labels: they are negatives of every "
        "label in training, and LRAP counts each as 1. Drop them in load() if their labels are unknown"
    )
    return [ROWS_WITHOUT_LABELS(message, "train")]


def rule_broken(rules: Sequence[Rule], params: BaseModel) -> list[Finding]:
    """Report the competition rules that the parameters break."""
    findings = []
    for rule in rules:
        if how := rule.broken(params):
            message = (
                f"the rule '{rule.text}' is broken, since {how}: change the config. A run that accepts this is an "
                "exploration and writes no submission"
            )
            findings.append(RULE_BROKEN(message, "config"))
    return findings
