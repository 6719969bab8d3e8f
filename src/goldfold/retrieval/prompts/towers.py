"""Image towers that are tuned: features of the last block, of the one before, and their projection; what is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError
from goldfold.nn import backbones, image_towers, text_towers
from goldfold.nn.text_towers import TextTower
from goldfold.retrieval import network


class Features(NamedTuple):
    """Features of images: of the last block, float (n, f), and of the block before it, (n, g), None if not asked."""

    last: Tensor
    inner: Tensor | None


class ImageTower(Protocol):
    """A network from pixels to features; `blocks` in the order of the network, `trunk` is what they are a part of."""

    image_size: int
    width: int
    trunk: nn.Module

    def __call__(self, pixels: Tensor, inner: bool = False) -> Features: ...

    def blocks(self) -> Sequence[nn.Module]: ...


class ClipTower(nn.Module):
    """Pixels uint8 (n, s, s, 3) -> the state of the class token in a vision transformer of CLIP.

    The last one is normalized by the network's own LayerNorm, as CLIP projects it; the one before is as the block
    returns it.
    """

    def __init__(self, tower: image_towers.ImageTower) -> None:
        super().__init__()
        self.normalize, self.trunk = tower.normalize, tower.model.vision_model
        self.image_size: int = tower.image_size
        self.width: int = tower.model.config.vision_config.hidden_size

    def forward(self, pixels: Tensor, inner: bool = False) -> Features:
        """Compute the features; inner: of the last block but one, too."""
        found = self.trunk(pixel_values=self.normalize(pixels), output_hidden_states=inner)
        return Features(found.pooler_output, found.hidden_states[-2][:, 0] if inner else None)

    def blocks(self) -> Sequence[nn.Module]:
        """The blocks of the transformer."""
        return list(self.trunk.encoder.layers)


class TimmTower(nn.Module):
    """Pixels uint8 (n, s, s, 3) -> pooled features of a network of timm, and the mean over the map of a block."""

    def __init__(self, backbone: backbones.Backbone, image_size: int) -> None:
        super().__init__()
        self.trunk: Any = backbone.model
        self.normalize = backbones.Normalize(backbone.mean, backbone.std)
        self.image_size = image_size
        self.width: int = network.feature_width(self.normalize, self.trunk, image_size, 3)

    def forward(self, pixels: Tensor, inner: bool = False) -> Features:
        """Compute the features; inner: of the last block but one, too."""
        images = self.normalize(pixels)
        if not inner:
            return Features(self.trunk(images).flatten(1), None)
        final, (before, _) = self.trunk.forward_intermediates(images, indices=2)
        return Features(self.trunk.forward_head(final).flatten(1), before.mean((2, 3)))

    def blocks(self) -> Sequence[nn.Module]:
        """The blocks of a transformer, or the stages of a network of convolutions."""
        for name in ("blocks", "stages"):
            if hasattr(self.trunk, name):
                return list(getattr(self.trunk, name))
        layers = [module for name, module in self.trunk.named_children() if name.startswith("layer")]
        return layers or [self.trunk]


class Towers(NamedTuple):
    """An image tower, a text tower, and their projections to features of one width."""

    image: ClipTower | TimmTower
    text: TextTower
    project_image: nn.Module
    project_text: nn.Module
    width: int
    learned: bool


def load_clip(folder: str) -> Towers:
    """Load both towers of a CLIP in the layout of transformers, with its projections.

    Raises GoldfoldError if the folder is refused, as `image_towers.load` does, or holds another family than CLIP.
    """
    image = image_towers.load(folder)
    if image.model.config.model_type != "clip":
        raise GoldfoldError(
            "unknown_tower_family",
            f"the towers in '{folder}' are of family {image.model.config.model_type}, and learned prompts need "
            "those of clip: choose a folder of CLIP",
        )
    text, project = text_towers.load(folder), image.model.visual_projection
    return Towers(ClipTower(image), text, project, nn.Identity(), project.out_features, learned=False)


def load_parts(backbone: backbones.Backbone, image_size: int, text_tower: str, projection_dim: int | None) -> Towers:
    """Combine an image tower of timm and a text tower, aligned by learned linear projections (Zhai et al. 2022, LiT).

    projection_dim: outputs of the projections; None: no projections.

    Raises GoldfoldError without projections if the features of images and texts differ in width.
    """
    image, text = TimmTower(backbone, image_size), text_towers.load(text_tower)
    width = text_width(text)
    if projection_dim is None and image.width != width:
        raise GoldfoldError(
            "tower_widths_differ",
            f"the image tower has {image.width:,} features and the text tower {width:,}, which cannot be compared: set "
            "projection_dim=256",
        )
    if projection_dim is None:
        return Towers(image, text, nn.Identity(), nn.Identity(), width, learned=False)
    of_image, of_text = (nn.Linear(each, projection_dim, bias=False) for each in (image.width, width))
    return Towers(image, text, of_image, of_text, projection_dim, learned=True)


def text_width(tower: TextTower) -> int:
    """Return the number of a text tower's features."""
    with torch.no_grad():
        return tower(*tower.tokenize(["a"])).shape[1]


def unfreeze(tower: ClipTower | TimmTower, count: int | None) -> None:
    """Let only the last `count` blocks and what follows them require gradients; None: the whole tower.

    What follows them is the final norm, or the last convolution. The projection is not part of the tower.

    Raises GoldfoldError if the tower has fewer blocks.
    """
    blocks = tower.blocks()
    if count is not None and count > len(blocks):
        raise GoldfoldError(
            "too_many_blocks",
            f"unfreeze_blocks={count}, and the image tower has {len(blocks)} blocks: set at most that, or null for all",
        )
    if count is None:
        tower.requires_grad_(True)
        return
    tower.requires_grad_(False)
    within = {id(parameter): number for number, block in enumerate(blocks) for parameter in block.parameters()}
    reached = -1
    for parameter in tower.trunk.parameters():
        reached = max(reached, within.get(id(parameter), -1))
        follows = reached == len(blocks) - 1 and id(parameter) not in within
        parameter.requires_grad_(follows or within.get(id(parameter), -1) >= len(blocks) - count)
