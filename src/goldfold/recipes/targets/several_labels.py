"""Several labels per row, each a column of 0 and 1: independent sigmoids and losses over cells."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, create_model
from torch import Tensor

from goldfold.data.columns import binary_columns
from goldfold.data.training_rows import soft_targets
from goldfold.errors import GoldfoldError
from goldfold.nn import label_losses
from goldfold.optional_parts import LabelColumns
from goldfold.params import Needs, Params, Unused

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Accepted


class LabelLossParams(Params):
    """The loss of several labels per row, a mean over cells; a recipe with several labels has these parameters too."""

    loss: Literal["bce", "focal", "asl"] = Field(
        "bce", description="binary cross-entropy, focal loss, or asymmetric loss; each a mean over rows and labels"
    )
    positive_weight: Annotated[Literal["none", "balanced"], Needs(loss="bce")] = Field(
        "none", description="weight of positives; balanced: negatives / positives of each label in the training rows"
    )
    label_smoothing: Annotated[float, Needs(loss="bce")] = Field(
        0.0, ge=0, lt=1, description="label smoothing e: labels become e/2 and 1 - e/2"
    )
    focal_alpha: Annotated[float, Needs(loss="focal")] = Field(
        0.25, ge=0, le=1, description="weight of positives; that of negatives is 1 - focal_alpha"
    )
    focal_gamma: Annotated[float, Needs(loss="focal")] = Field(
        2.0, ge=0, description="exponent that lowers the weight of easy cells"
    )
    asl_gamma_negative: Annotated[float, Needs(loss="asl")] = Field(
        4.0, ge=0, description="exponent that lowers the weight of easy negatives"
    )
    asl_gamma_positive: Annotated[float, Needs(loss="asl")] = Field(
        1.0, ge=0, description="exponent that lowers the weight of easy positives"
    )
    asl_clip: Annotated[float, Needs(loss="asl")] = Field(
        0.05, ge=0, lt=1, description="probability up to which a negative costs nothing"
    )
    balanced_sampler: Annotated[
        bool, Unused("a row with several labels has no class to be drawn by; positive_weight=balanced weighs labels")
    ] = Field(False, description="of recipes with one label per row")


@dataclass(frozen=True)
class SeveralLabels:
    """Columns of 0 and 1, one per label; predictions have their order."""

    columns: tuple[str, ...]
    accepts: ClassVar[Collection[Accepted]] = ("weights", "soft_targets")  # see `Recipe.accepts`

    @property
    def outputs(self) -> int:
        """Number of logits of a row."""
        return len(self.columns)

    @property
    def declared(self) -> LabelColumns:
        """What `Recipe.labels` says."""
        return LabelColumns(self.columns)

    def params(self, params: type[Params]) -> type[Params]:
        """The parameters of a recipe with those of the loss."""
        return create_model(params.__name__, __base__=(LabelLossParams, params))

    def labels(self, rows: DataFrame) -> np.ndarray:
        """Labels as float32 (n, labels), 0 or 1; raises GoldfoldError `labels_not_binary`.

        Of rows with reserved columns of weights or soft targets (n, 2 labels): the masses w q of each label of
        probability q in a row of weight w, then those of its absence, w (1 - q).
        """
        known, found = binary_columns(rows, self.columns), soft_targets.take(rows)
        if found is None:
            return known.astype(np.float32)
        share, weight = found.share[:, None], found.weight[:, None]
        mixed = (1 - share) * known + (share * found.soft if found.soft.shape[1] else 0)
        return np.concatenate([weight * mixed, weight * (1 - mixed)], axis=1).astype(np.float32)

    def fitted(self, labels: np.ndarray) -> SeveralLabels:
        """The same targets, which take nothing from the training rows."""
        return self

    def loss(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """Return a function: logits and labels, (n, labels) each -> {name of the loss: mean over cells}.

        labels: of all training rows, which the weights of positives are taken from.
        """
        cells = self._loss(params, labels)
        return lambda logits, labels: {params.loss: cells(logits, labels)}

    def row_losses(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function: logits and labels, (n, labels) each -> (n,) means over the labels of rows."""
        return partial(self._loss(params, labels), by_row=True)

    def _loss(self, params: Any, labels: np.ndarray) -> Callable[..., Tensor]:
        """The loss of logits and labels, or of logits and the masses of both values of each label."""
        if labels.shape[1] == self.outputs:
            return _loss(params, labels)
        if params.loss != "bce" or params.positive_weight != "none":
            given = f"loss={params.loss}" if params.loss != "bce" else f"positive_weight={params.positive_weight}"
            raise GoldfoldError(
                "soft_targets_unsupported",
                "weights of rows and soft targets need loss=bce without weights of positives, and the config has "
                f"{given}: leave it out, or use pseudo_labels with labels: hard and weight: 1",
            )
        return partial(label_losses.of_masses, smoothing=params.label_smoothing)

    def balance(self, params: Any, labels: np.ndarray) -> None:
        """None, since rows with several labels have no class to be drawn by; see `OneLabel.balance`."""
        return None

    def probabilities(self, logits: Tensor) -> Tensor:
        """Independent probabilities of logits (..., labels), of the same shape."""
        return logits.sigmoid()

    def predictions(self, probabilities: np.ndarray) -> np.ndarray:
        """What a plan predicts: the (n, labels) probabilities."""
        return probabilities

    def example(self, rows: int) -> np.ndarray:
        """Predictions for `rows` rows, all labels alike."""
        return np.full((rows, self.outputs), 0.5)


def _loss(params: Any, labels: np.ndarray) -> Callable[..., Tensor]:
    if params.loss == "focal":
        return partial(label_losses.focal, alpha=params.focal_alpha, gamma=params.focal_gamma)
    if params.loss == "asl":
        return partial(
            label_losses.asymmetric,
            gamma_negative=params.asl_gamma_negative,
            gamma_positive=params.asl_gamma_positive,
            clip=params.asl_clip,
        )
    weights = label_losses.balanced_weights(torch.from_numpy(labels)) if params.positive_weight == "balanced" else None

    def weighted(logits: Tensor, labels: Tensor, by_row: bool = False) -> Tensor:
        weight = None if weights is None else weights.to(logits.device)
        return label_losses.binary_cross_entropy(
            logits, labels, positive_weight=weight, smoothing=params.label_smoothing, by_row=by_row
        )

    return weighted
