"""Wrong conclusions that training invites; for tests alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch
from conclusions import RETRIEVAL, Case, trained
from planted_network import TABLES, Single, cross_entropy, embedder, recipe, without
from planted_training import PLANTED, frozen_alignment
from pytorch_metric_learning.losses import FastAPLoss
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.optional_parts import UntrainedLoss


def fastap(embeddings: Tensor, labels: Tensor) -> Tensor:
    return FastAPLoss(num_bins=10)(F.normalize(embeddings), labels.long())


def of_random_embeddings(model: nn.Module) -> dict[str, UntrainedLoss]:
    """Of 50 epochs of 3 batches with 8 rows."""
    labels = torch.tensor(TABLES[0]["y"].to_numpy()[::2]).split(8)
    draw = torch.Generator().manual_seed(0)
    losses = torch.tensor([[fastap(torch.randn(8, 8, generator=draw), part) for part in labels] for _ in range(50)])
    return {"fastap": UntrainedLoss(losses.mean().item(), losses.mean(1).std().item())}


def retrieval_at(rate: float) -> str:
    """Eight epochs of FastAP at a learning rate."""
    made = recipe(
        lambda model, batch: {"fastap": fastap(model.encode(batch[0]), batch[1])},
        lambda model: torch.optim.Adam(model.encoder.parameters(), rate),
        model=Single,
        epochs=8,
        untrained_loss=of_random_embeddings,
    )
    return trained(made)


def of_labels(model: nn.Module, state: None, rows: pd.DataFrame) -> np.ndarray:
    return rows["y"].to_numpy(float)


def unlearned(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """A loss that takes the useful column out of the embedding."""
    return 100 * model.encoder.weight[:, 0].square().sum()


def embedded(loss: Callable, spread: float = 1.0) -> str:
    return trained(embedder(spread, 0.05, loss), metric=RETRIEVAL, outputs=9)


def faults_of_training() -> dict[str, Case]:
    """Cases A, B, F, G, L, M and N, as `planted_training` has them."""
    found = {}
    for name, (faulty, expected, twin) in PLANTED.items():
        code = next(iter(expected))
        found[name] = Case(code, partial(trained, recipe(**faulty)), partial(trained, recipe(**twin)))
    return found


CASES = {
    **faults_of_training(),
    "A: a term of frozen features alone": Case(
        "dead_loss_term", lambda: trained(recipe(without(alignment=frozen_alignment))), lambda: trained(recipe())
    ),
    "E: a learning rate of zero": Case("did_not_learn", lambda: retrieval_at(0), lambda: retrieval_at(0.05)),
    "G: embeddings in one point": Case(
        "collapse", lambda: embedded(cross_entropy, 1e-4), lambda: embedded(cross_entropy)
    ),
    "O: training that makes embeddings worse": Case(
        "below_untrained", lambda: embedded(unlearned), lambda: embedded(cross_entropy)
    ),
    "P: predictions that read the label": Case(
        "label_at_inference",
        lambda: trained(recipe(predict=of_labels)),
        lambda: trained(recipe()),
        words=r"predict\(\) reads the target column 'y'",
    ),
}
"""Letter in the catalogue and what is planted -> the case."""
