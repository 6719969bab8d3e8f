"""Numbers as targets, one or several per row: regression with squared, absolute or Huber loss."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, create_model
from torch import Tensor
from torch.nn import functional as F

from goldfold.metrics.inputs import numeric_target
from goldfold.params import Needs, Params, Unused

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Accepted


class ValueLossParams(Params):
    """The loss of numbers, a mean over rows and columns of values standardized by the training rows of the fold."""

    loss: Literal["mse", "mae", "huber"] = Field(
        "mse", description="squared error, absolute error, or Huber loss; of values divided by their sd"
    )
    huber_delta: Annotated[float, Needs(loss="huber")] = Field(
        1.0, gt=0, description="error from which the Huber loss grows linearly, in standard deviations of the target"
    )
    balanced_sampler: Annotated[bool, Unused("numbers have no classes to be drawn by")] = Field(
        False, description="of recipes with one label per row"
    )


@dataclass(frozen=True)
class Values:
    """Numeric columns; predictions are in their units and order.

    mean, sd: of the training rows of a fold, one per column; sd is 1 for a constant column. See `fitted`.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()
    accepts: ClassVar[Collection[Accepted]] = ()  # see `Recipe.accepts`

    @property
    def outputs(self) -> int:
        """Number of outputs for a row."""
        return len(self.columns)

    @property
    def declared(self) -> None:
        """What `Recipe.labels` says: nothing, since no probabilities are predicted."""
        return None

    def params(self, params: type[Params]) -> type[Params]:
        """The parameters of a recipe with those of the loss."""
        return create_model(params.__name__, __base__=(ValueLossParams, params))

    def labels(self, rows: DataFrame) -> np.ndarray:
        """Values as float32 (n, columns); raises GoldfoldError for a column that is not of finite numbers."""
        return np.stack([numeric_target(rows, column) for column in self.columns], axis=1).astype(np.float32)

    def fitted(self, labels: np.ndarray) -> Values:
        """These targets with mean and standard deviation of the training rows of a fold."""
        values = labels.astype(np.float64)
        sd = values.std(0)
        return replace(self, mean=tuple(values.mean(0).tolist()), sd=tuple(np.where(sd > 0, sd, 1.0).tolist()))

    def loss(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """Return a function: outputs and values, (n, columns) each -> {name of the loss: mean over cells}."""
        cells = self._cells(params, labels)
        return lambda outputs, values: {params.loss: cells(outputs, values).mean()}

    def row_losses(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function: outputs and values, (n, columns) each -> (n,) means over the columns of rows."""
        cells = self._cells(params, labels)
        return lambda outputs, values: cells(outputs, values).mean(1)

    def balance(self, params: Any, labels: np.ndarray) -> None:
        """None, since numbers have no classes to be drawn by; see `OneLabel.balance`."""
        return None

    def probabilities(self, logits: Tensor) -> Tensor:
        """The outputs (..., columns) as they are, whose mean over views is predicted."""
        return logits

    def predictions(self, probabilities: np.ndarray) -> np.ndarray:
        """What a plan predicts: (n,) values of one column, (n, columns) of several, in the units of the targets.

        probabilities: an array, or a tensor.
        """
        if isinstance(probabilities, Tensor):
            values = probabilities * probabilities.new_tensor(self.sd) + probabilities.new_tensor(self.mean)
        else:
            values = probabilities * np.array(self.sd) + np.array(self.mean)
        return values[:, 0] if self.outputs == 1 else values

    def example(self, rows: int) -> np.ndarray:
        """Predictions for `rows` rows, all 0."""
        return np.zeros(rows if self.outputs == 1 else (rows, self.outputs))

    def _cells(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function: outputs and values, (n, columns) each -> (n, columns) losses of standardized values."""
        own = self.fitted(labels)

        def cells(outputs: Tensor, values: Tensor) -> Tensor:
            mean, sd = outputs.new_tensor(own.mean), outputs.new_tensor(own.sd)
            wanted = (values.to(outputs) - mean) / sd
            if params.loss == "huber":
                return F.huber_loss(outputs, wanted, reduction="none", delta=params.huber_delta)
            return (F.mse_loss if params.loss == "mse" else F.l1_loss)(outputs, wanted, reduction="none")

        return cells
