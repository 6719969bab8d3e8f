"""Metrics of re-identification: mAP by trapezoids, and any metric of retrieval as the mean over query/gallery splits.

Rank-k of a cumulative match characteristic is `hit_at`. With one relevant gallery row per query, mAP is the MRR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from goldfold.competition import Metric
from goldfold.metrics.retrieval import per_query
from goldfold.optional_parts import MetricOptions, Pairs, Retrieval
from goldfold.retrieval import random_ranking

if TYPE_CHECKING:
    from pandas import DataFrame

    PairsOf = Callable[[DataFrame], Pairs]

Part = TypeVar("Part")


def map_trapezoid(pairs: PairsOf, *, protocol: str) -> Metric:
    """mAP by trapezoids: the area under precision over recall, each step with the mean of both its precisions.

    Range: [0, 1], higher is better. Chance: (expected mAP over all ranks + R / G) / 2, for R relevant among G rows.
    Ties: irrelevant rows rank first. Empty classes: queries without a relevant row are left out.

    A query with one relevant row scores 1 at rank 1 and 1 / (2 r) at rank r > 1, where mAP over all ranks gives 1 / r.
    Source: Philbin et al. 2007; the public evaluation of MBA-Net (Baisa et al. 2022) on hands computes it.
    """
    return per_query(
        "mAP (by trapezoids)",
        pairs,
        protocol,
        lambda found: found.average_precision_trapezoid,
        lambda r, g: (random_ranking.expected_precision_sum(r, g, g) / r + r / g) / 2,
    )


def over_splits(
    metric: Callable[..., Metric], splits: Callable[[DataFrame, int], Pairs], count: int, *, name: str, protocol: str
) -> Metric:
    """A metric of retrieval as the mean over several query/gallery splits of the same rows.

    Range: that of the metric. Chance: the mean of the chance levels of the splits.
    Ties: as in the metric. Empty classes: as in the metric, split by split.

    metric: (pairs, protocol=...) -> Metric, such as `mean_average_precision` or a partial of `hit_at`. splits: (rows,
    number of a split from 0) -> its pairs. name: what the metric, the gallery and the definition are.
    """
    each = [metric(_pairs_of(splits, number), protocol=protocol) for number in range(count)]
    first = each[0].retrieval
    assert first is not None, "a metric of retrieval has pairs"

    def of_splits(rows: DataFrame, predictions: np.ndarray) -> dict[str, float]:
        return {str(number): one.score(rows, predictions) for number, one in enumerate(each)}

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        drawn = [_required(one.options.resampled)(rows, predictions) for one in each]
        return lambda index: float(np.mean([of(index) for of in drawn]))

    def row_error(rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
        return np.mean([_required(one.options.row_error)(rows, predictions) for one in each], axis=0)

    def best_possible(rows: DataFrame) -> float:
        return float(np.mean([_required(_required(one.retrieval).best_possible)(rows) for one in each]))

    return replace(
        each[0],
        name=name,
        score=lambda rows, predictions: float(np.mean(list(of_splits(rows, predictions).values()))),
        chance=lambda rows: float(np.mean([one.chance(rows) for one in each])),
        retrieval=Retrieval(
            pairs=first.pairs,
            protocol=f"{first.protocol}, mean of {count} splits",
            best_possible=best_possible if first.best_possible else None,
            splits=of_splits,
        ),
        options=MetricOptions(resampled=resampled, row_error=row_error),
    )


@lru_cache(maxsize=256)  # one function for all metrics of a split, since ranks are cached by it
def _pairs_of(splits: Callable[[DataFrame, int], Pairs], number: int) -> PairsOf:
    return lambda rows: splits(rows, number)


def _required(part: Part | None) -> Part:
    assert part is not None, "metrics of retrieval have all of these parts"
    return part
