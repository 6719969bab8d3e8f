"""One label per row whose classes have an order: conditional ordinal regression (CORN).

Output k is the logit of "above class k, if it is above class k - 1", so the probabilities of being above a class fall
whatever the outputs are. Source: Shi, Cao and Raschka, Deep Neural Networks for Rank-Consistent Ordinal
Regression Based On Conditional Probabilities, 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, create_model
from torch import Tensor
from torch.nn import functional as F

from goldfold.metrics.inputs import class_indices, uniform_probabilities
from goldfold.optional_parts import ClassLabels
from goldfold.params import Params

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Accepted


class OrderedLossParams(Params):
    """The loss of ordered classes, and how their rows are drawn."""

    loss: Literal["corn"] = Field("corn", description="binary cross-entropy of each step from class to class")
    balanced_sampler: bool = Field(
        False, description="draw the rows of an epoch with replacement, all classes alike; validation rows never"
    )


def corn(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of steps (n, k - 1) and which of them count: step k of rows that are above class k - 1.

    logits: (n, k - 1). labels: class indices int64 (n,).
    """
    steps = torch.arange(logits.shape[1], device=logits.device)
    counted = labels[:, None] >= steps
    above = (labels[:, None] > steps).to(logits)
    return F.binary_cross_entropy_with_logits(logits, above, reduction="none") * counted, counted


@dataclass(frozen=True)
class OrderedLabel:
    """Labels of the column `target`, each one of `classes`, which ascend; predictions have their order."""

    target: str
    classes: tuple
    accepts: ClassVar[Collection[Accepted]] = ()  # see `Recipe.accepts`

    @property
    def columns(self) -> tuple[str, ...]:
        """The target columns."""
        return (self.target,)

    @property
    def outputs(self) -> int:
        """Number of logits of a row: one for each step from a class to the next."""
        return len(self.classes) - 1

    @property
    def declared(self) -> ClassLabels:
        """What `Recipe.labels` says."""
        return ClassLabels(self.target, self.classes)

    def params(self, params: type[Params]) -> type[Params]:
        """The parameters of a recipe with those of the loss."""
        return create_model(params.__name__, __base__=(OrderedLossParams, params))

    def labels(self, rows: DataFrame) -> np.ndarray:
        """Class indices, int64 (n,); raises GoldfoldError `unknown_class`."""
        return class_indices(rows[self.target], self.classes, f"target '{self.target}'")

    def fitted(self, labels: np.ndarray) -> OrderedLabel:
        """The same targets, which take nothing from the training rows."""
        return self

    def loss(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """Return a function: logits (n, classes - 1), labels (n,) -> {"corn": mean over the steps that count}."""

        def mean(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
            cells, counted = corn(logits, labels)
            return {params.loss: cells.sum() / counted.sum()}

        return mean

    def row_losses(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function: logits (n, classes - 1), labels (n,) -> (n,) sums over the steps of a row."""
        return lambda logits, labels: corn(logits, labels)[0].sum(1)

    def balance(self, params: Any, labels: np.ndarray) -> np.ndarray | None:
        """The classes that an epoch's rows are drawn by; see `OneLabel.balance`."""
        return labels if params.balanced_sampler else None

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities (..., classes) of logits (..., classes - 1), whose sum is 1."""
        products = list(accumulate(logits.sigmoid().unbind(-1), torch.mul))  # graphs have no cumprod
        above = torch.stack(products, dim=-1)
        one, none = torch.ones_like(above[..., :1]), torch.zeros_like(above[..., :1])
        return torch.cat([one, above], -1) - torch.cat([above, none], -1)

    def predictions(self, probabilities: np.ndarray) -> np.ndarray:
        """What a plan predicts: (n,) probabilities of the second of two classes, otherwise (n, classes)."""
        return probabilities[:, 1] if len(self.classes) == 2 else probabilities

    def example(self, rows: int) -> np.ndarray:
        """Predictions for `rows` rows, all classes alike."""
        return uniform_probabilities(rows, self.classes)
