"""One label per row, of two or more classes: softmax and cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from goldfold.metrics.inputs import class_indices, uniform_probabilities
from goldfold.optional_parts import ClassLabels

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.params import Params


@dataclass(frozen=True)
class OneLabel:
    """Labels of the column `target`, each one of `classes`; predictions have the order of `classes`.

    by_row: whether the loss is averaged after the losses of rows, which rounds label smoothing in another way.
    """

    target: str
    classes: tuple
    by_row: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The target columns."""
        return (self.target,)

    @property
    def outputs(self) -> int:
        """Number of logits of a row."""
        return len(self.classes)

    @property
    def declared(self) -> ClassLabels:
        """What `Recipe.labels` says."""
        return ClassLabels(self.target, self.classes)

    def params(self, params: type[Params]) -> type[Params]:
        """The parameters of a recipe, which has a `label_smoothing`."""
        return params

    def labels(self, rows: DataFrame) -> np.ndarray:
        """Class indices, int64 (n,); raises GoldfoldError `unknown_class`."""
        return class_indices(rows[self.target], self.classes, f"target '{self.target}'")

    def loss(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """Return a function: logits (n, classes), labels (n,) -> {"cross_entropy": mean over rows}."""
        reduction = "none" if self.by_row else "mean"
        cells = partial(F.cross_entropy, label_smoothing=params.label_smoothing, reduction=reduction)
        return lambda logits, labels: {"cross_entropy": cells(logits, labels).mean()}

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of logits (..., classes), of the same shape, whose sum is 1."""
        return logits.softmax(-1)

    def predictions(self, probabilities: np.ndarray) -> np.ndarray:
        """What a plan predicts: (n,) probabilities of the second of two classes, otherwise (n, classes)."""
        return probabilities[:, 1] if len(self.classes) == 2 else probabilities

    def example(self, rows: int) -> np.ndarray:
        """Predictions for `rows` rows, all classes alike."""
        return uniform_probabilities(rows, self.classes)
