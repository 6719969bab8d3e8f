"""A U-Net segments the foreground; a watershed splits it into nuclei."""

from __future__ import annotations

from functools import partial

from competitions.nuclei.data import masks
from goldfold.images.instances import watershed
from goldfold.recipes import segmenter

RECIPES = {"unet": segmenter.recipe(masks)}

objects = partial(watershed, min_size=21)  # pixels; the smallest nucleus of the training data
