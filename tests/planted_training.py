"""Faults of training, their clean twins, and what each reports; for tests alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from planted_network import EPOCHS, WIDTH, Losses, Network, all_losses, cross_entropy, only, pull, without
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from goldfold.nn import schedules
from goldfold.nn.optimizers import Joined


class FirstOnly(Joined):
    """Steps its first part only."""

    def step(self, closure: None = None) -> None:
        self.parts[0].step()


def joined(kind: type[Joined], model: Network) -> torch.optim.Optimizer:
    others = [each for name, each in model.named_parameters() if name != "centers"]
    own = {"name": "center", "params": [model.centers], "lr": 0.5}
    return kind(torch.optim.Adam([{"name": "network", "params": others}], 0.01), torch.optim.SGD([own]))


def grouped(model: Network, rates: tuple[float, float, float]) -> torch.optim.Optimizer:
    parts = {"visual": model.encoder.parameters(), "head": model.head.parameters()}
    parts["losses"] = [model.centers, *model.arcface.parameters()]
    groups = [
        {"name": name, "params": list(part), "lr": rate}
        for (name, part), rate in zip(parts.items(), rates, strict=True)
    ]
    return torch.optim.SGD(groups)


class Centers(nn.Module):
    """Centers of a loss that is made beside the plan's model, with an optimizer that nobody steps."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(2, 8))
        self.optimizer = torch.optim.SGD([self.values], 0.5)


