"""Queries to a finished run: images from elsewhere and rows of the tables, and the models that answer them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from pandas import DataFrame

from goldfold.data import neighbors
from goldfold.errors import GoldfoldError
from goldfold.experiment import views_and_seeds
from goldfold.experiment.fits import Experiment, Fit
from goldfold.images.reading import content_hash
from goldfold.optional_parts import Neighbors
from goldfold.params import Role, values
from goldfold.training.predictor import Predictor

SHOWN = 10  # answers to a query by default, or all of fewer
NEAR_DUPLICATE, LEFT_OUT, SAME_FILE = "near-duplicate", "left out by the metric", "the same file"
QUERY_ONLY = "not in the gallery"


@dataclass(frozen=True)
class Query:
    """A query: its name, its image if it is one, and its position among the rows, then the images from elsewhere."""

    name: str
    path: Path | None
    position: int


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Queries to the fits of a run.

    rows: of the train table, then of the test table, with `id`, `label` ("test" where it is hidden), `fold` ("-"
        without one), `path` if they are images, and the columns of `neighbors`.
    test, images: rows of the test table and images from elsewhere, with the columns that the recipe reads.
    text: of these images; None if no text is read.
    top: answers to each query; None: `SHOWN`, or all of fewer.
    """

    experiment: Experiment
    run: Path
    fits: Sequence[Fit]
    rows: DataFrame
    test: DataFrame
    images: DataFrame
    text: str | None
    queries: Sequence[Query]
    top: int | None

    @property
    def train(self) -> DataFrame:
        return self.experiment.tables.train

    def of_train(self, query: Query) -> bool:
        """Whether a query is a row of the train table."""
        return query.position < len(self.train)

    def from_elsewhere(self, query: Query) -> bool:
        """Whether a query is an image from elsewhere."""
        return query.position >= len(self.rows)

    def table_row(self, query: Query) -> DataFrame:
        """The query as a table of one row, with the columns that the recipe reads."""
        table = self.train if self.of_train(query) else self.images if self.from_elsewhere(query) else self.test
        start = 0 if self.of_train(query) else len(self.rows) if self.from_elsewhere(query) else len(self.train)
        at = query.position - start
        return table.iloc[at : at + 1].reset_index(drop=True)

    def shown(self, rows: int) -> int:
        """How many of the first `rows` of `rows`, the index, each query is shown.

        Raises:
            GoldfoldError: `top_too_large`, they are fewer; a row is never an answer to itself.
        """
        most = rows - any(query.position < rows for query in self.queries)
        if self.top is not None and self.top > most:
            raise GoldfoldError(
                "top_too_large",
                f"TOP is {self.top} and {most} other rows can be found: say TOP={most}, or leave it out",
            )
        return min(SHOWN, most) if self.top is None else self.top


def check_text(experiment: Experiment, text: str | None) -> None:
    """Refuse a text for images that no recipe reads."""
    if text is not None and not text_columns(experiment):
        raise GoldfoldError(
            "text_not_read",
            f"the run reads no text, and TEXT is {text!r}: leave TEXT out, or query a run with a text tower",
        )


def text_columns(experiment: Experiment) -> list[str]:
    """The columns of texts that the recipe reads."""
    return [column for column in values(experiment.params, Role.TEXT).values() if column]


def each_fit(asked: Asked, what: str) -> list[tuple[Fit, Callable[[], Predictor]]]:
    """Every fit, and a function that reports progress and loads its predictor."""

    def load(done: int, fit: Fit) -> Predictor:
        asked.experiment.runtime.progress(f"{what}, fits", done, len(asked.fits))
        return views_and_seeds.predictor_of(asked.experiment, asked.run, fit)[0]

    return [(fit, partial(load, done, fit)) for done, fit in enumerate(asked.fits)]


def predicted(predict: Callable[[DataFrame], np.ndarray], rows: DataFrame) -> np.ndarray:
    """What a predictor makes of rows.

    Raises:
        GoldfoldError: `rows_lack_column`, the recipe reads a column that images from elsewhere do not have.
    """
    try:
        return predict(rows)
    except KeyError as error:
        if error.args[0] in rows:
            raise
        raise GoldfoldError(
            "rows_lack_column",
            f"the recipe reads column {error}, and {len(rows)} of the rows, {rows['id'].iloc[0]!r} first, have only "
            f"{', '.join(map(str, rows.columns))}: query by ids of the tables instead",
        ) from error


def trained_rows(experiment: Experiment, fits: Sequence[Fit]) -> np.ndarray:
    """Which fit was trained on which row of the train table: bool (fits, train rows)."""
    seen = np.zeros((len(fits), len(experiment.tables.train)), bool)
    for own, fit in zip(seen, fits, strict=True):
        own[experiment.folds[fit.fold].train] = True
    return seen


def near_duplicates(rows: DataFrame, position: int, close: Neighbors | None) -> np.ndarray:
    """Which rows are near-duplicates of the one at `position`, bool (n,): same sequence, times within the guard.

    The row itself is not one. No row is one if `close` is None.
    """
    if close is None:
        return np.zeros(len(rows), bool)
    return neighbors.of_table(rows, close).near_duplicates(close.guard, position)


def same_file(query: Query, answers: DataFrame) -> np.ndarray:
    """Which answers are the very file that asks, bool (n,)."""
    if query.path is None or "path" not in answers:
        return np.zeros(len(answers), bool)
    own = content_hash(query.path)
    return np.array([content_hash(path) == own for path in answers["path"]], bool)


def no_such_id(name: str, known: Collection[str], what: str) -> GoldfoldError:
    """The error for an id that does not exist, with the nearest known ids.

    >>> str(no_such_id("frame_12", ["frame_1", "frame_2", "other"], "rows of 'frames'"))
    "there is no id 'frame_12' among the 3 rows of 'frames'; nearest: frame_2, frame_1, other"
    """
    nearest = difflib.get_close_matches(name, known, n=5, cutoff=0)
    return GoldfoldError(
        "unknown_id", f"there is no id '{name}' among the {len(known):,} {what}; nearest: {', '.join(nearest)}"
    )
