"""`query`: what a run's embeddings find for any image or for rows of the tables, and what these numbers mean."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from goldfold.cli.progress import Bar
from goldfold.data.fold_tables import folds_to_table
from goldfold.errors import GoldfoldError
from goldfold.experiment import embeddings, views_and_seeds, workspace
from goldfold.experiment import run_folders as runs
from goldfold.experiment.embeddings import Gallery, Query
from goldfold.experiment.fits import Experiment, Fit
from goldfold.experiment.setup import again, code_changed, config_of
from goldfold.images import reading as images
from goldfold.io.files import write_bytes, write_text
from goldfold.io.formatting import count
from goldfold.io.seeding import derive
from goldfold.nn import collapse
from goldfold.report.plotting import markdown
from goldfold.report.plotting.row_labels import labels
from goldfold.report.retrieval.strips import Answer, Strip, strips
from goldfold.workflows.conclude import note
from goldfold.workflows.train import device_of

DRAWN = 500  # rows whose pairs are measured for collapse
HAIR, NEAR = 0.01, 0.98  # answers whose cosines span less, and are all above
LONGEST = 120  # bytes of a file's name
WORDS = {1: "right", 0: "wrong", -1: ""}
COLUMNS = ("query", "rank", "id", "similarity", "label", "fold", "right", "note")


@dataclass(frozen=True)
class Found:
    """What a run's fits make of all rows and of the images from elsewhere, and who asks."""

    experiment: Experiment
    fits: Sequence[Fit]
    gallery: Gallery
    queries: Sequence[Query]


def run(arguments: Namespace) -> None:
    folder = runs.find(workspace.RUNS, arguments.run)
    outside, ids = [Path(path) for path in arguments.image or ()], list(arguments.ids or ())
    _check(folder, outside, ids, arguments.top)
    found = search(folder, outside, ids, arguments.device, arguments.quiet, arguments.accept)
    tables = [embeddings.answers(found.gallery, query, arguments.top) for query in found.queries]
    print("\n".join(page(runs.run_name(folder), found, tables)))
    print("\n" + "\n".join(_write(folder, found, tables)))


def _check(run: Path, outside: Sequence[Path], ids: Sequence[str], top: int) -> None:
    """Refuse what cannot be asked, before anything is loaded."""
    config_of(run)
    embeddings.check(workspace.competition(run.parent.name))
    if not outside and not ids:
        raise GoldfoldError("a query is an image or an id and none is named: say IMAGE=path/to/any.jpg or IDS='id id'")
    if top < 1:
        raise GoldfoldError(f"a query shows 1 answer or more and TOP is {top}: say TOP=10")
    try:
        for path in outside:
            images.read(path)
    except GoldfoldError as error:
        what = str(error).partition(";")[0]
        raise GoldfoldError(f"{what}; IMAGE takes a PNG, JPEG, TIFF or WebP file of any mode") from error


def search(
    run: Path, outside: Sequence[Path], ids: Sequence[str], device: str | None, quiet: bool, accept: Sequence[str]
) -> Found:
    """Embed all rows, and images from elsewhere, by every fit of a run.

    Raises:
        GoldfoldError: an unknown id, weights that are gone, or code or data that changed since.
    """
    found, name = again(run, device_of(device), accept), run.parent.name
    experiment = found.experiment
    competition, train, test = experiment.competition, experiment.tables.train, experiment.tables.test
    if outside and "path" not in train:
        raise GoldfoldError(f"the rows of '{name}' are no images, so that no image can ask for them: say IDS= instead")
    test = test if "path" in train and "path" in test else test.iloc[:0]
    queries = _queries(rows := _rows(experiment, test), outside, ids, name)
    bar = Bar(1, competition.metric.name, quiet)
    experiment = replace(experiment, runtime=replace(experiment.runtime, progress=bar.work))
    fits = views_and_seeds.fits_in(experiment, run)
    strangers = DataFrame({"id": [path.name for path in outside], "path": [path.resolve() for path in outside]})
    parts = embeddings.of_tables(experiment, run, fits, [train, test, strangers])
    bar.close()
    note(run, code_changed(found.code_changes, "queries"))
    units = np.concatenate([part for part in parts if len(part)])
    gallery = Gallery(rows, units, competition.metric.retrieval.pairs(train), competition.neighbors)
    return Found(experiment, fits, gallery, queries)


