"""The fusion head and its losses against formulas written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from goldfold.nn import hash_fusion
from goldfold.nn.hash_fusion import FusionHead


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)


def test_directions_and_magnitudes_give_the_features_back(features) -> None:
    image, text = (each.numpy().astype(np.float64) for each in features)
    lengths = [np.linalg.norm(each, axis=1, keepdims=True) + 1e-6 for each in (image, text)]
    one, other = image / lengths[0], text / lengths[1]
    expected = np.concatenate([one, other, one * other, np.log(lengths[0]), np.log(lengths[1])], axis=1)
    found = hash_fusion.decomposed(*features)
    assert found.shape == (6, 3 * 4 + 2)
    assert np.allclose(found, expected, atol=1e-5)
    assert np.allclose(found[:, :4] * torch.exp(found[:, -2:-1]), image, atol=1e-5)
    assert hash_fusion.decomposed(features[0], None).shape == (6, 5)
    assert torch.equal(hash_fusion.joined(*features), torch.cat(features, dim=1))


def test_the_hash_loss_is_its_formula() -> None:
    codes = torch.tanh(torch.randn(10, 8, generator=torch.Generator().manual_seed(1)))
    h = codes.numpy().astype(np.float64)
    covariance = np.cov(h.T, bias=True)
    pairs = sum(covariance[a, b] ** 2 for a in range(8) for b in range(8) if a != b)
    expected = ((np.abs(h) - 1) ** 2).mean() + 0.1 * (h.mean(0) ** 2).mean() + 0.01 * pairs / 8**2
    assert hash_fusion.hash_loss(codes).item() == pytest.approx(expected, rel=1e-5)
    perfect = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert hash_fusion.hash_loss(perfect).item() == 0


def test_the_alignment_of_frozen_features_has_no_gradient(features) -> None:
    cosines = [float(a @ b / (a.norm() * b.norm())) for a, b in zip(*features, strict=True)]
    head = FusionHead((4, 4), 3, decompose=True, hidden=(8,), bits=6, dropout=0.0)
    term = head.alignment(*features)
    assert term.item() == pytest.approx(1 - np.mean(cosines), abs=1e-5)
    assert not term.requires_grad


@pytest.mark.parametrize(
    ("decompose", "bits", "width"), [(True, 16, 14), (True, None, 14), (False, None, 8), (False, 8, 8)]
)
def test_heads_of_all_models(features, decompose: bool, bits: int | None, width: int) -> None:
    torch.manual_seed(0)
    head = FusionHead((4, 4), 5, decompose=decompose, hidden=(32, 16), bits=bits, dropout=0.1)
    assert head.layers[0].in_features == width
    found = head(*features)
    assert found.logits.shape == (6, 5)
    if bits is None:
        assert found.codes is None
        assert head.classifier.in_features == 16
    else:
        assert found.codes.shape == (6, bits)
        assert found.codes.abs().max() < 1


def test_towers_of_other_widths_meet_in_the_narrower_one() -> None:
    generator = torch.Generator().manual_seed(2)
    image, text = torch.randn(50, 1280, generator=generator), torch.randn(50, 256, generator=generator)
    head = FusionHead((1280, 256), 3, decompose=True, hidden=(8,), bits=6, dropout=0.0)
    assert head.layers[0].in_features == 1280 + 256 + 256 + 2
    assert head(image, text).logits.shape == (50, 3)
    one, other = hash_fusion.shared_width(image, text, head.projection)
    assert one.shape == other.shape == (50, 256)
    before, after = image @ image.T, (image @ head.projection) @ (image @ head.projection).T
    assert np.corrcoef(before.flatten(), after.flatten())[0, 1] > 0.9
    assert "projection" in head.state_dict()
    alone = FusionHead((1280, 0), 3, decompose=True, hidden=(), bits=None, dropout=0.0)
    assert alone(image).logits.shape == (50, 3)


def test_straight_through_codes_are_signs_with_the_gradient_of_tanh(features) -> None:
    torch.manual_seed(0)
    soft = FusionHead((4, 4), 3, decompose=True, hidden=(8,), bits=6, dropout=0.0)
    hard = FusionHead((4, 4), 3, decompose=True, hidden=(8,), bits=6, dropout=0.0, codes="straight_through")
    hard.load_state_dict(soft.state_dict())
    one, other = soft(*features).codes, hard(*features).codes
    assert torch.equal(other, torch.where(one > 0, 1.0, -1.0))
    gradients = [torch.autograd.grad(codes.sum(), head.hash.weight)[0] for codes, head in ((one, soft), (other, hard))]
    assert torch.allclose(*gradients, atol=1e-6)


def test_annealed_codes_come_closer_to_signs(features) -> None:
    head = FusionHead((4, 4), 3, decompose=True, hidden=(8,), bits=6, dropout=0.0, codes="annealed")
    before = hash_fusion.quantization(head(*features).codes)
    head.sharpness.fill_(20.0)
    assert hash_fusion.quantization(head(*features).codes) < before / 4
