"""Find points of the same class: two training stages, an embedding for a prediction, a metric over a set."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from competitions.blobs import FEATURES, load, prepare, shuffled, tensor
from torch import nn
from torch.nn import functional as F

from goldfold.competition import Competition, Metric, Plan, Recipe, Stage, Submission
from goldfold.data import folds as splits
from goldfold.nn.optimizers import SGD, AdamW
from goldfold.params import Epochs, Params


def nearest_agrees(rows: pd.DataFrame, embeddings: np.ndarray) -> float:
    """Precision at 1 under cosine similarity, self excluded."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    label = rows["label"].to_numpy()
    return float((label[similarity.argmax(1)] == label).mean())


class TwoStageParams(Params):
    epochs_invariance: Epochs = 2
    epochs_metric: Epochs = 3


class Embedder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.projector = nn.Linear(len(FEATURES), 8), nn.Linear(8, 3)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.projector(self.backbone(points).relu())


def two_stage(params: TwoStageParams, rows: pd.DataFrame, runtime) -> Plan:
    points, labels = tensor(rows), torch.tensor(rows["label"].to_numpy())
    model = Embedder()

    def invariance(model, batch):
        return {"invariance": F.mse_loss(model(batch[0]), model(batch[0] + 0.1 * torch.randn_like(batch[0])).detach())}

    def pull(model, batch):
        similarity = F.normalize(model(batch[0])) @ F.normalize(model(batch[0])).T
        same = (batch[1][:, None] == batch[1][None]).float()
        return {"pull": F.mse_loss(similarity, 2 * same - 1)}

    return Plan(
        model=model,
        stages=[
            Stage(
                name="invariance",
                epochs=params.epochs_invariance,
                batches=shuffled(runtime.seed, points),
                losses=invariance,
                optimizer=lambda model: SGD(model.parameters(), 0.05, momentum=0.9),
            ),
            Stage(
                name="metric",
                epochs=params.epochs_metric,
                batches=shuffled(runtime.seed + 1, points, labels),
                losses=pull,
                optimizer=lambda model: AdamW(model.projector.parameters(), 0.01),
            ),
        ],
        predict=lambda model, _, rows: F.normalize(model(tensor(rows)).float()).numpy(),
    )


def concatenate_fits(embeddings: np.ndarray) -> np.ndarray:
    """(fits, n, d) -> (n, fits * d): a cosine of these is the mean of the fits' cosines."""
    return np.concatenate(list(embeddings), axis=1)


COMPETITION = Competition(
    slug="neighbors",
    metric=Metric(
        name="precision_at_1_cosine",
        score=nearest_agrees,
        higher_is_better=True,
        bounds=(0, 1),
        chance=lambda rows: float((rows["label"].value_counts(normalize=True) ** 2).sum()),
    ),
    targets=("label",),
    prepare=prepare,
    load=load,
    split=lambda train, seed: splits.stratified(train["label"], folds=2, seed=seed),
    recipes={"two_stage": Recipe(params=TwoStageParams, build=two_stage, combine=concatenate_fits, pooled=False)},
    submission=Submission(
        write=lambda test, found: pd.DataFrame({"id": test["id"], "label": found[:, 0].astype(float)})
    ),
)
