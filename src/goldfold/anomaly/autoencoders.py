"""Convolutional autoencoders with skip connections at all levels, at none or at chosen ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.errors import GoldfoldError
from goldfold.nn import backbones

Skips = Literal["all", "none"] | tuple[int, ...]


class Autoencoder(nn.Module):
    """Autoencoder: images (n, 3, h, w), floats in [0, 1] -> reconstructions of the same shape, float32 in [0, 1].

    Made by `plain` and by `on_backbone`. Images of any h and w are padded on the right and at the bottom with their
    last pixels, to multiples of `stride`, and reconstructions are cropped back.

    Level 1 is the encoder's map of the highest resolution, and each next level has half the resolution. The bottleneck
    is not a level. Levels 1 to 4 are maps at 1/1 to 1/8 of the image in `plain`, and at 1/2 to 1/16 in `on_backbone`.

    A skip connection that is left out is removed, not zeroed: its map reaches the decoder with no channels, so the
    decoder's convolutions take fewer channels and no weight is spent on zeros. The decoder of
    segmentation-models-pytorch supports such maps, since some backbones have no level of half resolution.

    channels, stride: of the bottleneck map. skips: the levels with a skip connection, ascending.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        head: nn.Module,
        skips: Sequence[int],
        channels: int,
        stride: int,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Put the parts together.

        encoder: images normalized by `mean` and `std` -> [the images, level 1, ..., the bottleneck].
        decoder, head: that list, removed levels without channels -> logits (n, 3, h, w).
        channels, stride: of the bottleneck map. skips: the levels with a skip connection.
        """
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self.skips = tuple(skips)
        self.channels, self.stride = channels, stride
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def features(self, images: Tensor) -> list[Tensor]:
        """The input of `decode`: [the padded images, level 1, ..., the bottleneck], removed levels without channels.

        Raises GoldfoldError for images of another shape or type.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise GoldfoldError(
                "wrong_image_format",
                f"an autoencoder needs float images (n, 3, h, w) in [0, 1], got {images.dtype} {tuple(images.shape)}: "
                "divide bytes by 255 and move channels to the second axis",
            )
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        first, *levels, bottleneck = self.encoder((padded - self.mean) / self.std)
        kept = [
            # detached: an empty map would still send a full-sized gradient of zeros back to the encoder
            level if number in self.skips else level[:, :0].detach()
            for number, level in enumerate(levels, start=1)
        ]
        return [first, *kept, bottleneck]

    def decode(self, features: list[Tensor]) -> Tensor:
        """Reconstructions of the padded images from `features`, in float32 also under autocast."""
        return self.head(self.decoder(features)).float().sigmoid()

    def encode(self, images: Tensor) -> Tensor:
        """The bottleneck map (n, channels, h / stride, w / stride), sides rounded up."""
        return self.features(images)[-1]

    def reconstruct_and_encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions, and the bottleneck map they were made from."""
        height, width = images.shape[-2:]
        features = self.features(images)
        return self.decode(features)[..., :height, :width], features[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructions of the images."""
        return self.reconstruct_and_encode(images)[0]


def on_backbone(
    name: str, pretrained: bool, skips: Skips, decoder_channels: Sequence[int] = (256, 128, 64, 32, 16)
) -> Autoencoder:
    """The U-Net of segmentation-models-pytorch with timm's `name` as its encoder; `backbones.create` lists the names.

    pretrained: whether the encoder starts from pretrained weights. The pixel normalization they expect is done inside.
    skips: levels with a skip connection.
    decoder_channels: coarse to fine, one for each halving of the image, at most five: n of them put the bottleneck at
        1 / 2**n and leave n - 1 levels.

    Raises GoldfoldError for an unknown name, for a backbone without maps at 1/2 or 1/4 to 1/32 of images of any size
    (most transformers), and for a level that does not exist.
    """
    import segmentation_models_pytorch as smp
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
    from timm.models._features import FeatureGetterNet

    backbone = backbones.create(name, pretrained)
    depth = len(decoder_channels)
    try:
        unet = smp.Unet(f"tu-{name}", depth, encoder_weights=None, decoder_channels=decoder_channels, classes=3)
        levels = unet.encoder.model.feature_info.out_indices
        unet.encoder.model = FeatureGetterNet(backbone.model, levels)  # it handles weights and padding
        channels = unet.encoder.out_channels
        _check_maps(unet.encoder, channels, unet.encoder.output_stride)
    except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise GoldfoldError(
            "backbone_not_usable",
            f"backbone '{name}' does not work in an autoencoder of depth {depth} ({reason}): use a convolutional one "
            "such as efficientnet_lite0 or resnet18, and one to five decoder_channels",
        ) from error
    chosen = _chosen(skips, channels)
    unet.decoder = UnetDecoder(_kept(channels, chosen), decoder_channels, n_blocks=depth)
    unet.initialize()
    return Autoencoder(
        unet.encoder,
        unet.decoder,
        unet.segmentation_head,
        chosen,
        channels=channels[-1],
        stride=unet.encoder.output_stride,
        mean=backbone.mean,
        std=backbone.std,
    )


