"""Losses of segmentation against their formulas and segmentation-models-pytorch; ignored pixels count nowhere."""

from __future__ import annotations

import pytest
import torch
from segmentation_models_pytorch import losses as references
from torch import Tensor
from torch.nn import functional as F

from goldfold.nn import mask_losses
from goldfold.nn.mask_losses import IGNORED

EVERY = ("bce", "ce", "dice", "focal", "lovasz", "tversky")
MODES = {"binary": 1, "multiclass": 4, "multilabel": 4}


def planted(mode: str) -> tuple[Tensor, Tensor]:
    """Logits (3, maps, 8, 6) and a truth without ignored pixels."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3, MODES[mode], 8, 6, generator=random)
    shape, top = {"multilabel": ((3, 4, 8, 6), 2), "multiclass": ((3, 8, 6), 4), "binary": ((3, 8, 6), 2)}[mode]
    return logits, torch.randint(top, shape, generator=random).to(torch.uint8)


def terms(mode: str, logits: Tensor, truth: Tensor, **options: object) -> dict[str, Tensor]:
    others = {"ce"} if mode != "multiclass" else {"bce"}
    return mask_losses.weighted(mode, {name: 1.0 for name in EVERY if name not in others}, **options)(logits, truth)


def test_losses_of_exclusive_classes_are_their_formulas() -> None:
    logits, truth = planted("multiclass")
    weights = torch.tensor([1.0, 0.5, 2.0, 3.0])
    found = terms("multiclass", logits, truth, class_weights=weights)
    numbers = truth.long()
    assert found["ce"].item() == pytest.approx(F.cross_entropy(logits, numbers, weight=weights).item())
    p = logits.softmax(1).gather(1, numbers[:, None])[:, 0]
    assert found["focal"].item() == pytest.approx((-((1 - p) ** 2) * p.log()).mean().item())
    dice = [
        1 - 2 * (logits.softmax(1)[:, c] * (numbers == c)).sum() / (logits.softmax(1)[:, c] + (numbers == c)).sum()
        for c in range(4)
    ]
    assert found["dice"].item() == pytest.approx(sum(dice).item() / 4, rel=1e-5)


def test_losses_of_two_classes_agree_with_references() -> None:
    logits, truth = planted("binary")
    found = terms("binary", logits, truth, pos_weight=torch.tensor(3.0), gamma=1.5, alpha=0.3)
    wide = truth[:, None].float()
    expected = F.binary_cross_entropy_with_logits(logits, wide, pos_weight=torch.tensor(3.0))
    assert found["bce"].item() == pytest.approx(expected.item())
    assert found["focal"].item() == pytest.approx(references.FocalLoss("binary", gamma=1.5)(logits, wide).item())
    p, y = logits.sigmoid(), wide
    hit, false, missed = (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum()
    assert found["tversky"].item() == pytest.approx((1 - hit / (hit + 0.3 * false + 0.7 * missed)).item(), rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_ignored_pixels_change_nothing(mode: str) -> None:
    """The losses with half of the columns ignored are those of the other half alone, and so are the slopes."""
    logits, truth = planted(mode)
    ignored = truth.clone()
    ignored[..., 3:] = IGNORED
    logits.requires_grad_()
    found = terms(mode, logits, ignored, ignores=True)
    expected = terms(mode, logits[..., :3], truth[..., :3])
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-5), name
    (slopes,) = torch.autograd.grad(sum(found.values()), logits)
    assert slopes[..., 3:].abs().max() == 0
    assert slopes[..., :3].abs().max() > 0


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_of_ignored_pixels_costs_nothing(mode: str) -> None:
    logits, truth = planted(mode)
    found = terms(mode, logits.requires_grad_(), torch.full_like(truth, IGNORED), ignores=True)
    assert {name: value.item() for name, value in found.items()} == dict.fromkeys(found, 0.0)
    (slopes,) = torch.autograd.grad(sum(found.values()), logits)
    assert slopes.isfinite().all()


def test_terms_are_weighted_and_those_of_weight_0_left_out() -> None:
    logits, truth = planted("binary")
    found = mask_losses.weighted("binary", {"bce": 0.0, "dice": 2.0, "lovasz": 0.5})(logits, truth)
    alone = terms("binary", logits, truth)
    assert found.keys() == {"dice", "lovasz"}
    assert found["dice"].item() == pytest.approx(2 * alone["dice"].item())
    assert found["lovasz"].item() == pytest.approx(0.5 * alone["lovasz"].item())


def test_focal_loss_has_a_slope_where_the_network_is_certain() -> None:
    logits = torch.tensor([[[[60.0, -60.0]]]], requires_grad=True)
    mask_losses.focal(logits, torch.tensor([[[[1.0, 0.0]]]]), "binary", gamma=0.5).backward()
    assert logits.grad.isfinite().all()


def test_rare_classes_weigh_more() -> None:
    found = mask_losses.median_frequency(torch.tensor([800, 100, 50, 0]))
    assert found.tolist() == [0.125, 1.0, 2.0, 1.0]
