"""Ask a finished run about any image or about rows of the tables: nearest rows by embeddings, or tags and codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from goldfold.competition import Competition, Recipe
from goldfold.data.fold_tables import folds_to_table
from goldfold.errors import GoldfoldError
from goldfold.experiment import code_index, views_and_seeds
from goldfold.experiment.fits import Experiment
from goldfold.experiment.queries import asked as asking
from goldfold.experiment.queries.asked import Asked, Query
from goldfold.experiment.run_folders import THRESHOLDS, run_name
from goldfold.experiment.setup import config_of_run, rebuild
from goldfold.experiment.workspace import Workspace
from goldfold.images import reading
from goldfold.io.files import read_array, read_json, write_bytes, write_text
from goldfold.io.formatting import count
from goldfold.io.seeding import derive
from goldfold.optional_parts import LabelColumns
from goldfold.report.plotting import markdown
from goldfold.report.plotting.row_labels import label_sets, labels
from goldfold.report.retrieval import answers, tag_answers
from goldfold.report.retrieval.reply import Reply
from goldfold.training.devices import choose_device
from goldfold.trust.audits.code import code_changed
from goldfold.workflows.conclude import add_findings

LONGEST = 120  # bytes of a file's name


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What queries found; the same as files in the run's folder `queries`.

    queries: names of the images and ids of the rows. tables: a DataFrame for each of them, the nearest row first; empty
    for a run without embeddings and codes. Of embeddings: query, rank, id, similarity (mean of the fits' cosines),
    label, fold, right ("right", "wrong", or "" where it is not known or not counted) and note. Of codes: query, rank,
    id, distance (mean over the fits that answer), label, shared (number of labels, "" where those of the query are
    hidden), fold and note. tags: a DataFrame for each query, the first five labels by each source: query, source,
    rank, label, score, threshold and true; empty for a run of embeddings. files: path -> what it holds, in words; no
    picture where the rows are no images.
    """

    run: str
    queries: tuple[str, ...]
    tables: tuple[DataFrame, ...]
    tags: tuple[DataFrame, ...]
    files: Mapping[Path, str]
    page: str

    @property
    def text(self) -> str:
        return "\n".join([self.page, "", *(f"{path}: {what}" for path, what in self.files.items())])

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
    text: str | None = None,
    top: int | None = None,
    device: str | None = None,
    accept: Sequence[str] = (),
) -> Answers:
    """Find the rows nearest to images and to rows of the tables, and their tags; nothing is trained.

    images: files of any mode and size. ids: of the train or of the test table. text: of the images, for a run that
    reads texts. top: nearest rows per query; None: 10, or all of fewer.

    Raises:
        GoldfoldError: nothing is asked, an image cannot be read, an id is unknown, the run predicts neither embeddings
            nor labels, its weights are gone, or its code or data has changed since.
    """
    outside, ids = [Path(path) for path in images], [str(each) for each in ids]
    answer = _check(workspace, run, outside, ids, top)
    asked = _asked(workspace, run, outside, ids, text, top, device, accept)
    with closing(workspace.observer):
        reply = answer(asked, run_name(run))
    place = run / "queries" / _file_name(asked)
    files = {}
    for end, tables, what in ((".csv", reply.nearest, "answer"), (".tags.csv", reply.tags, "tag")):
        if tables:
            whole = pd.concat(tables, ignore_index=True)
            files[place.with_name(place.name + end)] = count(len(whole), what)
            write_text(place.with_name(place.name + end), whole.to_csv(index=False))
    if "path" in asked.rows:
        picture = place.with_name(f"{place.name}.png")
        write_bytes(picture, reply.picture())
        files[picture] = "their images"
    return Answers(
        run=run_name(run),
        queries=tuple(each.name for each in asked.queries),
        tables=tuple(reply.nearest),
        tags=tuple(reply.tags),
        files=files,
        page=reply.page,
    )


def _check(
    workspace: Workspace, run: Path, outside: Sequence[Path], ids: Sequence[str], top: int | None
) -> Callable[[Asked, str], Reply]:
    """Refuse what cannot be asked, before anything is loaded; returns what answers queries to this run."""
    config, competition = config_of_run(workspace, run), workspace.competition(run.parent.name)
    answer = _answering(run, competition, competition.recipes[config.recipe])
    if not outside and not ids:
        raise GoldfoldError(
            "nothing_to_query",
            "a query is an image or an id and none is named: say IMAGE=path/to/any.jpg or IDS='id id'",
        )
    if top is not None and top < 1:
        raise GoldfoldError("top_too_small", f"a query shows 1 answer or more and TOP is {top}: say TOP=10")
    try:
        for path in outside:
            reading.read(path)
    except GoldfoldError as error:
        what = str(error).partition(";")[0]
        message = f"{what}; IMAGE takes a PNG, JPEG, TIFF or WebP file of any mode"
        raise GoldfoldError("unreadable_image", message) from error
    return answer


