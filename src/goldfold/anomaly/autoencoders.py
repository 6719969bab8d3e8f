"""Networks from pixels to pixels through a bottleneck, with skip connections at all, at none or at chosen levels."""

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
    """Images (n, 3, h, w), floats in [0, 1] -> reconstructions of the same shape, float32 in [0, 1].

    Any h and w will do: images are padded on the right and below, by their last pixels, to multiples of `stride`, and
    reconstructions are cropped back. Made by `plain` and by `on_backbone`.

    Level 1 is the encoder's map of the highest resolution, each next one has half of it, and the bottleneck is none:
    levels 1 to 4 are maps at 1/1 to 1/8 of the image in `plain`, at 1/2 to 1/16 in `on_backbone`.

    A skip that is left out is removed, not zeroed: its map reaches the decoder with no channels at all, so that the
    decoder's convolutions take in fewer of them and no weight is spent on zeros. The decoder of
    segmentation-models-pytorch is built for such maps, which it has for backbones without a level of half resolution.

    channels, stride: of the bottleneck map. skips: the levels that are kept, ascending.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        head: nn.Module,
        skips: Sequence[int],
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        """encoder: images standardised by `mean` and `std` -> [the images, level 1, ..., the bottleneck], with
        `out_channels` of each and `output_stride`, as in segmentation-models-pytorch. decoder, head: that list, removed
        levels without channels -> logits (n, 3, h, w)."""
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self.skips = tuple(skips)
        self.channels: int = encoder.out_channels[-1]
        self.stride: int = encoder.output_stride
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def features(self, images: Tensor) -> list[Tensor]:
        """What `decode` takes: [the padded images, level 1, ..., the bottleneck], removed levels without channels."""
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise GoldfoldError(
                f"an autoencoder takes images as floats (n, 3, h, w) in [0, 1], got {images.dtype} "
                f"{tuple(images.shape)}; divide bytes by 255 and move the channels to the second axis"
            )
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        first, *levels, bottleneck = self.encoder((padded - self.mean) / self.std)
        kept = [
            # detached: an empty map would still send a gradient of zeros, as large as the map, back to the encoder
            level if number in self.skips else level[:, :0].detach()
            for number, level in enumerate(levels, start=1)
        ]
        return [first, *kept, bottleneck]

    def decode(self, features: list[Tensor]) -> Tensor:
        """`features` -> reconstructions of the padded images, in float32 under autocast too."""
        return self.head(self.decoder(features)).float().sigmoid()

    def encode(self, images: Tensor) -> Tensor:
        """The bottleneck map (n, channels, h / stride, w / stride), sides rounded up."""
        return self.features(images)[-1]

    def both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions, and the bottleneck map they were made from."""
        height, width = images.shape[-2:]
        features = self.features(images)
        return self.decode(features)[..., :height, :width], features[-1]

    def forward(self, images: Tensor) -> Tensor:
        return self.both(images)[0]


