"""Compare runs of embeddings query by query, on the rows that both held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame

from goldfold.competition import Competition, Tables
from goldfold.data import tables
from goldfold.experiment.run_folders import run_name
from goldfold.io.files import read_json
from goldfold.retrieval.pairs import count_relevant
from goldfold.trust.audits import Finding, merge_places
from goldfold.trust.retrieval_comparisons import (
    FoldEmbeddings,
    FoldPairs,
    RetrievalResult,
    evaluate,
    load_embeddings,
    pairs_by_fold,
    query_changes,
)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two runs, by name, and what each makes of the same queries.

    queries: as `retrieval_comparisons.changes` gives them. unanswered: queries without a right answer.
    """

    first: str
    other: str
    looks: tuple[RetrievalResult, RetrievalResult]
    queries: DataFrame
    unanswered: int


@dataclass(frozen=True, kw_only=True)
class QueryComparison:
    """A comparison of two runs, and the rows and embeddings it was made of.

    galleries: of every fold. fits: of the first run and of the other, fold -> embeddings.
    """

    compared: Compared
    galleries: Sequence[FoldPairs]
    fits: tuple[Mapping[int, FoldEmbeddings], Mapping[int, FoldEmbeddings]]


def other_data(competition: Competition, data: Tables, folders: Sequence[Path]) -> list[Finding]:
    """An error that names the runs trained on other data than `data`, whose queries cannot be found again."""
    contents = (tables.content_hashes(rows, competition.targets) for rows in (data.train, data.test))
    now = tables.data_hash(data, *contents)
    message = (
        "it was trained on other data than what is prepared now, so its queries cannot be looked at: train it again"
    )
    changed = (each for each in folders if read_json(each / "reproduce.json").get("data_hash") != now)
    return merge_places(Finding("other_data", "error", message, run_name(folder)) for folder in changed)


def compare_queries(competition: Competition, data: Tables, folders: Sequence[Path]) -> Iterator[QueryComparison]:
    """Compare the first run with each of the others, query by query.

    data: what the runs were trained on.

    Raises:
        GoldfoldError: the data has other ids than a run, or embeddings are missing or no embeddings.
    """
    retrieval = competition.metric.retrieval
    assert retrieval is not None, "queries are those of a metric of retrieval"
    first, *others = folders
    scored = set.intersection(
        *(set(next(iter(read_json(each / "metrics.json").values()))["folds"]) for each in folders)
    )
    galleries = [each for each in pairs_by_fold(first, data.train, retrieval.pairs) if str(each.fold) in scored]
    unanswered = sum(count_relevant(each.pairs).queries_without_relevant for each in galleries)
    first_fits = _fits(first, galleries)
    first_look = evaluate(galleries, first_fits)
    for other in others:
        fits = _fits(other, galleries)
        looks = first_look, evaluate(galleries, fits)
        queries = query_changes(galleries, *looks)
        compared = Compared(first=first.name, other=other.name, looks=looks, queries=queries, unanswered=unanswered)
        yield QueryComparison(compared=compared, galleries=galleries, fits=(first_fits, fits))


def _fits(run: Path, galleries: Sequence[FoldPairs]) -> dict[int, FoldEmbeddings]:
    return load_embeddings(run, [each.fold for each in galleries], read_json(run / "config.json")["seeds"])
