"""The code index of a fit: codes of its training rows with their ids and labels, in a plain file for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pandas import DataFrame

from goldfold.data.columns import binary_columns
from goldfold.metrics.inputs import class_indices
from goldfold.optional_parts import ClassLabels, LabelColumns
from goldfold.training.predictor import Predictor

FILE = "code_index.npz"  # in the folder of a fit

Declared = ClassLabels | LabelColumns | None


def of_fit(predict: Predictor, rows: DataFrame, labels: Declared, classes: tuple | None) -> dict[str, np.ndarray]:
    """The arrays of `code_index.npz`; empty for a plan without codes.

    rows: the training rows of the fit. labels, classes: `Recipe.labels` and `Runtime.classes`.

    codes: uint8 (n, bytes), of the training rows. ids: text (n,). labels: uint8 (n, labels) of 0 and 1, and
    label_names: text (labels,), if the recipe has labels. kind: text, "hash" or "product_quantization". bits: an
    integer. Then the arrays of the plan, such as centroids.
    """
    codes = predict.plan.codes
    if codes is None:
        return {}
    known = {}
    if labels is not None:
        names = label_names(labels, classes)
        known = {"labels": label_matrix(rows, labels, classes).astype(np.uint8), "label_names": np.array(names)}
    return {
        "codes": predict.encode(rows),
        "ids": np.array([str(each) for each in rows["id"]]),
        **known,
        "kind": np.array(codes.kind),
        "bits": np.array(codes.bits),
        **codes.arrays(predict.finished),
    }


def label_names(labels: ClassLabels | LabelColumns, classes: tuple | None) -> list[str]:
    """The labels as text, in the order of the predicted columns."""
    return list(map(str, labels.columns if isinstance(labels, LabelColumns) else classes or ()))


def label_matrix(rows: DataFrame, labels: ClassLabels | LabelColumns, classes: tuple | None) -> np.ndarray:
    """Which labels rows have, bool (n, labels); of a column of classes one per row."""
    if isinstance(labels, LabelColumns):
        return binary_columns(rows, labels.columns) > 0
    order: Sequence = classes or ()
    return np.eye(len(order), dtype=bool)[class_indices(rows[labels.column], order, f"target '{labels.column}'")]


def positions(index: Mapping[str, np.ndarray], rows: DataFrame) -> np.ndarray:
    """Positions in `rows` of the ids of an index, int64 (n,)."""
    places = {str(each): place for place, each in enumerate(rows["id"])}
    return np.array([places[each] for each in index["ids"].tolist()], np.int64)
