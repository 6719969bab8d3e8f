"""What a plan says of rows once it is finished: predictions and pictures, made without their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pandas import DataFrame
from torch import nn

from goldfold.competition import Plan
from goldfold.data import fields
from goldfold.data.tables import without_targets
from goldfold.errors import GoldfoldError
from goldfold.training.settings import autocasting


@dataclass(frozen=True)
class Predictor:
    """A plan with one model's weights, and what `finish` made of them. It never hands the columns `targets` on."""

    plan: Plan
    model: nn.Module | None
    finished: Any
    targets: Sequence[str]
    precision: str

    def __call__(self, rows: DataFrame) -> np.ndarray:
        """One prediction per row, all finite; anything else raises GoldfoldError."""
        with torch.no_grad(), autocasting(self.precision, self.model):
            predictions = np.asarray(self.plan.predict(self.model, self.finished, without_targets(rows, self.targets)))
        _check(predictions, rows)
        return predictions

    def pictures(self, rows: DataFrame) -> Mapping[str, np.ndarray]:
        """What the plan shows of each row; nothing where it shows nothing."""
        if self.plan.pictures is None:
            return {}
        with torch.no_grad(), autocasting(self.precision, self.model):
            return self.plan.pictures(self.model, self.finished, without_targets(rows, self.targets))


def finished(plan: Plan, model: nn.Module | None, targets: Sequence[str], precision: str) -> Predictor:
    """Finish a plan with the weights `model` has now."""
    if model is not None:
        model.eval()
    with torch.no_grad(), autocasting(precision, model):
        return Predictor(plan, model, plan.finish(model), targets, precision)


def _check(predictions: np.ndarray, rows: DataFrame) -> None:
    if len(predictions) != len(rows):
        raise GoldfoldError(
            f"predict() must return one prediction per row and made {len(predictions)} for {len(rows)} rows"
        )
    numbers = [part.reshape(len(rows), -1) for part in fields.parts(predictions) if part.dtype.kind == "f"]
    finite = np.all([np.isfinite(part).all(axis=1) for part in numbers], axis=0)
    if not np.all(finite):
        bad = int(np.argmin(finite))
        raise GoldfoldError(
            f"predictions must be finite, and that of id {rows['id'].tolist()[bad]!r} is not: lower the learning rate, "
            "or look at this sample"
        )