class Texts(nn.Module):
    """A causal text tower on the prompts of two classes: start token, word, end token."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position, self.words = position, nn.Embedding(4, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True)

    def forward(self, labels: Tensor) -> Tensor:
        tokens = torch.stack([torch.zeros_like(labels), 1 + labels, torch.full_like(labels, 3)], dim=1)
        mask = nn.Transformer.generate_square_subsequent_mask(3)
        return self.layer(self.words(tokens), src_mask=mask, is_causal=True)[:, self.position]


class Fused(nn.Module):
    """A head on the directions and log-norms of frozen features in half precision."""

    def __init__(self, normalized: bool, precision: torch.dtype) -> None:
        super().__init__()
        self.tower, self.head = nn.Linear(WIDTH, 64).requires_grad_(False), nn.Linear(65, 1)
        self.normalized, self.precision = normalized, precision

    def forward(self, points: Tensor) -> Tensor:
        found = self.tower(points)
        found = (F.normalize(found) if self.normalized else found).to(self.precision).float()
        lengths = found.norm(dim=1, keepdim=True) + 1e-6
        return self.head(torch.cat([found / lengths, torch.log(lengths)], dim=1))[:, 0]


def fused(normalized: bool, precision: torch.dtype = torch.bfloat16) -> dict:
    """Parts of a recipe with that network."""
    made = {"losses": only(cross_entropy), "model": partial(Fused, normalized, precision)}
    return made | {"optimizer": lambda model: torch.optim.Adam(model.head.parameters(), 0.01)}


def alignment(position: int) -> Losses:
    """The cosine of images and their texts, read at a position of a frozen tower."""
    tower = Texts(position).requires_grad_(False)

    def loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return (1 - F.cosine_similarity(model.encode(batch[0]), tower(batch[1].long()))).mean()

    return loss


def frozen_alignment(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return (1 - F.cosine_similarity(batch[0], batch[0].flip(0))).mean()


def summed(*parts: Losses) -> Losses:
    """Every loss and more parts, added up before they are returned."""
    return lambda model, batch: {
        "total": sum(all_losses(model, batch).values()) + sum(part(model, batch) for part in parts)
    }


def head_beside(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    all_losses(model, batch)
    return without("arcface")(model, batch)


def tiny(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return 1e-6 * cross_entropy(model, batch)


def small(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return 1e-3 * cross_entropy(model, batch)


def weak_group(factor: float) -> Losses:
    """The gradient of the losses' own weights is scaled by a factor, beside that of the network."""

    def scaled(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        found = all_losses(model, batch)
        weak = found["center"] + found["arcface"]
        return {"id": found["id"], "rest": factor * weak}

    return scaled


def one_cycle(peaks: float | list[float]) -> Callable:
    return lambda optimizer, epochs, steps: OneCycleLR(optimizer, max_lr=peaks, total_steps=epochs * steps)


RATES = (1e-4, 1e-5, 5e-6)
THREE = partial(grouped, rates=RATES)
NO_CENTERS = lambda model: torch.optim.Adam([p for n, p in model.named_parameters() if n != "centers"], 0.01)  # noqa: E731
ANNEALED = {"schedule": lambda optimizer, *_: CosineAnnealingLR(optimizer, T_max=EPOCHS), "schedule_per": "epoch"}
PLANTED: dict[str, tuple[dict, dict[str, str], dict]] = {  # case -> parts, code -> words of its message, the clean twin
    "L: a head whose loss is not in the sum": (
        {"losses": head_beside},
        {"no_gradient": "arcface.weight, arcface.bias got no gradient"},
        {},
    ),
    "L: centers whose optimizer never steps": (
        {"optimizer": partial(joined, FirstOnly)},
        {"optimizer_never_stepped": "parameter group center got gradients"},
        {"optimizer": partial(joined, Joined)},
    ),
    "L: centers in no optimizer": ({"optimizer": NO_CENTERS}, {"orphan_parameter": "centers can be trained"}, {}),
    "L: centers outside the model": (
        {"losses": without(beside=partial(pull, Centers().values))},
        {"parameter_outside_model": "of shape (2, 8), and no optimizer steps them"},
        {},
    ),
    "A: a term whose gradient is tiny": (
        {"losses": without(tiny=tiny)},
        {"dead_loss_term": "'tiny' has a gradient of norm"},
        {"losses": without(small=small)},
    ),
    "A: a group whose gradient is tiny": (
        {"losses": weak_group(1e-7), "optimizer": THREE},
        {"dead_loss_term": "'rest'", "no_gradient": "parameter group losses got a gradient of norm"},
        {"losses": weak_group(1e-2), "optimizer": THREE},
    ),
    "A: a part without gradient in a single term": (
        {"losses": summed(frozen_alignment)},
        {"one_loss_term": "a value without gradient is added (planted_training.py line"},
        {"losses": summed(small)},
    ),
    **{
        f"B: log-norms of normalized features in {str(precision).removeprefix('torch.')}": (
            fused(True, precision),
            {"constant_feature": "a logarithm (1 column, planted_training.py line"},
            fused(False, precision),
        )
        for precision in (torch.float32, torch.float16, torch.bfloat16)
    },
    "M: texts read at the start token": (
        {"losses": without(alignment=alignment(0))},
        {"constant_feature": "input 2 of cosine_similarity (8 columns, planted_training.py line"},
        {"losses": without(alignment=alignment(2))},
    ),
    "N: a scalar peak lifts every group": (
        {"optimizer": THREE, "schedule": one_cycle(1e-4)},
        {"lr_per_group": "parameter group head, configured 1e-05: peak 9.94e-05"},
        {"optimizer": THREE, "schedule": one_cycle(list(RATES))},
    ),
    "N: a scalar peak lowers groups": (
        {"optimizer": THREE, "schedule": one_cycle(5e-6)},
        {"lr_per_group": "the group never reached more than 5% of its own learning rate"},
        {"optimizer": THREE, "schedule": schedules.create("cosine", 0.5)},
    ),
    "N: a cosine in epochs stepped by batch": (
        {"schedule": lambda optimizer, *_: CosineAnnealingLR(optimizer, T_max=2)},
        {"lr_swings": "it fell and rose 3 times"},
        ANNEALED,
    ),
    "F: a cosine planned for more epochs": (
        {"schedule": lambda optimizer, *_: CosineAnnealingLR(optimizer, T_max=100), "schedule_per": "epoch"},
        {"schedule_not_finished": "the schedule ended at"},
        ANNEALED,
    ),
    "G: outputs that do not depend on the inputs": (
        {"predict": lambda model, state, rows: np.full(len(rows), 0.3)},
        {"collapse": "the fit predicts the same for all of 24 rows"},
        {},
    ),
}
