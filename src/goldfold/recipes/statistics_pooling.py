"""Sequence classification by statistics pooling: five statistics of each feature over time, and a small network.

Mean and standard deviation over time are the pooling of x-vectors (Snyder et al. 2018); median, max and min are added.
Statistics are computed once per window and cached by content, so that an epoch reads no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import GoldfoldError
from goldfold.nn import batches, feature_cache, mixup, schedules
from goldfold.params import Needs, with_defaults
from goldfold.recipes.classification import optimizers
from goldfold.recipes.classification.parameters import (
    Mixup,
    PeakRate,
    SamplesPerBatch,
    Schedule,
    TrainingEpochs,
    Warmup,
    WeightDecay,
)
from goldfold.recipes.targets import Targets, create
from goldfold.sequences import inputs, joints, windows
from goldfold.sequences.parameters import WindowParams
from goldfold.sequences.pooled_rows import moments, scaled
from goldfold.sequences.preparation import STATISTICS, statistics

if TYPE_CHECKING:
    from pandas import DataFrame

    Rows = Callable[[tuple[Path, ...]], np.ndarray]

VERSION = 1  # of the statistics in the cache; raise it when their computation changes


class StatisticsPoolingParams(WindowParams):
    """Preparation of windows, network and training."""

    domain_summary: bool = Field(
        False, description="add the share of frames with a hand near the mouth, and the mouth's mean confidence"
    )
    mouth: Annotated[int | str, Needs(domain_summary=True)] = Field(0, description="joint of the mouth: number or name")
    hands: Annotated[tuple[int | str, ...], Needs(domain_summary=True)] = Field(
        (-2, -1), min_length=1, description="joints of the hands: numbers, of which -1 is the last, or names"
    )
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (512, 128), description="widths of the hidden layers; empty: a linear model"
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout rate after each hidden layer")
    batch_norm: bool = Field(False, description="batch normalization in each hidden layer")
    single_logit: bool = Field(False, description="one logit instead of two, for two classes")
    mixup: Mixup = 0.0
    epochs: TrainingEpochs = 10
    batch_size: SamplesPerBatch = 32
    learning_rate: PeakRate = 1e-3
    weight_decay: WeightDecay = 1e-4
    schedule: Schedule = "constant"
    warmup: Warmup = 0.1


def recipe(
    target: str | None = None,
    classes: Sequence | None = None,
    *,
    targets: Sequence[str] | None = None,
    joint_names: Sequence[str] | None = None,
    **defaults: Any,
) -> Recipe:
    """Return the recipe for rows whose column `path` holds windows, and labels in `target`, or in several columns.

    classes: all labels, in the order of predictions: (n,) probabilities of the second of two, otherwise (n, classes).
        `ClassLossParams` are parameters, too.
    targets: instead of `target` and `classes`, columns of 0 and 1; predictions are (n, labels) probabilities.
    joint_names: names of the joints, in their order, by which `mouth` and `hands` may be given.
    defaults: defaults of `StatisticsPoolingParams` for this competition.
    """
    labels = create(target, classes, targets)
    return Recipe(
        params=with_defaults(labels.params(StatisticsPoolingParams), **defaults),
        build=partial(_build, targets=labels, joint_names=joint_names),
        labels=labels.declared,
        columns=("path", *labels.columns),
        example=lambda params, rows, classes: labels.example(rows),
        accepts=labels.accepts,
        check=partial(_check, targets=labels, joint_names=joint_names),
    )


def _check(
    params: StatisticsPoolingParams,
    train: DataFrame,
    test: DataFrame,
    *,
    targets: Targets,
    joint_names: Sequence[str] | None,
) -> None:
    if params.single_logit and targets.outputs != 2:
        raise GoldfoldError(
            "single_logit_needs_two_classes",
            f"single_logit is for two classes, and there are {targets.outputs} outputs: leave it out",
        )
    inputs.check_tables(params, train, test)
    pooled(windows.read(train["path"].iloc[0]), params, joint_names)


def _build(
    params: StatisticsPoolingParams,
    rows: DataFrame,
    runtime: Runtime,
    *,
    targets: Targets,
    joint_names: Sequence[str] | None,
) -> Plan:
    paths = tuple(rows["path"])
    drop_last = _drops_last(params, len(paths))
    rows_of = _cached(params, inputs.width(paths[0], params), joint_names, runtime)
    known = rows_of(paths)
    counts, means, sds = moments(known)
    scaler = inputs.fold_scaler(params, counts, means, sds, paths)
    labels = targets.labels(rows)
    samples = _on(runtime, scaled(known, scaler)), torch.from_numpy(labels).to(runtime.device)
    balance = targets.balance(params, labels)
    of_epoch = batches.in_memory(samples, params.batch_size, runtime.seed, drop_last=drop_last, balance=balance)
    stage = Stage(
        name="fit",
        epochs=params.epochs,
        batches=mixup.batches(of_epoch, params.mixup, runtime.seed),
        losses=partial(_losses, loss=targets.loss(params, labels)),
        optimizer=partial(optimizers.adamw, params),
        schedule=schedules.create(params.schedule, params.warmup),
        row_losses=partial(_row_losses, samples, targets.row_losses(params, labels)),
    )
    return Plan(
        model=Network(samples[0].shape[1], targets.outputs, params),
        stages=[stage],
        predict=partial(_predict, lambda paths: scaled(rows_of(paths), scaler), targets),
        kept={"scaler": scaler.to_json()} if scaler else {},
    )


def _drops_last(params: StatisticsPoolingParams, rows: int) -> bool:
    """Whether the last batch is left out, since batch normalization cannot train on a single row."""
    if not params.batch_norm:
        return False
    if params.batch_size == 1 or rows == 1:
        raise GoldfoldError(
            "batch_norm_single_row",
            f"batch_norm needs batches of two rows, got batch_size={params.batch_size} and {rows} training windows: "
            "raise batch_size, or leave batch_norm out",
        )
    return rows > params.batch_size and rows % params.batch_size == 1


def pooled(
    window: windows.Window, params: StatisticsPoolingParams, joint_names: Sequence[str] | None = None
) -> np.ndarray:
    """A window as one row, float64: number of valid frames, `STATISTICS` of each feature, perhaps the summary."""
    parts = [np.array([window.valid.sum()]), statistics(inputs.prepare(window, params), window.valid)]
    if params.domain_summary:
        parts.append(joints.summary(window, params.mouth, params.hands, joint_names))
    return np.concatenate(parts)


def _cached(
    params: StatisticsPoolingParams, features: int, joint_names: Sequence[str] | None, runtime: Runtime
) -> Rows:
    """Return a function: paths -> rows of `pooled`, float64, cached by the contents of the files."""
    extra = 2 * params.domain_summary
    asked: list[Any] = [params.pack, params.smoothing, params.zscore == "per_file"]
    asked += [params.mouth, params.hands, tuple(joint_names or ())] if params.domain_summary else []

    def load(paths: Sequence[Path]) -> list[tuple[Path, windows.Window]]:
        return [(path, windows.read(path)) for path in paths]

    def extract(loaded: Sequence[tuple[Path, windows.Window]]) -> np.ndarray:
        rows = [pooled(window, params, joint_names) for _, window in loaded]
        for (path, _), row in zip(loaded, rows, strict=True):
            inputs.check_width((len(row) - 1 - extra) // len(STATISTICS), features, path)
        return np.stack(rows)

    @lru_cache(maxsize=3)  # training, validation and test rows
    def rows_of(paths: tuple[Path, ...]) -> np.ndarray:
        return feature_cache.cached_features(
            paths,
            extract,
            load=load,
            key=f"statistics {VERSION} {features} {asked}",
            cache=runtime.cache,
            progress=partial(runtime.progress, "statistics"),
            dtype=np.float64,
        )

    return rows_of


def _on(runtime: Runtime, values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(runtime.device)


class Network(nn.Module):
    """Statistics (n, inputs) -> logits (n, outputs): hidden layers with ReLU and dropout.

    With `single_logit` the first of two logits is 0, so that the cross-entropy is that of one logit.
    """

    def __init__(self, inputs: int, outputs: int, params: StatisticsPoolingParams) -> None:
        super().__init__()
        self.single = params.single_logit
        layers: list[nn.Module] = []
        for width in params.hidden:
            layers += [nn.Linear(inputs, width), *([nn.BatchNorm1d(width)] if params.batch_norm else [])]
            layers += [nn.ReLU(), nn.Dropout(params.dropout)]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1 if self.single else outputs))

    def forward(self, statistics: Tensor) -> Tensor:
        logits = self.layers(statistics)
        return torch.cat([torch.zeros_like(logits), logits], dim=1) if self.single else logits


def _losses(
    model: nn.Module, batch: tuple[Any, ...], loss: Callable[[Tensor, Tensor], dict[str, Tensor]]
) -> dict[str, Tensor]:
    statistics, labels = mixup.mix(batch)
    return mixup.mixed_loss(loss, model(statistics), labels)


def _row_losses(
    samples: tuple[Tensor, Tensor], loss: Callable[[Tensor, Tensor], Tensor], model: nn.Module
) -> np.ndarray:
    """Return the losses of the training windows, float64 (n,)."""
    statistics, labels = samples
    return loss(model(statistics).cpu().double(), labels.cpu()).numpy()


def _predict(
    inputs_of: Callable[[tuple[Path, ...]], np.ndarray],
    targets: Targets,
    model: nn.Module,
    finished: None,
    rows: DataFrame,
) -> np.ndarray:
    """Return probabilities, float64, as `targets.predictions` says."""
    values = torch.from_numpy(inputs_of(tuple(rows["path"])).astype(np.float32))
    logits = model(values.to(next(model.parameters()).device)).cpu().double()  # in float32 p near 1 would be ties
    return targets.predictions(targets.probabilities(logits).numpy())
