"""Audits of tables: columns, ids and paths that tell the target, drift, group rows, or are constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame, Series

from goldfold.competition import Competition, Fold, Tables
from goldfold.trust import audits, table_columns
from goldfold.trust.audits import Check, made, not_made
from goldfold.trust.table_columns import Column, Target

FEWEST = 20  # train rows, below which chance explains whatever tells a target


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The tables as the audits below need them.

    columns: that both tables have, but groups and sequences, which tell targets by right. every: these, too. others:
    why some targets cannot be judged. rows, test_rows: positions of rows that are independent of one another. halves:
    positions of train rows without a common group.
    """

    train: DataFrame
    test: DataFrame
    columns: list[Column]
    every: list[Column]
    targets: list[Target]
    others: list[str]
    rows: np.ndarray
    test_rows: np.ndarray
    halves: tuple[np.ndarray, np.ndarray]
    declared: Sequence[str]


def of_tables(competition: Competition, data: Tables, folds: Sequence[Fold], contents: Series) -> list[Check]:
    """All audits of columns, ids and paths. contents: a hash for each train row."""
    judged = _judged(competition, data)
    return [
        _contradictions(competition, judged, contents),
        *_columns(judged),
        _order(competition, judged),
        *_names(judged),
        *_folds_and_test(judged, folds),
        _near_duplicates(judged, folds),
    ]


def of_ids(competition: Competition, data: Tables) -> list[Check]:
    """The audits of row order, ids and paths that tell the target."""
    judged = _judged(competition, data)
    return [_order(competition, judged), *_names(judged)]


def _judged(competition: Competition, data: Tables) -> Judged:
    train, test = data.train.reset_index(drop=True), data.test.reset_index(drop=True)
    declared = table_columns.group_columns(competition)
    every = table_columns.features(competition, train, test)
    targets, others = table_columns.targets(competition, train)
    if len(train) < FEWEST:
        targets, others = [], [f"the train table has fewer than {FEWEST} rows"]
    groups, test_groups = (next((rows[name] for name in declared if name in rows), None) for rows in (train, test))
    return Judged(
        train=train,
        test=test,
        columns=[column for column in every if column.name not in declared],
        every=every,
        targets=targets,
        others=others,
        rows=table_columns.one_per_group(groups, len(train)),
        test_rows=table_columns.one_per_group(test_groups, len(test)),
        halves=table_columns.halves(groups, len(train)),
        declared=declared,
    )


def _contradictions(competition: Competition, judged: Judged, contents: Series) -> Check:
    what, codes, targets = "equal contents with different targets", ["contradicting_labels"], list(competition.targets)
    if not targets:
        return not_made(what, codes, "the competition has no targets")
    files = "path" in judged.train
    if not files and not judged.every:
        return not_made(what, codes, "the tables have no columns beside ids and targets")
    labels, ids = judged.train[targets], judged.train["id"]
    return made(what, codes, audits.contradicting_labels(contents, labels, ids, files))


def _columns(judged: Judged) -> list[Check]:
    """Columns that tell the target, that drift, and that are constant."""
    columns, codes = judged.columns, (["target_in_column"], ["drifting_column"], ["constant_feature"])
    what = "columns that tell the target", "columns that drift to the test table", "constant columns"
    if not columns:
        why = "both tables have no columns beside ids, files and groups"
        return [not_made(*each, why) for each in zip(what, codes, strict=True)]
    if judged.targets:
        told = audits.target_in_column(columns, judged.targets, judged.halves, judged.rows)
        first = made(_some(what[0], judged.others), codes[0], told)
    else:
        first = not_made(what[0], codes[0], "; ".join(judged.others) or "the competition has no targets")
    drift = audits.drifting_columns(columns, judged.rows, judged.test_rows, len(judged.train))
    return [first, made(what[1], codes[1], drift), made(what[2], codes[2], audits.constant_columns(columns))]


def _order(competition: Competition, judged: Judged) -> Check:
    what, codes = "row order and ids that tell the target", ["order_tells_target"]
    if competition.neighbors:
        return not_made(what, codes, "rows of declared `neighbors` are alike in their order")
    if not judged.targets:
        return not_made(what, codes, "; ".join(judged.others) or "the competition has no targets")
    found = audits.order_tells_target(judged.targets, judged.train["id"], judged.test["id"], judged.rows)
    return made(_some(what, judged.others), codes, found)


def _names(judged: Judged) -> list[Check]:
    """Paths and ids that tell the target."""
    checks, codes = [], ["label_in_path"]
    for column, kind in (("path", "file"), ("id", "id")):
        what = f"{column}s that tell the target"
        if column not in judged.train or column not in judged.test:
            checks.append(not_made(what, codes, f"the tables have no `{column}`"))
        elif not any(target.classes for target in judged.targets):
            checks.append(not_made(what, codes, "; ".join(judged.others) or "no target has classes"))
        else:
            both = judged.train[column], judged.test[column]
            checks.append(made(what, codes, audits.label_in_path(both, kind, judged.targets, judged.halves)))
    return checks


def _folds_and_test(judged: Judged, folds: Sequence[Fold]) -> list[Check]:
    """Undeclared groups, and times, that part the test table from the train table and not the folds."""
    times = audits.times(judged.every, judged.train, judged.test)
    what, codes = "undeclared groups that folds share and test rows do not", ["undeclared_group"]
    whole = [column for column in judged.every if column.whole and column.name not in times]
    checks = [
        made(what, codes, audits.undeclared_groups(whole, folds, judged.declared))
        if whole
        else not_made(what, codes, "no column of both tables has names or whole numbers")
    ]
    what, codes = "folds that mix times where test rows are later", ["time_behind_folds"]
    if not times:
        return [*checks, not_made(what, codes, "no column of both tables is a time by its type, values or name")]
    return [*checks, made(what, codes, audits.time_behind_folds(times, folds))]


def _near_duplicates(judged: Judged, folds: Sequence[Fold]) -> Check:
    what, codes = "jittered copies of rows on both sides of a fold", ["near_duplicate_rows"]
    if audits.comparable_numbers(judged.columns) is None:
        return not_made(what, codes, "fewer than 3 columns of numbers have many distinct values")
    most = audits.MOST_ROWS
    what += f", {most:,} of {len(judged.train):,} rows in a sample" if len(judged.train) > most else ""
    return made(what, codes, audits.near_duplicate_rows(judged.columns, folds, judged.train["id"]))


def _some(what: str, others: Sequence[str]) -> str:
    """A check of some targets, with why it was not made of the others."""
    return f"{what} ({'; '.join(others)})" if others else what
