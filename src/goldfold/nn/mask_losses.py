"""Losses of segmentation, each a mean over pixels or classes, for two classes, exclusive or overlapping classes.

Logits are float32 (b, maps, h, w). The truth is uint8: (b, h, w), 1 = foreground, for mode `binary`; (b, h, w) class
indices for `multiclass`; (b, classes, h, w) of 0 and 1 for `multilabel`. Where it is `IGNORED`, pixels count nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Mode = Literal["binary", "multiclass", "multilabel"]
Loss = Callable[[Tensor, Tensor], Tensor]

IGNORED = 255  # value of the truth in pixels that count nowhere
SMALLEST = 1e-8  # keeps the slope of (1 - p)^gamma finite at p = 1 for gamma < 1


def weighted(
    mode: Mode,
    weights: Mapping[str, float],
    *,
    ignores: bool = False,
    pos_weight: Tensor | None = None,
    class_weights: Tensor | None = None,
    gamma: float = 2.0,
    alpha: float = 0.5,
) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
    """Return the function (logits, truth) -> {term: weight times loss}, without the terms whose weight is 0.

    weights: of the terms bce, ce, dice, focal, lovasz, tversky; bce is not for `multiclass` and ce only for it.
    ignores: whether the truth may hold `IGNORED`.
    pos_weight: factor of the positive pixels in bce, (classes, 1, 1) or a single number.
    class_weights: factor of the pixels of each class in ce, (classes,).
    gamma: exponent of focal. alpha: factor of false positives in tversky; that of false negatives is 1 - alpha.

    Lovász: Berman et al. 2018. Tversky: Salehi et al. 2017. Both and Dice are those of segmentation-models-pytorch,
    over a whole batch; classes without a true pixel in it are left out.
    """
    from segmentation_models_pytorch.losses import DiceLoss, LovaszLoss, TverskyLoss

    ignored = IGNORED if ignores else None
    lovasz = LovaszLoss(mode, ignore_index=ignored)
    losses: dict[str, Loss] = {
        "bce": lambda logits, truth: binary_cross_entropy(logits, truth, pos_weight, ignores),
        "ce": lambda logits, truth: cross_entropy(logits, truth, class_weights),
        "dice": DiceLoss(mode, ignore_index=ignored),
        "focal": lambda logits, truth: focal(logits, truth, mode, gamma),
        "lovasz": lambda logits, truth: lovasz(logits, truth).sum(),  # without a pixel it returns no element
        "tversky": TverskyLoss(mode, ignore_index=ignored, alpha=alpha, beta=1 - alpha),
    }
    used = {name: loss for name, loss in losses.items() if weights.get(name)}

    def terms(logits: Tensor, truth: Tensor) -> dict[str, Tensor]:
        truth = truth.to(logits.device, torch.long) if mode == "multiclass" else truth.to(logits)
        truth = truth[:, None] if mode == "binary" else truth
        return {name: weights[name] * loss(logits, truth) for name, loss in used.items()}

    return terms


def binary_cross_entropy(
    logits: Tensor, truth: Tensor, pos_weight: Tensor | None = None, ignores: bool = False
) -> Tensor:
    """Mean binary cross-entropy of maps of one shape; 0 if every pixel is ignored."""
    if not ignores:
        return F.binary_cross_entropy_with_logits(logits, truth, pos_weight=_on(logits, pos_weight))
    kept = truth != IGNORED
    losses = F.binary_cross_entropy_with_logits(
        logits, truth * kept, reduction="none", pos_weight=_on(logits, pos_weight)
    )
    return _mean(losses * kept, kept)


def cross_entropy(logits: Tensor, truth: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy, weighted by the class of each pixel; 0 if every pixel is ignored."""
    weights = _on(logits, class_weights)
    losses = F.cross_entropy(logits, truth, weight=weights, ignore_index=IGNORED, reduction="none")
    kept = truth != IGNORED
    return _mean(losses, kept if weights is None else weights[truth * kept] * kept)


def focal(logits: Tensor, truth: Tensor, mode: Mode, gamma: float = 2.0) -> Tensor:
    """Focal loss -(1 - p)^gamma ln p, with p the probability of the truth; 0 if every pixel is ignored.

    Source: Lin et al., Focal Loss for Dense Object Detection, 2017, without the factor alpha.
    """
    kept = truth != IGNORED
    if mode == "multiclass":
        losses = F.cross_entropy(logits, truth, ignore_index=IGNORED, reduction="none")
    else:
        losses = F.binary_cross_entropy_with_logits(logits, truth * kept, reduction="none")
    hardness = (-torch.expm1(-losses)).clamp(min=SMALLEST) ** gamma
    return _mean(hardness * losses * kept, kept)


def _mean(losses: Tensor, weights: Tensor) -> Tensor:
    """The sum of losses divided by that of their weights."""
    return losses.sum() / weights.sum().clamp(min=torch.finfo(losses.dtype).tiny)


def _on(logits: Tensor, values: Tensor | None) -> Tensor | None:
    return None if values is None else values.to(logits)


def median_frequency(counts: Tensor) -> Tensor:
    """Weights of classes: the median frequency divided by that of the class, (classes,); 1 for a class without pixels.

    counts: pixels of each class, (classes,).
    Source: Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels, 2015, section 6.3.2; here the
    frequencies are of all pixels together.
    """
    shown = counts > 0
    median = counts[shown].double().quantile(0.5)
    return torch.where(shown, median / counts.clamp(min=1), 1.0).float()
