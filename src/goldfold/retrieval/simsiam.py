"""SimSiam (Chen and He 2021, "Exploring Simple Siamese Representation Learning"): heads, loss and learning rates.

Two views of an image pass the same network. A predictor on one side predicts the projector's output of the other side,
whose gradient is stopped. Nothing pushes different images apart, so `goldfold.nn.collapse` must watch for collapse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.nn import schedules

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

BOTTLENECK = 4  # projector's output width / predictor's hidden width (section 3: 2048 / 512)


def projector(features: int, hidden: int, out: int) -> nn.Sequential:
    """Create the projector, (n, features) -> (n, out): three layers with BatchNorm, the last one's not affine."""
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
    """Create the predictor, (n, width) -> (n, width): two layers with a bottleneck; its output layer is linear."""
    bottleneck = max(1, width // BOTTLENECK)
    return nn.Sequential(
        nn.Linear(width, bottleneck, bias=False),
        nn.BatchNorm1d(bottleneck),
        nn.ReLU(inplace=True),
        nn.Linear(bottleneck, width),
    )


def loss(predicted: tuple[Tensor, Tensor], projected: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mean over images of -(cos(p1, z2) + cos(p2, z1)) / 2, in [-1, 1] (equation 4).

    predicted: (p1, p2), projected: (z1, z2), each (n, d), one of either view. No gradient flows into z.
    """
    (p1, p2), (z1, z2) = predicted, projected
    return (cosine(p1, z2).mean() + cosine(p2, z1).mean()) / -2


def cosine(predicted: Tensor, projected: Tensor) -> Tensor:
    """Return the cosine of each row, float32 (n,), without a gradient for `projected`."""
    return F.cosine_similarity(predicted.float(), projected.detach().float(), dim=1)


def temporal_loss(predicted: Tensor, later: Tensor, known: Tensor) -> Tensor:
    """Return the mean of -cos(p(x_t), z(x_t+s)) over the images whose later frame is known; 0 if none is.

    predicted: (n, d), of the frames x_t. later: (n, d), projected, of the frames x_t+s. known: bool (n,).
    """
    counted = cosine(predicted, later) * known
    return -counted.sum() / known.sum().clamp(min=1)


def learning_rate(batch_size: int) -> float:
    """Return the published learning rate: 0.05 x batch size / 256 (section 4, baseline settings).

    >>> learning_rate(512)
    0.1
    """
    return 0.05 * batch_size / 256


def rate_factors(groups: int, planned: int, fixed_predictor: bool) -> list[Callable[[int], float]]:
    """Return epoch -> share of the learning rate for each parameter group: half a cosine to 0 in `planned` epochs.

    fixed_predictor: whether the last group, the predictor's, keeps its learning rate (the authors' code; table 1 (c)).
    """
    anneal = partial(schedules.cosine_factor, steps=planned, warmup=0.0)
    return [anneal] * (groups - 1) + [_constant if fixed_predictor else anneal]


def schedule(
    optimizer: Optimizer, epochs: int, steps_per_epoch: int, *, planned: int | None, fixed_predictor: bool
) -> LRScheduler:
    """Create SimSiam's schedule, to be stepped after every epoch; its cosine takes `planned` epochs, or else all."""
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, rate_factors(len(optimizer.param_groups), planned or epochs, fixed_predictor))


def _constant(epoch: int) -> float:
    """The share of a constant learning rate."""
    return 1.0


def loss_terms(heads: Sequence, temporal_weight: float, known: Tensor | None) -> Mapping[str, Tensor]:
    """Return the named losses of a batch: `simsiam`, and `temporal` if there is a later frame.

    heads: (projected, predicted) of each of two views; then, if there is a later frame, its projection.
    known: bool (n,), whether the later frame of an image is known; None if `heads` has none.
    """
    (z1, p1), (z2, p2), *later = heads
    terms = {"simsiam": loss((p1, p2), (z1, z2))}
    if later and known is not None:
        terms["temporal"] = temporal_weight * temporal_loss(p1, later[0], known)
    return terms
