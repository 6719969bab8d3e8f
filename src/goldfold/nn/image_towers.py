"""Frozen image towers of CLIP, SigLIP and SigLIP2, from the folders that also hold their text towers."""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError
from goldfold.nn.backbones import Normalize
from goldfold.nn.pretrained import open_clip_folders, tower_folders
from goldfold.nn.pretrained.tower_folders import TowerFolder

UNUSED = ("text_model.", "text_projection.", "logit_")
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # mean and sd of its training images
SIGLIP = ((0.5,) * 3, (0.5,) * 3)


class ImageTower(nn.Module):
    """Pixels uint8 (n, image_size, image_size, 3) in RGB -> features float32 (n, d), not normalized.

    `feature_cache.cached_extractor` takes it as it is. Images are resized to the square, where CLIP's own processor
        crops it from the middle.
    """

    def __init__(self, model: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        config = model.config.vision_config
        self.model, self.normalize = model, Normalize(mean, std)
        # siglip2 takes a list of patches of any image; fixed-resolution checkpoints of SigLIP2 are of family siglip
        self.patch: int = config.patch_size if model.config.model_type == "siglip2" else 0
        self.image_size: int = isqrt(config.num_patches) * self.patch if self.patch else config.image_size

    def forward(self, pixels: Tensor) -> Tensor:
        images = self.normalize(pixels)
        found = self.model.get_image_features(**self._patches(images) if self.patch else {"pixel_values": images})
        return getattr(found, "pooler_output", found)  # before transformers 5 it was the tensor itself

    def _patches(self, images: Tensor) -> dict[str, Tensor]:
        """Cut images (n, 3, h, w) into patches (n, rows x columns, p x p x 3)."""
        side = self.image_size // self.patch
        cut = images.unflatten(3, (side, self.patch)).unflatten(2, (side, self.patch))  # (n, 3, rows, p, columns, p)
        patches = cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        return {
            "pixel_values": patches,
            "pixel_attention_mask": torch.ones(patches.shape[:2], dtype=torch.int64, device=images.device),
            "spatial_shapes": torch.tensor([[side, side]] * len(images), device=images.device),
        }


def load(folder: str | Path) -> ImageTower:
    """Load the image tower of a folder in evaluation mode, on the CPU; see `text_towers.load` for its text tower.

    Raises:
        GoldfoldError: `package_missing`; or the folder is refused: `tower_not_found`, `unknown_tower_family`,
            `tower_weights_missing`, `tower_not_loaded`.
    """
    if open_clip_folders.is_one(folder):
        raise GoldfoldError(
            "unknown_tower_family",
            f"the towers in '{folder}' are in the layout of open_clip, which only prompted_embedder reads: choose a "
            "folder in that of transformers",
        )
    found = tower_folders.open_folder(folder, tower_folders.TWO_TOWERS)
    model = tower_folders.load_model(found, UNUSED)
    del model.text_model
    return ImageTower(model, *_normalization(found)).eval()


def _normalization(folder: TowerFolder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the folder's image processor, of its family where it names none."""
    told = folder.read_json("preprocessor_config.json") or folder.read_json("processor_config.json")
    told = told.get("image_processor", told)
    mean, std = CLIP if folder.family == "clip" else SIGLIP
    return tuple(told.get("image_mean", mean)), tuple(told.get("image_std", std))
