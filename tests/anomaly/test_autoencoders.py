from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
from error_codes import raises_code
from torch import nn
from torch.nn import functional as F

from goldfold.anomaly import autoencoders
from goldfold.nn import backbones

CHOICES = {"all": (1, 2, 3, 4), "none": (), (2, 4): (2, 4), (3,): (3,), (4, 1, 4): (1, 4)}
SMALL = (64, 48, 32, 24, 16)


def from_scratch(skips) -> autoencoders.Autoencoder:
    torch.manual_seed(0)
    return autoencoders.plain(skips, widths=(4, 6, 8, 10), bottleneck=12)


def on_resnet(skips) -> autoencoders.Autoencoder:
    torch.manual_seed(0)
    return autoencoders.on_backbone("test_resnet", pretrained=False, skips=skips, decoder_channels=SMALL)


def images(count: int = 2, height: int = 64, width: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def weights(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


VARIANTS = pytest.mark.parametrize("make", [from_scratch, on_resnet])


@VARIANTS
@pytest.mark.parametrize("skips", CHOICES)
def test_the_bottleneck_and_the_kept_levels_are_all_the_decoder_knows(make, skips):
    """With a constant bottleneck, outputs of different images differ where a level is kept, and nowhere else."""
    model = make(skips).eval()
    assert model.skips == CHOICES[skips]
    one, other = model.features(images(seed=1)), model.features(images(seed=2))
    bottleneck = torch.full_like(one[-1], 0.3)
    first, second = (model.decode([*features[:-1], bottleneck]) for features in (one, other))
    assert torch.equal(first, second) == (not model.skips)
    for level in range(1, 5):
        assert bool(one[level].shape[1]) == (level in model.skips)


@VARIANTS
@pytest.mark.parametrize("skips", ["none", (3,), "all"])
def test_gradients_reach_pixels_past_the_bottleneck_over_kept_levels_alone(make, skips):
    model = make(skips).eval()
    pixels = images().requires_grad_()
    *above, bottleneck = model.features(pixels)
    (gradient,) = torch.autograd.grad(
        model.decode([*above, bottleneck.detach()])[:, 0].sum(), pixels, allow_unused=True
    )
    assert (gradient is not None and bool(gradient.any())) == bool(model.skips)
    (through,) = torch.autograd.grad(model(pixels)[:, 0].sum(), pixels)
    assert through.any()


@VARIANTS
def test_listing_every_level_is_all_and_listing_none_is_none(make):
    for name, levels in (("all", (1, 2, 3, 4)), ("none", ())):
        named, listed = make(name), make(levels)
        assert {k: v.shape for k, v in named.state_dict().items()} == {
            k: v.shape for k, v in listed.state_dict().items()
        }
        assert torch.equal(named(images()), listed(images()))


@pytest.mark.parametrize(
    ("make", "skip", "decoder"),
    [(from_scratch, (4, 6, 8, 10), (4, 6, 8, 10)), (on_resnet, (32, 32, 48, 192), (24, 32, 48, 64))],
)
def test_a_removed_level_takes_its_input_channels_with_it(make, skip, decoder):
    """Nine weights of the 3x3 convolution behind it for each pair of a skip's channel and a decoder's."""
    everything = weights(make("all"))
    for level in range(1, 5):
        others = tuple({1, 2, 3, 4} - {level})
        assert everything - weights(make(others)) == 9 * skip[level - 1] * decoder[level - 1]


def test_on_a_backbone_with_all_skips_it_is_the_unet_of_segmentation_models_pytorch():
    model = on_resnet("all").eval()
    library = smp.Unet("tu-test_resnet", encoder_weights=None, decoder_channels=SMALL, classes=3).eval()
    renamed = {
        name.replace("encoder.model.model.", "encoder.model.").replace("head.", "segmentation_head."): value
        for name, value in model.state_dict().items()
        if name not in ("mean", "std")
    }
    library.load_state_dict({name: value for name, value in renamed.items() if name in library.state_dict()})
    normalized = (images() - model.mean) / model.std
    assert torch.allclose(model(images()), library(normalized).sigmoid(), atol=1e-6)


def test_a_removed_skip_gives_what_zeroed_weights_for_it_give():
    """Removing level 2 is the full network whose decoder ignores the channels of that skip."""
    full, without = from_scratch("all").eval(), from_scratch((1, 3, 4)).eval()
    state = full.state_dict()
    name, kept = "decoder.blocks.2.0.weight", 6  # coarse to fine: level 2 is third; its own 6 channels come first
    without.load_state_dict(state | {name: state[name][:, :kept]})
    with torch.no_grad():
        full.decoder.blocks[2][0].weight[:, kept:] = 0
    assert torch.allclose(without(images()), full(images()), atol=1e-6)


@pytest.mark.parametrize("skips", ["all", "none", (2,)])
def test_plain_is_the_network_written_out_by_hand(skips):
    torch.manual_seed(0)
    model = autoencoders.plain(skips, widths=(4, 6), bottleneck=8)
    state = model.state_dict()
    chosen = {"all": (1, 2), "none": ()}.get(skips, skips)

    def two(x: torch.Tensor, name: str) -> torch.Tensor:
        for at in (0, 3):
            x = F.conv2d(x, state[f"{name}.{at}.weight"], padding=1)
            x = F.batch_norm(x, None, None, state[f"{name}.{at + 1}.weight"], state[f"{name}.{at + 1}.bias"], True)
            x = x.relu()
        return x

    def up(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.conv_transpose2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=2)

    x = images(height=16, width=20)
    fine = two(x, "encoder.blocks.0")
    coarse = two(F.max_pool2d(fine, 2), "encoder.blocks.1")
    bottleneck = two(F.max_pool2d(coarse, 2), "encoder.blocks.2")
    y = up(bottleneck, "decoder.up.0")
    y = two(torch.cat([y, coarse], 1) if 2 in chosen else y, "decoder.blocks.0")
    y = up(y, "decoder.up.1")
    y = two(torch.cat([y, fine], 1) if 1 in chosen else y, "decoder.blocks.1")
    expected = F.conv2d(y, state["head.weight"], state["head.bias"]).sigmoid()
    assert torch.allclose(model(x), expected, atol=1e-6)
    assert torch.allclose(model.encode(x), bottleneck, atol=1e-6)


def test_plain_has_the_widths_it_is_known_for():
    model = autoencoders.plain("none")
    maps = model.eval().encoder(images(1, 32, 48))
    assert [tuple(level.shape[1:]) for level in maps] == [
        (3, 32, 48),
        (32, 32, 48),
        (64, 16, 24),
        (128, 8, 12),
        (256, 4, 6),
        (512, 2, 3),
    ]
    encoder = [(3, 32), (32, 64), (64, 128), (128, 256), (256, 512)]
    decoder = [(256, 256), (128, 128), (64, 64), (32, 32)]
    convolutions = sum(9 * (above + below) * below + 4 * below for above, below in encoder + decoder)
    upwards = sum(4 * above * below + below for below, above in encoder[1:])
    assert weights(model) == convolutions + upwards + 3 * 32 + 3


@VARIANTS
@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 50), (5, 40)])
def test_any_size_comes_back_as_it_was(make, height, width):
    model = make((1,)).eval()
    pixels = images(2, height, width)
    reconstruction = model(pixels)
    assert reconstruction.shape == pixels.shape
    assert reconstruction.min() >= 0
    assert reconstruction.max() <= 1
    assert model.encode(pixels).shape == (2, model.channels, -(-height // model.stride), -(-width // model.stride))


def test_sizes_that_fit_are_not_padded():
    model = from_scratch("all").eval()  # its pixels are normalized by 0 and 1
    assert torch.equal(model.features(images(2, 32, 48))[0], images(2, 32, 48))
    padded = model.features(images(2, 31, 47))[0]
    assert torch.equal(padded[..., :31, :47], images(2, 31, 47))
    assert torch.equal(padded[..., 31, 47], images(2, 31, 47)[..., 30, 46])


@VARIANTS
@pytest.mark.parametrize("skips", ["all", "none"])
def test_every_parameter_learns(make, skips):
    model = make(skips)
    (model(images()) - images()).square().mean().backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_reconstructions_are_float32_under_autocast():
    model = from_scratch("all")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.encode(images()).dtype == torch.bfloat16
        assert model(images()).dtype == torch.float32


def test_depth_follows_from_decoder_channels():
    model = autoencoders.on_backbone("test_resnet", False, "all", decoder_channels=(32, 24, 16)).eval()
    assert (model.stride, model.channels, model.skips) == (8, 48, (1, 2))
    assert model(images()).shape == (2, 3, 64, 64)


def test_pretrained_weights_see_pixels_as_they_were_trained_to():
    """Equal to the packaged backbone's own last map of the pixels normalized as its weights expect."""
    model = autoencoders.on_backbone("efficientnet_lite0", pretrained=True, skips="none").eval()
    backbone = backbones.create("efficientnet_lite0", pretrained=True)
    normalized = (255 * images() - 127) / 128
    with torch.no_grad():
        expected = backbone.model.eval().forward_intermediates(normalized, intermediates_only=True)[-1]
        assert torch.allclose(model.encode(images()), expected, atol=1e-4)


def test_a_backbone_without_a_level_of_half_resolution_has_levels_from_two():
    model = autoencoders.on_backbone("test_convnext", False, "all", decoder_channels=SMALL).eval()
    assert model.skips == (2, 3, 4)
    assert model(images()).shape == (2, 3, 64, 64)
    with raises_code("unknown_skip_level", "[2, 3, 4]", "[1]"):
        autoencoders.on_backbone("test_convnext", False, (1,))


@pytest.mark.parametrize("skips", [(0,), (5,), (1, 7), "some", ""])
def test_levels_that_do_not_exist_are_refused(skips):
    with raises_code("unknown_skip_level", "[1, 2, 3, 4]", repr(skips if isinstance(skips, str) else list(skips))):
        from_scratch(skips)


@pytest.mark.parametrize(
    "pixels", [torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, 32, 32, 3), torch.zeros(3, 32, 32)]
)
def test_what_is_no_batch_of_images_is_refused(pixels):
    with raises_code("wrong_image_format", pixels.dtype, tuple(pixels.shape)):
        from_scratch("none")(pixels)


@pytest.mark.parametrize("name", ["test_vit", "test_mambaout"])
def test_backbones_that_cannot_are_refused_in_one_sentence(name):
    with raises_code("backbone_not_usable", f"'{name}'"):
        autoencoders.on_backbone(name, False, "none")


def test_widths_and_depths_that_cannot_be_are_refused():
    for widths, bottleneck in (((), 8), ((4, 0), 8), ((4,), 0)):
        with raises_code("too_few_channels", list(widths), bottleneck):
            autoencoders.plain("none", widths, bottleneck)
    with raises_code("backbone_not_usable", "depth 6"):
        autoencoders.on_backbone("test_resnet", False, "none", decoder_channels=(8,) * 6)
