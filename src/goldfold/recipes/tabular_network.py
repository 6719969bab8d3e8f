"""A network for tables: embeddings of numbers and categories, then many MLPs that share their weights (TabM).

Gorishniy et al., TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling, 2024; On Embeddings for
Numerical Features in Tabular Deep Learning, 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.errors import unknown
from goldfold.nn import batches, mixup, schedules
from goldfold.optional_parts import Export, Importances, Monitored
from goldfold.params import BatchSize, Epochs, LearningRate, Needs, Not, Params, with_defaults
from goldfold.recipes.exports import tables as exported
from goldfold.recipes.tables import network, scaling
from goldfold.recipes.tables.columns import Columns, FittedColumns
from goldfold.recipes.targets import Targets, create, kept_back
from goldfold.recipes.targets.one_value import OneValue

if TYPE_CHECKING:
    from pandas import DataFrame
    from sklearn.base import TransformerMixin

ROWS = 2048  # of a forward pass without gradients


class TabularNetworkParams(Params):
    """Inputs, network and training."""

    scaling: Literal["quantile", "standard"] = Field(
        "quantile", description="numbers by ranks to a normal distribution, or to mean 0 and sd 1; of training rows"
    )
    numeric_embedding: Literal["none", "piecewise", "periodic"] = Field(
        "piecewise", description="embedding of numbers: none, piecewise-linear over quantile bins, or periodic"
    )
    bins: Annotated[int, Needs(numeric_embedding="piecewise")] = Field(
        32, ge=1, description="most quantile bins of a number"
    )
    frequencies: Annotated[int, Needs(numeric_embedding="periodic")] = Field(
        24, ge=1, description="learned frequencies of a number"
    )
    frequency_scale: Annotated[float, Needs(numeric_embedding="periodic")] = Field(
        0.1, gt=0, description="standard deviation of the frequencies before training"
    )
    embedding: int = Field(12, ge=1, description="width of the embedding of a number or a category")
    target_encoding: tuple[str, ...] = Field(
        (), description="categorical columns whose mean target, out of inner folds, is a feature, too"
    )
    members: int = Field(16, ge=1, description="MLPs that share their weights, whose predictions are averaged; 1: one")
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (128, 128), min_length=1, description="widths of the hidden layers"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate after each hidden layer")
    mixup: float = Field(
        0.0, ge=0, description="mix each row with another one of its batch, by a share from Beta(mixup, mixup); 0: none"
    )
    monitor_share: float = Field(
        0.15, ge=0, lt=1, description="share of the training rows kept back to monitor `stopping_loss`; 0: none"
    )
    epochs: Epochs = Field(60, ge=1, description="number of training epochs")
    batch_size: BatchSize = Field(64, ge=1, description="rows per batch")
    learning_rate: LearningRate = Field(2e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(3e-4, ge=0, description="weight decay of AdamW")
    schedule: schedules.Name = Field("constant", description="learning-rate schedule")
    warmup: Annotated[float, Needs(schedule=Not("constant"))] = Field(
        0.1, ge=0, lt=1, description="share of all steps in which the learning rate rises"
    )
    permutations: int = Field(
        3, ge=0, description="times that each feature of the scored fold is shuffled for its importance; 0: none"
    )


def recipe(
    target: str | None = None,
    classes: Sequence | None = None,
    *,
    value: str | None = None,
    targets: Sequence[str] | None = None,
    numeric: Sequence[str],
    categorical: Sequence[str] = (),
    features: Callable[[Any, int], TransformerMixin] | None = None,
    group: str | None = None,
    **defaults: Any,
) -> Recipe:
    """Return the recipe for labels in `target`, numbers in `value`, or several columns `targets` of 0 and 1.

    classes: all labels, in the order of predictions: (n,) probabilities of the second of two, otherwise (n, classes).
        `ClassLossParams` are parameters, too. value: predictions are (n,) values. targets: (n, labels) probabilities.
    numeric, categorical, features, group: as in `recipes.boosting.recipe`.
    defaults: defaults of `TabularNetworkParams` for this competition.
    """
    wanted = create(target, classes, targets) if value is None else OneValue(value)

    def columns(params: TabularNetworkParams, seed: int) -> Columns:
        absent = [name for name in params.target_encoding if name not in categorical]
        if absent or (params.target_encoding and targets):
            raise unknown("categorical column", params.target_encoding[0], categorical, code="unknown_column")
        made = partial(features, params, seed) if features else None
        return Columns(tuple(numeric), tuple(categorical), params.target_encoding, made)

    def check(params: TabularNetworkParams, train: DataFrame, test: DataFrame) -> None:
        known = pd.Series(wanted.labels(train).tolist(), train.index)
        columns(params, 0).check(train.drop(columns=list(wanted.columns)), known, test)

    return Recipe(
        params=with_defaults(wanted.params(TabularNetworkParams), **defaults),
        build=partial(_build, wanted=wanted, columns=columns, group=group),
        labels=wanted.declared,
        columns=(*wanted.columns, *([group] if group else [])),
        example=lambda params, rows, classes: wanted.example(rows),
        check=check,
    )


def _build(
    params: TabularNetworkParams,
    rows: DataFrame,
    runtime: Runtime,
    *,
    wanted: Targets | OneValue,
    columns: Callable[[Any, int], Columns],
    group: str | None,
) -> Plan:
    back = kept_back.which(wanted, rows, params.monitor_share, runtime.seed, group)
    fit, kept = rows[~back].reset_index(drop=True), rows[back].reset_index(drop=True)
    wanted = wanted.fitted(fit) if isinstance(wanted, OneValue) else wanted
    known = wanted.labels(fit)
    features = fit.drop(columns=list(wanted.columns))
    fitted, matrix = columns(params, runtime.seed).fit(features, known, runtime.seed)
    scaled = scaling.fit(fitted, matrix, params.scaling, runtime.seed)
    samples = torch.from_numpy(scaled(matrix)).to(runtime.device), torch.from_numpy(known).to(runtime.device)
    balance = wanted.balance(params, known)
    of_epoch = batches.in_memory(samples, params.batch_size, runtime.seed, balance=balance)
    loss, inputs = wanted.row_losses(params, known), Inputs(fitted, scaled, wanted)
    stage = Stage(
        name="fit",
        epochs=params.epochs,
        batches=mixup.batches(of_epoch, params.mixup, runtime.seed),
        losses=partial(_losses, loss=wanted.loss(params, known)),
        optimizer=partial(_optimizer, params),
        schedule=schedules.create(params.schedule, params.warmup),
        row_losses=partial(_row_losses, inputs, rows, loss),
    )
    watched = partial(_monitor, inputs, kept, loss) if len(kept) else None
    return Plan(
        model=_network(params, scaled, samples[0].cpu().numpy(), wanted.outputs),
        stages=[stage],
        finish=lambda model: inputs,
        predict=lambda model, inputs, rows: inputs.predict(model, inputs.columns.transform(rows)),
        monitor=watched,
        importances=Importances(
            names=lambda inputs: inputs.columns.names,
            features=lambda inputs, rows: inputs.columns.transform(rows),
            predict=lambda model, inputs, features: inputs.predict(model, features),
            permutations=params.permutations,
        ),
        kept={"columns": fitted.to_json()},
        export=Export(
            preprocessing=lambda inputs: exported.preprocessing(inputs.columns, inputs.scaled),
            module=lambda model, inputs: exported.Table(model, inputs.wanted),
            refused=exported.refused(fitted.columns),
        ),
    )


@dataclass(frozen=True)
class Inputs:
    """What makes inputs of rows, fitted on training rows, and predictions of outputs."""

    columns: FittedColumns
    scaled: scaling.Scaling
    wanted: Targets | OneValue

    def outputs(self, model: nn.Module, features: np.ndarray) -> Tensor:
        """Outputs of all members, (n, members, outputs), of features (n, f); without gradients."""
        device = next(model.parameters()).device
        parts = torch.from_numpy(self.scaled(features)).split(ROWS)
        with torch.no_grad():
            return torch.cat([model(part.to(device)).cpu() for part in parts])

    def predict(self, model: nn.Module, features: np.ndarray) -> np.ndarray:
        """Predictions of features (n, f): the mean of the members' probabilities or values, float64."""
        found = self.wanted.probabilities(self.outputs(model, features).double())
        return self.wanted.predictions(found.mean(dim=1).numpy())


