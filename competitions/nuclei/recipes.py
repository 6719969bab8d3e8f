"""A U-Net finds the foreground; a watershed parts it into nuclei."""

from functools import partial

from competitions.nuclei.data import masks
from goldfold.images.instances import watershed
from goldfold.recipes import segmenter

RECIPES = {"unet": segmenter.recipe(masks)}

objects = partial(watershed, min_size=21)  # no nucleus of the training data has fewer pixels
