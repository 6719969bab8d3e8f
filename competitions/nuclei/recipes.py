"""A U-Net finds the foreground; a watershed parts it into nuclei."""

from functools import partial

from competitions.nuclei.data import masks
from goldfold.instances import watershed
from goldfold.recipes import segmenter

RECIPES = {"unet": segmenter.recipe(masks)}

objects = partial(watershed, threshold=0.6)  # Dice training draws outlines wide; 0.5 scores about 0.01 less
