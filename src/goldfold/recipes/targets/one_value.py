"""One number per row: squared error of standardized values, for regression by a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from goldfold.metrics.inputs import numeric_target

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.params import Params


@dataclass(frozen=True)
class OneValue:
    """Values of the column `target`. A network learns them standardized, (value - center) / scale."""

    target: str
    center: float = 0.0
    scale: float = 1.0

    @property
    def columns(self) -> tuple[str, ...]:
        """The target columns."""
        return (self.target,)

    @property
    def outputs(self) -> int:
        """Number of outputs for a row."""
        return 1

    @property
    def declared(self) -> None:
        """What `Recipe.labels` says."""
        return None

    def params(self, params: type[Params]) -> type[Params]:
        """The parameters of a recipe, unchanged: the loss has none."""
        return params

    def fitted(self, rows: DataFrame) -> OneValue:
        """The same target with mean and standard deviation of training rows; a constant target has the scale 1."""
        values = numeric_target(rows, self.target)
        return OneValue(self.target, float(values.mean()), float(values.std()) or 1.0)

    def labels(self, rows: DataFrame) -> np.ndarray:
        """Standardized values, float32 (n,); raises GoldfoldError as `metrics.inputs.numeric_target` does."""
        return ((numeric_target(rows, self.target) - self.center) / self.scale).astype(np.float32)

    def loss(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """Return a function: outputs (n, 1), labels (n,) -> {"mse": mean squared error}."""
        rows = self.row_losses(params, labels)
        return lambda outputs, labels: {"mse": rows(outputs, labels).mean()}

    def row_losses(self, params: Any, labels: np.ndarray) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function: outputs (n, 1), labels (n,) -> (n,) squared errors."""
        return lambda outputs, labels: (outputs[:, 0] - labels) ** 2

    def balance(self, params: Any, labels: np.ndarray) -> None:
        """None: values have no classes to be drawn by."""
        return None

    def probabilities(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Values in the target's unit, float64 (n,), of outputs (n, 1); also of a tensor."""
        values = outputs.double() if isinstance(outputs, Tensor) else outputs.astype(np.float64)
        return values[:, 0] * self.scale + self.center

    def example(self, rows: int) -> np.ndarray:
        """Predictions for `rows` rows."""
        return np.zeros(rows)
