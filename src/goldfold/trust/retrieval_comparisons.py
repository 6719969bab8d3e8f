"""Two runs of embeddings query by query: whose retrieval got better or worse, and how far their similarities moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pandas import DataFrame, concat, read_csv

from goldfold.data import folds as splits
from goldfold.experiment.fits import fit_folder
from goldfold.io.files import read_array, read_json
from goldfold.nn import collapse
from goldfold.optional_parts import Pairs
from goldfold.retrieval.cosines import SimilarityHistogram, normalize, similarity_histogram
from goldfold.retrieval.exact_ranks import average_precisions
from goldfold.retrieval.pairs import count_relevant
from goldfold.trust.comparisons import Difference, difference

FINE = 2000  # bins of a similarity, 0.001 wide: nearly collapsed embeddings differ in the third decimal
STEPS = (20, 10, 5, 2, 1)  # of them in one bin of a picture
SEEN = 20  # bins of a picture that are to be filled
LOOKED_AT = 1000  # rows of a fold that spread is measured on, since it takes the cosines of all their pairs

Fits = Sequence[np.ndarray]  # the embeddings (n, d) of a fold's rows, one array a seed


@dataclass(frozen=True)
class Gallery:
    """The rows of one fold that are scored, with `id`, and who asks and answers among them."""

    fold: int
    rows: DataFrame
    pairs: Pairs


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much of their space a run's embeddings use: mean over its fits of `collapse.FeatureStatistics`."""

    dimensions: int
    spread: float
    isotropic: float
    effective_rank: float
    median_cosine: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a run makes of all folds.

    precisions: fold -> each query's average precision, mean over seeds, nan where it has no right answer.
    similarities: of all queries of all fits, in 2,000 bins.
    """

    precisions: Mapping[int, np.ndarray]
    similarities: SimilarityHistogram
    spread: Spread


@dataclass(frozen=True)
class Signs:
    """How many queries changed in which direction.

    p: of the exact two-sided sign test (binomial, unchanged ones left out). It takes queries as independent, which
    frames of one recording are not.
    """

    improved: int
    degraded: int
    unchanged: int
    p: float


def galleries_of(run: Path, train: DataFrame, pairs: Callable[[DataFrame], Pairs]) -> list[Gallery]:
    """The rows of every fold that a finished run scored; `train` is the table it was made with, `pairs` its metric's.

    Raises:
        GoldfoldError: the table has other ids than the run.
    """
    drawn = read_csv(run / "folds.csv", dtype=str, keep_default_na=False, encoding="utf-8")
    folds = splits.folds_from_frame(drawn, train["id"])
    scored = map(int, next(iter(read_json(run / "metrics.json").values()))["folds"])
    rows = {number: train.iloc[folds[number].validation].reset_index(drop=True) for number in scored}
    return [Gallery(number, own, pairs(own)) for number, own in rows.items()]


def fits_of(run: Path, folds: Sequence[int], seeds: Sequence[int]) -> dict[int, Fits]:
    """What a finished run's fits predicted: fold -> its validation rows' embeddings, one array for each seed."""
    return {fold: [read_array(fit_folder(run, fold, seed) / "validation.npy") for seed in seeds] for fold in folds}


def look(folds: Sequence[Gallery], fits: Mapping[int, Fits]) -> Look:
    """fits: fold -> its rows' embeddings (n, d), one array for each seed."""
    precisions = {
        each.fold: np.mean([average_precisions(each.pairs, own) for own in fits[each.fold]], axis=0) for each in folds
    }
    found = [similarity_histogram(each.pairs, own, FINE) for each in folds for own in fits[each.fold]]
    relevant = np.sum([one.relevant for one in found], axis=0)
    irrelevant = np.sum([one.irrelevant for one in found], axis=0)
    return Look(
        precisions=precisions,
        similarities=SimilarityHistogram(found[0].edges, relevant, irrelevant),
        spread=_spread([own for each in folds for own in fits[each.fold]]),
    )


