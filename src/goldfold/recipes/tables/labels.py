"""The target of a table as numbers, the predictions of its classes, and training rows that are kept back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError
from goldfold.io.seeding import derive
from goldfold.metrics.inputs import class_indices, numeric_target

if TYPE_CHECKING:
    from pandas import DataFrame

Kind = Literal["binary", "multiclass", "regression"]


def labels_of(rows: DataFrame, target: str, kind: Kind) -> pd.Series:
    """The target as scikit-learn takes it: float64 values of a regression, else labels of a plain dtype.

    Raises:
        GoldfoldError: `target_not_classes`, labels are fractions or dates; `target_not_binary`; `target_not_numeric` or
            `target_not_finite`, values of a regression.
    """
    if kind == "regression":
        return pd.Series(numeric_target(rows, target), rows.index)
    labels = pd.Series(rows[target].tolist(), rows.index).infer_objects()
    if labels.dtype.kind in "fcmM" and (labels.dtype.kind != "f" or (labels % 1 != 0).any()):
        fraction = next(label for label in labels.tolist() if labels.dtype.kind != "f" or label % 1 != 0)
        raise GoldfoldError(
            "target_not_classes",
            f"target '{target}' of a classifier must hold text, whole numbers or bools, but holds {fraction!r}: use "
            "kind='regression', or make classes of it in load()",
        )
    if kind == "binary" and labels.nunique() != 2:
        found = ", ".join(map(str, labels.unique()[:5]))
        raise GoldfoldError(
            "target_not_binary",
            f"target '{target}' must have two labels in every fold, found {found}: stratify the split",
        )
    return labels


def in_order(probabilities: np.ndarray, known: Sequence, classes: Sequence, kind: Kind) -> np.ndarray:
    """Predictions of a recipe for tables from the probabilities (n, known) of the classes among the training rows.

    Returns float64: binary, (n,) probabilities of the second of `classes`; multiclass, (n, classes) probabilities, 0
    for a class without training rows.
    """
    found = np.zeros((len(probabilities), len(classes)))
    found[:, class_indices(known, classes, "the training rows")] = probabilities
    return found[:, 1] if kind == "binary" else found


def example(kind: Kind, rows: int, classes: tuple | None) -> np.ndarray:
    """Predictions for `rows` rows as a recipe for tables gives them, with any values."""
    columns = len(classes or ())
    return np.full((rows, columns), 1 / columns) if kind == "multiclass" else np.full(rows, 0.5)


STOPPING = ("stop_share", "set stop_on=none with the number of rounds")


def held_back(
    labels: np.ndarray,
    share: float,
    seed: int,
    groups: np.ndarray | None = None,
    parameter: tuple[str, str] = STOPPING,
) -> np.ndarray:
    """Which training rows are kept back for early stopping, bool (n,).

    labels: int (n,) classes, of each of which `share` is kept back and at least one row is not, or float (n,) values.
    groups: (n,), of which each is on one side as a whole; classes are then not stratified.
    parameter: name of the share, and what else can be set, for the message.

    Raises:
        GoldfoldError: `too_few_rows_to_stop`, no row could be kept back.
    """
    random = np.random.default_rng(derive(seed, "rows kept back"))
    kept = np.zeros(len(labels), bool)
    if groups is not None:
        _, numbers = np.unique(groups.astype(str), return_inverse=True)
        chosen = random.permutation(numbers.max() + 1)[: int(share * (numbers.max() + 1))]
        kept = np.isin(numbers, chosen)
        missing = set(labels.tolist()) - set(labels[~kept].tolist()) if labels.dtype.kind == "i" else set()
        kept &= ~np.isin(numbers, numbers[np.isin(labels, list(missing))])
    else:
        parts = labels if labels.dtype.kind == "i" else np.zeros(len(labels), int)
        for part in np.unique(parts):
            rows = random.permutation(np.flatnonzero(parts == part))
            kept[rows[: int(share * len(rows))]] = True
    if not kept.any():
        raise GoldfoldError(
            "too_few_rows_to_stop",
            f"{parameter[0]}={share:g} of {len(labels)} training rows keeps back none for early stopping: raise it, or "
            f"{parameter[1]}",
        )
    return kept
