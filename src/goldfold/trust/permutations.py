"""Permutation test of any score: predictions exchanged between rows, so that they know nothing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldfold.optional_parts import PermutationTest

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Metric

DRAWS, DRAWS_OF_MAPS = 999, 99
MANY = 30  # rows of the rarest class from which no test is sampled, since luck no longer explains a good score


def permutation_test(metric: Metric, rows: DataFrame, predictions: np.ndarray, smallest: int) -> PermutationTest | None:
    """The metric's own permutation test, else the sampled one of its score.

    The sampled p-value is (1 + draws that score at least as well) / (1 + draws), at least .001, or .01 for predicted
    maps. It treats rows as exchangeable.

    smallest: rows of the rarest class; None is returned from `MANY` on, for a metric without a test of its own.
    """
    if metric.options.p_value:
        return metric.options.p_value(rows, predictions)
    if smallest >= MANY:
        return None
    generator, sign = np.random.default_rng(0), 1 if metric.higher_is_better else -1
    reached, draws = sign * metric.score(rows, predictions), DRAWS if predictions.ndim < 3 else DRAWS_OF_MAPS
    drawn = [sign * metric.score(rows, predictions[generator.permutation(len(rows))]) for _ in range(draws)]
    return PermutationTest((1 + sum(each >= reached for each in drawn)) / (1 + draws), smallest)