def _rows(experiment: Experiment, test: DataFrame) -> DataFrame:
    """Both tables with `label`, "test" where it is hidden, and `fold`, whose validation rows they are of, if any's."""
    competition, train = experiment.competition, experiment.tables.train
    folds = folds_to_table(train["id"], experiment.folds)["fold"].astype(object).replace(-1, "-").to_numpy()
    known = train.assign(label=labels(train, competition.targets[:1]), fold=folds)
    rows = pd.concat([known, test.assign(label="test", fold="-")], ignore_index=True)
    beside = (competition.neighbors.sequence, competition.neighbors.time) if competition.neighbors else ()
    return rows[[name for name in dict.fromkeys(["id", "path", "label", "fold", *beside]) if name in rows]]


def _queries(rows: DataFrame, outside: Sequence[Path], ids: Sequence[str], name: str) -> list[Query]:
    """Images from elsewhere, then rows; of two rows with one id that of the train table is meant."""
    places = {str(each): place for place, each in reversed(list(enumerate(rows["id"])))}
    for each in ids:
        if each not in places:
            raise embeddings.no_such_id(each, places, f"rows of '{name}'")
    strangers = [Query(path.name, path, len(rows) + place) for place, path in enumerate(outside)]
    paths = rows["path"] if "path" in rows else [None] * len(rows)
    return strangers + [Query(each, paths[places[each]], places[each]) for each in dict.fromkeys(ids)]


def page(title: str, found: Found, tables: Sequence[DataFrame]) -> list[str]:
    """The lines that are printed: each query with its answers, and what their numbers mean.

    tables: as `embeddings.answers` makes them, one a query.
    """
    gallery, seen = found.gallery, embeddings.trained_on(found.experiment, found.fits)
    often = seen.sum(axis=0)
    times = " to ".join(dict.fromkeys([str(often.min()), str(often.max())]))
    can = f"{title}: {len(gallery.rows):,} rows can be found by the mean cosine of {count(len(found.fits), 'fit')}"
    known = f"each train row was trained on by {times} of {len(seen)}, so that rows seem more alike than they are"
    lines = [can, known]
    drawn = np.random.default_rng(0).permutation(len(gallery.rows))[:DRAWN]
    cosine = collapse.of_features(gallery.units[drawn]).median_cosine
    reference = embeddings.highest_of_rows(gallery) if len(gallery.units) > len(gallery.rows) else np.empty(0)
    for query, table in zip(found.queries, tables, strict=True):
        lines += ["", _asks(found, query, seen), _table(table)]
        lines += [_right(found, query, table), *_standing(found, query, reference), *_alike(table, cosine)]
    return lines


def _asks(found: Found, query: Query, seen: np.ndarray) -> str:
    """Who asks, and which fits know it from their training."""
    if query.position >= len(found.gallery.rows):
        return f"query {query.name}: an image from elsewhere"
    row = found.gallery.rows.iloc[query.position]
    if query.position >= seen.shape[1]:
        return f"query {query.name}: a row of the test table, trained on by no fit"
    folds = sorted({fit.fold for fit, own in zip(found.fits, seen, strict=True) if own[query.position]})
    told = f"the fits of folds {', '.join(map(str, folds))} trained on it" if folds else "trained on by no fit"
    return f"query {query.name}: {row['label']}, validated in fold {row['fold']}; {told}"


def _table(table: DataFrame) -> str:
    header = ["rank", "id", "similarity", "label", "fold", "right", "note"]
    shown = table.assign(similarity=table["similarity"].map("{:.4f}".format), right=table["right"].map(WORDS))
    return markdown.table(header, shown[header].astype(str).to_numpy().tolist(), left=len(header))


def _right(found: Found, query: Query, table: DataFrame) -> str:
    """How many of as many answers as the table has, but of those that count, are right, beside what chance gives."""
    right, _ = embeddings.verdicts(found.gallery, query)
    if not (right >= 0).any():
        return f"right or wrong is known of no answer: {_why_unknown(found, query)}"
    ranked = embeddings.answers(found.gallery, query, len(right))
    first = ranked[ranked["right"] >= 0].head(len(table))
    share = len(first) * (right == 1).sum() / (right >= 0).sum()
    told = f"{(first['right'] == 1).sum()} of the first {len(first)} that count, ranks {first['rank'].iloc[0]} to "
    told += f"{first['rank'].iloc[-1]}, are right; at random {share:.1f} would be"
    notes = table.loc[table["right"] == -1, "note"].replace("", "of hidden label").value_counts()
    others = ", ".join(f"{times} {note}" for note, times in notes.items())
    return f"{told}; shown and not counted: {others}" if others else told


