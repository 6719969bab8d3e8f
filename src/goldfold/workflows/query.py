"""Find the rows nearest to any image or to rows of the tables, by a finished run's embeddings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.data.fold_tables import folds_to_table
from goldfold.errors import GoldfoldError
from goldfold.experiment import embedding_search, views_and_seeds
from goldfold.experiment.embedding_search import Gallery, Query
from goldfold.experiment.fits import Experiment
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.setup import config_of_run, rebuild
from goldfold.experiment.workspace import Workspace
from goldfold.images import reading
from goldfold.io.files import write_bytes, write_text
from goldfold.io.formatting import count
from goldfold.io.seeding import derive
from goldfold.report.plotting import markdown
from goldfold.report.plotting.row_labels import labels
from goldfold.report.retrieval import answers
from goldfold.report.retrieval.answers import WORDS, Found
from goldfold.training.devices import choose_device
from goldfold.trust.audits.code import code_changed
from goldfold.workflows.conclude import add_findings

LONGEST = 120  # bytes of a file's name
COLUMNS = ("query", "rank", "id", "similarity", "label", "fold", "right", "note")


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What queries found; the same as files in the run's folder `queries`.

    queries: names of the images and ids of the rows. tables: a DataFrame for each of them, the nearest row first:
    query, rank, id, similarity (mean of the fits' cosines), label, fold, right ("right", "wrong", or "" where it is not
    known or not counted) and note. csv: all of them in one file. picture: None where the rows are no images.
    """

    run: str
    queries: tuple[str, ...]
    tables: tuple[DataFrame, ...]
    csv: Path
    picture: Path | None
    page: str

    @property
    def files(self) -> list[Path]:
        return [self.csv, *([self.picture] if self.picture else [])]

    @property
    def text(self) -> str:
        lines = [self.page, "", f"{self.csv}: {count(sum(map(len, self.tables)), 'answer')}"]
        return "\n".join([*lines, f"{self.picture}: their images"] if self.picture else lines)

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)


def query(
    workspace: Workspace,
    run: Path,
    images: Sequence[str | Path] = (),
    ids: Sequence[str] = (),
    *,
    top: int = 10,
    device: str | None = None,
    accept: Sequence[str] = (),
) -> Answers:
    """Find the rows nearest to images and to rows of the tables; nothing is trained.

    images: files of any mode and size. ids: of the train or of the test table. top: answers per query.

    Raises:
        GoldfoldError: nothing is asked, an image cannot be read, an id is unknown, the run predicts no embeddings, its
            weights are gone, or its code or data has changed since.
    """
    outside, ids = [Path(path) for path in images], [str(each) for each in ids]
    _check(workspace, run, outside, ids, top)
    found = _search(workspace, run, outside, ids, top, device, accept)
    place = run / "queries" / _file_name(found)
    tables = tuple(
        table.assign(query=each.name, right=table["right"].map(WORDS))[list(COLUMNS)]
        for each, table in zip(found.queries, found.tables, strict=True)
    )
    csv, picture = place.with_name(f"{place.name}.csv"), None
    write_text(csv, pd.concat(tables, ignore_index=True).to_csv(index=False))
    if "path" in found.gallery.rows:
        picture = place.with_name(f"{place.name}.png")
        write_bytes(picture, answers.picture(run_name(run), found))
    return Answers(
        run=run_name(run),
        queries=tuple(each.name for each in found.queries),
        tables=tables,
        csv=csv,
        picture=picture,
        page=answers.page(run_name(run), found),
    )


def _check(workspace: Workspace, run: Path, outside: Sequence[Path], ids: Sequence[str], top: int) -> None:
    """Refuse what cannot be asked, before anything is loaded."""
    config_of_run(workspace, run)
    embedding_search.check_metric(workspace.competition(run.parent.name))
    if not outside and not ids:
        raise GoldfoldError(
            "nothing_to_query",
            "a query is an image or an id and none is named: say IMAGE=path/to/any.jpg or IDS='id id'",
        )
    if top < 1:
        raise GoldfoldError("top_too_small", f"a query shows 1 answer or more and TOP is {top}: say TOP=10")
    try:
        for path in outside:
            reading.read(path)
    except GoldfoldError as error:
        what = str(error).partition(";")[0]
        message = f"{what}; IMAGE takes a PNG, JPEG, TIFF or WebP file of any mode"
        raise GoldfoldError("unreadable_image", message) from error


def _search(
    workspace: Workspace,
    run: Path,
    outside: Sequence[Path],
    ids: Sequence[str],
    top: int,
    device: str | None,
    accept: Sequence[str],
) -> Found:
    """Embed all rows, and images from elsewhere, by every fit of a run, and rank the rows for each query."""
    prepared, name = rebuild(workspace, run, choose_device(device), accept), run.parent.name
    experiment = prepared.experiment
    competition, train, test = experiment.competition, experiment.tables.train, experiment.tables.test
    if outside and "path" not in train:
        raise GoldfoldError(
            "rows_are_no_images",
            f"the rows of '{name}' are no images, so no image can be compared with them: say IDS= instead",
        )
    test = test if "path" in train and "path" in test else test.iloc[:0]
    rows = _rows(experiment, test)
    queries = _queries(rows, outside, ids, name)
    fits = views_and_seeds.load_fits(experiment, run)
    strangers = DataFrame({"id": [path.name for path in outside], "path": [path.resolve() for path in outside]})
    with closing(workspace.observer):
        parts = embedding_search.embed_tables(experiment, run, fits, [train, test, strangers])
    add_findings(workspace, run, code_changed(prepared.code_changes, "queries"))
    units = np.concatenate([part for part in parts if len(part)])
    retrieval = competition.metric.retrieval
    assert retrieval is not None, "check_metric refuses others"
    gallery = Gallery(rows, units, retrieval.pairs(train), competition.neighbors)
    tables = [embedding_search.nearest_rows(gallery, each, top) for each in queries]
    return Found(experiment, fits, gallery, queries, tables)


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
            raise embedding_search.no_such_id(each, places, f"rows of '{name}'")
    strangers = [Query(path.name, path, len(rows) + place) for place, path in enumerate(outside)]
    paths = rows["path"] if "path" in rows else [None] * len(rows)
    return strangers + [Query(each, paths[places[each]], places[each]) for each in dict.fromkeys(ids)]


def _file_name(found: Found) -> str:
    """Their names behind each other, without what no file system takes; cut, and told apart by a hash, where long."""
    inside = len(found.gallery.rows)
    joined = "+".join(each.name if each.position < inside else Path(each.name).stem for each in found.queries)
    plain = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "-", joined)
    if len(plain.encode()) <= LONGEST:
        return plain
    return f"{plain.encode()[:LONGEST].decode(errors='ignore')}-{derive(joined):08x}"
