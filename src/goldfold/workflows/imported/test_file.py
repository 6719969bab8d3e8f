"""Read the test side of an import: predictions, or a submission that is ready to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame, Index

from goldfold.competition import Competition, Tables
from goldfold.data import csv_tables, fields
from goldfold.errors import GoldfoldError
from goldfold.experiment.failures import carried_out
from goldfold.experiment.predictions.alignment import Form, aligned
from goldfold.experiment.predictions.reading import read_given
from goldfold.submission import writing

NOTHING = np.empty(0)  # test predictions of a run that has a submission alone


@dataclass(frozen=True)
class TestPart:
    """values: test predictions in the order of the table, `NOTHING` if there are none. ready: a checked submission."""

    values: np.ndarray
    ready: DataFrame | None = None


def read_test(
    path: Path, id_columns: Sequence[str], form: Form, oof: np.ndarray, data: Tables, competition: Competition
) -> TestPart:
    """Read predictions of the test rows, or a submission with the columns of the sample.

    A submission holds predictions, too, if the competition's writer makes the same file of them, and if they are not
    the decisions of what is a probability out of fold. A file with the columns of the sample that is no submission,
    such as probabilities where Kaggle wants classes, is read as predictions.

    Raises:
        GoldfoldError: as `aligned`; `submission_...`, a submission is not valid.
    """
    if not _is_submission(path, data.sample_submission):
        return TestPart(predictions_of(path, id_columns, form, oof, data))
    try:
        ready = writing.read_checked(path, data.sample_submission, data.test, competition.submission)
    except GoldfoldError as error:
        values = _predictions_or_nothing(path, id_columns, form, oof, data)
        if len(values) and not _decided(values):
            return TestPart(values)
        told = error.message.partition(". Fix `write`")[0]  # no writer of this project made the file
        raise GoldfoldError(error.code, f"{path}: {told}: write it again") from error
    values = _predictions_or_nothing(path, id_columns, form, oof, data)
    if not len(values) or (_decided(values) and not _decided(oof)):
        return TestPart(NOTHING, ready)
    frame = carried_out(competition.slug, competition.submission.write, data.test, values)
    same = csv_tables.to_text(writing.read_back(frame, data.sample_submission)) == csv_tables.to_text(ready)
    return TestPart(values) if same else TestPart(NOTHING, ready)


def predictions_of(path: Path, id_columns: Sequence[str], form: Form, oof: np.ndarray, data: Tables) -> np.ndarray:
    """The predictions of a file for the test rows, of the kind of the out-of-fold predictions `oof`."""
    train, test = (Index(csv_tables.written(rows["id"])) for rows in (data.train, data.test))
    values = aligned(read_given(path, id_columns), form, test, others=train, known=test)
    kinds = [(each.dtype.names, each.shape[1:]) for each in (values, oof)]
    if kinds[0] != kinds[1]:
        shapes = " and ".join(str(each.dtype if each.dtype.names else each.shape[1:]) for each in (values, oof))
        raise GoldfoldError(
            "import_columns",
            f"{path} and the out-of-fold predictions are of different kinds ({shapes} a row): give both alike",
        )
    return values


def _predictions_or_nothing(
    path: Path, id_columns: Sequence[str], form: Form, oof: np.ndarray, data: Tables
) -> np.ndarray:
    """As `predictions_of`; `NOTHING` for a file that holds no predictions."""
    try:
        return predictions_of(path, id_columns, form, oof, data)
    except GoldfoldError:
        return NOTHING


def _is_submission(path: Path, sample: DataFrame) -> bool:
    """Whether a CSV file has the columns of the sample submission."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    try:
        found = list(pd.read_csv(path, nrows=0, encoding="utf-8").columns)
    except ValueError:
        return False
    return found == list(map(str, sample.columns))


def _decided(values: np.ndarray) -> bool:
    """Whether all values are 0 or 1."""
    parts = fields.parts(values)
    return all(part.dtype.kind in "fiub" and bool(np.isin(part, (0, 1)).all()) for part in parts)
