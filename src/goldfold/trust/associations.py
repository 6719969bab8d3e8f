"""How strongly one column tells another: exact effect sizes with the p-value that no association has.

Everything is computed on ranks and counts, a column at a time: O(n log n) for n rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 32  # of a column of numbers, equal shares of the rows
FEWEST = 5  # rows of a class on the judged half, below which the class is not judged


class Association(NamedTuple):
    """An effect size with its p-value.

    strength: AUROC of classes in [0.5, 1], or |Spearman's rho| of numbers in [0, 1]. p_value: two-sided, in [0, 1].
    """

    strength: float
    p_value: float


NONE = Association(0.0, 1.0)


def ranks(values: np.ndarray) -> np.ndarray:
    """Mid-ranks from 1 of float64 (n,); missing values come first, equal to one another."""
    from scipy import stats

    return stats.rankdata(np.where(np.isnan(values), -np.inf, values))


def auroc(ranked: np.ndarray, positive: np.ndarray) -> Association:
    """AUROC of mid-ranks, mirrored to at least 0.5, with the normal p-value of Mann and Whitney, corrected for ties.

    ranked: (n,). positive: bool (n,).
    """
    from scipy import stats

    n, ones = len(ranked), int(positive.sum())
    pairs = ones * (n - ones)
    if not pairs:
        return NONE
    area = (ranked[positive].sum() - ones * (ones + 1) / 2) / pairs
    counts = np.unique(ranked, return_counts=True)[1].astype(float)
    variance = pairs / 12 * (n + 1 - (counts**3 - counts).sum() / (n * (n - 1)))
    if variance <= 0:
        return NONE
    z = abs(area - 0.5) * pairs / np.sqrt(variance)
    return Association(max(area, 1 - area), float(2 * stats.norm.sf(z)))


def spearman(first: np.ndarray, second: np.ndarray) -> Association:
    """|Spearman's rho| of two mid-ranks (n,), with Fisher's p-value (variance 1.06 / (n - 3), Fieller 1957)."""
    from scipy import stats

    n = len(first)
    if n < 4 or not first.std() or not second.std():
        return NONE
    rho = abs(float(np.corrcoef(first, second)[0, 1]))
    z = np.arctanh(min(rho, 1 - 1e-12)) * np.sqrt((n - 3) / 1.06)
    return Association(rho, float(2 * stats.norm.sf(z)))


def bins(values: np.ndarray, fitted: np.ndarray, categories: bool) -> np.ndarray:
    """Bins of a column, int64 (n,): its categories, or quantiles of the rows `fitted`; bin 0 is that of missing values.

    values: float64 (n,), codes from 0 if `categories`, NaN where missing. fitted: row positions.
    """
    missing = np.isnan(values)
    if categories:
        return np.where(missing, 0, values + 1).astype(np.int64)
    known = values[fitted][~missing[fitted]]
    if not len(known):
        return np.where(missing, 0, 1)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
    return np.where(missing, 0, np.searchsorted(edges, values, "right") + 1)


def class_told(binned: np.ndarray, classes: np.ndarray, halves: tuple[np.ndarray, np.ndarray]) -> Association:
    """How well the bins of a column tell classes: learned on the first half of the rows, judged on the second.

    binned: int64 (n,). classes: int64 (n,), codes from 0. The strength is the mean over classes of the AUROC of a class
    against the others, and the p-value that of the class least surely told.
    """
    learned, judged = halves
    if not len(learned):
        return NONE
    size, number = int(binned.max()) + 1, int(classes.max()) + 1
    share = _counts(binned[learned], classes[learned], size, number)
    rows = _counts(binned[judged], classes[judged], size, number)
    prior = share.sum(0) / len(learned)
    share = (share + prior) / (share.sum(1, keepdims=True) + 1)
    total = rows.sum(1)
    found = [_auroc_of_counts(share[:, at], rows[:, at], total) for at in range(number) if rows[:, at].sum() >= FEWEST]
    if len(found) < 2:
        return NONE
    return Association(float(np.mean([one.strength for one in found])), max(one.p_value for one in found))


def number_told(binned: np.ndarray, target: np.ndarray, halves: tuple[np.ndarray, np.ndarray]) -> Association:
    """How well the mean of each bin, learned on the first half, orders the numbers of the second half."""
    learned, judged = halves
    if not len(learned):
        return NONE
    size = int(binned.max()) + 1
    rows = np.bincount(binned[learned], minlength=size)
    sums = np.bincount(binned[learned], target[learned], minlength=size)
    mean = (sums + target[learned].mean()) / (rows + 1)
    return spearman(ranks(mean[binned[judged]]), ranks(target[judged]))


def _counts(binned: np.ndarray, classes: np.ndarray, size: int, number: int) -> np.ndarray:
    """Rows of each bin and class, float64 (size, number)."""
    return np.bincount(binned * number + classes, minlength=size * number).reshape(size, number).astype(float)


def _auroc_of_counts(score: np.ndarray, positive: np.ndarray, total: np.ndarray) -> Association:
    """AUROC of scored bins, not mirrored, since its direction was learned; p-value as in `auroc`."""
    from scipy import stats

    _, level = np.unique(score, return_inverse=True)
    ones, every = np.bincount(level, positive), np.bincount(level, total)
    zeros = every - ones
    pairs, n = ones.sum() * zeros.sum(), every.sum()
    if not pairs:
        return NONE
    area = (ones * (np.cumsum(zeros) - zeros / 2)).sum() / pairs
    variance = pairs / 12 * (n + 1 - (every**3 - every).sum() / (n * (n - 1)))
    if variance <= 0:
        return NONE
    return Association(float(area), float(stats.norm.sf((area - 0.5) * pairs / np.sqrt(variance))))


def drifted(train: np.ndarray, test: np.ndarray, categories: bool) -> Association:
    """How far apart a column's distributions in two tables are, in [0, 1].

    Numbers: the statistic of Kolmogorov and Smirnov, missing values below all others. Categories: the total variation
    distance, tested by chi-squared with categories of fewer than 10 rows together.
    """
    from scipy import stats

    if min(len(train), len(test)) < 4:
        return NONE
    first, second = (np.where(np.isnan(part), -1 if categories else -np.inf, part) for part in (train, test))
    if not categories:
        found = stats.ks_2samp(first, second, method="asymp")
        return Association(float(found.statistic), float(found.pvalue))
    _, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    size = int(codes.max()) + 1
    table = np.stack([np.bincount(part, minlength=size) for part in (codes[: len(first)], codes[len(first) :])])
    few = table.sum(0) < 10
    table = np.column_stack([table[:, ~few], table[:, few].sum(1)]) if few.any() else table
    if table.shape[1] < 2:
        return NONE
    apart = np.abs(table[0] / len(first) - table[1] / len(second)).sum() / 2
    return Association(float(apart), float(stats.chi2_contingency(table, correction=False).pvalue))
