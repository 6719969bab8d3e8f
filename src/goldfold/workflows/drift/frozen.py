"""The features that a config's frozen backbone computes of train and test rows, as the feature cache has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from pandas import DataFrame

from goldfold.data.tables import without_targets
from goldfold.errors import GoldfoldError
from goldfold.experiment.config import Config
from goldfold.experiment.fits import build_plan, fold_numbers
from goldfold.experiment.setup import prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.nn import feature_cache
from goldfold.training.devices import choose_device
from goldfold.training.predictor import Predictor, finish_plan
from goldfold.trust.drift.features import Features

PROBE = 2  # rows that are predicted to see whether a recipe asks the cache
WIDEST = 16_384  # features of a row, beyond which they are maps of patches


def embeddings(workspace: Workspace, name: str, config: Config, rows: DataFrame, device: str | None) -> Features:
    """The frozen features of rows, train rows first, by the plan of the config's first fold, which is not trained.

    Raises:
        GoldfoldError: `no_frozen_features`, the recipe trains its whole network or reads tables; `features_too_wide`,
            they are maps.
    """
    prepared = prepare_experiment(workspace, name, replace(config, automatic=()), choose_device(device))
    experiment = prepared.experiment
    number = fold_numbers(experiment.protocol, experiment.folds)[0]
    plan, _ = build_plan(experiment, number, experiment.protocol.seeds[0])
    targets = experiment.competition.targets
    if plan.model is not None:
        plan.model.to(experiment.runtime.device).eval()
    predict = finish_plan(plan, plan.model, targets, experiment.loop.precision)
    plain = without_targets(rows, targets).reset_index(drop=True)
    if not _asked(predict, plain.tail(PROBE).reset_index(drop=True)):
        raise GoldfoldError(
            "no_frozen_features",
            f"config '{config.name}' of '{name}' computes no features with a frozen backbone: leave CONFIG and RUN "
            "out, or name one whose recipe does, such as frozen_backbone",
        )
    blocks = [block for block in _asked(predict, plain) if len(block) == len(plain)]
    values = np.hstack(blocks).astype(np.float64) if blocks else np.empty((len(plain), 0))
    if not 0 < values.shape[1] <= WIDEST:
        raise GoldfoldError(
            "features_too_wide",
            f"config '{config.name}' of '{name}' has {values.shape[1]:,} cached features a row, and 1 to {WIDEST:,} "
            "can be compared: name a config with pooled features",
        )
    return Features(values, tuple(map(str, range(values.shape[1]))), np.zeros(values.shape[1], bool), linear=True)


def _asked(predict: Predictor, rows: DataFrame) -> list[np.ndarray]:
    """The features that a prediction of rows asks the cache for, once for each key."""
    with feature_cache.watching() as asked, torch.no_grad():
        predict(rows)
    return list(dict(asked).values())
