"""Columns of the table beside an image: numbers and categories as further inputs of the head, fitted on training rows.

Each numeric column is standardized, with its gaps at the median and an indicator of them; each categorical column is
one-hot, with a place of its own for gaps and for categories that the training rows lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from goldfold.data.columns import require
from goldfold.errors import GoldfoldError
from goldfold.params import Params

if TYPE_CHECKING:  # scikit-learn, which they import, takes a second, and most runs have no columns
    from pandas import DataFrame

    from goldfold.recipes.tables.columns import Columns, FittedColumns
    from goldfold.recipes.tables.scaling import Scaling


class ColumnParams(Params):
    """Columns beside the image, and training rows that are kept back."""

    numeric_columns: tuple[str, ...] = Field(
        (), description="numeric columns beside the image, standardized by the training rows, with indicators of gaps"
    )
    categorical_columns: tuple[str, ...] = Field(
        (), description="categorical columns beside the image, one-hot; gaps and unseen categories have their own place"
    )
    monitor_share: float = Field(
        0.0, ge=0, lt=1, description="share of the training rows kept back to monitor `stopping_loss`; 0: none"
    )


@dataclass(frozen=True)
class TableColumns:
    """Columns fitted on training rows. width: number of inputs that they make."""

    fitted: FittedColumns
    scaled: Scaling
    width: int

    def to_json(self) -> dict[str, Any]:
        """What each input is: columns in order, numbers with an indicator of gaps, and the value of each code.

        Inputs of equal values here mean the same, so that weights for them can be taken over.
        """
        names = np.array(self.fitted.names)[self.scaled.numbers][self.scaled.flagged]
        return {**self.fitted.to_json(), "with_gaps": names.tolist(), "inputs": self.width}

    def __call__(self, rows: DataFrame) -> Tensor:
        """The inputs of rows, float32 (n, width).

        Raises:
            GoldfoldError: `unknown_column`, the rows lack one; `column_not_numeric`; `column_not_finite`.
        """
        for name in (*self.fitted.columns.numeric, *self.fitted.columns.categorical):
            require(rows, name, "column beside the image")
        return torch.from_numpy(self.scaled(self.fitted.transform(rows)))


def kept(beside: TableColumns | None) -> dict[str, Any]:
    """What the columns' inputs are, for `Plan.kept`, by which another run sees whether its columns are the same."""
    return {"columns": beside.to_json()} if beside else {}


def not_exported(beside: TableColumns | None) -> str:
    """Why a plan with such columns cannot be exported, for `Export.refused`; empty without columns."""
    return "it takes columns of the table beside the image" if beside else ""


def fit(params: Any, rows: DataFrame, seed: int) -> TableColumns | None:
    """Fit the columns that params name on training rows; None if they name none. params: `ColumnParams`."""
    columns = _columns(params)
    if columns is None:
        return None
    from goldfold.recipes.tables import scaling

    fitted, matrix = columns.fit(rows, np.zeros(len(rows)), seed)  # no labels, since nothing is target-encoded
    scaled = scaling.fit(fitted, matrix, "standard", seed)
    return TableColumns(fitted, scaled, scaled(matrix[:1]).shape[1])


def check(params: Any, targets: Sequence[str], train: DataFrame, test: DataFrame) -> None:
    """Check the columns that params name in both tables; params: `ColumnParams`.

    Raises:
        GoldfoldError: `column_is_target`; `unknown_column`, `column_not_in_test`, `column_not_numeric` or
            `column_not_finite`, as `goldfold.data.preprocessing.check_columns` does.
    """
    for key in ("numeric_columns", "categorical_columns"):
        for name in getattr(params, key):
            if name in targets:
                raise GoldfoldError(
                    "column_is_target",
                    f"column '{name}' of {key} is what the recipe predicts, and test rows do not have it: take it out "
                    f"of {key}",
                )
    columns = _columns(params)
    if columns is not None:
        columns.check(train, pd.Series(0, train.index), test)


def _columns(params: Any) -> Columns | None:
    """The columns that params name; None if they name none."""
    if not params.numeric_columns and not params.categorical_columns:
        return None
    from goldfold.recipes.tables.columns import Columns

    numeric, categorical = (tuple(dict.fromkeys(each)) for each in (params.numeric_columns, params.categorical_columns))
    return Columns(numeric, categorical)


class WithColumns(nn.Module):
    """(Pixels, inputs of columns (n, width)) -> logits (n, outputs): those of the network plus a linear layer's.

    A linear classifier over the features of the image and the columns side by side has the same logits. The columns
    start with weights of 0, so that an input that is never on in training, such as that of unseen categories, adds
    nothing.

    image: a module with the children `normalize` and `network`. dropout: rate for the inputs of columns.
    may_start_anew: layers that start anew where the weights are of a run without columns or with others (`init_from`).
    """

    may_start_anew = ("columns",)

    def __init__(self, image: nn.Module, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.normalize = image.get_submodule("normalize")
        self.dropout = nn.Dropout(dropout)
        self.columns = nn.Linear(width, outputs, bias=False)
        self.network = image.get_submodule("network")  # its classifier stays the last layer
        nn.init.zeros_(self.columns.weight)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        pixels, columns = inputs
        return self.network(self.normalize(pixels)) + self.columns(self.dropout(columns))


class StandardizedColumns(nn.Module):
    """Inputs of columns (..., width) -> what they add to a layer's outputs (..., outputs), at first 0.

    inputs: float32 (n, width) of training rows, by whose mean and standard deviation they are standardized; those that
        are constant, such as that of unseen categories, keep weights of 0 and so add nothing. dropout: rate for the
        standardized inputs; before, it would turn a constant into two values.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, inputs: Tensor, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        std = inputs.std(0, correction=0)
        self.register_buffer("mean", inputs.mean(0))
        self.register_buffer("std", torch.where(std > 1e-6, std, 1.0))
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.zeros(outputs, inputs.shape[1]))

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.linear(self.dropout((inputs - self.mean) / self.std), self.weight)
