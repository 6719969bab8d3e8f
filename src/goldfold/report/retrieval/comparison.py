"""Page that compares the embeddings of two runs: changed queries, similarities, and spread of the embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pandas import DataFrame

from goldfold.io.files import write_bytes, write_text
from goldfold.io.formatting import number, relative_change
from goldfold.report.plotting.markdown import escaped, table
from goldfold.report.plotting.row_labels import labels
from goldfold.report.retrieval.similarities import histogram, median, overlap
from goldfold.report.retrieval.strips import Answer, Strip, strips
from goldfold.retrieval.cosines import SimilarityHistogram, concatenate_fits
from goldfold.retrieval.search import nearest
from goldfold.trust.comparisons import difference_text
from goldfold.trust.query_comparisons import Compared, QueryComparison
from goldfold.trust.retrieval_comparisons import (
    FoldEmbeddings,
    FoldPairs,
    coarse_bins,
    count_changes,
    histogram_overlap,
    improved_more,
    ks_distance,
    mean_change,
    single_query,
)

LISTED = 10  # queries of each table
SHOWN, ANSWERS = 5, 10  # queries of a picture, and answers of each
EXTREMES = {"improved": 1, "degraded": -1}
CAVEAT = (
    "Average precision of a query: mean of the precision at the rank of each right answer, answers left out (the query "
    "itself, its near-duplicates) not counted; mean over seeds. The interval is Student's t over folds, corrected for "
    "the training rows they share (Nadeau and Bengio, 2003); queries of one fold change together, so they are no units "
    "of a test. Cosines of two runs have scales of their own: a "
    "shift alone makes no answer better, a smaller overlap of right and wrong ones does."
)


def told(found: Compared) -> str:
    """A sentence on how many queries improved and degraded, whether more did the one, and the mean change."""
    counts = count_changes(found.queries["change"].to_numpy())
    return (
        f"{found.other} against {found.first}: average precision rose for {counts.improved:,} of "
        f"{len(found.queries):,} queries, fell for {counts.degraded:,}, stayed for {counts.unchanged:,} "
        f"({_improved_more(found)}); mean change {_mean_change(found)}"
    )


def page(found: Compared, pictures: Sequence[str], split: str = "") -> str:
    """The whole page as Markdown. pictures: names of the files beside it. split: from `page.of_first_split`."""
    parts = [
        f"# {found.other} against {found.first}{split}",
        told(found) + ".",
        _left_over(found),
        _by_fold(found),
        _similarities(found),
        _spread(found),
        *(_extreme(how, found) for how in EXTREMES),
        *(f"![{Path(file).stem}]({file})" for file in pictures),
        CAVEAT,
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def write(
    found: QueryComparison, targets: Sequence[str], folder: Path, *, private_images: bool, split: str
) -> list[Path]:
    """Write page, table and pictures of two runs into a folder; returns the files.

    targets: columns that are shown below an image. split: from `page.of_first_split`.
    """
    compared = found.compared
    pictures = {"similarities.png": histogram(drawn(compared))}
    for how in EXTREMES:
        (folder / f"{how}.png").unlink(missing_ok=True)  # of an earlier comparison of runs of these names
        picture = strips_of(
            compared, how, found.galleries, found.fits, targets, private_images=private_images, split=split
        )
        if picture:
            pictures[f"{how}.png"] = picture
    for file, picture in pictures.items():
        write_bytes(folder / file, picture)
    write_text(folder / "per_query.csv", per_query(compared).to_csv(index=False))
    write_text(folder / "comparison.md", page(compared, list(pictures), split))
    return [folder / file for file in ("comparison.md", "per_query.csv", *pictures)]


def per_query(found: Compared) -> DataFrame:
    """A row per query with a relevant row, the most improved first: each run's average precision, and the change."""
    return found.queries.drop(columns="query").rename(columns={"first": found.first, "other": found.other})


def _improved_more(found: Compared) -> str:
    """Improved minus degraded queries in percent of all, and what its interval says."""
    if not found.queries["change"].any():
        return "no query changed"
    more = improved_more(found.queries)
    edges = "one fold, no interval"
    if more.interval:
        low, high = (100 * edge for edge in more.interval)
        edges = f"95 % [{low:+.1f}, {high:+.1f}] over folds: {more.verdict}"
    return f"improved minus degraded {100 * more.mean:+.1f} % of queries, {edges}"


def _mean_change(found: Compared) -> str:
    return difference_text(mean_change(found.queries), bounds=(0, 1), level="95 % ")


def _left_over(found: Compared) -> str:
    return f"{found.unanswered:,} queries have no right answer and are not counted." if found.unanswered else ""


def _by_fold(found: Compared) -> str:
    rows = []
    for fold, own in found.queries.groupby("fold"):
        first, other, counts = own["first"].mean(), own["other"].mean(), count_changes(own["change"].to_numpy())
        change = f"{100 * (other - first):+.2f} pp"
        share = relative_change(other - first, first)
        relative = "" if share is None else f"{100 * share:+.1f} %"
        signed = (f"{count:,}" for count in (counts.improved, counts.degraded, counts.unchanged))
        rows.append([f"{fold}", f"{len(own):,}", number(first), number(other), change, relative, *signed])
    header = ["fold", "queries", found.first, found.other, "absolute", "relative", "better", "worse", "alike"]
    return f"## Mean average precision of each fold\n\n{table(header, rows)}"


