"""The rows that the stages of an embedder train on: their images, their order in time, and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from goldfold.competition import Runtime
from goldfold.data import neighbors
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation, reading
from goldfold.retrieval import pseudo_labels, two_views
from goldfold.retrieval.parameters import EmbedderParams


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the optional columns of a table of images; None if there is no such column."""

    label: str | None
    sequence: str | None
    time: str | None
    category: str | None


@dataclass(frozen=True)
class TrainingRows:
    """One fold's training rows, numbered from 0, and what the stages need to read them.

    gray: whether images have one channel instead of three.
    """

    params: EmbedderParams
    rows: pd.DataFrame
    runtime: Runtime
    columns: Columns
    gray: bool

    def order_in_time(self, reason: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the sequence of each row, int64 (n,), and its time, float64 (n,).

        reason: the parameter that needs them, for the error if the recipe has no such columns.
        """
        if self.columns.sequence is None or self.columns.time is None:
            raise GoldfoldError(
                "no_time_columns",
                f"{reason} needs the order of frames, and this recipe has no columns for sequence and time: name these "
                "columns in the recipe, or do not set the parameter",
            )
        line = neighbors.timeline(self.rows[self.columns.sequence], self.rows[self.columns.time])
        return line.sequences, line.times

    @cached_property
    def full_size_images(self) -> two_views.SourceImages:
        """The images at their own size, decoded once for both stages."""
        return two_views.load_sources(list(self.rows["path"]), self.gray, self.params.memory)

    def random_views(self, name: str) -> two_views.RandomViews:
        """Return random views of the rows under the augmentation `name`."""
        params, size, ids = self.params, self.params.image_size, augmentation.distinct_ids(self.rows["id"])
        if name == "simsiam":
            pipeline = two_views.simsiam_pipeline(
                size, crop=params.crop, strength=params.strength, flip=params.flip, gray=self.gray
            )
            return two_views.RandomViews(self.full_size_images, ids, pipeline, self.runtime.seed)
        resized = two_views.load_sources(list(self.rows["path"]), self.gray, params.memory, size)
        return two_views.RandomViews(resized, ids, augmentation.pipeline(name, size), self.runtime.seed)


@dataclass(frozen=True, kw_only=True)
class LabeledRows:
    """The rows that a metric loss trains on, and their labels; all (m,).

    rows: int64 positions. codes: int64 from 0, equal for equal labels; None if only views of one row have equal labels.
    """

    rows: np.ndarray
    codes: np.ndarray | None

    @property
    def classes(self) -> int:
        """Number of labels; 0 if every row is a label of its own."""
        return 0 if self.codes is None else int(self.codes.max()) + 1


def labeled_rows(training: TrainingRows) -> LabeledRows:
    """Return the rows of the metric stage and their labels, as the parameter `labels` says.

    Raises GoldfoldError if there is no column with labels, or no two labels of which one occurs twice.
    """
    if training.params.labels == "views":
        return LabeledRows(rows=np.arange(len(training.rows)), codes=None)
    if training.params.labels == "pseudo":
        return LabeledRows(rows=np.arange(len(training.rows)), codes=_pseudo_labels(training))
    if training.columns.label is None:
        raise GoldfoldError(
            "no_label_column", "labels=true needs a column of labels, and this recipe has none: choose labels=views"
        )
    return rows_with_labels(training.rows[training.columns.label], "choose labels=views or metric_epochs=0")


def rows_with_labels(labels: pd.Series, instead: str) -> LabeledRows:
    """Return the rows that have a label, and their labels as numbers.

    instead: what to do without enough labels, for the error. Raises GoldfoldError if no two labels are there of which
    one occurs twice.
    """
    codes, known = pd.factorize(labels)
    counts = np.bincount(codes[codes >= 0], minlength=1)
    if len(known) < 2 or counts.max() < 2:
        raise GoldfoldError(
            "too_few_labels",
            f"a metric loss needs two labels, one of them twice, and the column '{labels.name}' has {len(known)} "
            f"labels, each at most {counts.max()} times: {instead}",
        )
    return LabeledRows(rows=np.flatnonzero(codes >= 0), codes=codes[codes >= 0].astype(np.int64))


def _pseudo_labels(training: TrainingRows) -> np.ndarray:
    """Pseudo-labels of all rows, int64 (n,)."""
    params, size = training.params, training.params.image_size
    assert params.reference is not None
    frames = reading.load_resized(list(training.rows["path"]), size, gray=True)[..., 0]
    reference = reading.resize(reading.read(params.reference, gray=True), size)[..., 0]
    return pseudo_labels.make_pseudo_labels(
        frames,
        *training.order_in_time("labels=pseudo"),
        reference,
        smooth=params.motion_smooth,
        motion_percentile=params.motion_percentile,
        min_stable=params.stable_frames,
        similarity_percentile=params.likeness_percentile,
        side=params.likeness_side,
    ).labels
