"""Which columns tell test rows from train rows: each column's own AUROC, and its importance to the classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldfold.io.seeding import derive
from goldfold.trust import associations
from goldfold.trust.drift.classifier import Classified, area, readable
from goldfold.trust.drift.features import Features

MOST_SHUFFLED = 40  # columns whose importance is measured: those with the largest AUROC of their own


@dataclass(frozen=True)
class DriftingColumn:
    """A column as it tells test rows from train rows.

    auroc: of this column alone, 0.5 at chance. p_value: two-sided, after Bonferroni's correction for all columns, in
    [0, 1]; None where rows of the tables cannot be exchanged. importance: AUROC that the classifier loses where the
    column is shuffled, mean over folds; None if it was not measured.
    """

    name: str
    auroc: float
    p_value: float | None
    importance: float | None = None


def compare(
    features: Features,
    found: Classified,
    is_test: np.ndarray,
    rows: np.ndarray,
    halves: tuple[np.ndarray, np.ndarray],
) -> list[DriftingColumn]:
    """All columns, those that tell the tables apart most surely first.

    A column's own AUROC is the larger of two: of its values in their order (Mann and Whitney), and of intervals or
    categories whose share of test rows is learned on one half of the rows and judged on the other, which finds a wider
    spread or other categories.

    rows: positions of rows that are independent of one another. halves: positions without a common group.
    """
    own = [_own(features, at, is_test, rows, halves) for at in range(len(features.names))]
    tests = 2 * max(1, len(own))
    order = sorted(range(len(own)), key=lambda at: (own[at].p_value, -own[at].strength, at))
    read = readable(features)
    lost = {at: _importance(read, found, is_test, at) for at in order[:MOST_SHUFFLED]}
    return [
        DriftingColumn(
            name=features.names[at],
            auroc=max(0.5, float(own[at].strength)),
            p_value=min(1.0, float(own[at].p_value) * tests),
            importance=lost.get(at),
        )
        for at in order
    ]


def _own(
    features: Features, at: int, is_test: np.ndarray, rows: np.ndarray, halves: tuple[np.ndarray, np.ndarray]
) -> associations.Association:
    values, category = features.values[:, at], bool(features.is_category[at])
    binned = associations.bins(values, halves[0], category)
    learned = associations.class_told(binned, is_test.astype(np.int64), halves)
    if category:
        return learned
    ordered = associations.auroc(associations.ranks(values[rows]), is_test[rows])
    return min(learned, ordered, key=lambda one: (one.p_value, -one.strength))


def _importance(features: Features, found: Classified, is_test: np.ndarray, at: int) -> float:
    """Mean over folds of the AUROC lost where the values of a column are permuted between validation rows."""
    draw, lost = np.random.default_rng(derive(0, "importance", features.names[at])), []
    for fold, model in zip(found.folds, found.models, strict=True):
        values, label = features.values[fold.validation], is_test[fold.validation]
        values[:, at] = draw.permutation(values[:, at])
        lost.append(area(found.scores[fold.validation], label) - area(model.decision_function(values), label))
    return float(np.mean(lost))
