"""A head on frozen features of the photograph."""

from __future__ import annotations

from competitions.road_scenes.data import LABELS
from goldfold.recipes import frozen_backbone, fusion

RECIPES = {
    "frozen_backbone": frozen_backbone.recipe(
        targets=LABELS, image_size=192, stages=2, hidden=128, dropout=0.3, epochs=60
    ),
    "fusion": fusion.recipe(LABELS, image_size=192, text_tower="none", standardize=True, prior_bias=True),
}
