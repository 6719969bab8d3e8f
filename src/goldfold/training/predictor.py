"""Predict with a finished plan: predictions and pictures of rows, made without their targets."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pandas import DataFrame
from torch import nn

from goldfold.competition import Plan
from goldfold.data import fields
from goldfold.data.tables import without_targets
from goldfold.errors import GoldfoldError
from goldfold.io.clock import CLOCK
from goldfold.training.settings import autocast_for


@dataclass(frozen=True)
class Predictor:
    """A plan with one model's weights and the state from `finish`; target columns are removed from all rows."""

    plan: Plan
    model: nn.Module | None
    finished: Any
    targets: Sequence[str]
    precision: str

    def __call__(self, rows: DataFrame) -> np.ndarray:
        """Predict one value, vector or record per row.

        Raises:
            GoldfoldError: a target column is read, the number of predictions differs from the number of rows, or a
                prediction is not finite.
        """
        with (
            CLOCK.phase("predicting"),
            torch.no_grad(),
            autocast_for(self.precision, self.model),
            labels_refused(self.targets),
        ):
            found = self.plan.predict(self.model, self.finished, without_targets(rows, self.targets))
        predictions = np.asarray(found)
        _check(predictions, rows)
        return predictions

    def encode(self, rows: DataFrame) -> np.ndarray:
        """Codes of rows, uint8 (n, bytes); only for a plan with `codes`."""
        assert self.plan.codes is not None, "a plan without codes has nothing to encode by"
        with torch.no_grad(), autocast_for(self.precision, self.model), labels_refused(self.targets):
            return self.plan.codes.encode(self.model, self.finished, without_targets(rows, self.targets))

    def distances(self, rows: DataFrame, codes: np.ndarray) -> np.ndarray:
        """Distances of rows to codes (m, bytes), (n, m); only for a plan with `codes`."""
        assert self.plan.codes is not None, "a plan without codes has no distances"
        with torch.no_grad(), autocast_for(self.precision, self.model), labels_refused(self.targets):
            return self.plan.codes.distances(self.model, self.finished, without_targets(rows, self.targets), codes)

    def pictures(self, rows: DataFrame) -> Mapping[str, np.ndarray]:
        """The model's output for each row as images, by name; empty if the plan has none."""
        if self.plan.pictures is None:
            return {}
        with torch.no_grad(), autocast_for(self.precision, self.model), labels_refused(self.targets):
            return self.plan.pictures(self.model, self.finished, without_targets(rows, self.targets))

    def probe(self, rows: DataFrame, predictions: np.ndarray, images: int) -> Mapping[str, Any]:
        """What the plan finds out about itself on validation rows with their targets; empty if it does not look."""
        if self.plan.probe is None:
            return {}
        with torch.no_grad(), autocast_for(self.precision, self.model):
            return self.plan.probe(self.model, self.finished, rows, predictions, images)


def finish_plan(plan: Plan, model: nn.Module | None, targets: Sequence[str], precision: str) -> Predictor:
    """Run the plan's `finish` with the current weights of `model`, and return the predictor."""
    if model is not None:
        model.eval()
    with CLOCK.phase("training"), torch.no_grad(), autocast_for(precision, model):
        return Predictor(plan, model, plan.finish(model), targets, precision)


@contextmanager
def labels_refused(targets: Sequence[str]) -> Iterator[None]:
    """Raise GoldfoldError `label_at_inference` where the block reads a target column that its rows do not have."""
    try:
        yield
    except (KeyError, AttributeError) as error:
        absent = [target for target in targets if re.search(rf"(?<!\w){re.escape(target)}(?!\w)", str(error))]
        from_table = "pandas" in Path(traceback.extract_tb(error.__traceback__)[-1].filename).parts
        if not absent or not (from_table or isinstance(error, AttributeError)):
            raise
        raise GoldfoldError(
            "label_at_inference",
            f"predict() reads the target column '{absent[0]}', which no row has at inference: predict from the other "
            "columns, and keep what depends on labels of training rows in finish()",
        ) from error


def _check(predictions: np.ndarray, rows: DataFrame) -> None:
    """Check that there is one finite prediction per row."""
    if len(predictions) != len(rows):
        raise GoldfoldError(
            "predictions_wrong_length",
            f"predict() must return one prediction per row, and it returned {len(predictions)} for {len(rows)} rows",
        )
    numbers = [part.reshape(len(rows), -1) for part in fields.parts(predictions) if part.dtype.kind == "f"]
    finite = np.all([np.isfinite(part).all(axis=1) for part in numbers], axis=0)
    if not np.all(finite):
        bad = int(np.argmin(finite))
        raise GoldfoldError(
            "predictions_not_finite",
            f"the prediction for id {rows['id'].tolist()[bad]!r} is NaN or infinite: lower the learning rate, or "
            "inspect this sample",
        )