def _spread(fits: Fits) -> Spread:
    """Of at most 1,000 rows of each fit, the same of every run."""
    found = []
    for own in fits:
        rows = np.random.default_rng(0).permutation(len(own))[:LOOKED_AT]
        found.append(collapse.measure_features(normalize(own[rows])))
    names = ("spread", "isotropic", "effective_rank", "median_cosine")
    means = {name: float(np.mean([getattr(each, name) for each in found])) for name in names}
    return Spread(dimensions=fits[0].shape[1], **means)


def changes(folds: Sequence[Gallery], first: Look, other: Look) -> DataFrame:
    """A row for each query that has a right answer, the most improved first.

    Columns: fold, query (its place among the fold's), id, right_answers, answers, first and other (their average
    precisions), change (other - first).
    """
    parts = []
    for each in folds:
        count = count_relevant(each.pairs)
        parts.append(
            DataFrame(
                {
                    "fold": each.fold,
                    "query": np.arange(len(each.pairs.queries)),
                    "id": each.rows["id"].to_numpy()[each.pairs.queries],
                    "right_answers": count.relevant,
                    "answers": count.gallery,
                    "first": first.precisions[each.fold],
                    "other": other.precisions[each.fold],
                }
            )
        )
    found = concat(parts, ignore_index=True).dropna(subset=["first", "other"])
    found["change"] = found["other"] - found["first"]
    return found.sort_values("change", ascending=False, kind="stable", ignore_index=True)


def signs(change: np.ndarray) -> Signs:
    """change: (q,) floats, other - first."""
    from scipy import stats

    improved, degraded = int((change > 0).sum()), int((change < 0).sum())
    changed = improved + degraded
    p = float(stats.binomtest(improved, changed).pvalue) if changed else 1.0
    return Signs(improved, degraded, len(change) - changed, p)


def mean_change(queries: DataFrame) -> Difference:
    """The mean change of average precision, paired over folds as `comparisons.difference` has it.

    queries: as `changes` gives them.
    """
    by_fold = queries.groupby("fold")[["first", "other"]].mean()
    first, other = (
        {"folds": by_fold[side].to_dict(), "mean": float(by_fold[side].mean()), "higher_is_better": True}
        for side in ("first", "other")
    )
    return difference(other, first)


def distance(first: np.ndarray, other: np.ndarray) -> float:
    """Kolmogorov and Smirnov's, in [0, 1]: the largest difference of two cumulative shares; nan where one is empty.

    first, other: (bins,) counts in the same bins, at whose edges alone it looks.
    """
    if not first.any() or not other.any():
        return math.nan
    return float(np.abs(np.cumsum(first / first.sum() - other / other.sum())).max())


def common(first: np.ndarray, other: np.ndarray) -> float:
    """The share that two histograms of one area have in common, 1 where they are equal; nan where one is empty.

    first, other: (bins,) counts in the same bins; sparse ones have little in common, so take wide bins.
    """
    if not first.any() or not other.any():
        return math.nan
    return float(np.minimum(first / first.sum(), other / other.sum()).sum())


def to_draw(found: Mapping[str, SimilarityHistogram]) -> dict[str, SimilarityHistogram]:
    """The same in wider bins, 0.02 wide where similarities differ enough to fill some of them; narrower if not."""
    filled = np.flatnonzero(sum(each.relevant + each.irrelevant for each in found.values()))
    span = filled[-1] - filled[0] + 1 if len(filled) else FINE
    step = next(step for step in STEPS if span >= SEEN * step or step == STEPS[-1])
    return {
        name: SimilarityHistogram(
            each.edges[::step], *(_wider(counts, step) for counts in (each.relevant, each.irrelevant))
        )
        for name, each in found.items()
    }


def _wider(counts: np.ndarray, step: int) -> np.ndarray:
    return counts.reshape(-1, step).sum(axis=1)


def alone(pairs: Pairs, query: int) -> Pairs:
    """`pairs` with the query at place `query` as the only one that asks."""

    def of(part: Callable[[slice], np.ndarray]) -> Callable[[slice], np.ndarray]:
        return lambda asked: part(slice(query, query + 1))[asked]

    return Pairs(
        queries=pairs.queries[query : query + 1],
        gallery=pairs.gallery,
        relevant=of(pairs.relevant),
        left_out=of(pairs.left_out),
    )
