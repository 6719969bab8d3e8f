"""Losses of one label per row against torch's cross-entropy and the published formula, written out row by row."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from goldfold.nn import class_losses

LOGITS = torch.tensor([[2.0, -1.0, 0.3], [0.1, 0.4, -0.2], [-3.0, 1.0, 4.0], [0.0, 5.0, -5.0], [1.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 2, 1, 1, 2])
WEIGHTS = torch.tensor([0.5, 1.25, 3.0])


def focal_by_hand(row: int, gamma: float, smoothing: float = 0.0) -> float:
    """The focal loss of a row, with weights."""
    exponents = [math.exp(logit) for logit in LOGITS[row].tolist()]
    total = 0.0
    for number, exponent in enumerate(exponents):
        p, target = exponent / sum(exponents), smoothing / 3 + (1 - smoothing) * (number == LABELS[row].item())
        total -= target * WEIGHTS[number].item() * (1 - p) ** gamma * math.log(p)
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_focal_without_gamma_is_cross_entropy_to_the_bit(weights, smoothing) -> None:
    common = {"weights": weights, "smoothing": smoothing}
    for reduction in ("mean", "none"):
        reference = F.cross_entropy(LOGITS, LABELS, weights, reduction=reduction, label_smoothing=smoothing)
        assert torch.equal(class_losses.focal(LOGITS, LABELS, gamma=0, reduction=reduction, **common), reference)
        assert torch.equal(class_losses.cross_entropy(LOGITS, LABELS, reduction=reduction, **common), reference)
        nearly = class_losses.focal(LOGITS, LABELS, gamma=1e-9, reduction=reduction, **common)
        torch.testing.assert_close(nearly, reference)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_is_the_published_formula_of_each_row_and_then_torchs_weighted_mean(smoothing) -> None:
    rows = [focal_by_hand(row, 2.0, smoothing) for row in range(5)]
    found = class_losses.focal(LOGITS, LABELS, weights=WEIGHTS, smoothing=smoothing, reduction="none")
    assert found.tolist() == pytest.approx(rows, rel=1e-5)
    mean = class_losses.focal(LOGITS, LABELS, weights=WEIGHTS, smoothing=smoothing)
    assert mean.item() == pytest.approx(sum(rows) / WEIGHTS[LABELS].sum().item(), rel=1e-5)


def test_focal_of_the_mean_loss_is_another_number() -> None:
    loss = F.cross_entropy(LOGITS, LABELS)
    of_the_mean = (1 - torch.exp(-loss)) ** 2 * loss
    assert of_the_mean.item() == pytest.approx(0.545, abs=1e-3)
    assert class_losses.focal(LOGITS, LABELS).item() == pytest.approx(0.818, abs=1e-3)


def test_alpha_is_no_part_of_the_denominator() -> None:
    rows = class_losses.focal(LOGITS, LABELS, reduction="none")
    found = class_losses.focal(LOGITS, LABELS, alpha=WEIGHTS)
    torch.testing.assert_close(found, (rows * WEIGHTS[LABELS]).mean())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradients_stay_finite_at_sure_rows(gamma) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    value = class_losses.focal(logits, torch.tensor([0, 0]), gamma=gamma, weights=torch.tensor([0.5, 2.0]))
    (slope,) = torch.autograd.grad(value, logits)
    assert value.isfinite()
    assert slope.isfinite().all()


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0, 0, 0, 0, 3, 3, 1])
    weights = class_losses.balanced_weights(labels, 4)
    expected = compute_class_weight("balanced", classes=torch.tensor([0, 1, 3]).numpy(), y=labels.numpy())
    assert weights[[0, 1, 3]].tolist() == pytest.approx(expected.tolist())
    assert weights[2] == 1
    assert weights[labels].mean().item() == pytest.approx(1)
