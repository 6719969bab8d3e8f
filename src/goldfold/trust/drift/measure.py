"""Adversarial validation of two tables: the classifier, its columns, the reference of the folds, and single rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from goldfold.competition import Competition, Fold
from goldfold.errors import GoldfoldError
from goldfold.io.seeding import derive
from goldfold.trust import table_columns
from goldfold.trust.drift import columns
from goldfold.trust.drift.classifier import Classified, auroc, classify, readable, separation
from goldfold.trust.drift.features import Features
from goldfold.trust.drift.verdict import Comparison

MOST_ROWS = 4000  # of either table; of more, a random sample
REFERENCES = 3  # folds of the competition whose validation rows are told from their training rows
LEAST, MOST = 0.1, 10.0  # weight of a training row, before weights are divided by their mean


@dataclass(frozen=True, eq=False)
class Sides:
    """Which rows are compared, train rows first.

    train_rows, test_rows: positions in their tables. groups: (n,), rows of one group are in one fold of the classifier;
    None: none are declared. exchangeable: False if the train table has groups and the test table does not.
    """

    train_rows: np.ndarray
    test_rows: np.ndarray
    groups: np.ndarray | None
    exchangeable: bool

    @property
    def is_test(self) -> np.ndarray:
        """bool (n,)."""
        return np.arange(len(self.train_rows) + len(self.test_rows)) >= len(self.train_rows)


def sides(competition: Competition, train: pd.DataFrame, test: pd.DataFrame) -> Sides:
    """Draw a sample where a table is large, and find the groups of both tables.

    Test rows of a table without the column of groups are a group each.
    """
    train_rows, test_rows = _sample(len(train), "train"), _sample(len(test), "test")
    name = next((each for each in table_columns.group_columns(competition) if each in train), None)
    if name is None:
        return Sides(train_rows, test_rows, None, exchangeable=True)
    own = train[name].iloc[train_rows].astype(str).tolist()
    known = name in test
    others = test[name].iloc[test_rows].astype(str).tolist() if known else [f"test {at}" for at in test_rows]
    return Sides(train_rows, test_rows, np.array([*own, *others], dtype=object), exchangeable=known)


def _sample(rows: int, table: str) -> np.ndarray:
    if rows <= MOST_ROWS:
        return np.arange(rows)
    draw = np.random.default_rng(derive(0, "rows to compare", table))
    return np.sort(draw.choice(rows, MOST_ROWS, replace=False))


def measure(features: Features, rows: Sides, folds: Sequence[Fold], by: str) -> tuple[Comparison, np.ndarray]:
    """Compare the tables by some features; returns also the log-odds of every row to be a test row, float64 (n,).

    folds: of the whole train table. by: the features in words.

    Raises:
        GoldfoldError: `too_few_rows_to_compare`.
    """
    read = readable(features)
    found = classify(read, rows.is_test, rows.groups)
    separated = separation(read, found, rows.is_test, rows.groups, exchangeable=rows.exchangeable)
    listed = () if features.linear else tuple(_columns(features, rows, found))
    references = [each for fold in folds[:REFERENCES] if (each := _of_fold(read, rows, fold)) is not None]
    reference = float(np.mean(references)) if references else None
    return Comparison(by=by, separation=separated, folds_auroc=reference, columns=listed), found.scores


def _columns(features: Features, rows: Sides, found: Classified) -> list[columns.DriftingColumn]:
    groups = None if rows.groups is None else pd.Series(rows.groups)
    size = len(rows.is_test)
    independent = table_columns.one_per_group(groups, size)
    listed = columns.compare(features, found, rows.is_test, independent, table_columns.halves(groups, size))
    return listed if rows.exchangeable else [replace(each, p_value=None) for each in listed]


def _of_fold(features: Features, rows: Sides, fold: Fold) -> float | None:
    """AUROC between the validation and the training rows of a fold; None where they are too few.

    Validation rows lose their groups where test rows have none, so that both are told in the same way.
    """
    place = np.concatenate([_places(rows.train_rows, part) for part in (fold.train, fold.validation)])
    held_out = np.arange(len(place)) >= len(place) - len(_places(rows.train_rows, fold.validation))
    groups = None if rows.groups is None else rows.groups[place].copy()
    if groups is not None and not rows.exchangeable:
        groups[held_out] = [f"held out {at}" for at in range(int(held_out.sum()))]
    own = replace(features, values=features.values[place])
    try:
        return auroc(classify(own, held_out, groups), held_out)
    except GoldfoldError:
        return None


def _places(sampled: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Places of the wanted rows among the sampled ones."""
    return np.flatnonzero(np.isin(sampled, wanted))


def likeness(scores: np.ndarray, rows: Sides, train_ids: Sequence, test_ids: Sequence) -> pd.DataFrame:
    """A row per compared row, the most test-like first: table, id, likeness and weight.

    likeness: out-of-fold probability to be a test row if both tables were equally large, in (0, 1). weight: of train
    rows, the density ratio likeness / (1 - likeness) between 0.1 and 10, divided by its mean; NaN for test rows.
    """
    is_test = rows.is_test
    weights = np.where(is_test, np.nan, np.clip(np.exp(np.clip(scores, -50, 50)), LEAST, MOST))
    ids = [*(train_ids[at] for at in rows.train_rows), *(test_ids[at] for at in rows.test_rows)]
    found = pd.DataFrame(
        {
            "table": np.where(is_test, "test", "train"),
            "id": ids,
            "likeness": 1 / (1 + np.exp(-np.clip(scores, -50, 50))),
            "weight": weights / np.nanmean(weights),
        }
    )
    return found.iloc[np.argsort(-scores, kind="stable")].reset_index(drop=True)
