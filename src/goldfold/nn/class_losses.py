"""Losses for one label per row: softmax cross-entropy and focal loss, with weights of classes and label smoothing.

Logits are float tensors (n, classes), labels class indices (n,). With weights a mean is torch's: the sum over rows
divided by the sum of the weights of the rows' labels, within the batch or the part of it that a process has.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from goldfold.nn.label_losses import SMALLEST

Reduction = Literal["mean", "none"]  # over rows


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    weights: Tensor | None = None,
    smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy -sum over c of q_c w_c ln p_c, with p the softmax of the logits.

    weights: w, (classes,); None: 1. smoothing: e in [0, 1), with which q is 1 - e at the label and e / classes
    everywhere. reduction: none returns the (n,) losses of rows, times their weights.
    """
    if weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction=reduction)
    dtype = torch.promote_types(logits.dtype, torch.float32)  # of autocast's half precision, torch's losses are float32
    own = weights.to(logits.device, dtype)
    return F.cross_entropy(logits.to(dtype), labels, weight=own, label_smoothing=smoothing, reduction=reduction)


def focal(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma: float = 2.0,
    alpha: Tensor | None = None,
    weights: Tensor | None = None,
    smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Focal loss -sum over c of q_c w_c a_c (1 - p_c)^gamma ln p_c of each row, then their mean.

    gamma: 0 or more; 0 without alpha is `cross_entropy`, bit for bit. alpha: a, (classes,); None: 1. Unlike weights it
    is not in the denominator of the mean, as in the paper.
    Source: Lin et al., Focal Loss for Dense Object Detection, 2017, equation 5.
    """
    if gamma == 0 and alpha is None:
        return cross_entropy(logits, labels, weights=weights, smoothing=smoothing, reduction=reduction)
    logs = logits.log_softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))
    hardness = (-logs.expm1()).clamp(min=SMALLEST) ** gamma  # clamped: for gamma < 1 the slope at p = 1 is infinite
    cells = -hardness * logs
    for factor in (alpha, weights):
        cells = cells if factor is None else cells * factor.to(cells)
    rows = cells.gather(1, labels[:, None])[:, 0]
    if smoothing:
        rows = (1 - smoothing) * rows + smoothing * cells.mean(1)
    if reduction == "none":
        return rows
    return rows.mean() if weights is None else rows.sum() / weights.to(rows)[labels].sum()


def distillation(logits: Tensor, masses: Tensor, *, smoothing: float = 0.0, reduction: Reduction = "mean") -> Tensor:
    """Loss -sum over c of (h_c ln softmax(z)_c + s_c ln softmax(z / T)_c) of each row, then their mean.

    masses: (n, 2 classes + 1), of every row the masses h of its label, the masses s of its soft targets, and 1 / T, as
    `distillation_masses` makes them. smoothing: of the label, as in `cross_entropy`.
    Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.
    """
    dtype, classes = torch.promote_types(logits.dtype, torch.float32), logits.shape[1]
    logits, masses = logits.to(dtype), masses.to(logits.device, dtype)
    hard, soft, colder = masses.split((classes, classes, 1), dim=1)
    if smoothing:
        hard = (1 - smoothing) * hard + smoothing / classes * hard.sum(1, keepdim=True)
    rows = -(hard * logits.log_softmax(1) + soft * (logits * colder).log_softmax(1)).sum(1)
    return rows if reduction == "none" else rows.mean()


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights n / (k n_c) of the classes, float32 (classes,); their mean over the n rows is 1.

    labels: class indices of all training rows of a fold, (n,); k of the classes have rows, and the others weigh 1.
    """
    counts = torch.bincount(labels, minlength=classes)
    return torch.where(counts > 0, len(labels) / ((counts > 0).sum() * counts.clamp(min=1)), 1.0)
