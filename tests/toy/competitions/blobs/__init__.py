"""Two clouds of points, one recipe of every kind the seam must hold but embeddings (see `neighbors`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from goldfold import metrics
from goldfold.competition import Competition, Plan, Recipe, Stage, Submission, Tables
from goldfold.data import folds as splits
from goldfold.data import self_hosting
from goldfold.io.seeding import derive
from goldfold.nn.optimizers import AdamW
from goldfold.params import BatchSize, Epochs, LearningRate, Params
from goldfold.submission.checks import between

FEATURES = ["a", "b", "c", "d"]


def prepare(raw: Path, public: Path, private: Path) -> None:
    draw = np.random.default_rng(0)
    label = draw.integers(0, 2, 160)
    points = draw.normal(size=(160, 4)) + label[:, None] * [1.5, 0.5, 0, 0]
    rows = pd.DataFrame(points, columns=FEATURES).assign(id=[f"点{i}" for i in range(160)], label=label)
    self_hosting.write(rows, np.arange(120, 160), ["label"], {"label": 0.5}, public, private)


def load(public: Path) -> Tables:
    train, test, sample = (pd.read_csv(public / f"{name}.csv") for name in ("train", "test", "sample_submission"))
    return Tables(train=train, test=test, sample_submission=sample)


def tensor(rows: pd.DataFrame) -> torch.Tensor:
    return torch.tensor(rows[FEATURES].to_numpy(), dtype=torch.float32)


def shuffled(seed: int, *tensors: torch.Tensor, size: int = 16):
    def batches(epoch: int) -> list[tuple[torch.Tensor, ...]]:
        order = torch.randperm(len(tensors[0]), generator=torch.Generator().manual_seed(derive(seed, epoch)))
        return [tuple(each[part] for each in tensors) for part in order.split(size)]

    return batches


class PerceptronParams(Params):
    epochs: Epochs = 4
    batch_size: BatchSize = 16
    learning_rate: LearningRate = 0.01
    dropout: float = 0.2


def perceptron(params: PerceptronParams, rows: pd.DataFrame, runtime) -> Plan:
    def losses(model, batch):
        return {"cross_entropy": F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])}

    stage = Stage(
        name="head",
        epochs=params.epochs,
        batches=shuffled(
            runtime.seed,
            tensor(rows),
            torch.tensor(rows["label"].to_numpy(), dtype=torch.float32),
            size=params.batch_size,
        ),
        losses=losses,
        optimizer=lambda model: AdamW(model.parameters(), params.learning_rate),
        row_losses=lambda model: F.binary_cross_entropy_with_logits(
            model(tensor(rows))[:, 0], torch.tensor(rows["label"].to_numpy(), dtype=torch.float32), reduction="none"
        ).numpy(),
        schedule=lambda optimizer, epochs, steps: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps),
    )
    layers = (nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(params.dropout), nn.Linear(8, 1))
    return Plan(
        model=nn.Sequential(*layers),
        stages=[stage],
        predict=lambda model, _, rows: model(tensor(rows))[:, 0].float().sigmoid().numpy(),
    )


class BankParams(Params):
    epochs: Epochs = 2


def bank(params: BankParams, rows: pd.DataFrame, runtime) -> Plan:
    """An autoencoder of the normal rows whose score comes from a feature bank fitted afterwards."""
    normal = tensor(rows[rows["label"] == 0])
    stage = Stage(
        name="reconstruct",
        epochs=params.epochs,
        batches=shuffled(runtime.seed, normal),
        losses=lambda model, batch: {"squared_error": F.mse_loss(model(batch[0]), batch[0])},
        optimizer=lambda model: AdamW(model.parameters(), 1e-2),
    )

    def features(model: nn.Sequential) -> torch.Tensor:
        return model[0](normal)

    return Plan(
        model=nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4)),
        stages=[stage],
        finish=features,
        predict=lambda model, known, rows: torch.cdist(model[0](tensor(rows)), known).min(1).values.float().numpy(),
    )


class EstimatorParams(Params):
    strength: float = 1.0


def estimator(params: EstimatorParams, rows: pd.DataFrame, runtime) -> Plan:
    from sklearn.linear_model import LogisticRegression

    return Plan(
        finish=lambda _: LogisticRegression(C=params.strength).fit(rows[FEATURES], rows["label"]),
        predict=lambda _, fitted, rows: fitted.predict_proba(rows[FEATURES])[:, 1],
    )


METRIC = metrics.auroc(target="label")

COMPETITION = Competition(
    slug="blobs",
    metric=METRIC,
    targets=("label",),
    prepare=prepare,
    load=load,
    split=lambda train, seed: splits.stratified(train["label"], folds=3, seed=seed),
    recipes={
        "perceptron": Recipe(params=PerceptronParams, build=perceptron),
        "bank": Recipe(params=BankParams, build=bank),
        "estimator": Recipe(params=EstimatorParams, build=estimator),
    },
    submission=Submission(
        write=lambda test, predictions: pd.DataFrame({"id": test["id"], "label": predictions}),
        checks={"label": between(0, 100)},
    ),
    grade=lambda submission, solution: METRIC.score(solution, submission["label"].to_numpy()),
)