def _similarities(found: Compared) -> str:
    """Tables of medians and overlaps in the bins of the picture, and of KS distances in finer bins."""
    fine = [look.similarities for look in found.looks]
    first, other = drawn(found).values()
    moved = []
    for side, word in (("relevant", "right"), ("irrelevant", "wrong")):
        counts = [getattr(each, side) for each in (first, other)]
        apart = ks_distance(*(getattr(each, side) for each in fine))
        medians = [f"{median(each, first.edges):.3f}" for each in counts]
        moved.append([f"{word} answers", *medians, f"{100 * histogram_overlap(*counts):.0f} %", f"{apart:.3f}"])
    header = ["cosine to the query", f"median, {found.first}", f"median, {found.other}", "overlap", "KS distance"]
    within = []
    for name, own, each in zip((found.first, found.other), (first, other), fine, strict=True):
        gap = median(own.relevant, own.edges) - median(own.irrelevant, own.edges)
        within.append(
            [name, f"{gap:+.3f}", f"{100 * overlap(own):.0f} %", f"{ks_distance(each.relevant, each.irrelevant):.3f}"]
        )
    told = table(["right against wrong answers of", "medians apart", "overlap", "KS distance"], within)
    return f"## Similarities\n\nOne run against the other:\n\n{table(header, moved)}\n\nWithin each run:\n\n{told}"


def drawn(found: Compared) -> dict[str, SimilarityHistogram]:
    """The similarities of both runs in the coarser bins of the picture."""
    fine = (look.similarities for look in found.looks)
    return coarse_bins(dict(zip((found.first, found.other), fine, strict=True)))


def _spread(found: Compared) -> str:
    rows = []
    for name, look in zip((found.first, found.other), found.looks, strict=True):
        own = look.spread
        share = f"{100 * own.spread / own.isotropic:.0f} %"
        rank = f"{own.effective_rank:.1f} of {own.dimensions}"
        rows.append([name, number(own.spread), number(own.isotropic), share, rank, f"{own.median_cosine:.4f}"])
    header = ["run", "spread", "isotropic, 1/√d", "share", "effective rank", "median cosine of pairs"]
    return f"## Spread of the embeddings\n\n{table(header, rows)}"


def _most(found: Compared, how: str) -> DataFrame:
    """The queries that improved or degraded, those with the largest change first."""
    changed = found.queries[EXTREMES[how] * found.queries["change"] > 0]
    return changed[:: EXTREMES[how]]


def _extreme(how: str, found: Compared) -> str:
    """Table of the queries with the largest change; empty if there is none."""
    rows = [
        [
            escaped(f"{row.id}"),
            f"{row.fold}",
            f"{row.right_answers:,} of {row.answers:,}",
            number(row.first),
            number(row.other),
            f"{100 * row.change:+.2f} pp",
        ]
        for row in _most(found, how).head(LISTED).itertuples()
    ]
    header = ["id", "fold", "right answers", found.first, found.other, "change"]
    return f"## The most {how} queries\n\n{table(header, rows)}" if rows else ""


def strips_of(
    found: Compared,
    how: str,
    galleries: Sequence[FoldPairs],
    fits: Sequence[Mapping[int, FoldEmbeddings]],
    targets: Sequence[str],
    *,
    private_images: bool,
    split: str = "",
) -> bytes | None:
    """A PNG of the queries with the largest change, each with its results by both runs; None without either.

    how: "improved" or "degraded". fits: embeddings of the first run and of the other, from `load_embeddings`. targets:
    columns that are shown below an image. split: from `page.of_first_split`.

    Raises:
        GoldfoldError: an image cannot be read.
    """
    queries, by_fold = _most(found, how).head(SHOWN), {each.fold: each for each in galleries}
    if queries.empty or "path" not in galleries[0].rows:
        return None
    rows = []
    for query in queries.itertuples():
        for name, own, precision in zip((found.first, found.other), fits, (query.first, query.other), strict=True):
            embeddings = concatenate_fits(np.stack(own[query.fold]))
            strip = _strip(by_fold[query.fold], query.query, embeddings, targets)
            rows.append(replace(strip, caption=f"{strip.caption}\n{name}\nAP {precision:.4f}"))
    title = f"The most {how} queries{split}: the answers of {found.first}, then those of {found.other}"
    return strips(title, rows, private_images=private_images)


def _strip(gallery: FoldPairs, query: int, embeddings: np.ndarray, targets: Sequence[str]) -> Strip:
    """One query and its results, each with its id and targets as caption."""
    pairs, paths = single_query(gallery.pairs, query), gallery.rows["path"].tolist()
    positions, similarities = (each[0].tolist() for each in nearest(pairs, embeddings, ANSWERS))
    right = dict(zip(pairs.gallery.tolist(), pairs.relevant(slice(0, 1))[0].tolist(), strict=True))

    words, ids = labels(gallery.rows, targets), gallery.rows["id"].tolist()

    def caption(position: int) -> str:
        return f"{ids[position]}\n{words[position]}"

    answers = [
        Answer(Path(paths[position]), caption(position), similarity, right[position])
        for position, similarity in zip(positions, similarities, strict=True)
        if position >= 0
    ]
    asks = int(pairs.queries[0])
    return Strip(Path(paths[asks]), caption(asks), answers)
