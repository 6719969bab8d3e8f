"""Folded norms and paddings: equal outputs for networks of several families, and left alone where they would not be."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from goldfold.nn import folding

FAMILIES = {
    "efficientnet_lite0": 49,
    "resnet10t": 14,
    "mobilenetv3_small_050": 34,
    "regnetx_002": 44,
    "resnetv2_50": 32,  # of 49: the others come after a sum
    "vit_tiny_patch16_224": 0,
}


def in_use(model: nn.Module) -> nn.Module:
    """The model in evaluation mode, with statistics as after some training."""
    draw = torch.Generator().manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.3, generator=draw)
            layer.running_var.uniform_(0.5, 2, generator=draw)
            layer.weight.data.uniform_(0.5, 1.5, generator=draw)
            layer.bias.data.normal_(std=0.3, generator=draw)
    return model.eval()


def norms(model: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())


@pytest.mark.parametrize(("name", "folded"), FAMILIES.items())
def test_outputs_are_equal_but_for_rounding(name, folded):
    model = in_use(timm.create_model(name, num_classes=0)).to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    before, state = norms(model), {key: value.clone() for key, value in model.state_dict().items()}
    got = folding.fold(model, images[:1])
    assert before - norms(got) == folded
    assert (got is model) == (folded == 0)
    with torch.inference_mode():
        torch.testing.assert_close(got(images), model(images), rtol=1e-4, atol=1e-4)
    assert all(value.equal(state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("size", [(224, 224), (97, 130), (64, 65)])
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_mixnet_s"])
def test_paddings_of_tensorflow_are_those_of_the_convolutions(name, size):
    model = in_use(timm.create_model(name, num_classes=0)).to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    random = torch.get_rng_state()
    got = folding.fold(model, images[:1])
    assert torch.get_rng_state().equal(random)
    paddings = [sum(isinstance(layer, Conv2dSame) for layer in each.modules()) for each in (model, got)]
    assert paddings[0] > 4
    assert paddings[1] == 0
    with torch.inference_mode():
        torch.testing.assert_close(got(images), model(images), rtol=1e-4, atol=1e-4)


def test_paddings_are_folded_without_norms_but_not_with_holes_in_the_weights():
    images = torch.randn(2, 3, 15, 16, generator=torch.Generator().manual_seed(1))
    for dilation, folded in ((1, True), (2, False)):
        model = Conv2dSame(3, 4, (3, 5), stride=2, dilation=dilation)
        nest = nn.Sequential(model).eval().requires_grad_(False)
        got = folding.fold(nest, images)
        assert (got is not nest) == folded
        torch.testing.assert_close(got(images), nest(images))


class Reads(nn.Module):
    """A convolution, batch normalization, and something that reads the convolution's output as well."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.both, self.conv, self.norm = both, nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        before = self.conv(images)
        return self.norm(before) + (before if self.both else 0)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(self.norm(self.conv(images))))


@pytest.mark.parametrize(
    ("model", "folded"),
    [
        (Reads(both=False), True),
        (Reads(both=True), False),
        (Twice(), False),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), True),
        (nn.Sequential(timm.layers.StdConv2d(3, 4, 3), nn.BatchNorm2d(4)), False),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4)), False),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False, track_running_stats=False)), False),
    ],
    ids=[
        "read once",
        "read twice",
        "used twice",
        "without weights",
        "standardized",
        "activation between",
        "statistics of the batch",
    ],
)
def test_layers_are_folded_where_that_changes_nothing(model, folded):
    model.eval()
    for layer in model.modules():
        if getattr(layer, "running_mean", None) is not None:
            layer.running_mean.fill_(0.5)
            layer.running_var.fill_(2.0)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    got = folding.fold(model, images)
    assert (got is not model) == folded
    with torch.inference_mode():
        torch.testing.assert_close(got(images), model(images))
