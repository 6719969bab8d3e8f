"""Compare the folds on which given predictions were made with those that score them here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas import DataFrame, Index

from goldfold.competition import Fold, Metric
from goldfold.data.fold_tables import folds_from_table
from goldfold.errors import GoldfoldError
from goldfold.experiment.predictions.alignment import first_ids
from goldfold.experiment.scoring import score


@dataclass(frozen=True)
class FoldFacts:
    """What is known of the folds of given predictions.

    kind: `equal` to ours, `different`, or `unknown`. folds: their number. other_rows: scored rows in folds that are
        none of ours. split_groups: groups of which rows lie in several of the given folds. scores: of each given fold;
        empty where a fold cannot be scored alone.
    """

    kind: str
    folds: int = 0
    other_rows: int = 0
    split_groups: int = 0
    scores: tuple[float, ...] = ()


def given_folds(table: DataFrame, wanted: Index, path: str) -> np.ndarray:
    """The fold of each id in `wanted`, numbered from 0, int64 (n,).

    table: with the columns id and fold, as text; more ids are left out.

    Raises:
        GoldfoldError: `import_folds`, there is no such column, or a row has no fold or several.
    """
    if "fold" not in table:
        raise GoldfoldError(
            "import_folds", f"{path} has no column 'fold', only {', '.join(table.columns)}: give each id its fold"
        )
    own = Index(table["id"])
    missing, repeated = wanted.difference(own, sort=False), own[own.duplicated()].unique()
    if len(missing) or len(repeated):
        kinds = {"missing": missing, "repeated": repeated}
        told = "; ".join(f"{len(ids):,} {kind}, first {first_ids(ids)}" for kind, ids in kinds.items() if len(ids))
        raise GoldfoldError(
            "import_folds", f"{path} does not give each scored row one fold ({told}): list each id once"
        )
    labels = table["fold"].astype("str").set_axis(own).loc[wanted]
    empty = table["fold"].set_axis(own).loc[wanted].isna() | labels.str.strip().isin(["", "nan"])
    if empty.any():
        raise GoldfoldError(
            "import_folds",
            f"{path} has {int(empty.sum()):,} rows without a fold, first {first_ids(wanted[empty])}: add it",
        )
    return pd.factorize(labels, sort=True)[0]


def compared(
    his: np.ndarray | None, ours: Sequence[Fold], positions: np.ndarray, table: DataFrame | None, train: DataFrame
) -> FoldFacts:
    """How given folds compare with ours; folds of other numbers are equal if they hold the same rows.

    his: fold of each scored row, None if it was not given. positions: of the scored rows in `train`. table: that he
    gave, by which folds that leave rows out of training are compared, too.
    """
    if his is None:
        return FoldFacts("unknown")
    own = np.full(len(train), -1)
    for number, fold in enumerate(ours):
        own[fold.validation] = number
    own = own[positions]
    parts = {frozenset(np.flatnonzero(own == number).tolist()) for number in np.unique(own)}
    others = [
        rows for number in np.unique(his) if frozenset((rows := np.flatnonzero(his == number)).tolist()) not in parts
    ]
    found = FoldFacts("different", folds=len(np.unique(his)), other_rows=sum(map(len, others)))
    equal = not others and _trained_alike(ours, table, train)
    return FoldFacts("equal", folds=found.folds) if equal else found


def _trained_alike(ours: Sequence[Fold], table: DataFrame | None, train: DataFrame) -> bool:
    """Whether folds with our validation rows also train on our rows: on all others, unless the table says otherwise."""
    if all(len(fold.train) + len(fold.validation) == len(train) for fold in ours):
        return table is None or not any(str(name).startswith("train_") for name in table.columns)
    try:
        given = folds_from_table(table, train["id"]) if table is not None else []
    except GoldfoldError:
        return False
    by_rows = {frozenset(fold.validation.tolist()): frozenset(fold.train.tolist()) for fold in given}
    return all(by_rows.get(frozenset(fold.validation.tolist())) == frozenset(fold.train.tolist()) for fold in ours)


def split_groups(his: np.ndarray, groups: np.ndarray) -> int:
    """Number of groups with rows in several of the given folds."""
    return int((pd.Series(his).groupby(groups).nunique() > 1).sum())


def own_scores(metric: Metric, rows: DataFrame, predictions: np.ndarray, his: np.ndarray) -> tuple[float, ...]:
    """The metric on each of the given folds; empty if one cannot be scored alone, such as AUROC of one class."""
    try:
        return tuple(
            score(metric, rows.iloc[part].reset_index(drop=True), predictions[part])
            for part in (np.flatnonzero(his == number) for number in np.unique(his))
        )
    except GoldfoldError:
        return ()


def as_json(facts: FoldFacts) -> Mapping[str, object]:
    """The facts as JSON."""
    return {**vars(facts), "scores": list(facts.scores)}
