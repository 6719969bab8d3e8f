"""Image towers that are tuned: features of the last block, of the one before, and their projection; what is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError
from goldfold.images.sizes import Size, as_text, height_and_width
from goldfold.nn import backbones, image_towers, text_towers
from goldfold.nn.pretrained import open_clip_folders
from goldfold.nn.pretrained.tower_folders import TowerFolder
from goldfold.nn.text_towers import TextTower
from goldfold.retrieval import network

REDUCTION = 32  # of a ResNet: pixels of a side for each of the last map


class Features(NamedTuple):
    """Features of images, float.

    last: (n, f), of the last block. inner: (n, g), of the block before it, None if not asked. pooled: (n, h), what is
    projected; with an attention pool it is another one than `last`.
    """

    last: Tensor
    inner: Tensor | None
    pooled: Tensor


class ClipTower(nn.Module):
    """Pixels uint8 (n, h, w, 3) -> the state of the class token in a vision transformer of CLIP.

    The last one is normalized by the network's own LayerNorm, as CLIP projects it; the one before is as the block
    returns it. For images of another size than the tower was trained with, transformers resamples the position
    embeddings (bicubic) to the grid of patches.

    Raises GoldfoldError if no whole number of patches fits into a side.
    """

    def __init__(self, tower: image_towers.ImageTower, image_size: Size | None) -> None:
        super().__init__()
        self.normalize, self.trunk = tower.normalize, tower.model.vision_model
        self.image_size: Size = image_size or tower.image_size
        _check_sides(self.image_size, tower.model.config.vision_config.patch_size)
        self.width: int = tower.model.config.vision_config.hidden_size

    def forward(self, pixels: Tensor, inner: bool = False) -> Features:
        """Compute the features; inner: of the last block but one, too."""
        images = self.normalize(pixels)
        found = self.trunk(pixel_values=images, output_hidden_states=inner, interpolate_pos_encoding=True)
        last = found.pooler_output
        return Features(last, found.hidden_states[-2][:, 0] if inner else None, last)

    def blocks(self) -> Sequence[nn.Module]:
        """The blocks of the transformer."""
        return list(self.trunk.encoder.layers)


class ClipResNetTower(nn.Module):
    """Pixels uint8 (n, h, w, 3) -> means over the maps of a ResNet of CLIP, and what its attention pool makes of one.

    Features are those of CLIP-ReID: the means of the last two stages. The attention pool follows the last stage, and
    the projection follows the pool; for images of another size than the tower was trained with, timm resamples the
    pool's position embeddings (bicubic).

    Raises GoldfoldError if a side is no multiple of 32.
    """

    def __init__(self, folder: TowerFolder, image_size: Size | None) -> None:
        super().__init__()
        told = open_clip_folders.pixels(folder, *image_towers.CLIP)
        self.trunk: Any = open_clip_folders.image_model(folder)
        self.normalize = backbones.Normalize(told.mean, told.std)
        self.image_size: Size = image_size or told.image_size
        _check_sides(self.image_size, REDUCTION)
        self.width: int = self.trunk.num_features

    def forward(self, pixels: Tensor, inner: bool = False) -> Features:
        """Compute the features; inner: of the last stage but one, too."""
        before = maps = self.trunk.stem(self.normalize(pixels))
        for stage in self.blocks():
            before, maps = maps, stage(maps)
        pooled = self.trunk.head(maps, pre_logits=True)
        return Features(maps.mean((2, 3)), before.mean((2, 3)) if inner else None, pooled)

    def blocks(self) -> Sequence[nn.Module]:
        """The four stages."""
        return list(self.trunk.stages)

    def take_projection(self) -> nn.Linear:
        """Take the projection out of the network."""
        projection = self.trunk.head.proj
        self.trunk.head.proj = nn.Identity()
        return projection


class TimmTower(nn.Module):
    """Pixels uint8 (n, h, w, 3) -> pooled features of a network of timm, and the mean over the map of a block."""

    def __init__(self, backbone: backbones.Backbone, image_size: Size) -> None:
        super().__init__()
        self.trunk: Any = backbone.model
        self.normalize = backbones.Normalize(backbone.mean, backbone.std)
        self.image_size = image_size
        self.width: int = network.feature_width(self.normalize, self.trunk, image_size, 3)

    def forward(self, pixels: Tensor, inner: bool = False) -> Features:
        """Compute the features; inner: of the last block but one, too."""
        images = self.normalize(pixels)
        if not inner:
            last = self.trunk(images).flatten(1)
            return Features(last, None, last)
        final, (before, _) = self.trunk.forward_intermediates(images, indices=2)
        last = self.trunk.forward_head(final).flatten(1)
        return Features(last, before.mean((2, 3)), last)

    def blocks(self) -> Sequence[nn.Module]:
        """The blocks of a transformer, or the stages of a network of convolutions."""
        for name in ("blocks", "stages"):
            if hasattr(self.trunk, name):
                return list(getattr(self.trunk, name))
        layers = [module for name, module in self.trunk.named_children() if name.startswith("layer")]
        return layers or [self.trunk]


AnyTower = ClipTower | ClipResNetTower | TimmTower


class Towers(NamedTuple):
    """An image tower, a text tower, and their projections to features of one width."""

    image: AnyTower
    text: TextTower
    project_image: nn.Module
    project_text: nn.Module
    width: int
    learned: bool


def load_clip(folder: str, image_size: Size | None) -> Towers:
    """Load both towers of a CLIP with its projections: a ViT in the layout of transformers, a ResNet in open_clip's.

    image_size: of images; None: what the tower was trained with.

    Raises GoldfoldError if the folder is refused, as `image_towers.load` does, holds another family than CLIP, or its
    tower cannot take the size.
    """
    if open_clip_folders.is_one(folder):
        tower = ClipResNetTower(open_clip_folders.open_folder(folder), image_size)
        projection = tower.take_projection()
        return Towers(
            tower, text_towers.load(folder), projection, nn.Identity(), projection.out_features, learned=False
        )
    image = image_towers.load(folder)
    if image.model.config.model_type != "clip":
        raise GoldfoldError(
            "unknown_tower_family",
            f"the towers in '{folder}' are of family {image.model.config.model_type}, and learned prompts need "
            "those of clip: choose a folder of CLIP",
        )
    text, project = text_towers.load(folder), image.model.visual_projection
    return Towers(ClipTower(image, image_size), text, project, nn.Identity(), project.out_features, learned=False)


def _check_sides(size: Size, step: int) -> None:
    """Raise GoldfoldError unless both sides are multiples of `step`."""
    if any(side % step for side in height_and_width(size)):
        raise GoldfoldError(
            "image_size_unsuitable",
            f"the image tower takes sides that are multiples of {step}, and images have {as_text(size)} pixels: change "
            "image_size",
        )


def load_parts(backbone: backbones.Backbone, image_size: Size, text_tower: str, projection_dim: int | None) -> Towers:
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


def unfreeze(tower: AnyTower, count: int | None) -> None:
    """Let only the last `count` blocks and what follows them require gradients; None: the whole tower.

    What follows them is the final norm, the last convolution, or the attention pool. The projection is not part of the
    tower.

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