def _answering(run: Path, competition: Competition, recipe: Recipe) -> Callable[[Asked, str], Reply]:
    """The function that answers queries to a run, by what its recipe predicts."""
    if competition.metric.retrieval is not None:
        return answers.answer
    if recipe.labels is not None:
        kept = read_json(run / THRESHOLDS, dict)["thresholds"] if (run / THRESHOLDS).exists() else {}
        return lambda asked, title: tag_answers.answer(asked, title, kept)
    predictions = read_array(run / "oof.npy")
    held = f"records of {', '.join(predictions.dtype.names)}" if predictions.dtype.names else f"{predictions.dtype}"
    raise GoldfoldError(
        "nothing_to_answer",
        f"run '{run_name(run)}' predicts {held} of shape {predictions.shape}, neither embeddings nor probabilities of "
        "labels, which a query needs: look at single rows with `make epochs` or at its oof.npy",
    )


def _asked(
    workspace: Workspace,
    run: Path,
    outside: Sequence[Path],
    ids: Sequence[str],
    text: str | None,
    top: int | None,
    device: str | None,
    accept: Sequence[str],
) -> Asked:
    """The experiment of a run with its fits, the rows of both tables and the queries among them."""
    prepared, name = rebuild(workspace, run, choose_device(device), accept), run.parent.name
    experiment = prepared.experiment
    train, test = experiment.tables.train, experiment.tables.test
    if outside and "path" not in train:
        raise GoldfoldError(
            "rows_are_no_images",
            f"the rows of '{name}' are no images, so no image can be compared with them: say IDS= instead",
        )
    asking.check_text(experiment, text)
    texts = dict.fromkeys(asking.text_columns(experiment), text or "")
    images = DataFrame({"id": [path.name for path in outside], "path": [path.resolve() for path in outside]})
    test = test if "path" not in train or "path" in test else test.iloc[:0]
    rows = _rows(experiment, test)
    asked = Asked(
        experiment=experiment,
        run=run,
        fits=views_and_seeds.load_fits(experiment, run),
        rows=rows,
        test=test,
        images=images.assign(**texts),
        text=(text or "") if texts else None,
        queries=_queries(rows, outside, ids, name),
        top=top,
    )
    add_findings(workspace, run, code_changed(prepared.code_changes, "queries"))
    return asked


def _rows(experiment: Experiment, test: DataFrame) -> DataFrame:
    """Both tables with `label`, "test" where it is hidden, and `fold`, whose validation rows they are of, if any's."""
    competition, train = experiment.competition, experiment.tables.train
    folds = folds_to_table(train["id"], experiment.folds)["fold"].astype(object).replace(-1, "-").to_numpy()
    known = train.assign(label=_labels(experiment), fold=folds)
    rows = pd.concat([known, test.assign(label="test", fold="-")], ignore_index=True)
    beside = (competition.neighbors.sequence, competition.neighbors.time) if competition.neighbors else ()
    return rows[[name for name in dict.fromkeys(["id", "path", "label", "fold", *beside]) if name in rows]]


def _labels(experiment: Experiment) -> Sequence[str]:
    """The known labels of the train rows as text: all of several, else the first target."""
    declared, train = experiment.recipe.labels, experiment.tables.train
    if isinstance(declared, LabelColumns):
        return label_sets(declared.columns, code_index.label_matrix(train, declared, None))
    return labels(train, experiment.competition.targets[:1])


def _queries(rows: DataFrame, outside: Sequence[Path], ids: Sequence[str], name: str) -> list[Query]:
    """Images from elsewhere, then rows; of two rows with one id that of the train table is meant."""
    places = {str(each): place for place, each in reversed(list(enumerate(rows["id"])))}
    for each in ids:
        if each not in places:
            raise asking.no_such_id(each, places, f"rows of '{name}'")
    strangers = [Query(path.name, path, len(rows) + place) for place, path in enumerate(outside)]
    paths = rows["path"] if "path" in rows else [None] * len(rows)
    return strangers + [Query(each, paths[places[each]], places[each]) for each in dict.fromkeys(ids)]


def _file_name(asked: Asked) -> str:
    """Their names behind each other, without what no file system takes; cut, and told apart by a hash, where long."""
    joined = "+".join(Path(each.name).stem if asked.from_elsewhere(each) else each.name for each in asked.queries)
    plain = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "-", joined)
    if len(plain.encode()) <= LONGEST:
        return plain
    return f"{plain.encode()[:LONGEST].decode(errors='ignore')}-{derive(joined):08x}"