def on_backbone(
    name: str, pretrained: bool, skips: Skips, decoder_channels: Sequence[int] = (256, 128, 64, 32, 16)
) -> Autoencoder:
    """The U-Net of segmentation-models-pytorch with timm's `name` as its encoder; `backbones.create` says which names.

    decoder_channels: coarse to fine, as many as the image is halved, five at most: n of them put the bottleneck at
        1 / 2**n and leave n - 1 levels. What the backbone's weights expect of pixels is done inside.

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
        unet.encoder.model = FeatureGetterNet(backbone.model, levels)  # this one knows its weights and padding
        _try(unet.encoder)
    except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise GoldfoldError(
            f"backbone '{name}' cannot carry an autoencoder of depth {depth} ({reason}); choose a convolutional one "
            "such as efficientnet_lite0 or resnet18, and one to five decoder_channels"
        ) from error
    channels = unet.encoder.out_channels
    chosen = _chosen(skips, channels)
    unet.decoder = UnetDecoder(_kept(channels, chosen), decoder_channels, n_blocks=depth)
    unet.initialize()
    return Autoencoder(unet.encoder, unet.decoder, unet.segmentation_head, chosen, backbone.mean, backbone.std)


def plain(skips: Skips, widths: Sequence[int] = (32, 64, 128, 256), bottleneck: int = 512) -> Autoencoder:
    """A U-Net (Ronneberger et al. 2015) with batch normalisation, from scratch.

    widths: channels of each level, fine to coarse: two 3x3 convolutions, then 2x2 max-pooling; `bottleneck` channels
        below the last, at 1 / 2**len(widths). Up again by 2x2 transposed convolutions, each followed by the level's
        skip where it is kept and two 3x3 convolutions; a 1x1 convolution and a sigmoid make pixels.

    Raises GoldfoldError for no widths, for one below 1, and for a level that does not exist.
    """
    if not widths or min(*widths, bottleneck) < 1:
        raise GoldfoldError(
            f"widths and bottleneck are numbers of channels from 1, got {list(widths)} and {bottleneck}; "
            "give one width per level, such as 32, 64, 128, 256, and a bottleneck such as 512"
        )
    channels = (3, *widths, bottleneck)
    chosen = _chosen(skips, channels)
    decoder = PlainDecoder(channels, _kept(channels, chosen))
    return Autoencoder(PlainEncoder(channels), decoder, nn.Conv2d(widths[0], 3, kernel_size=1), chosen)


class PlainEncoder(nn.Module):
    """Images -> [the images, level 1, ..., level L, the bottleneck], of `channels` channels."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.out_channels = tuple(channels)
        self.output_stride = 2 ** (len(channels) - 2)
        self.blocks = nn.ModuleList(_two_convolutions(above, below) for above, below in pairwise(channels))

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [images]
        for depth, block in enumerate(self.blocks):
            features.append(block(F.max_pool2d(features[-1], 2) if depth else images))
        return features


class PlainDecoder(nn.Module):
    """[the images, level 1, ..., level L, the bottleneck] -> a map of the images' size with `channels[1]` channels."""

    def __init__(self, channels: Sequence[int], kept: Sequence[int]) -> None:
        """channels: of the encoder's list. kept: how many of them the skips bring."""
        super().__init__()
        levels = range(len(channels) - 2, 0, -1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(channels[i + 1], channels[i], 2, stride=2) for i in levels)
        self.blocks = nn.ModuleList(_two_convolutions(channels[i] + kept[i], channels[i]) for i in levels)

    def forward(self, features: list[Tensor]) -> Tensor:
        _, *skips, x = features
        for up, block, skip in zip(self.up, self.blocks, reversed(skips), strict=True):
            x = block(torch.cat([up(x), skip], dim=1))
        return x


def _two_convolutions(above: int, below: int) -> nn.Sequential:
    layers = []
    for channels in (above, below):  # without bias: BatchNorm would take it away again
        layers += [nn.Conv2d(channels, below, 3, padding=1, bias=False), nn.BatchNorm2d(below), nn.ReLU()]
    return nn.Sequential(*layers)


def _chosen(skips: Skips, channels: Sequence[int]) -> tuple[int, ...]:
    """The levels that are kept; those without channels do not exist."""
    existing = tuple(level for level in range(1, len(channels) - 1) if channels[level])
    if skips in ("all", "none"):
        return existing if skips == "all" else ()
    if isinstance(skips, str) or not set(skips) <= set(existing):
        listed = skips if isinstance(skips, str) else list(skips)
        raise GoldfoldError(
            f"skips are 'all', 'none' or some of this network's levels {list(existing)} (the first is the finest), "
            f"got {listed!r}; name only those"
        )
    return tuple(sorted(set(skips)))


def _kept(channels: Sequence[int], chosen: Sequence[int]) -> list[int]:
    ends = (0, len(channels) - 1)
    return [count if level in (*ends, *chosen) else 0 for level, count in enumerate(channels)]


@torch.no_grad()
def _try(encoder: nn.Module) -> None:
    """Raise what two strides of pixels raise, or ValueError where the maps are not what the decoder is built for."""
    side = 2 * encoder.output_stride
    found = [tuple(level.shape[1:]) for level in encoder.eval()(torch.zeros(1, 3, side, side))]
    encoder.train()
    wanted = [(channels, side >> depth, side >> depth) for depth, channels in enumerate(encoder.out_channels)]
    if found[1:] != wanted[1:]:  # a decoder never reads the first
        raise ValueError(f"its maps are {found[1:]} instead of {wanted[1:]}")
