"""Fusion of picture and search terms, and a head on the picture alone."""

from __future__ import annotations

from competitions.icons.data import LABELS
from goldfold.recipes import frozen_backbone, fusion

RECIPES = {
    # few rows and rare labels: without these two the hash layer learns one code for all icons
    "fusion": fusion.recipe(LABELS, image_size=96, learning_rate=1e-3, standardize=True, prior_bias=True),
    "frozen_backbone": frozen_backbone.recipe(targets=LABELS, image_size=96, epochs=30),
}