def _why_unknown(found: Found, query: Query) -> str:
    if query.position >= len(found.gallery.rows):
        return "an image from elsewhere has no label here"
    if query.position >= len(found.experiment.tables.train):
        return "labels of the test table are hidden"
    asks = query.position in found.gallery.pairs.queries
    return "the metric leaves all of them out" if asks else "the metric lets this row answer and not ask"


def _standing(found: Found, query: Query, reference: np.ndarray) -> list[str]:
    """Where an image from elsewhere stands among the rows, by the cosine of its best answer.

    reference: as `embeddings.highest_of_rows` has it.
    """
    if query.position < len(found.gallery.rows) or not len(reference):
        return []
    own = embeddings.highest(found.gallery, query)
    below = 100 * float((reference < own).mean())
    told = (
        f"its best answer in the train table, {own:.4f}, is above {below:.0f} % of the best answers of the "
        f"{len(reference):,} rows that ask there (median {np.median(reference):.4f})"
    )
    return [f"{told}: little here is like it, so that its ranks are of the least unlike" if below < 5 else told]


def _alike(table: DataFrame, cosine: float) -> list[str]:
    """A warning where the order of the answers says nothing. cosine: the median of all pairs of rows."""
    low, high = table["similarity"].min(), table["similarity"].max()
    within = f"these {len(table)} answers lie between {low:.4f} and {high:.4f}"
    if cosine > collapse.PARALLEL:
        return [
            f"warning  embedding_collapse: {within}, and so nearly does everything: the median cosine of all pairs of "
            f"rows is {cosine:.4f}, above {collapse.PARALLEL:g}, and ranks say nothing"
        ]
    if len(table) > 1 and low > NEAR and high - low < HAIR:
        return [f"note  near_copies: {within}, within a hair, and their order says little"]
    return []


def _write(run: Path, found: Found, tables: Sequence[DataFrame]) -> list[str]:
    """Write all answers as a CSV, and as a picture where they are images; returns a line for each file."""
    place = run / "queries" / _file_name(found)
    named = [table.assign(query=query.name) for query, table in zip(found.queries, tables, strict=True)]
    csv = pd.concat(named, ignore_index=True).replace({"right": WORDS})[list(COLUMNS)]
    write_text(path := place.with_name(f"{place.name}.csv"), csv.to_csv(index=False))
    lines = [f"{path}: {count(len(csv), 'answer')}"]
    if "path" in found.gallery.rows:
        rows = [_strip(found, query, table) for query, table in zip(found.queries, tables, strict=True)]
        title = f"{runs.run_name(run)}: what {count(len(rows), 'query', 'queries')} found"
        write_bytes(path := place.with_name(f"{place.name}.png"), strips(title, rows))
        lines.append(f"{path}: their images")
    return lines


def _file_name(found: Found) -> str:
    """Their names behind each other, without what no file system takes; cut, and told apart by a hash, where long."""
    inside = len(found.gallery.rows)
    joined = "+".join(each.name if each.position < inside else Path(each.name).stem for each in found.queries)
    plain = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "-", joined)
    if len(plain.encode()) <= LONGEST:
        return plain
    return f"{plain.encode()[:LONGEST].decode(errors='ignore')}-{derive(joined):08x}"


def _strip(found: Found, query: Query, table: DataFrame) -> Strip:
    rows, verdict = found.gallery.rows, {1: True, 0: False, -1: None}
    place = _place(rows.iloc[query.position]) if query.position < len(rows) else "from elsewhere"
    shown = [
        Answer(row["path"], f"{row['id']}\n{_place(row)}\n{row['note']}", row["similarity"], verdict[row["right"]])
        for _, row in table.iterrows()
    ]
    return Strip(query.path, f"{query.name}\n{place}", shown)


def _place(row: Series) -> str:
    return row["label"] if row["fold"] == "-" else f"{row['label']}, fold {row['fold']}"
