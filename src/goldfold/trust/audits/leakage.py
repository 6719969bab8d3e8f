"""Audits of leakage: rows, groups, copies and near-duplicates on both sides of a fold, in the test set or a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.data import neighbors
from goldfold.trust.audits.findings import Finding, FindingKind

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Fold
    from goldfold.optional_parts import Neighbors, Pairs

PAIRS_AT_ONCE = 4_000_000  # pairs of a query and a gallery row that are checked together

SHARED_ROWS = FindingKind(
    code="shared_rows",
    topic="Leakage",
    levels=("error",),
    found="rows on both sides of a fold",
    seen="Rows are in the training part and in the validation part of a fold.",
    misleads="A model that remembers the rows scores too high.",
    cure="Fix `split()`. The functions of [`goldfold.data.folds`](data_and_folds.md#folds) verify this themselves.",
    example="12 of 40 scored rows are also trained on, the first at position 3: ...",
)

SHARED_GROUPS = FindingKind(
    code="shared_groups",
    topic="Leakage",
    levels=("error",),
    found="groups (patients, recordings) on both sides of a fold",
    seen="Values of the competition's `group` column (patient, person, recording) have rows on both sides of a fold.",
    misleads="A model that recognizes the group scores higher than on new groups.",
    cure="Split with `goldfold.data.folds.grouped` or `stratified_grouped`.",
    example="3 values of 'patient' have rows on both sides, such as 'p07': ...",
)

SHARED_CONTENTS = FindingKind(
    code="shared_contents",
    topic="Leakage",
    levels=("warning", "note"),
    found="identical files or equal table rows on both sides of a fold",
    seen="Warning for files, note for table rows. Samples with different ids and identical contents are on "
    "both sides of a fold.",
    misleads="The target of a copy can be remembered, so the score is too high. Table rows with few values may be "
    "equal without being copies, therefore only a note.",
    cure="Drop the copies in `load()`, or group by content.",
    example="4 of 80 scored samples are copies of training samples, the first id 'a1' of 'b7': ...",
)

COPIES_IN_TEST = FindingKind(
    code="copies_in_test",
    topic="Leakage",
    levels=("error", "warning"),
    found="test samples that are copies of training samples",
    seen="Error if test files are copies of training files, warning if table rows are equal.",
    misleads="The leaderboard rewards remembering them and says less about new samples.",
    cure="Trust the folds rather than the leaderboard.",
    example="6 of 200 test samples are copies of training samples, the first id 't3' of 'a1': ...",
)

NEIGHBOR_LEAKAGE = FindingKind(
    code="neighbor_leakage",
    topic="Leakage",
    levels=("error",),
    found="near-duplicates in time on both sides of a fold",
    seen="A validation row has a training row of the same sequence within the guard time: the next frame of a "
    "video, the next window of a signal.",
    misleads="Near-duplicates of training rows are easy, so the score is too high.",
    cure="Split by sequence, or leave a gap: `goldfold.data.time_folds.folds` draws whole blocks of time with a guard.",
    example="57 of 96 scored rows have a training row within 2 of their 'frame' in the same 'video', ...: ...",
)

NEIGHBOR_RANKED = FindingKind(
    code="neighbor_ranked",
    topic="Leakage",
    levels=("error",),
    found="queries whose gallery holds a near-duplicate of them",
    seen="The gallery of a query holds the query itself or a near-duplicate of it.",
    misleads="Any model finds a near-duplicate, so the score is too high.",
    cure="Leave near-duplicates out of the gallery: `goldfold.retrieval.pairs.by_time` does.",
    example="96 of 96 queries are ranked against a row within 2 of their 'frame' in the same 'video', ...: ...",
)


def shared_rows(folds: Sequence[Fold]) -> list[Finding]:
    """Report rows that are on both sides of a fold."""
    findings = []
    for number, fold in enumerate(folds):
        both = np.intersect1d(fold.train, fold.validation)
        if len(both):
            message = (
                f"{len(both)} of {len(fold.validation)} scored rows are also trained on, the first at position "
                f"{both[0]}: a model that remembers them scores too high. Fix split()"
            )
            findings.append(SHARED_ROWS(message, f"fold {number}"))
    return findings


def shared_groups(folds: Sequence[Fold], groups: Series) -> list[Finding]:
    """Report groups (persons, recordings) with rows on both sides of a fold."""
    findings = []
    for number, fold in enumerate(folds):
        both = set(groups.iloc[fold.train]) & set(groups.iloc[fold.validation])
        if both:
            message = (
                f"{len(both)} values of '{groups.name}' have rows on both sides, such as {min(both, key=str)!r}: a "
                "model that recognizes them scores higher than on new ones. Split with goldfold.data.folds.grouped or "
                "stratified_grouped"
            )
            findings.append(SHARED_GROUPS(message, f"fold {number}"))
    return findings


def shared_contents(folds: Sequence[Fold], contents: Series, ids: Series, files: bool = True) -> list[Finding]:
    """Report different ids with identical content on both sides of a fold.

    contents: a hash for each row. files: whether it is of a file, whose equals are copies; table rows with few values
        may be equal without being copies, so they only make a note.
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
            cure = "Drop the copies in load(), or group by content" if files else "If they are copies, group by content"
            message = (
                f"{len(copies)} of {len(fold.validation)} scored samples are {how} training samples, the first id "
                f"{row!r} of {twin!r}: their targets can be remembered, so the score is too high. {cure}"
            )
            findings.append(SHARED_CONTENTS(message, f"fold {number}", "warning" if files else "note"))
    return findings


