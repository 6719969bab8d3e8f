"""Compare two runs of embeddings query by query: changes of average precision, similarities and spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pandas import DataFrame, concat, read_csv

from goldfold.data.fold_tables import folds_from_table
from goldfold.experiment.fits import fit_folder
from goldfold.io.files import read_array, read_json
from goldfold.nn import collapse
from goldfold.optional_parts import Pairs
from goldfold.retrieval.cosines import SimilarityHistogram, normalize, similarity_histogram
from goldfold.retrieval.exact_ranks import average_precisions
from goldfold.retrieval.pairs import count_relevant
from goldfold.trust.comparisons import Difference, difference

FINE_BINS = 2000  # of cosine similarity, 0.001 wide: nearly collapsed embeddings differ in the third decimal
STEPS = (20, 10, 5, 2, 1)  # fine bins in one bin of a picture
FILLED = 20  # bins of a picture that should be filled
SPREAD_ROWS = 1000  # rows of a fold that spread is measured on, since it needs the cosines of all pairs

FoldEmbeddings = Sequence[np.ndarray]  # the embeddings (n, d) of a fold's rows, one array per seed


@dataclass(frozen=True)
class FoldPairs:
    """The scored rows of one fold, with `id`, and their queries, gallery and relevance."""

    fold: int
    rows: DataFrame
    pairs: Pairs


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpread:
    """How much of their space a run's normalized embeddings use, mean over fits; see `collapse.FeatureStatistics`."""

    dimensions: int
    spread: float
    isotropic: float
    effective_rank: float
    median_cosine: float


@dataclass(frozen=True, kw_only=True)
class RetrievalResult:
    """How a run retrieves over all folds.

    precisions: fold -> each query's average precision, mean over seeds; NaN without any relevant gallery row.
        similarities: of all queries of all fits, in 2,000 bins.
    """

    precisions: Mapping[int, np.ndarray]
    similarities: SimilarityHistogram
    spread: EmbeddingSpread


@dataclass(frozen=True)
class ChangedQueries:
    """How many queries improved, degraded and stayed the same."""

    improved: int
    degraded: int
    unchanged: int


def pairs_by_fold(run: Path, train: DataFrame, pairs: Callable[[DataFrame], Pairs]) -> list[FoldPairs]:
    """Return the pairs of every fold that a finished run scored.

    train: the train table the run was made with. pairs: of the metric.

    Raises:
        GoldfoldError: the table has other ids than the run.
    """
    drawn = read_csv(run / "folds.csv", dtype=str, keep_default_na=False, encoding="utf-8")
    folds = folds_from_table(drawn, train["id"])
    scored = map(int, next(iter(read_json(run / "metrics.json").values()))["folds"])
    rows = {number: train.iloc[folds[number].validation].reset_index(drop=True) for number in scored}
    return [FoldPairs(number, own, pairs(own)) for number, own in rows.items()]


def load_embeddings(run: Path, folds: Sequence[int], seeds: Sequence[int]) -> dict[int, FoldEmbeddings]:
    """Load the embeddings of a finished run: fold -> its validation rows' embeddings, one array per seed."""
    return {fold: [read_array(fit_folder(run, fold, seed) / "validation.npy") for seed in seeds] for fold in folds}


def evaluate(folds: Sequence[FoldPairs], fits: Mapping[int, FoldEmbeddings]) -> RetrievalResult:
    """Evaluate the embeddings of a run on its folds.

    fits: fold -> embeddings (n, d) of its rows, one array per seed.
    """
    precisions = {
        each.fold: np.mean([average_precisions(each.pairs, own) for own in fits[each.fold]], axis=0) for each in folds
    }
    found = [similarity_histogram(each.pairs, own, FINE_BINS) for each in folds for own in fits[each.fold]]
    relevant = np.sum([one.relevant for one in found], axis=0)
    irrelevant = np.sum([one.irrelevant for one in found], axis=0)
    return RetrievalResult(
        precisions=precisions,
        similarities=SimilarityHistogram(found[0].edges, relevant, irrelevant),
        spread=_spread([own for each in folds for own in fits[each.fold]]),
    )


