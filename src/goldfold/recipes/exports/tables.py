"""Networks of tables as modules, and how their inputs are made of columns, in numbers that other programs can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from goldfold.recipes.tables.scaling import LARGEST, Scaling

if TYPE_CHECKING:
    from goldfold.recipes.tables.columns import Columns, FittedColumns


def refused(columns: Columns) -> str:
    """Why such columns cannot be made outside goldfold, in one clause; empty if they can."""
    if columns.features is not None:
        return "its columns are made by a function of the competition (features=)"
    return "its columns are target-encoded (target_encoding)" if columns.encoded else ""


def preprocessing(columns: FittedColumns, scaled: Scaling) -> dict[str, Any]:
    """How the input is made of columns: medians of gaps, the scaler's numbers, the code of each category."""
    names = np.array(columns.names)
    return {
        "kind": "columns",
        "numeric": names[scaled.numbers].tolist(),
        "medians": scaled.medians.tolist(),
        "scaling": _scaler(scaled.scaler) if len(scaled.numbers) else {},
        "flagged": scaled.flagged.tolist(),
        "largest": LARGEST,
        "categorical": [
            {"name": str(name), "numbers": numbers, "codes": codes, "size": size}
            for name, size, (numbers, codes) in zip(
                names[scaled.categories], scaled.sizes, _codes(columns), strict=True
            )
        ],
    }


def _scaler(scaler: Any) -> dict[str, Any]:
    if isinstance(scaler, StandardScaler):
        return {"kind": "standard", "mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}
    return {
        "kind": "quantile",
        "quantiles": scaler.quantiles_.T.tolist(),
        "references": scaler.references_.tolist(),
    }


def _codes(columns: FittedColumns) -> list[tuple[bool, list[list[Any]]]]:
    """Of each categorical column, whether it holds numbers, and its values with their codes."""
    if columns.codes is None:
        return []
    categories, coder = columns.codes[0], columns.codes[-1]
    known = [[value for value in each.tolist() if not pd.isna(value)] for each in coder.categories_]
    longest = max(map(len, known))
    padded = {
        name: pd.Series(
            [*values, *[np.nan] * (longest - len(values))], dtype=each.dtype if len(values) == longest else None
        )
        for name, values, each in zip(columns.columns.categorical, known, coder.categories_, strict=True)
    }
    codes = coder.transform(pd.DataFrame(padded))
    return [
        (
            bool(categories.numbers_[name]),
            [
                [float(value) if categories.numbers_[name] else value, int(code)]
                for value, code in zip(values, own.tolist()[: len(values)], strict=True)
            ],
        )
        for name, values, own in zip(columns.columns.categorical, known, codes.T, strict=True)
    ]


class Table(nn.Module):
    """Inputs (n, inputs) of a network -> predictions (n, ...), float64: the mean of its members, as targets say."""

    def __init__(self, model: nn.Module, targets: Any) -> None:
        super().__init__()
        self.model, self.targets = model, targets

    def forward(self, inputs: Tensor) -> Tensor:
        return self.targets.predictions(self.targets.probabilities(self.model(inputs).double()).mean(1))
