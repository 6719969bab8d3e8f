"""Audits of what a run begins with: folds, files, classes, and the rules of the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldfold.trust.audits.findings import Finding, some

if TYPE_CHECKING:
    from pandas import Series
    from pydantic import BaseModel

    from goldfold.competition import Fold
    from goldfold.optional_parts import Rule


def shared_rows(folds: Sequence[Fold]) -> list[Finding]:
    """Rows that are in both halves of a fold."""
    findings = []
    for number, fold in enumerate(folds):
        both = np.intersect1d(fold.train, fold.validation)
        if len(both):
            message = f"{len(both)} rows are trained on and scored, first at position {both[0]}: mend split()"
            findings.append(Finding("shared_rows", "error", message, f"fold {number}"))
    return findings


def shared_groups(folds: Sequence[Fold], groups: Series) -> list[Finding]:
    """Groups (people, recordings) that have rows in both halves of a fold."""
    findings = []
    for number, fold in enumerate(folds):
        both = set(groups.iloc[fold.train]) & set(groups.iloc[fold.validation])
        if both:
            message = (
                f"{len(both)} values of '{groups.name}' are on both sides, such as {min(both, key=str)!r}: "
                "split with goldfold.data.folds.grouped or stratified_grouped"
            )
            findings.append(Finding("shared_groups", "error", message, f"fold {number}"))
    return findings


def shared_contents(folds: Sequence[Fold], contents: Series, ids: Series, files: bool = True) -> list[Finding]:
    """Different ids with identical content on both sides of a fold: copies, where the content is a file's.

    Rows of a table with few values may be equal without being copies: a note.
    """
    findings = []
    for number, fold in enumerate(folds):
        seen = dict(zip(contents.iloc[fold.train], ids.iloc[fold.train], strict=True))
        copies = [
            (row, seen[content])
            for row, content in zip(ids.iloc[fold.validation], contents.iloc[fold.validation], strict=True)
            if content in seen
        ]
        if copies:
            row, twin = copies[0]
            how = "copies of" if files else "equal to"
            step = "drop the copies in load(), or group by content" if files else "if they are copies, group by content"
            message = (
                f"{len(copies)} of {len(fold.validation)} scored samples are {how} trained ones, first id {row!r} "
                f"like {twin!r}: {step}"
            )
            findings.append(Finding("shared_contents", "warning" if files else "note", message, f"fold {number}"))
    return findings


def copies_in_test(train_contents: Series, train_ids: Series, test_contents: Series, test_ids: Series) -> list[Finding]:
    """Test samples that are copies of training samples: their leaderboard score says little about new ones."""
    seen = dict(zip(train_contents, train_ids, strict=True))
    copies = [(row, seen[c]) for row, c in zip(test_ids, test_contents, strict=True) if c in seen]
    if not copies:
        return []
    row, twin = copies[0]
    message = f"{len(copies)} of {len(test_ids)} test samples are copies of training ones, first {row!r} like {twin!r}"
    return [Finding("copies_in_test", "warning", message, "test")]


def stale_data(name: str) -> list[Finding]:
    """The data was prepared by another data.py than the one there is now."""
    message = f"data.py has changed since it prepared these rows: make prepare COMP={name} prepares them again"
    return [Finding("stale_data", "warning", message, "data")]


def unseen_classes(train_classes: Series, test_classes: Series) -> list[Finding]:
    """Classes of the test rows that no training row has; rows whose class is missing, or "?", are passed over."""
    known = set(train_classes.dropna()) - {"?"}
    strange = test_classes[~test_classes.isin(known | {"?"})].dropna()
    if strange.empty or not known:
        return []
    names = [repr(name) for name in sorted(strange.unique(), key=str)]
    message = (
        f"{len(strange)} of {len(test_classes)} test rows are of {len(names)} classes that no training row has, "
        f"{some(names)}: each is judged as the nearest class that was trained on"
    )
    return [Finding("unseen_class", "warning", message, "test")]


def rule_broken(rules: Sequence[Rule], params: BaseModel) -> list[Finding]:
    """Rules of the competition that these parameters break."""
    findings = []
    for rule in rules:
        if how := rule.broken(params):
            message = (
                f"the rule '{rule.text}' is broken, since {how}: mend the config; a run that accepts it is an "
                "exploration and writes no submission"
            )
            findings.append(Finding("rule_broken", "error", message, "config"))
    return findings