def _network(params: TabularNetworkParams, scaled: scaling.Scaling, inputs: np.ndarray, outputs: int) -> nn.Module:
    numbers = len(scaled.numbers)
    embedded: nn.Module | None = None
    if numbers and params.numeric_embedding == "piecewise":
        embedded = network.PiecewiseLinear(network.edges(inputs[:, :numbers], params.bins), params.embedding)
    elif numbers and params.numeric_embedding == "periodic":
        embedded = network.Periodic(numbers, params.frequencies, params.frequency_scale, params.embedding)
    shape = network.Shape(
        numbers=numbers,
        flags=len(scaled.flagged),
        categories=scaled.sizes,
        outputs=outputs,
        hidden=params.hidden,
        members=params.members,
        embedding=params.embedding,
        dropout=params.dropout,
    )
    return network.Network(shape, embedded)


def _losses(
    model: nn.Module, batch: tuple[Any, ...], loss: Callable[[Tensor, Tensor], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """The mean loss of the members, each of which learns the labels by itself."""
    inputs, known = mixup.mix(batch)
    outputs = model(inputs)
    members = outputs.shape[1]
    if isinstance(known, mixup.Pairs):
        known = known._replace(first=_each(known.first, members), second=_each(known.second, members))
    else:
        known = _each(known, members)
    return mixup.mixed_loss(loss, outputs.flatten(0, 1), known)


def _each(known: Tensor, members: int) -> Tensor:
    """The labels of rows repeated for each member, in the order of flattened outputs."""
    return known.repeat_interleave(members, dim=0)


def _row_losses(
    inputs: Inputs, rows: DataFrame, loss: Callable[[Tensor, Tensor], Tensor], model: nn.Module
) -> np.ndarray:
    """The mean loss of the members of each row with its target, float64 (n,)."""
    features = inputs.columns.transform(rows.drop(columns=list(inputs.wanted.columns)))
    outputs, known = inputs.outputs(model, features), torch.from_numpy(inputs.wanted.labels(rows))
    members = outputs.shape[1]
    return loss(outputs.flatten(0, 1).double(), _each(known, members)).view(-1, members).mean(dim=1).numpy()


def _monitor(
    inputs: Inputs, kept: DataFrame, loss: Callable[[Tensor, Tensor], Tensor], model: nn.Module
) -> dict[str, Monitored]:
    """The loss of the rows kept back."""
    return {kept_back.MONITORED: Monitored(float(_row_losses(inputs, kept, loss, model).mean()), False)}


def _optimizer(params: TabularNetworkParams, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True)