def _spread(fits: FoldEmbeddings) -> EmbeddingSpread:
    """Mean spread over fits, each measured on at most 1,000 rows, the same rows for every run."""
    found = []
    for own in fits:
        rows = np.random.default_rng(0).permutation(len(own))[:SPREAD_ROWS]
        found.append(collapse.measure_features(normalize(own[rows])))
    names = ("spread", "isotropic", "effective_rank", "median_cosine")
    means = {name: float(np.mean([getattr(each, name) for each in found])) for name in names}
    return EmbeddingSpread(dimensions=fits[0].shape[1], **means)


def query_changes(folds: Sequence[FoldPairs], first: RetrievalResult, other: RetrievalResult) -> DataFrame:
    """Compare two runs query by query; one row per query with a relevant gallery row, the most improved first.

    Columns: fold, query (index in the fold's queries), id, right_answers (relevant gallery rows), answers (gallery
        rows), first and other (their average precisions), change (other - first).
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


def count_changes(change: np.ndarray) -> ChangedQueries:
    """Count the queries by the sign of their change; change: (q,) floats, other - first."""
    improved, degraded = int((change > 0).sum()), int((change < 0).sum())
    return ChangedQueries(improved, degraded, len(change) - improved - degraded)


def improved_more(queries: DataFrame) -> Difference:
    """The share of queries that improved minus that of those that degraded, as a mean over folds with its interval.

    Queries of one fold share a model and often a recording or class, so they change together: a sign test that takes
    them as independent called one in six pairs of equal models different. Here folds are the units, paired as in
    `comparisons.difference`.

    queries: the frame of `query_changes`.
    """
    shares = np.sign(queries["change"]).groupby(queries["fold"]).mean()
    nothing = {"folds": dict.fromkeys(shares.index, 0.0), "mean": 0.0}
    return difference({"folds": shares.to_dict(), "mean": float(shares.mean()), "higher_is_better": True}, nothing)


def mean_change(queries: DataFrame) -> Difference:
    """The mean change of average precision, paired over folds as in `comparisons.difference`.

    queries: the frame of `query_changes`.
    """
    by_fold = queries.groupby("fold")[["first", "other"]].mean()
    first, other = (
        {"folds": by_fold[side].to_dict(), "mean": float(by_fold[side].mean()), "higher_is_better": True}
        for side in ("first", "other")
    )
    return difference(other, first)


def ks_distance(first: np.ndarray, other: np.ndarray) -> float:
    """The Kolmogorov-Smirnov distance of two histograms, in [0, 1]; NaN if one is empty.

    It is the largest difference of their cumulative shares at the edges of the bins. first, other: (bins,) counts in
    the same bins.
    """
    if not first.any() or not other.any():
        return math.nan
    return float(np.abs(np.cumsum(first / first.sum() - other / other.sum())).max())


def histogram_overlap(first: np.ndarray, other: np.ndarray) -> float:
    """The area that two histograms share, in [0, 1], 1 if they are equal; NaN if one is empty.

    first, other: (bins,) counts in the same bins. Sparse histograms overlap little, so use wide bins.
    """
    if not first.any() or not other.any():
        return math.nan
    return float(np.minimum(first / first.sum(), other / other.sum()).sum())


def coarse_bins(found: Mapping[str, SimilarityHistogram]) -> dict[str, SimilarityHistogram]:
    """Merge bins for pictures: 0.02 wide if the similarities then fill enough of them, narrower otherwise."""
    filled = np.flatnonzero(sum(each.relevant + each.irrelevant for each in found.values()))
    span = filled[-1] - filled[0] + 1 if len(filled) else FINE_BINS
    step = next(step for step in STEPS if span >= FILLED * step or step == STEPS[-1])
    return {
        name: SimilarityHistogram(
            each.edges[::step], *(_merged(counts, step) for counts in (each.relevant, each.irrelevant))
        )
        for name, each in found.items()
    }


def _merged(counts: np.ndarray, step: int) -> np.ndarray:
    return counts.reshape(-1, step).sum(axis=1)


def single_query(pairs: Pairs, query: int) -> Pairs:
    """`pairs` with the query at index `query` as the only one."""

    def of(part: Callable[[slice], np.ndarray]) -> Callable[[slice], np.ndarray]:
        return lambda asked: part(slice(query, query + 1))[asked]

    return Pairs(
        queries=pairs.queries[query : query + 1],
        gallery=pairs.gallery,
        relevant=of(pairs.relevant),
        left_out=of(pairs.left_out),
    )