def plain(skips: Skips, widths: Sequence[int] = (32, 64, 128, 256), bottleneck: int = 512) -> Autoencoder:
    """A U-Net (Ronneberger et al. 2015) with batch normalization, trained from scratch.

    skips: levels with a skip connection.
    widths: channels of each level, fine to coarse: two 3x3 convolutions, then 2x2 max-pooling.
    bottleneck: channels below the last level, at 1 / 2**len(widths).
    The decoder goes up by 2x2 transposed convolutions, each followed by the level's skip connection, if kept, and two
    3x3 convolutions. A 1x1 convolution and a sigmoid make the pixels.

    Raises GoldfoldError for no widths, for a width below 1, and for a level that does not exist.
    """
    if not widths or min(*widths, bottleneck) < 1:
        raise GoldfoldError(
            "too_few_channels",
            f"widths and bottleneck must be channel counts of at least 1, got {list(widths)} and {bottleneck}: give "
            "one width per level, such as 32, 64, 128, 256, and a bottleneck such as 512",
        )
    channels = (3, *widths, bottleneck)
    chosen = _chosen(skips, channels)
    decoder = PlainDecoder(channels, _kept(channels, chosen))
    encoder = PlainEncoder(channels)
    head = nn.Conv2d(widths[0], 3, kernel_size=1)
    return Autoencoder(encoder, decoder, head, chosen, channels=bottleneck, stride=encoder.output_stride)


class PlainEncoder(nn.Module):
    """U-Net encoder: images -> [the images, level 1, ..., level L, the bottleneck], with `channels` channels."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.out_channels = tuple(channels)
        self.output_stride = 2 ** (len(channels) - 2)
        self.blocks = nn.ModuleList(_two_convolutions(above, below) for above, below in pairwise(channels))

    def forward(self, images: Tensor) -> list[Tensor]:
        """The list of maps, fine to coarse."""
        features = [images]
        for depth, block in enumerate(self.blocks):
            features.append(block(F.max_pool2d(features[-1], 2) if depth else images))
        return features


class PlainDecoder(nn.Module):
    """U-Net decoder: the encoder's list of maps -> a map of the images' size with `channels[1]` channels."""

    def __init__(self, channels: Sequence[int], kept: Sequence[int]) -> None:
        """channels: of the encoder's list. kept: how many channels its skip connections have at each level."""
        super().__init__()
        levels = range(len(channels) - 2, 0, -1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(channels[i + 1], channels[i], 2, stride=2) for i in levels)
        self.blocks = nn.ModuleList(_two_convolutions(channels[i] + kept[i], channels[i]) for i in levels)

    def forward(self, features: list[Tensor]) -> Tensor:
        """The decoded map."""
        _, *skips, x = features
        for up, block, skip in zip(self.up, self.blocks, reversed(skips), strict=True):
            x = block(torch.cat([up(x), skip], dim=1))
        return x


def _two_convolutions(above: int, below: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with batch normalization and ReLU."""
    layers = []
    for channels in (above, below):  # without bias: BatchNorm would remove it
        layers += [nn.Conv2d(channels, below, 3, padding=1, bias=False), nn.BatchNorm2d(below), nn.ReLU()]
    return nn.Sequential(*layers)


def _chosen(skips: Skips, channels: Sequence[int]) -> tuple[int, ...]:
    """The levels with a skip connection; levels without channels do not exist."""
    existing = tuple(level for level in range(1, len(channels) - 1) if channels[level])
    if skips in ("all", "none"):
        return existing if skips == "all" else ()
    if isinstance(skips, str) or not set(skips) <= set(existing):
        listed = skips if isinstance(skips, str) else list(skips)
        raise GoldfoldError(
            "unknown_skip_level",
            f"skips must be 'all', 'none' or some of this network's levels {list(existing)} (the first is the finest), "
            f"got {listed!r}: name only these levels",
        )
    return tuple(sorted(set(skips)))


def _kept(channels: Sequence[int], chosen: Sequence[int]) -> list[int]:
    """Channels that reach the decoder from each map: 0 for removed levels."""
    ends = (0, len(channels) - 1)
    return [count if level in (*ends, *chosen) else 0 for level, count in enumerate(channels)]


@torch.no_grad()
def _check_maps(encoder: nn.Module, channels: Sequence[int], stride: int) -> None:
    """Raise what an image of two strides raises, or ValueError if the maps are not what the decoder is built for."""
    side = 2 * stride
    found = [tuple(level.shape[1:]) for level in encoder.eval()(torch.zeros(1, 3, side, side))]
    encoder.train()
    wanted = [(count, side >> depth, side >> depth) for depth, count in enumerate(channels)]
    if found[1:] != wanted[1:]:  # the decoder never reads the first map
        raise ValueError(f"its maps are {found[1:]} instead of {wanted[1:]}")
