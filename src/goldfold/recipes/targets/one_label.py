"""One label per row, of two or more classes: softmax, cross-entropy or focal loss, and balance of the classes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, create_model, model_validator
from torch import Tensor

from goldfold.data.training_rows import soft_targets
from goldfold.data.training_rows.soft_targets import RowTargets
from goldfold.errors import GoldfoldError
from goldfold.metrics.inputs import class_indices, uniform_probabilities
from goldfold.nn import class_losses
from goldfold.optional_parts import ClassLabels
from goldfold.params import Needs, Not, Params, mark_unused

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Accepted


class ClassLossParams(Params):
    """The loss of one label per row and the balance of its classes; recipes that train by epochs have them, too."""

    loss: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy", description="cross-entropy, or focal loss; each of every row, then the mean"
    )
    focal_gamma: Annotated[float, Needs(loss="focal")] = Field(
        2.0, ge=0, description="exponent that lowers the weight of easy rows; 0: cross-entropy"
    )
    focal_alpha: Annotated[float | None, Needs(loss="focal")] = Field(
        None,
        ge=0,
        le=1,
        description="of two classes, weight of the second; that of the first is 1 - focal_alpha. None: both weigh 1",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="label smoothing e: e / classes of each class")
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="weights of classes; balanced: n / (classes x n_c) of the training rows, and a batch's loss is the "
        "sum of weighted losses divided by the sum of the weights",
    )
    balanced_sampler: bool = Field(
        False, description="draw the rows of an epoch with replacement, all classes alike; validation rows never"
    )
    balance_twice: Annotated[
        bool,
        Needs(balanced_sampler=True, class_weights="balanced"),
        Needs(balanced_sampler=True, focal_alpha=Not(None)),
        Needs(class_weights="balanced", focal_alpha=Not(None)),
    ] = Field(False, description="allow more than one of balanced_sampler, class_weights and focal_alpha")

    @model_validator(mode="after")
    def _balance_once(self) -> ClassLossParams:
        used = {
            "balanced_sampler=true": self.balanced_sampler,
            "class_weights=balanced": self.class_weights != "none",
            "focal_alpha": self.loss == "focal" and self.focal_alpha is not None,
        }
        names = [name for name, wanted in used.items() if wanted]
        if len(names) > 1 and not self.balance_twice:
            raise ValueError(f"{' and '.join(names)} balance the classes more than once without balance_twice=true")
        return self


@dataclass(frozen=True)
class OneLabel:
    """Labels of the column `target`, each one of `classes`; predictions have the order of `classes`.

    by_row: whether the loss is averaged after the losses of rows, which rounds label smoothing in another way.
    """

    target: str
    classes: tuple
    by_row: bool = False
    accepts: ClassVar[Collection[Accepted]] = ("weights", "soft_targets", "temperature")  # see `Recipe.accepts`

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
        """The parameters of a recipe with those of the loss."""
        reason = f"it weighs two classes and there are {self.outputs}, which class_weights=balanced weighs"
        idle = () if self.outputs == 2 else ("focal_alpha",)
        return mark_unused(create_model(params.__name__, __base__=(ClassLossParams, params)), reason, *idle)

    def labels(self, rows: DataFrame) -> np.ndarray:
        """Class indices, int64 (n,); raises GoldfoldError `unknown_class`.

        Of rows with reserved columns of weights or soft targets float32 (n, 2 classes + 1): see `distillation_masses`.
        """
        indices = class_indices(rows[self.target], self.classes, f"target '{self.target}'")
        found = soft_targets.take(rows)
        return indices if found is None else distillation_masses(indices, found, self.outputs)

    def fitted(self, labels: np.ndarray) -> OneLabel:
        """The same targets, which take nothing from the training rows."""
        return self

    def loss(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """Return a function: logits (n, classes), labels (n,) -> {name of the loss: mean over rows}.

        labels: of all training rows, which the weights of classes are taken from.
        """
        loss, weights = self._loss(params, labels)
        if self.by_row and weights is None:
            rows = partial(loss, reduction="none")
            return lambda logits, labels: {params.loss: rows(logits, labels).mean()}
        return lambda logits, labels: {params.loss: loss(logits, labels)}

    def row_losses(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function: logits (n, classes), labels (n,) -> (n,) losses of the rows; arguments as in `loss`."""
        return partial(self._loss(params, labels)[0], reduction="none")

    def balance(self, params: Any, labels: np.ndarray) -> np.ndarray | None:
        """The classes that an epoch's rows are drawn by, for the batches of a stage; None: every row once."""
        if params.balanced_sampler and labels.ndim == 2:
            raise _unsupported("balanced_sampler=true")
        return labels if params.balanced_sampler else None

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of logits (..., classes), of the same shape, whose sum is 1."""
        return logits.softmax(-1)

    def predictions(self, probabilities: np.ndarray) -> np.ndarray:
        """What a plan predicts: (n,) probabilities of the second of two classes, otherwise (n, classes)."""
        return probabilities[:, 1] if len(self.classes) == 2 else probabilities

    def example(self, rows: int) -> np.ndarray:
        """Predictions for `rows` rows, all classes alike."""
        return uniform_probabilities(rows, self.classes)

    def _loss(self, params: Any, labels: np.ndarray) -> tuple[Callable[..., Tensor], Tensor | None]:
        """The loss of logits and labels, and the weights of the classes in it; None: all weigh 1."""
        balanced = params.class_weights == "balanced"
        if labels.ndim == 2:
            if balanced or params.loss != "cross_entropy":
                raise _unsupported("class_weights=balanced" if balanced else f"loss={params.loss}")
            return partial(class_losses.distillation, smoothing=params.label_smoothing), None
        weights = class_losses.balanced_weights(torch.from_numpy(labels), self.outputs) if balanced else None
        common = {"weights": weights, "smoothing": params.label_smoothing}
        if params.loss == "cross_entropy":
            return partial(class_losses.cross_entropy, **common), weights
        share = params.focal_alpha
        alpha = torch.tensor([1 - share, share]) if share is not None and self.outputs == 2 else None
        return partial(class_losses.focal, gamma=params.focal_gamma, alpha=alpha, **common), weights


def _unsupported(given: str) -> GoldfoldError:
    return GoldfoldError(
        "soft_targets_unsupported",
        "weights of rows and soft targets need loss=cross_entropy without balance of classes, and the config has "
        f"{given}: leave it out, or use pseudo_labels with labels: hard and weight: 1",
    )


def distillation_masses(labels: np.ndarray, found: RowTargets, classes: int) -> np.ndarray:
    """What `class_losses.distillation` takes, float32 (n, 2 classes + 1): masses of labels and soft targets, and 1 / T.

    labels: class indices (n,). A row of weight w and share a has the mass w (1 - a) at its label and w a T**2 q of its
    soft targets q at temperature T; the factor keeps the gradients of both parts in proportion whatever T is.
    """
    hard, soft = np.zeros((2, len(labels), classes))
    hard[np.arange(len(labels)), labels] = found.weight * (1 - found.share)
    if found.soft.shape[1]:
        soft = (found.weight * found.share * found.temperature**2)[:, None] * found.soft
    return np.concatenate([hard, soft, 1 / found.temperature[:, None]], axis=1).astype(np.float32)
