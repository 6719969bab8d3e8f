"""Tell test rows from train rows by a cross-validated classifier: AUROC, its interval, and a permutation p-value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from goldfold import metrics
from goldfold.competition import Fold
from goldfold.data.folds import stratified, stratified_grouped
from goldfold.errors import GoldfoldError
from goldfold.experiment.intervals import limits
from goldfold.experiment.intervals.jackknife import ScoredRows, sampling
from goldfold.io.seeding import derive
from goldfold.trust.associations import bins, ranks
from goldfold.trust.drift.features import Features

FOLDS = 5
FEWEST = 5  # rows or groups of either table, below which nothing can be judged
PERMUTATIONS = 19  # refits with permuted labels
TREES = {"max_iter": 30, "max_leaf_nodes": 6, "learning_rate": 0.1, "early_stopping": False, "random_state": 0}
LEAF = 20  # most rows that a leaf must have
STRENGTH = 0.01  # inverse L2 penalty of the linear model of standardized embeddings


@dataclass(frozen=True, eq=False)
class Classified:
    """Out-of-fold predictions of whether a row is a test row.

    scores: float64 (n,), log-odds where both tables had equally many rows. folds: of the classifier. models: one per
    fold, fitted on the others.
    """

    scores: np.ndarray
    folds: tuple[Fold, ...]
    models: tuple[Any, ...]


@dataclass(frozen=True)
class Separation:
    """How well test rows are told from train rows.

    auroc: mean over the classifier's folds. interval: 95 %; None where rows or groups are too few. p_value: one-sided,
    see `permutation_p_value`; None where rows of the tables cannot be exchanged.
    """

    auroc: float
    interval: tuple[float, float] | None
    p_value: float | None


def readable(features: Features) -> Features:
    """Features as the trees read them: quantile intervals of all rows, which costs a third of sorting in each fit.

    Embeddings stay as they are. No label is used.
    """
    if features.linear:
        return features
    rows, number = np.arange(len(features.values)), len(features.names)
    columns = [bins(features.values[:, at], rows, bool(features.is_category[at])) for at in range(number)]
    return replace(features, values=np.stack(columns, axis=1).astype(np.float64))


def classify(features: Features, is_test: np.ndarray, groups: np.ndarray | None, seed: int = 0) -> Classified:
    """Fit the classifier on all folds but one, for each fold.

    Gradient-boosted trees (scikit-learn's HistGradientBoostingClassifier), or logistic regression of standardized
    embeddings. Both weight train and test rows equally in sum. features: `readable` ones.
    is_test: bool (n,). groups: (n,), rows of one group are in one fold; None: none.

    Raises:
        GoldfoldError: `too_few_rows_to_compare`.
    """
    folds = _folds(is_test, groups, seed)
    scores, models = np.empty(len(is_test)), []
    for fold in folds:
        label = is_test[fold.train]
        model = _model(features, int(min(label.sum(), (~label).sum()))).fit(features.values[fold.train], label)
        scores[fold.validation] = model.decision_function(features.values[fold.validation])
        models.append(model)
    return Classified(scores, tuple(folds), tuple(models))


def _model(features: Features, rarer: int) -> Any:
    """A classifier that is not fitted. rarer: rows of the smaller table; a leaf of 20 could not part ten of them."""
    if not features.linear:
        from sklearn.ensemble import HistGradientBoostingClassifier

        leaf, codes = max(2, min(LEAF, rarer // 3)), features.is_category
        options = {"class_weight": "balanced", "categorical_features": codes, "min_samples_leaf": leaf}
        return HistGradientBoostingClassifier(**options, **TREES)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=500))


def _folds(is_test: np.ndarray, groups: np.ndarray | None, seed: int) -> Sequence[Fold]:
    """As many folds as both tables have rows or groups for, five at most."""
    labels = np.where(is_test, "test", "train")
    units = np.arange(len(labels)) if groups is None else groups
    fewest = min(len(set(units[labels == name].tolist())) for name in ("train", "test"))
    if fewest < FEWEST:
        what = "rows" if groups is None else "groups"
        raise GoldfoldError(
            "too_few_rows_to_compare",
            f"the smaller table has {fewest} {what}, and a classifier that tells test from train rows needs {FEWEST}: "
            "look at these rows by eye",
        )
    if groups is None:
        return stratified(labels.tolist(), folds=FOLDS, seed=seed)
    for folds in range(FOLDS, 1, -1):
        try:
            return stratified_grouped(labels.tolist(), groups.tolist(), folds=folds, seed=seed)
        except GoldfoldError:
            continue
    raise GoldfoldError(
        "too_few_rows_to_compare",
        f"the {fewest} groups of the smaller table cannot be divided into two folds that both hold rows of both "
        "tables: declare finer groups",
    )


def separation(
    features: Features, found: Classified, is_test: np.ndarray, groups: np.ndarray | None, *, exchangeable: bool = True
) -> Separation:
    """AUROC and interval of out-of-fold predictions, and the p-value by refits with permuted labels.

    exchangeable: whether rows, or groups, of both tables could be exchanged; otherwise there is no p-value.
    """
    metric, parts = metrics.auroc("test"), []
    for fold in found.folds:
        rows = pd.DataFrame({"test": is_test[fold.validation].astype(int)})
        own = None if groups is None else groups[fold.validation]
        parts.append(ScoredRows(rows, [found.scores[fold.validation]], own))
    scores = [metric.score(part.rows, part.predictions[0]) for part in parts]
    rarest = int(min(is_test.sum(), (~is_test).sum()))
    interval = limits.of_mean(scores, (0.0, 1.0), sampling(metric, parts, rarest))
    edges = None if interval is None else (interval[0], interval[1])
    p_value = permutation_p_value(features, float(np.mean(scores)), is_test, groups) if exchangeable else None
    return Separation(float(np.mean(scores)), edges, p_value)


def auroc(found: Classified, is_test: np.ndarray) -> float:
    """Mean AUROC over the classifier's folds."""
    rows = [fold.validation for fold in found.folds]
    return float(np.mean([area(found.scores[each], is_test[each]) for each in rows]))


def area(scores: np.ndarray, is_test: np.ndarray) -> float:
    """AUROC of scores float (n,) for labels bool (n,), ties counting one half; both labels must be there."""
    ones = int(is_test.sum())
    return float((ranks(scores)[is_test].sum() - ones * (ones + 1) / 2) / (ones * (len(scores) - ones)))


def permutation_p_value(features: Features, score: float, is_test: np.ndarray, groups: np.ndarray | None) -> float:
    """One-sided p-value of a score among those of classifiers that are fitted on permuted labels.

    Out-of-fold scores alone cannot be permuted: the folds share training rows, so that their mean AUROC varies about
    1.3 times as much as that of fixed scores (sd, in 80 random divisions of 225 rows). 19 refits estimate its mean and
    standard deviation; the p-value is that of Student's t with 18 degrees of freedom (a normal fit to few permutations:
    Winkler et al., Faster permutation inference in brain imaging, 2016).
    """
    from scipy import stats

    draw, null = np.random.default_rng(derive(0, "permuted tables")), []
    units = np.arange(len(is_test))
    if groups is not None:
        units = pd.factorize(pd.Series(groups).astype(str) + np.where(is_test, "/test", "/train"))[0]
    label_of_unit = np.empty(units.max() + 1, bool)
    label_of_unit[units] = is_test
    for number in range(PERMUTATIONS):
        permuted = draw.permutation(label_of_unit)[units]
        null.append(auroc(classify(features, permuted, groups, seed=number + 1), permuted))
    spread = float(np.std(null, ddof=1)) * np.sqrt(1 + 1 / PERMUTATIONS)
    return float(stats.t.sf((score - np.mean(null)) / max(spread, 1e-9), PERMUTATIONS - 1))
