"""A small network with recipes of one's own, into which faults of training are planted; for tests alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.optional_parts import Pairs
from goldfold.params import Params
from goldfold.retrieval.pairs import by_label

WIDTH, EPOCHS, BATCH = 4, 4, 8
Losses = Callable[[nn.Module, tuple[Tensor, ...]], Mapping[str, Tensor]]


class Nothing(Params):
    """No parameters."""


class Network(nn.Module):
    """An encoder, a head, and the centers of a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(WIDTH, 8), nn.Linear(8, 1)
        self.centers = nn.Parameter(torch.randn(2, 8))
        self.arcface = nn.Linear(8, 2)

    def forward(self, points: Tensor) -> Tensor:
        return self.head(self.encode(points))[:, 0]

    def encode(self, points: Tensor) -> Tensor:
        return torch.tanh(self.encoder(points))


class Single(Network):
    """The encoder and the head alone."""

    def __init__(self) -> None:
        super().__init__()
        del self.centers, self.arcface


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(draw.normal(size=(60, WIDTH)), columns=[f"x{at}" for at in range(WIDTH)])
    rows = rows.assign(id=range(60), y=(rows["x0"] > 0).astype(int))
    return rows[:48], rows[48:].drop(columns="y").reset_index(drop=True)


TABLES = tables()
POINTS = [f"x{at}" for at in range(WIDTH)]


def points_of(rows: pd.DataFrame) -> Tensor:
    return torch.tensor(rows[POINTS].to_numpy(), dtype=torch.float32)


def cross_entropy(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])


def pull(centers: Tensor, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return (model.encode(batch[0]) - centers[batch[1].long()]).square().mean()


def all_losses(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    arcface = F.cross_entropy(model.arcface(model.encode(batch[0])), batch[1].long())
    return {"id": cross_entropy(model, batch), "center": pull(model.centers, model, batch), "arcface": arcface}


def without(*terms: str, **more: Losses) -> Losses:
    """All losses without some terms, and with others."""

    def losses(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        found = {name: value for name, value in all_losses(model, batch).items() if name not in terms}
        return found | {name: make(model, batch) for name, make in more.items()}

    return losses


def only(part: Losses) -> Losses:
    return lambda model, batch: {"id": part(model, batch)}


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 0.01)


def recipe(
    losses: Losses = all_losses,
    optimizer: Callable = adam,
    predict: Callable | None = None,
    model: Callable[[], nn.Module] = Network,
    epochs: int = EPOCHS,
    **stage,
) -> Recipe:
    """A recipe with one stage, whose model predicts a score."""

    def build(params: Nothing, rows: pd.DataFrame, runtime: Runtime) -> Plan:
        points, labels = points_of(rows), torch.tensor(rows["y"].to_numpy(), dtype=torch.float32)
        parts = [(points[at : at + BATCH], labels[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
        fit = Stage(name="fit", epochs=epochs, batches=lambda epoch: parts, losses=losses, optimizer=optimizer, **stage)
        own = predict or (lambda model, state, rows: model(points_of(rows)).sigmoid().numpy())
        return Plan(model=model(), stages=[fit], predict=own)

    return Recipe(params=Nothing, build=build)


# -- embeddings


def by_class(rows: pd.DataFrame) -> Pairs:
    return by_label(rows["y"])


def embedder(spread: float, rate: float, loss: Losses = cross_entropy) -> Recipe:
    """Embeddings of a linear map that is trained on labels, beside a constant; the smaller the spread, the nearer."""

    def predict(model: nn.Module, state: None, rows: pd.DataFrame) -> np.ndarray:
        return np.concatenate([spread * model.encode(points_of(rows)).numpy(), np.ones((len(rows), 1), np.float32)], 1)

    made = {"losses": only(loss), "optimizer": lambda model: torch.optim.Adam(model.parameters(), rate)}
    return replace(recipe(**made, predict=predict, model=Single), pooled=False)
