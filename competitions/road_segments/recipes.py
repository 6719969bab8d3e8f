"""A U-Net on large crops, many of them around rare classes; roads are not seen upside down."""

from __future__ import annotations

from competitions.road_segments.data import CLASSES, VOID, masks
from goldfold.recipes import segmenter

RECIPES = {
    "unet": segmenter.recipe(
        masks,
        CLASSES,
        void=VOID,
        image_size=(192, 256),
        crop=(160, 192),
        rare_crops=0.5,
        augmentation="none",
        flip=True,
        epochs=16,
    )
}
