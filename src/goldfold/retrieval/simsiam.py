"""SimSiam (Chen and He 2021, "Exploring Simple Siamese Representation Learning"): its heads, loss and learning rates.

Two views of an image go through one network; a predictor on one side is to say what the projector made of the other,
whose gradient is stopped. Nothing pushes images apart, so that collapse is watched for elsewhere
(`goldfold.nn.collapse`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.nn import schedules

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

BOTTLENECK = 4  # the predictor's hidden layer is the projector's output over this (section 3: 512 of 2048)


def projector(features: int, hidden: int, out: int) -> nn.Sequential:
    """Three layers, features (n, f) -> (n, out), each with BatchNorm, the last one's without scale and shift."""
    return nn.Sequential(
        nn.Linear(features, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out, bias=False),
        nn.BatchNorm1d(out, affine=False),
    )


def predictor(width: int) -> nn.Sequential:
    """Two layers with a bottleneck, (n, width) -> (n, width); the last has neither BatchNorm nor ReLU."""
    bottleneck = max(1, width // BOTTLENECK)
    return nn.Sequential(
        nn.Linear(width, bottleneck, bias=False),
        nn.BatchNorm1d(bottleneck),
        nn.ReLU(inplace=True),
        nn.Linear(bottleneck, width),
    )


def loss(predicted: tuple[Tensor, Tensor], projected: tuple[Tensor, Tensor]) -> Tensor:
    """-(cos(p1, z2) + cos(p2, z1)) / 2, mean over images, in [-1, 1]; no gradient flows into z (equation 4).

    Each a pair of (n, d), one of either view.
    """
    (p1, p2), (z1, z2) = predicted, projected
    return (likeness(p1, z2).mean() + likeness(p2, z1).mean()) / -2


def likeness(predicted: Tensor, projected: Tensor) -> Tensor:
    """The cosine of each row, (n,) float32, without a gradient to what is projected."""
    return F.cosine_similarity(predicted.float(), projected.detach().float(), dim=1)


def temporal_loss(predicted: Tensor, ahead: Tensor, known: Tensor) -> Tensor:
    """-cos(p(x_t), z(x_t+s)), mean over the images whose frame ahead is known; 0 where none is.

    predicted, ahead: (n, d); known: (n,) booleans.
    """
    counted = likeness(predicted, ahead) * known
    return -counted.sum() / known.sum().clamp(min=1)


def learning_rate(batch_size: int) -> float:
    """0.05 x batch size / 256 (section 4, baseline settings).

    >>> learning_rate(512)
    0.1
    """
    return 0.05 * batch_size / 256


def factors(groups: int, planned: int, fixed_predictor: bool) -> list:
    """epoch -> share of the rate, for each parameter group: half a cosine to 0 over the epochs that are planned.

    fixed_predictor: the last group, the predictor's, keeps its rate (the authors' code; their table 1 (c)).
    """
    anneal = partial(schedules.cosine_factor, steps=planned, warmup=0.0)
    return [anneal] * (groups - 1) + [_constant if fixed_predictor else anneal]


def schedule(
    optimizer: Optimizer, epochs: int, steps_per_epoch: int, *, planned: int | None, fixed_predictor: bool
) -> LRScheduler:
    """To be stepped after every epoch; `planned` epochs are those of the stage where None."""
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, factors(len(optimizer.param_groups), planned or epochs, fixed_predictor))


def _constant(epoch: int) -> float:
    return 1.0


def terms(heads: tuple, temporal_weight: float, known: Tensor | None) -> Mapping[str, Tensor]:
    """The named losses of a batch.

    heads: (projected, predicted) of two views, and where there is a third, of the frame ahead, its projection alone.
    """
    (z1, p1), (z2, p2), *ahead = heads
    found = {"simsiam": loss((p1, p2), (z1, z2))}
    if ahead:
        found["temporal"] = temporal_weight * temporal_loss(p1, ahead[0], known)
    return found