def copies_in_test(
    train_contents: Series, train_ids: Series, test_contents: Series, test_ids: Series, files: bool = True
) -> list[Finding]:
    """Report test samples that are copies of training samples.

    contents: a hash for each row. files: whether it is of a file, whose equals are copies and an error; table rows with
        few values may be equal without being copies, so they only make a warning.
    """
    seen = dict(zip(train_contents, train_ids, strict=True))
    copies = [(row, seen[c]) for row, c in zip(test_ids, test_contents, strict=True) if c in seen]
    if not copies:
        return []
    row, twin = copies[0]
    how = "copies of" if files else "equal to"
    message = (
        f"{len(copies)} of {len(test_ids)} test samples are {how} training samples, the first id {row!r} of {twin!r}: "
        "the leaderboard rewards remembering them and says less about new samples. Trust the folds rather than the "
        "leaderboard"
    )
    return [COPIES_IN_TEST(message, "test", "error" if files else "warning")]


def neighbor_leakage(folds: Sequence[Fold], rows: DataFrame, close: Neighbors) -> list[Finding]:
    """Report validation rows with a near-duplicate among the training rows: same sequence, times within the guard.

    rows: the train table with `id` and the columns that `close` names; folds hold its positions. A row without sequence
        or time has no neighbors.
    """
    line = neighbors.of_table(rows, close)
    findings = []
    for number, fold in enumerate(folds):
        near = line.windows(close.guard, fold.validation, fold.train)
        leaking = np.flatnonzero(near.any())
        if len(leaking):
            first = fold.validation[leaking[0]]
            twin, _ = line.nearest(first, near.of(leaking[0]))
            message = (
                f"{len(leaking):,} of {len(fold.validation):,} scored rows have a training row within {close.guard:g} "
                f"of their '{close.time}' in the same '{close.sequence}', the first id {_id(rows, first)!r} beside "
                f"{_id(rows, twin)!r}: near-duplicates of training rows are easy, so the score is too high. Split by "
                f"'{close.sequence}', or leave a gap"
            )
            findings.append(NEIGHBOR_LEAKAGE(message, f"fold {number}"))
    return findings


def neighbor_ranked(pairs: Pairs, rows: DataFrame, close: Neighbors, where: str = "all folds") -> list[Finding]:
    """Report queries whose gallery holds the query itself or a near-duplicate of it.

    rows: those whose positions `pairs` holds, with `id` and the columns that `close` names.
    """
    near = neighbors.of_table(rows, close).windows(close.guard, pairs.queries, pairs.gallery)
    count, first = 0, None
    for part in _query_slices(pairs):
        ranked = near.pairs(part) & ~pairs.left_out(part)
        found = np.flatnonzero(ranked.any(axis=1))
        count += len(found)
        if first is None and len(found):
            first = pairs.queries[part][found[0]], pairs.gallery[ranked[found[0]].argmax()]
    if first is None:
        return []
    query, answer = (_id(rows, position) for position in first)
    message = (
        f"{count:,} of {len(pairs.queries):,} queries are ranked against a row within {close.guard:g} of their "
        f"'{close.time}' in the same '{close.sequence}', the first id {query!r} against {answer!r}: any model finds a "
        "near-duplicate, so the score is too high. Leave near-duplicates out of the gallery"
    )
    return [NEIGHBOR_RANKED(message, where)]


def _query_slices(pairs: Pairs) -> Iterator[slice]:
    """Slices of the queries with at most `PAIRS_AT_ONCE` pairs each."""
    step = max(1, PAIRS_AT_ONCE // max(1, len(pairs.gallery)))
    for start in range(0, len(pairs.queries), step):
        yield slice(start, min(start + step, len(pairs.queries)))


def _id(rows: DataFrame, position: int) -> Any:
    return rows["id"].tolist()[position]
