"""Losses for several labels per row; each is a mean over the cells of a batch, or of each row of it.

Logits and labels are float tensors (n, labels), labels 0 and 1. Papers often sum over cells instead: a mean keeps the
learning rate comparable when batch size or number of labels change. With `by_row` a loss is (n,), each the mean over
the labels of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-8  # keeps the slope of p^gamma finite at p = 0 for gamma < 1


def binary_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    positive_weight: Tensor | None = None,
    smoothing: float = 0.0,
    by_row: bool = False,
) -> Tensor:
    """Binary cross-entropy -w y ln p - (1 - y) ln(1 - p), with p = sigmoid(logit).

    positive_weight: w, (labels,); None: 1. smoothing: e in [0, 1), with which labels become y (1 - e) + e / 2.
    """
    smooth = labels * (1 - smoothing) + smoothing / 2 if smoothing else labels
    found = F.binary_cross_entropy_with_logits(
        logits, smooth, pos_weight=positive_weight, reduction="none" if by_row else "mean"
    )
    return found.mean(1) if by_row else found


def of_masses(logits: Tensor, masses: Tensor, *, smoothing: float = 0.0, by_row: bool = False) -> Tensor:
    """Binary cross-entropy -a ln p - b ln(1 - p) with a mass a of each label and b of its absence.

    masses: (n, 2 labels), a of every label, then b. smoothing: e in [0, 1), which moves e / 2 of a + b to either.
    """
    present, absent = masses.to(logits).chunk(2, dim=1)
    if smoothing:
        half = smoothing / 2 * (present + absent)
        present, absent = present * (1 - smoothing) + half, absent * (1 - smoothing) + half
    return -_mean(present * F.logsigmoid(logits) + absent * F.logsigmoid(-logits), by_row)


def focal(logits: Tensor, labels: Tensor, *, alpha: float = 0.25, gamma: float = 2.0, by_row: bool = False) -> Tensor:
    """Focal loss -a (1 - q)^gamma ln q, with q = p and a = alpha for a positive, q = 1 - p and a = 1 - alpha otherwise.

    alpha: in [0, 1]. gamma: 0 or more; 0 leaves a weighted cross-entropy.
    Source: Lin et al., Focal Loss for Dense Object Detection, 2017.
    """
    signed = torch.where(labels > 0.5, logits, -logits)
    weight = torch.where(labels > 0.5, alpha, 1 - alpha)
    hardness = torch.exp(gamma * F.logsigmoid(-signed))  # (1 - q)^gamma with a finite slope everywhere
    return -_mean(weight * hardness * F.logsigmoid(signed), by_row)


def asymmetric(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma_negative: float = 4.0,
    gamma_positive: float = 1.0,
    clip: float = 0.05,
    by_row: bool = False,
) -> Tensor:
    """Asymmetric loss -y (1 - p)^gamma_positive ln p - (1 - y) s^gamma_negative ln(1 - s), with s = max(p - clip, 0).

    Negatives with p <= clip cost nothing. Gradients also flow through the factors, as in the paper's analysis.
    Source: Ridnik et al., Asymmetric Loss For Multi-Label Classification, 2021, equations 4 to 7.
    """
    positive = torch.exp(gamma_positive * F.logsigmoid(-logits)) * F.logsigmoid(logits)
    if clip:
        shifted = (torch.sigmoid(logits) - clip).clamp(min=SMALLEST)
        negative = shifted**gamma_negative * torch.log1p(-shifted)
    else:  # in logarithms, so that large logits keep a finite loss
        negative = torch.exp(gamma_negative * F.logsigmoid(logits)) * F.logsigmoid(-logits)
    return -_mean(labels * positive + (1 - labels) * negative, by_row)


def _mean(cells: Tensor, by_row: bool) -> Tensor:
    return cells.mean(1) if by_row else cells.mean()


def balanced_weights(labels: Tensor) -> Tensor:
    """Negatives divided by positives of each label, (labels,); 1 for a label without either.

    labels: all training rows of a fold, (n, labels).
    """
    positives = labels.sum(0)
    negatives = len(labels) - positives
    return torch.where((positives > 0) & (negatives > 0), negatives / positives.clamp(min=1), 1.0)
