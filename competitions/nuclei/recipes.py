"""A U-Net segments the foreground; a watershed splits it into nuclei."""

from __future__ import annotations

from functools import partial

from competitions.nuclei.data import masks
from goldfold.images.instances import watershed
from goldfold.metrics.decisions.maps import of_watershed
from goldfold.recipes import segmenter

RECIPES = {"unet": segmenter.recipe(masks)}

SMALLEST = 21  # pixels; the smallest nucleus of the training data

objects = partial(watershed, min_size=SMALLEST)


def sizes(rows):
    """Height and width of each image."""
    return zip(rows["height"].tolist(), rows["width"].tolist(), strict=True)


DECISION = of_watershed(watershed, sizes, {"min_size": SMALLEST})
