"""Losses of several labels against the published formulas, written out cell by cell."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch

from goldfold.nn import label_losses

LOGITS = torch.tensor([[-3.0, 0.2, 4.0], [1.5, -0.7, -6.0]], dtype=torch.float64)
LABELS = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def by_hand(cell: Callable[[float, float], float]) -> float:
    """The mean of cell(p, y)."""
    pairs = zip(LOGITS.flatten().tolist(), LABELS.flatten().tolist(), strict=True)
    return sum(cell(1 / (1 + math.exp(-logit)), label) for logit, label in pairs) / LOGITS.numel()


def focal_cell(p: float, y: float) -> float:
    return -0.25 * (1 - p) ** 2 * math.log(p) if y else -0.75 * p**2 * math.log(1 - p)


def asl_cell(p: float, y: float, positive: float, clip: float) -> float:
    shifted = max(p - clip, 0)
    return -((1 - p) ** positive) * math.log(p) if y else -(shifted**4) * math.log(1 - shifted)


@pytest.mark.parametrize(
    ("loss", "cell"),
    [
        (label_losses.focal, focal_cell),
        (label_losses.asymmetric, partial(asl_cell, positive=1, clip=0.05)),
        (partial(label_losses.asymmetric, gamma_positive=0, clip=0), partial(asl_cell, positive=0, clip=0)),
    ],
)
def test_a_loss_is_the_mean_of_the_published_cells(loss, cell) -> None:
    assert loss(LOGITS, LABELS).item() == pytest.approx(by_hand(cell), abs=1e-7)


@pytest.mark.parametrize(
    "loss",
    [
        partial(label_losses.focal, gamma=0.5),
        partial(label_losses.asymmetric, gamma_negative=0.5),
        partial(
            label_losses.asymmetric, gamma_negative=0.5, clip=0.5
        ),  # the last logit is where a negative costs nothing
        label_losses.asymmetric,
    ],
)
def test_gradients_stay_finite_at_sure_cells(loss) -> None:
    logits = torch.tensor([[-200.0, 200.0, 0.0]], requires_grad=True)
    for labels in (torch.zeros(1, 3), torch.ones(1, 3)):
        value = loss(logits, labels)
        (slope,) = torch.autograd.grad(value, logits)
        assert value.isfinite()
        assert slope.isfinite().all()


def test_focal_and_asymmetric_loss_without_exponents_are_cross_entropy() -> None:
    plain = label_losses.binary_cross_entropy(LOGITS, LABELS)
    torch.testing.assert_close(2 * label_losses.focal(LOGITS, LABELS, alpha=0.5, gamma=0), plain)
    free = label_losses.asymmetric(LOGITS, LABELS, gamma_negative=0, gamma_positive=0, clip=0)
    torch.testing.assert_close(free, plain)


def test_balanced_weights_are_negatives_over_positives() -> None:
    labels = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    assert label_losses.balanced_weights(labels).tolist() == pytest.approx([3, 1, 1 / 3])


def test_weights_and_smoothing_reach_the_cells() -> None:
    weighted = label_losses.binary_cross_entropy(LOGITS, LABELS, positive_weight=torch.full((3,), 2.0), smoothing=0.2)

    def cell(p: float, y: float) -> float:
        smooth = 0.8 * y + 0.1
        return -2 * smooth * math.log(p) - (1 - smooth) * math.log(1 - p)

    assert weighted.item() == pytest.approx(by_hand(cell), abs=1e-7)
